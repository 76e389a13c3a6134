"""Sentences of a Doc, and the functions that a config can name in `sentences`.

A function takes Docs and returns the Spans of each. The config names it in spaCy's registry of
miscellaneous functions:

    [components.trf_wordpiecer.sentences]
    @misc = "trf_bridge.packed_sentences.v1"
    max_tokens = 128
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any

import numpy
from spacy.pipeline import Sentencizer
from spacy.strings import get_string_id
from spacy.tokens import Doc, Span

from ... import errors
from ...arrays import concatenate
from ...settings import SpansFunction, check_whole_number
from ...types import Array
from .strided import StridedSpans

# spaCy's default rules, which hold no state.
RULES = Sentencizer()


class SentenceRules:
    """Applies the rules of spaCy's sentencizer to arrays instead of Token objects.

    A sentence ends after a token whose text is one of the given characters. Punctuation after it
    belongs to the same sentence.
    """

    def __init__(self, punct_chars: Iterable[str]) -> None:
        """Hash the characters, as the vocab hashes the texts of tokens.

        punct_chars (iterable of str): The texts of tokens that end a sentence.
        """
        self.punct_chars = frozenset(punct_chars)
        hashes = sorted({get_string_id(text) for text in self.punct_chars})
        # The last one is found for greater hashes, and equals none of them.
        self._hashes = numpy.asarray([*hashes, numpy.iinfo("uint64").max], dtype="uint64")

    def predict(self, docs: Sequence[Doc]) -> list[list[bool]]:
        """Find the first tokens of sentences. Boundaries that are set on the Docs are not read.

        docs (sequence of Doc, (n_docs,)): The Docs; not changed.
        RETURNS (list of list of bool, (n_docs,)): For each token whether it starts a sentence.
        """
        n_tokens = [len(doc) for doc in docs]
        if not any(n_tokens):
            return [[] for _ in docs]
        columns = numpy.concatenate([doc.to_array(["ORTH", "IS_PUNCT"]) for doc in docs])
        firsts = numpy.cumsum([0, *filter(None, n_tokens)])[:-1]
        is_start = self._find_starts(columns[:, 0], columns[:, 1] != 0, firsts)
        starts: list[list[bool]] = split_rows(is_start.tolist(), n_tokens)
        return starts

    def _find_starts(self, orths: Array, is_punct: Array, firsts: Array) -> Array:
        """Find the first tokens of sentences.

        orths (uint64, (n_tokens,)): Hash of each token's text.
        is_punct (bool, (n_tokens,)): Whether each token is punctuation.
        firsts (int64, (n_docs,)): First token of each Doc that has tokens.
        RETURNS (bool, (n_tokens,)): Whether each token starts a sentence.
        """
        is_end = self._hashes[self._hashes.searchsorted(orths)] == orths
        can_start = ~(is_punct | is_end)
        can_start[firsts] = True
        candidates = numpy.flatnonzero(can_start)
        # A candidate starts a sentence if an end lies between it and the candidate before.
        n_ends = (numpy.cumsum(is_end) - is_end)[candidates]
        is_start = numpy.zeros(len(orths), dtype="bool")
        is_start[candidates[1:]] = n_ends[1:] > n_ends[:-1]
        is_start[firsts] = True
        return is_start


DEFAULT_RULES = SentenceRules(RULES.punct_chars)


def has_sentences(doc: Doc) -> bool:
    """Return whether sentence boundaries are set, by a component or by a user's hook."""
    return "sents" in doc.user_hooks or doc.has_annotation("SENT_START")


def sentence_bounds(docs: Sequence[Doc], boundaries: Array | None = None) -> tuple[Array, Array]:
    """Find the sentences of Docs: their own, or those of spaCy's sentencizer where a Doc has none.

    The rules apply in training and in prediction alike, so the transformer is trained on the inputs
    that it predicts on.

    docs (sequence of Doc, (n_docs,)): The Docs; not changed.
    boundaries (uint64, (n_tokens,)): SENT_START of the tokens of all Docs; None to read it.
    RETURNS (int64 (n_sentences, 2), int64 (n_docs,)): First and last token (exclusive) of each
        sentence, counted over the tokens of all Docs; and the number of sentences of each Doc.
    """
    if any("sents" in doc.user_hooks for doc in docs):
        return join_bounds(docs, [_bounds_of_doc(doc) for doc in docs])
    if boundaries is None:  # `doc.sents` and `doc.has_annotation` create an object for each token
        columns = [doc.to_array("SENT_START") for doc in docs]
        boundaries = concatenate(columns, dtype="uint64")
    # Lists, because most Docs have few tokens, for which they are faster than arrays.
    values = split_rows(boundaries.tolist(), [len(doc) for doc in docs])
    # The first token starts a sentence in any case.
    is_split = [len(of_doc) < 2 or any(of_doc[1:]) for of_doc in values]
    others = [doc for doc, has_own in zip(docs, is_split, strict=True) if not has_own]
    predicted = iter(DEFAULT_RULES.predict(others))
    bounds: list[tuple[int, int]] = []
    n_sentences = []
    first = 0
    for of_doc, has_own in zip(values, is_split, strict=True):
        flags = of_doc if has_own else next(predicted)
        starts = [first + i for i, flag in enumerate(flags) if flag == 1 or i == 0]
        bounds.extend(zip(starts, [*starts[1:], first + len(flags)], strict=False))
        n_sentences.append(len(starts))
        first += len(flags)
    joined = numpy.asarray(bounds, dtype="int64").reshape(-1, 2)
    return joined, numpy.asarray(n_sentences, dtype="int64")


