"""`nlp.update` and spaCy's training loop: the steps that plain torch would make, and no later."""

from __future__ import annotations

import copy
import gc
import warnings
import weakref

import numpy
import pytest
import spacy
from spacy.training import Example
from spacy.training.loop import train_while_improving
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
    make_sgd,
    module_weights,
    peek_module,
    plain_backward,
    randomize,
    read,
)


@pytest.fixture(autouse=True)
def fixed_seed():
    spacy.util.fix_random_seed(0)


BATCHES = [
    ["My name is Robert. Apple pie is delicious! Is it?", "The tide had gone out."],
    ["Bake it at 180 degrees for fifty minutes.", "", "A", "Perhaps. Yes... no."],
    ["The well-known state-of-the-art model doesn't understand everything."],
]


def plain_loop(family, folder, nlp, batches, rates, **settings):
    """The weights after each step of a plain torch loop."""
    plain = PlainTransformer(family, folder)
    adam = PlainAdam(**{**ADAM, **settings})
    found = []
    for batch, rate in zip(batches, rates, strict=True):
        plain_backward(plain, [read(nlp, text) for text in batch])
        adam.step(plain.model, rate)
        found.append(plain.weights())
    return found, plain, adam


# nlp.update with an optimizer


@pytest.mark.parametrize("look", [True, False], ids=["look-each-time", "look-at-the-end"])
def test_steps_equal_a_plain_torch_loop(family, fresh, checkpoint, look):
    nlp = fresh(family)
    add_writer(nlp)
    expected, _, _ = plain_loop(family, checkpoint(family), nlp, BATCHES, [0.01] * 3)
    start = get_weights(nlp)
    optimizer = make_adam()
    for batch, weights in zip(BATCHES, expected, strict=True):
        nlp.update(make_examples(nlp, batch), sgd=optimizer)
        if look:
            assert_near(get_weights(nlp), weights)
    assert_near(get_weights(nlp), expected[-1])
    assert_moved(get_weights(nlp), start)


def test_plain_gradient_descent_and_other_optimizers_step_too(fresh, checkpoint):
    nlp = fresh("bert")
    add_writer(nlp)
    plain = PlainTransformer("bert", checkpoint("bert"))
    optimizer = make_sgd(0.01)
    for batch in BATCHES:
        nlp.update(make_examples(nlp, batch), sgd=optimizer)
        plain_backward(plain, [read(nlp, text) for text in batch])
        for weights in plain.model.parameters():
            if weights.grad is not None:
                weights.data -= 0.01 * weights.grad
                weights.grad = None
    assert_near(get_weights(nlp), plain.weights())


def test_a_schedule_that_moves_on_does_not_change_the_pending_step(fresh, checkpoint):
    nlp = fresh("bert")
    add_writer(nlp)
    rates = [0.02, 0.001, 0.01]
    expected, _, _ = plain_loop("bert", checkpoint("bert"), nlp, BATCHES, rates)
    optimizer = make_adam([*rates, 0.5, 0.5])
    for batch in BATCHES:
        nlp.update(make_examples(nlp, batch), sgd=optimizer)
        optimizer.step_schedules()
    assert_near(get_weights(nlp), expected[-1])
    assert optimizer.learn_rate == 0.5


@pytest.mark.parametrize("name", ["L2", "grad_clip"])
def test_every_schedule_is_held_for_the_pending_step(fresh, checkpoint, name):
    nlp = fresh("bert")
    add_writer(nlp)
    values = [0.5, 0.25, 0.1]
    plain = PlainTransformer("bert", checkpoint("bert"))
    adam = PlainAdam(**ADAM)
    optimizer = make_adam(**{name: [*values, 7.0]})
    for batch, value in zip(BATCHES, values, strict=True):
        nlp.update(make_examples(nlp, batch), sgd=optimizer)
        optimizer.step_schedules()
        plain_backward(plain, [read(nlp, text) for text in batch])
        setattr(adam, name, value)
        adam.step(plain.model, 0.01)
    assert_near(get_weights(nlp), plain.weights())


