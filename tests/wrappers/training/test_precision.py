"""Lower precisions: outputs, the copy that predicts, and the choice of "auto"."""

from __future__ import annotations

import copy
import logging
import warnings

import numpy
import pytest
import torch
from tiny import ALL_FAMILIES
from torch_oracle import get_module, make_adam, make_examples
from transformers import AutoModel

from trf_bridge.wrappers.engine import comparison, lowered
from trf_bridge.wrappers.models.layer import get_shim
from trf_bridge.wrappers.training import precision
from trf_bridge.wrappers.training.precision import cpu_has_bf16, resolve_precision

TEXT = "My name is Robert. Apple pie is delicious! The tide had gone out."
CPU = torch.device("cpu")


def rows(nlp):
    return nlp(TEXT)._.trf_last_hidden_state


def cosines(one, two):
    one, two = (each.astype("float64") for each in (one, two))
    return (one * two).sum(1) / (numpy.linalg.norm(one, axis=1) * numpy.linalg.norm(two, axis=1))


def get_lowered(nlp):
    """Return what stores the copy that predicts, or None."""
    return get_shim(nlp.get_pipe("trf_tok2vec").model).engine.lowered


def assert_rounded(nlp):
    """Check that the copy that predicts has the weights of the model, rounded."""
    module = get_module(nlp)
    rounded = dict(get_lowered(nlp).of(module).named_parameters())
    for name, weights in module.named_parameters():
        assert weights.dtype == torch.float32
        assert rounded[name].dtype == torch.bfloat16
        assert rounded[name].equal(weights.detach().bfloat16())


@pytest.mark.parametrize("family", list(ALL_FAMILIES))
def test_direction_of_every_row_is_kept(family, fresh):
    exact, rounded = rows(fresh(family)), rows(fresh(family, precision="bf16"))
    assert rounded.dtype == numpy.float32
    assert cosines(exact, rounded).min() > 0.999
    assert abs(exact - rounded).max() > 0  # another precision


def test_prediction_equals_that_of_a_plain_model_in_bf16(fresh, checkpoint):
    nlp = fresh("bert", precision="bf16")
    plain = AutoModel.from_pretrained(checkpoint("bert"), dtype=torch.bfloat16).eval()
    doc = nlp("Apple pie is delicious!")
    with torch.inference_mode():
        ids = torch.from_numpy(doc._.trf_word_pieces.astype("int64"))[None]
        expected = plain(ids).last_hidden_state[0].float().numpy()
    # A few times the last of eight bits, of numbers below 4.
    numpy.testing.assert_allclose(doc._.trf_last_hidden_state, expected, atol=4 * 2**-7)


def test_copy_follows_the_weights(fresh):
    nlp = fresh("bert", precision="bf16", engine="tiles")
    assert_rounded(nlp)
    textcat = nlp.add_pipe("trf_textcat")
    examples = make_examples(nlp, [TEXT, "A"], lambda i: {"cats": {"A": i == 0, "B": i == 1}})
    textcat.initialize(lambda: examples, nlp=nlp)
    optimizer = make_adam(0.01, use_averages=True)
    before = rows(nlp)
    for _ in range(3):
        nlp.update(examples, sgd=optimizer)
    after = rows(nlp)
    assert abs(before - after).max() > 1e-3
    assert_rounded(nlp)
    with nlp.use_params(optimizer.averages):
        assert_rounded(nlp)
        averaged = rows(nlp)
    assert abs(averaged - after).max() > 0
    assert numpy.array_equal(rows(nlp), after)


def test_copy_is_created_once(fresh):
    nlp = fresh("bert", precision="bf16", engine="tiles")
    copied, module = get_lowered(nlp), get_module(nlp)
    first = copied.of(module)
    rows(nlp)
    assert copied.of(module) is first


def test_copied_and_saved_pipelines_predict_the_same(fresh):
    nlp = fresh("bert", precision="bf16", engine="tiles")
    expected = rows(nlp)
    assert numpy.array_equal(rows(copy.deepcopy(nlp)), expected)
    other = fresh("bert", precision="bf16", engine="tiles")
    assert numpy.array_equal(rows(other.from_bytes(nlp.to_bytes())), expected)
    assert_rounded(other)


