"""Which inputs run together: sorted by length, in subbatches of bounded size."""

from __future__ import annotations

import math

import numpy

from ...types import Array

# A subbatch ends before its padding would cost more than another run of the model: on two cores, a
# run of a small model takes as long as some dozens of wordpieces.
MAX_PADDING = 64


def plan_padded(
    lengths: Array, words_per_batch: int, *, max_padding: float = MAX_PADDING
) -> list[Array]:
    """Group inputs of similar length into subbatches to be padded, the longest first.

    The cost of a subbatch is its padded size: the number of its inputs times the length of the
    longest. Inputs of equal length keep their order. The longest inputs come first, so a lack of
    memory shows at once.

    lengths (int, (n_inputs,)): Wordpieces of each input.
    words_per_batch (int): The maximum padded size of a subbatch; a longer input runs alone. 0 for
        one subbatch.
    max_padding (float): The maximum padding of a subbatch, in wordpieces; 0 to group inputs of
        equal length only.
    RETURNS (list of int64): Indices of the inputs of each subbatch. Every input is in one of them.
    """
    order = numpy.argsort(-numpy.asarray(lengths), kind="stable")
    if not order.size:
        return []
    max_cells = words_per_batch or math.inf
    limit = max_padding if words_per_batch or not max_padding else math.inf
    subbatches = []
    start = longest = padding = 0
    for end, length in enumerate(lengths[order].tolist()):
        padding += longest - length
        full = (end - start + 1) * max(longest, 1) > max_cells or padding > limit
        if end == start or full:
            if end > start:
                subbatches.append(order[start:end])
            start, longest, padding = end, length, 0
    subbatches.append(order[start:])
    return subbatches


def plan_packed(lengths: Array, words_per_batch: int) -> list[Array]:
    """Group inputs into few subbatches of even size that need no padding, the longest first.

    Consecutive batches of similar size then have subbatches of similar size, so memory and compiled
    kernels are reused.

    lengths (int, (n_inputs,)): Wordpieces of each input.
    words_per_batch (int): The maximum size of a subbatch in wordpieces; a longer input runs alone.
        0 for one subbatch.
    RETURNS (list of int64): Indices of the inputs of each subbatch. Every input is in one of them.
    """
    order = numpy.argsort(-numpy.asarray(lengths), kind="stable")
    ends = numpy.cumsum(lengths[order])
    subbatches = []
    start = taken = 0
    while start < len(order):
        left = int(ends[-1]) - taken
        # A subbatch ends with the input that reaches the even size, so that size must leave room
        # for the longest input.
        most = max(words_per_batch - int(lengths[order[start]]) + 1, 1) if words_per_batch else left
        even = left / math.ceil(left / most) if left else 0
        taken = int(ends[numpy.searchsorted(ends, taken + even)])
        # Inputs without wordpieces come last and join the last subbatch.
        end = int(numpy.searchsorted(ends, taken, side="right"))
        subbatches.append(order[start:end])
        start = end
    return subbatches
