"""Subbatches: every input once, the longest first, within a size."""

from __future__ import annotations

from itertools import pairwise

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trf_bridge.settings import TransformerSettings
from trf_bridge.wrappers.engine.planning import MAX_PADDING, plan_packed, plan_padded

lengths_lists = st.lists(st.integers(0, 60), max_size=40)
limits = st.integers(1, 200)


def padded(lengths, words_per_batch):
    subbatches = plan_padded(numpy.asarray(lengths, dtype="int64"), words_per_batch)
    return [subbatch.tolist() for subbatch in subbatches]


@given(lengths_lists, st.integers(0, 200))
def test_every_index_occurs_once(lengths, words_per_batch):
    flat = [i for subbatch in padded(lengths, words_per_batch) for i in subbatch]
    assert sorted(flat) == list(range(len(lengths)))


@given(lengths_lists, limits)
def test_padded_size_is_bounded(lengths, words_per_batch):
    for subbatch in padded(lengths, words_per_batch):
        assert subbatch
        cost = len(subbatch) * max(lengths[i] for i in subbatch)
        assert cost <= words_per_batch or len(subbatch) == 1


@given(lengths_lists, st.integers(0, 200))
def test_without_padding_a_subbatch_has_inputs_of_one_length(lengths, words_per_batch):
    given = numpy.asarray(lengths, dtype="int64")
    subbatches = plan_padded(given, words_per_batch, max_padding=0)
    assert sorted(i for subbatch in subbatches for i in subbatch) == list(range(len(lengths)))
    assert all(len({lengths[i] for i in subbatch}) == 1 for subbatch in subbatches)
    if words_per_batch == 0:
        assert len(subbatches) == len(set(lengths))


@given(lengths_lists, limits)
def test_longest_come_first_and_ties_keep_their_order(lengths, words_per_batch):
    flat = [i for subbatch in padded(lengths, words_per_batch) for i in subbatch]
    assert flat == sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))


@given(lengths_lists, limits)
def test_padding_is_bounded_and_subbatches_are_as_large_as_possible(lengths, words_per_batch):
    subbatches = padded(lengths, words_per_batch)

    def padding(indices):
        return sum(max(lengths[indices[0]], 1) - lengths[i] for i in indices[1:])

    for subbatch in subbatches:
        assert padding(subbatch) <= MAX_PADDING
    for subbatch, following in pairwise(subbatches):
        larger = [*subbatch, following[0]]
        too_large = len(larger) * max(lengths[subbatch[0]], 1) > words_per_batch
        assert too_large or padding(larger) > MAX_PADDING


def packed(lengths, words_per_batch):
    subbatches = plan_packed(numpy.asarray(lengths, dtype="int64"), words_per_batch)
    return [subbatch.tolist() for subbatch in subbatches]


@given(lengths_lists, st.integers(0, 200))
def test_packed_every_index_occurs_once(lengths, words_per_batch):
    subbatches = packed(lengths, words_per_batch)
    assert all(subbatches)
    flat = [i for subbatch in subbatches for i in subbatch]
    assert flat == sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    for subbatch in subbatches:
        size = sum(lengths[i] for i in subbatch)
        assert not words_per_batch or size <= words_per_batch or len(subbatch) == 1


@given(st.integers(1, 300), st.integers(600, 2000), st.integers(0, 99))
def test_packed_subbatches_are_few_and_even(n_inputs, words_per_batch, seed):
    lengths = numpy.random.default_rng(seed).integers(0, 60, n_inputs, endpoint=True).tolist()
    sizes = [sum(lengths[i] for i in subbatch) for subbatch in packed(lengths, words_per_batch)]
    assert len(sizes) <= max(-(-sum(lengths) // (words_per_batch - max(lengths) + 1)), 1)
    assert max(sizes) - min(sizes) <= 4 * max(lengths)


def test_packed_by_hand():
    assert packed([3, 3, 4, 3, 3, 3], 13) == [[2, 0, 1], [3, 4, 5]]
    assert [len(subbatch) for subbatch in packed([1] * 25, 10)] == [9, 8, 8]
    assert packed([8, 8, 8], 10) == packed([8, 8, 8], 5) == [[0], [1], [2]]
    assert packed([30, 2, 2], 10) == [[0], [1, 2]]
    assert packed([3, 9, 1], 0) == [[1, 0, 2]]
    assert packed([], 0) == packed([], 5) == []
    assert packed([0, 0], 0) == packed([0, 0], 5) == [[0, 1]]
    assert packed([5, 0, 5, 0], 5) == [[0], [2, 1, 3]]


def test_zero_is_one_subbatch():
    assert padded([3, 9, 1], 0) == [[1, 0, 2]]
    assert padded([], 0) == padded([], 5) == []


def test_padded_by_hand():
    assert padded([2, 5, 2, 4, 1], 10) == [[1, 3], [0, 2, 4]]


@pytest.mark.parametrize("value", [0, 1, 3000])
def test_valid_sizes_are_accepted(value):
    assert TransformerSettings(words_per_batch=value).words_per_batch == value


@pytest.mark.parametrize(
    ("value", "error"), [(-1, ValueError), (1.0, TypeError), (None, TypeError), (False, TypeError)]
)
def test_other_sizes_are_refused(value, error):
    with pytest.raises(error, match=r"\[TB009\] .*words_per_batch"):
        TransformerSettings(words_per_batch=value)
