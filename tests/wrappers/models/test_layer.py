"""The thinc layer against plain transformers: outputs, gradients, and independence of batching."""

from __future__ import annotations

import copy
import pickle

import numpy
import oracles
import pytest
import torch
from builders import build_wordpieces
from thinc.api import Model, set_dropout_rate
from tiny import HEADS, LAYERS, WIDTH

from trf_bridge.types import Activations, Wordpieces
from trf_bridge.wrappers.models.layer import TransformerModel, get_shim, get_traits
from trf_bridge.wrappers.models.shim import TransformerShim

TEXTS = [
    ["My name is Robert."],
    ["Apple pie is delicious.", "Is it?", "Bake it at 180 degrees for fifty minutes."],
    [],
    ["A", "The tide had gone out and left the harbour."],
    ["北京 สวัสดีครับ 👍🏽", "Laced with dreams, dripping in reality"],
]


def make_wordpieces(texts, tokenizer) -> Wordpieces:
    encoded = [tokenizer(text) for text in texts]
    ids = [i for e in encoded for i in e["input_ids"]]
    has_types = "token_type_ids" in tokenizer.model_input_names
    type_ids = [i for e in encoded for i in e["token_type_ids"]] if has_types else None
    return build_wordpieces([len(e["input_ids"]) for e in encoded], ids=ids, type_ids=type_ids)


def make_model(folder, **options) -> Model:
    model = TransformerModel(str(folder), **options)
    model.initialize()
    return model


def per_input(wordpieces):
    """Return the ids and type ids of each input."""
    ends = numpy.cumsum(wordpieces.lengths).tolist()
    types = wordpieces.type_ids
    for end, n in zip(ends, wordpieces.lengths.tolist(), strict=True):
        rows = slice(end - n, end)
        yield wordpieces.ids[rows].tolist(), None if types is None else types[rows].tolist()


def plain_activations(plain, wordpieces, **flags) -> Activations:
    """Run a plain model over each input alone, and concatenate the outputs."""
    with torch.no_grad():
        runs = [oracles.run_plain(plain, *given, **flags) for given in per_input(wordpieces)]
    states = [[s[0].numpy() for s in run.get("hidden_states") or []] for run in runs]
    attentions = [torch.stack(run.attentions, dim=1)[0].numpy() for run in runs if flags]
    has_pooler = runs[0].get("pooler_output") is not None
    return Activations(
        last_hidden_state=numpy.concatenate([r.last_hidden_state[0].numpy() for r in runs]),
        pooler_output=numpy.concatenate([r.pooler_output.numpy() for r in runs])
        if has_pooler
        else None,
        hidden_states=numpy.concatenate([numpy.stack(s) for s in states], axis=1)
        if flags
        else None,
        attentions=attentions if flags else None,
    )


@pytest.fixture
def docs(family, checkpoint):
    tokenizer = oracles.load_plain_tokenizer(checkpoint(family))
    return [make_wordpieces(texts, tokenizer) for texts in TEXTS]


@pytest.fixture
def plain(family, checkpoint):
    return oracles.load_plain(family, checkpoint(family)).eval()


def assert_close(got, expected, scale=1.0):
    numpy.testing.assert_allclose(got, expected, atol=1e-5 * scale, rtol=1e-5)


ALL_OUTPUTS = {"output_hidden_states": True, "output_attentions": True}


@pytest.mark.parametrize("words_per_batch", [0, 1, 50, 3000])
def test_last_hidden_state_equals_plain_transformers(
    family, checkpoint, docs, plain, words_per_batch
):
    model = make_model(checkpoint(family), words_per_batch=words_per_batch)
    outputs = model.predict(docs)
    assert model.get_dim("nO") == WIDTH
    assert len(outputs) == len(docs)
    for activations, wordpieces in zip(outputs, docs, strict=True):
        assert activations.hidden_states is None
        assert activations.attentions is None
        assert activations.last_hidden_state.dtype == numpy.float32
        if not len(wordpieces):
            assert activations.last_hidden_state.shape == (0, WIDTH)
            continue
        expected = plain_activations(plain, wordpieces)
        assert_close(activations.last_hidden_state, expected.last_hidden_state)


