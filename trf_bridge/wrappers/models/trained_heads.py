"""The head of a checkpoint that is already trained: its labels and its weights.

transformers has a class for each model and task, with its own modules and its own code. Nearly all
of them compute the same: one or two linear layers, an activation between them, over rows of the
model. So the linear layers are taken from the head, and what lies between them is found by
comparison with the head's own output. A head that computes something else is dropped.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from ... import errors
from ...types import Array
from ..configs import load_config
from ..files import coded_errors, loading_options, no_progress_bar

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

TOKENS, TEXTS = "tokens", "texts"
TASKS = {"ForTokenClassification": TOKENS, "ForSequenceClassification": TEXTS}
# Names of classes with a head, such as BertForMaskedLM and GPT2LMHeadModel.
HEAD = re.compile(r"For[A-Z]|LMHead|DoubleHeads")

# What a head reads, as it computes it from the last hidden state and the pooler output of an input.
ROWS: dict[str, Callable[[Any, Any], Any]] = {
    "class": lambda hidden, pooler: hidden[:, 0],
    "pooler": lambda hidden, pooler: pooler,
    "mean": lambda hidden, pooler: hidden.mean(dim=1),
}
BETWEEN: dict[str, Callable[[Any], Any]] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "gelu": torch.nn.functional.gelu,
}
# Length of the input on which the outputs are compared, and how far they may be apart.
N_PROBE = 9
TOLERANCE = 1e-5


class TrainedHead(NamedTuple):
    """A head with its weights.

    task (str): "tokens" if it labels wordpieces, "texts" if it labels inputs.
    labels (list of str, (n_labels,)): The labels, in the order of its outputs.
    layers (list of (float32 (nO, nI), float32 (nO,))): Weights and biases of its linear layers,
        the output last.
    activation (str): The activation between two layers; None for one layer.
    rows (str): What a head for texts reads: "class", "pooler" or "mean".
    output (str): What its scores go through: "softmax", "sigmoid", or "none" for a regression.
    """

    task: str
    labels: list[str]
    layers: list[tuple[Array, Array]]
    activation: str | None
    rows: str
    output: str


def load_trained_head(
    trf_name: str, *, revision: str | None = None, trust_remote_code: bool = False
) -> TrainedHead | None:
    """Load the head of a checkpoint.

    trf_name (str): A folder, or a name on the Hugging Face hub.
    revision (str): Branch, tag or commit on the hub; None for the main branch.
    trust_remote_code (bool): Run Python code that is part of the checkpoint.
    RETURNS (TrainedHead): The head; None for a checkpoint without one.
    RAISES (ValueError): TB002, TB003, TB016; TB062 for labels that do not fit its outputs.
    WARNS: TB110 for a head that is dropped.
    """
    config = load_config(trf_name, revision=revision, trust_remote_code=trust_remote_code)
    architecture = next(iter(config.architectures or []), "")
    if not HEAD.search(architecture):
        return None
    task = next((task for suffix, task in TASKS.items() if architecture.endswith(suffix)), None)
    auto = None if task is None else _auto_class(config, task)
    head = None
    if task is not None and auto is not None:
        options = loading_options(trf_name, revision, trust_remote_code)
        head = _read_head(_load(auto, trf_name, config, options), task, trf_name)
    if head is None:
        message = errors.TB110.format(trf_name=trf_name, architecture=architecture)
        warnings.warn(message, stacklevel=3)
    return head


def _auto_class(config: PretrainedConfig, task: str) -> Any:
    """Return the class that loads a model with such a head; None if there is none."""
    import transformers

    auto: Any = transformers.AutoModelForSequenceClassification
    mapping: Any = transformers.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING
    if task == TOKENS:
        auto = transformers.AutoModelForTokenClassification
        mapping = transformers.MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING
    # Of an encoder-decoder model, only the encoder is run.
    if getattr(config, "is_encoder_decoder", False):
        return None
    own_code = auto.__name__ in (getattr(config, "auto_map", None) or {})
    return auto if own_code or type(config) in mapping else None


def _load(
    auto: Any, trf_name: str, config: PretrainedConfig, options: dict[str, Any]
) -> PreTrainedModel:
    """Load a model with its head, and check that the file has the weights of the head."""
    with coded_errors(trf_name, errors.TB003), no_progress_bar():
        # Without the option, weights of other shapes than those in the config raise an error
        # that does not name the labels.
        model, info = auto.from_pretrained(
            trf_name,
            config=config,
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            **options,
        )
    inner = f"{model.base_model_prefix}."
    for key in info["mismatched_keys"]:
        # transformers 4 returns names, and 5 also the shapes.
        name, n_saved = (key, "saved") if isinstance(key, str) else (key[0], key[1][0])
        if not name.startswith(inner):
            _raise_misfit(trf_name, f"{config.num_labels} labels", n_saved)
    missing = sorted(name for name in info["missing_keys"] if not name.startswith(inner))
    if missing:
        reason = f"the file lacks {', '.join(missing[:3])}"
        raise ValueError(errors.TB003.format(trf_name=trf_name, reason=reason))
    loaded: PreTrainedModel = model.eval()
    return loaded


def _read_head(model: PreTrainedModel, task: str, trf_name: str) -> TrainedHead | None:
    """Read the head of a model; None if it computes something unknown."""
    linear = _linear_layers(model)
    if not linear:
        return None
    found = _find_computation(model, linear, task)
    if found is None:
        return None
    labels = _read_labels(model.config, linear[-1].out_features, trf_name)
    layers = [(_array(layer.weight), _array(_bias(layer))) for layer in linear]
    rows, activation = found
    return TrainedHead(task, labels, layers, activation, rows, _find_output(model.config))


def _linear_layers(model: PreTrainedModel) -> list[torch.nn.Linear]:
    """List the linear layers of a head; none if it has other weights, or more than two layers."""
    inner = {id(module) for module in model.base_model.modules()}
    if id(model) in inner:
        return []
    own = [
        module
        for module in model.modules()
        if id(module) not in inner and next(module.parameters(recurse=False), None) is not None
    ]
    linear = [module for module in own if isinstance(module, torch.nn.Linear)]
    return linear if len(linear) == len(own) <= 2 else []


def _find_computation(
    model: PreTrainedModel, linear: list[torch.nn.Linear], task: str
) -> tuple[str, str | None] | None:
    """Find which rows a head reads, and the activation between its layers.

    model (PreTrainedModel): The model with the head.
    linear (list of Linear): The layers of the head, the output last.
    task (str): What it labels.
    RETURNS (tuple of str): A key of ROWS and one of BETWEEN, or None for one layer; None if no
        combination computes what the head computes.
    """
    ids = _probe(model)
    with torch.inference_mode():
        expected = model(input_ids=ids).logits
        outputs = model.base_model(input_ids=ids)
        hidden, pooler = outputs[0], getattr(outputs, "pooler_output", None)
        sources = ROWS if task == TEXTS else {TOKENS: lambda hidden, pooler: hidden}
        names: list[str | None] = [None] if len(linear) == 1 else [*BETWEEN]
        for rows, between in product(sources, names):
            scores = sources[rows](hidden, pooler)
            if scores is None or scores.shape[-1] != linear[0].in_features:
                continue
            if between is not None:
                scores = BETWEEN[between](linear[0](scores))
            scores = linear[-1](scores)
            if scores.shape == expected.shape:
                scale = max(1.0, float(expected.abs().max()))
                if float((scores - expected).abs().max()) <= TOLERANCE * scale:
                    return rows, between
    return None


def _probe(model: PreTrainedModel) -> torch.Tensor:
    """Draw the ids of an input, always the same ones, without padding."""
    embeddings: Any = model.get_input_embeddings()
    n_rows: int = embeddings.num_embeddings
    ids: torch.Tensor = torch.randperm(n_rows, generator=torch.Generator().manual_seed(0))
    pad = getattr(model.config, "pad_token_id", None)
    return ids[ids != (-1 if pad is None else pad)][:N_PROBE].unsqueeze(0)


def _read_labels(config: PretrainedConfig, n_outputs: int, trf_name: str) -> list[str]:
    """Read the labels of a head.

    RAISES (ValueError): TB062.
    """
    named: dict[Any, Any] = dict(config.id2label or {})
    labels = [named[i] for i in range(n_outputs) if i in named]
    if len(labels) < n_outputs or len(named) != n_outputs:
        _raise_misfit(trf_name, f"labels for the outputs {sorted(named)}", n_outputs)
    wrong = sorted({repr(label) for label in labels if not isinstance(label, str) or not label})
    wrong += sorted({label for label in labels if labels.count(label) > 1})
    if wrong:
        _raise_misfit(trf_name, f"the labels {', '.join(wrong)}, empty or repeated", n_outputs)
    return labels


def _raise_misfit(trf_name: str, got: str, n_outputs: int | str) -> None:
    raise ValueError(errors.TB062.format(trf_name=trf_name, got=got, n_outputs=n_outputs))


def _find_output(config: PretrainedConfig) -> str:
    """Return what scores go through.

    SOURCE: The text classification pipeline of transformers, which takes the logistic function for
        a single label without a problem_type, as cross-encoders have it.
    """
    problem = getattr(config, "problem_type", None)
    if problem == "regression":
        return "none"
    if problem == "multi_label_classification" or config.num_labels == 1:
        return "sigmoid"
    return "softmax"


def _bias(layer: torch.nn.Linear) -> torch.Tensor:
    return layer.weight.new_zeros(layer.out_features) if layer.bias is None else layer.bias


def _array(tensor: torch.Tensor) -> Array:
    return tensor.detach().to("cpu", torch.float32).numpy().copy()