OBSERVERS = {
    "predict": lambda nlp: nlp("My name is Robert."),
    "pipe": lambda nlp: list(nlp.pipe(["My name is Robert."])),
    "evaluate": lambda nlp: nlp.evaluate(make_examples(nlp, ["A"])),
    "to_bytes": lambda nlp: nlp.to_bytes(),
    "component.to_bytes": lambda nlp: nlp.get_pipe("trf_tok2vec").to_bytes(),
    "model": lambda nlp: nlp.get_pipe("trf_tok2vec").model,
    "initialize": lambda nlp: nlp.initialize(),
}


@pytest.mark.parametrize("observer", OBSERVERS)
def test_whoever_looks_sees_the_last_batch(fresh, checkpoint, observer):
    nlp = fresh("bert")
    add_writer(nlp)
    (expected,), _, _ = plain_loop("bert", checkpoint("bert"), nlp, BATCHES[:1], [0.01])
    nlp.update(make_examples(nlp, BATCHES[0]), sgd=make_adam())
    OBSERVERS[observer](nlp)
    assert_near(module_weights(peek_module(nlp)), expected)


def test_prediction_right_after_an_update_is_that_of_the_new_weights(fresh, checkpoint):
    import torch

    nlp = fresh("xlnet")
    add_writer(nlp)
    _, plain, _ = plain_loop("xlnet", checkpoint("xlnet"), nlp, BATCHES[:1], [0.01])
    nlp.update(make_examples(nlp, BATCHES[0]), sgd=make_adam())
    doc = nlp(BATCHES[0][0])
    with torch.no_grad():
        expected = plain.hidden(read(nlp, BATCHES[0][0])).numpy()
    numpy.testing.assert_allclose(doc._.trf_last_hidden_state, expected, atol=1e-5)


def test_what_is_saved_right_after_an_update_holds_it(fresh, checkpoint, tmp_path):
    nlp = fresh("bert")
    add_writer(nlp)
    (expected,), _, _ = plain_loop("bert", checkpoint("bert"), nlp, BATCHES[:1], [0.01])
    nlp.update(make_examples(nlp, BATCHES[0]), sgd=make_adam())
    data = nlp.to_bytes()
    assert_near(get_weights(fresh("bert").from_bytes(data, exclude=["writer"])), expected)
    nlp.update(make_examples(nlp, BATCHES[1]), sgd=make_adam())
    nlp.to_disk(tmp_path / "saved")
    loaded = spacy.load(tmp_path / "saved")
    assert_same(get_weights(loaded), get_weights(nlp))
    assert_moved(get_weights(loaded), expected)


def test_a_copy_right_after_an_update_holds_it(fresh, checkpoint):
    nlp = fresh("bert")
    add_writer(nlp)
    (expected,), _, _ = plain_loop("bert", checkpoint("bert"), nlp, BATCHES[:1], [0.01])
    nlp.update(make_examples(nlp, BATCHES[0]), sgd=make_adam())
    copied = copy.deepcopy(nlp.get_pipe("trf_tok2vec"))
    assert_near(module_weights(copied.model.shims[0]._model), expected)
    assert_near(get_weights(nlp), expected)


def test_from_bytes_forgets_the_batch_before(fresh):
    nlp = fresh("bert")
    add_writer(nlp)
    tok2vec = nlp.get_pipe("trf_tok2vec")
    before, data = get_weights(nlp), tok2vec.to_bytes()
    nlp.update(make_examples(nlp, BATCHES[0]), sgd=make_adam())
    tok2vec.from_bytes(data)
    assert_same(get_weights(nlp), before)
    nlp.update(make_examples(nlp, BATCHES[0]), sgd=make_adam())
    assert_moved(get_weights(nlp), before)


def test_update_of_the_component_alone_steps_with_its_optimizer(fresh, checkpoint):
    nlp = fresh("bert")
    writer, tok2vec = add_writer(nlp), nlp.get_pipe("trf_tok2vec")
    expected, _, _ = plain_loop("bert", checkpoint("bert"), nlp, BATCHES, [0.01] * 3)
    optimizer = make_adam()
    losses: dict[str, float] = {}
    for batch in BATCHES:
        examples = make_examples(nlp, batch)
        for example in examples:
            nlp.get_pipe("sentencizer")(example.predicted)
        nlp.get_pipe("trf_wordpiecer").update(examples)
        assert tok2vec.update(examples, sgd=optimizer, losses=losses) is losses
        writer.update(examples)
    assert_near(get_weights(nlp), expected[-1])
    assert losses["trf_tok2vec"] > 0


