"""Linear layers whose products oneDNN computes: the same numbers, and never from old weights."""

import copy
import os
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch_oracle import add_writer, get_module, make_adam, make_examples, make_sgd

from trf_bridge.wrappers.engine import linear
from trf_bridge.wrappers.engine.linear import OneDnnLinear, choose_products, is_amd, round_up

pytestmark = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN"
)

TEXT = "The sea is calm tonight. The tide is full."


def convert(layer, products="onednn"):
    """Return the layer that `choose_products` replaces a layer with."""
    model = nn.Sequential(layer)
    choose_products(model, products)
    return model[0]


@pytest.fixture
def layers():
    """A linear layer of torch and one of oneDNN with the same weights."""
    torch.manual_seed(0)
    plain = nn.Linear(24, 40)
    onednn = convert(copy.deepcopy(plain))
    assert type(onednn) is OneDnnLinear
    return plain, onednn


def assert_same(one, two):
    torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-5)


# Numbers


def test_prediction_equals_that_of_torch(layers):
    plain, onednn = layers
    for shape in [(3, 5, 24), (7, 24), (24,), (0, 5, 24)]:
        inputs = torch.randn(shape)
        with torch.inference_mode():
            assert_same(onednn(inputs), plain(inputs))


@pytest.mark.parametrize("has_bias", [True, False])
def test_gradients_equal_those_of_torch(layers, has_bias):
    plain, onednn = layers
    if not has_bias:
        plain.bias = onednn.bias = None
    inputs = torch.randn(3, 5, 24)
    d_outputs = torch.randn(3, 5, 40)
    gradients = []
    for layer in layers:
        own_inputs = inputs.clone().requires_grad_()
        layer(own_inputs).backward(d_outputs)
        gradients.append([own_inputs.grad, *(weights.grad for weights in layer.parameters())])
    for one, two in zip(*gradients, strict=True):
        assert_same(one, two)


def test_frozen_weights_get_no_gradient(layers):
    _, onednn = layers
    onednn.requires_grad_(False)
    inputs = torch.randn(5, 24, requires_grad=True)
    onednn(inputs).sum().backward()
    assert inputs.grad is not None
    assert onednn.weight.grad is None


def test_weights_are_laid_out_again_when_they_change(layers):
    plain, onednn = layers
    inputs = torch.randn(5, 24)
    with torch.inference_mode():
        onednn(inputs)
    with torch.no_grad():
        for layer in layers:
            layer.weight.mul_(2.0)
    with torch.inference_mode():
        assert_same(onednn(inputs), plain(inputs))
    others = torch.randn(40, 24)
    for layer in layers:
        layer.weight.data = others.clone()  # as for averaged weights
    with torch.inference_mode():
        assert_same(onednn(inputs), plain(inputs))


def test_autocast_leaves_the_product_to_torch(layers):
    plain, onednn = layers
    inputs = torch.randn(5, 24)
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert onednn(inputs).dtype == torch.bfloat16
        assert onednn(inputs).equal(plain(inputs))


def test_bf16_equals_that_of_torch(layers):
    plain, onednn = (layer.bfloat16() for layer in layers)
    inputs = torch.randn(5, 24).bfloat16()
    with torch.inference_mode():
        torch.testing.assert_close(onednn(inputs), plain(inputs))


def test_layers_that_are_converted_or_moved_later_use_torch(layers):
    plain, onednn = layers
    for dtype in (torch.float64, torch.float16):
        inputs = torch.randn(5, 24).to(dtype)
        assert onednn.to(dtype)(inputs).equal(plain.to(dtype)(inputs))
    assert onednn.to("meta", torch.float32)(torch.randn(5, 24, device="meta")).is_meta


def test_copies_lay_out_their_own_weights(layers):
    plain, onednn = layers
    inputs = torch.randn(5, 24)
    with torch.inference_mode():
        onednn(inputs)
    copied = copy.deepcopy(onednn)
    assert type(copied) is OneDnnLinear
    with torch.inference_mode():
        assert_same(copied(inputs), plain(inputs))


