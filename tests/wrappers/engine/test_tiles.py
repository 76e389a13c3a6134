"""The engine that runs a model's own forward over tiles, against each input alone."""

from __future__ import annotations

import copy

import numpy
import pytest
import torch
import transformers
from builders import build_wordpieces
from engines import (
    LENGTHS,
    N_POSITIONS,
    assert_alone,
    build_mistral,
    build_model,
    engine_of,
    load_layer,
    make_inputs,
    run_alone,
    run_engine,
)

from trf_bridge.wrappers.engine import Request, training_mode
from trf_bridge.wrappers.engine.planning import TiledSubbatch
from trf_bridge.wrappers.models.layer import get_shim

# In transformers 4, T5 adds its relative positions to a mask of another shape, and DistilBERT takes
# no such mask.
IS_OLD = int(transformers.__version__.partition(".")[0]) < 5
TILED = ["bert", "roberta", "gpt2", "mpnet", "llama", "qwen", *([] if IS_OLD else ["t5"])]


@pytest.fixture
def build(checkpoint):
    """Return a function: name of a family, settings -> engine, and an unchanged copy of its model,
    with positions for long inputs."""

    def get(name, n_positions=N_POSITIONS, **options):
        model = build_model(checkpoint(name), n_positions, **options)
        plain = copy.deepcopy(model)
        return engine_of(model, engine="tiles"), plain

    return get


@pytest.mark.parametrize("name", TILED)
def test_outputs_are_those_of_each_input_alone(name, build):
    engine, plain = build(name)
    assert engine.name == "tiles"
    for words_per_batch in (0, 1, 70, 3000):
        assert_alone(engine, make_inputs(LENGTHS), words_per_batch, model=plain)


def test_types_of_pairs(build):
    engine, plain = build("bert")
    inputs = make_inputs(LENGTHS, types=True)
    found = assert_alone(engine, inputs, model=plain)
    without = run_engine(engine, inputs._replace(type_ids=None))
    assert (found["last"] - without["last"]).abs().max() > 1e-2


@pytest.mark.parametrize("name", TILED)
def test_attention_weights(name, build):
    """Those of each input, without its neighbours in the tile."""
    engine, plain = build(name, output_attentions=True)
    request = Request(attentions=True)
    inputs = make_inputs(LENGTHS)
    found = assert_alone(engine, inputs, model=plain, request=request)
    for i, n in enumerate(inputs.lengths.tolist()):
        if n:
            assert found[f"attention {i}"].shape[-2:] == (n, n)


def gradients_of(model, outputs, d_outputs):
    """Return the gradients of a model's weights by name."""
    model.zero_grad()
    names = [name for name in outputs if name in d_outputs]
    with training_mode(model):  # checkpointed layers run once more
        torch.autograd.backward(
            [outputs[name] for name in names], [d_outputs[name] for name in names]
        )
    named = model.named_parameters()
    return {name: w.grad.clone() for name, w in named if w.grad is not None}


def assert_gradients(found, expected):
    """Check that gradients are equal up to rounding. A missing one is zero."""
    assert expected
    for name in found.keys() | expected.keys():
        one = found.get(name, torch.zeros(()))
        two = expected.get(name, torch.zeros(()))
        scale = max(1.0, float(two.abs().max()))
        torch.testing.assert_close(*torch.broadcast_tensors(one, two), atol=1e-5 * scale, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "checkpointing"),
    [
        (name, checkpointing)
        for name in TILED
        for checkpointing in (False, True)
        if not checkpointing or name != "mpnet"  # transformers has none for it
    ],
)
def test_gradients_of_each_input(name, checkpointing, build):
    """Gradients of one input alone, though others are in its tile."""
    engine, plain = build(name)
    if checkpointing:
        engine._model.gradient_checkpointing_enable({"use_reentrant": False})
    lengths = [9, 30, 5, 17, 1]
    inputs = make_inputs(lengths)
    ends = numpy.cumsum(lengths)
    torch.manual_seed(0)
    for i in (1, 2, 4):
        own = run_alone(plain, inputs, only=i)
        d_own = {key: torch.randn_like(rows) for key, rows in own.items()}
        found = run_engine(engine, inputs, 100, is_train=True)
        d_found = {key: torch.zeros_like(rows) for key, rows in found.items()}
        for key, rows in d_found.items():
            rows[i if key == "pooler" else slice(ends[i] - lengths[i], ends[i])] = d_own[key]
        assert_gradients(
            gradients_of(engine._model, found, d_found), gradients_of(plain, own, d_own)
        )


