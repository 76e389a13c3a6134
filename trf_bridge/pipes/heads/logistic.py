"""Logistic function whose backward pass is that of cross-entropy, as thinc's Softmax has it."""

from __future__ import annotations

from collections.abc import Callable

from thinc.api import Model
from thinc.types import Floats2d


def CrossEntropyLogistic() -> Model[Floats2d, Floats2d]:
    """Build the layer.

    The gradient that a text categorizer hands it is `scores - truths`, which is already the
    gradient of the cross-entropy with respect to the input of the function. thinc's Logistic would
    multiply it by the slope of the function once more, and learn least where it is most wrong.

    RETURNS (Model): float32 (n, n_labels) -> float32 (n, n_labels), from 0 to 1.
    """
    return Model("cross-entropy-logistic", forward)


def forward(
    model: Model[Floats2d, Floats2d], X: Floats2d, is_train: bool
) -> tuple[Floats2d, Callable[[Floats2d], Floats2d]]:
    """Y = 1 / (1 + exp(-X))."""
    return model.ops.sigmoid(X), _backprop


def _backprop(dY: Floats2d) -> Floats2d:
    return dY
