"""The weights of a checkpoint: a local folder or a name on the hub -> a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from ... import errors
from ..configs import load_config, model_skeleton
from ..files import coded_errors, loading_options, no_progress_bar

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel


def load_model(
    trf_name: str,
    *,
    revision: str | None = None,
    trust_remote_code: bool = False,
    output_attentions: bool = False,
    saved: bool = False,
) -> PreTrainedModel:
    """Load the weights of a checkpoint, in fp32 and in evaluation mode.

    Only the encoder of an encoder-decoder model is loaded.

    trf_name (str): A folder, or a name on the Hugging Face hub.
    revision (str): Branch, tag or commit on the hub; None for the main branch.
    trust_remote_code (bool): Run Python code that is part of the checkpoint.
    output_attentions (bool): Choose an attention implementation that can return its weights.
    saved (bool): Whether `save_files` wrote the folder, which may then hold an encoder alone.
    RETURNS (PreTrainedModel): The model.
    RAISES (ValueError): TB002, TB003, TB016.
    """
    from transformers import AutoModel

    config = load_config(trf_name, revision=revision, trust_remote_code=trust_remote_code)
    options = loading_options(trf_name, revision, trust_remote_code)
    if output_attentions:
        # The fused implementations never store the weights.
        options["attn_implementation"] = "eager"
    with coded_errors(trf_name, errors.TB003), no_progress_bar():
        model_class = _model_class(config, trust_remote_code, saved)
        model, info = model_class.from_pretrained(
            trf_name, config=config, dtype=torch.float32, output_loading_info=True, **options
        )
    # transformers initializes missing weights at random and only logs it. A pooler is often
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


def _model_class(config: PretrainedConfig, trust_remote_code: bool, saved: bool) -> Any:
    """Return the class to load, by the class of the config."""
    from transformers import MODEL_FOR_TEXT_ENCODING_MAPPING, AutoModel

    # Encoders with their own class, such as T5's.
    if type(config) in MODEL_FOR_TEXT_ENCODING_MAPPING:
        return MODEL_FOR_TEXT_ENCODING_MAPPING[type(config)]
    if saved and getattr(config, "is_encoder_decoder", False):
        with torch.device("meta"):
            return type(model_skeleton(config, trust_remote_code).get_encoder())
    return AutoModel
