"""The batch between the transformer's update and its backward pass, without a pipeline."""

from __future__ import annotations

import copy
import pickle

import numpy
import pytest
from spacy.tokens import Doc
from spacy.vocab import Vocab
from thinc.api import Adam

from trf_bridge import install_extensions
from trf_bridge.pipes.doc.records import (
    add_gradient,
    close_gradients,
    get_gradient,
    open_gradients,
    set_gradient,
    set_outputs,
)
from trf_bridge.pipes.heads.pending import EarlyStep, PendingBatch, PendingSlot
from trf_bridge.types import Activations

install_extensions()


def make_docs(n=2, attentions=False):
    docs = []
    for _ in range(n):
        doc = Doc(Vocab(), words=["a", "b"])
        arrays = [numpy.ones((2, 2, 3, 3), dtype="f")] if attentions else None
        ones = numpy.ones((3, 4), dtype="f")
        set_outputs(doc, Activations(ones, pooler_output=ones[:1], attentions=arrays))
        docs.append(doc)
    return docs


def make_batch(docs):
    sent = []
    return PendingBatch(docs, sent.append, "trf"), sent


def test_gradients_are_sent_once_and_their_norm_is_returned():
    docs = make_docs(attentions=True)
    batch, sent = make_batch(docs)
    assert not batch.has_gradient()
    add_gradient(docs[1], "last_hidden_state", 2.0)
    add_gradient(docs[0], "pooler_output", 1.0)
    get_gradient(docs[0], "attentions")[0] += 1.0
    assert batch.has_gradient()
    norm = batch.carry_out()
    ((first, second),) = sent
    assert first.last_hidden_state is None
    assert (first.pooler_output == 1).all()
    assert (first.attentions[0] == 1).all()
    assert (second.last_hidden_state == 2).all()
    assert second.pooler_output is None
    assert second.attentions is None
    assert norm == pytest.approx((12 * 4 + 4 + 36) ** 0.5)


def test_zero_gradients_run_no_backward_pass():
    docs = make_docs()
    batch, sent = make_batch(docs)
    add_gradient(docs[0], "last_hidden_state", 0.0)
    assert not batch.has_gradient()
    assert batch.carry_out() == 0.0
    assert sent == []


@pytest.mark.parametrize("value", [numpy.nan, numpy.inf])
def test_gradients_that_are_not_finite_are_rejected(value):
    docs = make_docs()
    batch, sent = make_batch(docs)
    add_gradient(docs[0], "pooler_output", 1.0)
    get_gradient(docs[1], "last_hidden_state")[2, 3] = value
    assert batch.has_gradient()
    with pytest.raises(ValueError, match=r"TB023.*trf_d_last_hidden_state"):
        batch.carry_out()
    assert sent == []


def test_large_gradients_are_not_mistaken_for_infinite():
    """In float32, the square of 1e20 is infinite."""
    docs = make_docs(1)
    batch, sent = make_batch(docs)
    add_gradient(docs[0], "last_hidden_state", 1e20)
    assert batch.carry_out() == pytest.approx(12**0.5 * 1e20, rel=1e-5)
    assert len(sent) == 1


def test_small_gradients_are_not_mistaken_for_zero():
    """In float32, the square of 1e-30 is zero."""
    docs = make_docs(1)
    batch, sent = make_batch(docs)
    add_gradient(docs[0], "last_hidden_state", 1e-30)
    assert batch.has_gradient()
    assert batch.carry_out()
    assert len(sent) == 1


def test_gradients_are_closed_after_use():
    docs = make_docs()
    batch, _ = make_batch(docs)
    add_gradient(docs[0], "last_hidden_state", 1.0)
    held = docs[1]._.trf_d_last_hidden_state
    assert not batch.closed
    batch.carry_out()
    assert batch.closed
    with pytest.raises(ValueError, match="TB024"):
        add_gradient(docs[0], "last_hidden_state", 1.0)
    with pytest.raises(ValueError, match="read-only"):  # raised by numpy
        held += 1.0


def test_gradients_are_writable_until_the_backward_pass_ends():
    """torch 2.6 cannot import read-only arrays. An error closes the gradients, too."""
    docs = make_docs()
    writable = []

    def fail(gradients):
        writable.extend(g.last_hidden_state.flags.writeable for g in gradients)
        raise RuntimeError("out of memory")

    batch = PendingBatch(docs, fail, "trf")
    for doc in docs:
        add_gradient(doc, "last_hidden_state", 1.0)
    with pytest.raises(RuntimeError, match="out of memory"):
        batch.carry_out()
    assert writable == [True, True]
    assert batch.closed
    assert not any(doc._.trf_d_last_hidden_state.flags.writeable for doc in docs)