def test_loss_is_the_norm_of_the_last_gradient_that_was_sent_back(fresh):
    """Also with a new dict at each step, as in a loop that prints the losses of a step."""
    nlp = fresh("bert")
    writer = add_writer(nlp)
    norms, reported = [0.0], []
    for batch in [BATCHES[0], BATCHES[1], BATCHES[0]]:
        writer.seen.clear()
        reported.append(nlp.update(make_examples(nlp, batch), sgd=make_sgd())["trf_tok2vec"])
        nlp.get_pipe("trf_tok2vec").settle()
        norms.append(sum((doc._.trf_d_last_hidden_state**2).sum() for doc in writer.seen) ** 0.5)
    assert all(norms[1:])
    assert reported == pytest.approx(norms[:-1], rel=1e-5)
    losses = {"trf_tok2vec": 5.0}
    nlp.update(make_examples(nlp, BATCHES[0]), sgd=make_sgd(), losses=losses)
    assert losses["trf_tok2vec"] == pytest.approx(5.0 + norms[-1], rel=1e-5)


def test_settle_makes_the_step_that_waits(fresh):
    nlp = fresh("bert")
    add_writer(nlp)
    tok2vec = nlp.get_pipe("trf_tok2vec")
    tok2vec.settle()  # nothing is pending
    weights = dict(tok2vec.model.shims[0]._model.named_parameters())
    before = {name: values.detach().clone() for name, values in weights.items()}
    nlp.update(make_examples(nlp, BATCHES[0]), sgd=make_sgd())
    assert all(values.equal(before[name]) for name, values in weights.items())
    tok2vec.settle()
    assert not all(values.equal(before[name]) for name, values in weights.items())


@pytest.mark.parametrize("by", ["disk", "bytes"])
def test_loading_drops_the_pending_batch_everywhere(fresh, tmp_path, by):
    nlp = fresh("bert")
    textcat = nlp.add_pipe("trf_textcat")
    examples = make_examples(nlp, TEXTS, lambda i: {"cats": {"A": float(i == 0), "B": i != 0}})
    textcat.initialize(lambda: examples, nlp=nlp)
    tok2vec, listener = nlp.get_pipe("trf_tok2vec"), textcat.model.get_ref("vectors")
    tok2vec.to_disk(tmp_path)
    serialized = tok2vec.to_bytes()
    nlp.get_pipe("trf_wordpiecer").update(examples)
    tok2vec.update(examples)
    assert listener.batch is not None
    if by == "disk":
        tok2vec.from_disk(tmp_path)
    else:
        tok2vec.from_bytes(serialized)
    assert listener.batch is None
    tok2vec.settle()
    assert not get_gradients(nlp)


def test_nothing_pends_across_processes(fresh, checkpoint):
    """The weights are final before other processes start, so that none has to train."""
    nlp = fresh("bert")
    add_writer(nlp)
    (expected,), plain, _ = plain_loop("bert", checkpoint("bert"), nlp, BATCHES[:1], [0.01])
    nlp.update(make_examples(nlp, BATCHES[0]), sgd=make_adam())
    hidden = [doc._.trf_last_hidden_state for doc in nlp.pipe(BATCHES[0], n_process=2)]
    assert_near(module_weights(peek_module(nlp)), expected)
    plain_hidden = plain.hidden(read(nlp, BATCHES[0][0])).detach().numpy()
    numpy.testing.assert_allclose(hidden[0], plain_hidden, atol=1e-5)


# spacy train: updates without an optimizer, then a step for every component


def finish(nlp, optimizer):
    """As spaCy's training loop does after the updates of a step."""
    for _, component in nlp.pipeline:
        if getattr(component, "is_trainable", False) and component.model not in (True, False, None):
            component.finish_update(optimizer)


