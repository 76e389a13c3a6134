"""Weights and modules that change after a prediction: the next one is of the new model."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor

import numpy
import pytest
import torch
from builders import build_wordpieces
from engines import (
    assert_alone,
    build_model,
    engine_of,
    load_layer,
    make_inputs,
    run_engine,
)
from torch import nn
from torch_oracle import make_adam

from trf_bridge.types import Activations
from trf_bridge.wrappers.engine import Inputs
from trf_bridge.wrappers.models.layer import get_shim

INPUTS = make_inputs([7, 30, 1, 12])
TEXTS = [f"The tide number {i} is full. The sea is calm tonight." for i in range(20)]


class Adapted(nn.Module):
    """A linear layer with an adapter of low rank."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer
        self.down = nn.Linear(layer.in_features, 2, bias=False)
        self.up = nn.Linear(2, layer.out_features, bias=False)

    def forward(self, x):
        return self.layer(x) + self.up(self.down(x))


def double_output(module, inputs, outputs):
    """Double the output of a module, as a hook."""
    if isinstance(outputs, torch.Tensor):
        return 2 * outputs
    if isinstance(outputs, tuple):
        return (2 * outputs[0], *outputs[1:])
    outputs.last_hidden_state = 2 * outputs.last_hidden_state
    return outputs


def edit_in_place(model):
    with torch.no_grad():
        for weights in model.parameters():
            weights.mul_(0.5)


def edit_in_inference_mode(model):
    with torch.inference_mode():
        model.encoder.layer[0].intermediate.dense.weight.mul_(0.5)


def assign_data(model):
    for weights in model.parameters():
        weights.data = weights.data * 0.5


def assign_data_repeatedly(model):
    """The third weights can lie at the address of the first."""
    for factor in (0.5, 3.0, 0.25):
        for weights in model.parameters():
            weights.data = weights.data * factor


def load_other_weights(model):
    model.load_state_dict({name: 0.5 * w for name, w in model.state_dict().items()})


def replace_parameter(model):
    dense = model.encoder.layer[1].output.dense
    dense.weight = nn.Parameter(torch.randn_like(dense.weight))


def replace_linear(model):
    model.encoder.layer[0].attention.self.query = nn.Linear(16, 16)


def replace_norm(model):
    model.embeddings.LayerNorm = nn.LayerNorm(16, eps=0.1)


def replace_pooler(model):
    model.pooler.dense = nn.Linear(16, 16)


def replace_activation(model):
    model.encoder.layer[1].intermediate.intermediate_act_fn = nn.ReLU()


def remove_bias(model):
    model.encoder.layer[0].attention.self.key.bias = None
    model.encoder.layer[0].output.dense.bias = None


def remove_layer(model):
    del model.encoder.layer[1]


def drop_layers(model):
    model.encoder.layer = model.encoder.layer[:1]


def wrap_linear(model):
    attention = model.encoder.layer[0].attention.self
    attention.value = Adapted(attention.value)


def parametrize_linear(model):
    class Halved(nn.Module):
        def forward(self, weight):
            return 0.5 * weight

    layer = model.encoder.layer[0].intermediate.dense
    nn.utils.parametrize.register_parametrization(layer, "weight", Halved())


def replace_forward(model):
    layer = model.encoder.layer[0].output
    forward = layer.forward
    layer.forward = lambda *args: 2 * forward(*args)


def hook_into(path):
    """Return a change: a hook that doubles the output of a module."""

    def change(model):
        model.get_submodule(path).register_forward_hook(double_output)

    change.__name__ = f"hook into {path}"
    return change


CHANGES = [
    edit_in_place,
    edit_in_inference_mode,
    assign_data,
    assign_data_repeatedly,
    load_other_weights,
    replace_parameter,
    replace_linear,
    replace_norm,
    replace_pooler,
    replace_activation,
    remove_bias,
    remove_layer,
    drop_layers,
    wrap_linear,
    parametrize_linear,
    replace_forward,
    *map(
        hook_into,
        [
            "embeddings",
            "embeddings.word_embeddings",
            "embeddings.LayerNorm",
            "encoder",
            "encoder.layer.0",
            "encoder.layer.1.attention.self.key",
            "pooler",
        ],
    ),
]


@pytest.fixture
def engine(checkpoint):
    """The engine `encoder` of a BERT that has predicted already."""
    torch.manual_seed(0)
    engine = engine_of(build_model(checkpoint("bert")), engine="encoder", products="torch")
    run_engine(engine, INPUTS)
    return engine


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_prediction_after_a_change_is_of_the_new_model(change, engine):
    before = run_engine(engine, INPUTS)
    change(engine._model)
    after = assert_alone(engine, INPUTS)
    assert any(
        name not in after or (after[name] - rows).abs().max() > 1e-3
        for name, rows in before.items()
    )


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("change", [edit_in_place, assign_data], ids=lambda c: c.__name__)
def test_copies_in_other_layouts_follow_the_weights(change, precision, checkpoint):
    def predict(is_changed_before):
        model = build_model(checkpoint("bert"))
        if is_changed_before:
            change(model)
        engine = engine_of(model, precision, engine="encoder", products="onednn")
        if not is_changed_before:
            run_engine(engine, INPUTS)
            change(model)
        return run_engine(engine, INPUTS)["last"]

    assert predict(is_changed_before=True).equal(predict(is_changed_before=False))


def test_hook_into_the_model(engine):
    """It sees the outputs of several inputs at once; the pooler output is not among them."""
    model = engine._model
    before = run_engine(engine, INPUTS)["last"]
    model.register_forward_hook(double_output)
    after = run_engine(engine, INPUTS)["last"]
    torch.testing.assert_close(after, 2 * before, atol=1e-5, rtol=1e-5)


