"""Settings of training: freeze, layer_lr_decay, gradient_checkpointing, dropout, precision."""

from __future__ import annotations

import numpy
import pytest
import spacy
from tiny import FAMILIES, LAYERS
from torch_oracle import (
    ADAM,
    PlainAdam,
    PlainTransformer,
    add_writer,
    assert_moved,
    assert_near,
    assert_same,
    get_gradients,
    get_module,
    get_weights,
    make_adam,
    make_examples,
    make_sgd,
    plain_backward,
    read,
)

from trf_bridge.wrappers.engine.encoder import EncoderEngine
from trf_bridge.wrappers.engine.padded import PaddedEngine
from trf_bridge.wrappers.models import shim
from trf_bridge.wrappers.training.dropout import FastDropout, set_dropout
from trf_bridge.wrappers.training.freezing import find_depths, learn_rate_scales

pytestmark = pytest.mark.usefixtures("fixed_seed")

TEXTS = ["My name is Robert. Apple pie is delicious!", "The tide had gone out.", "A"]

# Names of the weights of each layer, as an oracle: the library finds layers by structure. In T5 and
# XLNet the first layer holds the table of relative positions.
LAYER_NAMES = {
    "bert": "encoder.layer.{}.",
    "roberta": "encoder.layer.{}.",
    "xlm_roberta": "encoder.layer.{}.",
    "xlnet": "layer.{}.",
    "gpt2": "h.{}.",
    "t5": "encoder.block.{}.",
}
EMBEDDING_NAMES = {
    "bert": ("embeddings.",),
    "roberta": ("embeddings.",),
    "xlm_roberta": ("embeddings.",),
    "xlnet": ("word_embedding.",),
    "gpt2": ("wte.", "wpe."),
    "t5": ("shared.",),
}


def depth(family, name):
    """Return 0 for embeddings, 1 for the lowest layer, and LAYERS + 1 above the layers."""
    if name.startswith(EMBEDDING_NAMES[family]):
        return 0
    for i in range(LAYERS):
        if name.startswith(LAYER_NAMES[family].format(i)):
            return i + 1
    return LAYERS + 1


def trained(nlp):
    return {name for name, weights in get_module(nlp).named_parameters() if weights.requires_grad}


# freeze


# Depth of the highest weights that each value freezes.
FROZEN = {"none": -1, "embeddings": 0, 0: 0, 1: 1, LAYERS: LAYERS, "all": LAYERS + 1}


def fresh_frozen(fresh, family, freeze, **settings):
    """Build a pipeline. 0 is deprecated."""
    if freeze != 0:
        return fresh(family, freeze=freeze, **settings)
    with pytest.warns(DeprecationWarning, match="TB108"):
        return fresh(family, freeze=freeze, **settings)


@pytest.mark.parametrize("freeze", FROZEN)
def test_frozen_weights_keep_their_bits_and_the_others_step(family, fresh, checkpoint, freeze):
    nlp = fresh_frozen(fresh, family, freeze)
    add_writer(nlp)
    frozen_depth = FROZEN[freeze]
    plain, adam = PlainTransformer(family, checkpoint(family)), PlainAdam(**ADAM)
    for name, weights in plain.model.named_parameters():
        weights.requires_grad_(depth(family, name) > frozen_depth)
    start, optimizer = get_weights(nlp), make_adam()
    for _ in range(2):
        nlp.update(make_examples(nlp, TEXTS), sgd=optimizer)
        if freeze != "all":
            plain_backward(plain, [read(nlp, text) for text in TEXTS])
            adam.step(plain.model, 0.01)
    found = get_weights(nlp)
    frozen = {name for name in found if depth(family, name) <= frozen_depth}
    assert_same({n: found[n] for n in frozen}, {n: start[n] for n in frozen})
    assert_near(found, plain.weights())
    assert trained(nlp) == set(found) - frozen
    if freeze == "all":
        assert not optimizer.mom1
    elif frozen_depth < LAYERS:
        assert_moved(found, start)
    kept = {name for _, name in optimizer.mom1}
    assert kept.isdisjoint(frozen)


