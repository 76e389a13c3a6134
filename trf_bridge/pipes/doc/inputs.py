"""The inputs of a Doc: the texts that the model reads at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from spacy.tokens import Doc

from ...arrays import concatenate
from ...settings import SpansFunction
from ...types import Array
from ...wrappers.tokenizers.pair_encoding import Pair
from .pairs import find_pairs
from .records import spans_of_columns
from .sentences import find_bounds, split_rows

COLUMNS: list[int | str] = ["IDX", "LENGTH", "SENT_START"]


class DocInputs(NamedTuple):
    """The inputs of one Doc.

    text (str): The text of the Doc.
    tokens (int32, (n_tokens, 2)): Character start and end of each token.
    spans (int32, (n_inputs, 2)): Character start and end of each input.
    pair (Pair): The two texts of a Doc that is one input; then `spans` is not used. None for any
        other Doc.
    """

    text: str
    tokens: Array
    spans: Array
    pair: Pair | None


def find_inputs(
    docs: Sequence[Doc], sentences: str | SpansFunction, separator: str | None, name: str
) -> list[DocInputs]:
    """Find the inputs of Docs.

    docs (sequence of Doc, (n_docs,)): The Docs.
    sentences (str, callable): "sents", "doc", or a function of Docs that returns the Spans of each.
    separator (str): Text of the token that separates a pair of texts; None for none.
    name (str): Name of the component, for errors.
    RETURNS (list of DocInputs, (n_docs,)): The inputs of each.
    RAISES (ValueError, TypeError): TB035, TB036 for what a function returned; TB037.
    WARNS: TB105, once, if a function left out tokens; TB106.
    """
    columns = concatenate([doc.to_array(COLUMNS) for doc in docs], (0, 3), "uint64")
    tokens = spans_of_columns(columns)
    bounds, n_inputs = find_bounds(docs, sentences, name, columns[:, 2])
    # The start of the first token and the end of the last one, in the flat array.
    chars = tokens.take(2 * bounds - [0, 1])
    tokens_of_docs = split_rows(tokens, [len(doc) for doc in docs])
    pairs = find_pairs(docs, tokens_of_docs, separator)
    chars_of_docs = split_rows(chars, n_inputs.tolist())
    return [
        DocInputs(doc.text, *parts)
        for doc, *parts in zip(docs, tokens_of_docs, chars_of_docs, pairs, strict=True)
    ]
