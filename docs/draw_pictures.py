"""Draw the pictures of the page on pictures, from sentences that `en_trf_bert` has processed.

`make docs` installs the pipeline first.
"""

from __future__ import annotations

import spacy
from spacy.tokens import Doc

import trf_bridge

PIPELINE = "en_trf_bert"
SPLIT_WORD = "She isn't home."
COMPANY, FRUIT = "Apple shares rose on the news.", "Apple pie is delicious."


def alignment() -> str:
    """Draw the alignment of a sentence in which tokens share a wordpiece.

    RETURNS (str): HTML in a block of raw Markdown.
    """
    return _draw("alignment", *_process(SPLIT_WORD))


def attention() -> str:
    """Draw the attention within a sentence.

    RETURNS (str): HTML in a block of raw Markdown.
    """
    return _draw("attention", *_process(COMPANY))


def similarity() -> str:
    """Draw the similarity between the tokens of two sentences that have a word in common.

    RETURNS (str): HTML in a block of raw Markdown.
    """
    return _draw("similarity", *_process(COMPANY, FRUIT))


def _process(*texts: str) -> list[Doc]:
    """Load the pipeline with attention stored, and process texts."""
    config = {"components": {"trf_tok2vec": {"model": {"output_attentions": True}}}}
    return list(spacy.load(PIPELINE, config=config).pipe(texts))


def _draw(style: str, *docs: Doc) -> str:
    html = trf_bridge.render(list(docs), style=style, jupyter=False)
    return f"```{{raw}} html\n{html}\n```"
