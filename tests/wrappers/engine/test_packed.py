"""The choice of the engine, and the one without padding against each input alone."""

from __future__ import annotations

import functools
import inspect
import json
import logging

import numpy
import pytest
import torch
from builders import build_wordpieces
from tiny import MAX_LENGTH

from trf_bridge.wrappers.engine import packed
from trf_bridge.wrappers.engine.packed import pack_inputs, pool_inputs, use_packed
from trf_bridge.wrappers.engine.packed_attention import NAME
from trf_bridge.wrappers.models.layer import TransformerModel, get_shim, get_traits
from trf_bridge.wrappers.traits import find_traits

CPU = torch.device("cpu")


def passes_arguments_on(name):
    """Return whether a model of this version of transformers passes any arguments to its
    attention."""
    import transformers

    signature = inspect.signature(getattr(transformers, name).forward)
    return any(p.kind == p.VAR_KEYWORD for p in signature.parameters.values())


def test_which_models_can_run_without_padding(checkpoint):
    """The first positions are facts of the models: RoBERTa's start after its padding index, 1."""
    engines = {
        name: get_shim(load(checkpoint(name))).engine
        for name in ("bert", "roberta", "xlm_roberta", "gpt2", "xlnet", "t5")
    }
    first_positions = {
        name: engine._first_position if engine.name == "packed" else None
        for name, engine in engines.items()
    }
    assert first_positions == {
        "bert": 0 if passes_arguments_on("BertModel") else None,
        "roberta": 2 if passes_arguments_on("RobertaModel") else None,
        "xlm_roberta": 2 if passes_arguments_on("XLMRobertaModel") else None,
        "gpt2": 0,
        "xlnet": None,
        "t5": None,
    }


def load(folder, **options):
    model = TransformerModel(str(folder), **options)
    model.initialize()
    return model


def test_attention_weights_need_padded_batches(checkpoint):
    engine = get_shim(load(checkpoint("bert"), output_attentions=True)).engine
    assert engine.name == "padded"
    assert engine.reason == "its attention implementation is 'eager', not 'sdpa'"


def plain_model(folder):
    from transformers import AutoModel

    return AutoModel.from_pretrained(folder, attn_implementation="sdpa").eval()


def ignores_the_layout(model):
    forward = model.forward
    return {"forward": lambda *args, layout=None, **kwargs: forward(*args, **kwargs)}


def takes_no_layout(model):
    forward = model.forward

    def strict(*args, **kwargs):
        if "layout" in kwargs:
            raise TypeError("forward() got an unexpected keyword argument 'layout'")
        return forward(*args, **kwargs)

    return {"forward": strict}


def pools_every_wordpiece(model):
    pooler = model.pooler
    model.pooler = None
    return {"pooler": lambda states: pooler(states.mean(1, keepdim=True))}


def fails(model):
    forward = model.forward

    def broken(*args, **kwargs):
        if "layout" in kwargs:
            raise ZeroDivisionError("division by zero\nin code of the checkpoint")
        return forward(*args, **kwargs)

    return {"forward": broken}


def returns_no_numbers(model):
    forward = model.forward

    def without_numbers(*args, **kwargs):
        outputs = forward(*args, **kwargs)
        if "layout" in kwargs:
            outputs.last_hidden_state[:] = float("nan")
        return outputs

    return {"forward": without_numbers}


def change_forward(model, change):
    """Set attributes of a model without its own checks."""
    for name, value in change(model).items():
        if name == "forward":
            functools.update_wrapper(value, model.forward)  # with the same signature
        object.__setattr__(model, name, value)
    return model


DIFFERS = "its outputs on a packed row differ from those of each input alone (by "
CHANGES = {
    ignores_the_layout: DIFFERS,
    takes_no_layout: "it cannot run on a packed row (TypeError: forward() got an unexpected",
    pools_every_wordpiece: DIFFERS,
    returns_no_numbers: DIFFERS + "inf)",
    fails: "it failed on a packed row (ZeroDivisionError: division by zero)",
}


@pytest.mark.parametrize("change", CHANGES)
def test_model_whose_outputs_would_change_is_left_alone(checkpoint, change):
    model = plain_model(checkpoint("bert"))
    traits = find_traits(model)
    change_forward(model, change)
    expected = model(input_ids=torch.tensor([[5, 6, 7]])).last_hidden_state
    support = use_packed(model, traits)
    assert support.first_position is None
    reason = CHANGES[change]
    if change in (pools_every_wordpiece, returns_no_numbers):
        # Some versions of transformers refuse the layout before these changes have an effect.
        reason = reason if passes_arguments_on("BertModel") else "it cannot run on a packed row ("
    assert support.reason.startswith(reason)
    assert "\n" not in support.reason
    assert model.config._attn_implementation == "sdpa"
    assert model(input_ids=torch.tensor([[5, 6, 7]])).last_hidden_state.equal(expected)


