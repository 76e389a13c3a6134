"""The component that sets sentence boundaries by rules: spaCy's sentencizer, on arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from spacy.language import Language
from spacy.pipeline import Sentencizer
from spacy.tokens import Doc

from .doc.sentences import DEFAULT_RULES, SentenceRules

# spaCy's own loop is faster for fewer tokens.
FEW_TOKENS = 80


@Language.factory(
    "trf_sentencizer",
    assigns=["token.is_sent_start", "doc.sents"],
    default_config={
        "punct_chars": None,
        "overwrite": False,
        "scorer": {"@scorers": "spacy.senter_scorer.v1"},
    },
    default_score_weights={"sents_f": 1.0, "sents_p": 0.0, "sents_r": 0.0},
)
def make_trf_sentencizer(
    nlp: Language,
    name: str,
    punct_chars: list[str] | None,
    overwrite: bool,
    scorer: Callable[..., Any] | None,
) -> TrfSentencizer:
    """Create the component for a pipeline, with the settings of spaCy's sentencizer.

    nlp (Language): The pipeline.
    name (str): Name of the component.
    punct_chars (list of str): The texts of tokens that end a sentence; None for spaCy's defaults.
    overwrite (bool): Whether to replace boundaries that are set.
    scorer (callable): The scoring method.
    RETURNS (TrfSentencizer): The component.
    """
    return TrfSentencizer(name, punct_chars=punct_chars, overwrite=overwrite, scorer=scorer)


class TrfSentencizer(Sentencizer):
    """Sets the boundaries that spaCy's sentencizer sets, without an object for each token.

    Everything else is inherited: settings, files, scores.
    """

    _rules = DEFAULT_RULES

    def predict(self, docs: Iterable[Doc]) -> list[list[bool]]:
        """Find the first tokens of sentences without changing the Docs.

        docs (iterable of Doc, (n_docs,)): The Docs.
        RETURNS (list of list of bool, (n_docs,)): For each token whether it starts a sentence.
        """
        docs = list(docs)
        if sum(len(doc) for doc in docs) < FEW_TOKENS:
            guesses: list[list[bool]] = super().predict(docs)
            return guesses
        # Users can change the characters, as they can with spaCy's sentencizer.
        if self._rules.punct_chars != self.punct_chars:
            self._rules = SentenceRules(self.punct_chars)
        return self._rules.predict(docs)


def has_default_rules(component: object) -> bool:
    """Return whether a component is a sentencizer with the default rules, spaCy's or this one."""
    punct_chars = getattr(component, "punct_chars", None)
    is_sentencizer = type(component) in (Sentencizer, TrfSentencizer)
    return is_sentencizer and punct_chars == DEFAULT_RULES.punct_chars
