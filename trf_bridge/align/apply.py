"""Weighted sum of wordpiece rows into token rows, and its exact transpose."""

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
    """Sum the rows of the wordpieces of each token, each shared between its tokens.

    out[i] = sum over the wordpieces j of token i of inputs[j] / s_j, where s_j tokens share j.

    ops (Ops): Where the arrays live.
    alignment (Alignment): The links of the batch.
    inputs (sequence of float, each (n_wp, width)): One array per Doc.
    RETURNS (list of float, each (n_tokens, width)): Token rows, and a callback from their gradient
        to that of the wordpiece rows.
    """
    if ops.device_type != "cpu":
        return _apply_at_once(ops, alignment, inputs)
    docs = alignment.split()
    outputs = [_forward(ops, doc, X) for doc, X in zip(docs, inputs, strict=True)]
    return outputs, partial(_backward, ops, docs, [X.shape[0] for X in inputs])


def _forward(ops: Ops, doc: Alignment, X: Array) -> Array:
    Y = ops.alloc((doc.lengths.shape[0], X.shape[1]), dtype=X.dtype, zeros=False)
    gather_sum(ops.as_contig(X), doc.rows, doc.weights.astype(X.dtype), doc.lengths, Y)
    return Y


def _backward(
    ops: Ops, docs: Sequence[Alignment], n_rows: Sequence[int], d_outputs: Sequence[Array]
) -> list[Array]:
    return [_transpose(ops, doc, n, dY) for doc, n, dY in zip(docs, n_rows, d_outputs, strict=True)]


def _transpose(ops: Ops, doc: Alignment, n_rows: int, dY: Array) -> Array:
    dX = ops.alloc((n_rows, dY.shape[1]), dtype=dY.dtype)
    scatter_add(ops.as_contig(dY), doc.rows, doc.weights.astype(dY.dtype), doc.lengths, dX)
    return dX


def _apply_at_once(
    ops: Ops, alignment: Alignment, inputs: Sequence[Array]
) -> tuple[list[Array], Callable[[Sequence[Array]], list[Array]]]:
    """All Docs in a few calls: on a GPU the number of calls costs more than the sums."""
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
        return _cut(ops, dX, n_rows)

    if not alignment.rows.size:  # reduce_sum knows no width when there is nothing to reduce
        Y = ops.alloc((len(alignment.lengths), shape[1]), dtype=dtype)
    else:
        linked = ops.xp.concatenate(inputs)[rows] * weights
        Y = ops.reduce_sum(linked, ops.asarray1i(alignment.lengths))
    return _cut(ops, Y, alignment.n_tokens), backprop


def _cut(ops: Ops, joined: Array, sizes: Array) -> list[Array]:
    # Copies, so that keeping one Doc does not keep its whole batch in memory.
    return [part.copy() for part in ops.xp.split(joined, numpy.cumsum(sizes)[:-1].tolist())]
