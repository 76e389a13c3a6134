"""The transformer of spacy-transformers: its model, its spans and its options."""

from __future__ import annotations

from typing import Any

from .job import Encoder, Job
from .rows import Outcome

MODEL = "trf_bridge.TransformerModel.v1"
STRIDED_SPANS = "trf_bridge.strided_spans.v1"

PREFIX = "spacy-transformers."
MODELS = {f"{PREFIX}TransformerModel.v{i}" for i in (1, 2, 3)}
STANDALONE = {f"{PREFIX}Tok2VecTransformer.v{i}" for i in (1, 2, 3)}

# What the factory `transformer` uses where a config sets nothing.
DEFAULT_SPANS = {"@span_getters": f"{PREFIX}strided_spans.v1", "window": 128, "stride": 96}
DEFAULT_MODEL = {
    "@architectures": f"{PREFIX}TransformerModel.v3",
    "name": "roberta-base",
    "get_spans": DEFAULT_SPANS,
}

OWN_TOKENIZER = "the tokenizer of the checkpoint is used, fast or slow"
IN_FILES = "no setting; change it in the files of the checkpoint, or in the environment"

# Option -> the settings of the wordpiecer and of the model that replace it.
TOKENIZER_OPTIONS = {
    "split_special_tokens": ("split_special_tokens", ""),
    "model_max_length": ("max_length", ""),
    "trust_remote_code": ("trust_remote_code", "trust_remote_code"),
    "revision": ("", "revision"),
}
TRANSFORMER_OPTIONS = {
    "output_hidden_states": ("", "output_hidden_states"),
    "output_attentions": ("", "output_attentions"),
    "trust_remote_code": ("trust_remote_code", "trust_remote_code"),
    "revision": ("", "revision"),
}


def translate_encoder(job: Job, block: dict[str, Any], where: str, component: str) -> Encoder:
    """Translate a TransformerModel or a Tok2VecTransformer.

    job (Job): The conversion; rows are added.
    block (dict): The block of the architecture.
    where (str): Its path in the config.
    component (str): The component that it belongs to.
    RETURNS (tuple of dict): The settings of the wordpiecer, and those of the model.
    RAISES (ValueError): TB066, TB067.
    """
    trf_name = job.checkpoint(block.get("name"), component)
    job.add(where, "name", block.get("name", ""), "translated", f'trf_name = "{trf_name}"')
    wordpiecer = translate_spans(job, block.get("get_spans", DEFAULT_SPANS), where)
    model = {"@architectures": MODEL, "trf_name": trf_name}
    for group, options in (
        ("tokenizer_config", TOKENIZER_OPTIONS),
        ("transformer_config", TRANSFORMER_OPTIONS),
    ):
        _translate_options(job, block, where, group, options, (wordpiecer, model))
    if job.trf_name:
        model.pop("revision", None)  # that of the other checkpoint
    translate_precision(job, block, where, model)
    return wordpiecer, model


def translate_spans(job: Job, block: Any, where: str) -> dict[str, Any]:
    """Translate a span getter.

    job (Job): The conversion; a row is added.
    block (dict): The block `get_spans`.
    where (str): The path of the block that it is in.
    RETURNS (dict): Settings of the wordpiecer.
    RAISES (ValueError): TB067.
    """
    block = job.resolve(block)
    registered = block.get("@span_getters", "") if isinstance(block, dict) else ""
    known = registered.removeprefix(PREFIX)
    settings: dict[str, Any]
    if known == "strided_spans.v1":
        sizes = {name: block.get(name, DEFAULT_SPANS[name]) for name in ("window", "stride")}
        settings = {"sentences": {"@misc": STRIDED_SPANS, **sizes}}
        why = f"sentences = {STRIDED_SPANS}, with the same tokens"
    elif known == "sent_spans.v1":
        settings = {"sentences": "sents"}
        why = 'sentences = "sents"; a Doc without boundaries is split by the rules of a sentencizer'
    elif known == "doc_spans.v1":
        settings = {"sentences": "doc"}
        why = 'sentences = "doc"; overflow = "window" would read long Docs to the end'
    elif registered and not registered.startswith(PREFIX):
        arguments = {name: value for name, value in block.items() if name != "@span_getters"}
        settings = {"sentences": {"@misc": registered, **arguments}}
        why = f'sentences; register the function with @spacy.registry.misc("{registered}")'
    else:
        reason = f"{where}.get_spans is not a span getter of spacy-transformers: '{registered}'"
        raise job.refuse(reason, "Correct the config.")
    job.add(where, "get_spans", block, "translated", why)
    return settings


def translate_precision(job: Job, block: dict[str, Any], where: str, model: dict[str, Any]) -> None:
    """Translate the settings for mixed precision.

    job (Job): The conversion; rows are added.
    block (dict): The block of the architecture.
    where (str): Its path in the config.
    model (dict): Settings of the model; changed.
    """
    if "mixed_precision" in block:
        mixed = bool(job.resolve(block["mixed_precision"]))
        model["precision"] = "auto" if mixed and not job.trained else "fp32"
        why = f'precision = "{model["precision"]}"'
        if mixed and job.trained:
            why += ': the original computes in fp32 on a CPU; "auto" is faster, and less exact'
        elif mixed:
            why += ': bf16 where the hardware has it; "fp16" needs a GPU'
        job.add(where, "mixed_precision", block["mixed_precision"], "translated", why)
    if block.get("grad_scaler_config"):
        why = "bf16 needs no scaling, and fp16 scales by itself"
        job.add(where, "grad_scaler_config", block["grad_scaler_config"], "dropped", why)


def _translate_options(
    job: Job,
    block: dict[str, Any],
    where: str,
    group: str,
    options: dict[str, tuple[str, str]],
    encoder: Encoder,
) -> None:
    """Translate the options of the tokenizer, or those of the transformer."""
    given = job.resolve(block.get(group) or {})
    if not isinstance(given, dict):
        raise job.refuse(f"{where}.{group} is not a block of settings", "Correct the config.")
    for name, value in given.items():
        targets = options.get(name)
        if targets is None:
            why = OWN_TOKENIZER if name == "use_fast" else IN_FILES
            job.add(f"{where}.{group}", name, value, "dropped", why)
            continue
        for settings, target in zip(encoder, targets, strict=True):
            if target:
                settings[target] = value
        same: Outcome = "kept" if name in targets else "translated"
        of = " and ".join(
            part
            for part, target in zip(("trf_wordpiecer", "the model"), targets, strict=True)
            if target
        )
        job.add(f"{where}.{group}", name, value, same, f"{targets[0] or targets[1]} of {of}")
