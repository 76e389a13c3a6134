"""What of a Doc is one input of the model: its sentences, the whole of it, or what a function says.

A function takes Docs and returns the Spans of each. It is named in the config by spaCy's registry
of miscellaneous functions:

    [components.trf_wordpiecer.sentences]
    @misc = "trf_bridge.packed_sentences.v1"
    max_tokens = 128
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import numpy
from spacy.tokens import Doc, Span

from ... import errors
from .sentences import has_sentences, sentence_spans

SpansFunction: TypeAlias = Callable[[Sequence[Doc]], Iterable[Iterable[Span]]]
CharSpans: TypeAlias = list[tuple[int, int]]

SENTENCES = ("sents", "doc")


def make_sentences() -> SpansFunction:
    """Make the function behind `sentences = "sents"`.

    RETURNS (callable): Docs -> the sentences of each; the whole Doc where none are set.
    """
    return sentences_of


def make_docs() -> SpansFunction:
    """Make the function behind `sentences = "doc"`.

    RETURNS (callable): Docs -> the whole of each.
    """
    return whole_docs


def make_packed_sentences(*, max_tokens: int = 128) -> SpansFunction:
    """Make a function that joins neighbouring sentences of a Doc into longer inputs.

    max_tokens (int): The most tokens of an input; a sentence that is longer is one by itself.
    RETURNS (callable): Docs -> Spans of one or more sentences of each.
    RAISES (ValueError, TypeError): TB009.
    """
    return PackedSentences(max_tokens)


def sentences_of(docs: Sequence[Doc]) -> list[list[Span]]:
    """Find the sentences of Docs.

    docs (sequence of Doc, (n_docs,)): The Docs.
    RETURNS (list of list of Span, (n_docs,)): Sentences; the whole Doc where none are set.
    """
    return [list(doc.sents) if has_sentences(doc) else [doc[:]] for doc in docs]


def whole_docs(docs: Sequence[Doc]) -> list[list[Span]]:
    """Take each Doc as it is, whatever its sentences.

    docs (sequence of Doc, (n_docs,)): The Docs.
    RETURNS (list of list of Span, (n_docs,)): One Span for each.
    """
    return [[doc[:]] for doc in docs]


class PackedSentences:
    """Joins neighbouring sentences of a Doc as long as they hold few enough tokens together."""

    def __init__(self, max_tokens: int) -> None:
        """Set the length; see `make_packed_sentences`.

        RAISES (ValueError, TypeError): TB009.
        """
        validate_length("max_tokens", max_tokens, "It is the most tokens of an input.")
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


def validate_sentences(sentences: Any) -> None:
    """Check the option before any work is done.

    sentences (str, callable): The option.
    RAISES (ValueError, TypeError): TB008.
    """
    if callable(sentences) or sentences in SENTENCES:
        return
    message = errors.TB008.format(
        field="sentences",
        got=repr(sentences),
        expected="'sents', 'doc', a function of Docs that returns the Spans of each (in a config, "
        "a block with @misc)",
    )
    raise ValueError(message) if isinstance(sentences, str) else TypeError(message)


def validate_length(field: str, length: Any, advice: str, *, least: int = 1) -> None:
    """Check an option that is a length.

    field (str): Name of the option.
    length (int): Its value.
    advice (str): A sentence that says what it is.
    least (int): The smallest that makes sense.
    RAISES (ValueError, TypeError): TB009.
    """
    wrong_type = isinstance(length, bool) or not isinstance(length, int)
    if wrong_type or length < least:
        message = errors.TB009.format(
            field=field, least=least, got=length, got_type=type(length).__name__, advice=advice
        )
        raise TypeError(message) if wrong_type else ValueError(message)


def input_spans(docs: Sequence[Doc], sentences: str | SpansFunction, name: str) -> list[CharSpans]:
    """Find what the model is to read at once.

    docs (sequence of Doc, (n_docs,)): The Docs.
    sentences (str, callable): "sents", "doc" or a function.
    name (str): Name of the component.
    RETURNS (list of list of tuple of int, (n_docs,)): Character start and end of each input.
    RAISES (ValueError, TypeError): TB035, TB036 for what a function returned.
    WARNS: TB105, once, where a function left tokens out.
    """
    if isinstance(sentences, str):
        if sentences == "sents":
            return [sentence_spans(doc) for doc in docs]
        sentences = whole_docs
    spans = _listed(sentences(docs), docs, name)
    n_left_out = [_check(doc, of_doc, name) for doc, of_doc in zip(docs, spans, strict=True)]
    if any(n_left_out):
        n_docs = sum(n > 0 for n in n_left_out)
        message = errors.TB105.format(n_tokens=sum(n_left_out), n_docs=n_docs, name=name)
        warnings.warn(message, stacklevel=4)
    return [[(span.start_char, span.end_char) for span in of_doc] for of_doc in spans]


def _listed(returned: Any, docs: Sequence[Doc], name: str) -> list[list[Span]]:
    """What a function returned, as lists without empty Spans."""
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


def _check(doc: Doc, spans: Sequence[Span], name: str) -> int:
    """Check the order of the Spans of a Doc, and count the tokens outside of them."""
    inside = numpy.zeros(len(doc), dtype="bool")
    end = 0
    for i, span in enumerate(spans):
        if span.start < end:
            one, two = (f"{s.start} to {s.end - 1}" for s in (spans[i - 1], span))
            raise ValueError(errors.TB036.format(name=name, one=one, two=two))
        end = span.end
        inside[span.start : end] = True
    return sum(not doc[i].is_space for i in numpy.flatnonzero(~inside).tolist())
