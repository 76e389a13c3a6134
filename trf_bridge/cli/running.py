"""Texts through pipelines, for the commands that draw them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ._shared import load_pipeline

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

NEEDS = ("trf_wordpiecer", "trf_tok2vec")


def load_transformer(name: str, *, output_attentions: bool = False) -> Language:
    """Load a pipeline up to its transformer.

    name (str): An installed package, or a folder.
    output_attentions (bool): Let the transformer keep its attentions, whatever the config says.
    RETURNS (Language): The pipeline.
    RAISES (ValueError): TB043, TB044; TB013 where the checkpoint gives no attentions.
    """
    nlp = load_pipeline(name, needs=NEEDS, only=True)
    silent = [
        pipe_name
        for pipe_name, pipe in nlp.pipeline
        if nlp.get_pipe_meta(pipe_name).factory == "trf_tok2vec"
        and not pipe.model.attrs["output_attentions"]
    ]
    if not (output_attentions and silent):
        return nlp
    # Whether a model can give its attentions is settled when it is loaded.
    import spacy
    from spacy.util import load_config

    folder = nlp.path
    names = load_config(folder / "config.cfg")["nlp"]["pipeline"]
    return spacy.load(
        folder,
        exclude=[pipe_name for pipe_name in names if pipe_name not in nlp.pipe_names],
        config={f"components.{pipe_name}.model.output_attentions": True for pipe_name in silent},
    )


def run_over(nlp: Language, like: Doc) -> Doc:
    """Run a pipeline over the tokens, and the sentences, of a Doc of another pipeline.

    nlp (Language): The pipeline.
    like (Doc): The Doc.
    RETURNS (Doc): A Doc with the same tokens.
    """
    from spacy.tokens import Doc

    starts: Sequence[bool] | None = None
    if like.has_annotation("SENT_START"):
        starts = [bool(token.is_sent_start) for token in like]
    words, spaces = [t.text for t in like], [bool(t.whitespace_) for t in like]
    return nlp(Doc(nlp.vocab, words=words, spaces=spaces, sent_starts=starts))
