"""Checkpoints: a local folder or a name on the hub -> config, weights, tokenizer."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from .. import errors
from .generations import read_rotary, rebuild_tokenizer

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

# Hugging Face tokenizers without a maximum say so with numbers around 1e30.
NO_MAXIMUM = 1_000_000_000


def load_config(
    trf_name: str, *, revision: str | None = None, trust_remote_code: bool = False
) -> PretrainedConfig:
    """Load the config of a checkpoint.

    trf_name (str): A folder, or a name on the Hugging Face hub.
    revision (str): Branch, tag or commit on the hub; None for the main branch.
    trust_remote_code (bool): Run code that the checkpoint brings with it.
    RETURNS (PretrainedConfig): The config.
    RAISES (ValueError): TB002, TB016.
    """
    from transformers import AutoConfig

    with _coded(trf_name, errors.TB002, revision=revision or "main"):
        # transformers 4 would guess from the name of the folder.
        if Path(trf_name).is_dir() and not (Path(trf_name) / "config.json").is_file():
            raise OSError("there is no config.json in the folder")
        config: PretrainedConfig = AutoConfig.from_pretrained(
            trf_name, **_options(trf_name, revision, trust_remote_code)
        )
        read_rotary(config)
    return config


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

    with _coded(trf_name, errors.TB004):
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            trf_name, use_fast=True, **_options(trf_name, revision, trust_remote_code)
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
    with _coded(str(folder), errors.TB004):
        path = folder / "tokenizer_config.json"
        has_code = path.is_file() and "auto_map" in path.read_text(encoding="utf8")
        if (folder / "tokenizer.json").is_file() and not has_code:
            return rebuild_tokenizer(folder, type_ids=type_ids)
        tokenizer = load_tokenizer(str(folder), trust_remote_code=trust_remote_code)
        if tokenizer.is_fast and not has_code:
            raise ValueError("tokenizer.json is not there")
        return tokenizer


def load_model(
    trf_name: str,
    *,
    revision: str | None = None,
    trust_remote_code: bool = False,
    output_attentions: bool = False,
    saved: bool = False,
) -> PreTrainedModel:
    """Load the weights of a checkpoint, in fp32 and in evaluation mode.

    Of a model with an encoder and a decoder only the encoder is loaded.

    trf_name (str): A folder, or a name on the Hugging Face hub.
    revision (str): Branch, tag or commit on the hub; None for the main branch.
    trust_remote_code (bool): Run code that the checkpoint brings with it.
    output_attentions (bool): Choose an attention implementation that can give its weights.
    saved (bool): Whether the folder holds what `save_files` wrote, perhaps of an encoder alone.
    RETURNS (PreTrainedModel): The model.
    RAISES (ValueError): TB002, TB003, TB016.
    """
    import torch
    from transformers import AutoModel

    config = load_config(trf_name, revision=revision, trust_remote_code=trust_remote_code)
    options = _options(trf_name, revision, trust_remote_code)
    if output_attentions:
        # The fused implementations never materialize the weights.
        options["attn_implementation"] = "eager"
    with _coded(trf_name, errors.TB003), _no_progress_bar():
        model_class = _model_class(config, trust_remote_code, saved)
        model, info = model_class.from_pretrained(
            trf_name, config=config, dtype=torch.float32, output_loading_info=True, **options
        )
    # transformers fills what is missing with random numbers and only logs it. A pooler is often
    # missing, since masked language models are trained without one.
    missing = sorted(key for key in info["missing_keys"] if "pooler" not in key)
    if missing or info["mismatched_keys"]:
        reason = f"the file lacks {', '.join(missing[:3]) or info['mismatched_keys']}"
        raise ValueError(errors.TB003.format(trf_name=trf_name, reason=reason))
    if model_class is AutoModel and getattr(config, "is_encoder_decoder", False):
        model = model.get_encoder()
    model.eval()
    loaded: PreTrainedModel = model
    return loaded


def max_positions(config: PretrainedConfig, *, trust_remote_code: bool = False) -> int | None:
    """The most wordpieces that a model has positions for.

    Asked of the model itself, built without weights: where its position table has a padding index
    p, as in RoBERTa, positions start at p + 1.

    config (PretrainedConfig): The config of the model.
    trust_remote_code (bool): Run code that the checkpoint brings with it.
    RETURNS (int): The maximum, or None for a model with relative positions alone.
    """
    import torch

    n_positions = getattr(config, "max_position_embeddings", None)
    if not n_positions or n_positions < 0:
        return None
    with torch.device("meta"):
        model = _skeleton(config, trust_remote_code)
    wordpieces = model.get_input_embeddings()  # of which there may be as many as positions
    for module in model.modules():
        is_table = isinstance(module, torch.nn.Embedding) and module.num_embeddings == n_positions
        if is_table and module is not wordpieces and module.padding_idx is not None:
            return int(n_positions - module.padding_idx - 1)
    return int(n_positions)


def max_length(
    config: PretrainedConfig,
    tokenizer: PreTrainedTokenizerBase,
    *,
    trust_remote_code: bool = False,
) -> int | None:
    """The most wordpieces, boundary pieces included, that one input can have.

    config (PretrainedConfig): The config of the model.
    tokenizer (PreTrainedTokenizerBase): Its tokenizer.
    trust_remote_code (bool): Run code that the checkpoint brings with it.
    RETURNS (int): The smaller of the tokenizer's and the model's maximum; None for no maximum.
    """
    limits = [
        tokenizer.model_max_length,
        max_positions(config, trust_remote_code=trust_remote_code),
    ]
    known = [int(limit) for limit in limits if limit is not None and 0 < limit < NO_MAXIMUM]
    return min(known) if known else None


def files_to_bytes(saveable: Any) -> dict[str, bytes]:
    """Save what has a `save_pretrained` method, and read the files back.

    saveable (PreTrainedModel, PreTrainedTokenizerBase): What to save.
    RETURNS (dict): The content of each file, by name.
    """
    with TemporaryDirectory() as folder:
        save_files(saveable, Path(folder))
        return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


@contextlib.contextmanager
def files_from_bytes(files: dict[str, bytes]) -> Iterator[Path]:
    """Lay files out in a temporary folder, for what can only be loaded from one.

    files (dict): The content of each file, by name.
    YIELDS (Path): The folder, there until the block ends.
    """
    with TemporaryDirectory() as folder:
        for name, content in files.items():
            (Path(folder) / Path(name).name).write_bytes(content)
        yield Path(folder)


def save_files(saveable: Any, folder: Path) -> None:
    """Save what has a `save_pretrained` method into a folder, the weights in one file.

    saveable (PreTrainedModel, PreTrainedTokenizerBase): What to save.
    folder (Path): An existing folder.
    """
    options = {} if hasattr(saveable, "all_special_ids") else {"max_shard_size": "1000GB"}
    with _no_progress_bar():
        saveable.save_pretrained(folder, **options)


def _options(trf_name: str, revision: str | None, trust_remote_code: bool) -> dict[str, Any]:
    options: dict[str, Any] = {"trust_remote_code": trust_remote_code}
    if Path(trf_name).is_dir():
        options["local_files_only"] = True
    elif revision is not None:
        options["revision"] = revision
    return options


def _skeleton(config: PretrainedConfig, trust_remote_code: bool) -> Any:
    from transformers import AutoModel

    return AutoModel.from_config(config, trust_remote_code=trust_remote_code)


def _model_class(config: PretrainedConfig, trust_remote_code: bool, saved: bool) -> Any:
    """The class to load, found without looking at the model's name."""
    import torch
    from transformers import MODEL_FOR_TEXT_ENCODING_MAPPING, AutoModel

    # Encoders of encoder-decoder models that have a class of their own, such as T5's.
    if type(config) in MODEL_FOR_TEXT_ENCODING_MAPPING:
        return MODEL_FOR_TEXT_ENCODING_MAPPING[type(config)]
    if saved and getattr(config, "is_encoder_decoder", False):
        with torch.device("meta"):
            return type(_skeleton(config, trust_remote_code).get_encoder())
    return AutoModel


