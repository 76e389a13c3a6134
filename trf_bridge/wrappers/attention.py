"""The attention of short inputs on a CPU, as two batched products.

torch's fused attention multiplies the matrices of one head of one input at a time. Those of short
inputs are so small that calling for a product takes longer than computing it.
"""

from __future__ import annotations

from typing import cast

import torch

from .dropout import drop_out

# The longest inputs that gain by it, and how many it takes. Attention to 16 inputs of 24 wordpieces
# takes three quarters of the time; beyond these bounds, as long as before.
SHORT = 128
MANY = 4


def attend_by_products(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
) -> torch.Tensor:
    """Attend by two batched products, as in equation 1 of Vaswani et al. (2017).

    query, key, value (Tensor, (n, heads, longest, width)): What to attend with.
    mask (Tensor): True, or a number to add, for each pair that is seen; None where all are.
    scaling (float): What scores are multiplied with; None for 1 / sqrt(width).
    dropout (float): Rate of weights that are dropped.
    RETURNS (Tensor, (n, longest, heads, width)): Weighted sums.
    """
    n, heads, _, width = query.shape
    scale = width**-0.5 if scaling is None else scaling
    # In bf16 scores would be rounded, and oneDNN, which multiplies then, keeps half a megabyte for
    # each shape.
    precision = torch.promote_types(query.dtype, torch.float32)
    with torch.autocast("cpu", enabled=False):
        q, k, v = (states.flatten(0, 1).to(precision) for states in (query, key, value))
        scores = torch.baddbmm(q.new_empty(()), q, k.mT, beta=0, alpha=scale)
        scores = scores.unflatten(0, (n, heads))
        if mask is not None and mask.dtype == torch.bool:
            scores = scores.masked_fill(~mask, float("-inf"))
        elif mask is not None:
            scores = scores + mask
        weights = torch.softmax(scores, -1)
        if dropout:
            weights = drop_out(weights, dropout)
        attended = torch.bmm(weights.flatten(0, 1), v).to(query.dtype)
    return cast(torch.Tensor, attended.unflatten(0, (n, heads)).transpose(1, 2))