def test_hook_that_is_removed_again(engine, monkeypatch):
    """The engine computes the model itself again."""
    before = run_engine(engine, INPUTS)
    handle = engine._model.encoder.layer[0].register_forward_hook(double_output)
    hooked = assert_alone(engine, INPUTS)
    assert (hooked["last"] - before["last"]).abs().max() > 1e-3
    handle.remove()

    def refuse(*args):
        raise AssertionError("the model's own forward was run")

    monkeypatch.setattr(engine._fallback, "predict", refuse)
    for name, rows in run_engine(engine, INPUTS).items():
        assert rows.equal(before[name])


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_model_that_is_converted(dtype, engine):
    model = engine._model.to(dtype)
    found = run_engine(engine, INPUTS)
    assert all(rows.dtype == torch.float32 for rows in found.values())
    if dtype == torch.float64:
        assert_alone(engine, INPUTS, model=model)


def test_more_wordpieces(engine):
    engine._model.resize_token_embeddings(300)
    inputs = Inputs(numpy.asarray([5, 299, 298, 7]), None, numpy.asarray([3, 1]))
    assert_alone(engine, inputs)


# The layer and pipelines


def test_copy_has_its_own_weights(checkpoint):
    layer = load_layer(checkpoint("bert"), products="onednn")  # whose weights can't be copied
    wordpieces = [build_wordpieces([7, 4], ids=range(5, 16))]
    (before,) = layer.predict(wordpieces)
    copied = layer.copy()
    assert get_shim(copied).engine._model is get_shim(copied)._model
    assert get_shim(copied)._model is not get_shim(layer)._model
    edit_in_place(get_shim(copied)._model)
    assert_layer(copied, [7, 4])
    (unchanged,) = layer.predict(wordpieces)
    assert numpy.array_equal(unchanged.last_hidden_state, before.last_hidden_state)
    again = copy.deepcopy(get_shim(layer))
    assert again.engine._model is again._model


def assert_layer(layer, lengths):
    """Check that a layer predicts what its model returns for each input alone."""
    wordpieces = build_wordpieces(lengths, ids=range(5, 5 + sum(lengths)))
    (found,) = layer.predict([wordpieces])
    shim = get_shim(layer)
    assert shim.engine.name == "encoder"
    inputs = Inputs(wordpieces.ids.astype("int64"), None, wordpieces.lengths.astype("int64"))
    expected = assert_alone(shim.engine, inputs, model=shim._model)
    numpy.testing.assert_allclose(found.last_hidden_state, expected["last"], atol=1e-5)
    return found.last_hidden_state


def take_step(layer, optimizer):
    """Update the weights of a layer with any gradient."""
    wordpieces = [build_wordpieces([7, 4], ids=range(5, 16))]
    (outputs,), backprop = layer(wordpieces, is_train=True)
    backprop([Activations(numpy.cos(outputs.last_hidden_state))])
    layer.finish_update(optimizer)


def test_steps_and_averages(checkpoint):
    layer = load_layer(checkpoint("bert"))
    optimizer = make_adam(0.05, use_averages=True)
    rows = [assert_layer(layer, [7, 4])]
    for _ in range(3):
        take_step(layer, optimizer)
        rows.append(assert_layer(layer, [7, 4]))
    for _ in range(2):
        with layer.use_params(optimizer.averages):
            rows.append(assert_layer(layer, [7, 4]))
    assert numpy.array_equal(assert_layer(layer, [7, 4]), rows[3])
    assert numpy.array_equal(rows[4], rows[5])
    for i in range(5):
        assert all(abs(rows[i] - other).max() > 1e-3 for other in rows[:i])


@pytest.mark.parametrize("way", ["bytes", "disk"])
def test_weights_that_are_read_later(way, checkpoint, tmp_path):
    layer, other = load_layer(checkpoint("bert")), load_layer(checkpoint("bert"))
    take_step(other, make_adam(0.05))
    before = assert_layer(layer, [7, 4])
    if way == "bytes":
        layer.from_bytes(other.to_bytes())
    else:
        other.to_disk(tmp_path / "layer")
        layer.from_disk(tmp_path / "layer")
    after = assert_layer(layer, [7, 4])
    assert abs(after - before).max() > 1e-3
    assert numpy.array_equal(after, assert_layer(other, [7, 4]))


def test_threads_compute_the_same_bits(fresh):
    """Also those that meet an engine that has not read the weights."""
    expected = [doc.tensor for doc in map(fresh("bert"), TEXTS)]
    nlp = fresh("bert")
    with ThreadPoolExecutor(16) as pool:
        for _ in range(3):
            for doc, tensor in zip(pool.map(nlp, TEXTS), expected, strict=True):
                assert numpy.array_equal(doc.tensor, tensor)
            edit_in_place(nlp.get_pipe("trf_tok2vec").model.shims[0]._model)
            other = fresh("bert")
            get_shim(other.get_pipe("trf_tok2vec").model)._model.load_state_dict(
                nlp.get_pipe("trf_tok2vec").model.shims[0]._model.state_dict()
            )
            expected = [doc.tensor for doc in map(other, TEXTS)]


def test_processes_compute_the_same(fresh):
    nlp = fresh("bert")
    expected = [doc.tensor for doc in nlp.pipe(TEXTS)]
    found = [doc.tensor for doc in nlp.pipe(TEXTS, n_process=2, batch_size=5)]
    for one, two in zip(found, expected, strict=True):
        numpy.testing.assert_allclose(one, two, atol=1e-5)
