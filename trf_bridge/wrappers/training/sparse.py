"""Gradients of embedding tables. A batch uses few of their rows.

The gradient of each subbatch would be as large as the whole table, with zeros in nearly all rows.
Sparse gradients hold only the rows that are used. They are converted to dense ones once per batch.
"""

from __future__ import annotations

import torch


class SparseGradients:
    """Gives the embedding tables of a model sparse gradients until the end of a batch."""

    def __init__(self, model: torch.nn.Module) -> None:
        """Turn sparse gradients on.

        model (torch.nn.Module): The model; changed.
        """
        self._tables = []
        for module in model.modules():
            if type(module) is torch.nn.Embedding:
                module.sparse = True
                self._tables.append(module.weight)
        # Stored from batch to batch: clearing memory is several times as fast as allocating it.
        self._dense: list[torch.Tensor | None] = [None] * len(self._tables)

    def make_dense(self) -> None:
        """Convert the sparse gradients to dense ones, which optimizers expect."""
        for i, weights in enumerate(self._tables):
            if weights.grad is None or not weights.grad.is_sparse:
                continue
            dense = self._dense[i]
            if dense is None or dense.device != weights.device:
                dense = self._dense[i] = torch.zeros_like(weights)
            dense.zero_()
            weights.grad = dense.add_(weights.grad)
