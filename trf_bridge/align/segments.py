"""Links in pairs of texts: wordpieces to tokens of their own text, boundary pieces to all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy

from .._align import overlap
from ..types import Array, Wordpieces


class Segments(NamedTuple):
    """The segments of the inputs of a batch of Docs.

    chars (int32, (3, n_inputs, 2)): Character start and end of the first text, of the separator and
        of the second text. For an input that is not a pair, the first text is the whole input and
        the others are empty.
    is_pair (bool, (n_inputs,)): Whether each input is a pair, or a window of one.
    """

    chars: Array
    is_pair: Array


def find_segments(wordpieces: Sequence[Wordpieces]) -> Segments | None:
    """Collect the segments of a batch of Docs.

    wordpieces (sequence of Wordpieces, (n_docs,)): The wordpieces of each Doc.
    RETURNS (Segments): The segments; None if no Doc is a pair.
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
    """Find the tokens of each wordpiece if some inputs are pairs.

    Truncated tokens can lie between the tokens of the first text, the separator and those of the
    second text, so a boundary piece may have up to three ranges.

    tokens (int32, (n_tokens, 2)): Character start and end, sorted within each Doc.
    bounds (int32, (n_inputs, 2)): First and last token (exclusive) of each input's Doc.
    sources (int32, (n_inputs, 2)): Characters of the text of each input; not used for pairs.
    segments (Segments): The segments of the inputs.
    pieces (int32, (n_wp, 2)): Trimmed character start and end of each wordpiece.
    lengths (int32, (n_inputs,)): Number of wordpieces of each input.
    boundary (bool, (n_wp,)): Whether each wordpiece is a boundary piece.
    RETURNS (int32 (n_ranges, 2), int32 (n_ranges,)): First and last token (exclusive) of each
        range, and the wordpiece of each range, ascending.
    """
    covered = numpy.empty_like(segments.chars)
    ranges = numpy.empty((3, len(pieces), 2), dtype="int32")
    for i, chars in enumerate(segments.chars):
        is_text = ~segments.is_pair & (i == 0)
        texts = numpy.where(is_text[:, None], sources, chars)
        overlap(tokens, bounds, texts, chars, pieces, lengths, covered[i], ranges[i])
    # A token that was merged across the separator belongs to the first segment that it overlaps.
    for i in (1, 2):
        numpy.maximum(covered[i], covered[i - 1, :, 1:], out=covered[i])
    _cover_nearest(covered, bounds, segments.is_pair)
    input_of = numpy.repeat(numpy.arange(len(lengths)), lengths)
    in_second = _is_in_second(segments, pieces, input_of)
    own = numpy.where(in_second[:, None], ranges[2], ranges[0])
    # A wordpiece of a text without tokens is linked like a boundary piece.
    to_all = boundary | (segments.is_pair[input_of] & (own[:, 0] == own[:, 1]))
    n_ranges = numpy.where(to_all, 3, 1)
    owners = numpy.repeat(numpy.arange(len(pieces), dtype="int32"), n_ranges)
    token_ranges = own[owners]
    token_ranges[to_all[owners]] = numpy.swapaxes(covered, 0, 1)[input_of[to_all]].reshape(-1, 2)
    return token_ranges, owners


def _cover_nearest(covered: Array, bounds: Array, is_pair: Array) -> None:
    """Cover one token, in place, for inputs of pairs that cover none, such as a window of a space.

    covered (int32, (3, n_inputs, 2)): First and last token (exclusive) of each segment; changed.
    bounds (int32, (n_inputs, 2)): First and last token (exclusive) of each input's Doc.
    is_pair (bool, (n_inputs,)): Whether each input is a pair.
    """
    low = covered[0, :, 0]
    is_empty = is_pair & (low == covered[2, :, 1]) & (bounds[:, 0] < bounds[:, 1])
    token = numpy.maximum(low - 1, bounds[:, 0])[is_empty]
    covered[0, is_empty] = numpy.stack([token, token + 1], axis=1)


def _is_in_second(segments: Segments, pieces: Array, input_of: Array) -> Array:
    """Return whether each wordpiece belongs to the second text.

    If one of the texts is empty, all wordpieces belong to the other one.

    segments (Segments): The segments of the inputs.
    pieces (int32, (n_wp, 2)): Trimmed character start and end of each wordpiece.
    input_of (int64, (n_wp,)): The input of each wordpiece.
    RETURNS (bool, (n_wp,)): The mask.
    """
    has_first, _, has_second = segments.chars[:, :, 0] < segments.chars[:, :, 1]
    starts = numpy.where(has_first, segments.chars[2, :, 0], 0)
    candidates = segments.is_pair & has_second
    mask: Array = candidates[input_of] & (pieces[:, 0] >= starts[input_of])
    return mask
