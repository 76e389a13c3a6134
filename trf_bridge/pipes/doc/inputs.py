"""The inputs of a Doc: the texts that the model reads at once."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy
from spacy.tokens import Doc, Span

from ... import errors
from ...settings import SpansFunction
from ...types import Array
from ...wrappers.tokenizers.pair_encoding import Pair
from .pairs import find_pairs
from .records import token_spans
from .sentences import sentence_bounds, whole_docs, with_boundaries


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
    if sentences == "sents":
        bounds = [sentence_bounds(doc) for doc in docs]
    else:
        function = whole_docs if isinstance(sentences, str) else sentences
        with_sentences = [with_boundaries(doc) for doc in docs]
        bounds = _bounds_of_spans(function(with_sentences), with_sentences, name)
    tokens = [token_spans(doc) for doc in docs]
    pairs = find_pairs(docs, tokens, separator)
    return [
        DocInputs(doc.text, spans, _char_spans(spans, of_doc), pair)
        for doc, spans, of_doc, pair in zip(docs, tokens, bounds, pairs, strict=True)
    ]


def _char_spans(tokens: Array, bounds: Array) -> Array:
    """Convert the first and last token (exclusive) of inputs to characters."""
    return numpy.stack([tokens[bounds[:, 0], 0], tokens[bounds[:, 1] - 1, 1]], axis=1)


def _bounds_of_spans(returned: Any, docs: Sequence[Doc], name: str) -> list[Array]:
    """Check what a function returned, and convert it to the tokens of each input."""
    spans = _check_spans(returned, docs, name)
    bounds = [
        numpy.asarray([(span.start, span.end) for span in of_doc], dtype="int64").reshape(-1, 2)
        for of_doc in spans
    ]
    n_left_out = [_check_order(doc, of_doc, name) for doc, of_doc in zip(docs, bounds, strict=True)]
    if any(n_left_out):
        n_docs = sum(n > 0 for n in n_left_out)
        message = errors.TB105.format(n_tokens=sum(n_left_out), n_docs=n_docs, name=name)
        warnings.warn(message, stacklevel=5)
    return bounds


def _check_spans(returned: Any, docs: Sequence[Doc], name: str) -> list[list[Span]]:
    """Convert what a function returned to lists, without empty Spans."""
    message = errors.TB035
    try:
        spans = [list(of_doc) for of_doc in returned]
    except TypeError as error:
        got = type(returned).__name__
        raise TypeError(message.format(name=name, n_docs=len(docs), got=got)) from error
    if len(spans) != len(docs):
        got = f"{len(spans)} lists"
        raise ValueError(message.format(name=name, n_docs=len(docs), got=got))
    for doc, of_doc in zip(docs, spans, strict=True):
        for span in of_doc:
            if not isinstance(span, Span):
                got = f"a {type(span).__name__} in a list"
                raise TypeError(message.format(name=name, n_docs=len(docs), got=got))
            if span.doc is not doc:
                got = "a Span of another Doc"
                raise ValueError(message.format(name=name, n_docs=len(docs), got=got))
    return [[span for span in of_doc if len(span)] for of_doc in spans]


def _check_order(doc: Doc, bounds: Array, name: str) -> int:
    """Check the order of the inputs of a Doc, and count the tokens outside of them."""
    inside = numpy.zeros(len(doc), dtype="bool")
    previous = (0, 0)
    for start, end in bounds.tolist():
        if start < previous[1]:
            one, two = (f"{a} to {b - 1}" for a, b in (previous, (start, end)))
            raise ValueError(errors.TB036.format(name=name, one=one, two=two))
        previous = (start, end)
        inside[start:end] = True
    return sum(not doc[i].is_space for i in numpy.flatnonzero(~inside).tolist())
