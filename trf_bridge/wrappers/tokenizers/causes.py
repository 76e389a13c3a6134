"""Finds out why a tokenizer can't be loaded: a file of a newer format, or a missing package."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

from ... import errors
from .from_file import TOKENIZER_FILE, find_file

# Names of vocabulary files. Some are of either format.
VOCABULARY_FILES = (
    "spm.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "sentencepiece.model",
    "tokenizer.model",
    "tiktoken.model",
    "qwen.tiktoken",
)
# The extra of the package for each format, and the modules that it installs.
EXTRAS = {"sentencepiece": ("sentencepiece", "google.protobuf"), "tiktoken": ("tiktoken",)}


def explain_failure(trf_name: str, options: dict[str, Any]) -> None:
    """Raise an error with the cause for which a tokenizer could not be loaded, if it is known.

    trf_name (str): A folder, or a name on the Hugging Face hub.
    options (dict): What `loading_options` returned.
    RAISES (ValueError): TB004 for a missing package; TB059 for a file of a newer format.
    """
    path = find_file(trf_name, TOKENIZER_FILE, options)
    if path is not None:
        check_tokenizer_file(path)
        return
    for name in VOCABULARY_FILES:
        path = find_file(trf_name, name, options)
        extra = None if path is None else _extra_for(path)
        if extra is not None:
            missing = [module for module in EXTRAS[extra] if not _is_installed(module)]
            if missing:
                reason = (
                    f"{name} can't be read without {' and '.join(missing)}. Install them: "
                    f'pip install "trf_bridge[{extra}]"'
                )
                raise ValueError(errors.TB004.format(trf_name=trf_name, reason=reason))


def check_tokenizer_file(path: Path) -> None:
    """Check that a tokenizer.json is not of a newer format than the installed one.

    path (Path): The file.
    RAISES (ValueError): TB059.
    """
    from tokenizers import Tokenizer, __version__

    try:
        content = json.loads(path.read_text(encoding="utf8"))
    except (OSError, ValueError):
        return
    if not isinstance(content, dict) or not isinstance(content.get("model"), dict):
        return
    try:
        Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises no narrower class
        message = errors.TB059.format(path=path, version=__version__, reason=error)
        raise ValueError(message) from error


def _extra_for(path: Path) -> str | None:
    """Return the extra that reads a vocabulary file, by the start of the file."""
    with path.open("rb") as file:
        line = file.readline(1000)
    # A SentencePiece model starts with the tag of its first piece, tiktoken's file with a piece in
    # base64 and its rank.
    if line.startswith(b"\n"):
        return "sentencepiece"
    return "tiktoken" if line.strip().rpartition(b" ")[2].isdigit() else None


def _is_installed(module: str) -> bool:
    if module in sys.modules:
        return sys.modules[module] is not None
    try:
        return importlib.util.find_spec(module) is not None
    except ImportError:  # its parent is not installed
        return False
