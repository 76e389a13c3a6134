"""Pairs of texts, such as premise and hypothesis, that the model reads as one input."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

import numpy

from ... import errors
from ...types import Array, Runs, Wordpieces

Range: TypeAlias = tuple[int, int]


class Pair(NamedTuple):
    """A text that holds two.

    text (str): The text.
    first, separator, second (tuple of int): Character start and end of the first text, of what
        parts it from the second, and of the second; in this order, any of the texts may be empty.
    """

    text: str
    first: Range
    separator: Range
    second: Range

    @property
    def texts(self) -> tuple[str, str]:
        """RETURNS (tuple of str): The two texts."""
        return self.text[slice(*self.first)], self.text[slice(*self.second)]


class PairPieces(NamedTuple):
    """The wordpieces of a pair, none cut off, in the order of the tokenizer's template.

    ids, type_ids (int32, (n_wp,)): As in `Wordpieces`.
    offsets (int32, (n_wp, 2)): Character start and end in the text that holds both.
    sides (int32, (n_wp,)): 0 for a piece of the first text, 1 for one of the second, -1 for a
        boundary piece.
    """

    ids: Array
    type_ids: Array
    offsets: Array
    sides: Array


class PairWindow(NamedTuple):
    """What the model reads of a pair at once.

    read (int64, (n_run,)): The wordpieces that it reads, ascending.
    own (bool, (n_run,)): Which of them it answers for; the others are context.
    segments (tuple of tuple of int, (3,)): Characters that it covers of the first text, of the
        separator and of the second.
    """

    read: Array
    own: Array
    segments: tuple[Range, Range, Range]


class Course(NamedTuple):
    """How the windows go along one of the two texts.

    read (list of int64, each (n_read,)): The wordpieces of the text that each window reads.
    own (list of int64, each (n_own,)): Those that it answers for.
    spans (list of tuple of int): The characters that it covers.
    """

    read: list[Array]
    own: list[Array]
    spans: list[Range]


def read_encoding(encoding: Any, pair: Pair) -> PairPieces:
    """Take what is needed from the Rust tokenizer's encoding of a pair.

    encoding (tokenizers.Encoding): The encoding, not cut.
    pair (Pair): The pair.
    RETURNS (PairPieces): Its wordpieces.
    """
    sides = [
        -1 if edge else side
        for edge, side in zip(encoding.special_tokens_mask, encoding.sequence_ids, strict=True)
    ]
    starts = numpy.asarray([pair.first[0], pair.second[0], 0], dtype="int32")
    offsets = numpy.asarray(encoding.offsets, dtype="int32").reshape(-1, 2)
    return PairPieces(
        ids=numpy.asarray(encoding.ids, dtype="int32"),
        type_ids=numpy.asarray(encoding.type_ids, dtype="int32"),
        offsets=offsets + starts[numpy.asarray(sides, dtype="int32")][:, None],
        sides=numpy.asarray(sides, dtype="int32"),
    )


def encode_pair(
    pieces: PairPieces, pair: Pair, *, max_length: int, overflow: str, stride: int
) -> tuple[Wordpieces, bool]:
    """Cut a pair to the model's maximum length.

    A pair that is too long loses wordpieces at the end of its longer text, and of both once they
    are equally long: "longest first", as Hugging Face's tokenizers cut pairs unless told otherwise.
    In windows, the first reads that very pair, and each further one reads on in one of the texts,
    beside the same start of the other.

    pieces (PairPieces): All wordpieces of the pair.
    pair (Pair): The pair.
    max_length (int): The most wordpieces of an input.
    overflow (str): "truncate" or "window".
    stride (int): Wordpieces that neighbouring windows share; at most half of what they read of the
        text that they go along.
    RETURNS (Wordpieces, bool): The wordpieces, without class rows and strings; and whether
        something was cut off.
    RAISES (ValueError): TB009 where the boundary pieces leave no room for both texts.
    """
    places = [numpy.flatnonzero(pieces.sides == side) for side in (0, 1)]
    sizes = (len(places[0]), len(places[1]))
    kept = sizes
    if len(pieces.ids) > max_length:
        kept = _longest_first(sizes, max_length, len(pieces.ids) - sum(sizes))
    cut = kept != sizes and overflow == "truncate"
    first, second = (
        _truncate(pieces.offsets, place, span, n)
        if cut
        else _follow(pieces.offsets, place, span, n, stride)
        for place, span, n in zip(places, (pair.first, pair.second), kept, strict=True)
    )
    return _assemble(pieces, _windows(pieces, first, second, pair.separator)), cut


def _longest_first(sizes: tuple[int, int], max_length: int, n_boundary: int) -> tuple[int, int]:
    """How many wordpieces of each text fit.

    SOURCE: truncate_encodings of the library tokenizers, strategy LongestFirst.
    """
    room = max_length - n_boundary
    if room < 2:
        message = errors.TB009.format(
            field="The model's maximum length",
            least=n_boundary + 2,
            got=max_length,
            got_type="int",
            advice=f"A pair takes {n_boundary} boundary pieces and something of each text.",
        )
        raise ValueError(message)
    shorter = min(*sizes, room // 2)
    return (room - shorter, shorter) if sizes[0] > sizes[1] else (shorter, room - shorter)


def _truncate(offsets: Array, places: Array, span: Range, size: int) -> Course:
    """Read the start of a text."""
    read = places[:size]
    reach = int(offsets[read, 1].max(initial=span[0]))
    return Course([read], [read], [span if size == len(places) else (span[0], reach)])


def _follow(offsets: Array, places: Array, span: Range, size: int, stride: int) -> Course:
    """Read a text in windows; each wordpiece is of the one in which it stands farthest from a cut.

    A window covers the text from its first wordpiece to that of the next window, and what its own
    wordpieces reach beyond that: byte-level pieces of one character can fall on both sides.
    """
    overlap = min(stride, size // 2)
    starts = [0, *range(size - overlap, len(places) - overlap, max(size - overlap, 1))]
    edges = [0, *(start + (overlap + 1) // 2 for start in starts[1:]), len(places)]
    own = [places[start:end] for start, end in pairwise(edges)]
    chars = [span[0], *(int(offsets[part[0], 0]) for part in own[1:]), span[1]]
    spans = [
        (start, max(end, int(offsets[part, 1].max(initial=start))))
        for part, (start, end) in zip(own, pairwise(chars), strict=True)
    ]
    return Course([places[start : start + size] for start in starts], own, spans)


def _windows(
    pieces: PairPieces, first: Course, second: Course, separator: Range
) -> list[PairWindow]:
    """Combine the start of each text with every stretch of the other."""
    boundary = numpy.flatnonzero(pieces.sides < 0)

    def window(i: int, j: int, own: list[Array], *segments: Range) -> PairWindow:
        read = numpy.sort(numpy.concatenate([boundary, first.read[i], second.read[j]]))
        one, two, three = segments
        return PairWindow(
            read, numpy.isin(read, numpy.concatenate([boundary, *own])), (one, two, three)
        )

    start = [first.own[0], second.own[0]]
    windows = [window(0, 0, start, first.spans[0], separator, second.spans[0])]
    for i in range(1, len(first.read)):
        end = first.spans[i][1]
        windows.append(window(i, 0, [first.own[i]], first.spans[i], (end, end), (end, end)))
    for j in range(1, len(second.read)):
        at = second.spans[j][0]
        windows.append(window(0, j, [second.own[j]], (at, at), (at, at), second.spans[j]))
    return [window for window in windows if window.read.size]  # no piece at all: no input


def _assemble(pieces: PairPieces, windows: Sequence[PairWindow]) -> Wordpieces:
    own = [window.read[window.own] for window in windows]
    order = numpy.concatenate([numpy.empty(0, dtype="int64"), *own])
    lengths = numpy.asarray([len(part) for part in own], dtype="int32")
    segments = numpy.asarray([w.segments for w in windows], dtype="int32").reshape(-1, 3, 2)
    spans = numpy.stack([segments[:, 0, 0], segments[:, 2, 1]], axis=1)
    return Wordpieces(
        ids=pieces.ids[order],
        type_ids=pieces.type_ids[order],
        offsets=pieces.offsets[order],
        boundary=pieces.sides[order] < 0,
        lengths=lengths,
        spans=spans,
        class_rows=numpy.full(len(windows), -1, dtype="int32"),
        runs=None if len(windows) <= 1 else _runs(pieces, windows, order, spans),
        segments=segments,
    )


def _runs(pieces: PairPieces, windows: Sequence[PairWindow], order: Array, spans: Array) -> Runs:
    """Find the rows that each window reads: boundary pieces of its own, anything else's one row."""
    row_of = numpy.zeros(len(pieces.ids), dtype="int32")
    row_of[order] = numpy.arange(len(order))
    rows = []
    n_own = numpy.asarray([window.own.sum() for window in windows])
    for window, first_row in zip(windows, numpy.cumsum(n_own) - n_own, strict=True):
        own_rows = first_row + numpy.cumsum(window.own) - 1
        rows.append(numpy.where(window.own, own_rows, row_of[window.read]))
    return Runs(
        rows=numpy.concatenate(rows).astype("int32"),
        lengths=numpy.asarray([len(part) for part in rows], dtype="int32"),
        texts=numpy.repeat([[spans[:, 0].min(), spans[:, 1].max()]], len(spans), axis=0),
    )