@pytest.mark.parametrize("freeze", ["embeddings", 0, 1, LAYERS])
def test_outputs_of_frozen_layers_may_have_gradients(fresh, checkpoint, freeze):
    """They are ignored. Those of the other outputs are used."""
    outputs = {"output_hidden_states": True, "output_attentions": True}
    nlp = fresh_frozen(fresh, "bert", freeze, **outputs)
    outputs = ["last_hidden_state", "all_hidden_states", "all_attentions", "pooler_output"]
    add_writer(nlp, *outputs)
    plain = PlainTransformer("bert", checkpoint("bert"))
    plain_backward(plain, [read(nlp, text) for text in TEXTS], outputs)
    nlp.update(make_examples(nlp, TEXTS), sgd=False)
    expected = {n: g for n, g in plain.gradients().items() if depth("bert", n) > FROZEN[freeze]}
    assert_near(get_gradients(nlp), expected, atol=2e-5)


def test_frozen_model_predicts_in_training(fresh, monkeypatch):
    nlp = fresh("bert", freeze="all")
    writer = add_writer(nlp)
    for engine in (EncoderEngine, PaddedEngine):
        monkeypatch.setattr(engine, "update", None)
    nlp.update(make_examples(nlp, TEXTS), sgd=make_adam(), drop=0.5)
    assert not get_module(nlp).training
    assert not get_gradients(nlp)
    for doc, expected in zip(writer.seen, nlp.pipe(TEXTS), strict=True):
        numpy.testing.assert_array_equal(doc._.trf_word_pieces, expected._.trf_word_pieces)
        numpy.testing.assert_allclose(doc.tensor, expected.tensor, atol=1e-6)


def test_head_learns_on_frozen_features(fresh):
    nlp = fresh("bert", freeze="all")
    textcat = nlp.add_pipe("trf_textcat")
    examples = make_examples(
        nlp, TEXTS, lambda i: {"cats": {"A": float(i == 2), "B": float(i < 2)}}
    )
    textcat.initialize(lambda: examples, nlp=nlp)
    before = get_weights(nlp)
    optimizer = make_adam(0.05, L2=0.0)
    for _ in range(100):
        nlp.update(examples, sgd=optimizer)
    assert_same(get_weights(nlp), before)
    assert nlp.evaluate(examples)["cats_macro_f"] == 1.0


def test_saved_pipelines_stay_frozen(fresh, tmp_path):
    nlp = fresh("bert", freeze=1)
    nlp.to_disk(tmp_path / "saved")
    loaded = spacy.load(tmp_path / "saved")
    assert trained(loaded) == trained(nlp)
    assert 0 < len(trained(loaded)) < len(get_weights(loaded))


@pytest.mark.parametrize("freeze", [LAYERS + 1, 100])
def test_more_layers_than_the_model_has(fresh, freeze):
    with pytest.raises(ValueError, match=f"TB019.* at most {LAYERS} .*got {freeze}"):
        fresh("bert", freeze=freeze)


@pytest.mark.parametrize("freeze", ["some", -1, True, 1.5, None])
def test_unknown_freeze(fresh, freeze):
    with pytest.raises(Exception, match=r"TB008.*freeze|freeze"):
        fresh("bert", freeze=freeze)


# layer_lr_decay


def test_depths_are_found_in_every_family(family, pipeline):
    module = get_module(pipeline(family))
    embeddings, layers = find_depths(module)
    assert len(layers) == LAYERS
    names = {id(weights): name for name, weights in module.named_parameters()}
    found = {names[id(weights)]: 0 for weights in embeddings}
    for i, layer in enumerate(layers):
        found.update({names[id(weights)]: i + 1 for weights in layer})
    expected = {name: depth(family, name) for name in names.values()}
    assert found == {name: d for name, d in expected.items() if d <= LAYERS}


def test_learning_rate_of_each_layer_is_that_of_the_formula(family, pipeline):
    module = get_module(pipeline(family))
    scales = learn_rate_scales(module, 0.8)
    for name, _ in module.named_parameters():
        expected = 0.8 ** min(LAYERS - depth(family, name), LAYERS)
        assert scales.get(name, 1.0) == pytest.approx(expected if expected < 1 else 1.0), name
    assert learn_rate_scales(module, 1.0) == {}


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_steps_with_decay_equal_plain_torch(fresh, checkpoint, optimizer):
    nlp = fresh("roberta", layer_lr_decay=0.5)
    add_writer(nlp)
    plain, adam = PlainTransformer("roberta", checkpoint("roberta")), PlainAdam(**ADAM)
    rates = {n: 0.5 ** max(LAYERS - depth("roberta", n), 0) for n in plain.weights()}
    sgd = make_adam() if optimizer == "adam" else make_sgd(0.01)
    for _ in range(3):
        nlp.update(make_examples(nlp, TEXTS), sgd=sgd)
        plain_backward(plain, [read(nlp, text) for text in TEXTS])
        if optimizer == "adam":
            adam.step(plain.model, 0.01, rates)
            continue
        for name, weights in plain.model.named_parameters():
            if weights.grad is not None:
                weights.data -= 0.01 * rates[name] * weights.grad
                weights.grad = None
    assert_near(get_weights(nlp), plain.weights())


