"""The inputs of many Docs as one batch, their outputs in subbatches, and the way back."""

from __future__ import annotations

from dataclasses import replace

import numpy
import pytest
import torch
from builders import build_wordpieces
from hypothesis import given
from hypothesis import strategies as st
from transformers.modeling_outputs import BaseModelOutputWithPooling

from trf_bridge.types import Activations, Runs
from trf_bridge.wrappers.engine import Request
from trf_bridge.wrappers.engine.padded import PaddedEngine
from trf_bridge.wrappers.engine.planning import Subbatch, plan_tiles
from trf_bridge.wrappers.engine.tiles import TileArguments, TilesEngine
from trf_bridge.wrappers.models.batch import make_batch
from trf_bridge.wrappers.models.outputs import GradientBuffer, OutputBuffer
from trf_bridge.wrappers.traits import Traits

CPU = torch.device("cpu")
WIDTH, LAYERS, HEADS = 3, 2, 2

TRAITS = Traits(
    width=WIDTH,
    n_rows=1000,
    pad_id=77,
    pooler_width=WIDTH,
    n_hidden_states=LAYERS + 1,
    has_attentions=True,
    parameters=frozenset(
        {
            "attention_mask",
            "token_type_ids",
            "position_ids",
            "output_hidden_states",
            "output_attentions",
        }
    ),
)
ALL = Request(hidden_states=True, attentions=True)
# Some of the inputs are longer, and padded.
TILES = TileArguments(width=8, first_position=0, causal=False, n_dims=4)

docs_of_lengths = st.lists(st.lists(st.integers(0, 9), max_size=5), min_size=1, max_size=5)


class FakeModel(torch.nn.Module):
    """A model whose outputs contain the id of each wordpiece, and -1 for padding.

    calls (list of dict): The arguments of each call.
    """

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.calls = []

    def forward(self, input_ids, attention_mask=None, output_hidden_states=None, **arguments):
        self.calls.append({"input_ids": input_ids, "attention_mask": attention_mask, **arguments})
        is_padded = attention_mask is not None and attention_mask.dim() == 2
        mask = attention_mask if is_padded else torch.ones_like(input_ids)
        ids = torch.where(mask.bool(), input_ids, -1).float()
        hidden = ids[:, :, None] * torch.tensor([1.0, 10.0, 100.0])
        pairs = ids[:, None, :, None] * 1000 + ids[:, None, None, :]
        return BaseModelOutputWithPooling(
            last_hidden_state=hidden,
            pooler_output=self.pooler(hidden),
            hidden_states=tuple(hidden + layer for layer in range(LAYERS + 1)),
            attentions=tuple(pairs.repeat(1, HEADS, 1, 1) + layer for layer in range(LAYERS)),
        )

    @property
    def dtype(self):
        return self.weight.dtype

    def pooler(self, hidden):
        return hidden[:, 0]


def make_engine(engine_type=PaddedEngine):
    """Build an engine around a fake model, which it returns too."""
    model = FakeModel()
    options = {"arguments": TILES} if engine_type is TilesEngine else {}
    return engine_type(model, TRAITS, "fp32", reason="tested", **options), model


def make_docs(lengths_of_docs, types=True):
    """Build wordpieces whose ids count through all Docs, from 1."""
    docs, start = [], 1
    for lengths in lengths_of_docs:
        n = sum(lengths)
        ids = numpy.arange(start, start + n, dtype="int32")
        docs.append(build_wordpieces(lengths, ids=ids, type_ids=ids % 2 if types else None))
        start += n
    return docs


def run_whole(engine, model, inputs, indices):
    """Run an engine over one subbatch of some inputs, and return the outputs."""
    indices = numpy.asarray(indices, dtype="int64")
    lengths = inputs.lengths[indices]
    subbatch = Subbatch(indices, len(indices) * max(int(lengths.max(initial=0)), 1))
    if isinstance(engine, TilesEngine):
        (tiled,) = plan_tiles(lengths, 0, width=TILES.width, even=True)
        subbatch = tiled.of(indices)
    return engine._run(model, inputs, subbatch, Request())


def run_batch(docs, words_per_batch, engine_type=PaddedEngine, request=ALL):
    """Run the fake model over Docs, and collect the outputs of the subbatches."""
    batch = make_batch(docs)
    buffer = OutputBuffer(batch, TRAITS, CPU, request)
    engine, _ = make_engine(engine_type)
    for outputs in engine.predict(batch.inputs, words_per_batch, request):
        buffer.write(outputs)
    return buffer.split()