def test_layers_created_in_inference_mode_work():
    with torch.inference_mode():
        plain = nn.Linear(24, 40)
        onednn = convert(copy.deepcopy(plain))
        assert type(onednn) is OneDnnLinear
        inputs = torch.randn(5, 24)
        assert_same(onednn(inputs), plain(inputs))


# The choice of the library


@pytest.mark.parametrize(
    ("products", "amd", "expected"),
    [
        ("auto", True, OneDnnLinear),
        ("auto", False, nn.Linear),
        ("onednn", True, OneDnnLinear),
        ("onednn", False, OneDnnLinear),
        ("torch", True, nn.Linear),
        ("torch", False, nn.Linear),
    ],
)
def test_setting_and_processor_choose_the_library(products, amd, expected, monkeypatch):
    monkeypatch.setattr(linear, "is_amd", lambda: amd)
    assert type(convert(nn.Linear(24, 40), products)) is expected


@pytest.mark.parametrize(
    ("cpuinfo", "processor", "expected"),
    [
        ("vendor_id\t: AuthenticAMD\n", "", True),
        ("vendor_id\t: GenuineIntel\n", "", False),
        ("CPU implementer\t: 0x41\n", "", False),
        (None, "AMD64 Family 25 Model 33 Stepping 0, AuthenticAMD", True),
        (None, "Intel64 Family 6 Model 85 Stepping 7, GenuineIntel", False),
        (None, "arm", False),
    ],
)
def test_vendor_of_the_processor(cpuinfo, processor, expected, tmp_path, monkeypatch):
    """On Linux in /proc/cpuinfo, elsewhere in the name of the processor."""
    path = tmp_path / "cpuinfo"
    if cpuinfo is not None:
        path.write_text(cpuinfo, encoding="utf8")
    monkeypatch.setattr(linear, "Path", lambda name: path)
    monkeypatch.setattr(linear.platform, "processor", lambda: processor)
    assert is_amd.__wrapped__() is expected


def test_torch_computes_the_products_without_onednn(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    for dtype in (torch.float32, torch.bfloat16):
        assert type(convert(nn.Linear(24, 40, dtype=dtype))) is nn.Linear


@pytest.mark.parametrize("supported", [True, False])
@pytest.mark.parametrize("products", ["auto", "torch", "onednn"])
def test_bf16_uses_onednn_wherever_it_is_supported(supported, products, monkeypatch):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: supported)
    layer, double = nn.Linear(24, 40, dtype=torch.bfloat16), nn.Linear(24, 40, dtype=torch.float64)
    assert type(convert(layer, products)) is (OneDnnLinear if supported else nn.Linear)
    assert type(convert(double, products)) is nn.Linear


def test_choice_can_be_taken_back(layers):
    plain, onednn = layers
    inputs = torch.randn(5, 24)
    with torch.inference_mode():
        onednn(inputs)
    back = convert(onednn, "torch")
    assert type(back) is nn.Linear
    assert vars(back).keys() == vars(plain).keys()
    with torch.inference_mode():
        assert back(inputs).equal(plain(inputs))


# Prints the libraries, and the bytes of doc.tensor in two precisions.
TENSORS = """
import sys
import spacy
text, *folders = sys.argv[1:]
for folder in folders:
    nlp = spacy.load(folder)
    print(nlp.get_pipe("trf_tok2vec").engine.count_products(), nlp(text).tensor.tobytes().hex())
"""
BUSY = "while True: sum(range(10_000))"


