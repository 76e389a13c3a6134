"""Matrix products by oneDNN where it is faster than what torch would call.

torch sends the products of fp32 linear layers on a CPU to MKL. On some processors, those of AMD
among them, oneDNN is faster, and faster still when the weights have been laid out for it once. The
results differ by rounding alone. Whether it pays is measured, once per process and shape.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import nn

# Rows of the products that are timed, about those of a subbatch of short sentences.
TIMED_ROWS = 256
TIMED_RUNS = 15
# Rounding differs, so two processes on one machine must come to the same answer: where both are
# about as fast, noise would decide. On processors where oneDNN is worth it, it is twice as fast.
WORTH_IT = 1.5


class FastLinear(nn.Linear):
    """A linear layer whose products oneDNN computes.

    Not made but turned into: `layer.__class__ = FastLinear` keeps the weights where they are.
    """

    _packed: tuple[tuple[int, int], torch.Tensor] | None = None

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """RETURNS (Tensor): input W^T + b."""
        if torch.is_autocast_enabled("cpu") or input.dtype != torch.float32:
            return super().forward(input)
        if torch.is_grad_enabled() and (input.requires_grad or self.weight.requires_grad):
            product: torch.Tensor = _Product.apply(input, self.weight, self.bias)  # type: ignore[no-untyped-call]
            return product
        return _product(input, self._packed_weight(), self.bias)

    def _packed_weight(self) -> torch.Tensor:
        # Both change with the weights: the address when others are put in, the version in place.
        weight = self.weight.detach()
        source = (weight.data_ptr(), self.weight._version)
        packed = self._packed
        if packed is None or packed[0] != source:
            packed = self._packed = (source, _pack(weight))
        return packed[1]


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


def use_fast_products(model: nn.Module) -> None:
    """Turn the linear layers of a model into fast ones, where that pays.

    model (nn.Module): The model; changed, unless it is on a GPU.
    """
    for module in model.modules():
        if type(module) is not nn.Linear or module.weight.device.type != "cpu":
            continue
        if pays(module.out_features, module.in_features, torch.get_num_threads()):
            module.__class__ = FastLinear


@cache
def pays(n_out: int, n_in: int, n_threads: int) -> bool:
    """Time both libraries, a few milliseconds each.

    n_out, n_in (int): Shape of the weights.
    n_threads (int): Threads of torch, on which the answer depends.
    RETURNS (bool): Whether oneDNN is faster by enough to matter.
    """
    if not torch.backends.mkldnn.is_available():
        return False
    with torch.inference_mode():
        input, weight = torch.zeros(TIMED_ROWS, n_in), torch.zeros(n_out, n_in)
        packed = _pack(weight)
        # In turns, so that a busy moment slows both.
        ratios = [
            _seconds(lambda: nn.functional.linear(input, weight))
            / _seconds(lambda: _product(input, packed, None))
            for _ in range(TIMED_RUNS)
        ]
    # In nearly every turn: on a busy machine some turns say anything.
    return sorted(ratios)[TIMED_RUNS // 5] > WORTH_IT


def _seconds(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _product(input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(input, weight, bias, "none", [], "")
    return product


def _pack(weight: torch.Tensor) -> torch.Tensor:
    packed: torch.Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, TIMED_ROWS)
    return packed
