"""A step of thinc's optimizer over torch weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from thinc.api import Optimizer, torch2xp, xp2torch
from thinc.types import FloatsXd

if TYPE_CHECKING:
    import torch


def step(
    optimizer: Optimizer,
    model_id: int,
    model: torch.nn.Module,
    scales: Mapping[str, float],
) -> None:
    """Update the weights that have a gradient, in place, and drop the gradients.

    optimizer (Optimizer): thinc's optimizer.
    model_id (int): Tells the weights of this model from others that the optimizer knows.
    model (torch.nn.Module): The model; changed.
    scales (mapping): Factor of the learning rate by name of the weights; 1 for those not named.
    """
    for name, weights in model.named_parameters():
        if weights.grad is None:
            continue
        # Flat, because the optimizer asks for the length and a scalar has none.
        flat = weights.data.view(-1)
        updated, _ = optimizer(
            (model_id, name),
            cast(FloatsXd, torch2xp(flat)),
            cast(FloatsXd, torch2xp(weights.grad.reshape(-1))),
            lr_scale=scales.get(name, 1.0),
        )
        # On the CPU this is the memory of the weights itself.
        result = xp2torch(updated, device=weights.device)
        if result.data_ptr() != flat.data_ptr():
            flat.copy_(result)
        weights.grad = None