@pytest.mark.parametrize("change", [*CHANGES, None])
def test_only_unexpected_errors_are_logged(checkpoint, change, caplog):
    model = plain_model(checkpoint("bert"))
    traits = find_traits(model)
    if change is not None:
        change_forward(model, change)
    with caplog.at_level(logging.DEBUG, logger="trf_bridge"):
        reason = use_packed(model, traits).reason
    records = [record for record in caplog.records if record.name.startswith("trf_bridge")]
    if change is not fails:
        assert not records
        return
    assert {record.levelno for record in records} == {logging.DEBUG}
    assert all(reason in record.getMessage() for record in records)
    assert all(record.exc_info[0] is ZeroDivisionError for record in records)


def test_model_that_fails_runs_on_padded_batches(checkpoint, monkeypatch):
    """The outputs are those of each input alone, and the engine returns the reason."""
    wordpieces = build_wordpieces([7, 4, 2], ids=range(5, 18))
    (expected,) = load(checkpoint("bert")).predict([wordpieces])

    def load_failing(*args, **kwargs):
        return change_forward(plain_model(checkpoint("bert")), fails)

    monkeypatch.setattr("trf_bridge.wrappers.models.shim.load_model", load_failing)
    model = load(checkpoint("bert"))
    engine = get_shim(model).engine
    assert (engine.name, engine.reason) == ("padded", CHANGES[fails])
    assert repr(engine) == f"<PaddedEngine 'padded': {CHANGES[fails]}>"
    (found,) = model.predict([wordpieces])
    numpy.testing.assert_allclose(
        found.last_hidden_state, expected.last_hidden_state, atol=1e-5, rtol=1e-5
    )


def test_own_errors_are_raised(checkpoint, monkeypatch):
    """An error in the arguments is ours, and no property of the model."""

    def broken(*args):
        raise IndexError("a bug")

    monkeypatch.setattr(packed, "Layout", broken)
    with pytest.raises(IndexError, match="a bug"):
        use_packed(plain_model(checkpoint("bert")), find_traits(plain_model(checkpoint("bert"))))


@pytest.mark.skipif(
    not passes_arguments_on("BertModel"), reason="this version of transformers pads BERT"
)
def test_engine_describes_itself(checkpoint):
    engine = get_shim(load(checkpoint("bert"))).engine
    assert engine.name == "packed"
    assert engine.reason.startswith("its outputs equal those of each input alone (difference ")
    assert repr(engine) == f"<PackedEngine 'packed': {engine.reason}>"
    padded = get_shim(load(checkpoint("t5"))).engine
    assert repr(padded) == "<PaddedEngine 'padded': it takes no position_ids>"


def test_padded_batches_stay_the_same(checkpoint):
    """The attention computes padded batches too, for users who call the model by hand."""
    model, expected = plain_model(checkpoint("gpt2")), plain_model(checkpoint("gpt2"))
    assert use_packed(model, find_traits(model)).first_position == 0
    assert model.config._attn_implementation == NAME
    inputs = {
        "input_ids": torch.tensor([[5, 6, 7, 8], [9, 10, 1, 1]]),
        "attention_mask": torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]]),
    }
    with torch.no_grad():
        got, plain = model(**inputs).last_hidden_state, expected(**inputs).last_hidden_state
    real = inputs["attention_mask"].bool()
    assert got[real].equal(plain[real])


@pytest.mark.parametrize("gradient_checkpointing", [False, True])
def test_sliding_windows_are_kept(gradient_checkpointing):
    """The sample inputs are too short for this mask."""
    from transformers import MistralConfig, MistralModel

    config = MistralConfig(
        vocab_size=50,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        sliding_window=6,
    )
    torch.manual_seed(0)
    model = MistralModel(config).eval()
    lengths = [30, 17, 17, 9, 2]
    ids = [torch.randint(3, 50, (n,)) for n in lengths]
    with torch.no_grad():
        expected = torch.cat([model(input_ids=i[None]).last_hidden_state[0] for i in ids])
    first_position = use_packed(model, find_traits(model)).first_position
    assert first_position == 0
    if gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
        model.train()
    arguments = pack_inputs(
        torch.cat(ids).numpy(), None, numpy.asarray(lengths), first_position, CPU
    )
    outputs = model(**arguments, use_cache=False)
    pool_inputs(model, outputs, arguments["layout"])
    got = outputs.last_hidden_state[0]
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)
    got.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_config_on_disk_does_not_name_the_attention(checkpoint, tmp_path):
    model = load(checkpoint("gpt2"))
    assert get_shim(model)._model.config._attn_implementation == NAME
    get_shim(model).to_disk(tmp_path)
    text = (tmp_path / "config.json").read_text(encoding="utf8")
    assert NAME not in text
    assert json.loads(text)["n_positions"] == MAX_LENGTH
    # The comparison leaves the traits unchanged.
    assert get_traits(model).width == json.loads(text)["n_embd"]


