"""The annotation of tokens in examples, as a head for tokens is trained on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy
from spacy.pipeline.spancat import spancat_score
from spacy.scorer import Scorer, get_ner_prf
from spacy.training import Example

from ... import errors
from ...types import Array
from .label_schemes import kind_of, tags_of_spans

# What a component writes: doc.ents, token.tag_, or a group in doc.spans.
ANNOTATE = ("ents", "tags", "spans")
SCORE = "token_classifier_score"


def gold_tags(example: Example, annotate: str, spans_key: str) -> Sequence[str | None]:
    """Read the annotation of each predicted token.

    example (Example): The example.
    annotate (str): One of ANNOTATE.
    spans_key (str): Key of the group in doc.spans.
    RETURNS (sequence of str, (n_tokens,)): Its tag, or spaCy's entity tag, such as "U-PER"; None or
        "-" where nothing is annotated.
    """
    if annotate == "tags":
        return [tag or None for tag in example.get_aligned("TAG", as_string=True)]
    if annotate == "ents":
        tags: Sequence[str | None] = example.get_aligned_ner()
        return tags
    spans = example.reference.spans
    if spans_key not in spans:
        return [None] * len(example.predicted)
    aligned = example.get_aligned_spans_y2x(spans[spans_key], allow_overlap=True)
    return tags_of_spans(len(example.predicted), aligned)


def find_outputs(
    gold: Iterable[str | None], ids: Mapping[str, int], scheme: str, name: str
) -> Array:
    """Find the right output for each token.

    gold (iterable of str, (n_tokens,)): Labels; None where nothing is annotated.
    ids (dict): The output for each label.
    scheme (str): The scheme of the labels; "none" for tags.
    name (str): Name of the component, for the error.
    RETURNS (int64, (n_tokens,)): The outputs; -1 where nothing is annotated.
    RAISES (ValueError): TB026 for a label, or a type of entities, without an output.
    """
    gold = list(gold)
    kinds = {kind_of(label, scheme) for label in ids}
    unknown = {kind for label in gold if label and (kind := kind_of(label, scheme)) not in kinds}
    if unknown:
        got, expected = (", ".join(sorted(names)) for names in (unknown, kinds))
        raise ValueError(errors.TB026.format(name=name, got=got, expected=expected))
    return numpy.asarray([ids.get(label or "", -1) for label in gold], dtype="int64")


def names_in(examples: Iterable[Example], annotate: str, spans_key: str) -> list[str]:
    """List the tags, or the types of entities or spans, in the references of examples.

    examples (iterable of Example): The examples.
    annotate (str): One of ANNOTATE.
    spans_key (str): Key of the group in doc.spans.
    RETURNS (list of str): The names, in the order in which they occur.
    """
    found: dict[str, None] = {}
    for example in examples:
        doc = example.reference
        if annotate == "tags":
            found.update(dict.fromkeys(token.tag_ for token in doc if token.tag_))
        else:
            spans = doc.ents if annotate == "ents" else doc.spans.get(spans_key, [])
            found.update(dict.fromkeys(span.label_ for span in spans))
    return list(found)


def token_classifier_score(examples: Iterable[Example], **settings: Any) -> dict[str, Any]:
    """Score the entities, tags or spans of examples with spaCy's scorer.

    examples (iterable of Example): Predictions and references.
    **settings: The settings of the component: annotate and spans_key are read.
    RETURNS (dict): The scores; `token_classifier_score` is the F-score of the entities or spans, or
        the accuracy of the tags.
    """
    examples = list(examples)
    scores: dict[str, Any]
    if settings["annotate"] == "tags":
        scores = Scorer.score_token_attr(examples, "tag")
        return {**scores, SCORE: scores["tag_acc"]}
    if settings["annotate"] == "ents":
        scores = get_ner_prf(examples)
        return {**scores, SCORE: scores["ents_f"]}
    key = settings["spans_key"]
    scores = spancat_score(examples, spans_key=key)
    return {**scores, SCORE: scores[f"spans_{key}_f"]}


def make_token_classifier_scorer() -> Callable[..., dict[str, Any]]:
    """Create the scorer of trf_token_classifier, for a config."""
    return token_classifier_score
