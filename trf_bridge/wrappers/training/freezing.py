"""Which weights are updated, and how fast: by depth, found in the model's own structure."""

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

    A layer is whatever stands at one position of the outermost module lists that are as long as the
    config says that the model has layers; XLM has several lists side by side. Where no list is, as
    in ALBERT, which runs one layer again and again, it is the longest of the outermost lists.
    Embeddings are the tables outside of the layers, and the modules that run before the lowest
    layer does: norms and projections stand between the two.

    model (PreTrainedModel): The model, in evaluation mode; run once, on a few wordpieces.
    RETURNS (tuple): Weights of the embeddings; weights of each layer, the lowest first. What lies
        above the layers is in neither.
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
    """The module lists that hold the layers, all of one length."""
    n_layers = int(getattr(model.config, "num_hidden_layers", 0) or 0)
    stacks = _outermost_lists(model, n_layers)
    if not stacks:
        outermost = _outermost_lists(model, None)
        longest = max((len(stack) for stack in outermost), default=0)
        stacks = [stack for stack in outermost if len(stack) == longest]
    return stacks


def _outermost_lists(module: Any, length: int | None) -> list[Any]:
    """Of any length but zero, or of one."""

    if isinstance(module, torch.nn.ModuleList) and len(module) and length in (None, len(module)):
        return [module]
    return [found for child in module.children() for found in _outermost_lists(child, length)]


def _run_before(model: PreTrainedModel, lowest: list[Any]) -> list[Any]:
    """The modules that are done when the first of some others, or of what is in them, starts."""
    others = {id(module) for top in lowest for module in top.modules()}
    done: list[Any] = []
    started: list[Any] = []
    hooks = [
        module.register_forward_pre_hook(lambda module, _: started.append(module))
        if id(module) in others
        else module.register_forward_hook(
            lambda module, *_: None if started else done.append(module)
        )
        for module in model.modules()
    ]
    try:
        probe(model)
    finally:
        for hook in hooks:
            hook.remove()
    return done
