"""Boundary wordpieces belong to every token of their input."""

from __future__ import annotations

import numpy

from ..types import Array


def attach_boundary(ranges: Array, covered: Array, lengths: Array, boundary: Array) -> None:
    """Link each boundary wordpiece to every token of its input, in place.

    ranges (int32, (n_wp, 2)): First and last token (exclusive) of each wordpiece; changed.
    covered (int32, (n_inputs, 2)): First and last token (exclusive) of each input.
    lengths (int32, (n_inputs,)): Wordpieces of each input.
    boundary (bool, (n_wp,)): Which wordpieces are boundary pieces.
    """
    ranges[boundary] = numpy.repeat(covered, lengths, axis=0)[boundary]
