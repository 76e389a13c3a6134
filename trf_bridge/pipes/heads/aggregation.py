"""Scores of wordpieces -> scores of tokens, as in transformers' token classification pipeline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
from thinc.api import Ops

from ...types import Array

# Which wordpieces of a token its probabilities come from: its first one, the one with the highest
# probability of any label, or the mean of all.
AGGREGATIONS = ("first", "max", "mean")


def aggregate(
    ops: Ops, scores: Array, lengths: Array, aggregation: str
) -> tuple[Array, Callable[[Array], Array]]:
    """Compute the log-probabilities of the labels of each token.

    Logarithms, because the gradient of the cross-entropy is exact and stable for them.

    ops (Ops): thinc's operations, for the device of the scores.
    scores (float32, (n_own, n_labels)): Scores of each token's wordpieces, before the softmax.
    lengths (int32, (n_tokens,)): How many wordpieces each token has, at least 1.
    aggregation (str): One of AGGREGATIONS.
    RETURNS (float32, (n_tokens, n_labels)): The log-probabilities; and a callback that takes the
        gradient of them and returns that of the scores.
    SOURCE: `aggregate_word` in transformers, where "mean" is named "average".
    """
    xp: Any = ops.xp
    shifted = scores - scores.max(axis=1, keepdims=True)
    logs = shifted - xp.log(xp.exp(shifted).sum(axis=1, keepdims=True))
    tokens = numpy.repeat(numpy.arange(len(lengths)), lengths)
    if aggregation == "mean":
        counts: Any = ops.asarray1i(lengths)
        highest: Any = ops.reduce_max(ops.as_contig(logs), counts)[0]
        weights = xp.exp(logs - highest[tokens])
        totals: Any = ops.reduce_sum(weights, counts)
        of_tokens = highest + xp.log(totals / counts.reshape(-1, 1).astype("float32"))
        weights = weights / totals[tokens]
    else:
        chosen = _choose(logs, tokens, lengths, aggregation)
        of_tokens = logs[chosen]
        weights = xp.zeros_like(logs)
        weights[chosen] = 1.0

    def backprop(d_tokens: Array) -> Array:
        d_logs = weights * d_tokens[tokens]
        gradient: Array = d_logs - xp.exp(logs) * d_logs.sum(axis=1, keepdims=True)
        return gradient

    return of_tokens, backprop


def _choose(logs: Array, tokens: Array, lengths: Array, aggregation: str) -> Array:
    """Choose a wordpiece of each token, the first of equals."""
    starts = numpy.cumsum(lengths) - lengths
    if aggregation == "first" or not len(tokens):
        return starts
    best = logs.max(axis=1)
    best = best.get() if hasattr(best, "get") else best  # from a GPU
    return numpy.lexsort((-best, tokens))[starts]
