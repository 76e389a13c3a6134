"""A batch between the transformer's update and the use of its gradient, by itself."""

from __future__ import annotations

import copy
import pickle

import numpy
import pytest
from spacy.tokens import Doc
from spacy.vocab import Vocab
from thinc.api import Adam

from trf_bridge.pipes.doc.records import add_gradient, get_gradient, set_outputs
from trf_bridge.pipes.heads.pending import EarlyStep, PendingBatch
from trf_bridge.types import Activations


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
    sent, losses = [], {}
    return PendingBatch(docs, sent.append, losses, "trf"), sent, losses


def test_gradients_are_sent_once_and_the_loss_is_their_norm():
    docs = make_docs(attentions=True)
    batch, sent, losses = make_batch(docs)
    assert not batch.has_gradient()
    add_gradient(docs[1], "last_hidden_state", 2.0)
    add_gradient(docs[0], "pooler_output", 1.0)
    get_gradient(docs[0], "attentions")[0] += 1.0
    assert batch.has_gradient()
    assert batch.carry_out()
    ((first, second),) = sent
    assert first.last_hidden_state is None
    assert (first.pooler_output == 1).all()
    assert (first.attentions[0] == 1).all()
    assert (second.last_hidden_state == 2).all()
    assert second.pooler_output is None
    assert second.attentions is None
    assert losses["trf"] == pytest.approx((12 * 4 + 4 + 36) ** 0.5)


def test_zeros_are_not_worth_a_backward_pass():
    docs = make_docs()
    batch, sent, losses = make_batch(docs)
    add_gradient(docs[0], "last_hidden_state", 0.0)
    assert not batch.has_gradient()
    assert not batch.carry_out()
    assert sent == []
    assert losses["trf"] == 0.0


def test_losses_add_up():
    docs = make_docs(1)
    batch, _, losses = make_batch(docs)
    losses["trf"] = 5.0
    add_gradient(docs[0], "pooler_output", 1.5)
    batch.carry_out()
    assert losses["trf"] == pytest.approx(8.0)


@pytest.mark.parametrize("value", [numpy.nan, numpy.inf])
def test_what_is_not_finite_is_not_sent(value):
    docs = make_docs()
    batch, sent, _ = make_batch(docs)
    add_gradient(docs[0], "pooler_output", 1.0)
    get_gradient(docs[1], "last_hidden_state")[2, 3] = value
    assert batch.has_gradient()
    with pytest.raises(ValueError, match=r"TB023.*trf_d_last_hidden_state"):
        batch.carry_out()
    assert sent == []


def test_large_gradients_are_not_taken_for_infinite():
    """The square of 1e20 is, in float32."""
    docs = make_docs(1)
    batch, sent, losses = make_batch(docs)
    add_gradient(docs[0], "last_hidden_state", 1e20)
    assert batch.carry_out()
    assert len(sent) == 1
    assert losses["trf"] == pytest.approx(12**0.5 * 1e20, rel=1e-5)


def test_small_gradients_are_not_taken_for_none():
    """The square of 1e-30 is, in float32."""
    docs = make_docs(1)
    batch, sent, _ = make_batch(docs)
    add_gradient(docs[0], "last_hidden_state", 1e-30)
    assert batch.has_gradient()
    assert batch.carry_out()
    assert len(sent) == 1


def test_gradients_are_closed_after_use():
    docs = make_docs()
    batch, _, _ = make_batch(docs)
    add_gradient(docs[0], "last_hidden_state", 1.0)
    batch.carry_out()
    with pytest.raises(ValueError, match="TB024"):
        add_gradient(docs[0], "last_hidden_state", 1.0)
    with pytest.raises(ValueError, match="read-only"):
        docs[0]._.trf_d_last_hidden_state += 1.0


def test_a_batch_holds_its_docs_and_parts_of_them():
    docs, others = make_docs(3), make_docs(1)
    batch, _, _ = make_batch(docs)
    assert batch.holds(docs)
    assert batch.holds(docs[1:2])
    assert not batch.holds([*docs, *others])
    assert not batch.holds([docs[0].copy()])


def test_copies_of_its_docs_are_known():
    docs = make_docs(3)
    batch, _, _ = make_batch(docs)
    for doc in docs:
        assert batch.receiver(doc) is doc
        assert batch.receiver(doc.copy()) is doc
        assert batch.receiver(doc.copy().copy()) is doc
    stranger = make_docs(1)[0]
    assert batch.receiver(stranger) is stranger
    part = docs[0][0:1].as_doc()
    assert batch.receiver(part) is part
    copied = docs[0].copy()
    batch.carry_out()
    assert batch.receiver(copied.copy()) is docs[0]
    assert docs[0].user_data.keys() == make_docs(1)[0].user_data.keys() | {
        key for key in docs[0].user_data if key[1] == "trf_d_outputs"
    }


def test_a_graph_is_not_copied_and_not_pickled():
    batch, _, _ = make_batch(make_docs())
    assert copy.deepcopy(batch) is None
    assert pickle.loads(pickle.dumps(batch)) is None


def test_early_step_uses_the_rates_of_its_time_and_puts_the_later_ones_back():
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


def test_early_step_puts_the_rates_back_when_it_fails():
    optimizer = Adam([0.1, 0.2])
    early = EarlyStep(optimizer)
    optimizer.step_schedules()

    def fail(o):
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        early.run(fail)
    assert optimizer.learn_rate == 0.2
