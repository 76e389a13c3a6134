"""A linear layer with a hyperbolic tangent, like BERT's pooler but with random weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from thinc.api import Model, glorot_uniform_init
from thinc.types import Floats2d
from thinc.util import get_width


def TanhLinear() -> Model[Floats2d, Floats2d]:
    """Build the layer.

    RETURNS (Model): float32 (n, width) -> float32 (n, width).
    """
    return Model(
        "tanh-linear",
        forward,
        init=init,
        dims={"nO": None, "nI": None},
        params={"W": None, "b": None},
    )


def forward(
    model: Model[Floats2d, Floats2d], X: Floats2d, is_train: bool
) -> tuple[Floats2d, Callable[[Floats2d], Floats2d]]:
    """Compute tanh(X W^T + b).

    X (float32, (n, width)): The input.
    RETURNS (float32, (n, width)): The output, and a callback from its gradient to that of the
        input.
    """
    W: Any = model.get_param("W")
    b: Any = model.get_param("b")
    Y = model.ops.xp.tanh(model.ops.gemm(X, W, trans2=True) + b)

    def backprop(dY: Floats2d) -> Floats2d:
        d_linear = dY * (1 - Y * Y)
        model.inc_grad("b", d_linear.sum(axis=0))
        model.inc_grad("W", model.ops.gemm(d_linear, X, trans1=True))
        return model.ops.gemm(d_linear, W)

    return Y, backprop


def init(
    model: Model[Floats2d, Floats2d], X: Floats2d | None = None, Y: Floats2d | None = None
) -> None:
    """Set the width to that of the input, and draw the weights at random."""
    width = get_width(X) if X is not None else model.get_dim("nI")
    model.set_dim("nI", width)
    model.set_dim("nO", width)
    model.set_param("W", glorot_uniform_init(model.ops, (width, width)))
    model.set_param("b", model.ops.alloc1f(width))
