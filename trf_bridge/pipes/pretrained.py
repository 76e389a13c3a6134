"""A ready pipeline from a checkpoint, in one call."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spacy.language import Language

# Which component takes which setting; the rest of the names are those of `TransformerModel`.
SHARED = ("revision", "trust_remote_code")
WORDPIECER = (
    "sentences",
    "max_length",
    "overflow",
    "stride",
    "window_rows",
    "separator",
    "split_special_tokens",
)


def from_pretrained(name_or_path: str | Path, lang: str = "en", **settings: Any) -> Language:
    """Make a pipeline that runs a checkpoint: sentencizer, trf_wordpiecer, trf_tok2vec.

    name_or_path (str, Path): A folder, or a name on the Hugging Face hub.
    lang (str): Code of the language whose tokenizer spaCy is to use.
    **settings: Config fields of the components: revision, trust_remote_code, sentences, max_length,
        overflow, stride, window_rows, separator, split_special_tokens, words_per_batch,
        output_hidden_states, output_attentions, precision, freeze, layer_lr_decay,
        gradient_checkpointing.
    RETURNS (Language): The pipeline, initialized.
    RAISES (ValueError, TypeError): TB002, TB003, TB004, TB007, TB008, TB009, TB012, TB013, TB016,
        TB033, TB037; TB018 for a setting that there isn't.
    """
    import spacy

    from .. import errors
    from ..wrappers.models.layer import TransformerModel

    trf_name = str(name_or_path)
    known = {*(TransformerModel.__kwdefaults__ or {}), *WORDPIECER}
    unknown = sorted(set(settings) - known)
    if unknown:
        raise TypeError(
            errors.TB018.format(got=", ".join(unknown), expected=", ".join(sorted(known)))
        )
    shared = {name: settings[name] for name in SHARED if name in settings}
    cutting = {name: value for name, value in settings.items() if name in WORDPIECER}
    running = {name: value for name, value in settings.items() if name not in WORDPIECER}
    nlp = spacy.blank(lang)
    nlp.add_pipe("sentencizer")
    nlp.add_pipe("trf_wordpiecer", config={"trf_name": trf_name, **shared, **cutting})
    nlp.add_pipe("trf_tok2vec", config={"model": {"trf_name": trf_name, **running}})
    nlp.initialize()
    return nlp
