"""Dropout on a CPU, drawn in a fifth of the time.

torch draws one random number for each cell, one after the other. Here a random number of 64 bits
serves four cells.
"""

from __future__ import annotations

import torch
from torch import nn

from ..modules import replace_modules, share_state

# Number of values of 16 bits. The rate is rounded to a multiple of 1 / LEVELS.
LEVELS = 1 << 16


class FastDropout(nn.Dropout):
    """A dropout layer that draws 16 bits for each cell."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Drop cells in training, and return the input unchanged in evaluation.

        input (Tensor): Any tensor.
        RETURNS (Tensor): The result, of the same shape.
        """
        return drop_out(input, self.p) if self.training else input


def use_fast_dropout(model: nn.Module) -> None:
    """Replace the dropout layers of a model by fast ones.

    model (nn.Module): The model; changed.
    """

    def convert(module: nn.Module) -> nn.Module:
        if type(module) is not nn.Dropout or module.inplace:
            return module
        return share_state(module, FastDropout)

    replace_modules(model, convert)


def drop_out(input: torch.Tensor, rate: float) -> torch.Tensor:
    """Set cells of a tensor to zero at random and scale the others up, so that the mean is kept.

    input (Tensor): Any tensor.
    rate (float): The share of cells that are set to zero, from 0 to 1.
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

    Most dropouts are layers. Some models store rates as numbers and call the function.

    model (nn.Module): The model; changed.
    rate (float): From 0 to 1.
    """
    for module in model.modules():
        if isinstance(module, torch.nn.modules.dropout._DropoutNd):
            module.p = rate
        for name, value in vars(module).items():
            # Layer drop is not dropout: it skips whole layers. A config may write 0 for 0.0.
            is_rate = isinstance(value, (int, float)) and not isinstance(value, bool)
            if is_rate and 0 <= value <= 1 and "drop" in name and "layerdrop" not in name:
                setattr(module, name, rate)
