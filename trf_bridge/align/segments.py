"""Wordpieces of a pair of texts: each text's to its own tokens, boundary pieces to all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy

from .._align import overlap
from ..types import Array, Wordpieces


class Segments(NamedTuple):
    """The segments of the inputs of a batch of Docs.

    chars (int32, (3, n_inputs, 2)): Characters of the first text, of the separator and of the
        second; for an input that is no pair, all of it and twice nothing.
    is_pair (bool, (n_inputs,)): Which inputs are of pairs.
    """

    chars: Array
    is_pair: Array


def find_segments(wordpieces: Sequence[Wordpieces]) -> Segments | None:
    """Collect the segments of a batch of Docs.

    wordpieces (sequence of Wordpieces, (n_docs,)): The wordpieces of each.
    RETURNS (Segments): The segments; None where no Doc is a pair.
    """
    if all(pieces.segments is None for pieces in wordpieces):
        return None
    chars, is_pair = [], []
    for pieces in wordpieces:
        if pieces.segments is None:
            ends = numpy.repeat(pieces.spans[:, 1:], 2, axis=1)
            chars.append(numpy.stack([pieces.spans, ends, ends]))
        else:
            chars.append(numpy.swapaxes(pieces.segments, 0, 1))
        is_pair.append(numpy.full(len(pieces.lengths), pieces.segments is not None))
    joined = numpy.ascontiguousarray(numpy.concatenate(chars, axis=1), dtype="int32")
    return Segments(joined, numpy.concatenate(is_pair))


def overlap_segments(
    tokens: Array,
    bounds: Array,
    sources: Array,
    segments: Segments,
    pieces: Array,
    lengths: Array,
    boundary: Array,
) -> tuple[Array, Array]:
    """Find the tokens of each wordpiece, where some inputs are pairs.

    A token between the texts, the separator, and one that was cut off part a pair's tokens into up
    to three runs, so a boundary piece may have several ranges.

    tokens (int32, (n_tokens, 2)): Character start and end, sorted within each Doc.
    bounds (int32, (n_inputs, 2)): First and last token (exclusive) of each input's Doc.
    sources (int32, (n_inputs, 2)): Characters that each input was cut from; of no use for a pair.
    segments (Segments): The segments of the inputs.
    pieces (int32, (n_wp, 2)): Trimmed character start and end of each wordpiece.
    lengths (int32, (n_inputs,)): Wordpieces of each input.
    boundary (bool, (n_wp,)): Which wordpieces are boundary pieces.
    RETURNS (int32 (n_ranges, 2), int32 (n_ranges,)): First and last token (exclusive) of each
        range, and the wordpiece that it is of, ascending.
    """
    covered = numpy.empty_like(segments.chars)
    ranges = numpy.empty((3, len(pieces), 2), dtype="int32")
    for i, chars in enumerate(segments.chars):
        alone = ~segments.is_pair & (i == 0)
        texts = numpy.where(alone[:, None], sources, chars)
        overlap(tokens, bounds, texts, chars, pieces, lengths, covered[i], ranges[i])
    # A token that was merged across the separator is of the first segment that has a part of it.
    for i in (1, 2):
        numpy.maximum(covered[i], covered[i - 1, :, 1:], out=covered[i])
    _cover_nearest(covered, bounds, segments.is_pair)
    input_of = numpy.repeat(numpy.arange(len(lengths)), lengths)
    second = _is_of_second(segments, pieces, input_of)
    own = numpy.where(second[:, None], ranges[2], ranges[0])
    # What has no token in its text, as a piece made from nothing, is as a boundary piece.
    loose = boundary | (segments.is_pair[input_of] & (own[:, 0] == own[:, 1]))
    n_ranges = numpy.where(loose, 3, 1)
    rows = numpy.repeat(numpy.arange(len(pieces), dtype="int32"), n_ranges)
    found = own[rows]
    found[loose[rows]] = numpy.swapaxes(covered, 0, 1)[input_of[loose]].reshape(-1, 2)
    return found, rows


def _cover_nearest(covered: Array, bounds: Array, is_pair: Array) -> None:
    """Give a token to each pair's input that has none, as a window of just a space; in place."""
    low = covered[0, :, 0]
    alone = is_pair & (low == covered[2, :, 1]) & (bounds[:, 0] < bounds[:, 1])
    token = numpy.maximum(low - 1, bounds[:, 0])[alone]
    covered[0, alone] = numpy.stack([token, token + 1], axis=1)


def _is_of_second(segments: Segments, pieces: Array, input_of: Array) -> Array:
    """Which wordpieces are of the second text; one that is of nothing goes with what there is."""
    has_first, _, has_second = segments.chars[:, :, 0] < segments.chars[:, :, 1]
    starts = numpy.where(has_first, segments.chars[2, :, 0], 0)
    candidates = segments.is_pair & has_second
    mask: Array = candidates[input_of] & (pieces[:, 0] >= starts[input_of])
    return mask
