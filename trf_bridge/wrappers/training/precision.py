"""The precisions that a model can compute in, and the choice among them."""

from __future__ import annotations

import contextlib
import logging
import platform
from functools import cache
from typing import Any

import torch

from ... import errors

logger = logging.getLogger(__name__)


def resolve_precision(precision: str, device: torch.device) -> str:
    """Return the precision that a model computes in.

    The choice of "auto" and its reason are logged once per process, as TB107.

    precision (str): The setting: "fp32", "bf16", "fp16" or "auto".
    device (torch.device): Device of the weights.
    RETURNS (str): "fp32", "bf16" or "fp16".
    RAISES (ValueError): TB012.
    """
    if precision == "fp16" and device.type == "cpu":
        message = errors.TB012.format(precision="fp16", needs="a GPU", device=device)
        raise ValueError(message)
    return _choose(device.type) if precision == "auto" else precision


def lower_dtype(precision: str) -> torch.dtype | None:
    """Return the type of numbers that a precision rounds to.

    precision (str): "fp32", "bf16" or "fp16".
    RETURNS (torch.dtype): The type; None for "fp32".
    """
    return {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)


def mixed(precision: str, device: torch.device) -> Any:
    """Compute in mixed precision inside of a block.

    precision (str): "fp32", "bf16" or "fp16".
    device (torch.device): Device of the weights.
    RETURNS (context manager): torch's autocast; nothing for "fp32".
    """
    dtype = lower_dtype(precision)
    return contextlib.nullcontext() if dtype is None else torch.autocast(device.type, dtype=dtype)


@cache
def _choose(device_type: str) -> str:
    """Choose "bf16" where the hardware has instructions for it: without them it is slower."""
    if device_type == "cuda":
        has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        reason = "this GPU computes in bf16"
        if not has_bf16:
            reason = "this GPU has no bf16, and large activations overflow in fp16"
    elif device_type == "cpu":
        has_bf16 = cpu_has_bf16()
        reason = f"this processor has {'' if has_bf16 else 'no '}instructions for bf16"
    else:
        has_bf16, reason = False, f"the speed of bf16 on '{device_type}' is not known"
    choice = "bf16" if has_bf16 else "fp32"
    logger.info(errors.TB107.format(choice=choice, reason=reason))
    return choice


def cpu_has_bf16() -> bool:
    """Return whether the processor has instructions for products in bf16."""
    if not torch.backends.mkldnn.is_available():
        return False
    if platform.machine().lower() in ("aarch64", "arm64"):
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