def test_updates_without_optimizer_only_add_up(fresh, checkpoint):
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


def labelled(nlp, texts):
    return make_examples(nlp, texts, lambda i: {"cats": {"A": float(i % 2), "B": 1.0 - i % 2}})


def with_textcat(nlp, name="trf_textcat", seed=1, **model):
    """A text categorizer for the labels A and B, the same weights every time."""
    architecture = model.pop("architecture", "trf_bridge.TextCatMean.v1")
    config = {"model": {"@architectures": architecture, **model}}
    textcat = nlp.add_pipe("trf_textcat", name=name, config=config)
    examples = labelled(nlp, [text for batch in BATCHES for text in batch])
    textcat.initialize(lambda: examples, nlp=nlp)
    randomize(textcat, seed)
    return textcat


TEXTS = [
    "My name is Robert.",
    "Apple pie is delicious! Is it?",
    "The tide had gone out.",
    "Perhaps.",
    "Bake it at 180 degrees.",
    "A",
    "Laced with dreams, dripping in reality",
    "U.S. and U.K. laws differ. Yes... no.",
]


def run_training_loop(nlp, accumulate, steps=3, optimizer=None, **kwargs):
    settings = {"exclude": [], "annotating_components": [], "dropout": 0.0, **kwargs}
    for _ in train_while_improving(
        nlp,
        optimizer or make_adam(),
        [(0, labelled(nlp, TEXTS)) for _ in range(steps)],
        lambda: (0.0, {}),
        eval_frequency=100,
        accumulate_gradient=accumulate,
        patience=0,
        max_steps=0,
        before_update=None,
        **settings,
    ):
        pass


def test_accumulated_parts_make_the_step_of_the_whole_batch(fresh, checkpoint):
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
    one, two = fresh("roberta"), fresh("roberta")
    with_textcat(one)
    with_textcat(two)
    run_training_loop(one, 1)
    optimizer = make_adam()
    for _ in range(3):
        two.update(labelled(two, TEXTS), sgd=optimizer)
    assert_near(get_weights(one), get_weights(two))


def test_training_loop_after_update_loop_and_back(fresh):
    """A step asked for early and one asked for late don't get into each other's way."""
    one, two = fresh("bert"), fresh("bert")
    with_textcat(one)
    with_textcat(two)
    first, second = make_adam(), make_adam()
    for _ in range(2):
        one.update(labelled(one, TEXTS), sgd=first)
        run_training_loop(one, 2, steps=1, optimizer=first)
        two.update(labelled(two, TEXTS), sgd=second)
        two.update(labelled(two, TEXTS), sgd=second)
    assert_near(get_weights(one), get_weights(two))


class SavedTensors:
    """Counts what the graphs of each batch keep for their backward pass."""

    def __init__(self):
        self.alive = weakref.WeakKeyDictionary()
        self.batch = 0

    def pack(self, tensor):
        kept = Kept(tensor.detach())  # with its graph it would keep itself alive
        self.alive[kept] = self.batch
        return kept

    def batches(self):
        gc.collect()
        return set(self.alive.values())


class Kept:
    def __init__(self, tensor):
        self.tensor = tensor


@pytest.mark.filterwarnings("ignore:.*TB102")
@pytest.mark.parametrize(
    ("sgd", "scale"), [(True, 1.0), (False, 1.0), (True, 0.0)], ids=["step", "add", "no-gradient"]
)
def test_at_most_one_batch_has_a_graph(fresh, sgd, scale):
    import torch

    nlp = fresh("bert", words_per_batch=20)
    add_writer(nlp, scale=scale)
    saved = SavedTensors()
    optimizer = make_adam() if sgd else False
    forward = nlp.get_pipe("trf_tok2vec")._run
    found = []

    def run(docs, *, is_train):
        found.append(saved.batches())  # no graph before a new one is made
        return forward(docs, is_train=is_train)

    nlp.get_pipe("trf_tok2vec")._run = run
    with torch.autograd.graph.saved_tensors_hooks(saved.pack, lambda kept: kept.tensor):
        for batch in BATCHES:
            saved.batch += 1
            nlp.update(make_examples(nlp, batch), sgd=optimizer)
            assert saved.batches() == {saved.batch}
        get_module(nlp)
        assert saved.batches() == set()
    assert found == [set()] * len(BATCHES)


