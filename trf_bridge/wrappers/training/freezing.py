"""Which weights are updated, and how fast. Both depend on the depth of a weight in the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from ... import errors
from ..traits import probe

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def freeze_weights(model: PreTrainedModel, freeze: str | int) -> None:
    """Exclude weights from training.

    model (PreTrainedModel): The model; the `requires_grad` of its weights is set.
    freeze (str, int): "none"; "embeddings"; n for the embeddings and the lowest n layers; "all".
    RAISES (ValueError): TB019 if the model has fewer layers.
    """
    model.requires_grad_(freeze != "all")
    if freeze in ("none", "all"):
        return
    n_layers = freeze if isinstance(freeze, int) else 0
    embeddings, layers = find_depths(model)
    if n_layers > len(layers):
        raise ValueError(errors.TB019.format(got=n_layers, n_layers=len(layers)))
    for group in [embeddings, *layers[:n_layers]]:
        for parameter in group:
            parameter.requires_grad_(False)


def learn_rate_scales(model: PreTrainedModel, decay: float) -> dict[str, float]:
    """Compute the factor of each weight's learning rate: lower layers learn more slowly.

    The highest layer and everything above it have the factor 1. Each layer below has `decay` times
    the factor of the layer above, and the embeddings `decay` times the factor of the lowest layer.

    model (PreTrainedModel): The model.
    decay (float): From 0 to 1; 1 for the same rate everywhere.
    RETURNS (dict): Factor by name of the weights; weights that are not listed have the factor 1.
    SOURCE: Howard and Ruder (2018), Universal Language Model Fine-tuning for Text Classification,
        section 3.2, "discriminative fine-tuning".
    """
    if decay == 1.0:
        return {}
    embeddings, layers = find_depths(model)
    factors: dict[int, float] = {}
    for i, layer in enumerate(layers):
        factors.update({id(weights): decay ** (len(layers) - 1 - i) for weights in layer})
    factors.update({id(weights): decay ** len(layers) for weights in embeddings})
    return {
        name: factors[id(weights)]
        for name, weights in model.named_parameters()
        if id(weights) in factors
    }


def find_depths(
    model: PreTrainedModel,
) -> tuple[list[torch.nn.Parameter], list[list[torch.nn.Parameter]]]:
    """Sort the weights of a model into embeddings and layers.

    A layer is what the outermost module lists hold at one position. Only lists whose length is the
    number of layers in the config count; XLM has several of them side by side. If there are none,
    as in ALBERT, which runs one layer several times, the longest of the outermost lists count.
    Embeddings are the embedding tables outside of the layers, and the modules that run before the
    lowest layer, such as norms and projections.

    model (PreTrainedModel): The model, in evaluation mode; run once, on a few wordpieces.
    RETURNS (tuple): Weights of the embeddings, and weights of each layer, the lowest first. Weights
        above the layers are in neither.
    """
    stacks = _find_stacks(model)
    layers: list[list[torch.nn.Parameter]] = []
    if stacks:
        layers = [[p for s in stacks for p in s[i].parameters()] for i in range(len(stacks[0]))]
    in_layers = {id(weights) for layer in layers for weights in layer}
    tables = [module for module in model.modules() if isinstance(module, torch.nn.Embedding)]
    early = _run_before(model, [stack[0] for stack in stacks]) if stacks else []
    embeddings = {id(p): p for m in [*tables, *early] for p in m.parameters()}
    return [p for key, p in embeddings.items() if key not in in_layers], layers


def _find_stacks(model: PreTrainedModel) -> list[Any]:
    """Return the module lists that hold the layers, all of the same length."""
    n_layers = int(getattr(model.config, "num_hidden_layers", 0) or 0)
    stacks = _outermost_lists(model, n_layers)
    if not stacks:
        outermost = _outermost_lists(model, None)
        longest = max((len(stack) for stack in outermost), default=0)
        stacks = [stack for stack in outermost if len(stack) == longest]
    return stacks


def _outermost_lists(module: Any, length: int | None) -> list[Any]:
    """Return the outermost module lists of a length, or all that are not empty."""
    if isinstance(module, torch.nn.ModuleList) and len(module) and length in (None, len(module)):
        return [module]
    return [stack for child in module.children() for stack in _outermost_lists(child, length)]


def _run_before(model: PreTrainedModel, lowest: list[Any]) -> list[Any]:
    """Return the modules that finish before any module of the lowest layer starts."""
    in_lowest = {id(module) for top in lowest for module in top.modules()}
    finished: list[Any] = []
    started: list[Any] = []
    hooks = [
        module.register_forward_pre_hook(lambda module, _: started.append(module))
        if id(module) in in_lowest
        else module.register_forward_hook(
            lambda module, *_: None if started else finished.append(module)
        )
        for module in model.modules()
    ]
    try:
        probe(model)
    finally:
        for hook in hooks:
            hook.remove()
    return finished