@pytest.mark.parametrize("engine_type", [PaddedEngine, TilesEngine])
@given(lengths_of_docs=docs_of_lengths, words_per_batch=st.sampled_from([0, 1, 7, 30]))
def test_outputs_come_back_in_order_without_padding(engine_type, lengths_of_docs, words_per_batch):
    docs = make_docs(lengths_of_docs)
    found = run_batch(docs, words_per_batch, engine_type)
    for doc, activations in zip(docs, found, strict=True):
        check_states(doc, activations)
        ends = numpy.cumsum(doc.lengths).tolist()
        for i, (end, n) in enumerate(zip(ends, doc.lengths.tolist(), strict=True)):
            ids = doc.ids[end - n : end].astype("float32")
            grid = ids[:, None] * 1000 + ids[None, :]
            assert activations.attentions[i].shape == (LAYERS, HEADS, n, n)
            assert numpy.array_equal(activations.attentions[i][1, 1], grid + 1)


def check_states(doc, activations):
    expected = doc.ids[:, None] * numpy.asarray([1.0, 10.0, 100.0], dtype="float32")
    assert numpy.array_equal(activations.last_hidden_state, expected)
    for layer in range(LAYERS + 1):
        assert numpy.array_equal(activations.hidden_states[layer], expected + layer)
    ends = numpy.cumsum(doc.lengths).tolist()
    for i, (end, n) in enumerate(zip(ends, doc.lengths.tolist(), strict=True)):
        first = expected[end - n] if n else numpy.zeros(WIDTH)
        assert numpy.array_equal(activations.pooler_output[i], first)


def groups_in(call):
    """Yield the ids, types and positions of the cells that see each other, tile after tile."""
    masks = call["attention_mask"][:, 0]
    assert set(masks.unique().tolist()) <= {0.0, float("-inf")}
    for tile, mask in enumerate(masks):
        for sees in (mask == 0).unique(dim=0):
            columns = sees.nonzero()[:, 0]
            assert (columns.diff() == 1).all()
            yield tuple(
                call[name][tile, columns].tolist()
                for name in ("input_ids", "token_type_ids", "position_ids")
            )


@given(docs_of_lengths)
def test_tiles_hold_ids_types_and_positions(lengths_of_docs):
    """And a mask that lets a wordpiece see its own input alone. Padding sees padding."""
    inputs = make_batch(make_docs(lengths_of_docs)).inputs
    engine, model = make_engine(TilesEngine)
    list(engine.predict(inputs, 14, Request()))
    tiled = [call for call in model.calls if call["attention_mask"].dim() == 4]
    groups = [group for call in tiled for group in groups_in(call)]
    for end, n in zip(numpy.cumsum(inputs.lengths), inputs.lengths, strict=True):
        if 0 < n <= TILES.width:
            own = slice(end - n, end)
            expected = (inputs.ids[own].tolist(), inputs.type_ids[own].tolist(), [*range(n)])
            groups.remove(expected)
    assert all(len(set(ids)) == 1 and set(positions) == {0} for ids, _, positions in groups)
    assert len(groups) <= sum(len(call["input_ids"]) for call in tiled)


@given(docs_of_lengths.filter(any))
def test_padding_is_masked_and_holds_the_pad_id(lengths_of_docs):
    inputs = make_batch(make_docs(lengths_of_docs)).inputs
    engine, model = make_engine()
    run_whole(engine, model, inputs, range(len(inputs.lengths)))
    (call,) = model.calls
    mask = call["attention_mask"].bool()
    assert mask.sum(1).tolist() == inputs.lengths.tolist()
    assert (call["input_ids"][~mask] == TRAITS.pad_id).all()
    assert (call["token_type_ids"][~mask] == 0).all()
    assert call["input_ids"][mask].tolist() == inputs.ids.tolist()
    assert call["token_type_ids"][mask].tolist() == inputs.type_ids.tolist()
    assert call["input_ids"].dtype == call["token_type_ids"].dtype == torch.int64


@pytest.mark.parametrize("engine_type", [PaddedEngine, TilesEngine])
def test_type_ids_are_left_out_if_there_are_none(engine_type):
    inputs = make_batch(make_docs([[2], [3]], types=False)).inputs
    assert inputs.type_ids is None
    engine, model = make_engine(engine_type)
    run_whole(engine, model, inputs, [1, 0])
    (call,) = model.calls
    assert "token_type_ids" not in call