# What is updated, and by whom


def gradient_of(nlp, **kwargs):
    get_module(nlp).zero_grad()
    nlp.update(labelled(nlp, TEXTS), sgd=False, **kwargs)
    return get_gradients(nlp)


def test_gradients_of_two_heads_add(fresh):
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
def test_a_frozen_head_sends_nothing_and_stays(fresh, frozen):
    """Also where it is the last component, after which nobody looks."""
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
def test_a_disabled_head_is_as_none(fresh, frozen):
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
    with torch.autograd.graph.saved_tensors_hooks(saved.pack, lambda kept: kept.tensor):
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

    one, two = fresh("bert"), fresh("bert")
    with_textcat(one)
    with_textcat(two)
    runs = []
    monkeypatch.setattr(Engine, "predict", lambda *args: runs.append(args))
    run_training_loop(one, 2)
    run_training_loop(two, 2, annotating_components=["trf_tok2vec"])
    annotates = ["trf_wordpiecer", "trf_tok2vec"]
    one.update(labelled(one, TEXTS), sgd=make_adam())
    two.update(labelled(two, TEXTS), sgd=make_adam(), annotates=annotates)
    assert_near(get_weights(one), get_weights(two))
    assert not runs  # the output of the training run is there already


def test_head_that_annotates_keeps_the_gradient(fresh):
    one, two = fresh("bert"), fresh("bert")
    for nlp in (one, two):
        with_textcat(nlp, "first", 1)
        with_textcat(nlp, "second", 2)
    run_training_loop(one, 1)
    run_training_loop(two, 1, annotating_components=["first", "second"])
    assert_near(get_weights(one), get_weights(two))


# Averages


def test_averages_reach_the_transformer_and_leave_it_to_the_bit(fresh, checkpoint):
    nlp = fresh("bert")
    add_writer(nlp)
    _, plain, adam = plain_loop("bert", checkpoint("bert"), nlp, BATCHES, [0.01] * 3)
    optimizer = make_adam(use_averages=True)
    for batch in BATCHES:
        nlp.update(make_examples(nlp, batch), sgd=optimizer)
    with nlp.use_params(optimizer.averages):
        inside = get_weights(nlp)
        doc = nlp(BATCHES[0][0])
        data = nlp.to_bytes()
    outside = get_weights(nlp)
    assert_near(outside, plain.weights())
    averages = {name: average.numpy() for name, average in adam.averages.items()}
    expected = {**outside, **averages}
    assert_near(inside, expected)
    assert_moved(inside, outside, 1e-3)
    for name, weights in plain.model.named_parameters():
        weights.data.copy_(adam.averages.get(name, weights).detach())
    hidden = plain.hidden(read(nlp, BATCHES[0][0])).detach().numpy()
    numpy.testing.assert_allclose(doc._.trf_last_hidden_state, hidden, atol=1e-5)
    saved = fresh("bert").from_bytes(data, exclude=["writer"])
    assert_same(get_weights(saved), inside)
    with nlp.use_params(optimizer.averages):
        assert_same(get_weights(nlp), inside)
    assert_same(get_weights(nlp), outside)


def test_averages_of_the_component_alone_include_the_last_batch(fresh):
    nlp = fresh("bert")
    add_writer(nlp)
    optimizer = make_adam(use_averages=True)
    nlp.update(make_examples(nlp, BATCHES[0]), sgd=optimizer)
    block = nlp.get_pipe("trf_tok2vec").use_params(optimizer.averages)
    next(block)
    inside = module_weights(peek_module(nlp))
    block.close()
    assert_moved(inside, get_weights(nlp), 1e-3)
    for (_, name), average in optimizer.averages.items():
        numpy.testing.assert_allclose(inside[name].ravel(), average.ravel(), atol=1e-7)


