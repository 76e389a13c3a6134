"""Subbatches that run side by side, each on its share of torch's threads."""

from __future__ import annotations

import copy
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy
import pytest
import torch
from engines import build_model, engine_of, make_inputs

from trf_bridge.wrappers.engine import Request
from trf_bridge.wrappers.engine.planning import plan_packed
from trf_bridge.wrappers.engine.threads import MIN_ROWS, Streams, count_streams

# Larger than what four streams need to run side by side.
LENGTHS = [30, 9, 64, 1, 17, 5] * 20
WORDS_PER_BATCH = 4 * MIN_ROWS


@pytest.fixture
def four_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def engine(checkpoint):
    return engine_of(build_model(checkpoint("bert"), 140), engine="encoder")


def predict(engine, inputs, words_per_batch=WORDS_PER_BATCH):
    """Return the rows of all inputs, and the threads of torch that each subbatch had."""
    rows = torch.zeros(len(inputs.ids), engine._traits.width)
    for outputs in engine.predict(inputs, words_per_batch, Request()):
        rows[outputs.rows] = outputs.last_hidden_state
    return rows.numpy()


@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize(
    ("words_per_batch", "n_wordpieces", "expected"),
    [
        (0, 100_000, 1),  # one subbatch
        (MIN_ROWS - 1, 100_000, 1),
        (2 * MIN_ROWS, 100_000, 2),
        (3 * MIN_ROWS, 100_000, 2),  # three would leave a thread without work
        (4 * MIN_ROWS, 100_000, 4),
        (40 * MIN_ROWS, 100_000, 4),
        (4 * MIN_ROWS, 4 * MIN_ROWS, 4),
        (4 * MIN_ROWS, 4 * MIN_ROWS - 1, 1),  # few wordpieces: all threads share each product
    ],
)
def test_numbers_of_streams(words_per_batch, n_wordpieces, expected):
    assert count_streams(words_per_batch, n_wordpieces) == expected


@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize("n_streams", [2, 4])
def test_each_stream_has_its_share_of_the_threads(n_streams):
    found = list(Streams().map(lambda _: torch.get_num_threads(), range(20), n_streams))
    assert found == [4 // n_streams] * 20


@pytest.mark.usefixtures("four_threads")
def test_threads_elsewhere_are_unchanged():
    list(Streams().map(abs, range(3), 4))
    assert torch.get_num_threads() == 4
    with ThreadPoolExecutor(1) as other:
        assert other.submit(torch.get_num_threads).result() == 4


def test_results_are_in_order_and_items_run_at_the_same_time():
    together = threading.Barrier(3, timeout=60)

    def run(item):
        together.wait()
        return item

    assert list(Streams().map(run, range(9), 3)) == list(range(9))


def test_one_stream_is_the_calling_thread():
    own = threading.get_ident()
    assert set(Streams().map(lambda _: threading.get_ident(), range(3), 1)) == {own}


def test_few_items_wait_for_the_caller():
    started = []

    def run(item):
        started.append(item)
        return item

    results = Streams().map(run, range(100), 2)
    assert next(results) == 0
    results.close()
    assert len(started) <= 4


def test_errors_reach_the_caller_and_the_streams_go_on():
    streams = Streams()
    with pytest.raises(ZeroDivisionError):
        list(streams.map(lambda item: 1 // item, [1, 0, 1, 1], 2))
    assert list(streams.map(abs, [-1, 1], 2)) == [1, 1]


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))])
def test_copies_start_threads_of_their_own(duplicate):
    streams = Streams()
    list(streams.map(abs, [1], 2))
    copied = duplicate(streams)
    assert copied._executor is None
    assert list(copied.map(abs, [-2], 2)) == [2]


@pytest.mark.usefixtures("four_threads")
def test_the_encoder_computes_the_same_side_by_side(engine, monkeypatch):
    inputs = make_inputs(LENGTHS)
    used = set()
    original = engine._run

    def run(*arguments):
        used.add(threading.get_ident())
        return original(*arguments)

    monkeypatch.setattr(engine, "_run", run)
    side_by_side = predict(engine, inputs)
    assert len(used - {threading.get_ident()}) > 1
    torch.set_num_threads(1)
    used.clear()
    alone = predict(engine, inputs)
    assert used == {threading.get_ident()}
    numpy.testing.assert_allclose(side_by_side, alone, rtol=0, atol=1e-5)


@pytest.mark.usefixtures("four_threads")
def test_many_callers_get_the_same_as_one(engine):
    inputs = make_inputs(LENGTHS)
    expected = predict(engine, inputs)
    with ThreadPoolExecutor(8) as callers:
        for found in callers.map(lambda _: predict(engine, inputs), range(40)):
            assert numpy.array_equal(found, expected)


@pytest.mark.usefixtures("four_threads")
def test_subbatches_that_run_together_are_not_larger_than_a_batch(engine):
    sizes = [each.size for each in engine.plan(numpy.asarray(LENGTHS), WORDS_PER_BATCH)]
    assert len(sizes) % 4 == 0
    assert max(sizes) <= WORDS_PER_BATCH // 4


def test_the_number_of_subbatches_is_a_multiple():
    lengths = numpy.asarray([10] * 50)
    assert len(plan_packed(lengths, 200)) == 3
    sizes = [len(each) for each in plan_packed(lengths, 200, multiple=2)]
    assert len(sizes) == 4
    assert max(sizes) - min(sizes) <= 1
    assert len(plan_packed(lengths[:3], 200, multiple=4)) == 3
