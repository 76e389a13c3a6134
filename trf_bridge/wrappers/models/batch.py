"""The inputs of many Docs as one flat batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy

from ...arrays import concatenate
from ...types import Array, Wordpieces
from ..engine import Inputs


@dataclass(frozen=True)
class Batch:
    """What the model reads of all Docs, and the row of the Docs' wordpieces that each part fills.

    A window reads rows of its neighbours as context, so a row of the Docs can be read several
    times.

    inputs (Inputs): The wordpieces that the model reads, n_read rows in n_inputs inputs.
    rows (int64, (n_read,)): The row of the Docs' wordpieces, counted over all Docs, of each.
    kept (bool, (n_read,)): Whether its output is stored. That of context is not.
    weights (float32, (n_read,)): Its share of the row's mean; None where no row is a mean.
    n_pieces (int64, (n_docs,)): Wordpieces of each Doc.
    n_inputs (int64, (n_docs,)): Inputs of each Doc.
    """

    inputs: Inputs
    rows: Array
    kept: Array
    weights: Array | None
    n_pieces: Array
    n_inputs: Array


def make_batch(docs: Sequence[Wordpieces]) -> Batch:
    """Put the inputs of all Docs one after another.

    docs (sequence of Wordpieces, (n_docs,)): The wordpieces of each Doc.
    RETURNS (Batch): The batch.
    """
    n_pieces = numpy.asarray([len(doc) for doc in docs], dtype="int64")
    n_inputs = numpy.asarray([len(doc.lengths) for doc in docs], dtype="int64")
    if all(doc.runs is None for doc in docs):
        return _make_plain_batch(docs, n_pieces, n_inputs)
    first_rows = numpy.cumsum(n_pieces) - n_pieces
    doc_rows, read_lengths = [], []
    for doc, first_row in zip(docs, first_rows.tolist(), strict=True):
        if doc.runs is None:
            doc_rows.append(numpy.arange(first_row, first_row + len(doc)))
            read_lengths.append(doc.lengths)
        else:
            doc_rows.append(first_row + doc.runs.rows)
            read_lengths.append(doc.runs.lengths)
    rows, lengths = _join(doc_rows), _join(read_lengths)
    # The rows of each input itself; what it reads beyond them is context.
    own_lengths = _join([doc.lengths for doc in docs])
    own_ends = numpy.cumsum(own_lengths)
    starts = numpy.repeat(own_ends - own_lengths, lengths)
    kept = (rows >= starts) & (rows < numpy.repeat(own_ends, lengths))
    is_mean = numpy.asarray([doc.runs is not None and doc.runs.mean for doc in docs], dtype="bool")
    weights = None
    if is_mean.any():
        kept |= numpy.repeat(is_mean, [len(part) for part in doc_rows])
        weights = (1 / numpy.bincount(rows[kept]))[rows].astype("float32")
    type_ids = _join_types(docs)
    return Batch(
        inputs=Inputs(
            ids=_join([doc.ids for doc in docs])[rows],
            type_ids=None if type_ids is None else type_ids[rows],
            lengths=lengths,
        ),
        rows=rows,
        kept=kept,
        weights=weights,
        n_pieces=n_pieces,
        n_inputs=n_inputs,
    )


def _make_plain_batch(docs: Sequence[Wordpieces], n_pieces: Array, n_inputs: Array) -> Batch:
    """Put the inputs of Docs one after another, if each of them reads its own wordpieces alone."""
    ids = _join([doc.ids for doc in docs])
    return Batch(
        inputs=Inputs(ids, _join_types(docs), _join([doc.lengths for doc in docs])),
        rows=numpy.arange(len(ids)),
        kept=numpy.ones(len(ids), dtype="bool"),
        weights=None,
        n_pieces=n_pieces,
        n_inputs=n_inputs,
    )


def _join_types(docs: Sequence[Wordpieces]) -> Array | None:
    """Join the type ids; None if a Doc has none."""
    type_ids = [doc.type_ids for doc in docs if doc.type_ids is not None]
    return _join(type_ids) if docs and len(type_ids) == len(docs) else None


def _join(arrays: Sequence[Array]) -> Array:
    return concatenate(arrays, dtype="int64")