@pytest.mark.parametrize("how", ["inaccurate", "raises"])
def test_models_that_need_float32_in_between_get_mixed_precision(how, fresh, monkeypatch):
    exact = rows(fresh("bert"))
    if how == "inaccurate":
        monkeypatch.setattr(comparison, "MIN_COSINE", 1.1)
    else:

        def refuse(self, model):
            raise RuntimeError("expected mat1 and mat2 to have the same dtype")

        monkeypatch.setattr(lowered.LoweredCopy, "of", refuse)
    nlp = fresh("bert", precision="bf16", engine="tiles")
    assert get_lowered(nlp) is None
    assert cosines(exact, rows(nlp)).min() > 0.999
    assert abs(exact - rows(nlp)).max() > 0


@pytest.fixture
def first_choice(caplog):
    """As in a process that has not chosen a precision yet."""
    precision._choose.cache_clear()
    with caplog.at_level(logging.INFO, logger="trf_bridge"):
        yield
    precision._choose.cache_clear()


def logged(caplog):
    """Return the messages about the choice that were logged so far."""
    return [message for message in caplog.messages if message.startswith("[TB107] ")]


@pytest.mark.parametrize(
    ("has_bf16", "choice", "reason"),
    [
        (True, "bf16", "this processor has instructions for bf16"),
        (False, "fp32", "this processor has no instructions for bf16"),
    ],
)
def test_auto_logs_its_choice_once(has_bf16, choice, reason, first_choice, monkeypatch, caplog):
    monkeypatch.setattr(precision, "cpu_has_bf16", lambda: has_bf16)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert resolve_precision("auto", CPU) == choice
        assert resolve_precision("auto", CPU) == choice
    assert logged(caplog) == [f"[TB107] precision = 'auto' is {choice}: {reason}."]


@pytest.mark.parametrize(
    ("machine", "avx512_bf16", "amx_tile", "mkldnn_bf16", "expected"),
    [
        ("x86_64", False, False, True, False),  # oneDNN emulates bf16 by AVX-512
        ("x86_64", True, False, True, True),
        ("AMD64", False, True, True, True),
        ("aarch64", False, False, True, True),
        ("ARM64", False, False, True, True),
        ("arm64", False, False, False, False),
    ],
)
def test_instructions_for_bf16(machine, avx512_bf16, amx_tile, mkldnn_bf16, expected, monkeypatch):
    monkeypatch.setattr(precision.platform, "machine", lambda: machine)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx_tile)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: mkldnn_bf16)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    assert cpu_has_bf16() is expected
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert cpu_has_bf16() is False


@pytest.mark.parametrize("has_bf16", [True, False])
def test_auto_on_a_gpu_depends_on_the_gpu(has_bf16, first_choice, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **options: has_bf16)
    choice = resolve_precision("auto", torch.device("cuda"))
    assert choice == ("bf16" if has_bf16 else "fp32")


def test_auto_is_fp32_on_other_devices(first_choice, caplog):
    assert resolve_precision("auto", torch.device("mps")) == "fp32"
    (message,) = logged(caplog)
    assert "'mps'" in message


def test_pipeline_computes_in_the_precision_of_auto(fresh, first_choice, monkeypatch):
    monkeypatch.setattr(precision, "cpu_has_bf16", lambda: True)
    chosen = fresh("bert", precision="auto")
    assert chosen.get_pipe("trf_tok2vec").engine.precision == "bf16"
    assert numpy.array_equal(rows(chosen), rows(fresh("bert", precision="bf16")))
    # The config keeps "auto": the pipeline may be loaded on another machine.
    assert chosen.config["components"]["trf_tok2vec"]["model"]["precision"] == "auto"


def test_choice_depends_on_the_processor_alone(first_choice):
    """As often as it is repeated, without a measurement."""
    choices = set()
    for _ in range(3):
        precision._choose.cache_clear()
        choices.add(resolve_precision("auto", CPU))
    assert choices == {"bf16" if cpu_has_bf16() else "fp32"}
