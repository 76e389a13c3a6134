"""Tokenizers of checkpoints and of saved pipelines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import errors
from ..files import coded_errors, loading_options

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def load_tokenizer(
    trf_name: str, *, revision: str | None = None, trust_remote_code: bool = False
) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a checkpoint.

    trf_name (str): A folder, or a name on the Hugging Face hub.
    revision (str): Branch, tag or commit on the hub; None for the main branch.
    trust_remote_code (bool): Run code that the checkpoint brings with it.
    RETURNS (PreTrainedTokenizerBase): The tokenizer, a fast one where there is one.
    RAISES (ValueError): TB004, TB016.
    """
    from transformers import AutoTokenizer

    with coded_errors(trf_name, errors.TB004):
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            trf_name, use_fast=True, **loading_options(trf_name, revision, trust_remote_code)
        )
        # Without its files transformers 5 makes a tokenizer that knows nothing and says nothing.
        # Some have no vocabulary, and so no files of it, such as those of single bytes.
        names = {"tokenizer.json", *tokenizer.vocab_files_names.values()}
        needed = bool(tokenizer.vocab_files_names)
        folder = Path(trf_name)
        if needed and folder.is_dir() and not any((folder / name).is_file() for name in names):
            raise ValueError(f"none of these is there: {', '.join(sorted(names))}")
    return tokenizer


def load_saved_tokenizer(
    folder: Path, *, type_ids: bool, trust_remote_code: bool = False
) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a saved pipeline, so that it cuts as it did when it was saved.

    folder (Path): What `save_files` wrote.
    type_ids (bool): Whether the model reads type ids.
    trust_remote_code (bool): Run code that the tokenizer brings with it.
    RETURNS (PreTrainedTokenizerBase): The tokenizer.
    RAISES (ValueError): TB004, TB016.
    """
    with coded_errors(str(folder), errors.TB004):
        path = folder / "tokenizer_config.json"
        has_code = path.is_file() and "auto_map" in path.read_text(encoding="utf8")
        if (folder / "tokenizer.json").is_file() and not has_code:
            return rebuild_tokenizer(folder, type_ids=type_ids)
        tokenizer = load_tokenizer(str(folder), trust_remote_code=trust_remote_code)
        if tokenizer.is_fast and not has_code:
            raise ValueError("tokenizer.json is not there")
        return tokenizer


def rebuild_tokenizer(folder: Path, *, type_ids: bool) -> PreTrainedTokenizerBase:
    """Load a saved fast tokenizer as its tokenizer.json describes it, whatever its class was.

    The classes of transformers 5 put normalizers of their own in the place of those in the file,
    and those of 4 don't know all that 5 writes.

    folder (Path): What `save_pretrained` wrote.
    type_ids (bool): Whether the model reads type ids.
    RETURNS (PreTrainedTokenizerBase): The tokenizer.
    """
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    path = str(folder / "tokenizer.json")
    settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf8"))
    names = ["input_ids", *(["token_type_ids"] if type_ids else []), "attention_mask"]
    extra = settings.get("additional_special_tokens") or settings.get("extra_special_tokens") or []
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_file(path),
        model_input_names=names,
        additional_special_tokens=[
            _content(piece) for piece in (extra.values() if isinstance(extra, dict) else extra)
        ],
        **{
            name: _content(value)
            for name, value in settings.items()
            if name.endswith("_token") and isinstance(value, (str, dict))
        },
        **{
            name: settings[name]
            for name in (
                "model_max_length",
                "padding_side",
                "truncation_side",
                "clean_up_tokenization_spaces",
            )
            if name in settings
        },
    )
    # What was read, once more: the class has put settings of its own into what it was given.
    tokenizer._tokenizer = Tokenizer.from_file(path)
    return tokenizer


def _content(piece: Any) -> str:
    """A special piece may be written down with how it is found in a text."""
    return str(piece["content"] if isinstance(piece, dict) else piece)
