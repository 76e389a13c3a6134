"""Text classification on top of the transformer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy
from spacy.language import Language
from spacy.pipeline import TextCategorizer
from spacy.pipeline.textcat_multilabel import MultiLabel_TextCategorizer
from spacy.scorer import Scorer
from spacy.tokens import Doc
from spacy.training import Example
from spacy.vocab import Vocab
from thinc.api import Config, Model

from .. import errors
from ..wrappers.models.layer import get_shim
from .heads.checkpoint_weights import CheckedCategories, kept_weights
from .heads.listener import Listener
from .heads.sample import end_samples
from .heads.sentence_vectors import CLASS, POOLER, SentenceVectors
from .streams import annotate_stream
from .tok2vec import TrfTok2Vec
from .wordpiecer import TrfWordpiecer

DEFAULT_MODEL = """
[model]
@architectures = "trf_bridge.TextCatClassVector.v1"
exclusive_classes = true
nO = null
"""


@Language.factory(
    "trf_textcat",
    assigns=["doc.cats"],
    requires=["doc._.trf_last_hidden_state"],
    default_config={
        "model": Config().from_str(DEFAULT_MODEL)["model"],
        "threshold": 0.5,
        "scorer": {"@scorers": "trf_bridge.textcat_scorer.v1"},
    },
    default_score_weights={
        "cats_score": 1.0,
        "cats_score_desc": None,
        "cats_micro_p": None,
        "cats_micro_r": None,
        "cats_micro_f": None,
        "cats_macro_p": None,
        "cats_macro_r": None,
        "cats_macro_f": None,
        "cats_macro_auc": None,
        "cats_f_per_type": None,
    },
)
def make_trf_textcat(
    nlp: Language,
    name: str,
    model: Model[Any, Any],
    threshold: float,
    scorer: Callable[..., dict[str, Any]] | None,
) -> TextCategorizer:
    """Create the component for a pipeline.

    nlp (Language): The pipeline.
    name (str): Name of the component.
    model (Model): Docs -> a score per label; see `TextCatClassVector` and the other architectures.
    threshold (float): The score from which a label is positive, if a Doc can have several.
    scorer (callable): Scores examples.
    RETURNS (TextCategorizer): A component for exclusive classes, for several labels, or for
        numbers, depending on the model.
    RAISES (ValueError): TB022 if the transformer does not have the output that the model reads.
    """
    check_outputs(nlp, model, name)
    vectors = model.get_ref("vectors") if model.has_ref("vectors") else None
    if isinstance(vectors, Listener):
        vectors.component = name  # for errors, if there is no transformer to connect to
    if model.attrs.get("regression"):
        return TrfTextRegressor(nlp.vocab, model, name, threshold=threshold, scorer=scorer)
    if model.attrs["multi_label"]:
        return TrfMultiLabelTextCategorizer(
            nlp.vocab, model, name, threshold=threshold, scorer=scorer
        )
    return TrfTextCategorizer(nlp.vocab, model, name, threshold=threshold, scorer=scorer)


def textcat_score(examples: Iterable[Example], **settings: Any) -> dict[str, Any]:
    """Score the categories of examples with spaCy's scorer.

    examples (iterable of Example): Predictions and references.
    **settings: The settings of the component, labels and multi_label among them.
    RETURNS (dict): The scores.
    """
    if settings.get("regression"):
        return score_numbers(examples, settings["labels"])
    scores: dict[str, Any] = Scorer.score_cats(examples, "cats", **settings)
    return scores


def score_numbers(examples: Iterable[Example], labels: Iterable[str]) -> dict[str, Any]:
    """Score the numbers that a regression predicts.

    examples (iterable of Example): Predictions and references.
    labels (iterable of str): The names of the numbers.
    RETURNS (dict): `cats_score`, the mean of R² over the labels, the share of the variance that is
        predicted; None if no label has different values in two examples.
    """
    found = []
    pairs = [(example.predicted.cats, example.reference.cats) for example in examples]
    for label in labels:
        known = [(x[label], y[label]) for x, y in pairs if label in x and label in y]
        predicted, right = numpy.asarray(known, dtype="float64").reshape(-1, 2).T
        spread = float(((right - right.mean()) ** 2).sum()) if len(right) else 0.0
        if spread:
            found.append(1 - float(((right - predicted) ** 2).sum()) / spread)
    score = sum(found) / len(found) if found else None
    return {"cats_score": score, "cats_score_desc": "R²"}


def make_textcat_scorer() -> Callable[..., dict[str, Any]]:
    """Create the scorer of trf_textcat, for a config."""
    return textcat_score


class TrfTextCategorizer(CheckedCategories, TextCategorizer):
    """Assigns one of several labels to a Doc, from a vector for each sentence."""

    def __init__(
        self,
        vocab: Vocab,
        model: Model[Any, Any],
        name: str = "trf_textcat",
        *,
        threshold: float = 0.5,
        scorer: Callable[..., dict[str, Any]] | None = textcat_score,
    ) -> None:
        """Create the component; see `make_trf_textcat` for the arguments."""
        super().__init__(vocab, model, name, threshold=threshold, scorer=scorer)
        self.cfg["multi_label"] = False

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Classify a stream of Docs. Batches are smaller where Docs are long.

        stream (iterable of Doc): Docs that have been through the transformer; changed.
        batch_size (int): The maximum number of Docs in a batch.
        YIELDS (Doc): The same Docs, in order.
        """
        return annotate_stream(self, stream, batch_size)

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        labels: Iterable[str] | None = None,
        positive_label: str | None = None,
    ) -> None:
        """Read labels and dimensions from the data; see spaCy's `TextCategorizer.initialize`.

        get_examples (callable): Returns the training data.
        nlp (Language): The pipeline.
        labels (iterable of str): The labels; None to read them from the data.
        positive_label (str): Of two labels, the one to compute scores for.
        RAISES (ValueError): TB020, TB022, TB063; TB064 for fewer than two labels, or an example
            with two right ones.
        """
        check_outputs(nlp, self.model, self.name)
        labels = self._check_labels(get_examples, labels)
        with kept_weights(self.model):
            super().initialize(get_examples, nlp=nlp, labels=labels, positive_label=positive_label)
        end_samples(self.model)

    def _check_labels(
        self, get_examples: Callable[[], Iterable[Example]], labels: Iterable[str] | None
    ) -> list[str]:
        """Return the labels, of which exclusive classes need two."""
        if labels is None:
            labels = (label for example in get_examples() for label in example.reference.cats)
        found = list(dict.fromkeys([*self.labels, *labels]))
        if len(found) < 2:
            got = f"{len(found)} label" + "s" * (not found)
            raise ValueError(errors.TB064.format(name=self.name, got=got))
        return found

    def _validate_categories(self, examples: Iterable[Example]) -> None:
        """Check that every text has at most one right label."""
        examples = list(examples)
        for example in examples:
            right = [label for label, value in example.reference.cats.items() if value == 1.0]
            if len(right) > 1:
                got = f"an example with {', '.join(right)}"
                raise ValueError(errors.TB064.format(name=self.name, got=got))
        super()._validate_categories(examples)

    def _examples_to_truth(self, examples: Iterable[Example]) -> tuple[Any, Any]:
        """Give no gradient to examples without a positive label, which would lower all scores."""
        examples = list(examples)
        for example in examples:
            unknown = [
                label
                for label, value in example.reference.cats.items()
                if value == 1.0 and label not in self.labels
            ]
            if unknown:
                message = errors.TB026.format(
                    name=self.name, got=", ".join(unknown), expected=", ".join(self.labels)
                )
                raise ValueError(message)
        truths, not_missing = super()._examples_to_truth(examples)
        labelled = numpy.asarray(
            [
                any(example.reference.cats.get(label) for label in self.labels)
                for example in examples
            ],
            dtype="float32",
        )
        return truths, not_missing * labelled.reshape(-1, 1)