@pytest.mark.parametrize("words_per_batch", [0, 1, 50])
def test_every_output_equals_plain_transformers(family, checkpoint, docs, plain, words_per_batch):
    model = make_model(checkpoint(family), words_per_batch=words_per_batch, **ALL_OUTPUTS)
    for activations, wordpieces in zip(model.predict(docs), docs, strict=True):
        if not len(wordpieces):
            assert activations.hidden_states.shape == (LAYERS + 1, 0, WIDTH)
            assert activations.attentions == []
            continue
        expected = plain_activations(plain, wordpieces, **ALL_OUTPUTS)
        assert_close(activations.last_hidden_state, expected.last_hidden_state)
        assert_close(activations.hidden_states, expected.hidden_states)
        assert len(activations.attentions) == len(wordpieces.lengths)
        for got, weights, n in zip(
            activations.attentions, expected.attentions, wordpieces.lengths.tolist(), strict=True
        ):
            assert got.shape == (LAYERS, HEADS, n, n)
            assert_close(got, weights)
        if expected.pooler_output is None:
            assert activations.pooler_output is None
        else:
            assert_close(activations.pooler_output, expected.pooler_output)


def test_families_with_and_without_a_pooler_are_both_tested(checkpoint):
    widths = {
        name: get_traits(make_model(checkpoint(name))).pooler_width for name in ("bert", "gpt2")
    }
    assert widths == {"bert": WIDTH, "gpt2": 0}


@pytest.mark.parametrize(
    "fields",
    [
        ("last_hidden_state",),
        ("pooler_output",),
        ("hidden_states",),
        ("attentions",),
        ("last_hidden_state", "pooler_output", "hidden_states", "attentions"),
    ],
    ids=lambda fields: "+".join(fields),
)
def test_gradients_equal_plain_autograd(family, checkpoint, docs, fields):
    """Of the sum of outputs times random numbers, by the layer and by torch alone."""
    options = {o: o.removeprefix("output_") in fields for o in ALL_OUTPUTS}
    model = make_model(checkpoint(family), words_per_batch=40, **options)
    fields = [f for f in fields if f != "pooler_output" or get_traits(model).pooler_width]
    outputs, backprop = model(docs, is_train=True)
    d_outputs = random_gradients(outputs, fields)
    assert backprop(d_outputs) == []
    expected = plain_gradients(family, checkpoint(family), docs, d_outputs)
    got = weight_gradients(get_shim(model)._model)
    assert_same_gradients(got, expected)
    assert any(g is not None and g.any() for g in got.values()) == bool(fields)


def random_gradients(outputs, fields):
    rng = numpy.random.default_rng(0)

    def like(value):
        if value is None:
            return None
        if isinstance(value, list):
            return [like(v) for v in value]
        return rng.normal(size=value.shape).astype("float32")

    none = Activations(last_hidden_state=None)
    # The last Doc gets none: not every Doc of a batch has a gradient.
    gradients = [{f: like(getattr(o, f)) for f in fields} for o in outputs[:-1]]
    return [*(Activations(**{"last_hidden_state": None, **g}) for g in gradients), none]


def plain_gradients(family, folder, docs, d_outputs):
    plain = oracles.load_plain.__wrapped__(family, folder).train()
    for wordpieces, d_output in zip(docs, d_outputs, strict=True):
        ends = numpy.cumsum(wordpieces.lengths).tolist()
        for i, given in enumerate(per_input(wordpieces)):
            run = oracles.run_plain(plain, *given, **ALL_OUTPUTS)
            rows = slice(ends[i] - len(given[0]), ends[i])
            loss = torch.zeros(())
            if d_output.last_hidden_state is not None:
                gradient = torch.tensor(d_output.last_hidden_state[rows])
                loss = loss + (run.last_hidden_state[0] * gradient).sum()
            if d_output.pooler_output is not None:
                loss = loss + (run.pooler_output[0] * torch.tensor(d_output.pooler_output[i])).sum()
            if d_output.hidden_states is not None:
                gradient = torch.tensor(d_output.hidden_states[:, rows])
                loss = loss + (torch.cat(run.hidden_states) * gradient).sum()
            if d_output.attentions is not None:
                gradient = torch.tensor(d_output.attentions[i])
                loss = loss + (torch.cat(run.attentions) * gradient).sum()
            if loss.requires_grad:
                loss.backward()
    return weight_gradients(plain)


