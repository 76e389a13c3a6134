"""Which engine a model is run in, and why."""

from __future__ import annotations

import copy
import functools
import logging

import pytest
import torch
import transformers
from engines import assert_alone, build_model, engine_of, load_layer, make_inputs
from tiny import ALL_FAMILIES, WIDTH

from trf_bridge.settings import TransformerSettings
from trf_bridge.wrappers.engine import comparison
from trf_bridge.wrappers.engine.architectures import NotSupportedError, find_modules
from trf_bridge.wrappers.models.layer import get_shim

IS_OLD = int(transformers.__version__.partition(".")[0]) < 5
# The engine, and the first position and the mask of tiles, which are facts of the models: RoBERTa's
# positions start after its padding index, 1.
ENGINES = {
    "bert": ("encoder", 0, False),
    "roberta": ("encoder", 2, False),
    "xlm_roberta": ("encoder", 2, False),
    "camembert": ("encoder", 2, False),
    "electra": ("encoder", 0, False),
    "distilbert": ("encoder", None if IS_OLD else 0, False),
    "gpt2": ("tiles", 0, True),
    "llama": ("tiles", 0, True),
    "qwen": ("tiles", 0, True),
    "mpnet": ("tiles", 2, False),
    # transformers 4 adds relative positions to a mask of another shape.
    "t5": ("padded", None, None) if IS_OLD else ("tiles", 0, False),
}
INPUTS = make_inputs([7, 30, 1, 0, 12])
EQUAL = "its outputs equal those of each input alone (difference "
DIFFERS = "its outputs in the engine 'tiles' differ from those of each input alone (by "


@pytest.mark.parametrize("name", ALL_FAMILIES)
def test_engine_of_each_family(name, checkpoint):
    engine = get_shim(load_layer(checkpoint(name))).engine
    expected, first_position, causal = ENGINES.get(name, ("padded", None, None))
    assert engine.name == expected
    assert engine.reason.startswith(EQUAL) == (expected != "padded")
    assert repr(engine) == f"<{type(engine).__name__} '{expected}': {engine.reason}>"
    tiles = engine._fallback if expected == "encoder" else engine
    arguments = getattr(tiles, "_arguments", None)
    assert (arguments is None) == (first_position is None)
    if arguments is not None:
        assert (arguments.first_position, arguments.causal) == (first_position, causal)
    for other in {"encoder", "tiles"} - {expected}:
        assert (f"not '{other}': " in engine.reason) == (expected != "encoder")


@pytest.mark.parametrize("name", ALL_FAMILIES)
def test_auto_and_padded_run_every_model(name, checkpoint):
    model = build_model(checkpoint(name))
    plain = copy.deepcopy(model)
    for engine in ("auto", "padded"):
        assert_alone(engine_of(model, engine=engine), INPUTS, model=plain)
        assert_alone(engine_of(model, engine=engine), INPUTS, 20, model=plain)


@pytest.mark.parametrize("engine", ["encoder", "tiles", "padded"])
def test_engine_that_the_config_names(engine, checkpoint):
    found = get_shim(load_layer(checkpoint("roberta"), engine=engine)).engine
    assert found.name == engine
    if engine == "padded":
        assert found.reason == "the config names it"
    if engine == "tiles":
        assert found.reason.startswith(EQUAL)
        assert found.reason.endswith(")")


def test_other_names_are_refused():
    with pytest.raises(ValueError, match=r"\[TB\d+\] .*engine"):
        TransformerSettings(engine="packed")


def with_relative_positions(model):
    model.config.position_embedding_type = "relative_key"
    return "its positions are 'relative_key', not 'absolute'"


def with_hook(model):
    model.encoder.layer[1].output.register_forward_hook(lambda *args: None)
    return "its module 'encoder.layer.1.output' has a hook or another forward"


def with_other_forward(model):
    layer = model.encoder.layer[0]
    layer.forward = layer.forward
    return "its module 'encoder.layer.0' has a hook or another forward"


def with_other_linear(model):
    class Other(torch.nn.Linear):
        """It may compute anything."""

    model.encoder.layer[0].output.dense = Other(32, 16)
    return f"its module 'output.dense' is {__name__}.Other, not torch.nn.Linear"


def with_pre_hook(model):
    model.embeddings.word_embeddings.register_forward_pre_hook(lambda *args: None)
    return "its module 'embeddings.word_embeddings' has a hook or another forward"