@pytest.mark.parametrize("is_train", [False, True])
def test_inputs_without_wordpieces(checkpoint, is_train):
    """For example those of an empty text, with a tokenizer that adds no boundary pieces."""
    model = load(checkpoint("bert"))
    ids = [5, 6, 7, 8, 9]
    full = build_wordpieces([3, 2], ids=ids)
    holes = build_wordpieces([0, 3, 0, 0, 2, 0], ids=ids)
    nothing = build_wordpieces([0, 0], ids=[])
    outputs, backprop = model([holes, nothing, full], is_train=is_train)
    assert outputs[0].last_hidden_state == pytest.approx(outputs[2].last_hidden_state, abs=1e-5)
    assert outputs[0].pooler_output[[1, 4]] == pytest.approx(outputs[2].pooler_output, abs=1e-5)
    assert not outputs[0].pooler_output[[0, 2, 3, 5]].any()
    assert outputs[1].pooler_output.tolist() == [[0.0] * outputs[1].pooler_output.shape[1]] * 2
    assert backprop(outputs) == []
    assert all(
        w.grad is None or w.grad.isfinite().all() for w in get_shim(model)._model.parameters()
    )
    (alone,) = model.predict([nothing])
    assert alone.last_hidden_state.shape == (0, model.get_dim("nO"))


@pytest.mark.parametrize("name", ["bert", "gpt2"])
@pytest.mark.parametrize("is_train", [False, True])
def test_filler_changes_nothing(name, is_train, checkpoint):
    docs = [build_wordpieces([7, 4], ids=range(5, 16)), build_wordpieces([2], ids=[9, 6])]
    found = []
    for rounds_up in (False, True):
        model = load(checkpoint(name))
        get_shim(model).engine._rounds_up = rounds_up
        outputs, backprop = model(docs, is_train=is_train)
        states = [a.last_hidden_state for a in outputs]
        states += [a.pooler_output for a in outputs if a.pooler_output is not None]
        if is_train:
            backprop(outputs)  # with any gradient
            weights = get_shim(model)._model.parameters()
            states += [w.grad.numpy() for w in weights if w.grad is not None]
        found.append(states)
    assert sum(map(len, docs)) % 8  # there is filler
    for one, two in zip(*found, strict=True):
        numpy.testing.assert_allclose(one, two, atol=1e-5, rtol=1e-5)


@pytest.mark.skipif(
    not passes_arguments_on("BertModel"), reason="this version of transformers pads BERT"
)
@pytest.mark.parametrize("products", ["torch", "onednn"])
def test_subbatches_without_padding(checkpoint, products):
    """Their size is the number of wordpieces, rounded up for oneDNN."""
    engine = get_shim(load(checkpoint("bert"), products=products)).engine
    lengths = numpy.asarray([3, 0, 9, 5, 5, 0])
    subbatches = [indices.tolist() for indices in engine.plan(lengths, 14)]
    assert subbatches == [[2], [3, 4], [0]]
    sizes = [engine.size(lengths[indices]) for indices in subbatches]
    assert sizes == ([9, 10, 3] if products == "torch" else [16, 16, 8])
    assert [indices.tolist() for indices in engine.plan(lengths, 0)] == [[2, 3, 4, 0]]
    assert engine.plan(numpy.asarray([0, 0]), 5) == engine.plan(numpy.asarray([], "int64"), 5) == []


def test_subbatches_with_padding(checkpoint):
    """Their size is the number of inputs times the longest."""
    engine = get_shim(load(checkpoint("t5"))).engine
    lengths = numpy.asarray([3, 0, 9, 5, 5, 0])
    subbatches = [indices.tolist() for indices in engine.plan(lengths, 15)]
    assert subbatches == [[2], [3, 4, 0], [1, 5]]
    assert [engine.size(lengths[indices]) for indices in subbatches] == [9, 15, 2]
    assert [indices.tolist() for indices in engine.plan(lengths, 0)] == [[2, 3, 4, 0, 1, 5]]
    assert engine.plan(numpy.asarray([], "int64"), 5) == []
