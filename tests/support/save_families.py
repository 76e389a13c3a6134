"""Save a pipeline of every family, for another version of transformers to load.

Run as: python tests/support/save_families.py FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import srsly
import tiny_families  # noqa: F401 - registers them
from tiny import ALL_FAMILIES, save_checkpoint

TEXTS = [
    "My name is Robert. Apple pie 👍🏽 is delicious, Straße!",
    "[SEP] <s> 北京  hello\r\n world ﬁ Ünï",
    "They don't; the U.S. does.",
    " ",
]


def describe(nlp: Any) -> list[dict[str, Any]]:
    """Return the wordpieces, alignment and tensor of each text."""
    return [
        {
            "wordpieces": doc._.trf_word_pieces_,
            "alignment": doc._.trf_alignment,
            "tensor": doc.tensor.tolist(),
        }
        for doc in nlp.pipe(TEXTS)
    ]


def save_families(folder: Path) -> None:
    """Save a pipeline of every family and its output for the texts."""
    import trf_bridge

    folder.mkdir(parents=True, exist_ok=True)
    for name in ALL_FAMILIES:
        with TemporaryDirectory() as checkpoint:
            nlp = trf_bridge.from_pretrained(save_checkpoint(name, Path(checkpoint)))
        nlp.to_disk(folder / name)
        srsly.write_json(folder / f"{name}.json", describe(nlp))


if __name__ == "__main__":
    save_families(Path(sys.argv[1]))
