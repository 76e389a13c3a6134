"""Gradients of embedding tables, of which a batch uses few rows.

Each subbatch would make a gradient as large as the whole table, nearly all of it zeros, and add it
to that of the last. Kept sparse, they cost what their rows cost, and are made dense once per batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def use_sparse_gradients(model: torch.nn.Module) -> None:
    """Let the embedding tables of a model have sparse gradients.

    model (torch.nn.Module): The model; changed.
    """
    import torch

    for module in model.modules():
        if type(module) is torch.nn.Embedding:
            module.sparse = True


def make_gradients_dense(model: torch.nn.Module) -> None:
    """Turn sparse gradients into what optimizers and users expect.

    model (torch.nn.Module): The model; changed.
    """
    for weights in model.parameters():
        if weights.grad is not None and weights.grad.is_sparse:
            weights.grad = weights.grad.to_dense()
