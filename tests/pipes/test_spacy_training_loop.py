"""spaCy's training loop: accumulated steps, excluded and annotating components, warnings."""

from __future__ import annotations

import warnings

import numpy
import pytest
import spacy
from spacy.training import Example
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
    head_weights,
    make_adam,
    make_examples,
    module_weights,
    peek_module,
    plain_backward,
    read,
)
from training_loops import (
    BATCHES,
    TEXTS,
    SavedTensors,
    finish,
    labelled,
    run_training_loop,
    with_textcat,
)

from trf_bridge.pipes import tok2vec
from trf_bridge.pipes.predictions import run_transformer

pytestmark = pytest.mark.usefixtures("fixed_seed")


# Accumulated steps


def test_updates_without_an_optimizer_accumulate_gradients(fresh, checkpoint):
    nlp = fresh("bert")
    add_writer(nlp)
    start = get_weights(nlp)
    plain = PlainTransformer("bert", checkpoint("bert"))
    for batch in BATCHES:
        nlp.update(make_examples(nlp, batch), sgd=False)
        plain_backward(plain, [read(nlp, text) for text in batch])
    assert_near(get_gradients(nlp), plain.gradients(), atol=2e-5)
    assert_same(get_weights(nlp), start)
    PlainAdam(**ADAM).step(plain.model, 0.01)
    finish(nlp, make_adam())
    assert_near(module_weights(peek_module(nlp)), plain.weights())
    assert not get_gradients(nlp)


def test_accumulated_step_equals_that_of_the_whole_batch(fresh, checkpoint):
    weights, heads = [], []
    for accumulate in (1, 4):
        nlp = fresh("bert")
        textcat = with_textcat(nlp)
        start = get_weights(nlp)
        run_training_loop(nlp, accumulate)
        weights.append(module_weights(peek_module(nlp)))
        heads.append(head_weights(textcat))
        assert_moved(weights[-1], start)
    assert_near(weights[0], weights[1])
    assert_near(heads[0], heads[1])


def test_training_loop_equals_update_with_an_optimizer(fresh):
    looped, updated = fresh("roberta"), fresh("roberta")
    with_textcat(looped)
    with_textcat(updated)
    run_training_loop(looped, 1)
    optimizer = make_adam()
    for _ in range(3):
        updated.update(labelled(updated, TEXTS), sgd=optimizer)
    assert_near(get_weights(looped), get_weights(updated))


def test_training_loop_and_updates_can_alternate(fresh):
    """The steps of both loops can alternate on one optimizer."""
    mixed, updated = fresh("bert"), fresh("bert")
    with_textcat(mixed)
    with_textcat(updated)
    first, second = make_adam(), make_adam()
    for _ in range(2):
        mixed.update(labelled(mixed, TEXTS), sgd=first)
        run_training_loop(mixed, 2, steps=1, optimizer=first)
        updated.update(labelled(updated, TEXTS), sgd=second)
        updated.update(labelled(updated, TEXTS), sgd=second)
    assert_near(get_weights(mixed), get_weights(updated))


@pytest.mark.filterwarnings("ignore:.*TB102")
@pytest.mark.parametrize(
    ("sgd", "scale"), [(True, 1.0), (False, 1.0), (True, 0.0)], ids=["step", "add", "no-gradient"]
)
def test_at_most_one_batch_has_a_graph(fresh, monkeypatch, sgd, scale):
    import torch

    nlp = fresh("bert", words_per_batch=20)
    add_writer(nlp, scale=scale)
    saved = SavedTensors()
    optimizer = make_adam() if sgd else False
    batches_before = []

    def run(*args, **kwargs):
        batches_before.append(saved.batches())
        return run_transformer(*args, **kwargs)

    monkeypatch.setattr(tok2vec, "run_transformer", run)
    with torch.autograd.graph.saved_tensors_hooks(saved.pack, lambda packed: packed.tensor):
        for batch in BATCHES:
            saved.batch += 1
            nlp.update(make_examples(nlp, batch), sgd=optimizer)
            assert saved.batches() == {saved.batch}
        get_module(nlp)
        assert saved.batches() == set()
    assert batches_before == [set()] * len(BATCHES)


# Several heads; excluded, frozen and annotating components


def gradient_of(nlp, **kwargs):
    get_module(nlp).zero_grad()
    nlp.update(labelled(nlp, TEXTS), sgd=False, **kwargs)
    return get_gradients(nlp)


