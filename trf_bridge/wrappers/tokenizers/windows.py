"""Overlapping windows over an input that is longer than the model's maximum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy

from ...types import Array


class Window(NamedTuple):
    """One window: the wordpieces that it answers for, and those that it reads.

    ids, type_ids (int32, (n_own,)), offsets (int32, (n_own, 2)), boundary (bool, (n_own,)): Its own
        wordpieces, boundary pieces of its own among them.
    span (tuple of int): The characters that it covers: of what it answers for, or of all that it
        reads.
    run (int32, (n_run,)): Rows, counted over the own wordpieces of all windows, of everything that
        it reads: its own, and its neighbours' as context.
    """

    ids: Array
    type_ids: Array
    offsets: Array
    boundary: Array
    span: tuple[int, int]
    run: Array


def cut_windows(
    encodings: Sequence[Any], overlap: int, n_chars: int, *, mean: bool = False
) -> list[Window]:
    """Give every wordpiece of a text to the window in which it stands farthest from a cut.

    encodings (sequence of tokenizers.Encoding, (n_windows,)): Windows in order.
    overlap (int): Wordpieces, boundary pieces aside, that each repeats of the one before.
    n_chars (int): Length of the text.
    mean (bool): Whether each window covers all that it reads, because the rows of a wordpiece will
        be averaged over the windows that read it.
    RETURNS (list of Window, (n_windows,)): One for each.
    """
    offsets = [numpy.asarray(e.offsets, dtype="int32").reshape(-1, 2) for e in encodings]
    boundaries = [numpy.asarray(e.special_tokens_mask, dtype="bool") for e in encodings]
    positions, own = _assign(boundaries, overlap)
    runs = _runs(boundaries, positions, own)
    # A window covers the text from its first wordpiece to that of the next window, and what its own
    # wordpieces reach beyond that: byte-level pieces of one character can fall on both sides.
    content = [
        spans[keep & ~edge] for spans, keep, edge in zip(offsets, own, boundaries, strict=True)
    ]
    starts = [0, *(int(spans[0, 0]) for spans in content[1:]), n_chars]
    windows = []
    for i, (encoding, keep) in enumerate(zip(encodings, own, strict=True)):
        seen = offsets[i][~boundaries[i]] if mean else content[i]
        first, last = (int(seen[0, 0]), int(seen[:, 1].max())) if len(seen) else (n_chars, 0)
        windows.append(
            Window(
                ids=numpy.asarray(encoding.ids, dtype="int32")[keep],
                type_ids=numpy.asarray(encoding.type_ids, dtype="int32")[keep],
                offsets=offsets[i][keep],
                boundary=boundaries[i][keep],
                span=(min(starts[i], first), max(starts[i + 1], last)),
                run=runs[i],
            )
        )
    return windows


def _assign(boundaries: Sequence[Array], overlap: int) -> tuple[list[Array], list[Array]]:
    """Number the wordpieces through the whole text, and mark each window's own."""
    positions, own = [], []
    start = 0
    for i, boundary in enumerate(boundaries):
        n_content = int((~boundary).sum())
        position = start + numpy.cumsum(~boundary) - 1
        # Half of an overlap is nearer to the end of one window, half to the start of the next.
        first = start + ((overlap + 1) // 2 if i else 0)
        last = start + n_content
        if i < len(boundaries) - 1:
            start += n_content - overlap
            last = start + (overlap + 1) // 2
        positions.append(position)
        own.append(boundary | ((position >= first) & (position < last)))
    return positions, own


def _runs(
    boundaries: Sequence[Array], positions: Sequence[Array], own: Sequence[Array]
) -> list[Array]:
    """Find the rows that each window reads."""
    n_content = max((int(position.max(initial=-1)) for position in positions), default=-1) + 1
    row_of = numpy.zeros(n_content, dtype="int32")
    own_rows = []
    base = 0
    for boundary, position, keep in zip(boundaries, positions, own, strict=True):
        rows = base + numpy.cumsum(keep, dtype="int32") - 1
        row_of[position[keep & ~boundary]] = rows[keep & ~boundary]
        own_rows.append(rows)
        base += int(keep.sum())
    return [
        numpy.where(boundary, rows, row_of[numpy.maximum(position, 0)]) if n_content else rows
        for boundary, position, rows in zip(boundaries, positions, own_rows, strict=True)
    ]
