"""The flat batch, its padded subbatches, and the way back."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy
import pytest
from builders import build_wordpieces
from hypothesis import given
from hypothesis import strategies as st

from trf_bridge.types import Activations, Runs
from trf_bridge.wrappers.engine.planning import make_subbatches
from trf_bridge.wrappers.models.batch import make_batch
from trf_bridge.wrappers.models.outputs import GradientBuffer, OutputBuffer, SubbatchTensors
from trf_bridge.wrappers.traits import Traits

WIDTH, LAYERS, HEADS = 3, 2, 2

TRAITS = Traits(
    width=WIDTH,
    n_rows=1000,
    pad_id=0,
    pooler_width=WIDTH,
    n_hidden_states=LAYERS + 1,
    has_attentions=True,
    parameters=frozenset(),
)

docs_of_lengths = st.lists(st.lists(st.integers(0, 9), max_size=5), min_size=1, max_size=5)


def make_docs(lengths_of_docs, types=True):
    """Wordpieces whose ids count up through all Docs, from 1."""
    docs, start = [], 1
    for lengths in lengths_of_docs:
        n = sum(lengths)
        ids = numpy.arange(start, start + n, dtype="int32")
        docs.append(build_wordpieces(lengths, ids=ids, type_ids=ids % 2 if types else None))
        start += n
    return docs


def run_fake(subbatch):
    """A model whose output says which wordpiece stood in the cell; -1 for padding."""
    import torch

    marked = numpy.where(subbatch.mask, subbatch.ids, -1).astype("float32")
    ids = torch.from_numpy(marked)
    hidden = ids[:, :, None] * torch.tensor([1.0, 10.0, 100.0])
    pairs = ids[:, None, :, None] * 1000 + ids[:, None, None, :]
    outputs = {
        "pooler_output": (hidden * torch.from_numpy(subbatch.mask)[:, :, None])[:, :1].sum(dim=1),
        "hidden_states": tuple(hidden + layer for layer in range(LAYERS + 1)),
        "attentions": tuple(pairs.repeat(1, HEADS, 1, 1) + layer for layer in range(LAYERS)),
    }
    return SimpleNamespace(last_hidden_state=hidden, get=outputs.get, **outputs)


def run_batch(docs, words_per_batch):
    import torch

    batch = make_batch(docs)
    kept = {"hidden_states": True, "attentions": True}
    buffer = OutputBuffer(batch, TRAITS, torch.device("cpu"), **kept)
    for indices in make_subbatches(batch.run_lengths, words_per_batch):
        subbatch = batch.take(indices, TRAITS.pad_id)
        buffer.write(subbatch, SubbatchTensors(run_fake(subbatch), subbatch, **kept))
    return buffer.split()


@given(docs_of_lengths, st.sampled_from([0, 1, 7, 30]))
def test_outputs_come_back_in_order_without_padding(lengths_of_docs, words_per_batch):
    docs = make_docs(lengths_of_docs)
    for doc, activations in zip(docs, run_batch(docs, words_per_batch), strict=True):
        expected = doc.ids[:, None] * numpy.asarray([1.0, 10.0, 100.0], dtype="float32")
        assert numpy.array_equal(activations.last_hidden_state, expected)
        for layer in range(LAYERS + 1):
            assert numpy.array_equal(activations.hidden_states[layer], expected + layer)
        ends = numpy.cumsum(doc.lengths).tolist()
        for i, (end, n) in enumerate(zip(ends, doc.lengths.tolist(), strict=True)):
            ids = doc.ids[end - n : end].astype("float32")
            grid = ids[:, None] * 1000 + ids[None, :]
            assert activations.attentions[i].shape == (LAYERS, HEADS, n, n)
            assert numpy.array_equal(activations.attentions[i][1, 1], grid + 1)
            if n:
                assert numpy.array_equal(activations.pooler_output[i], expected[end - n])


@given(docs_of_lengths)
def test_padding_is_masked_and_holds_the_pad_id(lengths_of_docs):
    batch = make_batch(make_docs(lengths_of_docs))
    subbatch = batch.take(numpy.arange(len(batch.run_lengths)), 77)
    assert subbatch.mask.sum(axis=1).tolist() == subbatch.lengths.tolist()
    assert (subbatch.ids[~subbatch.mask] == 77).all()
    assert (subbatch.type_ids[~subbatch.mask] == 0).all()
    assert subbatch.ids[subbatch.mask].tolist() == batch.ids.tolist()
    assert subbatch.type_ids[subbatch.mask].tolist() == batch.type_ids.tolist()
    assert subbatch.ids.dtype == subbatch.type_ids.dtype == numpy.int64


def test_type_ids_are_left_out_where_there_are_none():
    batch = make_batch(make_docs([[2], [3]], types=False))
    assert batch.type_ids is None
    assert batch.take(numpy.asarray([1, 0]), 0).type_ids is None


@given(docs_of_lengths, st.sampled_from([0, 1, 7, 30]))
def test_gradients_meet_the_outputs_that_they_belong_to(lengths_of_docs, words_per_batch):
    import torch

    docs = make_docs(lengths_of_docs)
    d_outputs = run_batch(docs, 0)  # "gradients" that say where they belong
    batch = make_batch(docs)
    buffer = GradientBuffer(batch, d_outputs, torch.device("cpu"))
    kept = {"hidden_states": True, "attentions": True}
    for indices in make_subbatches(batch.run_lengths, words_per_batch):
        subbatch = batch.take(indices, 0)
        tensors = SubbatchTensors(run_fake(subbatch), subbatch, **kept)
        outputs, gradients = buffer.pairs(subbatch, tensors)
        assert len(outputs) == 2 + LAYERS + 1 + len(indices)
        for output, gradient in zip(outputs, gradients, strict=True):
            assert output.equal(gradient)


def test_docs_without_a_gradient_get_zeros_and_kinds_without_one_are_left_out():
    import torch

    docs = make_docs([[2, 1], [3]])
    given_one = Activations(last_hidden_state=numpy.ones((3, WIDTH), dtype="float32"))
    none = Activations(last_hidden_state=None)
    batch = make_batch(docs)
    buffer = GradientBuffer(batch, [none, given_one], torch.device("cpu"))
    assert buffer.last_hidden_state.tolist() == [[0.0] * WIDTH] * 3 + [[1.0] * WIDTH] * 3
    assert buffer.pooler_output is None
    subbatch = batch.take(numpy.arange(3), 0)
    for kept in (True, False):
        flags = {"hidden_states": kept, "attentions": kept}
        tensors = SubbatchTensors(run_fake(subbatch), subbatch, **flags)
        outputs, _ = buffer.pairs(subbatch, tensors)
        assert len(outputs) == 1
    empty = GradientBuffer(batch, [none, none], torch.device("cpu"))
    assert empty.pairs(subbatch, tensors) == ([], [])


def test_windows_read_their_neighbours_and_answer_for_themselves():
    (doc,) = make_docs([[3, 3]])
    runs = Runs(
        rows=numpy.asarray([0, 1, 2, 3, 2, 3, 4, 5], dtype="int32"),
        lengths=numpy.asarray([4, 4], dtype="int32"),
        text_spans=numpy.zeros((2, 2), dtype="int32"),
    )
    windowed = replace(doc, runs=runs)
    batch = make_batch([*make_docs([[2]]), windowed])
    subbatch = batch.take(numpy.asarray([1, 2]), 0)
    assert subbatch.ids.tolist() == [[1, 2, 3, 4], [3, 4, 5, 6]]
    assert subbatch.rows.tolist() == [2, 3, 4, 5, 6, 7]
    assert subbatch.cells.tolist() == [0, 1, 2, 5, 6, 7]
    (activations,) = run_batch([windowed], 0)
    assert activations.last_hidden_state[:, 0].tolist() == [1, 2, 3, 4, 5, 6]
    assert [a.shape for a in activations.attentions] == [(LAYERS, HEADS, 4, 4)] * 2


def test_rows_of_windows_that_are_means_and_their_transpose():
    """Rows 2 and 3 are read by both windows; the plain Doc beside them is as it was."""
    import torch

    plain, windowed = make_docs([[2], [3, 3]])
    runs = Runs(
        rows=numpy.asarray([0, 1, 2, 3, 2, 3, 4, 5], dtype="int32"),
        lengths=numpy.asarray([4, 4], dtype="int32"),
        text_spans=numpy.zeros((2, 2), dtype="int32"),
        mean=True,
    )
    docs = [plain, replace(windowed, runs=runs)]
    batch = make_batch(docs)
    assert batch.own.all()
    assert batch.weights.tolist() == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 1, 1]
    for words_per_batch in (0, 4, 8):
        first, second = run_batch(docs, words_per_batch)
        assert first.last_hidden_state[:, 0].tolist() == [1, 2]
        # What the model gives for a wordpiece is here the same in each window.
        assert second.last_hidden_state[:, 0].tolist() == [3, 4, 5, 6, 7, 8]
        assert second.hidden_states[2, :, 0].tolist() == [5, 6, 7, 8, 9, 10]
        d_outputs = [Activations(a.last_hidden_state) for a in (first, second)]
        buffer = GradientBuffer(batch, d_outputs, torch.device("cpu"))
        sums = numpy.zeros(8)
        for indices in make_subbatches(batch.run_lengths, words_per_batch):
            subbatch = batch.take(indices, 0)
            tensors = SubbatchTensors(
                run_fake(subbatch), subbatch, hidden_states=False, attentions=False
            )
            (output,), (gradient,) = buffer.pairs(subbatch, tensors)
            assert output.shape == gradient.shape
            numpy.add.at(sums, subbatch.rows, gradient[:, 0].numpy())
        assert sums.tolist() == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize("docs", [[], [[]], [[], []]])
def test_nothing(docs):
    batch = make_batch(make_docs(docs))
    assert batch.ids.shape == batch.run_rows.shape == batch.own.shape == (0,)
    outputs = run_batch(make_docs(docs), 0)
    assert [o.last_hidden_state.shape for o in outputs] == [(0, WIDTH)] * len(docs)


def test_copies_do_not_share_memory():
    (activations,) = run_batch(make_docs([[2, 3]]), 0)
    copied = activations.copy()
    for name in ("last_hidden_state", "pooler_output", "hidden_states"):
        one, two = getattr(activations, name), getattr(copied, name)
        assert numpy.array_equal(one, two)
        assert not numpy.shares_memory(one, two)
    assert not numpy.shares_memory(activations.attentions[0], copied.attentions[0])
    assert Activations(last_hidden_state=None).copy() == Activations(last_hidden_state=None)
