"""The pictures of the page on pictures, drawn by the package when the pages are built.

What they show was recorded from a real model, which is not there when the pages are built:

    python docs/draw_pictures.py

runs `en_trf_bert` over a few sentences and writes docs/pictures.msgpack.
"""

from __future__ import annotations

from pathlib import Path

import spacy
import srsly
from spacy.tokens import Doc

import trf_bridge

RECORD = Path(__file__).with_name("pictures.msgpack")
PIPELINE = "en_trf_bert"
TEXTS = ["She isn't home.", "Apple shares rose on the news.", "Apple pie is delicious."]
HERE, COMPANY, FRUIT = range(len(TEXTS))


def record(pipeline: str = PIPELINE) -> None:
    """Run the texts through a pipeline, and keep what the pictures need of them.

    pipeline (str): An installed pipeline, or a folder.
    """
    config = {"components": {"trf_tok2vec": {"model": {"output_attentions": True}}}}
    nlp = spacy.load(pipeline, config=config)
    # Not a DocBin, which leaves doc.tensor out.
    srsly.write_msgpack(RECORD, [doc.to_bytes() for doc in nlp.pipe(TEXTS)])


def read() -> list[Doc]:
    """RETURNS (list of Doc): What was recorded, one for each of TEXTS."""
    trf_bridge.install_extensions()
    vocab = spacy.blank("en").vocab
    return [Doc(vocab).from_bytes(data) for data in srsly.read_msgpack(RECORD)]


def alignment() -> str:
    """RETURNS (str): A sentence with its wordpieces, as HTML."""
    return _figure("alignment", read()[HERE])


def attention() -> str:
    """RETURNS (str): What the tokens of a sentence look at, as HTML."""
    return _figure("attention", read()[COMPANY])


def similarity() -> str:
    """RETURNS (str): Two sentences that share a word, as HTML."""
    docs = read()
    return _figure("similarity", [docs[COMPANY], docs[FRUIT]])


def _figure(style: str, docs: Doc | list[Doc]) -> str:
    html = trf_bridge.render(docs, style=style, jupyter=False)
    return f"```{{raw}} html\n{html}\n```"


if __name__ == "__main__":
    record()
