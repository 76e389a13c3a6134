"""Token classification on top of the transformer: entities, tags, or a group of spans."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, TypeAlias

import numpy
from spacy.language import Language
from spacy.pipeline import TrainablePipe
from spacy.tokens import Doc, Span, SpanGroup
from spacy.training import Example, validate_get_examples
from spacy.vocab import Vocab
from thinc.api import Config, Model, Optimizer, Ragged

from ..settings import check_choice
from ..types import Array
from .doc.attributes import install_extensions
from .doc.records import set_ent_scores
from .heads.aggregation import AGGREGATIONS, aggregate
from .heads.annotations import (
    ANNOTATE,
    SCORE,
    find_outputs,
    gold_tags,
    names_in,
    token_classifier_score,
)
from .heads.checkpoint_weights import CheckedLabels, kept_weights
from .heads.label_schemes import (
    OUTSIDE,
    SCHEMES,
    encode_entities,
    find_entities,
    find_scheme,
    make_labels,
)
from .heads.listener import Listener
from .heads.sample import end_samples
from .heads.token_rows import own_pieces, texts_of_tokens
from .streams import annotate_stream

DEFAULT_MODEL = """
[model]
@architectures = "trf_bridge.TokenClassifierHead.v1"
nO = null
"""

# For each Doc: the label of each token, -1 without wordpieces, and its probability.
Predictions: TypeAlias = list[tuple[Array, Array]]


@Language.factory(
    "trf_token_classifier",
    assigns=["doc.ents", "doc.spans", "token.tag", "doc._.trf_ent_scores"],
    requires=["doc._.trf_last_hidden_state"],
    default_config={
        "model": Config().from_str(DEFAULT_MODEL)["model"],
        "aggregation": "first",
        "annotate": "ents",
        "spans_key": "sc",
        "scheme": "auto",
        "scorer": {"@scorers": "trf_bridge.token_classifier_scorer.v1"},
    },
    default_score_weights={
        SCORE: 1.0,
        **dict.fromkeys(["ents_f", "ents_p", "ents_r", "ents_per_type", "tag_acc"]),
    },
)
def make_trf_token_classifier(
    nlp: Language,
    name: str,
    model: Model[Any, Any],
    aggregation: str,
    annotate: str,
    spans_key: str,
    scheme: str,
    scorer: Callable[..., dict[str, Any]] | None,
) -> TrfTokenClassifier:
    """Create the component for a pipeline.

    nlp (Language): The pipeline.
    name (str): Name of the component.
    model (Model): Docs -> scores of each token's own wordpieces; see `TokenClassifierHead`.
    aggregation (str): Whose scores a token gets: those of its "first" wordpiece, of the one with
        the highest probability ("max"), or the "mean" of their probabilities.
    annotate (str): What is written: doc.ents ("ents"), token.tag_ ("tags"), or doc.spans ("spans").
    spans_key (str): Key of the group in doc.spans.
    scheme (str): How labels describe entities: "iob1", "iob2", "bilou", "bioes", "none" for types
        without a prefix, or "auto" to find it from the labels.
    scorer (callable): Scores examples.
    RETURNS (TrfTokenClassifier): The component.
    RAISES (ValueError, TypeError): TB008.
    """
    vectors = model.get_ref("vectors") if model.has_ref("vectors") else None
    if isinstance(vectors, Listener):
        vectors.component = name  # for errors, if there is no transformer to connect to
    return TrfTokenClassifier(
        nlp.vocab,
        model,
        name,
        aggregation=aggregation,
        annotate=annotate,
        spans_key=spans_key,
        scheme=scheme,
        scorer=scorer,
    )


class TrfTokenClassifier(CheckedLabels, TrainablePipe):
    """Assigns one of several labels to each token, from its own wordpieces."""

    def __init__(
        self,
        vocab: Vocab,
        model: Model[Any, Any],
        name: str = "trf_token_classifier",
        *,
        aggregation: str = "first",
        annotate: str = "ents",
        spans_key: str = "sc",
        scheme: str = "auto",
        scorer: Callable[..., dict[str, Any]] | None = token_classifier_score,
    ) -> None:
        """Create the component; see `make_trf_token_classifier` for the arguments."""
        check_choice("aggregation", aggregation, AGGREGATIONS)
        check_choice("annotate", annotate, ANNOTATE)
        check_choice("scheme", scheme, SCHEMES)
        self.vocab, self.model, self.name = vocab, model, name
        self.aggregation = aggregation
        self.annotate = annotate
        self.spans_key = spans_key
        self.scheme = scheme
        self.scorer = scorer
        self.cfg: dict[str, Any] = {"labels": []}
        install_extensions()

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the labels, in the order of the model's outputs.

        RETURNS (tuple of str): The labels, such as "O", "B-PER" and "I-PER".
        """
        return tuple(self.cfg["labels"])

    def find_label_scheme(self) -> str:
        """Find the scheme of the labels.

        RETURNS (str): The setting, or what "auto" found; "none" if tags are written.
        RAISES (ValueError): TB061 if the labels are not those of entities.
        """
        if self.annotate == "tags":
            return "none"
        return find_scheme(self.labels, self.scheme, self.name)

    @property
    def label_data(self) -> list[str]:
        """Return what `initialize` takes as labels.

        RETURNS (list of str): The labels.
        """
        return list(self.labels)

    def add_label(self, label: str) -> int:
        """Add a label, as the model has it, such as "B-PER".

        label (str): The label.
        RETURNS (int): 1, or 0 if the component has the label already.
        RAISES (ValueError): TB063 if the model has its weights already.
        """
        if label in self.labels:
            return 0
        self.check_new_label(label)
        self.cfg["labels"].append(label)
        self.vocab.strings.add(label)
        return 1

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Label the tokens of a stream of Docs. Batches are smaller where Docs are long.

        stream (iterable of Doc): Docs that have been through the transformer; changed.
        batch_size (int): The maximum number of Docs in a batch.
        YIELDS (Doc): The same Docs, in order.
        """
        return annotate_stream(self, stream, batch_size)

    def predict(self, docs: Iterable[Doc]) -> Predictions:
        """Find the label of each token without changing the Docs.

        docs (iterable of Doc): Docs that have been through the transformer.
        RETURNS (list of (int64 (n_tokens,), float32 (n_tokens,))): Labels and probabilities of each
            Doc's tokens; -1 and 0 for tokens without wordpieces.
        RAISES (ValueError): TB021, TB063.
        """
        docs = list(docs)
        self.check_weights()
        lengths = [own_pieces(doc)[1] for doc in docs]
        joined = numpy.concatenate([numpy.zeros(0, dtype="int32"), *lengths])
        held = numpy.flatnonzero(joined)
        labels = numpy.full(len(joined), -1)
        probabilities = numpy.zeros(len(joined), dtype="float32")
        scores = self.model.predict(docs).dataXd
        if len(held):
            ops = self.model.ops
            logs = ops.to_numpy(aggregate(ops, scores, joined[held], self.aggregation)[0])
            labels[held] = logs.argmax(axis=1)
            probabilities[held] = numpy.exp(logs.max(axis=1))
        ends = numpy.cumsum([len(doc) for doc in docs])[:-1]
        return list(zip(numpy.split(labels, ends), numpy.split(probabilities, ends), strict=True))[
            : len(docs)
        ]

    def set_annotations(self, docs: Iterable[Doc], predictions: Predictions) -> None:
        """Write the entities, tags or spans, and their scores.

        docs (iterable of Doc): The Docs; changed.
        predictions: What `predict` returned for them.
        RAISES (ValueError): TB061 if the labels are not those of entities.
        """
        write = self._set_tags if self.annotate == "tags" else self._set_spans
        for doc, (labels, probabilities) in zip(docs, predictions, strict=True):
            write(doc, labels.tolist(), probabilities)

    def _set_tags(self, doc: Doc, labels: list[int], probabilities: Array) -> None:
        names = self.labels
        for token, label in zip(doc, labels, strict=True):
            if label >= 0:
                token.tag_ = names[label]
        set_ent_scores(doc, probabilities.tolist())

    def _set_spans(self, doc: Doc, labels: list[int], probabilities: Array) -> None:
        scheme = self.find_label_scheme()
        names: list[str | None] = [
            self.labels[label] if label >= 0 else None if token.is_space else OUTSIDE
            for token, label in zip(doc, labels, strict=True)
        ]
        entities = find_entities(names, texts_of_tokens(doc, *own_pieces(doc)).tolist(), scheme)
        spans = [Span(doc, entity.start, entity.end, label=entity.kind) for entity in entities]
        scores = [float(probabilities[entity.tokens].mean()) for entity in entities]
        if self.annotate == "ents":
            doc.set_ents(spans)
        else:
            attrs = {"scores": numpy.asarray(scores, dtype="float32")}
            doc.spans[self.spans_key] = SpanGroup(
                doc, name=self.spans_key, spans=spans, attrs=attrs
            )
        set_ent_scores(doc, scores)

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Learn from a batch, and send the gradient to the transformer.

        examples (iterable of Example): The batch; the predicted Docs have been through the
            transformer.
        drop (float): Rate of dropout before the layers.
        sgd (Optimizer): Makes a step.
        losses (dict): The loss is added to it under the name of the component.
        RETURNS (dict): The losses.
        RAISES (ValueError): TB021, TB024, TB026, TB061, TB063.
        """
        self.check_weights()
        examples = list(examples)
        updated: dict[str, float] = super().update(examples, drop=drop, sgd=sgd, losses=losses)
        return updated

    def get_loss(self, examples: Iterable[Example], scores: Ragged) -> tuple[float, Ragged]:
        """Compute the cross-entropy of the tokens' probabilities, summed over the batch.

        Tokens without annotation or without wordpieces have no gradient.

        examples (iterable of Example): The batch.
        scores (Ragged): Scores of each token's own wordpieces.
        RETURNS (float, Ragged): The loss, and its gradient with respect to the scores.
        RAISES (ValueError): TB026 for a label that the component does not have; TB061.
        """
        examples = list(examples)
        lengths = numpy.concatenate([own_pieces(example.predicted)[1] for example in examples])
        held = numpy.flatnonzero(lengths)
        ids = {label: i for i, label in enumerate(self.labels)}
        scheme = self.find_label_scheme()
        outputs = []
        for example in examples:
            gold = gold_tags(example, self.annotate, self.spans_key)
            gold = gold if self.annotate == "tags" else encode_entities(gold, scheme)
            outputs.append(find_outputs(gold, ids, scheme, self.name))
        targets = numpy.concatenate(outputs)[held]
        rows = numpy.flatnonzero(targets >= 0)
        ops = self.model.ops
        logs, backprop = aggregate(ops, scores.dataXd, lengths[held], self.aggregation)
        d_logs = ops.xp.zeros_like(logs)
        d_logs[rows, targets[rows]] = -1.0
        loss = -float(logs[rows, targets[rows]].sum())
        return loss, Ragged(backprop(d_logs), scores.lengths)

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        labels: Iterable[str] | None = None,
    ) -> None:
        """Read the labels from the data, and draw weights. Those of a checkpoint are preserved.

        get_examples (callable): Returns the training data.
        nlp (Language): Not used.
        labels (iterable of str): The labels; None for those that were added, or else those in the
            data.
        RAISES (ValueError): TB020, TB061, TB063, and spaCy's own for data without labels.
        """
        validate_get_examples(get_examples, "TrfTokenClassifier.initialize")
        if labels is None:
            names = names_in([] if self.labels else get_examples(), self.annotate, self.spans_key)
            is_tag = self.annotate == "tags" or not names
            labels = names if is_tag else make_labels(names, self.scheme)
        for label in labels:
            self.add_label(label)
        self._require_labels()
        self.find_label_scheme()
        with kept_weights(self.model):
            self.model.get_ref("output_layer").set_dim("nO", len(self.labels), force=True)
            self.model.initialize(X=[example.reference for example in islice(get_examples(), 10)])
        end_samples(self.model)

    def score(self, examples: Iterable[Example], **kwargs: Any) -> dict[str, Any]:
        """Score examples with the scorer of the config.

        examples (iterable of Example): Predictions and references.
        **kwargs: Settings for the scorer.
        RETURNS (dict): The scores.
        """
        settings = {"annotate": self.annotate, "spans_key": self.spans_key, **kwargs}
        scores: dict[str, Any] = super().score(examples, **settings)
        return scores