def test_two_processes_compute_the_same_bits(fresh, tmp_path):
    """One of them on a busy machine, and with other hashes of strings."""
    for precision in ("fp32", "bf16"):
        fresh("bert", precision=precision).to_disk(tmp_path / precision)
    folders = [str(tmp_path / precision) for precision in ("fp32", "bf16")]
    outputs = []
    for n_busy in (0, 2):
        others = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(n_busy)]
        try:
            run = subprocess.run(
                [sys.executable, "-c", TENSORS, TEXT, *folders],
                env={**os.environ, "PYTHONHASHSEED": str(n_busy)},
                cwd=tmp_path,  # with the installed package, not the checkout
                capture_output=True,
                text=True,
                check=True,
            )
        finally:
            for other in others:
                other.kill()
                other.wait()
        outputs.append(run.stdout.splitlines())
    assert [len(line) > 1000 for line in outputs[0]] == [True, True]
    assert outputs[0] == outputs[1]


def test_nothing_is_timed(monkeypatch):
    """A choice that depended on the time would differ from process to process."""
    import time

    def fail():
        raise AssertionError("the time was read")

    for name in ("perf_counter", "perf_counter_ns", "process_time", "monotonic"):
        monkeypatch.setattr(time, name, fail)
    assert type(convert(nn.Linear(24, 40), "auto")) is (OneDnnLinear if is_amd() else nn.Linear)


# Whole pipelines


@pytest.mark.parametrize("engine", ["encoder", "tiles", "padded"])
def test_whole_pipeline_gives_the_same_rows(engine, fresh):
    plain, onednn = (fresh("bert", products=name, engine=engine) for name in ("torch", "onednn"))
    counts = [nlp.get_pipe("trf_tok2vec").engine.count_products() for nlp in (plain, onednn)]
    n_layers = sum(isinstance(m, nn.Linear) for m in get_module(plain).modules())
    assert counts == [{"torch": n_layers, "onednn": 0}, {"torch": 0, "onednn": n_layers}]
    assert_same(torch.from_numpy(onednn(TEXT).tensor), torch.from_numpy(plain(TEXT).tensor))


@pytest.mark.parametrize("engine", ["encoder", "padded"])
@pytest.mark.parametrize("make_optimizer", [make_adam, make_sgd])
def test_prediction_after_an_update_is_of_the_new_weights(make_optimizer, engine, fresh):
    onednn = fresh("bert", products="onednn", engine=engine)
    before = onednn(TEXT).tensor
    add_writer(onednn)
    onednn.update(make_examples(onednn, [TEXT]), sgd=make_optimizer(0.1))
    after = onednn(TEXT).tensor
    assert abs(before - after).max() > 1e-3
    plain = fresh("bert", products="torch", engine="padded")
    get_module(plain).load_state_dict(get_module(onednn).state_dict())
    assert plain.get_pipe("trf_tok2vec").engine.count_products()["onednn"] == 0
    assert_same(torch.from_numpy(after), torch.from_numpy(plain(TEXT).tensor))


# Numbers of rows


@pytest.mark.parametrize("is_train", [False, True])
def test_few_numbers_of_rows_are_multiplied(layers, is_train, monkeypatch):
    """oneDNN stores half a megabyte for each, and batches have all sizes."""
    shapes = []
    product = torch.ops.mkldnn._linear_pointwise

    def spy(input, *args):
        shapes.append(input.shape)
        return product(input, *args)

    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", spy)
    sizes = range(1, 130)
    for n_rows in sizes:
        inputs = [torch.ones(n_rows, 24, requires_grad=is_train) for _ in layers]
        outputs = [layer(rows) for layer, rows in zip(layers, inputs, strict=True)]
        assert_same(*outputs)
        if is_train:
            for output in outputs:
                output.sum().backward()
            assert_same(*(rows.grad for rows in inputs))
    assert len(shapes) == len(sizes) * (2 if is_train else 1)
    assert len({shape[0] for shape in shapes}) == len({round_up(n) for n in sizes}) < 20


def test_numbers_of_rows_are_few_and_little_larger():
    for n_rows in range(1, 5000):
        rounded = round_up(n_rows)
        assert n_rows <= rounded < n_rows + 64
        assert rounded - n_rows < 8 or rounded - n_rows < n_rows / 4
        assert round_up(rounded) == rounded
    assert len({round_up(n) for n in range(1, 3001)}) < 80
