"""A step of thinc's optimizer over torch weights."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, cast

import torch
from thinc.api import Optimizer, torch2xp, xp2torch
from thinc.types import FloatsXd

Key = tuple[int, str]


def step(
    optimizer: Optimizer,
    model_id: int,
    model: torch.nn.Module,
    scales: Mapping[str, float],
) -> None:
    """Update the weights that have a gradient, in place, and delete the gradients.

    optimizer (Optimizer): thinc's optimizer.
    model_id (int): Id of the model. The optimizer stores its moments by id and name of the weights.
    model (torch.nn.Module): The model; changed.
    scales (mapping): Factor of the learning rate by name of the weights; 1 for weights that are not
        listed.
    """
    updated = {
        (model_id, name): (weights, scales.get(name, 1.0))
        for name, weights in model.named_parameters()
        if weights.grad is not None
    }
    if _is_adam(optimizer) and all(w.is_contiguous() for w, _ in updated.values()):
        _adam_step(optimizer, updated)
    else:
        _any_step(optimizer, updated)
    for weights, _ in updated.values():
        weights.grad = None


def _any_step(optimizer: Optimizer, updated: Mapping[Key, tuple[Any, float]]) -> None:
    """Call the optimizer for each weight."""
    for key, (weights, scale) in updated.items():
        # Flat, because the optimizer takes the length and a scalar has none.
        result, _ = optimizer(
            key,
            cast(FloatsXd, torch2xp(weights.data.reshape(-1))),
            cast(FloatsXd, torch2xp(weights.grad.reshape(-1))),
            lr_scale=scale,
        )
        with torch.no_grad():
            weights.copy_(xp2torch(result, device=weights.device).view_as(weights))


def _is_adam(optimizer: Optimizer) -> bool:
    # A subclass may compute something else.
    return (
        type(optimizer) is Optimizer
        and not optimizer.use_radam
        and optimizer.b1 > 0.0
        and optimizer.b2 > 0.0
    )


def _adam_step(optimizer: Optimizer, updated: Mapping[Key, tuple[Any, float]]) -> None:
    """Compute the step of thinc's Adam in one pass over the weights.

    thinc computes it one array and one operation at a time, on one core; torch's fused Adam is
    several times as fast. The formulas differ in where epsilon is added: thinc adds it to the root
    of the second moment before the correction of its bias, torch after it. The moments are stored
    in thinc's optimizer.
    """
    from torch.optim.adamw import adamw

    groups: defaultdict[tuple[int, float], list[tuple[Key, Any]]] = defaultdict(list)
    for key, (weights, scale) in updated.items():
        optimizer.nr_update[key] += 1
        groups[optimizer.nr_update[key], scale].append((key, weights))
        _prepare_gradient(optimizer, weights)
    for (n_updates, scale), members in groups.items():
        weights_of_group = [weights for _, weights in members]
        rate = optimizer.learn_rate * scale
        # thinc decays the weights after the step, and the step with them; torch before it.
        decay = rate * optimizer.L2 if optimizer.L2_is_weight_decay else 0.0
        step_rate = rate * (1.0 - decay)
        with torch.no_grad():
            adamw(
                weights_of_group,
                [weights.grad for weights in weights_of_group],
                [_moment(optimizer.mom1, key, weights) for key, weights in members],
                [_moment(optimizer.mom2, key, weights) for key, weights in members],
                [],
                [torch.tensor(float(n_updates - 1), device=w.device) for w in weights_of_group],
                fused=True,
                amsgrad=False,
                beta1=optimizer.b1,
                beta2=optimizer.b2,
                lr=step_rate,
                weight_decay=decay / step_rate if decay else 0.0,
                eps=optimizer.eps / (1.0 - optimizer.b2**n_updates) ** 0.5,
                maximize=False,
            )
            # The fused step does not increase the version of the weights. Without it, copies of
            # the old weights would stay in use: see state_of in engine/changes.py.
            torch.autograd.graph.increment_version(weights_of_group)
            if optimizer.averages is not None:
                for key, weights in members:
                    # As in Ops.update_averages.
                    decay = min((1.0 + n_updates) / (10.0 + n_updates), 0.9999)
                    _moment(optimizer.averages, key, weights).lerp_(weights, 1.0 - decay)


def _prepare_gradient(optimizer: Optimizer, weights: Any) -> None:
    # The fused step reads memory in order and ignores strides.
    gradient = weights.grad = weights.grad.contiguous()
    if optimizer.L2 != 0 and not optimizer.L2_is_weight_decay:
        gradient.add_(weights.data, alpha=optimizer.L2)
    if optimizer.grad_clip:
        norm = float(gradient.norm())
        if norm >= optimizer.grad_clip:
            gradient.mul_(optimizer.grad_clip / norm)


def _moment(moments: dict[Any, Any], key: Key, weights: Any) -> Any:
    """Return a moment that the optimizer stores for some weights, as a tensor that shares its
    memory."""
    if key not in moments:
        moments[key] = torch2xp(weights.new_zeros(weights.numel()))
    return xp2torch(moments[key], device=weights.device).view_as(weights)
