"""Configs of checkpoints, and the maximum length of an input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from .. import errors
from .files import coded_errors, loading_options
from .spacy_pipelines import check_no_pipeline

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

# For tokenizers without a maximum, transformers stores numbers around 1e30.
NO_MAXIMUM = 1_000_000_000

NOT_FOUND = (
    "It is no folder here, and no checkpoint of this name could be loaded from the Hugging Face "
    "hub. Check the spelling and the network, or download the checkpoint and use its folder."
)
IN_A_FOLDER = "Expected config.json, weights and the tokenizer's files in the folder."


def load_config(
    trf_name: str, *, revision: str | None = None, trust_remote_code: bool = False
) -> PretrainedConfig:
    """Load the config of a checkpoint; of its text part, if it reads more than texts.

    trf_name (str): A folder, or a name on the Hugging Face hub.
    revision (str): Branch, tag or commit on the hub; None for the main branch.
    trust_remote_code (bool): Whether to run code that comes with the checkpoint.
    RETURNS (PretrainedConfig): The config.
    RAISES (ValueError): TB002, TB016, TB058.
    """
    from transformers import AutoConfig

    check_no_pipeline(trf_name)
    details = {"revision": f" (revision {revision or 'main'})", "advice": NOT_FOUND}
    if Path(trf_name).is_dir():
        details = {"revision": "", "advice": IN_A_FOLDER}
    with coded_errors(trf_name, errors.TB002, **details):
        if Path(trf_name).is_dir():
            # transformers 4 would guess a missing config from the name of the folder.
            _check_folder(Path(trf_name))
        options = loading_options(trf_name, revision, trust_remote_code)
        try:
            config: PretrainedConfig = AutoConfig.from_pretrained(trf_name, **options)
        except (ValueError, KeyError):
            # The configs of some text parts can't be loaded by their type, only by their class.
            text_class = _text_class(trf_name, options)
            if text_class is None:
                raise
            config = text_class.config_class.from_pretrained(trf_name, **options)
        config = text_config(config)
        read_rotary(config)
    return config


def text_config(config: PretrainedConfig) -> PretrainedConfig:
    """Return the config of the text part of a model that also reads images or sound.

    config (PretrainedConfig): The config of the whole model.
    RETURNS (PretrainedConfig): The config of its text part; the same config for other models.
    """
    part = getattr(config, "text_config", None)
    return config if part is None or text_model_class(part) is None else part


def text_model_class(config: PretrainedConfig) -> Any:
    """Return the class of the text part of a model that also reads images or sound.

    config (PretrainedConfig): The config of the text part.
    RETURNS (type): The class, such as CLIPTextModel for CLIPTextConfig; None if there is none.
    """
    import transformers

    name = type(config).__name__
    is_part = name.endswith("TextConfig")
    return getattr(transformers, f"{name.removesuffix('Config')}Model", None) if is_part else None


def _text_class(trf_name: str, options: dict[str, Any]) -> Any:
    """Return the class of a checkpoint that is the text part of a larger model, else None."""
    import transformers

    content, _ = transformers.PretrainedConfig.get_config_dict(trf_name, **options)
    names = content.get("architectures") or [""]
    name = str(names[0])
    return getattr(transformers, name, None) if name.endswith("TextModel") else None


def _check_folder(folder: Path) -> None:
    """Check that a folder has a readable config.json.

    RAISES (OSError, ValueError): What is missing or broken.
    """
    path = folder / "config.json"
    if not path.is_file():
        missing = ["config.json"]
        if not any(folder.glob("*.safetensors")) and not any(folder.glob("*.bin")):
            missing.append("weights (model.safetensors or pytorch_model.bin)")
        if not any(folder.glob("tokenizer*")) and not any(folder.glob("*vocab*")):
            missing.append("tokenizer.json")
        raise OSError(f"the folder has no {', no '.join(missing)}")
    try:
        content = json.loads(path.read_text(encoding="utf8"))
    except ValueError as error:
        raise ValueError(f"config.json is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"expected an object in config.json, got {type(content).__name__}")


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

    text_class = text_model_class(config)
    if text_class is not None:
        return text_class(config)
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
