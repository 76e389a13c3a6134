"""Attention over a row of packed inputs: each input attends to itself alone.

transformers lets a model use another attention function, registered under a name. The one here
splits the row into groups of inputs of similar length and attends within each group. Short inputs
attend in two batched products: torch's fused attention multiplies the matrices of one head of one
input at a time, and those of short inputs are so small that the calls take longer than the
products.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from transformers import AttentionInterface, AttentionMaskInterface

from ..training.dropout import drop_out
from .layout import Group, Layout

# Name of the attention in the config of a model. It is not saved with the config.
NAME = "trf_bridge_packed"

# Groups with at least this many inputs of at most this length attend in batched products. Attention
# to 16 inputs of 24 wordpieces then takes three quarters of the time; outside of these bounds it
# takes as long as the fused attention.
MIN_BATCHED_INPUTS = 4
MAX_BATCHED_LENGTH = 128


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    layout: Layout | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Attend within each input of a row.

    The arguments are those of transformers' attention interface; see its documentation.

    query, key, value (Tensor, (1, heads, n_rows, width)): Queries, keys and values.
    attention_mask (Tensor): The model's mask of the whole row, or None.
    layout (Layout): Where the inputs lie; None for an ordinary padded batch.
    RETURNS (tuple): Weighted sums, (1, n_rows, heads, width), and None in place of the weights.
    RAISES (NotImplementedError): For a model with a position bias over the whole row. `make_engine`
        then uses another engine.
    """
    attend = AttentionInterface()["sdpa"]
    if layout is None:
        padded: tuple[torch.Tensor, None] = attend(
            module, query, key, value, attention_mask, **kwargs
        )
        return padded
    if kwargs.get("position_bias") is not None:
        raise NotImplementedError("the model adds a position bias over the whole row")
    is_causal = kwargs.get("is_causal")
    if is_causal is None:
        is_causal = getattr(module, "is_causal", True)
    # Padding comes last, and causal attention never reaches it.
    causal = attention_mask is None and is_causal
    biases = [None] * len(layout.groups) if causal else layout.biases(attention_mask, query.dtype)
    can_batch = query.device.type == "cpu" and query.shape[1] == key.shape[1] and not causal
    parts = [_split(states, layout.sizes) for states in (query, key, value)]
    attended = []
    for i, (group, bias) in enumerate(zip(layout.groups, biases, strict=True)):
        q, k, v = (_to_cells(part[i], group) for part in parts)
        if can_batch and group.n >= MIN_BATCHED_INPUTS and group.longest <= MAX_BATCHED_LENGTH:
            options = {name: kwargs[name] for name in ("scaling", "dropout") if name in kwargs}
            states = attend_in_batches(q, k, v, bias, **options)
        else:
            states = attend(module, q, k, v, bias, **kwargs)[0]
        attended.append(_to_rows(states, group))
    if layout.n_filler:
        attended.append(attended[0].new_zeros((layout.n_filler, *attended[0].shape[1:])))
    return torch.cat(attended)[None], None


def attend_in_batches(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    bias: torch.Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
) -> torch.Tensor:
    """Attend in two batched products.

    query, key, value (Tensor, (n, heads, longest, width)): Queries, keys and values.
    bias (Tensor, (n, 1 or heads, 1 or longest, longest)): Added to the scores, -inf for masked
        pairs; None for no mask.
    scaling (float): Factor of the scores; None for 1 / sqrt(width).
    dropout (float): Rate of dropped attention weights.
    RETURNS (Tensor, (n, longest, heads, width)): Weighted sums.
    SOURCE: Vaswani et al. (2017), Attention Is All You Need, equation 1.
    """
    n, heads, _, width = query.shape
    scale = width**-0.5 if scaling is None else scaling
    # In bf16 the scores would be rounded, and oneDNN, which multiplies then, stores half a megabyte
    # for each shape.
    precision = torch.promote_types(query.dtype, torch.float32)
    with torch.autocast("cpu", enabled=False):
        q, k, v = (states.flatten(0, 1).to(precision) for states in (query, key, value))
        if bias is None:
            scores = torch.baddbmm(q.new_empty(()), q, k.mT, beta=0, alpha=scale)
        else:
            # The product starts from the mask, which takes no time of its own.
            start = bias.to(precision).expand(n, heads, -1, -1).flatten(0, 1)
            scores = torch.baddbmm(start, q, k.mT, alpha=scale)
        weights = torch.softmax(scores, -1)
        if dropout:
            weights = drop_out(weights, dropout)
        attended = torch.bmm(weights, v).to(query.dtype)
    return cast(torch.Tensor, attended.unflatten(0, (n, heads)).transpose(1, 2))


class _Gather(torch.autograd.Function):
    """Copy rows into cells: (n_rows, width) to (n_cells, width).

    Padding receives no gradient, so the backward pass only copies. That of torch's index_select
    adds, one number at a time.
    """

    @staticmethod
    def forward(
        ctx: Any, rows: torch.Tensor, taken: torch.Tensor, cells: torch.Tensor
    ) -> torch.Tensor:
        ctx.cells = cells
        return rows.index_select(0, taken)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (d_cells,) = gradients
        return d_cells.index_select(0, ctx.cells), None, None


class _Unpad(torch.autograd.Function):
    """Remove padding: (n_cells, width) to (n_rows, width)."""

    @staticmethod
    def forward(ctx: Any, padded: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
        ctx.cells, ctx.n_cells = cells, len(padded)
        return padded.index_select(0, cells)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (d_rows,) = gradients
        d_padded = d_rows.new_zeros((ctx.n_cells, d_rows.shape[1]))
        return d_padded.index_copy_(0, ctx.cells, d_rows), None


# `apply` has no types in torch.
_gather: Callable[..., torch.Tensor] = _Gather.apply
_unpad: Callable[..., torch.Tensor] = _Unpad.apply


def _split(states: torch.Tensor, sizes: list[int]) -> tuple[torch.Tensor, ...]:
    """Split (1, heads, n_rows, width) into the rows of each group, (size, heads, width)."""
    return torch.split_with_sizes(states[0].transpose(0, 1), sizes)


def _to_cells(rows: torch.Tensor, group: Group) -> torch.Tensor:
    """Pad (n_rows, heads, width) to (n, heads, longest, width)."""
    heads, width = rows.shape[1:]
    if group.real is None:
        return rows.view(group.n, group.longest, heads, width).transpose(1, 2)
    cells = _gather(rows.flatten(0, 1), *group.by_head(heads))
    return cells.view(group.n, heads, group.longest, width)


def _to_rows(attended: torch.Tensor, group: Group) -> torch.Tensor:
    """Remove padding from (n, longest, heads, width): (n_rows, heads, width)."""
    rows = attended.flatten(2).flatten(0, 1)
    if group.real is not None:
        rows = _unpad(rows, group.cells)
    return cast(torch.Tensor, rows.unflatten(1, attended.shape[2:]))


AttentionInterface.register(NAME, packed_attention)
AttentionMaskInterface.register(NAME, AttentionMaskInterface()["sdpa"])
