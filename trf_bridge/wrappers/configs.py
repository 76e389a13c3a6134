"""Configs of checkpoints, and the maximum length of an input."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from .. import errors
from .files import coded_errors, loading_options

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

# For tokenizers without a maximum, transformers stores numbers around 1e30.
NO_MAXIMUM = 1_000_000_000


def load_config(
    trf_name: str, *, revision: str | None = None, trust_remote_code: bool = False
) -> PretrainedConfig:
    """Load the config of a checkpoint.

    trf_name (str): A folder, or a name on the Hugging Face hub.
    revision (str): Branch, tag or commit on the hub; None for the main branch.
    trust_remote_code (bool): Whether to run code that comes with the checkpoint.
    RETURNS (PretrainedConfig): The config.
    RAISES (ValueError): TB002, TB016.
    """
    from transformers import AutoConfig

    with coded_errors(trf_name, errors.TB002, revision=revision or "main"):
        # transformers 4 would guess the config from the name of the folder.
        if Path(trf_name).is_dir() and not (Path(trf_name) / "config.json").is_file():
            raise OSError("there is no config.json in the folder")
        config: PretrainedConfig = AutoConfig.from_pretrained(
            trf_name, **loading_options(trf_name, revision, trust_remote_code)
        )
        read_rotary(config)
    return config


def max_positions(config: PretrainedConfig, *, trust_remote_code: bool = False) -> int | None:
    """Compute the maximum number of wordpieces that a model has positions for.

    config (PretrainedConfig): The config of the model.
    trust_remote_code (bool): Whether to run code that comes with the checkpoint.
    RETURNS (int): The maximum; None for a model with relative positions only.
    """
    if not _n_positions(config):
        return None
    # The model is built without weights.
    with torch.device("meta"):
        return positions_of(model_skeleton(config, trust_remote_code))


def positions_of(model: Any) -> int | None:
    """Compute the maximum number of wordpieces that a model has positions for.

    The position table is read from the model itself. If the table has a padding index p, as in
    RoBERTa, positions start at p + 1.

    model (PreTrainedModel): The model.
    RETURNS (int): The maximum; None for a model with relative positions only.
    """
    n_positions = _n_positions(model.config)
    if not n_positions:
        return None
    wordpieces = model.get_input_embeddings()  # can have as many rows as there are positions
    for module in model.modules():
        has_size = isinstance(module, torch.nn.Embedding) and module.num_embeddings == n_positions
        if has_size and module is not wordpieces and module.padding_idx is not None:
            return n_positions - int(module.padding_idx) - 1
    return n_positions


def _n_positions(config: PretrainedConfig) -> int | None:
    n_positions = getattr(config, "max_position_embeddings", None)
    return int(n_positions) if n_positions and n_positions > 0 else None


def max_length(
    config: PretrainedConfig,
    tokenizer: PreTrainedTokenizerBase,
    *,
    trust_remote_code: bool = False,
) -> int | None:
    """Compute the maximum number of wordpieces of one input, boundary pieces included.

    config (PretrainedConfig): The config of the model.
    tokenizer (PreTrainedTokenizerBase): The tokenizer of the model.
    trust_remote_code (bool): Whether to run code that comes with the checkpoint.
    RETURNS (int): The smaller of the tokenizer's and the model's maximum; None if neither has one.
    """
    limits = [
        tokenizer.model_max_length,
        max_positions(config, trust_remote_code=trust_remote_code),
    ]
    valid = [int(limit) for limit in limits if limit is not None and 0 < limit < NO_MAXIMUM]
    return min(valid, default=None)


def model_skeleton(config: PretrainedConfig, trust_remote_code: bool) -> Any:
    """Build a model from its config, with initial weights.

    config (PretrainedConfig): The config.
    trust_remote_code (bool): Whether to run code that comes with the checkpoint.
    RETURNS (PreTrainedModel): The model; without memory for its weights on the device "meta".
    """
    from transformers import AutoModel

    return AutoModel.from_config(config, trust_remote_code=trust_remote_code)


# The fields in which transformers 4 stores the base of the rotary positions of each kind of layer.
ROTARY_BASES = {
    "full_attention": ("global_rope_theta", "rope_theta"),
    "sliding_attention": ("local_rope_theta", "rope_local_base_freq"),
}


def read_rotary(config: PretrainedConfig) -> None:
    """Convert settings of rotary positions to the fields that the installed transformers reads.

    transformers 5 writes `rope_parameters`, which 4 ignores: without a warning, it would compute
    with its default base.

    config (PretrainedConfig): The config; changed for transformers 4.
    """
    parameters: Any = getattr(config, "rope_parameters", None)
    if not parameters or hasattr(config, "standardize_rope_params"):
        return
    flat = dict(parameters)
    for kind, names in ROTARY_BASES.items():
        nested = flat.pop(kind, None)
        fields = [name for name in names if hasattr(config, name)]
        if nested and fields:
            setattr(config, fields[0], nested["rope_theta"])
    for name in ("rope_theta", "partial_rotary_factor"):
        if name in flat:
            setattr(config, name, flat.pop(name))
    if flat.get("rope_type", "default") != "default":
        config.rope_scaling = flat