@contextlib.contextmanager
def _coded(trf_name: str, message: str, **details: str) -> Iterator[None]:
    """Give whatever the libraries raise while they read a checkpoint a code and advice."""
    try:
        yield
    except Exception as error:  # tokenizers raises no narrower kind, and a broken file may any
        if str(error).startswith("[TB"):
            raise
        reason = " ".join(str(error).split())
        if "trust_remote_code" in reason:
            message = errors.TB016
        text = message.format(trf_name=trf_name, reason=reason, **details)
        raise ValueError(text) from error


@contextlib.contextmanager
def _no_progress_bar() -> Iterator[None]:
    """Keep transformers from drawing a bar for a fraction of a second of work."""
    from transformers.utils import logging

    if not logging.is_progress_bar_enabled():
        yield
        return
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.enable_progress_bar()


def read_json(path: Path) -> dict[str, Any]:
    """Read a settings file of a saved component.

    path (Path): The file.
    RETURNS (dict): Its content.
    RAISES (ValueError): TB006.
    """
    try:
        content = json.loads(path.read_text(encoding="utf8"))
        if not isinstance(content, dict):
            raise ValueError("expected an object")
    except (OSError, ValueError) as error:
        raise ValueError(errors.TB006.format(path=path, reason=error)) from error
    return content
