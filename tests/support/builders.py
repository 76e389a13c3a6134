"""Wordpieces built by hand."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any

import numpy

from trf_bridge.types import Wordpieces

SHAPES = {"offsets": (-1, 2), "spans": (-1, 2)}


def build_wordpieces(lengths: list[int], **given: Any) -> Wordpieces:
    """Build inputs of some lengths: zeros for missing arrays, and no class tokens."""
    n_pieces, n_inputs = sum(lengths), len(lengths)
    defaults: dict[str, Any] = {
        "ids": [0] * n_pieces,
        "type_ids": None,
        "offsets": [0] * 2 * n_pieces,
        "boundary": [False] * n_pieces,
        "lengths": lengths,
        "spans": [0] * 2 * n_inputs,
        "class_rows": [-1] * n_inputs,
    }
    values = {**defaults, **given}
    needed = {f.name for f in fields(Wordpieces) if f.default is MISSING}
    assert needed <= set(values)
    return Wordpieces(**{name: _array(name, value) for name, value in values.items()})


def _array(name: str, value: Any) -> Any:
    if value is None or name in ("joined", "runs"):
        return value
    dtype = "bool" if name == "boundary" else "int32"
    return numpy.asarray(value, dtype=dtype).reshape(SHAPES.get(name, (-1,)))


def windows_of(encoded):
    """Return the rows of each input, and the rows that it reads, counted over the batch."""
    pieces = encoded.wordpieces
    ends = numpy.cumsum(pieces.lengths)
    own = [list(range(e - n, e)) for e, n in zip(ends, pieces.lengths, strict=True)]
    if pieces.runs is None:
        return own, own
    run_ends = numpy.cumsum(pieces.runs.lengths)
    rows = pieces.runs.rows
    runs = [rows[e - n : e].tolist() for e, n in zip(run_ends, pieces.runs.lengths, strict=True)]
    return own, runs
