"""A logistic function with the backward pass of cross-entropy, as in thinc's Softmax."""

from __future__ import annotations

from collections.abc import Callable

from thinc.api import Model
from thinc.types import Floats2d


def CrossEntropyLogistic() -> Model[Floats2d, Floats2d]:
    """Build the layer.

    A text categorizer passes in `scores - truths`, which is already the gradient of the
    cross-entropy with respect to the input of the function. thinc's Logistic would multiply it by
    the slope of the function again, and learn least where it is most wrong.

    RETURNS (Model): float32 (n, n_labels) -> float32 (n, n_labels), from 0 to 1.
    """
    return Model("cross-entropy-logistic", forward)


def forward(
    model: Model[Floats2d, Floats2d], X: Floats2d, is_train: bool
) -> tuple[Floats2d, Callable[[Floats2d], Floats2d]]:
    """Compute 1 / (1 + exp(-X)).

    X (float32, (n, n_labels)): The input.
    RETURNS (float32, (n, n_labels)): Scores from 0 to 1, and a callback that returns their gradient
        unchanged.
    """
    return model.ops.sigmoid(X), _backprop


def _backprop(dY: Floats2d) -> Floats2d:
    return dY
