"""Linear layers whose products oneDNN computes: the same numbers, and never from old weights."""

import copy

import pytest
import torch
from torch import nn
from torch_oracle import add_writer, get_module, make_adam, make_examples, make_sgd

from trf_bridge.wrappers.engine import linear as products
from trf_bridge.wrappers.engine.linear import FastLinear, pays, round_up, use_fast_products

pytestmark = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN"
)


@pytest.fixture
def layers(monkeypatch):
    """A linear layer and a fast one with the same weights."""
    monkeypatch.setattr(products, "pays", lambda *shape: True)
    torch.manual_seed(0)
    usual = nn.Linear(24, 40)
    fast = copy.deepcopy(usual)
    use_fast_products(nn.Sequential(fast))
    assert type(fast) is FastLinear
    return usual, fast


def assert_same(one, two):
    torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-5)


def test_prediction_is_that_of_the_usual_layer(layers):
    usual, fast = layers
    for shape in [(3, 5, 24), (7, 24), (24,), (0, 5, 24)]:
        inputs = torch.randn(shape)
        with torch.inference_mode():
            assert_same(fast(inputs), usual(inputs))


@pytest.mark.parametrize("has_bias", [True, False])
def test_gradients_are_those_of_the_usual_layer(layers, has_bias):
    usual, fast = layers
    if not has_bias:
        usual.bias = fast.bias = None
    inputs = torch.randn(3, 5, 24)
    d_outputs = torch.randn(3, 5, 40)
    gradients = []
    for layer in layers:
        given = inputs.clone().requires_grad_()
        layer(given).backward(d_outputs)
        gradients.append([given.grad, *(weights.grad for weights in layer.parameters())])
    for one, two in zip(*gradients, strict=True):
        assert_same(one, two)


def test_gradient_of_frozen_weights_is_left_out(layers):
    _, fast = layers
    fast.requires_grad_(False)
    inputs = torch.randn(5, 24, requires_grad=True)
    fast(inputs).sum().backward()
    assert inputs.grad is not None
    assert fast.weight.grad is None


def test_weights_that_changed_are_laid_out_anew(layers):
    usual, fast = layers
    inputs = torch.randn(5, 24)
    with torch.inference_mode():
        fast(inputs)
    with torch.no_grad():
        for layer in layers:
            layer.weight.mul_(2.0)
    with torch.inference_mode():
        assert_same(fast(inputs), usual(inputs))
    others = torch.randn(40, 24)
    for layer in layers:
        layer.weight.data = others.clone()  # as averaged weights are put in
    with torch.inference_mode():
        assert_same(fast(inputs), usual(inputs))


def test_lower_precision_is_left_to_torch(layers):
    usual, fast = layers
    inputs = torch.randn(5, 24)
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert fast(inputs).dtype == torch.bfloat16
        assert fast(inputs).equal(usual(inputs))


def test_layers_stay_as_they_are_where_it_does_not_pay(monkeypatch):
    monkeypatch.setattr(products, "pays", lambda *shape: False)
    layer = nn.Linear(24, 40)
    use_fast_products(nn.Sequential(layer))
    assert type(layer) is nn.Linear


@pytest.mark.parametrize("has_bias", [True, False])
def test_products_are_timed_as_the_layers_compute_them(has_bias, monkeypatch):
    timed = []

    def linear(input, weight, bias=None):
        timed.append((weight.shape, bias is not None))
        return input @ weight.t()

    monkeypatch.setattr(products, "_seconds", lambda run: run() is None)
    layer = nn.Linear(24, 40, bias=has_bias)
    pays.cache_clear()
    with monkeypatch.context() as patched:
        patched.setattr(nn.functional, "linear", linear)
        use_fast_products(nn.Sequential(layer))
    pays.cache_clear()
    assert set(timed) == {((40, 24), has_bias)}


@pytest.mark.parametrize(("usual", "packed"), [(1.0, 0.5), (1.0, 1.0), (0.5, 1.0)])
def test_all_layers_together_must_gain(usual, packed, monkeypatch):
    # The layer of which there are many decides: 9 with the times given, 1 with the reverse.
    seconds = {8: (usual, packed), 4: (packed, usual)}
    monkeypatch.setattr(products, "_time_both", lambda n_out, *rest: seconds[n_out])
    shapes = frozenset({((8, 8, True), 9), ((4, 8, True), 1)})
    assert pays.__wrapped__(shapes, 1) is (usual > packed)