def _bounds_of_doc(doc: Doc) -> Array:
    """Return the first and last token (exclusive) of each sentence of a Doc."""
    if "sents" not in doc.user_hooks:
        return sentence_bounds([doc])[0]
    bounds = [(sentence.start, sentence.end) for sentence in doc.sents] if len(doc) else []
    return numpy.asarray(bounds, dtype="int64").reshape(-1, 2)


def join_bounds(docs: Sequence[Doc], bounds: Sequence[Array]) -> tuple[Array, Array]:
    """Join the tokens of inputs of Docs, as `sentence_bounds` returns them.

    docs (sequence of Doc, (n_docs,)): The Docs.
    bounds (sequence of int64, each (n_inputs, 2)): First and last token (exclusive) of each input
        of each Doc.
    RETURNS (int64 (n_inputs, 2), int64 (n_docs,)): The same, counted over the tokens of all Docs;
        and the number of inputs of each Doc.
    """
    n_tokens = numpy.asarray([len(doc) for doc in docs], dtype="int64")
    n_inputs = numpy.asarray([len(of_doc) for of_doc in bounds], dtype="int64")
    firsts = numpy.repeat(numpy.cumsum(n_tokens) - n_tokens, n_inputs)
    return concatenate(bounds, (0, 2), "int64") + firsts[:, None], n_inputs


def split_rows(joined: Any, sizes: Sequence[int]) -> list[Any]:
    """Split the rows of a batch into those of each Doc.

    joined (list, array, (n_rows, …)): The rows.
    sizes (sequence of int, (n_docs,)): Number of rows of each Doc.
    RETURNS (list of list, or of array, (n_docs,)): The rows of each; of an array, views.
    """
    ends = accumulate(sizes)
    return [joined[end - size : end] for size, end in zip(sizes, ends, strict=True)]


def with_boundaries(doc: Doc) -> Doc:
    """Return a Doc with sentence boundaries: itself, or a copy to which the rules were applied.

    doc (Doc): The Doc; not changed.
    RETURNS (Doc): A Doc on which `doc.sents` is defined.
    """
    return doc if not len(doc) or has_sentences(doc) else RULES(doc.copy())


def find_bounds(
    docs: Sequence[Doc], sentences: str | SpansFunction, name: str, boundaries: Array | None = None
) -> tuple[Array, Array]:
    """Find the tokens of each input of Docs.

    docs (sequence of Doc, (n_docs,)): The Docs.
    sentences (str, callable): "sents", "doc", or a function of Docs that returns the Spans of each.
        A function receives copies with boundaries of Docs that have none.
    name (str): Name of the component, for errors.
    boundaries (uint64, (n_tokens,)): SENT_START of the tokens of all Docs; None to read it.
    RETURNS (int64 (n_inputs, 2), int64 (n_docs,)): First and last token (exclusive) of each input,
        counted over the tokens of all Docs; and the number of inputs of each Doc.
    RAISES (ValueError, TypeError): TB035, TB036 for what a function returned.
    WARNS: TB105, once, if a function left out tokens.
    """
    if sentences == "sents":
        return sentence_bounds(docs, boundaries)
    if isinstance(sentences, StridedSpans):
        return join_bounds(docs, [sentences.bounds(len(doc)) for doc in docs])
    function = whole_docs if isinstance(sentences, str) else sentences
    split_docs = [with_boundaries(doc) for doc in docs]
    return join_bounds(docs, _bounds_of_spans(function(split_docs), split_docs, name))


def sentences_of(docs: Sequence[Doc]) -> list[list[Span]]:
    """Find the sentences of Docs.

    docs (sequence of Doc, (n_docs,)): The Docs.
    RETURNS (list of list of Span, (n_docs,)): The sentences of each; see `sentence_bounds`.
    """
    return [[doc[start:end] for start, end in _bounds_of_doc(doc).tolist()] for doc in docs]


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
