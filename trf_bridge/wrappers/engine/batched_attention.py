"""The attention of short inputs on a CPU, as two batched products.

torch's fused attention multiplies the matrices of one head of one input at a time. Those of short
inputs are so small that calling for a product takes longer than computing it.
"""

from __future__ import annotations

from typing import cast

import torch

from ..training.dropout import drop_out

# The longest inputs that gain by it, and how many it takes. Attention to 16 inputs of 24 wordpieces
# takes three quarters of the time; beyond these bounds, as long as before.
SHORT = 128
MANY = 4


def attend_by_products(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    bias: torch.Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
) -> torch.Tensor:
    """Attend by two batched products, as in equation 1 of Vaswani et al. (2017).

    query, key, value (Tensor, (n, heads, longest, width)): What to attend with.
    bias (Tensor, (n, 1 or heads, 1 or longest, longest)): What to add to the scores, -inf for pairs
        that are not seen; None for nothing.
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
        if bias is None:
            scores = torch.baddbmm(q.new_empty(()), q, k.mT, beta=0, alpha=scale)
        else:
            # Where the product starts from, which takes no time of its own.
            start = bias.to(precision).expand(n, heads, -1, -1).flatten(0, 1)
            scores = torch.baddbmm(start, q, k.mT, alpha=scale)
        weights = torch.softmax(scores, -1)
        if dropout:
            weights = drop_out(weights, dropout)
        attended = torch.bmm(weights, v).to(query.dtype)
    return cast(torch.Tensor, attended.unflatten(0, (n, heads)).transpose(1, 2))
