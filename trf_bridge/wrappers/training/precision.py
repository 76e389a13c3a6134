"""The precisions that a model can compute in, and the choice among them."""

from __future__ import annotations

import contextlib
import warnings
from functools import cache
from typing import Any

import torch

from ... import errors

PRECISIONS = ("fp32", "bf16", "fp16", "auto")

# bf16 costs digits: below this it is not worth them. Processors with instructions for it gain a
# factor of two, those without are slower than in fp32.
WORTH_IT = 1.3


def validate_precision(precision: str) -> None:
    """Check the option before any work is done.

    precision (str): The option.
    RAISES (ValueError): TB008.
    """
    if precision not in PRECISIONS:
        expected = ", ".join(repr(option) for option in PRECISIONS)
        message = errors.TB008.format(field="precision", got=repr(precision), expected=expected)
        raise ValueError(message)


def resolve_precision(precision: str, device: torch.device) -> str:
    """Turn the option into what the model computes in.

    precision (str): The option.
    device (torch.device): Where the weights are.
    RETURNS (str): "fp32", "bf16" or "fp16".
    RAISES (ValueError): TB012.
    WARNS: TB107, once per process, what "auto" chose and why.
    """
    if precision == "fp16" and device.type == "cpu":
        message = errors.TB012.format(precision="fp16", needs="a GPU", device=device)
        raise ValueError(message)
    return _choose(device.type) if precision == "auto" else precision


def lower_dtype(precision: str) -> torch.dtype | None:
    """RETURNS (torch.dtype): What a precision rounds to; None for "fp32"."""

    return {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)


def mixed(precision: str, device: torch.device) -> Any:
    """Compute in mixed precision inside of a block.

    precision (str): "fp32", "bf16" or "fp16".
    device (torch.device): Where the weights are.
    RETURNS (context manager): torch's autocast; nothing for "fp32".
    """

    dtype = lower_dtype(precision)
    return contextlib.nullcontext() if dtype is None else torch.autocast(device.type, dtype=dtype)


@cache
def _choose(device_type: str) -> str:

    if device_type == "cuda":
        has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        reason = "this GPU computes in it"
        if not has_bf16:
            reason = "this GPU has no bf16, and large activations overflow in fp16"
    elif device_type == "cpu":
        from ..engine.linear import bf16_gain

        gain = bf16_gain()
        has_bf16 = gain >= WORTH_IT
        reason = (
            f"on this processor a matrix product in bf16 is {gain:.1f} times as fast as in fp32"
        )
    else:
        has_bf16, reason = False, f"nothing is known about the speed of bf16 on '{device_type}'"
    choice = "bf16" if has_bf16 else "fp32"
    warnings.warn(errors.TB107.format(choice=choice, reason=reason), stacklevel=2)
    return choice
