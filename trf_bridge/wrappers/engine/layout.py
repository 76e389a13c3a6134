"""Where each input lies in a row of inputs without padding."""

from __future__ import annotations

import numpy
import torch

from ...types import Array
from .planning import make_subbatches

# The most cells of a group on a CPU: its scores are to stay in the cache.
CELLS = 1024


class Group:
    """Inputs of similar length, next to each other in the row, which attend in one call.

    The shorter ones are padded with their first wordpiece, which keeps all numbers finite.
    """

    def __init__(self, start: int, lengths: Array, device: torch.device) -> None:
        """Lay inputs out below each other.

        start (int): The row of the first wordpiece.
        lengths (int, (n,)): Wordpieces of each input, in falling order.
        device (torch.device): Where the model is.
        """
        self.start, self.n_rows = start, int(lengths.sum())
        self.n, self.longest = len(lengths), int(lengths[0])
        columns = numpy.arange(self.longest)
        real = columns < lengths[:, None]
        first = start + (numpy.cumsum(lengths) - lengths)[:, None]
        # The row of each cell, (n, longest).
        self.rows = torch.from_numpy(numpy.where(real, first + columns, first)).to(device)
        # False for padding, (n, longest); None where all are equally long.
        self.real = None if real.all() else torch.from_numpy(real).to(device)
        # The cell of each row, (n_rows,).
        self.cells = torch.from_numpy(numpy.flatnonzero(real)).to(device)
        self._by_head: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def by_head(self, heads: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Where each head of a row goes when heads come before columns, and where from.

        heads (int): How many heads.
        RETURNS (tuple of int64, (n * heads * longest,) and (n_rows * heads,)): For each cell the
            row and head that it takes, counted in the group, and for each of these its cell.
        """
        if heads not in self._by_head:
            head = torch.arange(heads, device=self.rows.device)
            taken = (self.rows - self.start)[:, None, :] * heads + head[:, None]
            index = torch.div(self.cells, self.longest, rounding_mode="floor")[:, None]
            cells = (index * heads + head) * self.longest + (self.cells % self.longest)[:, None]
            self._by_head[heads] = taken.flatten(), cells.flatten()
        return self._by_head[heads]


class Layout:
    """Where each input lies in a row."""

    def __init__(self, lengths: Array, device: torch.device, n_filler: int = 0) -> None:
        """Group the inputs of a row.

        lengths (int, (n_inputs,)): Wordpieces of each input, in falling order.
        device (torch.device): Where the model is.
        n_filler (int): Wordpieces behind them that nobody asks about. They attend to nothing.
        """
        self.n_filler = n_filler
        self.starts = torch.from_numpy(numpy.cumsum(lengths) - lengths).to(device)
        self.groups: list[Group] = []
        # All layers of a model share one mask, or two. The mask is kept with what came of it, so
        # that no other can have its id.
        self._biases: dict[
            tuple[int, torch.dtype], tuple[torch.Tensor | None, list[torch.Tensor | None]]
        ] = {}
        start = 0
        # On a GPU a call costs more than padding does, so there all attend in one.
        largest = CELLS if device.type == "cpu" else 0
        for indices in make_subbatches(lengths, largest):
            self.groups.append(Group(start, lengths[indices], device))
            start += self.groups[-1].n_rows
        self.sizes = [*(group.n_rows for group in self.groups), n_filler]

    def biases(self, mask: torch.Tensor | None, dtype: torch.dtype) -> list[torch.Tensor | None]:
        """What to add to the scores of each group, so that no input sees another, nor padding.

        mask (Tensor, (1, 1 or heads, n_rows, n_rows)): What the model says of the whole row: True,
            or a number to add, for each pair of rows; None where every wordpiece of an input may
            see every other.
        dtype (torch.dtype): Precision of the scores.
        RETURNS (list of Tensor, (n, 1 or heads, 1 or longest, longest)): One per group, None where
            there is nothing to add.
        """
        key = id(mask), dtype
        if key not in self._biases:
            biases = [_group_bias(group, mask, dtype) for group in self.groups]
            self._biases[key] = (mask, biases)
        return self._biases[key][1]


def _group_bias(group: Group, mask: torch.Tensor | None, dtype: torch.dtype) -> torch.Tensor | None:
    """As numbers and not as what is seen: torch makes them of that in every layer again."""
    unseen = None if group.real is None else ~group.real[:, None, None, :]
    if mask is not None:
        own = mask[0][:, group.rows[:, :, None], group.rows[:, None, :]].transpose(0, 1)
        if own.dtype == torch.bool:
            unseen = ~own if unseen is None else ~own | unseen
        else:
            own = own.to(dtype)
            return own if unseen is None else own.masked_fill(unseen, float("-inf"))
    if unseen is None:
        return None
    return torch.zeros(unseen.shape, dtype=dtype, device=unseen.device).masked_fill_(
        unseen, float("-inf")
    )