def test_gradients_of_two_heads_add_up(fresh):
    nlp = fresh("bert")
    with_textcat(nlp, "first", 1)
    with_textcat(nlp, "second", 2, architecture="trf_bridge.TextCatPooler.v1")
    both = gradient_of(nlp)
    first = gradient_of(nlp, exclude=["second"])
    second = gradient_of(nlp, exclude=["first"])
    summed = {
        name: first.get(name, 0) + second.get(name, numpy.zeros_like(both[name])) for name in both
    }
    assert_near(both, summed)
    assert_moved(first, {name: second[name] for name in first}, 1e-2)


@pytest.mark.parametrize("frozen", ["first", "second"])
def test_frozen_head_has_no_gradient_and_is_not_changed(fresh, frozen):
    """This includes the last component, after which no other one runs."""
    nlp, other = fresh("bert"), fresh("bert")
    heads = {"first": with_textcat(nlp, "first", 1), "second": with_textcat(nlp, "second", 2)}
    kept = "first" if frozen == "second" else "second"
    with_textcat(other, kept, 1 if kept == "first" else 2)
    before = head_weights(heads[frozen])
    run_training_loop(nlp, 1, exclude=[frozen])
    run_training_loop(other, 1)
    assert_near(get_weights(nlp), get_weights(other))
    assert_near(head_weights(heads[kept]), head_weights(other.get_pipe(kept)))
    assert_same(head_weights(heads[frozen]), before)


@pytest.mark.parametrize("frozen", ["first", "second"])
def test_disabled_head_has_no_effect(fresh, frozen):
    nlp, other = fresh("bert"), fresh("bert")
    for pipeline in (nlp, other):
        with_textcat(pipeline, "first", 1)
        with_textcat(pipeline, "second", 2)
    other.remove_pipe(frozen)
    with nlp.select_pipes(disable=[frozen]):
        nlp.update(labelled(nlp, TEXTS), sgd=make_adam())
    other.update(labelled(other, TEXTS), sgd=make_adam())
    assert_near(get_weights(nlp), get_weights(other))


@pytest.mark.parametrize("annotates", [["trf_tok2vec"], ["trf_wordpiecer", "trf_tok2vec"]])
def test_frozen_transformer_that_annotates(fresh, annotates):
    import torch

    nlp = fresh("bert")
    textcat = with_textcat(nlp)
    writer = add_writer(nlp)
    before, head_before = get_weights(nlp), head_weights(textcat)
    saved = SavedTensors()
    with torch.autograd.graph.saved_tensors_hooks(saved.pack, lambda packed: packed.tensor):
        run_training_loop(
            nlp, 2, exclude=["trf_tok2vec"], annotating_components=annotates, dropout=0.5
        )
        assert saved.batches() == set()
    assert_same(get_weights(nlp), before)
    assert not get_gradients(nlp)
    assert_moved(head_weights(textcat), head_before)
    for doc, expected in zip(writer.seen, nlp.pipe(d.text for d in writer.seen), strict=True):
        numpy.testing.assert_allclose(doc.tensor, expected.tensor, atol=1e-6)


def test_transformer_that_is_updated_and_annotates(fresh, monkeypatch):
    from trf_bridge.wrappers.engine import Engine

    nlp, annotating = fresh("bert"), fresh("bert")
    with_textcat(nlp)
    with_textcat(annotating)
    runs = []
    monkeypatch.setattr(Engine, "predict", lambda *args: runs.append(args))
    run_training_loop(nlp, 2)
    run_training_loop(annotating, 2, annotating_components=["trf_tok2vec"])
    annotates = ["trf_wordpiecer", "trf_tok2vec"]
    nlp.update(labelled(nlp, TEXTS), sgd=make_adam())
    annotating.update(labelled(annotating, TEXTS), sgd=make_adam(), annotates=annotates)
    assert_near(get_weights(nlp), get_weights(annotating))
    assert not runs  # the output of the training run is used


def test_gradient_of_heads_that_annotate(fresh):
    nlp, annotating = fresh("bert"), fresh("bert")
    for pipeline in (nlp, annotating):
        with_textcat(pipeline, "first", 1)
        with_textcat(pipeline, "second", 2)
    run_training_loop(nlp, 1)
    run_training_loop(annotating, 1, annotating_components=["first", "second"])
    assert_near(get_weights(nlp), get_weights(annotating))