def with_other_weights(model):
    """An adapter that changes nothing before it is trained."""

    class Adapter(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner
            self.scale = torch.nn.Parameter(torch.ones(1))

        def forward(self, *arguments):
            return self.inner(*arguments) * self.scale

        def __getattr__(self, name):
            own = ("inner", "scale")
            return super().__getattr__(name) if name in own else getattr(self.inner, name)

    layer = model.encoder.layer[1]
    layer.output = Adapter(layer.output)
    return "it has other weights, 'encoder.layer.1.output.scale'"


def with_norm_without_bias(model):
    model.encoder.layer[0].output.LayerNorm = torch.nn.LayerNorm(WIDTH, bias=False)
    return "its module 'output.LayerNorm' has no weights or no bias"


@pytest.mark.parametrize(
    "change",
    [
        with_other_weights,
        with_norm_without_bias,
        with_relative_positions,
        with_hook,
        with_other_forward,
        with_other_linear,
        with_pre_hook,
    ],
)
def test_encoder_that_computes_something_else(change, checkpoint):
    """It is refused by name with the reason, and "auto" takes another engine."""
    model = build_model(checkpoint("bert"))
    reason = change(model)
    with pytest.raises(ValueError, match=r"\[TB057\] .*in the engine 'encoder'") as raised:
        engine_of(model, engine="encoder")
    assert reason in str(raised.value)
    engine = engine_of(model)
    assert engine.name == "tiles"
    assert f"not 'encoder': {reason}" in engine.reason
    assert_alone(engine, INPUTS)


@pytest.mark.parametrize(
    ("name", "engine", "reason"),
    [
        ("gpt2", "encoder", "its model_type is 'gpt2', not one of bert, roberta"),
        ("mobilebert", "encoder", "its model_type is 'mobilebert', not one of bert, roberta"),
        ("deberta_v2", "encoder", "its model_type is 'deberta-v2', not one of bert, roberta"),
        ("xlnet", "tiles", "it cannot run there (RuntimeError: The size of tensor"),
        ("xlm", "tiles", "it cannot run there (AssertionError)"),
        ("modernbert", "tiles", "" if IS_OLD else DIFFERS),
    ],
)
def test_named_engine_that_cannot_run_the_model(name, engine, reason, checkpoint):
    with pytest.raises(ValueError, match=r"\[TB057\]") as raised:
        load_layer(checkpoint(name), engine=engine)
    assert f"in the engine '{engine}': {reason}" in str(raised.value)


def test_decoder_with_the_layers_of_an_encoder(checkpoint):
    """A BERT that attends to the words before has the same modules."""
    from transformers import AutoConfig, BertModel

    config = AutoConfig.from_pretrained(checkpoint("bert"))
    config.is_decoder = True
    model = BertModel.from_pretrained(checkpoint("bert"), config=config).eval()
    engine = engine_of(model)
    assert engine.name != "encoder"
    assert "in the engine 'encoder' differ from those of each input alone" in engine.reason
    assert_alone(engine, INPUTS)


@pytest.mark.parametrize("name", ["bert", "gpt2", "xlnet"])
def test_requested_attention_weights_need_the_models_own_forward(name, checkpoint):
    engine = get_shim(load_layer(checkpoint(name), output_attentions=True)).engine
    assert engine.name == ("padded" if name == "xlnet" else "tiles")
    assert "not 'encoder': attention weights are requested" in engine.reason


# Models that do not take tiles as the engine expects it


def wrap_forward(forward, found):
    """Return a forward that calls another function for tiles."""

    @functools.wraps(forward)  # with the same signature
    def changed(*args, **kwargs):
        mask = kwargs.get("attention_mask")
        return forward(*args, **kwargs) if mask is None or mask.dim() == 2 else found(args, kwargs)

    return changed


def ignores_the_mask(model, args, kwargs):
    # Without a mask, transformers 5 finds the inputs by their positions.
    mask = torch.ones_like(kwargs["input_ids"])
    return type(model).forward(model, *args, **{**kwargs, "attention_mask": mask})


def ignores_the_positions(model, args, kwargs):
    return type(model).forward(model, *args, **{**kwargs, "position_ids": None})


def takes_no_such_mask(model, args, kwargs):
    raise TypeError("forward() takes no such mask\nat all")


def fails(model, args, kwargs):
    raise ZeroDivisionError("division by zero\nin code of the checkpoint")


def returns_no_numbers(model, args, kwargs):
    outputs = type(model).forward(model, *args, **kwargs)
    outputs.last_hidden_state[:] = float("nan")
    return outputs


CHANGES = {
    ignores_the_mask: DIFFERS,
    ignores_the_positions: DIFFERS,
    takes_no_such_mask: "it cannot run there (TypeError: forward() takes no such mask)",
    returns_no_numbers: DIFFERS + "inf)",
    fails: "it cannot run there (ZeroDivisionError: division by zero)",
}


def change_forward(model, change):
    """Change what a model returns for tiles, without its own checks."""
    found = wrap_forward(model.forward, functools.partial(change, model))
    object.__setattr__(model, "forward", found)
    return model


@pytest.mark.parametrize("change", CHANGES)
def test_model_whose_outputs_would_change_is_padded(change, checkpoint):
    model = change_forward(build_model(checkpoint("gpt2")), change)
    engine = engine_of(model)
    assert engine.name == "padded"
    assert f"not 'tiles': {CHANGES[change]}" in engine.reason
    assert "\n" not in engine.reason
    assert_alone(engine, INPUTS, model=build_model(checkpoint("gpt2")))


@pytest.mark.parametrize("change", [takes_no_such_mask, fails, None])
def test_errors_of_the_model_are_logged(change, checkpoint, caplog):
    model = build_model(checkpoint("gpt2"))
    if change is not None:
        change_forward(model, change)
    with caplog.at_level(logging.DEBUG, logger="trf_bridge"):
        reason = engine_of(model).reason
    records = [record for record in caplog.records if record.name.startswith("trf_bridge")]
    if change is None:
        assert not records
        return
    raised = TypeError if change is takes_no_such_mask else ZeroDivisionError
    assert {record.levelno for record in records} == {logging.DEBUG}
    assert CHANGES[change] in reason
    assert all(CHANGES[change] in record.getMessage() for record in records)
    assert all(record.exc_info[0] is raised for record in records)


def test_pooler_that_reads_every_wordpiece(checkpoint):
    """In tiles and in the engine `encoder` it reads the first alone."""
    model = build_model(checkpoint("bert"))

    class Mean(torch.nn.Module):
        def __init__(self, pooler):
            super().__init__()
            self.pooler = pooler

        def forward(self, states):
            return self.pooler(states.mean(1, keepdim=True))

    model.pooler = Mean(model.pooler)
    engine = engine_of(model)
    assert engine.name == "padded"
    assert "in the engine 'encoder' differ from those of each input alone" in engine.reason


def test_model_with_another_forward_is_not_computed(checkpoint):
    """Its modules are BERT's, and the outputs are not."""
    model = build_model(checkpoint("bert"))
    forward = model.forward

    @functools.wraps(forward)
    def doubled(*args, **kwargs):
        outputs = forward(*args, **kwargs)
        outputs.last_hidden_state = 2 * outputs.last_hidden_state
        return outputs

    object.__setattr__(model, "forward", doubled)
    engine = engine_of(model)
    assert engine.name != "encoder"
    assert "not 'encoder': " in engine.reason
    assert_alone(engine, INPUTS)


@pytest.mark.parametrize("name", ["bert", "gpt2"])
def test_model_that_bf16_changes_too_much(name, checkpoint, monkeypatch):
    """Its own forward is run in mixed precision."""
    monkeypatch.setattr(comparison, "MIN_COSINE", 1.1)
    model = build_model(checkpoint(name))
    engine = engine_of(model, "bf16")
    assert engine.name == "tiles"
    assert engine.lowered is None
    if name == "bert":
        assert "but not in bf16" in engine.reason
        with pytest.raises(ValueError, match=r"\[TB057\] .*but not in bf16"):
            engine_of(model, "bf16", engine="encoder")


def test_own_errors_are_raised(checkpoint, monkeypatch):
    """An error in the arguments is ours, and no property of the model."""

    def broken(*args):
        raise MemoryError("a bug")

    monkeypatch.setattr(comparison.Sample, "_run_alone", broken)
    with pytest.raises(MemoryError, match="a bug"):
        engine_of(build_model(checkpoint("bert")))


def test_removed_heads_are_noticed(checkpoint):
    model = build_model(checkpoint("bert"))
    model.encoder.layer[0].attention.self.query = torch.nn.Linear(WIDTH, WIDTH // 2)
    with pytest.raises(NotSupportedError, match="heads were removed"):
        find_modules(model)


def test_lack_of_memory_is_no_reason_for_another_engine(checkpoint, monkeypatch):
    def fail(*arguments):
        raise torch.OutOfMemoryError("no memory left")

    monkeypatch.setattr("trf_bridge.wrappers.engine.encoder.make_groups", fail)
    with pytest.raises(torch.OutOfMemoryError, match="no memory left"):
        engine_of(build_model(checkpoint("bert")))
