"""Pairs of texts, such as premise and hypothesis, that the model reads as one input."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy

from ...types import Array, Runs, Wordpieces
from .windows import Plan, Range, WindowPlanner


class Pair(NamedTuple):
    """A text that holds a pair of texts.

    text (str): The text.
    first, separator, second (tuple of int): Character start and end of the first text, of what
        separates the two, and of the second text; in this order. Each of the texts may be empty.
    """

    text: str
    first: Range
    separator: Range
    second: Range

    @property
    def texts(self) -> tuple[str, str]:
        """Return the two texts.

        RETURNS (tuple of str): The first text and the second text.
        """
        return self.text[slice(*self.first)], self.text[slice(*self.second)]


def encode_pair(
    encoding: Any, pair: Pair, planner: WindowPlanner, *, type_ids: bool
) -> tuple[Wordpieces, bool]:
    """Build the wordpieces of a pair from the tokenizer's encoding of its two texts.

    encoding (tokenizers.Encoding): The encoding, not truncated.
    pair (Pair): The pair.
    planner (WindowPlanner): Plans the inputs.
    type_ids (bool): Whether the model reads type ids.
    RETURNS (Wordpieces, bool): The wordpieces, without class rows and strings; and whether some
        were dropped.
    RAISES (ValueError): TB009 where the boundary pieces leave no room for both texts.
    """
    sides = _read_sides(encoding)
    starts = numpy.asarray([pair.first[0], pair.second[0], 0], dtype="int32")  # -1 is the last
    offsets = numpy.asarray(encoding.offsets, dtype="int32").reshape(-1, 2)
    offsets += starts[sides][:, None]
    plan = planner.plan(offsets, sides, [pair.first, pair.second])
    segments = _find_segments(plan, pair)
    # An input without any wordpieces is left out.
    n_inputs = len(plan.lengths) if len(sides) else 0
    segments, lengths = segments[:n_inputs], plan.lengths[:n_inputs]
    spans = numpy.stack([segments[:, 0, 0], segments[:, 2, 1]], axis=1)
    runs = None
    if n_inputs > 1:
        bounds = [[spans[:, 0].min(), spans[:, 1].max()]]
        runs = Runs(plan.read_rows, plan.read_lengths, numpy.repeat(bounds, n_inputs, axis=0))
    wordpieces = Wordpieces(
        ids=numpy.asarray(encoding.ids, dtype="int32")[plan.rows],
        type_ids=numpy.asarray(encoding.type_ids, dtype="int32")[plan.rows] if type_ids else None,
        offsets=offsets[plan.rows],
        boundary=sides[plan.rows] < 0,
        lengths=lengths,
        spans=spans,
        class_rows=numpy.full(n_inputs, -1, dtype="int32"),
        runs=runs,
        segments=segments,
    )
    return wordpieces, plan.truncated


def _read_sides(encoding: Any) -> Array:
    """Return the text that each wordpiece belongs to: 0 or 1, and -1 for boundary pieces."""
    sides = [
        -1 if is_special else side
        for is_special, side in zip(
            encoding.special_tokens_mask, encoding.sequence_ids, strict=True
        )
    ]
    return numpy.asarray(sides, dtype="int32")


def _find_segments(plan: Plan, pair: Pair) -> Array:
    """Return the characters of first text, separator and second text that each input covers.

    Only the first window covers the separator.
    """
    first, second = plan.spans[:, 0], plan.spans[:, 1]
    separator = numpy.repeat(first[:, 1:], 2, axis=1)
    separator[0] = pair.separator
    segments: Array = numpy.stack([first, separator, second], axis=1)
    return segments
