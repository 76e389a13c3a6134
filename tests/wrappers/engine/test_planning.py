"""Subbatches: every input once, the longest first, within a size."""

from __future__ import annotations

from itertools import pairwise

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trf_bridge.settings import TransformerSettings
from trf_bridge.wrappers.engine.planning import (
    MAX_PADDING,
    count_up,
    plan_packed,
    plan_padded,
    plan_tiles,
)

lengths_lists = st.lists(st.integers(0, 60), max_size=40)
limits = st.integers(1, 200)


def padded(lengths, words_per_batch):
    subbatches = plan_padded(numpy.asarray(lengths, dtype="int64"), words_per_batch)
    return [subbatch.indices.tolist() for subbatch in subbatches]


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
    planned = plan_padded(given, words_per_batch, max_padding=0)
    subbatches = [subbatch.indices.tolist() for subbatch in planned]
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


# Tiles


def tiles_of(lengths, words_per_batch, **options):
    """Plan tiles, and check what holds for every plan."""
    subbatches = plan_tiles(numpy.asarray(lengths, dtype="int64"), words_per_batch, **options)
    for each in subbatches:
        own = [lengths[i] for i in each.indices]
        assert len(each.tiles) == len(each.starts) == len(own) > 0
        assert each.size == each.widths.sum()
        assert each.widths.tolist() == sorted(each.widths.tolist(), reverse=True)
        assert set(each.tiles.tolist()) == set(range(len(each.widths)))
        ends = [0] * len(each.widths)
        # One after another without a gap, tile after tile.
        assert each.tiles.tolist() == sorted(each.tiles.tolist())
        for tile, start, n in zip(each.tiles, each.starts, own, strict=True):
            assert start == ends[tile]
            ends[tile] += n
        assert all(end <= width for end, width in zip(ends, each.widths, strict=True))
    return subbatches


@given(
    lengths=lengths_lists,
    words_per_batch=st.integers(0, 200),
    width=st.integers(1, 70),
    even=st.booleans(),
)
def test_tiles_hold_every_input_once(lengths, words_per_batch, width, even):
    subbatches = tiles_of(lengths, words_per_batch, width=width, even=even)
    found = sorted(i for each in subbatches for i in each.indices.tolist())
    assert found == [i for i, n in enumerate(lengths) if n]
    longest = max(lengths, default=0)
    for each in subbatches:
        assert each.widths.max() <= max(width, longest)
        if even:
            assert len(set(each.widths.tolist())) == 1
        elif words_per_batch:
            assert each.size <= words_per_batch or len(each.widths) == 1
    if not words_per_batch:
        assert len(subbatches) == any(lengths)


@given(lengths_lists, limits, st.integers(1, 70))
def test_even_tiles_are_as_wide_as_the_fullest(lengths, words_per_batch, width):
    """And so narrow that no column is free in all of them, and their size is bounded."""
    for each in tiles_of(lengths, words_per_batch, width=width, even=True):
        fills = numpy.zeros(len(each.widths))
        numpy.add.at(fills, each.tiles, [lengths[i] for i in each.indices])
        assert each.widths.tolist() == [fills.max()] * len(fills)
        assert each.size <= words_per_batch or len(fills) == 1


@given(lengths_lists, st.integers(8, 70))
def test_tiles_are_few(lengths, width):
    """Best fit needs no more than 1.7 times as many as there could be, and no two half-empty."""
    subbatches = tiles_of([min(n, width) for n in lengths], 0, width=width)
    for each in subbatches:
        fills = numpy.zeros(len(each.widths))
        numpy.add.at(fills, each.tiles, [min(lengths[i], width) for i in each.indices])
        least = -(-sum(min(n, width) for n in lengths) // width)
        assert len(fills) <= 1.7 * least + 1
        assert (fills <= width / 2).sum() <= 1


@given(lengths_lists, st.integers(0, 200), st.booleans())
def test_rows_and_owners(lengths, words_per_batch, even):
    """Against loops over tiles and columns."""
    for each in tiles_of(lengths, words_per_batch, width=30, even=even):
        own = numpy.asarray([lengths[i] for i in each.indices])
        rows, owners = [], [-1] * each.size
        for i, n in enumerate(own.tolist()):
            before = sum(each.widths[: each.tiles[i]].tolist()) + int(each.starts[i])
            for column in range(n):
                rows.append(before + column)
                owners[before + column] = i
        assert each.rows(own).tolist() == rows
        assert each.owners(each.rows(own), own).tolist() == owners
        assert count_up(own).tolist() == [column for n in own for column in range(n)]


def test_tiles_by_hand():
    """Each input goes where it leaves the least room, the longest first."""

    def plan(lengths, words_per_batch=0, **options):
        return [
            (each.indices.tolist(), each.tiles.tolist(), each.starts.tolist(), each.widths.tolist())
            for each in tiles_of(lengths, words_per_batch, **options)
        ]

    # 40 and 30 open tiles with room for 24 and 34. 22 fits best into the first, 20 into the second.
    assert plan([20, 40, 22, 30]) == [([1, 2, 3, 0], [0, 0, 1, 1], [0, 40, 0, 30], [62 + 2, 50])]
    # 14 are left in the second: 10 and 4 fill it, and the first has room for 2 and none for 3.
    assert plan([20, 40, 22, 30, 10, 4, 2, 3]) == [
        (
            [1, 2, 6, 3, 0, 4, 5, 7],
            [0] * 3 + [1] * 4 + [2],
            [0, 40, 62, 0, 30, 50, 60, 0],
            [64, 64, 3],
        )
    ]
    # Longer inputs have tiles of their own length, which nothing else is put in.
    assert plan([100, 5, 64]) == [([0, 2, 1], [0, 1, 2], [0, 0, 0], [100, 64, 5])]
    # A tile with fewer than 8 free columns keeps them.
    assert [plan([n])[0][3] for n in (56, 57, 63, 64, 65)] == [[56], [64], [64], [64], [65]]
    assert plan([100, 50, 5], 64) == [([0], [0], [0], [100]), ([1, 2], [0, 0], [0, 50], [55])]
    assert plan([20, 20, 20], width=40, even=True) == [([0, 1, 2], [0, 0, 1], [0, 20, 0], [40, 40])]
    assert plan([0, 3, 0]) == [([1], [0], [0], [3])]
    assert plan([]) == plan([0, 0]) == plan([], 5) == []


def test_tiles_of_other_inputs():
    (tiled,) = tiles_of([3, 5], 0)
    other = tiled.of(numpy.asarray([7, 9]))
    assert other.indices.tolist() == [9, 7]
    assert (other.size, other.starts.tolist()) == (tiled.size, tiled.starts.tolist())


@given(lengths_lists, st.integers(0, 200))
def test_padded_size_counts_padding(lengths, words_per_batch):
    for each in plan_padded(numpy.asarray(lengths, dtype="int64"), words_per_batch):
        own = [lengths[i] for i in each.indices]
        assert each.size == len(own) * max(*own, 1)
