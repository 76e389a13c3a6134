"""Weighted sums of wordpiece rows as token rows, and the exact transpose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy

from .._align import gather_sum, scatter_add
from ..types import Array
from .offsets import Alignment

if TYPE_CHECKING:
    from thinc.api import Ops


def apply_alignment(
    ops: Ops, alignment: Alignment, inputs: Sequence[Array]
) -> tuple[list[Array], Callable[[Sequence[Array]], list[Array]]]:
    """Compute token rows as weighted sums of wordpiece rows.

    out[i] = sum over the wordpieces j of token i of inputs[j] / s_j, where s_j is the number of
    tokens that are linked to wordpiece j.

    ops (Ops): thinc's operations for the device of the arrays.
    alignment (Alignment): The links of the batch.
    inputs (sequence of float, each (n_wp, width)): The wordpiece rows of each Doc.
    RETURNS (list of float, each (n_tokens, width)): The token rows of each Doc, and a callback that
        computes the gradient of the wordpiece rows from the gradient of the token rows.
    """
    if ops.device_type != "cpu":
        return _apply_to_batch(ops, alignment, inputs)
    docs = alignment.split()
    outputs = [_forward(ops, doc, X) for doc, X in zip(docs, inputs, strict=True)]
    return outputs, partial(_backward, ops, docs, [X.shape[0] for X in inputs])


def _forward(ops: Ops, doc: Alignment, X: Array) -> Array:
    """Compute the token rows of one Doc."""
    Y = ops.alloc((doc.lengths.shape[0], X.shape[1]), dtype=X.dtype, zeros=False)
    gather_sum(ops.as_contig(X), doc.rows, doc.weights.astype(X.dtype, copy=False), doc.lengths, Y)
    return Y


def _backward(
    ops: Ops, docs: Sequence[Alignment], n_rows: Sequence[int], d_outputs: Sequence[Array]
) -> list[Array]:
    """Compute the gradient of the wordpiece rows of each Doc."""
    return [_transpose(ops, doc, n, dY) for doc, n, dY in zip(docs, n_rows, d_outputs, strict=True)]


def _transpose(ops: Ops, doc: Alignment, n_rows: int, dY: Array) -> Array:
    """Compute the gradient of the wordpiece rows of one Doc."""
    dX = ops.alloc((n_rows, dY.shape[1]), dtype=dY.dtype)
    scatter_add(
        ops.as_contig(dY), doc.rows, doc.weights.astype(dY.dtype, copy=False), doc.lengths, dX
    )
    return dX


def _apply_to_batch(
    ops: Ops, alignment: Alignment, inputs: Sequence[Array]
) -> tuple[list[Array], Callable[[Sequence[Array]], list[Array]]]:
    """Compute the token rows of all Docs in a few calls; on a GPU, calls cost more than sums."""
    if not inputs:
        return [], lambda d_outputs: []
    n_rows = numpy.asarray([X.shape[0] for X in inputs])
    first_rows = numpy.repeat(numpy.cumsum(n_rows) - n_rows, alignment.n_tokens)
    rows = ops.asarray1i(alignment.rows + numpy.repeat(first_rows, alignment.lengths))
    shape, dtype = (int(n_rows.sum()), inputs[0].shape[1]), inputs[0].dtype
    weights: Array = ops.asarray(alignment.weights[:, None], dtype=dtype)

    def backprop(d_outputs: Sequence[Array]) -> list[Array]:
        dX = ops.alloc(shape, dtype=dtype)
        dY = ops.xp.concatenate(d_outputs)
        ops.scatter_add(dX, rows, ops.xp.repeat(dY, alignment.lengths.tolist(), axis=0) * weights)
        return _split_rows(ops, dX, n_rows)

    if not alignment.rows.size:  # reduce_sum loses the width of an empty array
        Y = ops.alloc((len(alignment.lengths), shape[1]), dtype=dtype)
    else:
        linked = ops.xp.concatenate(inputs)[rows] * weights
        Y = ops.reduce_sum(linked, ops.asarray1i(alignment.lengths))
    return _split_rows(ops, Y, alignment.n_tokens), backprop


def _split_rows(ops: Ops, joined: Array, sizes: Array) -> list[Array]:
    """Split the rows of a batch into those of each Doc."""
    # Copies, so that keeping one Doc does not keep the whole batch in memory.
    return [part.copy() for part in ops.xp.split(joined, numpy.cumsum(sizes)[:-1].tolist())]
