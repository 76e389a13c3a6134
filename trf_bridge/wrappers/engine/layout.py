"""Where each input lies in a row of packed inputs, and which of them attend in one call."""

from __future__ import annotations

import numpy
import torch

from ...types import Array
from .planning import plan_padded

# The maximum number of cells of a group on a CPU, so that its scores stay in the cache.
MAX_CELLS = 1024


class Group:
    """Inputs of similar length, next to each other in the row, that attend in one call.

    Shorter inputs are padded with their first wordpiece, which keeps all numbers finite.

    n (int): Number of inputs.
    longest (int): Length of the longest.
    start (int): Row of the first wordpiece.
    n_rows (int): Wordpieces of all inputs.
    rows (Tensor, int64, (n, longest)): The row of each cell.
    real (Tensor, bool, (n, longest)): False for padding; None where all inputs are equally long.
    cells (Tensor, int64, (n_rows,)): The cell of each row.
    """

    def __init__(self, start: int, lengths: Array, device: torch.device) -> None:
        """Lay out the inputs of a group.

        start (int): Row of the first wordpiece.
        lengths (int, (n,)): Wordpieces of each input, the longest first.
        device (torch.device): Device of the model.
        """
        self.start, self.n_rows = start, int(lengths.sum())
        self.n, self.longest = len(lengths), int(lengths[0])
        columns = numpy.arange(self.longest)
        real = columns < lengths[:, None]
        first = start + (numpy.cumsum(lengths) - lengths)[:, None]
        self.rows = torch.from_numpy(numpy.where(real, first + columns, first)).to(device)
        self.real = None if real.all() else torch.from_numpy(real).to(device)
        self.cells = torch.from_numpy(numpy.flatnonzero(real)).to(device)
        self._by_head: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def by_head(self, heads: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the indices that move heads in front of columns, and back.

        heads (int): Number of heads.
        RETURNS (tuple of int64, (n * heads * longest,) and (n_rows * heads,)): For each cell its
            row and head, counted in the group, and for each row and head its cell.
        """
        if heads not in self._by_head:
            head = torch.arange(heads, device=self.rows.device)
            taken = (self.rows - self.start)[:, None, :] * heads + head[:, None]
            index = torch.div(self.cells, self.longest, rounding_mode="floor")[:, None]
            cells = (index * heads + head) * self.longest + (self.cells % self.longest)[:, None]
            self._by_head[heads] = taken.flatten(), cells.flatten()
        return self._by_head[heads]


class Layout:
    """The groups of all inputs of a row."""

    def __init__(self, lengths: Array, device: torch.device, n_filler: int = 0) -> None:
        """Group the inputs of a row.

        lengths (int, (n_inputs,)): Wordpieces of each input, the longest first.
        device (torch.device): Device of the model.
        n_filler (int): Wordpieces after them, which attend to nothing and are dropped.
        """
        self.n_filler = n_filler
        self.starts = torch.from_numpy(numpy.cumsum(lengths) - lengths).to(device)
        self.groups: list[Group] = []
        # The layers of a model share one or two masks. Each is stored with its biases, so that no
        # other mask can have its id.
        self._biases: dict[
            tuple[int, torch.dtype], tuple[torch.Tensor | None, list[torch.Tensor | None]]
        ] = {}
        start = 0
        # On a GPU a call costs more than padding, so all inputs attend in one group.
        most = MAX_CELLS if device.type == "cpu" else 0
        for indices in plan_padded(lengths, most):
            self.groups.append(Group(start, lengths[indices], device))
            start += self.groups[-1].n_rows
        self.sizes = [*(group.n_rows for group in self.groups), n_filler]

    def biases(self, mask: torch.Tensor | None, dtype: torch.dtype) -> list[torch.Tensor | None]:
        """Return the bias of each group's scores, which masks other inputs and padding.

        mask (Tensor, (1, 1 or heads, n_rows, n_rows)): The model's mask of the whole row: True, or
            a number to add, for each pair of rows; None where every wordpiece of an input attends
            to every other.
        dtype (torch.dtype): Precision of the scores.
        RETURNS (list of Tensor, (n, 1 or heads, 1 or longest, longest)): One for each group; None
            where nothing is masked.
        """
        key = id(mask), dtype
        if key not in self._biases:
            biases = [_group_bias(group, mask, dtype) for group in self.groups]
            self._biases[key] = (mask, biases)
        return self._biases[key][1]


def _group_bias(group: Group, mask: torch.Tensor | None, dtype: torch.dtype) -> torch.Tensor | None:
    """Return the bias of a group as numbers: torch would convert a boolean mask in every layer."""
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
