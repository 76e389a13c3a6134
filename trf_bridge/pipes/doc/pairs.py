"""Docs that hold a pair of texts, separated by a token."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy
from spacy.strings import get_string_id
from spacy.tokens import Doc
from spacy.training import Example

from ... import errors
from ...settings import check_separator
from ...types import Array
from ...wrappers.tokenizers.pair_encoding import Pair
from .records import get_separator, set_separator


def find_pairs(
    docs: Sequence[Doc], tokens: Sequence[Array], default: str | None
) -> list[Pair | None]:
    """Find the Docs that hold a pair of texts.

    A Doc is separated at the first token that is its separator: `doc._.trf_separator` if it is set,
    else the default.

    docs (sequence of Doc, (n_docs,)): The Docs.
    tokens (sequence of int32, each (n_tokens, 2)): Character start and end of each token.
    default (str): The pipeline's separator; None for none.
    RETURNS (list of Pair, (n_docs,)): The pairs; None for a Doc without a separator.
    RAISES (ValueError, TypeError): TB037.
    WARNS: TB106 if a separator is in the text but not a token.
    """
    separators = [
        default if separator is None else separator for separator in map(_own_separator, docs)
    ]
    if not any(separators):
        return [None] * len(docs)
    pairs = [
        find_pair(doc, spans, separator) if separator else None
        for doc, spans, separator in zip(docs, tokens, separators, strict=True)
    ]
    n_hidden = sum(
        pair is None and bool(separator) and str(separator) in doc.text
        for doc, separator, pair in zip(docs, separators, pairs, strict=True)
    )
    if n_hidden:
        warnings.warn(
            errors.TB106.format(
                n_docs=n_hidden,
                problem="is in their text but not a token, so they are read as one text",
                advice="Put spaces around it, or use a separator that the pipeline's tokenizer "
                "keeps as one token, such as '|||'.",
            ),
            stacklevel=6,
        )
    return pairs


def find_pair(doc: Doc, tokens: Array, separator: str) -> Pair | None:
    """Separate a Doc at the first token with a given text.

    doc (Doc): The Doc.
    tokens (int32, (n_tokens, 2)): Character start and end of each token.
    separator (str): Text of the separating token.
    RETURNS (Pair): The texts before and after it, without the white space around it; None if there
        is no such token.
    """
    places = numpy.flatnonzero(doc.to_array(["ORTH"]).ravel() == get_string_id(separator))
    if not places.size:
        return None
    at = int(places[0])
    starts, ends = tokens.T.tolist()
    return Pair(
        text=doc.text,
        first=(0, ends[at - 1] if at else 0),
        separator=(starts[at], ends[at]),
        second=(starts[at + 1], ends[-1]) if at + 1 < len(doc) else (ends[at], ends[at]),
    )


def copy_separators(examples: Sequence[Example], default: str | None) -> None:
    """Copy the separators that are set on references to the predicted Docs that have none.

    examples (sequence of Example, (n_docs,)): The batch; the predicted Docs are changed.
    default (str): The pipeline's separator; None for none.
    RAISES (ValueError, TypeError): TB037.
    WARNS: TB106 if a reference has a separator that prediction would not see.
    """
    n_unknown = 0
    for example in examples:
        if _own_separator(example.predicted) is None:
            separator = _own_separator(example.reference)
            if separator is not None:
                set_separator(example.predicted, separator)
                n_unknown += separator != (default or "")
    if n_unknown:
        warnings.warn(
            errors.TB106.format(
                n_docs=n_unknown,
                problem="is set on the reference alone, so prediction will not see it",
                advice="Set separator in the config of trf_wordpiecer, or doc._.trf_separator on "
                "the predicted Doc as well.",
            ),
            stacklevel=4,
        )


def _own_separator(doc: Doc) -> str | None:
    """Return the separator that is set on a Doc: None if none is set, "" for no separator."""
    separator: str | None = get_separator(doc)
    if separator != "":
        check_separator(separator, "doc._.trf_separator")
    return separator
