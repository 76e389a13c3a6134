"""Attention over a row of inputs, against each input alone."""

from __future__ import annotations

from unittest import mock

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trf_bridge.wrappers.engine import packed_attention
from trf_bridge.wrappers.engine.layout import MAX_CELLS, Layout
from trf_bridge.wrappers.engine.packed_attention import attend_in_batches
from trf_bridge.wrappers.engine.planning import MAX_PADDING
from trf_bridge.wrappers.training.dropout import drop_out

CPU = torch.device("cpu")
HEADS, WIDTH = 2, 3


class Attention(torch.nn.Module):
    """A module as transformers passes it to its attention functions."""

    num_key_value_groups = 1

    def __init__(self, is_causal):
        super().__init__()
        self.is_causal = is_causal


def attend_alone(query, key, value, lengths, allowed, scaling=WIDTH**-0.5):
    """Compute softmax(q k scaling) v for each input alone, over the pairs that are allowed."""
    rows, start = [], 0
    for n in lengths:
        q, k, v = (states[:, :, start : start + n] for states in (query, key, value))
        scores = q @ k.transpose(2, 3) * scaling
        scores = scores.masked_fill(~allowed[:n, :n], float("-inf"))
        rows.append((scores.softmax(-1) @ v)[0].transpose(0, 1))
        start += n
    return torch.cat(rows)[None]


def masks(n_rows, window):
    """Return which wordpieces may attend to which others, by distance."""
    at = torch.arange(n_rows)
    distance = at[:, None] - at[None, :]
    return {
        "full": torch.ones((n_rows, n_rows), dtype=torch.bool),
        "causal": distance >= 0,
        "sliding": (distance >= 0) & (distance < window),
    }


falling_lengths = st.lists(st.integers(1, 40), min_size=1, max_size=12).map(
    lambda lengths: sorted(lengths, reverse=True)
)


@given(
    lengths=falling_lengths,
    kind=st.sampled_from(["full", "causal", "sliding"]),
    short=st.sampled_from([0, 20, 128]),
    scaling=st.sampled_from([None, 0.2]),
    shares_keys=st.booleans(),
    seed=st.integers(0, 9),
)
def test_attention_stays_within_each_input(lengths, kind, short, scaling, shares_keys, seed):
    generator = torch.Generator().manual_seed(seed)
    query, key, value = (
        torch.randn((1, heads, sum(lengths), WIDTH), generator=generator)
        for heads in (HEADS, *[1 if shares_keys else HEADS] * 2)
    )
    allowed = masks(sum(lengths), window=5)[kind]
    mask = allowed[None, None] if kind == "sliding" else None
    module = Attention(is_causal=kind == "causal")
    module.num_key_value_groups = HEADS if shares_keys else 1
    layout = Layout(numpy.asarray(lengths), CPU)
    repeated = (states.expand(-1, HEADS, -1, -1) for states in (key, value))
    expected = attend_alone(query, *repeated, lengths, allowed, scaling or WIDTH**-0.5)
    for as_numbers in (False, True):
        if as_numbers and mask is not None:
            mask = torch.zeros(mask.shape).masked_fill(~mask, float("-inf"))
        bounds = {"MAX_BATCHED_LENGTH": short, "MIN_BATCHED_INPUTS": 1}
        with mock.patch.multiple(packed_attention, **bounds):
            got, weights = packed_attention.packed_attention(
                module, query, key, value, mask, layout=layout, dropout=0.0, scaling=scaling
            )
        assert weights is None
        torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["full", "causal", "sliding"])
@pytest.mark.parametrize("short", [0, 128])
def test_gradients_are_those_of_finite_differences(kind, short, monkeypatch):
    monkeypatch.setattr(packed_attention, "MAX_BATCHED_LENGTH", short)
    monkeypatch.setattr(packed_attention, "MIN_BATCHED_INPUTS", 1)
    lengths, n_filler = [4, 3, 3, 1], 2
    states = [
        torch.randn(
            (1, HEADS, sum(lengths) + n_filler, WIDTH), dtype=torch.float64, requires_grad=True
        )
        for _ in range(3)
    ]
    sliding = masks(sum(lengths) + n_filler, window=2)["sliding"][None, None]
    mask = sliding if kind == "sliding" else None
    module = Attention(is_causal=kind == "causal")
    layout = Layout(numpy.asarray(lengths), CPU, n_filler)

    def run(*inputs):
        return packed_attention.packed_attention(module, *inputs, mask, layout=layout, dropout=0.0)[
            0
        ]

    assert any(group.real is not None for group in layout.groups)
    assert torch.autograd.gradcheck(run, states)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_drops_weights(dtype):
    """The same random numbers, applied to softmax(q k / sqrt(width)) by hand."""
    torch.manual_seed(1)
    query, key, value = (torch.randn(5, HEADS, 7, WIDTH).to(dtype) for _ in "qkv")
    torch.manual_seed(0)
    got = attend_in_batches(query, key, value, None, dropout=0.4)
    torch.manual_seed(0)
    kept = drop_out(torch.ones(5, HEADS, 7, 7), 0.4)
    q, k, v = (states.double() for states in (query, key, value))
    weights = (q @ k.mT / WIDTH**0.5).softmax(-1) * kept
    assert 0 < int((kept == 0).sum()) < kept.numel()
    # In bf16 only the result is rounded, to 8 bits.
    tolerance = 1e-6 if dtype == torch.float32 else 2**-9
    torch.testing.assert_close(
        got.double(), (weights @ v).transpose(1, 2), atol=tolerance, rtol=tolerance
    )


@given(lengths=st.lists(st.integers(1, 300), min_size=1, max_size=60), heads=st.integers(1, 3))
def test_groups_hold_every_row_once_and_little_padding(lengths, heads):
    lengths = numpy.sort(numpy.asarray(lengths))[::-1]
    groups = Layout(lengths, CPU).groups
    assert sum(group.n for group in groups) == len(lengths)
    start = 0
    for group in groups:
        shape = (group.n, group.longest)
        assert group.n * group.longest <= MAX_CELLS or group.n == 1
        assert group.n * group.longest - group.n_rows <= MAX_PADDING
        own = torch.arange(start, start + group.n_rows)
        assert group.rows.shape == shape
        assert group.rows.flatten()[group.cells].equal(own)
        taken, cells = group.by_head(heads)
        rows = torch.randn(group.n_rows, heads)
        by_head = rows.flatten()[taken].view(group.n, heads, group.longest)
        expected = rows[group.rows - start].transpose(1, 2)
        assert by_head.equal(expected)
        assert by_head.flatten()[cells].equal(rows.flatten())
        start += group.n_rows
    assert start == lengths.sum()


@given(lengths=falling_lengths, n_filler=st.integers(0, 70))
def test_nothing_attends_to_filler(lengths, n_filler):
    generator = torch.Generator().manual_seed(0)
    n_rows, lengths = sum(lengths), numpy.asarray(lengths)
    states = [torch.randn((1, HEADS, n_rows + n_filler, WIDTH), generator=generator) for _ in "qkv"]
    module = Attention(is_causal=False)
    attend = packed_attention.packed_attention
    without = (each[:, :, :n_rows] for each in states)
    alone, _ = attend(module, *without, None, layout=Layout(lengths, CPU))
    layout = Layout(lengths, CPU, n_filler)
    filled, _ = attend(module, *states, None, layout=layout)
    assert filled.shape[1] == n_rows + n_filler
    torch.testing.assert_close(filled[:, :n_rows], alone, atol=1e-6, rtol=1e-6)
    assert layout.starts.tolist() == Layout(lengths, CPU).starts.tolist()
