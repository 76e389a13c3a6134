"""Inputs of a Doc that overlap: the number of inputs that contain each token."""

from __future__ import annotations

from collections.abc import Sequence

import numpy

from ..types import Array, Wordpieces


def count_inputs(
    tokens: Array, n_tokens: Array, sources: Array, wordpieces: Sequence[Wordpieces]
) -> Array | None:
    """Count the inputs that contain each token, for Docs whose inputs overlap.

    The windows of one text count as one input, because a wordpiece has one row in all of them.

    tokens (int32, (n_tokens, 2)): Character start and end of the tokens of all Docs.
    n_tokens (int32, (n_docs,)): Number of tokens of each Doc.
    sources (int32, (n_inputs, 2)): Characters of the inputs of all Docs; for a window, those of the
        whole text.
    wordpieces (sequence of Wordpieces, (n_docs,)): The wordpieces of each Doc.
    RETURNS (int64, (n_tokens,)): The counts, at least 1; None if no inputs overlap.
    """
    n_inputs = numpy.asarray([len(pieces.lengths) for pieces in wordpieces], dtype="int64")
    is_pair = numpy.asarray([pieces.segments is not None for pieces in wordpieces], dtype="bool")
    docs = numpy.repeat(numpy.arange(len(wordpieces)), n_inputs)
    follows = docs[1:] == docs[:-1]
    overlaps = follows & (sources[1:, 0] < sources[:-1, 1]) & ~is_pair[docs[1:]]
    is_window = follows & (sources[1:] == sources[:-1]).all(axis=1)
    if not (overlaps & ~is_window).any():
        return None
    is_first = numpy.concatenate([[True], ~is_window])
    counts = numpy.ones(len(tokens), dtype="int64")
    token_ends = numpy.cumsum(n_tokens)
    for doc in numpy.unique(docs[1:][overlaps]).tolist():
        own = slice(int(token_ends[doc] - n_tokens[doc]), int(token_ends[doc]))
        chars = sources[is_first & (docs == doc)]
        changes = numpy.zeros(int(n_tokens[doc]) + 1, dtype="int64")
        numpy.add.at(changes, numpy.searchsorted(tokens[own, 1], chars[:, 0], side="right"), 1)
        numpy.add.at(changes, numpy.searchsorted(tokens[own, 0], chars[:, 1], side="left"), -1)
        counts[own] = numpy.cumsum(changes[:-1]).clip(min=1)
    return counts
