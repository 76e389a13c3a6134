"""A pipeline from a checkpoint, in one call."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..settings import TransformerSettings, WordpiecerSettings, defaults_of

if TYPE_CHECKING:
    from spacy.language import Language


def from_pretrained(name_or_path: str | Path, lang: str = "en", **settings: Any) -> Language:
    """Build a pipeline that runs a checkpoint: sentencizer, trf_wordpiecer, trf_tok2vec.

    name_or_path (str, Path): A folder, or a name on the Hugging Face hub.
    lang (str): Code of the language whose tokenizer spaCy uses.
    **settings: Fields of `WordpiecerSettings` and `TransformerSettings`.
    RETURNS (Language): The pipeline, initialized.
    RAISES (ValueError, TypeError): TB002, TB003, TB004, TB007, TB008, TB009, TB012, TB013, TB016,
        TB019, TB025, TB030, TB033, TB037, TB059, TB060; TB018 for an unknown setting; TB058 for a
        spaCy pipeline, which `spacy.load` loads.
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
    nlp.initialize()
    return nlp
