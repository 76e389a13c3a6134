"""The transformer of spacy-curated-transformers: its model, its windows and its loaders."""

from __future__ import annotations

from typing import Any

from .encoders import MODEL, translate_precision
from .job import Encoder, Job
from .rows import Row

PREFIX = "spacy-curated-transformers."
MODELS = {
    f"{PREFIX}{kind}Transformer.v1" for kind in ("Albert", "Bert", "Camembert", "Roberta", "Xlmr")
}
HF_LOADER = f"{PREFIX}HFTransformerEncoderLoader.v1"
UNFREEZING = f"{PREFIX}gradual_transformer_unfreezing.v1"

# What the factory `curated_transformer` uses where a config sets nothing.
DEFAULT_SPANS = {"@architectures": f"{PREFIX}WithStridedSpans.v1"}
DEFAULT_MODEL = {"@architectures": f"{PREFIX}XlmrTransformer.v1", "with_spans": DEFAULT_SPANS}
WINDOW, STRIDE = 128, 96

TRANSLATED = ("@architectures", "with_spans", "piece_encoder", "wrapped_listener", "torchscript")
PRECISION = ("mixed_precision", "grad_scaler_config")


def translate_curated(job: Job, block: dict[str, Any], where: str, component: str) -> Encoder:
    """Translate a model of spacy-curated-transformers.

    job (Job): The conversion; rows are added.
    block (dict): The block of the architecture.
    where (str): Its path in the config.
    component (str): The component that it belongs to.
    RETURNS (tuple of dict): The settings of the wordpiecer, and those of the model.
    RAISES (ValueError): TB066, TB067.
    """
    loader = _find_loader(job, component)
    trf_name = job.checkpoint(loader.get("name"), component)
    wordpiecer = _translate_windows(job, block.get("with_spans", DEFAULT_SPANS), where)
    model = {"@architectures": MODEL, "trf_name": trf_name}
    if not job.trf_name and loader.get("revision"):
        model["revision"] = loader["revision"]
    why = f'{MODEL}, trf_name = "{trf_name}"'
    job.add(where, "@architectures", block["@architectures"], "translated", why)
    sizes = [name for name in block if name not in (*TRANSLATED, *PRECISION)]
    if sizes:
        why = "the config.json of the checkpoint has them"
        job.rows.append(Row(where, ", ".join(sizes), "dropped", why))
    if "piece_encoder" in block:
        why = "the tokenizer of the checkpoint is used"
        job.add(where, "piece_encoder", block["piece_encoder"], "dropped", why)
    if job.resolve(block.get("torchscript")):
        job.add(where, "torchscript", True, "dropped", "the weights of the checkpoint are used")
    translate_precision(job, block, where, model)
    return wordpiecer, model


def translate_loaders(job: Job, component: str, block: dict[str, Any]) -> dict[str, Any]:
    """Translate the settings that initialize a transformer.

    job (Job): The conversion; rows are added.
    component (str): The transformer.
    block (dict): Its block in `[initialize.components]`.
    RETURNS (dict): The settings that remain.
    """
    where = f"initialize.components.{component}"
    for name in ("encoder_loader", "piecer_loader"):
        if name not in block:
            continue
        if name == "encoder_loader" and block[name].get("@model_loaders") == HF_LOADER:
            why = f"trf_name and revision in components.{component}.model"
            job.add(where, name, block[name], "translated", why)
        else:
            why = "the files of the checkpoint are used"
            job.add(where, name, block[name], "dropped", why)
    return {name: v for name, v in block.items() if name not in ("encoder_loader", "piecer_loader")}


def _find_loader(job: Job, component: str) -> dict[str, Any]:
    """Return the loader of a checkpoint: that of the component, or any for a head of its own."""
    blocks = job.config.get("initialize", {}).get("components", {})
    for name in (component, *blocks):
        loader = blocks.get(name, {}).get("encoder_loader", {})
        if isinstance(loader, dict) and loader.get("@model_loaders") == HF_LOADER:
            return loader
    return {}


def _translate_windows(job: Job, block: Any, where: str) -> dict[str, Any]:
    """Translate the windows, which are counted in wordpieces."""
    block = job.resolve(block)
    registered = block.get("@architectures") if isinstance(block, dict) else ""
    if registered != DEFAULT_SPANS["@architectures"]:
        reason = f"{where}.with_spans is not WithStridedSpans: '{registered}'"
        raise job.refuse(reason, "Correct the config.")
    window, stride = block.get("window", WINDOW), block.get("stride", STRIDE)
    settings = {
        "sentences": "doc",
        "max_length": window,
        "overflow": "window",
        "stride": window - stride,
        "window_rows": "mean",
    }
    listed = ", ".join(f"{name} = {value!r}" for name, value in settings.items())
    job.add(where, "with_spans", block, "translated", listed.replace("'", '"'))
    return settings
