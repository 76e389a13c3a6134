"""The inputs of a Doc: the texts that the model reads at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy
from spacy.tokens import Doc

from ...settings import SpansFunction
from ...types import Array
from ...wrappers.tokenizers.pair_encoding import Pair
from .pairs import find_pairs
from .records import token_spans
from .sentences import find_bounds


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
    bounds = find_bounds(docs, sentences, name)
    tokens = [token_spans(doc) for doc in docs]
    pairs = find_pairs(docs, tokens, separator)
    return [
        DocInputs(doc.text, spans, _char_spans(spans, of_doc), pair)
        for doc, spans, of_doc, pair in zip(docs, tokens, bounds, pairs, strict=True)
    ]


def _char_spans(tokens: Array, bounds: Array) -> Array:
    """Convert the first and last token (exclusive) of inputs to characters."""
    return numpy.stack([tokens[bounds[:, 0], 0], tokens[bounds[:, 1] - 1, 1]], axis=1)