def test_weights_come_back_when_the_block_raises(fresh):
    nlp = fresh("bert")
    add_writer(nlp)
    optimizer = make_adam(use_averages=True)
    nlp.update(make_examples(nlp, BATCHES[0]), sgd=optimizer)
    before = get_weights(nlp)
    model = nlp.get_pipe("trf_tok2vec").model
    inside = {}

    def stop():
        inside.update(get_weights(nlp))
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"), model.use_params(optimizer.averages):
        stop()
    assert_moved(inside, before)
    assert_same(get_weights(nlp), before)


def test_averages_of_another_pipeline_change_nothing(fresh):
    nlp, other = fresh("bert"), fresh("bert")
    for pipeline in (nlp, other):
        add_writer(pipeline)
    optimizer = make_adam(use_averages=True)
    other.update(make_examples(other, BATCHES[0]), sgd=optimizer)
    get_module(other)
    before = get_weights(nlp)
    with nlp.use_params(optimizer.averages):
        assert_same(get_weights(nlp), before)


def test_two_pipelines_share_an_optimizer(fresh):
    """The optimizer tells their weights apart."""
    one, two, alone = fresh("bert"), fresh("bert"), fresh("bert")
    for nlp in (one, two, alone):
        add_writer(nlp)
    shared, own = make_adam(), make_adam()
    for _ in range(2):
        one.update(make_examples(one, BATCHES[0]), sgd=shared)
        two.update(make_examples(two, BATCHES[1]), sgd=shared)
        alone.update(make_examples(alone, BATCHES[0]), sgd=own)
    assert_near(get_weights(one), get_weights(alone))


# Training that goes on later


def test_resumed_training_makes_the_step_of_uninterrupted_training(fresh, tmp_path):
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


def tb102(found):
    return [str(w.message) for w in found if "TB102" in str(w.message)]


def update_silently(nlp, **kwargs):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        nlp.update(labelled(nlp, TEXTS), sgd=make_adam(), **kwargs)
        get_module(nlp)
    return tb102(found)


def test_batch_without_gradient_warns_once_and_names_the_heads(fresh):
    nlp = fresh("bert")
    with_textcat(nlp, "first", 1)
    with_textcat(nlp, "second", 2)
    before = get_weights(nlp)
    excluded = ["first", "second"]
    (message,) = update_silently(nlp, exclude=excluded)
    assert "first, second" in message
    assert update_silently(nlp, exclude=excluded) == []
    assert_same(get_weights(nlp), before)
    assert update_silently(nlp, exclude=["first"]) == []
    assert_moved(get_weights(nlp), before)
    assert len(update_silently(nlp, exclude=excluded)) == 1


def test_batch_without_gradient_and_without_heads_says_so(fresh):
    nlp = fresh("bert")
    (message,) = update_silently(nlp)
    assert "No component after it listens to it" in message


def zero_output(textcat):
    output = textcat.model.get_ref("output_layer")
    output.set_param("W", numpy.zeros_like(output.get_param("W")))


def test_zeros_from_a_new_head_are_let_pass_once(fresh):
    nlp = fresh("bert")
    textcat = with_textcat(nlp)
    zero_output(textcat)
    assert update_silently(nlp) == []
    zero_output(textcat)
    assert len(update_silently(nlp)) == 1
    zero_output(textcat)
    assert update_silently(nlp) == []


def test_zeros_from_a_head_and_then_none_warn_once(fresh):
    nlp = fresh("bert")
    textcat = with_textcat(nlp)
    zero_output(textcat)
    assert update_silently(nlp) == []
    assert len(update_silently(nlp, exclude=["trf_textcat"])) == 1
    zero_output(textcat)
    assert update_silently(nlp) == []


def test_zero_gradient_that_ends_an_accumulated_step(fresh):
    """The part before it is in the step all the same."""
    nlp, other = fresh("bert"), fresh("bert")
    for pipeline in (nlp, other):
        with_textcat(pipeline)
        pipeline.update(labelled(pipeline, TEXTS), sgd=False)
    nlp.update(make_examples(nlp, ["", ""]), sgd=False)
    finish(nlp, make_adam())
    finish(other, make_adam())
    assert_near(get_weights(nlp), get_weights(other))


def test_an_error_in_a_head_does_not_poison_the_next_batch(fresh):
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
