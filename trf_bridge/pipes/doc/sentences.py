"""Doc -> the stretches of text that the model reads at once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import TYPE_CHECKING

import numpy
from spacy.language import Language

from .records import token_spans

if TYPE_CHECKING:
    from spacy.tokens import Doc
    from spacy.training import Example


def sentence_spans(doc: Doc) -> list[tuple[int, int]]:
    """Find the sentences of a Doc.

    doc (Doc): The Doc.
    RETURNS (list of tuple of int): Character start and end of each sentence in `doc.text`; the
        whole Doc where no sentence boundaries are set, and nothing for a Doc without tokens.
    """
    if not len(doc):
        return []
    if has_sentences(doc):
        return [(sentence.start_char, sentence.end_char) for sentence in doc.sents]
    return [(0, doc[-1].idx + len(doc[-1]))]


def has_sentences(doc: Doc) -> bool:
    """RETURNS (bool): Whether sentence boundaries are set, by a component or by a user's hook."""
    return "sents" in doc.user_hooks or doc.has_annotation("SENT_START")


def prediction_docs(examples: Sequence[Example], component: object) -> list[Doc]:
    """Find the predicted Docs of a training batch, with the boundaries that prediction would see.

    A model that is trained on other pieces than it later reads is a silent fault, so these are
    asked in turn: the boundaries set on the predicted Doc; the sentencizer before the component in
    the pipeline that is being updated; the boundaries of the reference; else there are none.

    examples (sequence of Example, (n_docs,)): The batch.
    component (object): The component that asks.
    RETURNS (list of Doc, (n_docs,)): The predicted Docs, or copies of them with boundaries.
    """
    nlp = _updating_pipeline(component)
    sentencizer = None if nlp is None else _sentencizer_before(nlp, component)
    docs = []
    for example in examples:
        doc, reference = example.predicted, example.reference
        if len(doc) and not has_sentences(doc):
            if sentencizer is not None:
                doc = sentencizer(doc.copy())
            elif has_sentences(reference) and reference.text == doc.text:
                doc = _with_sentences(doc, reference)
        docs.append(doc)
    return docs


def updating_examples(docs: Sequence[Doc], component: object) -> list[Example] | None:
    """Find the examples of Docs that are annotated in the course of an update.

    docs (sequence of Doc, (n_docs,)): Predicted Docs of the batch.
    component (object): The component that asks.
    RETURNS (list of Example, (n_docs,)): Their examples; None where no update of a pipeline that
        holds the component is running, or is not about these Docs.
    """
    frame = _updating_frame(component)
    if frame is None:
        return None
    found = {id(example.predicted): example for example in frame.f_locals["examples"]}
    examples = [found.get(id(doc)) for doc in docs]
    known = [example for example in examples if example is not None]
    return known if len(known) == len(docs) else None


def _with_sentences(doc: Doc, reference: Doc) -> Doc:
    """A copy of a Doc with the sentences of another one of the same text."""
    copy = doc.copy()
    starts = [sentence.start_char for sentence in reference.sents]
    # The tokens of the two may differ: a sentence starts with the token that holds its first
    # character, or else with the next.
    first = set(numpy.searchsorted(token_spans(doc)[:, 1], starts, side="right").tolist())
    for token in copy:
        token.is_sent_start = token.i in first
    return copy


def _sentencizer_before(nlp: Language, component: object) -> Callable[[Doc], Doc] | None:
    """The last component before this one that sets sentence boundaries without being trained."""
    found = None
    for name, other in nlp.pipeline:
        if other is component:
            break
        sets_sentences = "token.is_sent_start" in nlp.get_pipe_meta(name).assigns
        if sets_sentences and not getattr(other, "is_trainable", False):
            found = other
    return found


def _updating_pipeline(component: object) -> Language | None:
    """The pipeline whose `update` is running and holds the component."""
    frame = _updating_frame(component)
    return None if frame is None else frame.f_locals["self"]


def _updating_frame(component: object) -> FrameType | None:
    """The call of `update` that is running, if its pipeline holds the component.

    spaCy tells a component its pipeline when it is created and initialized, and a component that
    was sourced from another pipeline was neither in this one. Who is calling is the only thing that
    is always right.
    """
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_code is Language.update.__code__:
            pipeline = frame.f_locals["self"].pipeline
            return frame if any(pipe is component for _, pipe in pipeline) else None
    return None
