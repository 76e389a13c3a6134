"""Configs of checkpoints, and how long an input may be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from .. import errors
from .files import coded_errors, loading_options

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

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

    with coded_errors(trf_name, errors.TB002, revision=revision or "main"):
        # transformers 4 would guess from the name of the folder.
        if Path(trf_name).is_dir() and not (Path(trf_name) / "config.json").is_file():
            raise OSError("there is no config.json in the folder")
        config: PretrainedConfig = AutoConfig.from_pretrained(
            trf_name, **loading_options(trf_name, revision, trust_remote_code)
        )
        read_rotary(config)
    return config


def max_positions(config: PretrainedConfig, *, trust_remote_code: bool = False) -> int | None:
    """The most wordpieces that a model has positions for.

    Asked of the model itself, built without weights: where its position table has a padding index
    p, as in RoBERTa, positions start at p + 1.

    config (PretrainedConfig): The config of the model.
    trust_remote_code (bool): Run code that the checkpoint brings with it.
    RETURNS (int): The maximum, or None for a model with relative positions alone.
    """

    n_positions = getattr(config, "max_position_embeddings", None)
    if not n_positions or n_positions < 0:
        return None
    with torch.device("meta"):
        model = model_skeleton(config, trust_remote_code)
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


def model_skeleton(config: PretrainedConfig, trust_remote_code: bool) -> Any:
    from transformers import AutoModel

    return AutoModel.from_config(config, trust_remote_code=trust_remote_code)


# Where transformers 4 keeps the base of the rotary positions of each kind of layer.
ROTARY_BASES = {
    "full_attention": ("global_rope_theta", "rope_theta"),
    "sliding_attention": ("local_rope_theta", "rope_local_base_freq"),
}


def read_rotary(config: PretrainedConfig) -> None:
    """Bring settings of rotary positions to where the installed transformers looks for them.

    transformers 5 writes them as `rope_parameters`, in which 4 sees nothing to look at: it would
    compute with the base of its defaults, and say nothing.

    config (PretrainedConfig): The config; changed where it must be.
    """
    given: Any = getattr(config, "rope_parameters", None)
    if not given or hasattr(config, "standardize_rope_params"):
        return
    flat = dict(given)
    for kind, names in ROTARY_BASES.items():
        nested = flat.pop(kind, None)
        known = [name for name in names if hasattr(config, name)]
        if nested and known:
            setattr(config, known[0], nested["rope_theta"])
    for name in ("rope_theta", "partial_rotary_factor"):
        if name in flat:
            setattr(config, name, flat.pop(name))
    if flat.get("rope_type", "default") != "default":
        config.rope_scaling = flat
