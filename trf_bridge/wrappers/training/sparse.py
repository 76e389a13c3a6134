"""Gradients of embedding tables, of which a batch uses few rows.

Each subbatch would make a gradient as large as the whole table, nearly all of it zeros, and add it
to that of the last. Kept sparse, they cost what their rows cost, and are made dense once per batch.
"""

from __future__ import annotations

import torch


class SparseGradients:
    """Lets the embedding tables of a model have sparse gradients between a batch and its end."""

    def __init__(self, model: torch.nn.Module) -> None:
        """Turn them on.

        model (torch.nn.Module): The model; changed.
        """

        self._tables = []
        for module in model.modules():
            if type(module) is torch.nn.Embedding:
                module.sparse = True
                self._tables.append(module.weight)
        # Kept from batch to batch: clearing memory is several times as fast as getting it anew.
        self._dense: list[torch.Tensor | None] = [None] * len(self._tables)

    def make_dense(self) -> None:
        """Turn sparse gradients into what optimizers and users expect."""

        for i, weights in enumerate(self._tables):
            if weights.grad is None or not weights.grad.is_sparse:
                continue
            dense = self._dense[i]
            if dense is None or dense.device != weights.device:
                dense = self._dense[i] = torch.zeros_like(weights)
            dense.zero_()
            weights.grad = dense.add_(weights.grad)