@pytest.mark.parametrize("decay", [0.0, -0.5, 1.5, "high"])
def test_decay_out_of_range(fresh, decay):
    with pytest.raises(Exception, match=r"TB025.*layer_lr_decay|layer_lr_decay"):
        fresh("bert", layer_lr_decay=decay)


# gradient_checkpointing


@pytest.mark.parametrize("drop", [0.0, 0.4])
@pytest.mark.parametrize("name", [n for n in FAMILIES if n != "xlnet"])
def test_checkpointing_gives_the_same_gradients(fresh, name, drop):
    import torch

    found = []
    for checkpointing in (False, True):
        nlp = fresh(name, gradient_checkpointing=checkpointing, words_per_batch=20)
        add_writer(nlp)
        torch.manual_seed(3)
        nlp.update(make_examples(nlp, TEXTS), sgd=False, drop=drop)
        found.append(get_gradients(nlp))
    assert_near(*found)


def test_checkpointing_runs_the_layers_again(fresh):
    """Otherwise the comparison above would mean nothing."""
    counts = []
    for checkpointing in (False, True):
        nlp = fresh("bert", gradient_checkpointing=checkpointing)
        add_writer(nlp)
        calls = []
        hook = (
            get_module(nlp)
            .encoder.layer[0]
            .attention.register_forward_hook(lambda *args, calls=calls: calls.append(None))
        )
        nlp.update(make_examples(nlp, TEXTS), sgd=False)
        get_module(nlp)  # settles the update
        hook.remove()
        counts.append(len(calls))
    assert counts[1] == 2 * counts[0]


# Dropout


def dropouts(module):
    import torch

    return [m for m in module.modules() if isinstance(m, torch.nn.Dropout)]


def test_dropout_of_an_update_reaches_every_dropout_of_the_model(family, fresh):
    nlp = fresh(family)
    add_writer(nlp)
    nlp.update(make_examples(nlp, TEXTS), sgd=False, drop=0.37)
    module = get_module(nlp)
    assert dropouts(module)
    assert {m.p for m in dropouts(module)} == {0.37}
    for part in module.modules():
        for name, value in vars(part).items():
            if "drop" in name and isinstance(value, (int, float)):
                assert value == 0.37, (type(part), name)


def test_dropout_rates_are_set_whatever_their_type():
    """Some models store a rate and call the function; a config may write it as 0."""
    import torch

    module = torch.nn.Module()
    module.dropout, module.attention_dropout, module.layerdrop = 0.1, 0, 0.2
    module.do_dropout = True
    set_dropout(module, 0.3)
    assert module.dropout == 0.3
    assert module.attention_dropout == 0.3
    assert module.layerdrop == 0.2
    assert module.do_dropout is True


@pytest.mark.parametrize("words_per_batch", [1, 20, 0])
def test_dropout_is_set_once_for_an_update(fresh, words_per_batch, monkeypatch):
    """Setting it walks through all modules of the model."""
    rates, n_subbatches = [], []

    def spy_set(model, rate):
        rates.append(rate)
        set_dropout(model, rate)

    run = PaddedEngine._call

    def spy_call(self, model, arguments, request):
        assert model.training
        n_subbatches[-1] += 1
        return run(self, model, arguments, request)

    nlp = fresh("bert", words_per_batch=words_per_batch, engine="padded")
    add_writer(nlp)
    monkeypatch.setattr(shim, "set_dropout", spy_set)
    monkeypatch.setattr(PaddedEngine, "_call", spy_call)
    for drop in (0.3, 0.3, 0.1):
        n_subbatches.append(0)
        nlp.update(make_examples(nlp, TEXTS), sgd=False, drop=drop)
        assert {m.p for m in dropouts(get_module(nlp))} == {drop}
    assert rates == [0.3, 0.3, 0.1]
    assert [n > 1 for n in n_subbatches] == [words_per_batch > 0] * 3


def test_dropout_of_an_update_overrides_that_of_the_user(fresh):
    nlp = fresh("bert")
    add_writer(nlp)
    for _ in range(2):
        nlp.update(make_examples(nlp, TEXTS), sgd=False, drop=0.3)
        assert {m.p for m in dropouts(get_module(nlp))} == {0.3}
        dropouts(get_module(nlp))[0].p = 0.9


