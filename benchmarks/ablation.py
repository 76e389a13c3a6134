"""How to switch off each part of this project that saves time, to measure what it is worth.

A worker switches one of them off before it builds its pipeline, and measures in a separate process.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import MappingProxyType
from typing import Any, NamedTuple
from unittest.mock import patch

PREDICTION = ("prediction fp32", "prediction bf16", "latency fp32", "latency bf16")
TRAINING = ("training fp32",)
FP32 = ("prediction fp32", "latency fp32")
BF16 = ("prediction bf16", "latency bf16")

# The name of the measurements with everything switched on.
ALL = "all"


class Trick(NamedTuple):
    """Store something that saves time, and how to switch it off.

    description (str): What it is, and what is used without it.
    columns (tuple of str): The measurements that it affects.
    settings (dict): Keyword arguments of `trf_bridge.from_pretrained` that switch it off.
    patches (callable): Returns a context manager that switches it off.
    against (str): The measurement to compare with, where a second thing has to be off.
    """

    description: str
    columns: tuple[str, ...]
    settings: Mapping[str, Any] = MappingProxyType({})
    patches: Callable[[], AbstractContextManager[Any]] = nullcontext
    against: str = ALL


def replaced(module: str, name: str, by: Any) -> Callable[[], AbstractContextManager[Any]]:
    """Return a function that replaces a function or a class of this project.

    module (str): Its module, within `trf_bridge.wrappers`.
    name (str): Its name there.
    by: The replacement.
    RETURNS (callable): Returns a context manager that replaces it.
    """
    return lambda: patch.object(importlib.import_module(f"trf_bridge.wrappers.{module}"), name, by)


def separate_products() -> AbstractContextManager[Any]:
    """Compute each linear layer of the encoder by itself.

    RETURNS (context manager): Replaces the class of the encoder's products.
    """
    import torch

    from trf_bridge.wrappers.engine import encoder_layers

    class SeparateLinear(encoder_layers.Linear):
        """Compute the products of several layers one by one, and add the residual to the sum."""

        def __init__(self, layers: list[Any], *arguments: Any, **options: Any) -> None:
            super().__init__(layers, *arguments, **options)
            self._parts = [joined_linear([layer], *arguments, **options) for layer in layers]

        def __call__(self, x: torch.Tensor, residual: torch.Tensor | None = None) -> torch.Tensor:
            products = [part(x) for part in self._parts]
            product = products[0] if len(products) == 1 else torch.cat(products, dim=1)
            return product if residual is None else product.add_(residual)

    joined_linear = encoder_layers.Linear
    return patch.object(encoder_layers, "Linear", SeparateLinear)


def _nothing(*arguments: Any) -> None:
    """Do nothing, and return None."""


def _unlimited(*arguments: Any) -> int:
    """Return a number of rows that no subbatch has."""
    return sys.maxsize


def _one(*arguments: Any) -> int:
    """Return the number of subbatches that run at a time."""
    return 1


TRICKS = {
    "encoder": Trick(
        "the forward pass of this project; without it the model's own, on tiles",
        PREDICTION,
        settings={"engine": "tiles"},
    ),
    "tiles": Trick(
        "several inputs in a tile; without them padded batches, both with the model's own forward",
        (*PREDICTION, *TRAINING),
        settings={"engine": "padded"},
        against="encoder",
    ),
    "fused products": Trick(
        "query, key and value in one product, and residuals added within a product; without it "
        "one product for each, joined by a copy, and separate sums",
        PREDICTION,
        patches=separate_products,
    ),
    "oneDNN": Trick(
        "products in fp32 by oneDNN; without it by the library that torch chooses",
        (*FP32, *TRAINING),
        settings={"products": "torch"},
    ),
    "bf16 copy": Trick(
        "weights stored in bf16; without them mixed precision, both with the model's own forward "
        "on tiles",
        BF16,
        settings={"engine": "tiles"},
        patches=replaced("engine.choice", "_with_lowered_copy", lambda engine, sample: engine),
        against="encoder",
    ),
    "small subbatches": Trick(
        "subbatches whose rows fit into the caches; without them of the size words_per_batch",
        (*PREDICTION[:2], *TRAINING),
        patches=replaced("engine.base", "rows_in_caches", _unlimited),
    ),
    "side by side": Trick(
        "several subbatches at a time, each on its share of the threads; without it one after "
        "another, each on all threads",
        PREDICTION[:2],
        patches=replaced("engine.encoder", "count_streams", _one),
    ),
    "fast dropout": Trick(
        "16 random bits for each cell of a dropout; without it one random number of torch",
        TRAINING,
        patches=replaced("models.shim", "use_fast_dropout", _nothing),
    ),
    "sparse gradients": Trick(
        "sparse gradients of embeddings within a batch; without them dense ones",
        TRAINING,
        patches=replaced("models.shim", "SparseGradients", _nothing),
    ),
}


@contextmanager
def switched_off(name: str) -> Iterator[dict[str, Any]]:
    """Switch something off until the block ends.

    name (str): A key of `TRICKS`, or `ALL` to switch nothing off.
    YIELDS (dict): Keyword arguments of `trf_bridge.from_pretrained`.
    """
    if name == ALL:
        yield {}
        return
    trick = TRICKS[name]
    with trick.patches():
        yield dict(trick.settings)