# Resumed training


def test_resumed_training_equals_uninterrupted_training(fresh, tmp_path):
    nlp = fresh("bert")
    with_textcat(nlp)
    run_training_loop(nlp, 1)
    nlp.update(labelled(nlp, TEXTS), sgd=make_adam())
    nlp.to_disk(tmp_path / "saved")
    loaded = spacy.load(tmp_path / "saved")
    from_bytes = fresh("bert")
    with_textcat(from_bytes)
    from_bytes.from_bytes(nlp.to_bytes())
    for pipeline in (nlp, loaded, from_bytes):
        before = get_weights(pipeline)
        optimizer = make_adam()
        for _ in range(2):
            pipeline.update(labelled(pipeline, TEXTS), sgd=optimizer)
        assert_moved(get_weights(pipeline), before)
    for pipeline in (loaded, from_bytes):
        assert_near(get_weights(pipeline), get_weights(nlp))
        heads = [head_weights(p.get_pipe("trf_textcat")) for p in (pipeline, nlp)]
        assert_near(*heads)


# Warnings


def tb102_messages(caught):
    return [str(w.message) for w in caught if "TB102" in str(w.message)]


def warnings_of_update(nlp, **kwargs):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        nlp.update(labelled(nlp, TEXTS), sgd=make_adam(), **kwargs)
        get_module(nlp)
    return tb102_messages(caught)


def test_batch_without_gradient_warns_once_and_names_the_heads(fresh):
    nlp = fresh("bert")
    with_textcat(nlp, "first", 1)
    with_textcat(nlp, "second", 2)
    before = get_weights(nlp)
    excluded = ["first", "second"]
    (message,) = warnings_of_update(nlp, exclude=excluded)
    assert "first, second" in message
    assert warnings_of_update(nlp, exclude=excluded) == []
    assert_same(get_weights(nlp), before)
    assert warnings_of_update(nlp, exclude=["first"]) == []
    assert_moved(get_weights(nlp), before)
    assert len(warnings_of_update(nlp, exclude=excluded)) == 1


def test_batch_without_gradient_and_without_heads_warns(fresh):
    nlp = fresh("bert")
    (message,) = warnings_of_update(nlp)
    assert "No component after it listens to it" in message


def zero_output(textcat):
    output = textcat.model.get_ref("output_layer")
    output.set_param("W", numpy.zeros_like(output.get_param("W")))


def test_zero_gradient_of_a_new_head_warns_once_at_the_second_batch(fresh):
    nlp = fresh("bert")
    textcat = with_textcat(nlp)
    zero_output(textcat)
    assert warnings_of_update(nlp) == []
    zero_output(textcat)
    assert len(warnings_of_update(nlp)) == 1
    zero_output(textcat)
    assert warnings_of_update(nlp) == []


def test_zero_gradient_and_then_none_warn_once(fresh):
    nlp = fresh("bert")
    textcat = with_textcat(nlp)
    zero_output(textcat)
    assert warnings_of_update(nlp) == []
    assert len(warnings_of_update(nlp, exclude=["trf_textcat"])) == 1
    zero_output(textcat)
    assert warnings_of_update(nlp) == []


def test_zero_gradient_at_the_end_of_an_accumulated_step(fresh):
    """The gradient that was accumulated before it is still used."""
    nlp, other = fresh("bert"), fresh("bert")
    for pipeline in (nlp, other):
        with_textcat(pipeline)
        pipeline.update(labelled(pipeline, TEXTS), sgd=False)
    nlp.update(make_examples(nlp, ["", ""]), sgd=False)
    finish(nlp, make_adam())
    finish(other, make_adam())
    assert_near(get_weights(nlp), get_weights(other))


def test_error_in_a_head_does_not_affect_the_next_batch(fresh):
    nlp, other = fresh("bert"), fresh("bert")
    for pipeline in (nlp, other):
        with_textcat(pipeline)
    bad = Example.from_dict(nlp.make_doc("A"), {"cats": {"C": 1.0}})
    with pytest.raises(ValueError, match="TB026"):
        nlp.update([*labelled(nlp, TEXTS), bad], sgd=make_adam())
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*TB102")
        nlp.update(labelled(nlp, TEXTS), sgd=make_adam())
    other.update(labelled(other, TEXTS), sgd=make_adam())
    assert_near(get_weights(nlp), get_weights(other))
