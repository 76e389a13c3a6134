"""How many wordpieces run at once on a CPU."""

from __future__ import annotations

import numpy
import pytest
import torch
from engines import LENGTHS, assert_outputs, build_model, engine_of, make_inputs, run_engine
from tiny import WIDTH

from trf_bridge.wrappers.engine import Request, caches

MIB = 1 << 20


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        ({"index0": ("1", "32K"), "index2": ("2", "2048K"), "index3": ("3", "98304K")}, 2 * MIB),
        ({"index0": ("1", "32K"), "index1": ("1", "32K"), "index2": ("2", "512K")}, MIB // 2),
        ({"index0": ("2\n", "1024K\n")}, MIB),
        ({"index0": ("1", "32K")}, MIB),
        ({"index2": ("2", "a lot")}, MIB),
        ({"index2": ("2", "K")}, MIB),
        ({"index1": ("2", None), "index2": ("2", "256K")}, MIB // 4),
        ({}, MIB),
        (None, MIB),
    ],
)
def test_size_of_the_cache(folders, expected, tmp_path, monkeypatch):
    """As Linux tells it, or 1 MiB."""
    root = tmp_path / "cache"
    for name, (level, size) in (folders or {}).items():
        (root / name).mkdir(parents=True)
        (root / name / "level").write_text(level, encoding="utf8")
        if size is not None:
            (root / name / "size").write_text(size, encoding="utf8")
    asked = []
    monkeypatch.setattr(caches, "Path", lambda path: asked.append(path) or root)
    assert caches.level_2_size.__wrapped__() == expected
    assert asked == ["/sys/devices/system/cpu/cpu0/cache"]


@pytest.mark.parametrize(
    ("family", "inner"), [("bert", 2 * WIDTH), ("gpt2", 4 * WIDTH), ("xlnet", 2 * WIDTH)]
)
def test_rows_of_a_layer_fit_into_the_caches(family, inner, checkpoint, monkeypatch):
    model = build_model(checkpoint(family))
    monkeypatch.setattr(caches, "level_2_size", lambda: 2 * MIB)
    for dtype, size in [(torch.float32, 4), (torch.bfloat16, 2)]:
        expected = 20 * 2 * MIB // (size * (2 * inner + 4 * WIDTH))
        assert caches.rows_in_caches(model, WIDTH, dtype) == expected
    assert caches.rows_in_caches(model, 1 << 30, torch.float32) == 1


@pytest.mark.parametrize(
    ("family", "name"), [("bert", "encoder"), ("gpt2", "tiles"), ("xlnet", "padded")]
)
def test_wide_models_get_smaller_subbatches(family, name, checkpoint, monkeypatch):
    """In prediction alone, and not where the user sets no limit."""
    lengths = [20] * 8
    inputs = make_inputs(lengths)
    model = build_model(checkpoint(family))
    expected = run_engine(engine_of(model), inputs, 3000)
    bytes_of_row = 4 * (2 * 2 * WIDTH + 4 * WIDTH)
    monkeypatch.setattr(caches, "LEVEL_2_SIZES", 1)
    monkeypatch.setattr(caches, "level_2_size", lambda: 100 * bytes_of_row)
    engine = engine_of(model)
    assert engine.name == name
    inner = 4 * WIDTH if family == "gpt2" else 2 * WIDTH
    assert engine._max_rows == 100 * bytes_of_row // (4 * (2 * inner + 4 * WIDTH))
    sizes = [subbatch.size for subbatch in engine.plan(inputs.lengths, 3000)]
    assert len(sizes) > 1
    assert max(sizes) <= engine._max_rows
    assert_outputs(run_engine(engine, inputs, 3000), expected)
    assert len(engine.plan(inputs.lengths, 0)) == 1
    assert len(list(engine.update(inputs, 3000, Request()))) == 1
    # Two inputs are more than 30 wordpieces, so each runs alone.
    assert [subbatch.size for subbatch in engine.plan(inputs.lengths, 30)] == lengths


def test_widths_of_weights_count_and_not_those_of_tables(checkpoint):
    model = build_model(checkpoint("bert"), n_positions=5000)
    inner = 2 * WIDTH
    n_rows = caches.rows_in_caches(model, WIDTH, torch.float32)
    assert n_rows == 20 * caches.level_2_size() // (4 * (2 * inner + 4 * WIDTH))
    assert numpy.asarray(LENGTHS).sum() < n_rows
