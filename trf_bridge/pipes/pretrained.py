"""A pipeline from a checkpoint, in one call."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..settings import CheckpointSettings, TransformerSettings, WordpiecerSettings, defaults_of

if TYPE_CHECKING:
    from spacy.language import Language

    from ..wrappers.models.trained_heads import TrainedHead


def from_pretrained(
    name_or_path: str | Path,
    lang: str = "en",
    *,
    head: bool | dict[str, Any] = True,
    **settings: Any,
) -> Language:
    """Build a pipeline that runs a checkpoint: sentencizer, trf_wordpiecer, trf_tok2vec.

    A head for token classification becomes a trf_token_classifier, and one for sequence
    classification a trf_textcat, with the weights and the labels of the checkpoint. The model then
    reads each Doc as one input for the latter, as in its training, unless `sentences` is given.

    name_or_path (str, Path): A folder, or a name on the Hugging Face hub.
    lang (str): Code of the language whose tokenizer spaCy uses.
    head (bool, dict): Whether to add a component for the head of the checkpoint; or settings of
        that component, such as `{"aggregation": "mean"}`.
    **settings: Fields of `WordpiecerSettings` and `TransformerSettings`.
    RETURNS (Language): The pipeline, initialized.
    RAISES (ValueError, TypeError): TB002, TB003, TB004, TB007, TB008, TB009, TB012, TB013, TB016,
        TB019, TB025, TB030, TB033, TB037, TB059, TB060; TB018 for an unknown setting; TB022, TB061
        and TB062 for a head that can't be used; TB058 for a spaCy pipeline, which `spacy.load`
        loads.
    WARNS: TB110 for a head that is dropped.
    """
    import spacy

    from .. import errors

    known = {**defaults_of(WordpiecerSettings), **defaults_of(TransformerSettings)}
    del known["trf_name"]  # the first argument
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise TypeError(
            errors.TB018.format(got=", ".join(unknown), expected=", ".join(sorted(known)))
        )
    given = {**settings, "trf_name": str(name_or_path)}
    wordpiecer, transformer = (
        {name: given[name] for name in defaults_of(group) if name in given}
        for group in (WordpiecerSettings, TransformerSettings)
    )
    nlp = spacy.blank(lang)
    nlp.add_pipe("trf_sentencizer", name="sentencizer")
    nlp.add_pipe("trf_wordpiecer", config=wordpiecer)
    nlp.add_pipe("trf_tok2vec", config={"model": transformer})
    trained = _load_head(given) if head is not False and given["trf_name"] else None
    if trained is not None and trained.task == "texts":
        whole = {"sentences": "doc", **wordpiecer}
        nlp.replace_pipe("trf_wordpiecer", "trf_wordpiecer", config=whole)
    nlp.initialize()
    if trained is not None:
        _add_head(nlp, trained, head if isinstance(head, dict) else {})
    return nlp


def _load_head(given: dict[str, Any]) -> TrainedHead | None:
    """Load the head of a checkpoint, given all settings."""
    from ..wrappers.models.trained_heads import load_trained_head

    names = defaults_of(CheckpointSettings)
    return load_trained_head(**{name: given[name] for name in names if name in given})


def _add_head(nlp: Language, head: TrainedHead, settings: dict[str, Any]) -> None:
    """Add the component for a head, with its labels and weights, given its other settings."""
    from .heads.checkpoint_weights import copy_weights
    from .heads.label_schemes import OUTSIDE

    model: dict[str, Any] = {"activation": head.activation}
    if head.activation is not None:
        model["hidden_width"] = len(head.layers[0][1])
    if head.task == "texts":
        factory, architecture = "trf_textcat", "trf_bridge.TextCatPretrainedHead.v1"
        model |= {"rows": head.rows, "output": head.output}
    else:
        factory, architecture = "trf_token_classifier", "trf_bridge.TokenClassifierHead.v1"
        # Without an outside label, the labels are parts of speech or the like.
        settings = {"annotate": "ents" if OUTSIDE in head.labels else "tags", **settings}
    model["@architectures"] = architecture
    component: Any = nlp.add_pipe(factory, config={**settings, "model": model})
    for label in head.labels:
        component.add_label(label)
    copy_weights(component.model, head.layers)
    if head.task == "tokens":
        component.find_label_scheme()