class TrfMultiLabelTextCategorizer(CheckedCategories, MultiLabel_TextCategorizer):
    """Assigns any number of labels to a Doc, from a vector for each sentence."""

    def __init__(
        self,
        vocab: Vocab,
        model: Model[Any, Any],
        name: str = "trf_textcat",
        *,
        threshold: float = 0.5,
        scorer: Callable[..., dict[str, Any]] | None = textcat_score,
    ) -> None:
        """Create the component; see `make_trf_textcat` for the arguments."""
        super().__init__(vocab, model, name, threshold=threshold, scorer=scorer)
        self.cfg["multi_label"] = True

    def initialize(  # type: ignore[override]  # as in spaCy's own class, no positive label
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        labels: Iterable[str] | None = None,
    ) -> None:
        """Read labels and dimensions from the data, as `TrfTextCategorizer.initialize` does.

        get_examples (callable): Returns the training data.
        nlp (Language): The pipeline.
        labels (iterable of str): The labels; None to read them from the data.
        RAISES (ValueError): TB020, TB022, TB063, and spaCy's own for data without labels.
        """
        check_outputs(nlp, self.model, self.name)
        with kept_weights(self.model):
            super().initialize(get_examples, nlp=nlp, labels=labels)
        end_samples(self.model)


class TrfTextRegressor(TrfMultiLabelTextCategorizer):
    """Assigns numbers to a Doc, one for each label, such as a degree of similarity."""

    def __init__(
        self,
        vocab: Vocab,
        model: Model[Any, Any],
        name: str = "trf_textcat",
        *,
        threshold: float = 0.5,
        scorer: Callable[..., dict[str, Any]] | None = textcat_score,
    ) -> None:
        """Create the component; see `make_trf_textcat` for the arguments."""
        super().__init__(vocab, model, name, threshold=threshold, scorer=scorer)
        self.cfg["regression"] = True

    def _validate_categories(self, examples: Iterable[Example]) -> None:
        """Accept any numbers."""


def check_outputs(nlp: Language | None, model: Model[Any, Any], name: str) -> None:
    """Check that the transformer and the tokenizer of a pipeline have what an architecture reads.

    nlp (Language): The pipeline; components that are not loaded yet are not checked.
    model (Model): The architecture.
    name (str): Name of its component.
    RAISES (ValueError): TB022.
    """
    vectors = model.get_ref("vectors") if model.has_ref("vectors") else None
    pooling = vectors.pooling if isinstance(vectors, SentenceVectors) else None
    for _, component in nlp.components if nlp is not None else []:
        missing = None
        if pooling == POOLER and isinstance(component, TrfTok2Vec):
            traits = get_shim(component.model).traits
            missing = "pooler output" if traits is not None and not traits.pooler_width else None
            trf_name = component.model.attrs["trf_name"]
        if pooling == CLASS and isinstance(component, TrfWordpiecer):
            has_class = not component.loaded or component.tokenizer.class_id is not None
            missing = None if has_class else "vector of a class token"
            trf_name = component.trf_name
        if missing is not None:
            message = errors.TB022.format(name=name, output=missing, trf_name=trf_name)
            raise ValueError(message)
