"""The weights of a checkpoint: a local folder or a name on the hub -> a model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch

from ... import errors
from ..configs import load_config, model_skeleton, text_model_class
from ..files import coded_errors, loading_options, no_progress_bar
from ..traits import probe

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel


def load_model(
    trf_name: str,
    *,
    revision: str | None = None,
    trust_remote_code: bool = False,
    output_attentions: bool = False,
    saved: bool = False,
    has_pooler: bool = False,
) -> PreTrainedModel:
    """Load the weights of a checkpoint, in fp32 and in evaluation mode.

    Only the encoder of an encoder-decoder model is loaded, and only the text part of a model that
    also reads images or sound. A pooler without weights is removed.

    trf_name (str): A folder, or a name on the Hugging Face hub.
    revision (str): Branch, tag or commit on the hub; None for the main branch.
    trust_remote_code (bool): Run Python code that is part of the checkpoint.
    output_attentions (bool): Choose an attention implementation that can return its weights.
    saved (bool): Whether `save_files` wrote the folder, which may then hold an encoder alone.
    has_pooler (bool): Whether the pooler must have weights.
    RETURNS (PreTrainedModel): The model.
    RAISES (ValueError): TB002, TB003, TB016, TB058, TB060.
    """
    from transformers import AutoModel

    config = load_config(trf_name, revision=revision, trust_remote_code=trust_remote_code)
    options = loading_options(trf_name, revision, trust_remote_code)
    if output_attentions:
        # The fused implementations never store the weights.
        options["attn_implementation"] = "eager"
    with coded_errors(trf_name, errors.TB003), no_progress_bar():
        model_class = _model_class(config, trust_remote_code, saved)
        model, info = _read_weights(model_class, trf_name, config, options)
        if text_model_class(config) is not None and _lacks_weights(info):
            # Not every text part can be read from the file of the whole model.
            model, info = _read_weights(AutoModel, trf_name, None, options)
    without_pooler = [] if has_pooler else _remove_empty_pooler(model, info["missing_keys"])
    missing = sorted(set(info["missing_keys"]) - set(without_pooler))
    if missing or info["mismatched_keys"]:
        reason = f"the file lacks {', '.join(missing[:3]) or info['mismatched_keys']}"
        raise ValueError(errors.TB003.format(trf_name=trf_name, reason=reason))
    if model_class is AutoModel and getattr(config, "is_encoder_decoder", False):
        model = model.get_encoder()
    model.eval()
    if getattr(model.config, "text_config", None) is not None:
        _check_reads_texts(model, trf_name)
    loaded: PreTrainedModel = model
    return loaded


def _read_weights(
    model_class: Any, trf_name: str, config: PretrainedConfig | None, options: dict[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """Load the weights into a class; return the model, and which weights were missing."""

    def read(**more: Any) -> tuple[Any, dict[str, Any]]:
        if config is not None:
            more["config"] = config
        loaded: tuple[Any, dict[str, Any]] = model_class.from_pretrained(
            trf_name, dtype=torch.float32, output_loading_info=True, **options, **more
        )
        return loaded

    model, info = read()
    # transformers 5 writes the text part of CLIP without the name of the part, which 4 expects.
    heads = {key.partition(".")[0] + "." for key in info["missing_keys"]}
    if len(heads) == 1:
        (head,) = heads
        if {key.removeprefix(head) for key in info["missing_keys"]} <= set(info["unexpected_keys"]):
            return read(key_mapping={"^": head})
    return model, info


def _lacks_weights(info: dict[str, Any]) -> bool:
    return bool(info["missing_keys"] or info["mismatched_keys"])


def _remove_empty_pooler(model: Any, missing: Iterable[str]) -> list[str]:
    """Remove the pooler of a model if the file has no weights for it, and return their names.

    Masked language models are trained without a pooler. transformers initializes it at random, and
    only logs it.
    """
    pooler = getattr(model, "pooler", None)
    if pooler is None:
        return []
    names = [f"pooler.{name}" for name, _ in pooler.named_parameters()]
    if not names or not set(names) <= set(missing):
        return []
    model.pooler = None
    return names


def _check_reads_texts(model: PreTrainedModel, trf_name: str) -> None:
    """Check that a model with several parts computes states from texts alone."""
    try:
        probe(model).last_hidden_state  # noqa: B018
    except Exception as error:  # the models raise any
        message = errors.TB060.format(
            trf_name=trf_name,
            architecture=type(model).__name__,
            reason=" ".join(str(error).split()),
        )
        raise ValueError(message) from error


def _model_class(config: PretrainedConfig, trust_remote_code: bool, saved: bool) -> Any:
    """Return the class to load, by the class of the config."""
    from transformers import MODEL_FOR_TEXT_ENCODING_MAPPING, AutoModel

    text_class = text_model_class(config)
    if text_class is not None:
        return text_class
    # Encoders with their own class, such as T5's.
    if type(config) in MODEL_FOR_TEXT_ENCODING_MAPPING:
        return MODEL_FOR_TEXT_ENCODING_MAPPING[type(config)]
    if saved and getattr(config, "is_encoder_decoder", False):
        with torch.device("meta"):
            return type(model_skeleton(config, trust_remote_code).get_encoder())
    return AutoModel
