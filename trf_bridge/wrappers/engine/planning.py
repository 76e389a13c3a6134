"""Sort inputs by length and cut them into batches of bounded size."""

from __future__ import annotations

import math

import numpy

from ... import errors
from ...types import Array

# A subbatch ends before its padding would cost more than running the model once more does: a run of
# a small model on two cores takes as long as some dozens of wordpieces.
MAX_PADDING = 64


def make_subbatches(
    lengths: Array, words_per_batch: int, *, max_padding: float = MAX_PADDING
) -> list[Array]:
    """Cut inputs into subbatches of similar length, the longest first.

    A subbatch costs as much as its padded size, which is the number of its inputs times the longest
    of them. Inputs of equal length keep their order. Starting with the longest means that what does
    not fit into memory fails at once.

    lengths (int, (n_inputs,)): Wordpieces of each input.
    words_per_batch (int): The largest padded size of a subbatch; an input that is longer gets one
        of its own. 0 for one subbatch of everything.
    max_padding (float): The most padding in a subbatch, in wordpieces; 0 where inputs of different
        lengths may not share one.
    RETURNS (list of int64): Indices of the inputs of each subbatch; together every one, once.
    """
    order = numpy.argsort(-numpy.asarray(lengths), kind="stable")
    if not order.size:
        return []
    most_cells = words_per_batch or math.inf
    most_padding = max_padding if words_per_batch or not max_padding else math.inf
    subbatches = []
    start = longest = padding = 0
    for end, length in enumerate(lengths[order].tolist()):
        padding += longest - length
        full = (end - start + 1) * max(longest, 1) > most_cells or padding > most_padding
        if end == start or full:
            if end > start:
                subbatches.append(order[start:end])
            start, longest, padding = end, length, 0
    subbatches.append(order[start:])
    return subbatches


def even_subbatches(lengths: Array, words_per_batch: int) -> list[Array]:
    """Cut inputs that need no padding into few subbatches of even size, the longest first.

    In a stream of batches that are about as large as each other, so are their subbatches then.
    Where a size comes again and again, so does what is kept for it, and memory that one subbatch
    gave back fits the next.

    lengths (int, (n_inputs,)): Wordpieces of each input.
    words_per_batch (int): The largest size of a subbatch, in wordpieces; an input that is longer
        gets one of its own. 0 for one subbatch of everything.
    RETURNS (list of int64): Indices of the inputs of each subbatch; together every one, once.
    """
    order = numpy.argsort(-numpy.asarray(lengths), kind="stable")
    ends = numpy.cumsum(lengths[order])
    subbatches = []
    start = taken = 0
    while start < len(order):
        left = int(ends[-1]) - taken
        # Ending with the input that reaches an even size, none is too large.
        most = max(words_per_batch - int(lengths[order[start]]) + 1, 1) if words_per_batch else left
        even = left / math.ceil(left / most) if left else 0
        taken = int(ends[numpy.searchsorted(ends, taken + even)])
        # With those of no wordpieces, which come last.
        end = int(numpy.searchsorted(ends, taken, side="right"))
        subbatches.append(order[start:end])
        start = end
    return subbatches


def validate_words_per_batch(words_per_batch: int) -> None:
    """Check the option before any work is done.

    words_per_batch (int): The option.
    RAISES (ValueError, TypeError): TB009.
    """
    wrong_type = isinstance(words_per_batch, bool) or not isinstance(words_per_batch, int)
    if wrong_type or words_per_batch < 0:
        message = errors.TB009.format(
            field="words_per_batch",
            least=0,
            got=words_per_batch,
            got_type=type(words_per_batch).__name__,
            advice="0 puts everything into one batch; the default is 3000.",
        )
        raise TypeError(message) if wrong_type else ValueError(message)
