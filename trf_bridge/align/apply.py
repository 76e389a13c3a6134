"""Weighted sum of wordpiece rows into token rows, and its exact transpose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

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
    docs = alignment.split()
    outputs = [_forward(ops, doc, X) for doc, X in zip(docs, inputs, strict=True)]
    return outputs, partial(_backward, ops, docs, [X.shape[0] for X in inputs])


def _backward(
    ops: Ops, docs: Sequence[Alignment], n_rows: Sequence[int], d_outputs: Sequence[Array]
) -> list[Array]:
    return [_transpose(ops, doc, n, dY) for doc, n, dY in zip(docs, n_rows, d_outputs, strict=True)]


def _forward(ops: Ops, doc: Alignment, X: Array) -> Array:
    if not _on_cpu(ops):
        weights: Array = ops.asarray(doc.weights, dtype=X.dtype)
        linked = X[ops.asarray1i(doc.rows)] * weights[:, None]
        # reduce_sum knows no width when there is nothing to reduce.
        if not doc.rows.size:
            return ops.alloc((int(doc.n_tokens[0]), X.shape[1]), dtype=X.dtype)
        summed: Array = ops.reduce_sum(linked, ops.asarray1i(doc.lengths))
        return summed
    Y = ops.alloc((doc.lengths.shape[0], X.shape[1]), dtype=X.dtype, zeros=False)
    gather_sum(ops.as_contig(X), doc.rows, doc.weights.astype(X.dtype), doc.lengths, Y)
    return Y


def _transpose(ops: Ops, doc: Alignment, n_rows: int, dY: Array) -> Array:
    dX = ops.alloc((n_rows, dY.shape[1]), dtype=dY.dtype)
    if not _on_cpu(ops):
        weights: Array = ops.asarray(doc.weights, dtype=dY.dtype)
        spread = ops.xp.repeat(dY, doc.lengths.tolist(), axis=0) * weights[:, None]
        ops.scatter_add(dX, ops.asarray1i(doc.rows), spread)
        return dX
    scatter_add(ops.as_contig(dY), doc.rows, doc.weights.astype(dY.dtype), doc.lengths, dX)
    return dX


def _on_cpu(ops: Ops) -> bool:
    return ops.device_type == "cpu"
