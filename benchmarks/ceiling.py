"""The speed of matrix products on this machine, an upper bound for every system."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import torch
from torch import nn

# About the rows of a subbatch. The fastest of the runs counts.
ROWS = 2048
RUNS = 10


def product_rates(system: Any) -> dict[str, Any]:
    """Measure the matrix products of a model without anything else.

    system (Bridge): The pipeline.
    RETURNS (dict): Floating-point operations of all products per wordpiece, and the operations per
        second of this machine by library and precision.
    """
    from trf_bridge.wrappers.models.layer import get_shim

    model = get_shim(system.nlp.get_pipe("trf_tok2vec").model)._model
    # Layers run on all rows. The pooler runs on one row per sentence and is left out.
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
    """Measure one product, with weights packed for oneDNN or with torch's own layout."""
    shapes = (ROWS, n_in), (n_out, n_in), (n_out,)
    rows, weight, bias = (torch.randn(shape).to(dtype) for shape in shapes)
    onednn, seconds = torch.ops.mkldnn, []
    with torch.inference_mode():
        stored = onednn._reorder_linear_weight(weight, ROWS) if packed else weight
        for _ in range(RUNS):
            start = time.perf_counter()
            if packed:
                onednn._linear_pointwise(rows, stored, bias, "none", [], "")
            else:
                nn.functional.linear(rows, weight, bias)
            seconds.append(time.perf_counter() - start)
    return min(seconds)
