"""Sentences of a Doc, and the functions that a config can name in `sentences`.

A function takes Docs and returns the Spans of each. The config names it in spaCy's registry of
miscellaneous functions:

    [components.trf_wordpiecer.sentences]
    @misc = "trf_bridge.packed_sentences.v1"
    max_tokens = 128
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy
from spacy.pipeline import Sentencizer
from spacy.tokens import Doc, Span

from ... import errors
from ...settings import SpansFunction, check_whole_number
from ...types import Array

# spaCy's default rules, which hold no state.
RULES = Sentencizer()


def has_sentences(doc: Doc) -> bool:
    """Return whether sentence boundaries are set, by a component or by a user's hook."""
    return "sents" in doc.user_hooks or doc.has_annotation("SENT_START")


def sentence_bounds(doc: Doc) -> Array:
    """Find the sentences of a Doc: its own, or those of spaCy's sentencizer where it has none.

    The rules apply in training and in prediction alike, so the transformer is trained on the inputs
    that it predicts on.

    doc (Doc): The Doc; not changed.
    RETURNS (int64, (n_sentences, 2)): First and last token (exclusive) of each sentence.
    """
    if not len(doc):
        return numpy.empty((0, 2), dtype="int64")
    if "sents" in doc.user_hooks:
        return numpy.asarray([(sentence.start, sentence.end) for sentence in doc.sents])
    # `doc.sents` and `doc.has_annotation` create an object for each token.
    is_start = doc.to_array(["SENT_START"]).ravel()
    if is_start[1:].any():
        starts = numpy.append(0, 1 + numpy.flatnonzero(is_start[1:] == 1))
    else:
        starts = numpy.flatnonzero(RULES.predict([doc])[0])
    return numpy.stack([starts, numpy.append(starts[1:], len(doc))], axis=1)


def with_boundaries(doc: Doc) -> Doc:
    """Return a Doc with sentence boundaries: itself, or a copy to which the rules were applied.

    doc (Doc): The Doc; not changed.
    RETURNS (Doc): A Doc on which `doc.sents` is defined.
    """
    return doc if not len(doc) or has_sentences(doc) else RULES(doc.copy())


def has_default_rules(component: object) -> bool:
    """Return whether a component is spaCy's sentencizer with its default rules."""
    punct_chars = getattr(component, "punct_chars", None)
    return type(component) is Sentencizer and punct_chars == RULES.punct_chars


def find_bounds(docs: Sequence[Doc], sentences: str | SpansFunction, name: str) -> list[Array]:
    """Find the tokens of each input of Docs.

    docs (sequence of Doc, (n_docs,)): The Docs.
    sentences (str, callable): "sents", "doc", or a function of Docs that returns the Spans of each.
        A function receives copies with boundaries of Docs that have none.
    name (str): Name of the component, for errors.
    RETURNS (list of int64, each (n_inputs, 2)): First and last token (exclusive) of each input.
    RAISES (ValueError, TypeError): TB035, TB036 for what a function returned.
    WARNS: TB105, once, if a function left out tokens.
    """
    if sentences == "sents":
        return [sentence_bounds(doc) for doc in docs]
    function = whole_docs if isinstance(sentences, str) else sentences
    split_docs = [with_boundaries(doc) for doc in docs]
    return _bounds_of_spans(function(split_docs), split_docs, name)


def sentences_of(docs: Sequence[Doc]) -> list[list[Span]]:
    """Find the sentences of Docs.

    docs (sequence of Doc, (n_docs,)): The Docs.
    RETURNS (list of list of Span, (n_docs,)): The sentences of each; see `sentence_bounds`.
    """
    return [[doc[start:end] for start, end in sentence_bounds(doc).tolist()] for doc in docs]


def whole_docs(docs: Sequence[Doc]) -> list[list[Span]]:
    """Return each Doc as one Span.

    docs (sequence of Doc, (n_docs,)): The Docs.
    RETURNS (list of list of Span, (n_docs,)): One Span for each.
    """
    return [[doc[:]] for doc in docs]


class PackedSentences:
    """Joins neighbouring sentences of a Doc as long as they have few enough tokens together."""

    def __init__(self, max_tokens: int) -> None:
        """Set the length; see `make_packed_sentences`.

        RAISES (ValueError, TypeError): TB009.
        """
        check_whole_number("max_tokens", max_tokens, 1, "It is the maximum length of an input.")
        self.max_tokens = max_tokens

    def __call__(self, docs: Sequence[Doc]) -> list[list[Span]]:
        """Pack the sentences of Docs.

        docs (sequence of Doc, (n_docs,)): The Docs.
        RETURNS (list of list of Span, (n_docs,)): Spans of one or more sentences.
        """
        return [self._pack(sentences) for sentences in sentences_of(docs)]

    def _pack(self, sentences: Sequence[Span]) -> list[Span]:
        packed: list[Span] = []
        for sentence in sentences:
            last = packed[-1] if packed else None
            adjoins = last is not None and last.end == sentence.start
            if last is not None and adjoins and sentence.end - last.start <= self.max_tokens:
                packed[-1] = sentence.doc[last.start : sentence.end]
            else:
                packed.append(sentence)
        return packed


def make_sentences() -> SpansFunction:
    """Create the function behind `sentences = "sents"`.

    RETURNS (callable): Docs -> the sentences of each.
    """
    return sentences_of


def make_docs() -> SpansFunction:
    """Create the function behind `sentences = "doc"`.

    RETURNS (callable): Docs -> the whole of each.
    """
    return whole_docs


def make_packed_sentences(*, max_tokens: int = 128) -> SpansFunction:
    """Create a function that joins neighbouring sentences of a Doc into longer inputs.

    max_tokens (int): The maximum number of tokens of an input; a longer sentence is one input.
    RETURNS (callable): Docs -> Spans of one or more sentences of each.
    RAISES (ValueError, TypeError): TB009.
    """
    return PackedSentences(max_tokens)


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