def test_dropout_layers_of_the_model_are_fast_ones(family, fresh):
    assert {type(layer) for layer in dropouts(get_module(fresh(family)))} == {FastDropout}


def test_dropout_in_training_is_that_of_torch_with_the_same_seed(fresh, checkpoint):
    """One sentence, so that both draw the same numbers; test_dropout.py tests the numbers."""
    import torch

    from trf_bridge.wrappers.training.dropout import use_fast_dropout

    nlp = fresh("bert", output_attentions=True)  # the same implementation of attention as plain
    add_writer(nlp)
    plain = PlainTransformer("bert", checkpoint("bert"))
    use_fast_dropout(plain.model)
    for dropout in dropouts(plain.model):
        dropout.p = 0.25
    torch.manual_seed(11)
    plain_backward(plain, [read(nlp, TEXTS[1])])
    torch.manual_seed(11)
    nlp.update(make_examples(nlp, TEXTS[1:2]), sgd=False, drop=0.25)
    assert_near(get_gradients(nlp), plain.gradients())


def test_no_dropout_in_prediction(family, fresh):
    nlp = fresh(family)
    add_writer(nlp)
    before = nlp(TEXTS[0]).tensor
    nlp.update(make_examples(nlp, TEXTS), sgd=False, drop=0.9)
    get_module(nlp).zero_grad()
    numpy.testing.assert_array_equal(nlp(TEXTS[0]).tensor, before)
    assert not get_module(nlp).training


def test_rates_of_the_config_are_not_used(fresh, checkpoint, tmp_path):
    """Only the rate of the update is."""
    import json
    import shutil

    import trf_bridge

    folder = tmp_path / "with-dropout"
    shutil.copytree(checkpoint("bert"), folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf8"))
    config |= {"hidden_dropout_prob": 0.5, "attention_probs_dropout_prob": 0.5}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf8")
    nlp, other = trf_bridge.from_pretrained(folder), fresh("bert")
    for pipeline in (nlp, other):
        add_writer(pipeline)
        pipeline.update(make_examples(pipeline, TEXTS), sgd=False)
    assert_near(get_gradients(nlp), get_gradients(other))


# precision


def test_bf16_is_finite_and_close(family, fresh):
    """With eight bits of mantissa the gradient keeps its direction, not its last digits."""
    found = []
    for precision in ("fp32", "bf16"):
        nlp = fresh(family, precision=precision)
        add_writer(nlp)
        nlp.update(make_examples(nlp, TEXTS), sgd=False)
        found.append(get_gradients(nlp))
        for weights in get_module(nlp).parameters():
            assert weights.dtype.is_floating_point
            assert weights.element_size() == 4
    assert found[0].keys() == found[1].keys()
    one, two = (numpy.concatenate([g.ravel() for g in f.values()]) for f in found)
    assert numpy.isfinite(two).all()
    cosine = float(one @ two) / float(numpy.linalg.norm(one) * numpy.linalg.norm(two))
    assert cosine > 0.999
    assert float(abs(one - two).max()) > 0  # another precision


def test_bf16_learns(fresh):
    nlp = fresh("bert", precision="bf16")
    textcat = nlp.add_pipe("trf_textcat")
    examples = make_examples(
        nlp, TEXTS, lambda i: {"cats": {"A": float(i == 0), "B": float(i > 0)}}
    )
    textcat.initialize(lambda: examples, nlp=nlp)
    optimizer = make_adam(0.005, L2=0.0, eps=1e-8)
    for _ in range(30):
        nlp.update(examples, sgd=optimizer)
    assert nlp.evaluate(examples)["cats_macro_f"] == 1.0


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_training_on_a_gpu(checkpoint, precision):
    from thinc.api import use_ops

    import trf_bridge

    with use_ops("cupy"):
        nlp = trf_bridge.from_pretrained(checkpoint("bert"), precision=precision)
        textcat = nlp.add_pipe("trf_textcat")
        examples = make_examples(
            nlp, TEXTS, lambda i: {"cats": {"A": float(i == 0), "B": float(i > 0)}}
        )
        textcat.initialize(lambda: examples, nlp=nlp)
        optimizer = make_adam(0.005, L2=0.0, eps=1e-8)
        for _ in range(30):
            nlp.update(examples, sgd=optimizer)
        assert nlp.evaluate(examples)["cats_macro_f"] == 1.0
