"""Which weights are updated, and how fast: by depth, found in the model's own structure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import errors

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def validate_freeze(freeze: str | int) -> None:
    """Check the option before any work is done.

    freeze (str, int): The option.
    RAISES (ValueError): TB008.
    """
    is_number = isinstance(freeze, int) and not isinstance(freeze, bool)
    if freeze in ("none", "all") or (is_number and int(freeze) >= 0):
        return
    expected = "'none', 'all', a number of layers (0 for the embeddings alone)"
    raise ValueError(errors.TB008.format(field="freeze", got=repr(freeze), expected=expected))


def freeze_weights(model: PreTrainedModel, freeze: str | int) -> None:
    """Exclude weights from training.

    model (PreTrainedModel): The model; the `requires_grad` of its weights is set.
    freeze (str, int): "none", "all", or n for the embeddings and the lowest n layers.
    RAISES (ValueError): TB019 where the model has fewer layers than that.
    """
    model.requires_grad_(freeze != "all")
    if not isinstance(freeze, int):
        return
    embeddings, layers = find_depths(model)
    if freeze > len(layers):
        raise ValueError(errors.TB019.format(got=freeze, n_layers=len(layers)))
    for group in [embeddings, *layers[:freeze]]:
        for parameter in group:
            parameter.requires_grad_(False)


def learn_rate_scales(model: PreTrainedModel, decay: float) -> dict[str, float]:
    """Give lower layers lower learning rates.

    The highest layer and what lies above it keep the full rate, each layer below has `decay` times
    the rate of the one above, and the embeddings `decay` times that of the lowest.

    model (PreTrainedModel): The model.
    decay (float): From 0 to 1; 1 for one rate everywhere.
    RETURNS (dict): Factor of the learning rate by name of the weights; 1 for those not named.
    SOURCE: Howard & Ruder 2018, Universal Language Model Fine-tuning, "discriminative fine-tuning".
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
    config says that the model has layers; XLM has several lists side by side. Embeddings are the
    embedding tables outside of the layers, with what else stands in their module as long as that
    holds no layers: BERT's holds a layer norm too.

    model (PreTrainedModel): The model.
    RETURNS (tuple): Weights of the embeddings; weights of each layer, the lowest first. What lies
        above the layers is in neither.
    """
    import torch

    n_layers = int(getattr(model.config, "num_hidden_layers", 0) or 0)
    stacks = _outermost_stacks(model, n_layers)
    layers: list[list[torch.nn.Parameter]] = []
    if stacks:
        layers = [[p for s in stacks for p in s[i].parameters()] for i in range(n_layers)]
    in_layers = {id(weights) for layer in layers for weights in layer}
    embeddings: dict[int, torch.nn.Parameter] = {}
    for module in model.modules():
        inside = list(module.parameters())
        if any(id(weights) in in_layers for weights in inside):
            # A module around the layers: only the tables that it holds directly.
            tables = [c for c in module.children() if isinstance(c, torch.nn.Embedding)]
            inside = [weights for table in tables for weights in table.parameters()]
        elif not any(isinstance(child, torch.nn.Embedding) for child in module.modules()):
            continue
        embeddings.update({id(p): p for p in inside if id(p) not in in_layers})
    return list(embeddings.values()), layers


def _outermost_stacks(module: Any, n_layers: int) -> list[Any]:
    import torch

    if isinstance(module, torch.nn.ModuleList) and len(module) == n_layers > 0:
        return [module]
    return [stack for child in module.children() for stack in _outermost_stacks(child, n_layers)]


def set_dropout(model: PreTrainedModel, rate: float) -> None:
    """Set the rate of every dropout in a model.

    Most are layers of their own; some models keep rates as numbers and call the function.

    model (PreTrainedModel): The model; changed.
    rate (float): From 0 to 1.
    """
    import torch

    for module in model.modules():
        if isinstance(module, torch.nn.modules.dropout._DropoutNd):
            module.p = rate
        for name, value in vars(module).items():
            # Layer drop is no dropout: it leaves out whole layers. A config may write 0 for 0.0.
            is_rate = isinstance(value, (int, float)) and not isinstance(value, bool)
            if is_rate and 0 <= value <= 1 and "drop" in name and "layerdrop" not in name:
                setattr(module, name, rate)
