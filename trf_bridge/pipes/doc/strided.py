"""Inputs of a fixed number of tokens that overlap, as in spacy-transformers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy
from spacy.tokens import Doc, Span

from ...settings import SpansFunction, check_whole_number
from ...types import Array


class StridedSpans:
    """Splits Docs into overlapping inputs with the same number of tokens.

    The model reads a token in every input that contains it. The row of a token is the mean over
    these inputs.
    """

    def __init__(self, window: int, stride: int) -> None:
        """Set the lengths; see `make_strided_spans`.

        RAISES (ValueError, TypeError): TB009.
        """
        check_whole_number("stride", stride, 1, "It is the number of tokens between two inputs.")
        advice = "It is the number of tokens of an input, and at least the stride."
        check_whole_number("window", window, stride, advice)
        self.window = window
        self.stride = stride

    def __call__(self, docs: Sequence[Doc]) -> list[list[Span]]:
        """Split Docs.

        docs (sequence of Doc, (n_docs,)): The Docs.
        RETURNS (list of list of Span, (n_docs,)): The inputs of each.
        """
        return [[doc[start:end] for start, end in self.bounds(len(doc)).tolist()] for doc in docs]

    def bounds(self, n_tokens: int) -> Array:
        """Compute the inputs of a Doc.

        n_tokens (int): Number of tokens of the Doc.
        RETURNS (int64, (n_inputs, 2)): First and last token (exclusive) of each input.
        """
        if not n_tokens:
            return numpy.empty((0, 2), dtype="int64")
        starts = numpy.arange(0, max(n_tokens - self.window, 0) + self.stride, self.stride)
        starts = starts[: 1 + numpy.searchsorted(starts + self.window, n_tokens)]
        ends = numpy.minimum(starts + self.window, n_tokens)
        return numpy.stack([starts, ends], axis=1).astype("int64")


def make_strided_spans(*, window: int = 128, stride: int = 96) -> SpansFunction:
    """Create a function that splits Docs into overlapping inputs with the same number of tokens.

    window (int): The number of tokens of an input.
    stride (int): The number of tokens from the start of an input to that of the next one; at most
        the window.
    RETURNS (callable): Docs -> overlapping Spans of each.
    RAISES (ValueError, TypeError): TB009.
    """
    return StridedSpans(window, stride)
