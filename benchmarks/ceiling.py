"""How fast this machine multiplies matrices: what no system on it can be faster than."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import torch
from torch import nn

# About a subbatch; a rate is that of the fastest of some runs.
ROWS = 2048
RUNS = 10


def product_rates(system: Any) -> dict[str, Any]:
    """Time the products of a model by themselves.

    system (Bridge): The pipeline.
    RETURNS (dict): Floating-point operations of all products, for one wordpiece, and how many of
        them this machine does in a second, by library and precision.
    """
    from trf_bridge.wrappers.models.layer import get_shim

    model = get_shim(system.nlp.get_pipe("trf_tok2vec").model)._model
    # The pooler reads one row of each sentence, the layers read all of them.
    layers = [
        layer
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear) and "pooler" not in name
    ]
    shapes = Counter((layer.out_features, layer.in_features) for layer in layers)
    operations = sum(2 * n_out * n_in * count for (n_out, n_in), count in shapes.items())
    kinds = [("torch fp32", torch.float32, False), ("torch bf16", torch.bfloat16, False)]
    if torch.backends.mkldnn.is_available():
        kinds.append(("oneDNN fp32", torch.float32, True))
        if torch.ops.mkldnn._is_mkldnn_bf16_supported():
            kinds.append(("oneDNN bf16", torch.bfloat16, True))
    rates = {}
    for name, dtype, packed in kinds:
        seconds = sum(count * _seconds(*shape, dtype, packed) for shape, count in shapes.items())
        rates[name] = ROWS * operations / seconds
    return {"operations": operations, "rates": rates}


def _seconds(n_out: int, n_in: int, dtype: torch.dtype, packed: bool) -> float:
    """Of one product, the weights laid out for oneDNN beforehand or as torch takes them."""
    shapes = (ROWS, n_in), (n_out, n_in), (n_out,)
    rows, weight, bias = (torch.randn(shape).to(dtype) for shape in shapes)
    onednn, found = torch.ops.mkldnn, []
    with torch.inference_mode():
        laid_out = onednn._reorder_linear_weight(weight, ROWS) if packed else weight
        for _ in range(RUNS):
            start = time.perf_counter()
            if packed:
                onednn._linear_pointwise(rows, laid_out, bias, "none", [], "")
            else:
                nn.functional.linear(rows, weight, bias)
            found.append(time.perf_counter() - start)
    return min(found)
