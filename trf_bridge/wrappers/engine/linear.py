"""Linear layers whose products oneDNN computes, with weights laid out for it once.

torch passes the products of fp32 linear layers on a CPU to MKL. On processors of AMD oneDNN is
faster: 1.2 times on Zen 4 and 2.4 times on Zen 5, against an equal speed on Intel's. The results
differ by rounding alone. torch passes products in bf16 to oneDNN in any case, but lays the weights
out again at each call.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..modules import replace_modules, share_state
from .changes import state_of

# The types of numbers that oneDNN multiplies, on a CPU. Users may convert a loaded model to others,
# or move it.
SUPPORTED = (torch.float32, torch.bfloat16)
# Number of rows that the weights are laid out for; oneDNN accepts any other number too.
PACKED_ROWS = 256


class OneDnnLinear(nn.Linear):
    """A linear layer whose products oneDNN computes.

    `choose_products` creates it from a plain layer, which it shares its weights with.
    """

    _packed: _PackedWeight | None = None

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Compute input W^T + b.

        input (Tensor, (..., in_features)): The input.
        RETURNS (Tensor, (..., out_features)): The output.
        """
        dtype = input.dtype
        supported = dtype == self.weight.dtype and dtype in SUPPORTED and input.is_cpu
        if not supported or torch.is_autocast_enabled("cpu"):
            return super().forward(input)
        if torch.is_grad_enabled() and (input.requires_grad or self.weight.requires_grad):
            return _differentiable_product(input, self.weight, self.bias)
        return _product(input, self._packed_weight(), self.bias)

    def _packed_weight(self) -> torch.Tensor:
        source, packed = state_of(self.weight), self._packed
        if packed is None or packed.source != source:
            packed = self._packed = _PackedWeight(source, pack(self.weight.detach()))
        return packed.weight


class _PackedWeight:
    """Weights as oneDNN lays them out. A copy of the layer lays out its own."""

    def __init__(self, source: tuple[int, int], weight: torch.Tensor) -> None:
        self.source = source
        self.weight = weight

    def __deepcopy__(self, memo: Any) -> None:
        return None


class _Product(torch.autograd.Function):
    """Compute the product in training. Weights change at each step, so laying them out would not
    pay."""

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


# `apply` has no types in torch.
_differentiable_product: Callable[..., torch.Tensor] = _Product.apply


def can_pack(model: nn.Module, precision: str, products: str) -> bool:
    """Return whether oneDNN can compute a model's products with weights laid out once.

    model (nn.Module): The model.
    precision (str): Precision of the products: "fp32", "bf16" or "fp16".
    products (str): For products in fp32: "torch" to leave them to torch, "onednn" or "auto".
    RETURNS (bool): Whether it can.
    """
    if next(model.parameters()).device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    if precision == "bf16":
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return precision == "fp32" and products != "torch"


def choose_products(model: nn.Module, products: str) -> None:
    """Choose the library that computes the products of a model's linear layers.

    model (nn.Module): The model; its linear layers on a CPU are replaced.
    products (str): For layers in fp32: "torch", "onednn" or "auto", which is "onednn" on processors
        of AMD. Layers in bf16 use oneDNN wherever it supports them.
    """
    available = torch.backends.mkldnn.is_available()
    uses_onednn = {
        torch.float32: available and (products == "onednn" or (products == "auto" and is_amd())),
        torch.bfloat16: available and torch.ops.mkldnn._is_mkldnn_bf16_supported(),
    }

    def convert(layer: nn.Module) -> nn.Module:
        # A subclass may compute something else.
        if not isinstance(layer, nn.Linear) or type(layer) not in (nn.Linear, OneDnnLinear):
            return layer
        # Weights that a hook computes before each call could not be laid out once.
        if not isinstance(layer.weight, nn.Parameter) or layer.weight.device.type != "cpu":
            return layer
        layer_type = OneDnnLinear if uses_onednn.get(layer.weight.dtype) else nn.Linear
        if type(layer) is layer_type:
            return layer
        converted = share_state(layer, layer_type)
        vars(converted).pop("_packed", None)
        return converted

    replace_modules(model, convert)


@cache
def is_amd() -> bool:
    """Return whether AMD made the processor."""
    info = Path("/proc/cpuinfo")
    described = info.read_text(encoding="utf8", errors="replace") if info.is_file() else ""
    return "AuthenticAMD" in (described or platform.processor())


def round_up(n_rows: int) -> int:
    """Round a number of rows up to one for which a product may be compiled already.

    oneDNN compiles a product for each number of rows and shape of weights, and stores 1,024 of
    them, of half a megabyte each. A few more rows cost less than another product.

    n_rows (int): The number of rows.
    RETURNS (int): The next multiple of 8 up to 64, of 16 up to 512, and of 64 beyond.
    """
    step = 8 if n_rows <= 64 else 16 if n_rows <= 512 else 64
    return -(-n_rows // step) * step


def _product(input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    rows = input.reshape(-1, input.shape[-1])
    n_filler = round_up(len(rows)) - len(rows)
    if n_filler:
        rows = nn.functional.pad(rows, (0, 0, 0, n_filler))
    product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")
    return product[: len(product) - n_filler].view(*input.shape[:-1], product.shape[1])


def pack(weight: torch.Tensor) -> torch.Tensor:
    """Lay weights out for oneDNN.

    weight (Tensor, (n_out, n_in)): The weights.
    RETURNS (Tensor): The same weights, for `mkldnn._linear_pointwise` alone.
    """
    packed: torch.Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, PACKED_ROWS)
    return packed


def count_products(model: nn.Module) -> dict[str, int]:
    """Count the linear layers of a model by the library that computes their products.

    model (nn.Module): The model.
    RETURNS (dict): Number of layers by "torch" and "onednn".
    """
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    n_onednn = sum(isinstance(layer, OneDnnLinear) for layer in layers)
    return {"torch": len(layers) - n_onednn, "onednn": n_onednn}
