"""Helpers for arrays on the CPU."""

from __future__ import annotations

from collections.abc import Sequence

import numpy

from .types import Array


def concatenate(
    arrays: Sequence[Array], empty_shape: tuple[int, ...] = (0,), dtype: str = "int32"
) -> Array:
    """Concatenate arrays along their first axis, also where there are none.

    arrays (sequence of array): The arrays.
    empty_shape (tuple of int): Shape of the result if there are no arrays.
    dtype (str): Type of the result's numbers.
    RETURNS (array): The result, contiguous in memory.
    """
    if not arrays:
        return numpy.empty(empty_shape, dtype=dtype)
    return numpy.ascontiguousarray(numpy.concatenate(arrays), dtype=dtype)