def weight_gradients(module):
    return {
        name: None if p.grad is None else p.grad.numpy().copy()
        for name, p in module.named_parameters()
    }


def assert_same_gradients(got, expected):
    assert got.keys() == expected.keys()
    for name, gradient in expected.items():
        zeros = numpy.zeros(1)
        scale = max(float(abs(gradient).max()), 1.0) if gradient is not None else 1.0
        one = zeros if got[name] is None else got[name]
        assert_close(one, zeros if gradient is None else gradient, scale)


def test_gradients_of_two_backward_passes_add_up(checkpoint):
    tokenizer = oracles.load_plain_tokenizer(checkpoint("bert"))
    docs = [make_wordpieces(texts, tokenizer) for texts in TEXTS]
    model = make_model(checkpoint("bert"))
    for _ in range(2):
        outputs, backprop = model(docs, is_train=True)
        d_outputs = random_gradients(outputs, ["last_hidden_state"])
        backprop(d_outputs)
    twice = weight_gradients(get_shim(model)._model)
    once = plain_gradients("bert", checkpoint("bert"), docs, d_outputs)
    for name, gradient in once.items():
        if gradient is not None:
            assert_close(twice[name], 2 * gradient, max(float(abs(gradient).max()), 1.0))


def test_backprop_leaves_the_gradients_of_the_caller_unchanged(checkpoint):
    tokenizer = oracles.load_plain_tokenizer(checkpoint("bert"))
    model = make_model(checkpoint("bert"), **ALL_OUTPUTS)
    outputs, backprop = model([make_wordpieces(TEXTS[1], tokenizer)] * 2, is_train=True)
    fields = ["last_hidden_state", "pooler_output", "hidden_states"]
    d_outputs = random_gradients(outputs, fields)
    before = {field: getattr(d_outputs[0], field).copy() for field in fields}
    backprop(d_outputs)
    for field, array in before.items():
        assert numpy.array_equal(getattr(d_outputs[0], field), array)


def test_dropout_ends_with_training_mode(family, checkpoint, docs):
    model = make_model(checkpoint(family))
    set_dropout_rate(model, 0.5)
    before = model.predict(docs)[0].last_hidden_state
    (trained, *_), _ = model(docs, is_train=True)
    after = model.predict(docs)[0].last_hidden_state
    assert not numpy.allclose(trained.last_hidden_state, before, atol=1e-2)
    assert numpy.array_equal(after, before)
    assert not get_shim(model)._model.training


def test_training_mode_without_dropout_gives_the_same_numbers(checkpoint, docs, family):
    model = make_model(checkpoint(family))
    trained, _ = model(docs, is_train=True)
    for one, two in zip(trained, model.predict(docs), strict=True):
        assert_close(one.last_hidden_state, two.last_hidden_state)


@pytest.mark.parametrize("is_train", [False, True])
@pytest.mark.parametrize("texts", [[], [[]], [[], []]], ids=["no-docs", "one-empty", "two-empty"])
def test_empty_batches(checkpoint, texts, is_train):
    tokenizer = oracles.load_plain_tokenizer(checkpoint("bert"))
    model = make_model(checkpoint("bert"), **ALL_OUTPUTS)
    outputs, backprop = model([make_wordpieces(t, tokenizer) for t in texts], is_train=is_train)
    assert [o.last_hidden_state.shape for o in outputs] == [(0, WIDTH)] * len(texts)
    assert [o.pooler_output.shape for o in outputs] == [(0, WIDTH)] * len(texts)
    assert [o.hidden_states.shape for o in outputs] == [(LAYERS + 1, 0, WIDTH)] * len(texts)
    assert backprop(outputs) == []