@given(docs_of_lengths, st.sampled_from([0, 1, 7, 30]))
def test_outputs_meet_their_gradients(lengths_of_docs, words_per_batch):
    docs = make_docs(lengths_of_docs)
    d_outputs = run_batch(docs, 0)  # "gradients" equal to the outputs
    batch = make_batch(docs)
    buffer = GradientBuffer(batch, d_outputs, CPU)
    engine, _ = make_engine()
    n_inputs = 0
    for subbatch in engine.predict(batch.inputs, words_per_batch, ALL):
        outputs, gradients = buffer.pairs(subbatch)
        assert len(outputs) == 2 + LAYERS + 1 + len(subbatch.indices)
        for output, gradient in zip(outputs, gradients, strict=True):
            assert output.equal(gradient)
        n_inputs += len(subbatch.indices)
    assert n_inputs == len(batch.inputs.lengths)


def test_missing_gradients():
    """Docs without a gradient get zeros. Outputs without one are left out."""
    docs = make_docs([[2, 1], [3]])
    d_second = Activations(last_hidden_state=numpy.ones((3, WIDTH), dtype="float32"))
    none = Activations(last_hidden_state=None)
    batch = make_batch(docs)
    buffer = GradientBuffer(batch, [none, d_second], CPU)
    assert buffer.last_hidden_state.tolist() == [[0.0] * WIDTH] * 3 + [[1.0] * WIDTH] * 3
    assert buffer.pooler_output is None
    engine, _ = make_engine()
    for request in (ALL, Request()):
        (subbatch,) = engine.predict(batch.inputs, 0, request)
        outputs, _ = buffer.pairs(subbatch)
        assert len(outputs) == 1
    empty = GradientBuffer(batch, [none, none], CPU)
    assert empty.pairs(subbatch) == ([], [])


def make_windows(**fields):
    """Build the rows that two windows of a text of 6 wordpieces read."""
    return Runs(
        rows=numpy.asarray([0, 1, 2, 3, 2, 3, 4, 5], dtype="int32"),
        lengths=numpy.asarray([4, 4], dtype="int32"),
        text_spans=numpy.zeros((2, 2), dtype="int32"),
        **fields,
    )


@pytest.mark.parametrize("engine_type", [PaddedEngine, TilesEngine])
def test_windows_read_context_whose_outputs_are_not_stored(engine_type):
    (doc,) = make_docs([[3, 3]])
    windowed = replace(doc, runs=make_windows())
    batch = make_batch([*make_docs([[2]]), windowed])
    engine, model = make_engine(engine_type)
    outputs = run_whole(engine, model, batch.inputs, [1, 2])
    (call,) = model.calls
    assert call["input_ids"].flatten()[:8].tolist() == [1, 2, 3, 4, 3, 4, 5, 6]
    kept = batch.kept[outputs.rows]
    assert batch.rows[outputs.rows][kept].tolist() == [2, 3, 4, 5, 6, 7]
    assert numpy.flatnonzero(kept).tolist() == [0, 1, 2, 5, 6, 7]
    (activations,) = run_batch([windowed], 0, engine_type)
    assert activations.last_hidden_state[:, 0].tolist() == [1, 2, 3, 4, 5, 6]
    assert [a.shape for a in activations.attentions] == [(LAYERS, HEADS, 4, 4)] * 2


def test_means_of_windows_and_their_transpose():
    """Both windows read rows 2 and 3. The Doc without windows stays unchanged."""
    plain, windowed = make_docs([[2], [3, 3]])
    docs = [plain, replace(windowed, runs=make_windows(mean=True))]
    batch = make_batch(docs)
    assert batch.kept.all()
    assert batch.weights.tolist() == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 1, 1]
    for words_per_batch in (0, 4, 8):
        first, second = run_batch(docs, words_per_batch)
        assert first.last_hidden_state[:, 0].tolist() == [1, 2]
        # The fake model returns the same for a wordpiece in each window.
        assert second.last_hidden_state[:, 0].tolist() == [3, 4, 5, 6, 7, 8]
        assert second.hidden_states[2, :, 0].tolist() == [5, 6, 7, 8, 9, 10]
        d_outputs = [Activations(a.last_hidden_state) for a in (first, second)]
        buffer = GradientBuffer(batch, d_outputs, CPU)
        sums = numpy.zeros(8)
        engine, _ = make_engine()
        for subbatch in engine.predict(batch.inputs, words_per_batch, Request()):
            (output,), (gradient,) = buffer.pairs(subbatch)
            assert output.shape == gradient.shape
            numpy.add.at(sums, batch.rows[subbatch.rows], gradient[:, 0].numpy())
        assert sums.tolist() == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize("docs", [[], [[]], [[], []]])
def test_empty_batches(docs):
    batch = make_batch(make_docs(docs))
    assert batch.inputs.ids.shape == batch.rows.shape == batch.kept.shape == (0,)
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
