"""Loads tokenizers of checkpoints and of saved pipelines."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import errors
from ..files import coded_errors, loading_options
from .causes import check_tokenizer_file, explain_failure
from .from_file import add_type_ids, load_from_file
from .xlnet import restore_xlnet

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def load_tokenizer(
    trf_name: str, *, revision: str | None = None, trust_remote_code: bool = False
) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a checkpoint. A tokenizer.json defines it, if there is one.

    trf_name (str): A folder, or a name on the Hugging Face hub.
    revision (str): Branch, tag or commit on the hub; None for the main branch.
    trust_remote_code (bool): Whether to run code that comes with the checkpoint.
    RETURNS (PreTrainedTokenizerBase): The tokenizer; a fast one if the checkpoint has one.
    RAISES (ValueError): TB004, TB016, TB059.
    """
    options = loading_options(trf_name, revision, trust_remote_code)
    with coded_errors(trf_name, errors.TB004):
        try:
            return load_from_file(trf_name, options) or _load_by_class(trf_name, options)
        except Exception:  # tokenizers raises no narrower class, and broken files raise any
            explain_failure(trf_name, options)
            raise


def _load_by_class(trf_name: str, options: dict[str, Any]) -> PreTrainedTokenizerBase:
    """Load a tokenizer as its class does."""
    from transformers import AutoTokenizer

    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
        trf_name, use_fast=True, **options
    )
    # If files are missing, transformers 5 builds a tokenizer without a vocabulary and no error.
    # Tokenizers of single bytes have no vocabulary files.
    names = {"tokenizer.json", *tokenizer.vocab_files_names.values()}
    needed = bool(tokenizer.vocab_files_names)
    folder = Path(trf_name)
    if needed and folder.is_dir() and not any((folder / name).is_file() for name in names):
        raise ValueError(f"none of these files exists: {', '.join(sorted(names))}")
    name = type(tokenizer).__name__
    if tokenizer.model_input_names == type(tokenizer).model_input_names:
        add_type_ids(tokenizer, name)
    if name == "XLNetTokenizer" and tokenizer.is_fast:  # in transformers 4, the slow class
        restore_xlnet(tokenizer)
    return tokenizer


def load_saved_tokenizer(
    folder: Path, *, type_ids: bool, trust_remote_code: bool = False
) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a saved pipeline, so that it splits texts as when it was saved.

    folder (Path): A folder that `save_files` wrote.
    type_ids (bool): Whether the model reads type ids.
    trust_remote_code (bool): Whether to run code that comes with the tokenizer.
    RETURNS (PreTrainedTokenizerBase): The tokenizer.
    RAISES (ValueError): TB004, TB016, TB059.
    """
    with coded_errors(str(folder), errors.TB004):
        path = folder / "tokenizer_config.json"
        has_code = path.is_file() and "auto_map" in path.read_text(encoding="utf8")
        if (folder / "tokenizer.json").is_file() and not has_code:
            try:
                return rebuild_tokenizer(folder, type_ids=type_ids)
            except Exception:  # tokenizers raises no narrower class
                check_tokenizer_file(folder / "tokenizer.json")
                raise
        tokenizer = load_tokenizer(str(folder), trust_remote_code=trust_remote_code)
        if tokenizer.is_fast and not has_code:
            raise ValueError("tokenizer.json is missing")
        return tokenizer


def rebuild_tokenizer(folder: Path, *, type_ids: bool) -> PreTrainedTokenizerBase:
    """Load a saved fast tokenizer as its tokenizer.json defines it, independent of its class.

    The classes of transformers 5 replace normalizers of the file with their own, and those of
    transformers 4 cannot read everything that 5 writes.

    folder (Path): A folder that `save_pretrained` wrote.
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
    # The class has changed the settings of the tokenizer that was passed to it.
    tokenizer._tokenizer = Tokenizer.from_file(path)
    return tokenizer


def copy_backend(tokenizer: PreTrainedTokenizerBase) -> Any:
    """Copy the Rust part of a fast tokenizer, without truncation and padding.

    tokenizer (PreTrainedTokenizerBase): The tokenizer.
    RETURNS (tokenizers.Tokenizer): The copy.
    RAISES (ValueError): TB004.
    """
    try:
        backend = copy.deepcopy(tokenizer.backend_tokenizer)
    except Exception as error:  # tokenizers raises no narrower class
        reason = f"it can't be copied or saved: {error}"
        raise ValueError(
            errors.TB004.format(trf_name=tokenizer.name_or_path, reason=reason)
        ) from error
    backend.no_padding()
    backend.no_truncation()
    return backend


def _content(piece: Any) -> str:
    """Return the string of a special token, which can be stored with options for its use."""
    return str(piece["content"] if isinstance(piece, dict) else piece)
