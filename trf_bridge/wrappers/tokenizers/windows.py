"""How inputs longer than the model's maximum are handled: truncation and overlapping windows.

Everything about it is decided here, for single texts, for pairs of texts, and for every kind of
tokenizer. The tokenizer splits the whole text into wordpieces first. A plan then lists, for each
input of the model, the wordpieces that it reads, those of them whose rows it provides, and the
characters that it covers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, TypeAlias

import numpy

from ... import errors
from ...arrays import concatenate
from ...settings import OVERFLOW, WINDOW_ROWS, check_choice
from ...types import Array

Range: TypeAlias = tuple[int, int]


class Plan(NamedTuple):
    """The inputs in which the model reads one text, or one pair of texts.

    rows (int64, (n_wp,)): The wordpieces whose rows each input provides, as indices into those of
        the whole text, input after input. Every input provides its own copy of the boundary pieces.
    lengths (int32, (n_inputs,)): Number of these wordpieces for each input.
    spans (int32, (n_inputs, n_parts, 2)): Characters that each input covers of the text, or of each
        text of the pair.
    read_rows (int32, (n_read,)): The wordpieces that each input reads, as indices into `rows`.
    read_lengths (int32, (n_inputs,)): Number of wordpieces that each input reads.
    truncated (bool): Whether wordpieces were dropped.
    """

    rows: Array
    lengths: Array
    spans: Array
    read_rows: Array
    read_lengths: Array
    truncated: bool = False


class _Stretches(NamedTuple):
    """How the inputs proceed through one part: the text, or one text of a pair.

    read (list of int64, each (n_read,)): The wordpieces of the part that each input reads.
    own (list of int64, each (n_own,)): Those whose rows it provides.
    spans (list of tuple of int): The characters that it covers.
    """

    read: list[Array]
    own: list[Array]
    spans: list[Range]


class _Window(NamedTuple):
    """One input of the model.

    read (int64, (n_read,)): The wordpieces that it reads, ascending.
    is_own (bool, (n_read,)): Whether it provides their rows; the others are context.
    spans (list of tuple of int, (n_parts,)): The characters that it covers of each part.
    """

    read: Array
    is_own: Array
    spans: list[Range]


@dataclass(frozen=True)
class WindowPlanner:
    """Plans the inputs of texts and pairs, given the wordpieces of the whole text.

    A text that is too long is truncated at the end. A pair loses wordpieces at the end of its
    longer text, and of both texts once they are equally long: "longest first", the default of
    Hugging Face's tokenizers. In windows, the first one reads that start of the text or the pair.
    Each further window moves on in one text, and in a pair beside the same start of the other.

    limit (int): The maximum number of wordpieces of an input, boundary pieces included.
    overflow (str): "truncate", "window", or "strided" for windows of the wordpieces of a text with
        its boundary pieces, which are then at the ends of the first and the last window alone. They
        start every `limit - stride` wordpieces, and a row is the mean of all. Pairs have ordinary
        windows.
    stride (int): Wordpieces that neighbouring windows share; at most half of what they read of the
        text that they move along.
    window_rows (str): The row of a wordpiece that several windows of a text read: that of the
        window with the "most_context", or the "mean" of all, for which each window covers all that
        it reads. In windows of a pair it is always the row of the most context.
    """

    limit: int
    overflow: str
    stride: int
    window_rows: str = "most_context"

    def __post_init__(self) -> None:
        """Check the options.

        RAISES (ValueError): TB008.
        """
        check_choice("overflow", self.overflow, OVERFLOW)
        check_choice("window_rows", self.window_rows, WINDOW_ROWS)

    @property
    def longest(self) -> int:
        """Return the maximum number of wordpieces of a text that is one input."""
        return self.limit if self.overflow != "strided" else self._step

    @property
    def takes_means(self) -> bool:
        """Return whether the row of a wordpiece of a text is the mean over windows."""
        return self.window_rows == "mean" or self.overflow == "strided"

    @property
    def _step(self) -> int:
        """Return the number of wordpieces from the start of a strided window to the next one."""
        return self.limit - min(self.stride, self.limit // 2)

    def plan(self, offsets: Array, sides: Array, spans: Sequence[Range]) -> Plan:
        """Plan the inputs of a text, or of a pair of texts.

        offsets (int32, (n_wp, 2)): Character start and end of each wordpiece.
        sides (int32, (n_wp,)): The part that each wordpiece belongs to: 0 for the text, or the
            first text of a pair, 1 for the second text, -1 for boundary pieces.
        spans (sequence of tuple of int, (n_parts,)): Character start and end of each part.
        RETURNS (Plan): The inputs.
        RAISES (ValueError): TB009 where the boundary pieces leave no room for both texts.
        """
        if self.overflow == "strided" and len(spans) == 1 and len(sides) > self._step:
            return _plan_strided(offsets, sides, self.limit, self._step)
        if len(sides) <= self.limit:
            return _plan_whole(len(sides), spans)
        boundary = numpy.flatnonzero(sides < 0)
        parts = [numpy.flatnonzero(sides == i) for i in range(len(spans))]
        sizes = _divide_room(self.limit, len(boundary), [len(part) for part in parts])
        truncated = self.overflow == "truncate"
        mean = self.window_rows == "mean" and len(parts) == 1
        stretches = [
            _truncate(offsets, part, span, size)
            if truncated
            else self._slide(offsets, part, span, size, mean=mean)
            for part, span, size in zip(parts, spans, sizes, strict=True)
        ]
        return _join_windows(_combine(boundary, stretches), len(sides), truncated)

    def _slide(
        self, offsets: Array, part: Array, span: Range, size: int, *, mean: bool
    ) -> _Stretches:
        """Read a part in windows of `size` wordpieces.

        The window in which a wordpiece is farthest from an end of the window provides its row. A
        window covers the text from its first own wordpiece to that of the next window, and the rest
        of its last characters: byte-level pieces of one character can fall into two windows.
        """
        overlap = min(self.stride, size // 2)
        starts = [0, *range(size - overlap, len(part) - overlap, max(size - overlap, 1))]
        # One half of an overlap is nearer to the end of a window, one to the start of the next.
        edges = [0, *(start + (overlap + 1) // 2 for start in starts[1:]), len(part)]
        read = [part[start : start + size] for start in starts]
        own = [part[start:end] for start, end in pairwise(edges)]
        chars = [span[0], *(int(offsets[rows[0], 0]) for rows in own[1:]), span[1]]
        spans = []
        for covered, (start, end) in zip(read if mean else own, pairwise(chars), strict=True):
            first = int(offsets[covered[0], 0]) if mean else start
            spans.append((min(start, first), int(offsets[covered, 1].max(initial=end))))
        return _Stretches(read, own, spans)


def _plan_whole(n_pieces: int, spans: Sequence[Range]) -> Plan:
    """Plan one input that reads everything."""
    lengths = numpy.asarray([n_pieces], dtype="int32")
    return Plan(
        rows=numpy.arange(n_pieces),
        lengths=lengths,
        spans=numpy.asarray([spans], dtype="int32"),
        read_rows=numpy.arange(n_pieces, dtype="int32"),
        read_lengths=lengths,
    )


def _plan_strided(offsets: Array, sides: Array, limit: int, step: int) -> Plan:
    """Plan windows of a text that start every `step` wordpieces, boundary pieces among them.

    A window provides the rows of the wordpieces before the next window, and covers what it reads.

    offsets (int32, (n_wp, 2)): Character start and end of each wordpiece.
    sides (int32, (n_wp,)): -1 for boundary pieces.
    limit (int): The maximum number of wordpieces of a window.
    step (int): The number of wordpieces from the start of a window to the next one.
    RETURNS (Plan): The windows.
    """
    n_pieces = len(sides)
    starts = range(0, n_pieces, step)
    read = [numpy.arange(start, min(start + limit, n_pieces)) for start in starts]
    spans, reach = [], 0
    for rows in read:
        chars = offsets[rows[sides[rows] >= 0]]
        first = int(chars[:, 0].min(initial=reach if not len(chars) else int(chars[0, 0])))
        reach = int(chars[:, 1].max(initial=first))
        spans.append([(first, reach)])
    return Plan(
        rows=numpy.arange(n_pieces),
        lengths=numpy.asarray([min(step, n_pieces - start) for start in starts], dtype="int32"),
        spans=numpy.asarray(spans, dtype="int32"),
        read_rows=concatenate(read),
        read_lengths=numpy.asarray([len(rows) for rows in read], dtype="int32"),
    )


def _divide_room(limit: int, n_boundary: int, sizes: Sequence[int]) -> list[int]:
    """Compute how many wordpieces of each part an input can read.

    SOURCE: truncate_encodings of the library tokenizers, strategy LongestFirst.
    """
    room = limit - n_boundary
    if len(sizes) == 1:
        return [room]
    if room < 2:
        message = errors.TB009.format(
            field="The model's maximum length",
            least=n_boundary + 2,
            got=limit,
            got_type="int",
            advice=f"A pair has {n_boundary} boundary pieces and a wordpiece of each text.",
        )
        raise ValueError(message)
    shorter = min(*sizes, room // 2)
    return [room - shorter, shorter] if sizes[0] > sizes[1] else [shorter, room - shorter]


def _truncate(offsets: Array, part: Array, span: Range, size: int) -> _Stretches:
    """Read the start of a part."""
    read = part[:size]
    reach = int(offsets[read, 1].max(initial=span[0]))
    return _Stretches([read], [read], [span if size >= len(part) else (span[0], reach)])


def _combine(boundary: Array, stretches: Sequence[_Stretches]) -> list[_Window]:
    """Combine the start of each part with every stretch of the other."""

    def build(read: Sequence[Array], own: Sequence[Array], spans: list[Range]) -> _Window:
        """Add the boundary pieces, and sort the wordpieces."""
        rows = numpy.sort(numpy.concatenate([boundary, *read]))
        return _Window(rows, numpy.isin(rows, numpy.concatenate([boundary, *own])), spans)

    starts = [part.read[0] for part in stretches]
    windows = [build(starts, [s.own[0] for s in stretches], [s.spans[0] for s in stretches])]
    for at, part in enumerate(stretches):
        for read, own, span in zip(part.read[1:], part.own[1:], part.spans[1:], strict=True):
            # Of the other part the window covers an empty span, before or after that of this part.
            before = [(span[0], span[0])] * at
            after = [(span[1], span[1])] * (len(stretches) - at - 1)
            reads = [*starts[:at], read, *starts[at + 1 :]]
            windows.append(build(reads, [own], [*before, span, *after]))
    return windows


def _join_windows(windows: Sequence[_Window], n_pieces: int, truncated: bool) -> Plan:
    """Number the wordpieces in the order of the windows that provide their rows."""
    own = [window.read[window.is_own] for window in windows]
    rows = numpy.concatenate(own)
    index = numpy.zeros(n_pieces, dtype="int32")
    index[rows] = numpy.arange(len(rows))
    lengths = numpy.asarray([len(part) for part in own], dtype="int32")
    read_rows = [
        # Boundary pieces have one row in each window, other wordpieces one row in all of them.
        numpy.where(window.is_own, start + numpy.cumsum(window.is_own) - 1, index[window.read])
        for window, start in zip(windows, numpy.cumsum(lengths) - lengths, strict=True)
    ]
    return Plan(
        rows=rows,
        lengths=lengths,
        spans=numpy.asarray([window.spans for window in windows], dtype="int32"),
        read_rows=concatenate(read_rows),
        read_lengths=numpy.asarray([len(part) for part in read_rows], dtype="int32"),
        truncated=truncated,
    )
