"""Memory that the process keeps between the layers of a model."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import numpy
import pytest
import torch
from builders import build_wordpieces
from tiny import WIDTH
from transformers import AutoModel

from trf_bridge.wrappers.engine import memory
from trf_bridge.wrappers.models.layer import TransformerModel, get_shim

# The memory that the system clears when four arrays of 12 MiB are allocated and freed repeatedly.
# By malloc itself: torch allocates small objects in between, which may lie above the arrays and
# keep glibc from returning them.
FAULTS = """
import ctypes
import resource
from trf_bridge.wrappers.engine.memory import keep_freed_memory

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
size = 12 << 20

def count_faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    arrays = [libc.malloc(size) for _ in range(4)]
    for array in arrays:
        ctypes.memset(array, 1, size)
    for array in reversed(arrays):
        libc.free(array)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

{first}
faults = [count_faults() for _ in range(8)]
print(max(faults[3:]) * resource.getpagesize() // (1 << 20))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
@pytest.mark.parametrize(("first", "least", "most"), [("keep_freed_memory()", 0, 1), ("", 24, 48)])
def test_freed_memory_is_kept(first, least, most):
    settings = ("MALLOC_", "GLIBC_TUNABLES")
    environ = {name: of for name, of in os.environ.items() if not name.startswith(settings)}
    code = FAULTS.format(first=first)
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True
    )
    assert least <= int(ran.stdout) <= most


@pytest.mark.parametrize(
    ("family", "inner"), [("bert", 2 * WIDTH), ("gpt2", 4 * WIDTH), ("xlnet", 2 * WIDTH)]
)
def test_rows_of_a_layer_fit_into_the_memory(checkpoint, family, inner):
    model = AutoModel.from_pretrained(checkpoint(family))
    for dtype, size in [(torch.float32, 4), (torch.bfloat16, 2)]:
        expected = 2 * memory.FREED // (size * (2 * inner + 4 * WIDTH))
        assert memory.max_rows(model, WIDTH, dtype) == expected
    assert memory.max_rows(model, 1 << 30, torch.float32) == 1


@pytest.mark.parametrize("family", ["bert", "xlnet"])
def test_wide_models_get_smaller_subbatches(checkpoint, family, monkeypatch):
    wordpieces = [build_wordpieces([5] * 8, ids=[*range(10, 50)])]

    def run(words_per_batch):
        # Without oneDNN, which rounds the number of rows up.
        settings = {"words_per_batch": words_per_batch, "products": "torch"}
        model = TransformerModel(str(checkpoint(family)), **settings)
        model.initialize()
        engine = get_shim(model).engine
        sizes = []

        def call(model, arguments, request):
            sizes.append(arguments["input_ids"].numel())
            return type(engine)._call(engine, model, arguments, request)

        engine._call = call
        (found,) = model.predict(wordpieces)
        lengths = wordpieces[0].lengths
        plan = engine.plan(lengths, words_per_batch)
        assert sizes == [engine.size(lengths[indices]) for indices in plan]
        return sizes, found.last_hidden_state

    one_subbatch, expected = run(3000)
    assert len(one_subbatch) == 1
    inner = 2 * WIDTH
    monkeypatch.setattr(memory, "FREED", 10 * 4 * (2 * inner + 4 * WIDTH) // 2)
    several, found = run(3000)
    assert max(several) <= 10
    assert numpy.abs(found - expected).max() <= 1e-5
    assert len(run(5)[0]) == 8
    assert len(run(0)[0]) == 1
