"""The pictures of the page on pictures: `en_trf_bert` reads a few sentences, and the package draws
them. `make docs` installs the pipeline first."""

from __future__ import annotations

import spacy
from spacy.tokens import Doc

import trf_bridge

PIPELINE = "en_trf_bert"
HERE = "She isn't home."
COMPANY, FRUIT = "Apple shares rose on the news.", "Apple pie is delicious."


def alignment() -> str:
    """RETURNS (str): A sentence with its wordpieces, as HTML."""
    return _figure("alignment", *_read(HERE))


def attention() -> str:
    """RETURNS (str): What the tokens of a sentence look at, as HTML."""
    return _figure("attention", *_read(COMPANY))


def similarity() -> str:
    """RETURNS (str): Two sentences that share a word, as HTML."""
    return _figure("similarity", *_read(COMPANY, FRUIT))


def _read(*texts: str) -> list[Doc]:
    config = {"components": {"trf_tok2vec": {"model": {"output_attentions": True}}}}
    return list(spacy.load(PIPELINE, config=config).pipe(texts))


def _figure(style: str, *docs: Doc) -> str:
    html = trf_bridge.render(list(docs), style=style, jupyter=False)
    return f"```{{raw}} html\n{html}\n```"
