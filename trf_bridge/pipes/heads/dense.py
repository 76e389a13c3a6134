"""A linear layer with an activation, as between the transformer and the output of many heads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from thinc.api import Model, Ops, glorot_uniform_init
from thinc.types import Floats2d
from thinc.util import get_width

from ...settings import check_choice

ACTIVATIONS = ("tanh", "relu", "gelu")


def Dense(*, activation: str = "tanh", nO: int | None = None) -> Model[Floats2d, Floats2d]:
    """Build the layer.

    activation (str): "tanh", "relu" or "gelu", the exact one.
    nO (int): Width of the output; None for that of the input.
    RETURNS (Model): float32 (n, nI) -> float32 (n, nO).
    RAISES (ValueError): TB008.
    """
    check_choice("activation", activation, ACTIVATIONS)
    return Model(
        f"{activation}-linear",
        forward,
        init=init,
        dims={"nO": nO, "nI": None},
        params={"W": None, "b": None},
        attrs={"activation": activation},
    )


def forward(
    model: Model[Floats2d, Floats2d], X: Floats2d, is_train: bool
) -> tuple[Floats2d, Callable[[Floats2d], Floats2d]]:
    """Compute the activation of X W^T + b.

    X (float32, (n, nI)): The input.
    RETURNS (float32, (n, nO)): The output, and a callback from its gradient to that of the input.
    """
    W: Any = model.get_param("W")
    b: Any = model.get_param("b")
    activation = model.attrs["activation"]
    linear = model.ops.gemm(X, W, trans2=True) + b
    Y = _activate(model.ops, activation, linear)

    def backprop(dY: Floats2d) -> Floats2d:
        d_linear = _slope(model.ops, activation, dY, linear, Y)
        model.inc_grad("b", d_linear.sum(axis=0))
        model.inc_grad("W", model.ops.gemm(d_linear, X, trans1=True))
        return model.ops.gemm(d_linear, W)

    return Y, backprop


def init(
    model: Model[Floats2d, Floats2d], X: Floats2d | None = None, Y: Floats2d | None = None
) -> None:
    """Set the widths, and draw the weights at random."""
    width = get_width(X) if X is not None else model.get_dim("nI")
    model.set_dim("nI", width)
    if not model.has_dim("nO"):
        model.set_dim("nO", width)
    model.set_param("W", glorot_uniform_init(model.ops, (model.get_dim("nO"), width)))
    model.set_param("b", model.ops.alloc1f(model.get_dim("nO")))


def _activate(ops: Ops, activation: str, linear: Any) -> Any:
    if activation == "tanh":
        return ops.xp.tanh(linear)
    return ops.relu(linear) if activation == "relu" else ops.gelu(linear)


def _slope(ops: Ops, activation: str, dY: Any, linear: Any, Y: Any) -> Any:
    """Return the gradient of the activation's input."""
    if activation == "tanh":
        return dY * (1 - Y * Y)
    return dY * (Y > 0) if activation == "relu" else ops.backprop_gelu(dY, linear)