def test_results_do_not_depend_on_the_neighbours(family, docs, checkpoint):
    model = make_model(checkpoint(family))
    together = model.predict(docs)
    for wordpieces, activations in zip(docs, together, strict=True):
        (alone,) = model.predict([wordpieces])
        assert_close(activations.last_hidden_state, alone.last_hidden_state)


@pytest.mark.parametrize("precision", ["bf16"])
def test_lower_precision_gives_float32_and_nearly_the_same(checkpoint, precision):
    tokenizer = oracles.load_plain_tokenizer(checkpoint("bert"))
    docs = [make_wordpieces(texts, tokenizer) for texts in TEXTS]
    exact = make_model(checkpoint("bert")).predict(docs)
    outputs, backprop = make_model(checkpoint("bert"), precision=precision)(docs, is_train=True)
    for one, two in zip(outputs, exact, strict=True):
        assert one.last_hidden_state.dtype == one.pooler_output.dtype == numpy.float32
        # bf16 has eight bits.
        numpy.testing.assert_allclose(one.last_hidden_state, two.last_hidden_state, atol=0.1)
    backprop(outputs)


def test_weights_are_exactly_those_of_the_checkpoint(family, checkpoint, plain):
    module = get_shim(make_model(checkpoint(family)))._model
    expected = dict(plain.state_dict())
    assert module.state_dict().keys() == expected.keys()
    for name, tensor in module.state_dict().items():
        assert tensor.equal(expected[name])


def test_initializing_twice_keeps_the_weights(checkpoint):
    model = make_model(checkpoint("bert"))
    module = get_shim(model)._model
    model.attrs["trf_name"] = "/nowhere"
    model.initialize()
    assert get_shim(model)._model is module


def test_layer_without_weights_is_refused(checkpoint):
    with pytest.raises(ValueError, match=r"\[TB010\] .*initialize"):
        TransformerModel(str(checkpoint("bert"))).predict([])
    with pytest.raises(ValueError, match=r"\[TB001\] .*trf_name"):
        TransformerModel("").initialize()


def test_wordpiece_outside_of_the_embedding_table_is_refused(checkpoint):
    tokenizer = oracles.load_plain_tokenizer(checkpoint("bert"))
    wordpieces = make_wordpieces(["Berlin"], tokenizer)
    wordpieces.ids[1] = len(tokenizer)
    with pytest.raises(ValueError, match=rf"\[TB015\] .*{len(tokenizer)}"):
        make_model(checkpoint("bert")).predict([wordpieces])


def test_engine_of_a_layer_without_weights_is_refused(checkpoint):
    shim = get_shim(TransformerModel(str(checkpoint("bert"))))
    with pytest.raises(ValueError, match=r"^\[TB010\] "):
        _ = shim.engine


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("how", ["copy", "deepcopy", "pickle", "bytes"])
def test_copies_run_their_own_model(checkpoint, how, precision):
    """Changes of the copy leave the original unchanged."""
    tokenizer = oracles.load_plain_tokenizer(checkpoint("bert"))
    docs = [make_wordpieces(texts, tokenizer) for texts in TEXTS]
    model = make_model(checkpoint("bert"), precision=precision, layer_lr_decay=0.5, freeze=1)
    expected = model.predict(docs)
    shim = get_shim(model)
    shim.set_dropout(0.3)
    if how == "bytes":
        copied = TransformerShim(shim.settings).from_bytes(shim.to_bytes())
    else:
        copies = {
            "copy": lambda s: s.copy(),
            "deepcopy": copy.deepcopy,
            "pickle": lambda s: pickle.loads(pickle.dumps(s)),
        }
        copied = copies[how](shim)
    assert copied._model is not shim._model
    assert (copied.id == shim.id) == (how in ("deepcopy", "pickle"))
    assert copied._lr_scales == shim._lr_scales != {}
    trained = [[w.requires_grad for w in each._model.parameters()] for each in (shim, copied)]
    assert trained[0] == trained[1]
    assert False in trained[0]
    assert copied.engine.name == shim.engine.name
    with torch.no_grad():
        for weights in copied._model.parameters():
            weights.zero_()
    other = TransformerModel(precision=precision)
    other._shims = [copied]
    for one, two, zeros in zip(model.predict(docs), expected, other.predict(docs), strict=True):
        assert numpy.array_equal(one.last_hidden_state, two.last_hidden_state)
        assert not zeros.last_hidden_state.any()


