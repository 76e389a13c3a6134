"""The modules of post-norm encoders by their part in the computation."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any, NamedTuple

import torch
from torch import nn

from .linear import OneDnnLinear


class NotSupportedError(ValueError):
    """A model is not computed by the engine `encoder`. The message is the reason."""


class LayerModules(NamedTuple):
    """The modules of one layer."""

    query: nn.Linear
    key: nn.Linear
    value: nn.Linear
    attention_output: nn.Linear
    attention_norm: nn.LayerNorm
    inner: nn.Linear
    activation: Callable[[torch.Tensor], torch.Tensor]
    output: nn.Linear
    output_norm: nn.LayerNorm


class EncoderModules(NamedTuple):
    """The modules of an encoder.

    words, positions, types (nn.Embedding): The tables; `types` is None for a model without types.
    norm (nn.LayerNorm): The norm of their sum.
    projection (nn.Linear): From the width of the embeddings to that of the layers; None for equal
        widths.
    layers (list of LayerModules): The layers, the lowest first.
    pooler (nn.Module): Computes the pooler output from the last states; None for no pooler.
    n_heads (int): Number of attention heads.
    first_position (int): Position of the first wordpiece of an input.
    """

    words: nn.Embedding
    positions: nn.Embedding
    types: nn.Embedding | None
    norm: nn.LayerNorm
    projection: nn.Linear | None
    layers: list[LayerModules]
    pooler: nn.Module | None
    n_heads: int
    first_position: int


# The modules of a layer, in the order of LayerModules.
BERT_NAMES = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "attention.output.LayerNorm",
    "intermediate.dense",
    "intermediate.intermediate_act_fn",
    "output.dense",
    "output.LayerNorm",
)
DISTILBERT_NAMES = (
    "attention.q_lin",
    "attention.k_lin",
    "attention.v_lin",
    "attention.out_lin",
    "sa_layer_norm",
    "ffn.lin1",
    "ffn.activation",
    "ffn.lin2",
    "output_layer_norm",
)

# Where transformers stores the layers, and the modules of each, by the type of the model. Others
# use the same names for attention that is computed in another way, which few inputs show.
PATHS = {
    **dict.fromkeys(
        ("bert", "roberta", "xlm-roberta", "camembert", "electra"), ("encoder.layer", BERT_NAMES)
    ),
    "distilbert": ("transformer.layer", DISTILBERT_NAMES),
}


def find_modules(model: Any) -> EncoderModules:
    """Find the modules of a post-norm encoder with absolute positions.

    model (PreTrainedModel): The model.
    RETURNS (EncoderModules): Its modules.
    RAISES (NotSupportedError): If the model is of another kind, or has other modules, or hooks.
    """
    model_type = model.config.model_type
    if model_type not in PATHS:
        known = ", ".join(PATHS)
        raise NotSupportedError(f"its model_type is '{model_type}', not one of {known}")
    position_type = getattr(model.config, "position_embedding_type", None) or "absolute"
    if position_type != "absolute":
        raise NotSupportedError(f"its positions are '{position_type}', not 'absolute'")
    path, names = PATHS[model_type]
    embeddings = model.embeddings
    positions = _embedding(embeddings, "position_embeddings")
    types = getattr(embeddings, "token_type_embeddings", None)
    projection = getattr(model, "embeddings_project", None)
    modules = EncoderModules(
        words=_embedding(embeddings, "word_embeddings"),
        positions=positions,
        types=None if types is None else _embedding(embeddings, "token_type_embeddings"),
        norm=_norm(embeddings, "LayerNorm"),
        projection=None if projection is None else _linear(model, "embeddings_project"),
        layers=[_layer(layer, names) for layer in _get(model, path)],
        pooler=getattr(model, "pooler", None),
        n_heads=int(model.config.num_attention_heads),
        first_position=0 if positions.padding_idx is None else int(positions.padding_idx) + 1,
    )
    _check_rest(model, modules)
    return modules


def _check_rest(model: nn.Module, modules: EncoderModules) -> None:
    """Check that a model computes with these modules alone: no other weights, and no hooks."""
    parts = [*modules[:5], modules.pooler, *(part for layer in modules.layers for part in layer)]
    used = {id(w) for part in parts if isinstance(part, nn.Module) for w in part.parameters()}
    for name, weights in model.named_parameters():
        if id(weights) not in used:
            raise NotSupportedError(f"it has other weights, '{name}'")
    for name, module in model.named_modules():
        if _has_hooks(module) or "forward" in vars(module):
            raise NotSupportedError(f"its module '{name}' has a hook or another forward")
    width = modules.layers[0].output.out_features
    if any(layer.query.out_features != width for layer in modules.layers):
        raise NotSupportedError("some of its attention heads were removed")


def _layer(layer: nn.Module, names: tuple[str, ...]) -> LayerModules:
    found: dict[str, Any] = {}
    for field, path in zip(LayerModules._fields, names, strict=True):
        if field == "activation":
            found[field] = _get(layer, path)
        elif field.endswith("norm"):
            found[field] = _norm(layer, path)
        else:
            found[field] = _linear(layer, path)
    if not callable(found["activation"]):
        raise NotSupportedError(f"it has no activation function '{names[6]}'")
    return LayerModules(**found)


def _has_hooks(module: nn.Module) -> bool:
    """Return whether a module has hooks besides those by which transformers 5 records outputs."""
    hooks = [*module._forward_hooks.values(), *module._forward_pre_hooks.values()]
    modules = [getattr(hook, "__module__", None) or "" for hook in hooks]
    return not all(module.startswith("transformers.") for module in modules)


def _embedding(parent: Any, name: str) -> nn.Embedding:
    found: nn.Embedding = _check(getattr(parent, name, None), f"embeddings.{name}", nn.Embedding)
    return found


def _linear(parent: Any, path: str) -> nn.Linear:
    found: nn.Linear = _check(_get(parent, path), path, nn.Linear, OneDnnLinear)
    return found


def _norm(parent: Any, path: str) -> nn.LayerNorm:
    found: nn.LayerNorm = _check(_get(parent, path), path, nn.LayerNorm)
    if found.weight is None or found.bias is None:
        raise NotSupportedError(f"its module '{path}' has no weights or no bias")
    return found


def _check(module: Any, path: str, *types: type) -> Any:
    """Check that a module is of one of some types and no subclass, which may compute more."""
    if module is None:
        raise NotSupportedError(f"it has no module '{path}'")
    if type(module) not in types:
        got = f"{type(module).__module__}.{type(module).__name__}"
        raise NotSupportedError(f"its module '{path}' is {got}, not torch.nn.{types[0].__name__}")
    return module


def _get(parent: Any, path: str) -> Any:
    try:
        return attrgetter(path)(parent)
    except AttributeError:
        return None
