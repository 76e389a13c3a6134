"""Texts through pipelines, for the commands that draw them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._shared import find_components, find_pipeline, load_pipeline, read_components

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
    if not output_attentions:
        return load_pipeline(name, needs=NEEDS, only=True)
    import spacy

    folder = find_pipeline(name)
    needed = find_components(folder, name, NEEDS)
    names = list(read_components(folder))
    last = max(names.index(component) for component in needed.values())
    config = {"components": {needed["trf_tok2vec"]: {"model": {"output_attentions": True}}}}
    return spacy.load(folder, exclude=names[last + 1 :], config=config)


def run_over(nlp: Language, like: Doc) -> Doc:
    """Run a pipeline over the tokens, and the sentences, of a Doc of another pipeline.

    nlp (Language): The pipeline.
    like (Doc): The Doc.
    RETURNS (Doc): A Doc with the same tokens.
    """
    from spacy.tokens import Doc

    starts: list[bool | int | None] | None = None
    if like.has_annotation("SENT_START"):
        starts = [bool(token.is_sent_start) for token in like]
    words, spaces = [t.text for t in like], [bool(t.whitespace_) for t in like]
    return nlp(Doc(nlp.vocab, words=words, spaces=spaces, sent_starts=starts))
