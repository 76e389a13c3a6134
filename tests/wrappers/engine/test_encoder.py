"""The engine that computes encoders itself, against plain transformers on each input alone."""

from __future__ import annotations

import copy

import pytest
import torch
from engines import (
    LENGTHS,
    N_POSITIONS,
    assert_alone,
    assert_outputs,
    build_model,
    engine_of,
    load_layer,
    make_inputs,
    run_alone,
    run_engine,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from trf_bridge.wrappers.engine import Request, encoder_layers
from trf_bridge.wrappers.engine.linear import round_up
from trf_bridge.wrappers.models.layer import get_shim

ENCODERS = ["bert", "roberta", "xlm_roberta", "camembert", "electra", "distilbert"]
# These take types; the models of the others have one type or none.
WITH_TYPES = ["bert", "electra"]


@pytest.fixture
def build(checkpoint):
    """Return a function: name of a family, settings -> engine, and an unchanged copy of its model,
    with positions for long inputs."""

    def get(name, n_positions=N_POSITIONS, **options):
        model = build_model(checkpoint(name), n_positions)
        plain = copy.deepcopy(model)
        engine = engine_of(model, **options)
        assert engine.name == "encoder"
        return engine, plain

    return get


@pytest.mark.parametrize("products", ["torch", "onednn"])
@pytest.mark.parametrize("name", ENCODERS)
def test_outputs_are_those_of_each_input_alone(name, products, build):
    engine, plain = build(name, products=products)
    for words_per_batch in (0, 1, 70, 3000):
        assert_alone(engine, make_inputs(LENGTHS), words_per_batch, model=plain)


@pytest.mark.parametrize("products", ["torch", "onednn"])
@pytest.mark.parametrize("name", WITH_TYPES)
def test_types_of_pairs(name, products, build):
    engine, plain = build(name, products=products)
    inputs = make_inputs(LENGTHS, types=True)
    found = assert_alone(engine, inputs, model=plain)
    without = run_engine(engine, inputs._replace(type_ids=None))
    assert (found["last"] - without["last"]).abs().max() > 1e-2


def test_models_without_types_ignore_them(build):
    engine, plain = build("distilbert")
    assert_outputs(
        run_engine(engine, make_inputs(LENGTHS, types=True)),
        {name: rows.detach() for name, rows in run_alone(plain, make_inputs(LENGTHS)).items()},
    )


def test_any_neighbours_and_batch_sizes(build):
    engine, plain = build("bert")

    @settings(max_examples=40)
    @given(
        lengths=st.lists(st.integers(0, 100), min_size=1, max_size=20).filter(any),
        words_per_batch=st.sampled_from([0, 1, 64, 100, 500]),
        types=st.booleans(),
    )
    def check(lengths, words_per_batch, types):
        assert_alone(engine, make_inputs(lengths, types=types), words_per_batch, model=plain)

    check()


@pytest.mark.parametrize("name", ENCODERS)
def test_bf16_is_nearly_the_same(name, build):
    engine, plain = build(name, precision="bf16")
    inputs = make_inputs(LENGTHS)
    found, expected = run_engine(engine, inputs), run_alone(plain, inputs)
    assert found.keys() == expected.keys()
    for key, rows in expected.items():
        assert found[key].dtype == torch.float32
        cosines = torch.nn.functional.cosine_similarity(found[key], rows, dim=-1)
        assert cosines.min() >= 0.999
    difference = (found["last"] - expected["last"]).abs().max()
    assert difference > 1e-4  # the numbers are rounded indeed


def test_only_what_is_requested_is_returned(build):
    engine, _ = build("bert")
    (part,) = engine.predict(make_inputs([5, 3]), 0, Request())
    assert (part.hidden_states, part.attentions) == ([], ())
    assert not part.last_hidden_state.requires_grad


def test_attention_weights_come_from_the_models_own_forward(checkpoint):
    engine = engine_of(build_model(checkpoint("bert"), output_attentions=True), engine="encoder")
    assert engine.name == "encoder"
    request = Request(hidden_states=True, attentions=True)
    found = assert_alone(engine, make_inputs([7, 3, 0, 5]), request=request)
    assert found["attention 3"].shape[-2:] == (5, 5)


@pytest.mark.parametrize("is_train", [False, True])
@pytest.mark.parametrize("name", ["bert", "distilbert"])
def test_gradients_are_those_of_each_input_alone(name, is_train, build):
    """Training is the model's own forward; prediction in between changes nothing."""
    engine, plain = build(name)
    inputs = make_inputs(LENGTHS)
    if is_train:
        run_engine(engine, inputs)
    for model, outputs in [
        (engine._model, run_engine(engine, inputs, 100, is_train=True)),
        (plain, run_alone(plain, inputs)),
    ]:
        model.zero_grad()
        outputs["last"].square().sum().backward()
    for one, two in zip(engine._model.parameters(), plain.parameters(), strict=True):
        if two.grad is not None:
            scale = max(1.0, float(two.grad.abs().max()))
            torch.testing.assert_close(one.grad, two.grad, atol=1e-5 * scale, rtol=1e-5)


def test_products_are_counted(checkpoint):
    for products, n_torch in [("torch", 13), ("onednn", 0)]:
        engine = get_shim(load_layer(checkpoint("bert"), products=products)).engine
        assert engine.count_products() == {"torch": n_torch, "onednn": 13 - n_torch}


def test_few_numbers_of_rows_are_multiplied(build, monkeypatch):
    """oneDNN stores half a megabyte for each, and batches have all sizes."""
    engine, plain = build("bert", products="onednn")
    multiply, numbers = encoder_layers.Linear.__call__, set()

    def spy(linear, x, residual=None):
        numbers.add(len(x))
        return multiply(linear, x, residual)

    monkeypatch.setattr(encoder_layers.Linear, "__call__", spy)
    for n in range(1, 130):
        assert_alone(engine, make_inputs([n]), model=plain)
    assert numbers == {round_up(n) for n in range(1, 130)}


def test_size_of_subbatches(build):
    """Short inputs share tiles; the sizes are those of the tiles."""
    engine, _ = build("bert")
    lengths = make_inputs([3, 0, 9, 130, 60, 5, 0]).lengths
    whole = [([3, 4, 0, 2, 5], 130 + 64 + 14)]
    parts = [([3], 130), ([4, 0], 64), ([2, 5], 14)]
    for words_per_batch, expected in [(0, whole), (70, parts)]:
        subbatches = engine.plan(lengths, words_per_batch)
        assert [(each.indices.tolist(), each.size) for each in subbatches] == expected
    assert engine.plan(lengths[:0], 5) == engine.plan(lengths[[1, 6]], 5) == []


@pytest.mark.parametrize("engine", ["encoder", "tiles"])
@pytest.mark.parametrize("name", ["bert", "roberta", "xlm_roberta"])
def test_padding_wordpieces_in_a_text(name, engine, checkpoint):
    """RoBERTa gives them a position of their own, and does not count them."""
    model = build_model(checkpoint(name), N_POSITIONS)
    inputs = make_inputs([12, 5, 70, 1, 30])
    inputs.ids[[0, 3, 4, 11, 12, 20, 50, 87, 100]] = model.config.pad_token_id
    assert_alone(engine_of(model, engine=engine), inputs)
