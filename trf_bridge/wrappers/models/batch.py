"""The inputs of many Docs as one flat batch, and padded subbatches cut from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy

from ...types import Array, Wordpieces


@dataclass(frozen=True)
class Subbatch:
    """A padded batch, or one row without padding, and where its cells belong.

    indices (int64, (n,)): Which inputs of the batch these are.
    ids (int64, (n, longest) or (1, n_rows)): Wordpiece ids.
    type_ids (int64, likewise): Type ids, or None.
    mask (bool, (n, longest)): False for padding; None for a row without padding.
    lengths (int32, (n,)): Wordpieces that each input reads.
    cells (int64, (n_cells,)): Cells, counted row by row, whose output is kept. Padding is not,
        nor is what a window reads as context.
    rows (int64, (n_cells,)): The row of the flat batch that each of them belongs to.
    weights (float32, (n_cells,)): What each of them counts in its row; None where a row has only
        one cell.
    """

    indices: Array
    ids: Array
    type_ids: Array | None
    mask: Array | None
    lengths: Array
    cells: Array
    rows: Array
    weights: Array | None = None


@dataclass(frozen=True)
class Batch:
    """The inputs of all Docs, one after another.

    ids (int32, (n_wp,)): Wordpiece ids.
    type_ids (int32, (n_wp,)): Type ids, or None.
    n_pieces (int64, (n_docs,)): Wordpieces of each Doc.
    n_inputs (int64, (n_docs,)): Inputs of each Doc.
    run_rows (int64, (n_run,)): The rows that each input reads, input after input.
    run_lengths (int64, (n_inputs,)): How many that are.
    own (bool, (n_run,)): Whether the input also answers for that row, alone or with others.
    weights (float32, (n_run,)): 1 / (number of inputs that answer for the row); None where it is
        one for every row.
    """

    ids: Array
    type_ids: Array | None
    n_pieces: Array
    n_inputs: Array
    run_rows: Array
    run_lengths: Array
    own: Array
    weights: Array | None = None

    def take(self, indices: Array, pad_id: int) -> Subbatch:
        """Pad some of the inputs to the longest of them.

        indices (int64, (n,)): Which inputs.
        pad_id (int): The id to fill up with.
        RETURNS (Subbatch): The padded inputs.
        """
        lengths = self.run_lengths[indices]
        starts = (numpy.cumsum(self.run_lengths) - self.run_lengths)[indices]
        columns = numpy.arange(lengths.max(initial=0))
        mask = columns < lengths[:, None]
        at = numpy.where(mask, starts[:, None] + columns, 0)
        rows = self.run_rows[at]
        kept = mask & self.own[at]
        return Subbatch(
            indices=indices,
            ids=_widen(numpy.where(mask, self.ids[rows], pad_id).astype("int64"), pad_id),
            type_ids=(
                None
                if self.type_ids is None
                else _widen(numpy.where(mask, self.type_ids[rows], 0).astype("int64"), 0)
            ),
            mask=_widen(mask, 0),
            lengths=lengths,
            cells=numpy.flatnonzero(kept),
            rows=rows[kept],
            weights=None if self.weights is None else self.weights[at][kept],
        )

    def take_unpadded(self, indices: Array) -> Subbatch:
        """Lay some of the inputs one after another.

        indices (int64, (n,)): Which inputs. Those without wordpieces are left out.
        RETURNS (Subbatch): The inputs in one row.
        """
        indices = indices[self.run_lengths[indices] > 0]
        lengths = self.run_lengths[indices]
        starts = (numpy.cumsum(self.run_lengths) - self.run_lengths)[indices]
        shifts = starts - (numpy.cumsum(lengths) - lengths)
        at = numpy.arange(lengths.sum()) + numpy.repeat(shifts, lengths)
        rows, kept = self.run_rows[at], self.own[at]
        return Subbatch(
            indices=indices,
            ids=self.ids[rows][None],
            type_ids=None if self.type_ids is None else self.type_ids[rows][None],
            mask=None,
            lengths=lengths,
            cells=numpy.flatnonzero(kept),
            rows=rows[kept],
            weights=None if self.weights is None else self.weights[at][kept],
        )


def _widen(padded: Array, filler: int) -> Array:
    """A column of padding where there is none: models differ in what they make of no wordpieces."""
    if padded.shape[1]:
        return padded
    return numpy.full((len(padded), 1), filler, dtype=padded.dtype)


def make_batch(docs: Sequence[Wordpieces]) -> Batch:
    """Put the inputs of all Docs one after another.

    docs (sequence of Wordpieces, (n_docs,)): The wordpieces of each Doc.
    RETURNS (Batch): All of them.
    """
    n_pieces = numpy.asarray([len(doc) for doc in docs], dtype="int64")
    n_inputs = numpy.asarray([len(doc.lengths) for doc in docs], dtype="int64")
    first_rows = numpy.cumsum(n_pieces) - n_pieces
    lengths = _concatenate([doc.lengths for doc in docs])
    run_rows, run_lengths = [], []
    for doc, first_row in zip(docs, first_rows.tolist(), strict=True):
        if doc.runs is None:
            run_rows.append(numpy.arange(first_row, first_row + len(doc)))
            run_lengths.append(doc.lengths)
        else:
            run_rows.append(first_row + doc.runs.rows)
            run_lengths.append(doc.runs.lengths)
    rows = _concatenate(run_rows)
    row_ends = numpy.cumsum(lengths)
    all_run_lengths = _concatenate(run_lengths)
    first = numpy.repeat(row_ends - lengths, all_run_lengths)
    last = numpy.repeat(row_ends, all_run_lengths)
    own = (rows >= first) & (rows < last)
    means = numpy.asarray([doc.runs is not None and doc.runs.mean for doc in docs], dtype="bool")
    weights = None
    if means.any():
        own |= numpy.repeat(means, [len(run) for run in run_rows])
        weights = (1 / numpy.bincount(rows[own]))[rows].astype("float32")
    type_ids = [doc.type_ids for doc in docs if doc.type_ids is not None]
    return Batch(
        ids=_concatenate([doc.ids for doc in docs]),
        type_ids=_concatenate(type_ids) if docs and len(type_ids) == len(docs) else None,
        n_pieces=n_pieces,
        n_inputs=n_inputs,
        run_rows=rows,
        run_lengths=all_run_lengths,
        own=own,
        weights=weights,
    )


def _concatenate(arrays: Sequence[Array]) -> Array:
    if not arrays:
        return numpy.empty((0,), dtype="int64")
    return numpy.concatenate(arrays).astype("int64", copy=False)