@pytest.mark.parametrize("output", ["last_hidden_state", "pooler_output"])
def test_closed_gradients_cannot_be_set_for_any_output(output):
    """This includes outputs whose gradient did not exist at the backward pass."""
    docs = make_docs()
    batch, _ = make_batch(docs)
    batch.carry_out()
    ones = numpy.ones_like(getattr(docs[0]._, f"trf_{output}"))
    with pytest.raises(ValueError, match="TB024"):
        add_gradient(docs[0], output, ones)
    with pytest.raises(ValueError, match="TB024"):
        setattr(docs[0]._, f"trf_d_{output}", ones)
    with pytest.raises(ValueError, match="TB024"):
        setattr(docs[0][0:1]._, f"trf_d_{output}", ones)


class DeviceArray:
    """An array like cupy's, which has `+=` but cannot be made read-only."""

    def __init__(self, values):
        self.values = values

    def __iadd__(self, other):
        self.values = self.values + other
        return self


def test_closed_gradients_cannot_be_changed_without_setflags():
    (doc,) = make_docs(1)
    open_gradients(doc, 0)
    gradient = DeviceArray(numpy.zeros((3, 4)))
    assert not hasattr(gradient, "setflags")
    set_gradient(doc, "last_hidden_state", gradient)
    add_gradient(doc, "last_hidden_state", 1.0)
    assert gradient.values.all()
    close_gradients(doc)
    with pytest.raises(ValueError, match=r"\[TB024\] .*doc\._\.trf_d_last_hidden_state"):
        add_gradient(doc, "last_hidden_state", 1.0)
    assert (gradient.values == 1.0).all()
    open_gradients(doc, 0)  # another update of the same Doc
    add_gradient(doc, "last_hidden_state", 2.0)
    assert (doc._.trf_d_last_hidden_state == 2.0).all()


def test_batch_holds_its_docs_and_subsets_of_them():
    docs, others = make_docs(3), make_docs(1)
    batch, _ = make_batch(docs)
    assert batch.holds(docs)
    assert batch.holds(docs[1:2])
    assert not batch.holds([*docs, *others])
    assert not batch.holds([docs[0].copy()])


def test_receiver_of_a_copy_is_the_original_doc():
    docs = make_docs(3)
    batch, _ = make_batch(docs)
    for doc in docs:
        assert batch.receiver(doc) is doc
        assert batch.receiver(doc.copy()) is doc
        assert batch.receiver(doc.copy().copy()) is doc
    other = make_docs(1)[0]
    assert batch.receiver(other) is other
    part = docs[0][0:1].as_doc()
    assert batch.receiver(part) is part
    copied = docs[0].copy()
    batch.carry_out()
    assert batch.receiver(copied.copy()) is docs[0]
    assert docs[0].user_data.keys() == make_docs(1)[0].user_data.keys() | {
        key for key in docs[0].user_data if key[1] in ("trf_d_outputs", "trf_closed")
    }


def test_copies_of_a_slot_are_empty_and_shared():
    slot = PendingSlot()
    slot.batch, _ = make_batch(make_docs())
    for first, second in (copy.deepcopy([slot, slot]), pickle.loads(pickle.dumps([slot, slot]))):
        assert first is second
        assert first is not slot
        assert first.batch is None


def test_early_step_uses_its_own_rates_and_restores_the_later_ones():
    optimizer = Adam([0.1, 0.2], L2=[0.01, 0.02], beta1=[0.5, 0.6], grad_clip=[1.0, 2.0])
    early = EarlyStep(optimizer)
    optimizer.step_schedules()
    seen = []

    def finish(o):
        seen.append((o.learn_rate, o.L2, o.b1, o.grad_clip))
        assert o is optimizer

    early.run(finish)
    assert seen == [(0.1, 0.01, 0.5, 1.0)]
    rates = optimizer.learn_rate, optimizer.L2, optimizer.b1, optimizer.grad_clip
    assert rates == (0.2, 0.02, 0.6, 2.0)


def test_early_step_restores_the_rates_if_it_fails():
    optimizer = Adam([0.1, 0.2])
    early = EarlyStep(optimizer)
    optimizer.step_schedules()

    def fail(o):
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        early.run(fail)
    assert optimizer.learn_rate == 0.2