def test_the_answer_is_found_once():
    shapes = frozenset({((8, 8, True), 2)})
    assert pays(shapes, 1) is pays(shapes, 1)
    assert pays.cache_info().hits >= 1


def test_copies_lay_out_their_own_weights(layers):
    usual, fast = layers
    inputs = torch.randn(5, 24)
    with torch.inference_mode():
        fast(inputs)
    copied = copy.deepcopy(fast)
    assert type(copied) is FastLinear
    with torch.inference_mode():
        assert_same(copied(inputs), usual(inputs))


def test_layers_made_in_inference_mode_work(monkeypatch):
    monkeypatch.setattr(products, "pays", lambda *shape: True)
    with torch.inference_mode():
        usual = nn.Linear(24, 40)
        fast = copy.deepcopy(usual)
        use_fast_products(nn.Sequential(fast))
        assert type(fast) is FastLinear
        inputs = torch.randn(5, 24)
        assert_same(fast(inputs), usual(inputs))


def test_bf16_is_that_of_the_usual_layer(layers):
    usual, fast = (layer.bfloat16() for layer in layers)
    inputs = torch.randn(5, 24).bfloat16()
    with torch.inference_mode():
        torch.testing.assert_close(fast(inputs), usual(inputs))


@pytest.mark.parametrize("supported", [True, False])
def test_bf16_is_not_timed(supported, monkeypatch):
    def fail(*shape):
        raise AssertionError("timed")

    monkeypatch.setattr(products, "_time_both", fail)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: supported)
    layer = nn.Linear(24, 40, dtype=torch.bfloat16)
    double = nn.Linear(24, 40, dtype=torch.float64)
    use_fast_products(nn.Sequential(layer, double))
    assert type(layer) is (FastLinear if supported else nn.Linear)
    assert type(double) is nn.Linear


def test_whole_pipeline_gives_the_same_rows(fresh, monkeypatch):
    text = "The sea is calm tonight. The tide is full."
    usual = fresh("bert")(text)
    monkeypatch.setattr(products, "pays", lambda *shape: True)
    fast = fresh("bert")
    assert any(
        type(m) is FastLinear for m in fast.get_pipe("trf_tok2vec").model.shims[0]._model.modules()
    )
    assert_same(torch.from_numpy(fast(text).tensor), torch.from_numpy(usual.tensor))


@pytest.mark.parametrize("make_optimizer", [make_adam, make_sgd])
def test_prediction_after_an_update_is_of_the_new_weights(make_optimizer, fresh, monkeypatch):
    text = "The sea is calm tonight. The tide is full."
    monkeypatch.setattr(products, "pays", lambda *shape: True)
    fast = fresh("bert")
    before = fast(text).tensor
    add_writer(fast)
    fast.update(make_examples(fast, [text]), sgd=make_optimizer(0.1))
    after = fast(text).tensor
    assert abs(before - after).max() > 1e-3
    for layer in get_module(fast).modules():
        if type(layer) is FastLinear:
            layer.__class__ = nn.Linear
    assert_same(torch.from_numpy(after), torch.from_numpy(fast(text).tensor))


@pytest.mark.parametrize("is_train", [False, True])
def test_few_numbers_of_rows_are_multiplied(layers, is_train, monkeypatch):
    """oneDNN keeps half a megabyte for each, and batches come in all sizes."""
    called = []
    product = torch.ops.mkldnn._linear_pointwise

    def spy(input, *args):
        called.append(input.shape)
        return product(input, *args)

    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", spy)
    sizes = range(1, 130)
    for n_rows in sizes:
        given = [torch.ones(n_rows, 24, requires_grad=is_train) for _ in layers]
        outputs = [layer(input) for layer, input in zip(layers, given, strict=True)]
        assert_same(*outputs)
        if is_train:
            for output in outputs:
                output.sum().backward()
            assert_same(*(input.grad for input in given))
    assert len(called) == len(sizes) * (2 if is_train else 1)
    assert len({shape[0] for shape in called}) == len({round_up(n) for n in sizes}) < 20


def test_numbers_of_rows_are_few_and_little_larger():
    for n_rows in range(1, 5000):
        rounded = round_up(n_rows)
        assert n_rows <= rounded < n_rows + 64
        assert rounded - n_rows < 8 or rounded - n_rows < n_rows / 4
        assert round_up(rounded) == rounded
    assert len({round_up(n) for n in range(1, 3001)}) < 80
