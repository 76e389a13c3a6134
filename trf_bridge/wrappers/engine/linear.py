"""Matrix products by oneDNN where it is faster than what torch would call.

torch sends the products of fp32 linear layers on a CPU to MKL. On some processors, those of AMD
among them, oneDNN is faster, and faster still when the weights have been laid out for it once. The
results differ by rounding alone. Whether it pays is measured, once per process and set of shapes.
Those in bf16 torch leaves to oneDNN anyway, but lays the weights out at each call.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Any, TypeAlias

import torch
from torch import nn

# Rows of the products that are timed: between a short text and a subbatch.
TIMED_ROWS = 64
TIMED_RUNS = 7
# Rows that weights are laid out for; oneDNN takes any other number too.
PACKED_ROWS = 256
# Rounding differs between the two libraries, so processes on one machine had better come to the
# same answer: a gain that noise could hide is none.
WORTH_IT = 1.05

# Rows and columns of the weights, and whether there is a bias.
Shape: TypeAlias = tuple[int, int, bool]


class FastLinear(nn.Linear):
    """A linear layer whose products oneDNN computes.

    Not made but turned into: `layer.__class__ = FastLinear` keeps the weights where they are.
    """

    _packed: _PackedWeight | None = None

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """RETURNS (Tensor): input W^T + b."""
        if torch.is_autocast_enabled("cpu") or input.dtype != self.weight.dtype:
            return super().forward(input)
        if torch.is_grad_enabled() and (input.requires_grad or self.weight.requires_grad):
            return _differentiable_product(input, self.weight, self.bias)
        return _product(input, self._packed_weight(), self.bias)

    def _packed_weight(self) -> torch.Tensor:
        source, packed = state_of(self.weight), self._packed
        if packed is None or packed.source != source:
            packed = self._packed = _PackedWeight(source, _pack(self.weight.detach()))
        return packed.weight


class _PackedWeight:
    """Weights as oneDNN lays them out; a copy of the layer lays out its own."""

    def __init__(self, source: tuple[int, int], weight: torch.Tensor) -> None:
        self.source = source
        self.weight = weight

    def __deepcopy__(self, memo: Any) -> None:
        return None


class _Product(torch.autograd.Function):
    """The product in training: the weights change at each step, so laying them out does not pay."""

    @staticmethod
    def forward(
        ctx: Any, input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
    ) -> torch.Tensor:
        ctx.save_for_backward(input, weight)
        ctx.has_bias = bias is not None
        return _product(input, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        input, weight = ctx.saved_tensors
        d_output = gradients[0].reshape(-1, weight.shape[0])
        d_input = d_weight = d_bias = None
        if ctx.needs_input_grad[0]:
            d_input = _product(d_output, weight.t(), None).view_as(input)
        if ctx.needs_input_grad[1]:
            d_weight = d_output.t() @ input.reshape(-1, weight.shape[1])
        if ctx.has_bias and ctx.needs_input_grad[2]:
            d_bias = d_output.sum(0)
        return d_input, d_weight, d_bias


# torch gives `apply` no types.
_differentiable_product: Callable[..., torch.Tensor] = _Product.apply


def state_of(weights: torch.Tensor) -> tuple[int, int]:
    """Tell whether weights are still what they were.

    weights (Tensor): Weights.
    RETURNS (tuple of int): Their address, which changes when others are put in, and their version,
        which changes in place; weights made in inference mode have none.
    """
    return weights.data_ptr(), 0 if weights.is_inference() else weights._version


def use_fast_products(model: nn.Module) -> None:
    """Let oneDNN compute the products of a model's linear layers, where that pays.

    model (nn.Module): The model; changed, unless it is on a GPU.
    """
    layers = [
        module
        for module in model.modules()
        if isinstance(module, nn.Linear)
        and type(module) in (nn.Linear, FastLinear)
        and module.weight.device.type == "cpu"
    ]
    shapes = Counter(
        (layer.out_features, layer.in_features, layer.bias is not None)
        for layer in layers
        if layer.weight.dtype == torch.float32
    )
    fast = {
        torch.float32: pays(frozenset(shapes.items()), torch.get_num_threads()),
        torch.bfloat16: torch.backends.mkldnn.is_available()
        and torch.ops.mkldnn._is_mkldnn_bf16_supported(),
    }
    for layer in layers:
        layer.__class__ = FastLinear if fast.get(layer.weight.dtype) else nn.Linear


@cache
def pays(shapes: frozenset[tuple[Shape, int]], n_threads: int) -> bool:
    """Time both libraries in float32, a few milliseconds for each shape.

    shapes (frozenset of tuple): The shapes of a model's layers, and how many there are of each.
    n_threads (int): Threads of torch, on which the answer depends.
    RETURNS (bool): Whether oneDNN is faster by enough to matter.
    """
    if not shapes or not torch.backends.mkldnn.is_available():
        return False
    usual = packed = 0.0
    for shape, count in shapes:
        of_torch, of_onednn = _time_both(*shape)
        usual += count * of_torch
        packed += count * of_onednn
    return usual > WORTH_IT * packed


def round_up(n_rows: int) -> int:
    """Find a number of rows that there may already be a product for.

    oneDNN compiles one for each number of rows and shape of weights, and keeps 1,024 of them, of
    half a megabyte each. A few rows more than needed cost less than another of them.

    n_rows (int): Rows that are needed.
    RETURNS (int): The next of 8 to 64 by eights, to 512 by sixteens, and on by sixty-fours.
    """
    step = 8 if n_rows <= 64 else 16 if n_rows <= 512 else 64
    return -(-n_rows // step) * step


def bf16_gain() -> float:
    """Time matrix products of two precisions on this processor, a few milliseconds each.

    RETURNS (float): How many times as fast as in float32 they are in bf16.
    """
    with torch.inference_mode():
        full, half = (
            (torch.zeros(TIMED_ROWS, 768, dtype=dtype), torch.zeros(768, 768, dtype=dtype))
            for dtype in (torch.float32, torch.bfloat16)
        )
        in_full, in_half = _fastest(
            lambda: nn.functional.linear(*full), lambda: nn.functional.linear(*half)
        )
    return in_full / in_half


def _time_both(n_out: int, n_in: int, has_bias: bool) -> tuple[float, float]:
    with torch.inference_mode():
        input, weight = torch.zeros(TIMED_ROWS, n_in), torch.zeros(n_out, n_in)
        bias = torch.zeros(n_out) if has_bias else None
        packed = _pack(weight)
        usual, fast = _fastest(
            lambda: nn.functional.linear(input, weight, bias), lambda: _product(input, packed, bias)
        )
    return usual, fast


def _fastest(*runs: Callable[[], Any]) -> tuple[float, ...]:
    """The shortest time of each, which other work on the machine disturbs least; in turns, so that
    a busy moment slows all."""
    seconds = [[_seconds(run) for run in runs] for _ in range(TIMED_RUNS)]
    return tuple(map(min, zip(*seconds, strict=True)))


def _seconds(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _product(input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    rows = input.reshape(-1, input.shape[-1])
    n_filler = round_up(len(rows)) - len(rows)
    if n_filler:
        rows = nn.functional.pad(rows, (0, 0, 0, n_filler))
    product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")
    return product[: len(product) - n_filler].view(*input.shape[:-1], product.shape[1])


def _pack(weight: torch.Tensor) -> torch.Tensor:
    packed: torch.Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, PACKED_ROWS)
    return packed
