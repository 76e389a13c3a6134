"""Dropout on a CPU, drawn in a fifth of the time.

torch draws one number after the other for it. Here one random number of 64 bits serves four cells.
"""

from __future__ import annotations

import torch
from torch import nn

LEVELS = 1 << 16  # of 16 bits; the rate is rounded to one of them


class FastDropout(nn.Dropout):
    """A dropout layer that draws 16 bits for each cell.

    Not made but turned into: `layer.__class__ = FastDropout`.
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """RETURNS (Tensor): The input with a part of its cells zero and the others scaled up."""
        return drop_out(input, self.p) if self.training else input


def use_fast_dropout(model: nn.Module) -> None:
    """Turn the dropout layers of a model into fast ones.

    model (nn.Module): The model; changed.
    """
    for module in model.modules():
        if type(module) is nn.Dropout and not module.inplace:
            module.__class__ = FastDropout


def drop_out(input: torch.Tensor, rate: float) -> torch.Tensor:
    """Set a part of a tensor to zero and scale the rest up, so that the mean stays.

    input (Tensor): Any tensor.
    rate (float): The part, from 0 to 1.
    RETURNS (Tensor): The result, of the same shape.
    """
    n_dropped = round(rate * LEVELS)
    if n_dropped in (0, LEVELS) or input.device.type != "cpu":
        return nn.functional.dropout(input, rate)
    bits = torch.empty((input.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    levels = bits.view(torch.int16)[: input.numel()].view(input.shape)
    kept = (levels >= n_dropped - LEVELS // 2).to(input.dtype)
    return input * kept.mul_(LEVELS / (LEVELS - n_dropped))


def set_dropout(model: nn.Module, rate: float) -> None:
    """Set the rate of every dropout in a model.

    Most are layers of their own; some models keep rates as numbers and call the function.

    model (nn.Module): The model; changed.
    rate (float): From 0 to 1.
    """
    for module in model.modules():
        if isinstance(module, torch.nn.modules.dropout._DropoutNd):
            module.p = rate
        for name, value in vars(module).items():
            # Layer drop is no dropout: it leaves out whole layers. A config may write 0 for 0.0.
            is_rate = isinstance(value, (int, float)) and not isinstance(value, bool)
            if is_rate and 0 <= value <= 1 and "drop" in name and "layerdrop" not in name:
                setattr(module, name, rate)
