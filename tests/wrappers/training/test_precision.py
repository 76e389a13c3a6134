"""Lower precisions: what prediction gives in them, when their weights are made anew, and "auto"."""

from __future__ import annotations

import copy
import warnings

import numpy
import pytest
import torch
from tiny import ALL_FAMILIES
from torch_oracle import get_module, make_adam, make_examples
from transformers import AutoModel

from trf_bridge.wrappers.engine import linear as products
from trf_bridge.wrappers.engine import lowered
from trf_bridge.wrappers.models.layer import get_shim
from trf_bridge.wrappers.training import precision
from trf_bridge.wrappers.training.precision import resolve_precision

TEXT = "My name is Robert. Apple pie is delicious! The tide had gone out."
CPU = torch.device("cpu")


def rows(nlp):
    return nlp(TEXT)._.trf_last_hidden_state


def cosines(one, two):
    one, two = (each.astype("float64") for each in (one, two))
    return (one * two).sum(1) / (numpy.linalg.norm(one, axis=1) * numpy.linalg.norm(two, axis=1))


def shim_of(nlp):
    return get_shim(nlp.get_pipe("trf_tok2vec").model)


def assert_rounded(nlp):
    """The copy that predicts has the weights of the model, rounded."""
    module = get_module(nlp)
    made = dict(shim_of(nlp)._lowered.of(module).named_parameters())
    for name, weights in module.named_parameters():
        assert weights.dtype == torch.float32
        assert made[name].dtype == torch.bfloat16
        assert made[name].equal(weights.detach().bfloat16())


@pytest.mark.parametrize("family", list(ALL_FAMILIES))
def test_direction_of_every_row_is_kept(family, fresh):
    exact, rounded = rows(fresh(family)), rows(fresh(family, precision="bf16"))
    assert rounded.dtype == numpy.float32
    assert cosines(exact, rounded).min() > 0.999
    assert abs(exact - rounded).max() > 0  # and it is another precision


def test_prediction_is_that_of_a_plain_model_in_bf16(fresh, checkpoint):
    nlp = fresh("bert", precision="bf16")
    plain = AutoModel.from_pretrained(checkpoint("bert"), dtype=torch.bfloat16).eval()
    doc = nlp("Apple pie is delicious!")
    with torch.inference_mode():
        ids = torch.from_numpy(doc._.trf_word_pieces.astype("int64"))[None]
        expected = plain(ids).last_hidden_state[0].float().numpy()
    # One unit in the last of eight bits of numbers below 4, in a few places of their sum.
    numpy.testing.assert_allclose(doc._.trf_last_hidden_state, expected, atol=4 * 2**-7)


def test_copy_follows_the_weights(fresh):
    nlp = fresh("bert", precision="bf16")
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


def test_copy_is_made_once(fresh):
    nlp = fresh("bert", precision="bf16")
    kept, module = shim_of(nlp)._lowered, get_module(nlp)
    first = kept.of(module)
    rows(nlp)
    assert kept.of(module) is first


def test_copied_and_saved_pipelines_predict_the_same(fresh):
    nlp = fresh("bert", precision="bf16")
    expected = rows(nlp)
    assert numpy.array_equal(rows(copy.deepcopy(nlp)), expected)
    other = fresh("bert", precision="bf16")
    assert numpy.array_equal(rows(other.from_bytes(nlp.to_bytes())), expected)
    assert_rounded(other)


@pytest.mark.parametrize("how", ["too far off", "refuses"])
def test_models_that_need_float32_in_between_get_mixed_precision(how, fresh, monkeypatch):
    exact = rows(fresh("bert"))
    if how == "too far off":
        monkeypatch.setattr(lowered, "ALIKE", 1.1)
    else:

        def refuse(self, model):
            raise RuntimeError("expected mat1 and mat2 to have the same dtype")

        monkeypatch.setattr(lowered.LoweredCopy, "of", refuse)
    nlp = fresh("bert", precision="bf16")
    assert shim_of(nlp)._lowered is None
    assert cosines(exact, rows(nlp)).min() > 0.999
    assert abs(exact - rows(nlp)).max() > 0


@pytest.fixture
def unasked():
    """As in a process that has not chosen yet."""
    precision._choose.cache_clear()
    yield
    precision._choose.cache_clear()


@pytest.mark.parametrize(("gain", "choice"), [(2.2, "bf16"), (1.1, "fp32"), (0.1, "fp32")])
def test_auto_says_once_what_it_chose_and_why(gain, choice, unasked, monkeypatch):
    monkeypatch.setattr(products, "bf16_gain", lambda: gain)
    expected = rf"\[TB107\] precision = 'auto' is {choice}: .*{gain:.1f} times"
    with pytest.warns(UserWarning, match=expected) as said:
        assert resolve_precision("auto", CPU) == choice
    assert "\n" not in str(said[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert resolve_precision("auto", CPU) == choice


@pytest.mark.parametrize("has_bf16", [True, False])
def test_auto_on_a_gpu_asks_the_gpu(has_bf16, unasked, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **options: has_bf16)
    with pytest.warns(UserWarning, match="TB107"):
        choice = resolve_precision("auto", torch.device("cuda"))
    assert choice == ("bf16" if has_bf16 else "fp32")


def test_auto_is_fp32_where_nothing_is_known(unasked):
    with pytest.warns(UserWarning, match="TB107.*'mps'"):
        assert resolve_precision("auto", torch.device("mps")) == "fp32"


def test_pipeline_computes_in_what_auto_chose(fresh, unasked, monkeypatch):
    monkeypatch.setattr(products, "bf16_gain", lambda: 2.0)
    with pytest.warns(UserWarning, match="TB107"):
        chosen = fresh("bert", precision="auto")
    assert numpy.array_equal(rows(chosen), rows(fresh("bert", precision="bf16")))
    # The config keeps the question: the pipeline may be loaded on another machine.
    assert chosen.config["components"]["trf_tok2vec"]["model"]["precision"] == "auto"


def test_gain_is_a_measurement():
    assert 0 < products.bf16_gain() < 1000