def test_engine_follows_the_model_to_another_device(checkpoint):
    """`Model.to_gpu` of thinc moves the weights of a shim."""
    shim = get_shim(make_model(checkpoint("bert")))
    assert shim.engine._device.type == "cpu"
    shim._model.to("meta")
    assert shim.engine._device.type == shim.device.type == "meta"


@pytest.mark.parametrize(
    ("options", "error", "code"),
    [
        ({"precision": "fp8"}, ValueError, "TB008"),
        ({"layer_lr_decay": 1.5}, ValueError, "TB025"),
        ({"layer_lr_decay": -0.1}, ValueError, "TB025"),
        ({"words_per_batch": -1}, ValueError, "TB009"),
        ({"words_per_batch": 2.5}, TypeError, "TB009"),
        ({"words_per_batch": True}, TypeError, "TB009"),
        ({"words_per_batch": "3000"}, TypeError, "TB009"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_loaded(options, error, code):
    with pytest.raises(error, match=rf"\[{code}\]"):
        TransformerModel("/nowhere", **options)


def test_freezing_more_layers_than_the_model_has_is_refused(checkpoint):
    with pytest.raises(
        ValueError, match=rf"\[TB019\] .* at most {LAYERS} for 'freeze', .* got {LAYERS + 1}\."
    ):
        make_model(checkpoint("bert"), freeze=LAYERS + 1)


def test_fp16_needs_a_gpu(checkpoint):
    with pytest.raises(ValueError, match=r"\[TB012\] .*fp16.*cpu"):
        make_model(checkpoint("bert"), precision="fp16")


@pytest.fixture
def fnet(tmp_path):
    """FNet mixes wordpieces by Fourier transforms: no attention weights, and no mask."""
    from transformers import FNetConfig, FNetModel

    config = FNetConfig(
        vocab_size=20,
        hidden_size=8,
        num_hidden_layers=1,
        intermediate_size=8,
        max_position_embeddings=16,
    )
    FNetModel(config).save_pretrained(tmp_path)
    return tmp_path


@pytest.mark.parametrize("words_per_batch", [0, 20, 3000])
def test_model_that_does_not_ignore_padding_gets_none(fnet, words_per_batch):
    model = make_model(fnet, words_per_batch=words_per_batch)
    docs = [
        build_wordpieces(lengths, ids=numpy.arange(sum(lengths)) % 17 + 3)
        for lengths in ([5, 2, 9], [], [2, 0, 3])
    ]
    plain = oracles.load_plain("fnet", fnet).eval()
    for activations, wordpieces in zip(model.predict(docs), docs, strict=True):
        for (ids, _), end in zip(
            per_input(wordpieces), numpy.cumsum(wordpieces.lengths).tolist(), strict=True
        ):
            if ids:
                with torch.no_grad():
                    expected = plain(torch.tensor([ids]))
                found = activations.last_hidden_state[end - len(ids) : end]
                assert_close(found, expected.last_hidden_state[0])


def test_output_that_the_model_does_not_return_is_refused(fnet):
    make_model(fnet, output_hidden_states=True)
    with pytest.raises(ValueError, match=r"\[TB013\] .*fnet.* no attentions"):
        make_model(fnet, output_attentions=True)