@pytest.mark.parametrize("is_train", [False, True])
@pytest.mark.parametrize(
    ("name", "engine"),
    [("bert", "encoder"), ("bert", "tiles"), ("bert", "padded"), ("gpt2", "auto")],
)
def test_inputs_without_wordpieces(name, engine, is_train, checkpoint):
    """For example those of an empty text, with a tokenizer that adds no boundary pieces."""
    model = load_layer(checkpoint(name), engine=engine)
    ids = [5, 6, 7, 8, 9]
    full = build_wordpieces([3, 2], ids=ids)
    holes = build_wordpieces([0, 3, 0, 0, 2, 0], ids=ids)
    nothing = build_wordpieces([0, 0], ids=[])
    outputs, backprop = model([holes, nothing, full], is_train=is_train)
    assert outputs[0].last_hidden_state == pytest.approx(outputs[2].last_hidden_state, abs=1e-5)
    if name == "bert":
        assert outputs[0].pooler_output[[1, 4]] == pytest.approx(outputs[2].pooler_output, abs=1e-5)
        assert not outputs[0].pooler_output[[0, 2, 3, 5]].any()
        width = outputs[1].pooler_output.shape[1]
        assert outputs[1].pooler_output.tolist() == [[0.0] * width] * 2
    assert backprop(outputs) == []
    weights = get_shim(model)._model.parameters()
    assert all(w.grad is None or w.grad.isfinite().all() for w in weights)
    (alone,) = model.predict([nothing])
    assert alone.last_hidden_state.shape == (0, model.get_dim("nO"))


@pytest.mark.parametrize("lengths", [[0, 3, 0], [0, 0], [2, 0]])
@pytest.mark.parametrize("name", ["gpt2", "bert", "xlnet"])
def test_attention_weights_of_inputs_without_wordpieces(name, lengths, checkpoint):
    """They have no rows and no columns."""
    model = load_layer(checkpoint(name), output_attentions=True)
    (found,) = model.predict([build_wordpieces(lengths, ids=range(5, 5 + sum(lengths)))])
    assert [weights.shape[2:] for weights in found.attentions] == [(n, n) for n in lengths]


@pytest.mark.parametrize("name", ["gpt2", "mpnet"])
def test_longer_inputs_are_padded(name, build):
    engine, plain = build(name, n_positions=200)
    lengths = [200, 3, 190, 129, 128, 65, 190, 2]
    subbatches = engine.plan(numpy.asarray(lengths), 0)
    tiled = [isinstance(each, TiledSubbatch) for each in subbatches]
    assert tiled == [False, True]
    assert subbatches[0].indices.tolist() == [0, 2, 6, 3]
    assert subbatches[0].size == 4 * 200
    assert sorted(subbatches[1].indices.tolist()) == [1, 4, 5, 7]
    assert subbatches[1].widths.tolist() == [128, 128]
    for words_per_batch in (0, 300):
        assert_alone(engine, make_inputs(lengths), words_per_batch, model=plain)


def test_tiles_of_short_inputs_are_narrow(build):
    """At most 64 columns or the longest input: attention takes longer in wider tiles."""
    engine, _ = build("gpt2")
    (subbatch,) = engine.plan(numpy.asarray([20] * 6), 0)
    assert subbatch.widths.tolist() == [60, 60]
    (subbatch,) = engine.plan(numpy.asarray([100, 70, 25]), 0)
    assert subbatch.widths.tolist() == [100, 100]
    (subbatch,) = engine.plan(numpy.asarray([128, 70, 25]), 0)
    assert subbatch.widths.tolist() == [128, 128]


@pytest.mark.parametrize(
    ("window", "name", "width"), [(6, "padded", None), (100, "tiles", 64), (200, "tiles", 128)]
)
def test_sliding_windows_are_kept(window, name, width):
    """Tiles are narrower than a window in which a model attends."""
    model = build_mistral(window)
    plain = copy.deepcopy(model)
    engine = engine_of(model)
    assert engine.name == name
    if width:
        assert engine._arguments.width == width
        assert max(each.widths.max() for each in engine.plan(numpy.asarray([2] * 99), 0)) <= width
    inputs = make_inputs([150, 120, 64, 30, 17, 9, 2])
    for words_per_batch in (0, 100):
        assert_alone(engine, inputs, words_per_batch, model=plain)
    found = run_engine(engine, inputs, is_train=True)
    expected = run_alone(plain, inputs)
    torch.manual_seed(0)
    d_outputs = {"last": torch.randn_like(expected["last"])}
    assert_gradients(
        gradients_of(engine._model, found, d_outputs), gradients_of(plain, expected, d_outputs)
    )


def test_model_stays_the_users(checkpoint):
    """The engine changes nothing in the model: users may call it by hand."""
    model = build_model(checkpoint("gpt2"))
    plain = copy.deepcopy(model)
    engine = engine_of(model)
    run_engine(engine, make_inputs([5, 3]))
    inputs = {
        "input_ids": torch.tensor([[5, 6, 7, 8], [9, 10, 1, 1]]),
        "attention_mask": torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]]),
    }
    with torch.no_grad():
        got, expected = model(**inputs).last_hidden_state, plain(**inputs).last_hidden_state
    assert got.equal(expected)
    assert model.config.to_dict() == plain.config.to_dict()
    assert not model.training


@pytest.mark.parametrize("name", TILED)
def test_bf16_is_nearly_the_same(name, checkpoint):
    model = build_model(checkpoint(name))
    plain = copy.deepcopy(model)
    engine = engine_of(model, "bf16", engine="tiles")
    assert engine.lowered is not None
    inputs = make_inputs([40, 7, 3, 1, 20])
    found, expected = run_engine(engine, inputs), run_alone(plain, inputs)
    for key, rows in expected.items():
        cosines = torch.nn.functional.cosine_similarity(found[key], rows, dim=-1)
        assert cosines.min() >= 0.999
    assert (found["last"] - expected["last"]).abs().max() > 1e-4
