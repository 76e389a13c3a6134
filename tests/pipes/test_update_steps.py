"""`nlp.update` with an optimizer: steps equal plain torch and are made before the next access."""

from __future__ import annotations

import copy

import numpy
import pytest
import spacy
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
    module_weights,
    peek_module,
    plain_backward,
    read,
)
from training_loops import BATCHES, TEXTS, plain_loop

pytestmark = pytest.mark.usefixtures("fixed_seed")


@pytest.mark.parametrize("each_step", [True, False], ids=["read-each-step", "read-at-the-end"])
def test_steps_equal_plain_torch(family, fresh, checkpoint, each_step):
    nlp = fresh(family)
    add_writer(nlp)
    expected, _, _ = plain_loop(family, checkpoint(family), nlp, BATCHES, [0.01] * 3)
    start = get_weights(nlp)
    optimizer = make_adam()
    for batch, weights in zip(BATCHES, expected, strict=True):
        nlp.update(make_examples(nlp, batch), sgd=optimizer)
        if each_step:
            assert_near(get_weights(nlp), weights)
    assert_near(get_weights(nlp), expected[-1])
    assert_moved(get_weights(nlp), start)


def test_steps_of_plain_gradient_descent(fresh, checkpoint):
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


def test_pending_step_uses_the_learn_rate_of_its_update(fresh, checkpoint):
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
def test_pending_step_uses_all_schedules_of_its_update(fresh, checkpoint, name):
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


ACCESSES = {
    "predict": lambda nlp: nlp("My name is Robert."),
    "pipe": lambda nlp: list(nlp.pipe(["My name is Robert."])),
    "evaluate": lambda nlp: nlp.evaluate(make_examples(nlp, ["A"])),
    "to_bytes": lambda nlp: nlp.to_bytes(),
    "component.to_bytes": lambda nlp: nlp.get_pipe("trf_tok2vec").to_bytes(),
    "model": lambda nlp: nlp.get_pipe("trf_tok2vec").model,
    "initialize": lambda nlp: nlp.initialize(),
}


@pytest.mark.parametrize("access", ACCESSES)
def test_every_access_includes_the_last_batch(fresh, checkpoint, access):
    nlp = fresh("bert")
    add_writer(nlp)
    (expected,), _, _ = plain_loop("bert", checkpoint("bert"), nlp, BATCHES[:1], [0.01])
    nlp.update(make_examples(nlp, BATCHES[0]), sgd=make_adam())
    ACCESSES[access](nlp)
    assert_near(module_weights(peek_module(nlp)), expected)


def test_prediction_after_an_update_uses_the_new_weights(fresh, checkpoint):
    import torch

    nlp = fresh("xlnet")
    add_writer(nlp)
    _, plain, _ = plain_loop("xlnet", checkpoint("xlnet"), nlp, BATCHES[:1], [0.01])
    nlp.update(make_examples(nlp, BATCHES[0]), sgd=make_adam())
    doc = nlp(BATCHES[0][0])
    with torch.no_grad():
        expected = plain.hidden(read(nlp, BATCHES[0][0])).numpy()
    numpy.testing.assert_allclose(doc._.trf_last_hidden_state, expected, atol=1e-5)


def test_saved_weights_include_the_last_update(fresh, checkpoint, tmp_path):
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


def test_copied_weights_include_the_last_update(fresh, checkpoint):
    nlp = fresh("bert")
    add_writer(nlp)
    (expected,), _, _ = plain_loop("bert", checkpoint("bert"), nlp, BATCHES[:1], [0.01])
    nlp.update(make_examples(nlp, BATCHES[0]), sgd=make_adam())
    copied = copy.deepcopy(nlp.get_pipe("trf_tok2vec"))
    assert_near(module_weights(copied.model.shims[0]._model), expected)
    assert_near(get_weights(nlp), expected)


def test_from_bytes_drops_the_pending_batch(fresh):
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


def test_loss_is_the_norm_of_the_last_gradient(fresh):
    """This includes loops that pass a new dict at each step."""
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


def test_settle_makes_the_pending_step(fresh):
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


def test_no_step_is_pending_in_other_processes(fresh, checkpoint):
    """The pending step is made before other processes start."""
    nlp = fresh("bert")
    add_writer(nlp)
    (expected,), plain, _ = plain_loop("bert", checkpoint("bert"), nlp, BATCHES[:1], [0.01])
    nlp.update(make_examples(nlp, BATCHES[0]), sgd=make_adam())
    hidden = [doc._.trf_last_hidden_state for doc in nlp.pipe(BATCHES[0], n_process=2)]
    assert_near(module_weights(peek_module(nlp)), expected)
    plain_hidden = plain.hidden(read(nlp, BATCHES[0][0])).detach().numpy()
    numpy.testing.assert_allclose(hidden[0], plain_hidden, atol=1e-5)


# Averages


def test_averages_are_used_in_the_block_and_weights_restored_exactly(fresh, checkpoint):
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


def test_weights_are_restored_if_the_block_raises(fresh):
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


def test_averages_of_another_pipeline_are_ignored(fresh):
    nlp, other = fresh("bert"), fresh("bert")
    for pipeline in (nlp, other):
        add_writer(pipeline)
    optimizer = make_adam(use_averages=True)
    other.update(make_examples(other, BATCHES[0]), sgd=optimizer)
    get_module(other)
    before = get_weights(nlp)
    with nlp.use_params(optimizer.averages):
        assert_same(get_weights(nlp), before)


def test_two_pipelines_can_share_an_optimizer(fresh):
    """The optimizer keeps separate states for their weights."""
    first, second, alone = fresh("bert"), fresh("bert"), fresh("bert")
    for nlp in (first, second, alone):
        add_writer(nlp)
    shared, separate = make_adam(), make_adam()
    for _ in range(2):
        first.update(make_examples(first, BATCHES[0]), sgd=shared)
        second.update(make_examples(second, BATCHES[1]), sgd=shared)
        alone.update(make_examples(alone, BATCHES[0]), sgd=separate)
    assert_near(get_weights(first), get_weights(alone))
