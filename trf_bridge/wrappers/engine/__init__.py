"""How a forward pass is computed. `make_engine` is the only door: the rest of the package passes in
the wordpieces of inputs and receives the model's outputs for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ..training.precision import lower_dtype
from ..traits import Traits
from .base import Engine, Inputs, Request, SubbatchOutputs, training_mode
from .linear import choose_products
from .lowered import use_lowered
from .memory import keep_freed_memory
from .padded import PaddedEngine

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["Engine", "Inputs", "Request", "SubbatchOutputs", "make_engine", "training_mode"]


def make_engine(model: PreTrainedModel, traits: Traits, *, precision: str, products: str) -> Engine:
    """Choose how a model is run.

    The choice depends on the model and on features of the processor, so every process on a machine
    computes the same bits.

    model (PreTrainedModel): The model, in evaluation mode; its attention and its linear layers may
        be replaced by others that compute the same.
    traits (Traits): What it takes and returns.
    precision (str): "fp32", "bf16" or "fp16".
    products (str): Library for products in fp32 on a CPU: "torch", "onednn" or "auto".
    RETURNS (Engine): The first engine whose outputs equal those of each input alone.
    """
    # Importing it imports transformers and registers an attention function there.
    from .packed import PackedEngine, use_packed

    support = use_packed(model, traits)
    choose_products(model, products)
    dtype: torch.dtype | None = lower_dtype(precision)
    lowered = None if dtype is None else use_lowered(model, traits, dtype)
    if next(model.parameters()).device.type == "cpu":
        keep_freed_memory()
    if support.first_position is None:
        return PaddedEngine(model, traits, precision, lowered, reason=support.reason)
    return PackedEngine(
        model,
        traits,
        precision,
        lowered,
        reason=support.reason,
        first_position=support.first_position,
    )
