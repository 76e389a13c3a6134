"""Which inputs run together: sorted by length, in subbatches of bounded size."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy

from ...types import Array

# Columns of a tile. Attention takes longer in wider tiles, and narrower ones cannot be filled as
# well.
TILE_WIDTH = 64

# A tile with fewer free columns keeps them, so that most tiles attend in one call.
FREE_COLUMNS = 8

# A subbatch ends before its padding would cost more than another run of the model: on two cores, a
# run of a small model takes as long as some dozens of wordpieces.
MAX_PADDING = 64


@dataclass(frozen=True)
class Subbatch:
    """Inputs that run together.

    indices (int64, (n,)): Which inputs.
    size (int): Wordpieces that the model computes for them, padding included.
    """

    indices: Array
    size: int


@dataclass(frozen=True)
class TiledSubbatch(Subbatch):
    """Inputs that run together, several in a tile: one after another in a row of wordpieces.

    indices (int64, (n,)): Which inputs, tile after tile.
    tiles (int64, (n,)): The tile of each input.
    starts (int64, (n,)): The column at which each input starts in its tile.
    widths (int64, (n_tiles,)): Columns of each tile, the widest first.
    """

    tiles: Array
    starts: Array
    widths: Array

    def of(self, inputs: Array) -> TiledSubbatch:
        """Return the subbatch with the indices among other inputs.

        inputs (int64, (n_inputs,)): The index of each input that the subbatches were planned for.
        RETURNS (TiledSubbatch): The same tiles.
        """
        return replace(self, indices=inputs[self.indices])

    def rows(self, lengths: Array) -> Array:
        """Find the row of each wordpiece, counted over the columns of all tiles.

        lengths (int64, (n,)): Wordpieces of each input of the subbatch.
        RETURNS (int64, (n_wordpieces,)): The rows, input after input.
        """
        first = (numpy.cumsum(self.widths) - self.widths)[self.tiles] + self.starts
        return numpy.repeat(first, lengths) + count_up(lengths)

    def owners(self, rows: Array, lengths: Array) -> Array:
        """Find the input that each row belongs to.

        rows (int64, (n_wordpieces,)): The row of each wordpiece.
        lengths (int64, (n,)): Wordpieces of each input of the subbatch.
        RETURNS (int64, (size,)): Its input, counted in the subbatch; -1 for padding.
        """
        owners = numpy.full(self.size, -1)
        owners[rows] = numpy.repeat(numpy.arange(len(lengths)), lengths)
        return owners


def count_up(lengths: Array) -> Array:
    """Count the wordpieces of each input from 0.

    lengths (int64, (n,)): Wordpieces of each input.
    RETURNS (int64, (n_wordpieces,)): The numbers, input after input.
    """
    starts = numpy.cumsum(lengths) - lengths
    numbers: Array = numpy.arange(lengths.sum()) - numpy.repeat(starts, lengths)
    return numbers


def count_positions(ids: Array, lengths: Array, first_position: int) -> Array:
    """Find the position of each wordpiece.

    Models whose positions start after a padding index p, such as RoBERTa, give this position to
    wordpieces with the id p, which can be part of a text, and leave them out when they count.

    ids (int64, (n_wordpieces,)): Wordpiece ids, input after input.
    lengths (int64, (n_inputs,)): Wordpieces of each input, at least 1.
    first_position (int): Position of the first wordpiece of an input.
    RETURNS (int64, (n_wordpieces,)): The positions.
    """
    padding = first_position - 1
    positions = count_up(lengths) + first_position
    is_padding = ids == padding
    if padding < 0 or not is_padding.any():
        return positions
    n_before = numpy.cumsum(is_padding) - is_padding
    starts = numpy.cumsum(lengths) - lengths
    positions -= n_before - numpy.repeat(n_before[starts], lengths)
    return numpy.where(is_padding, padding, positions)


def plan_tiles(
    lengths: Array,
    words_per_batch: int,
    *,
    width: int = TILE_WIDTH,
    even: bool = False,
    multiple: int = 1,
) -> list[TiledSubbatch]:
    """Pack inputs into tiles, best fit and the longest first, and tiles into subbatches.

    An input that is longer than a tile has a tile of its own length.

    lengths (int64, (n_inputs,)): Wordpieces of each input.
    words_per_batch (int): The maximum size of a subbatch, padding included; a longer input runs
        alone. 0 for one subbatch.
    width (int): Columns of a tile, at the most.
    even (bool): Whether the tiles of a subbatch are equally wide.
    multiple (int): The number of subbatches is a multiple of it where the tiles allow it; not with
        `even`.
    RETURNS (list of TiledSubbatch): The subbatches. Every input that has wordpieces is in one.
    """
    width = min(width, words_per_batch or width)
    order = numpy.argsort(-lengths, kind="stable")
    order = order[lengths[order] > 0]
    tiles, starts = _pack(lengths[order].tolist(), width)
    fills = numpy.zeros(tiles.max(initial=-1) + 1, dtype="int64")
    numpy.maximum.at(fills, tiles, starts + lengths[order])
    if even:
        planned = [each.indices for each in plan_padded(fills, words_per_batch)]
        widths = fills.copy()
        for chosen in planned:
            widths[chosen] = fills[chosen].max()
    else:
        nearly_filled = (fills > width - FREE_COLUMNS) & (fills < width)
        widths = numpy.where(nearly_filled, width, fills)
        planned = plan_packed(widths, words_per_batch, multiple=multiple)
    return [_make_tiles(chosen, order, tiles, starts, widths) for chosen in planned]


def _make_tiles(
    chosen: Array, order: Array, tiles: Array, starts: Array, widths: Array
) -> TiledSubbatch:
    """Build a subbatch of some tiles.

    chosen (int64, (n_chosen,)): The tiles.
    order (int64, (n_inputs,)): The index of each input.
    tiles, starts (int64, (n_inputs,)): The tile of each, and the column at which it starts.
    widths (int64, (n_tiles,)): Columns of each tile.
    RETURNS (TiledSubbatch): The subbatch.
    """
    places = numpy.full(len(widths), -1)
    places[chosen] = numpy.arange(len(chosen))
    inside = numpy.flatnonzero(places[tiles] >= 0)
    inside = inside[numpy.lexsort((starts[inside], places[tiles[inside]]))]
    return TiledSubbatch(
        indices=order[inside],
        size=int(widths[chosen].sum()),
        tiles=places[tiles[inside]],
        starts=starts[inside],
        widths=widths[chosen],
    )


def _pack(lengths: list[int], width: int) -> tuple[Array, Array]:
    """Pack inputs into tiles: each goes where it leaves the least room.

    lengths (list of int, (n_inputs,)): Wordpieces of each input, the longest first.
    width (int): Columns of a tile; a longer input has a tile of its own length.
    RETURNS (tuple of int64, (n_inputs,)): The tile of each input, and the column at which it
        starts.
    """
    # The tiles that have room for a number of wordpieces, and these numbers as bits, of which the
    # lowest from the length on is the best fit.
    tiles_by_room: list[list[int]] = [[] for _ in range(width + 1)]
    rooms = n_tiles = 0
    tiles, starts = [], []
    for length in lengths:
        fitting = rooms >> length
        if fitting:
            room = length + (fitting & -fitting).bit_length() - 1
            tile = tiles_by_room[room].pop()
            if not tiles_by_room[room]:
                rooms ^= 1 << room
        else:
            tile, room = n_tiles, max(length, width)
            n_tiles += 1
        tiles.append(tile)
        starts.append(max(length, width) - room)
        if room - length > 0:
            tiles_by_room[room - length].append(tile)
            rooms |= 1 << (room - length)
    return numpy.asarray(tiles, dtype="int64"), numpy.asarray(starts, dtype="int64")


def plan_padded(
    lengths: Array, words_per_batch: int, *, max_padding: float = MAX_PADDING
) -> list[Subbatch]:
    """Group inputs of similar length into subbatches to be padded, the longest first.

    The cost of a subbatch is its padded size: the number of its inputs times the length of the
    longest. Inputs of equal length keep their order. The longest inputs come first, so a lack of
    memory shows at once.

    lengths (int, (n_inputs,)): Wordpieces of each input.
    words_per_batch (int): The maximum padded size of a subbatch; a longer input runs alone. 0 for
        one subbatch.
    max_padding (float): The maximum padding of a subbatch, in wordpieces; 0 to group inputs of
        equal length only.
    RETURNS (list of Subbatch): The subbatches. Every input is in one of them.
    """
    order = numpy.argsort(-numpy.asarray(lengths), kind="stable")
    if not order.size:
        return []
    # Inputs without wordpieces count as one column of padding: not all models can do without.
    max_cells = words_per_batch or math.inf
    limit = max_padding if words_per_batch or not max_padding else math.inf
    subbatches = []
    start = longest = padding = 0
    for end, length in enumerate(lengths[order].tolist()):
        padding += longest - length
        full = (end - start + 1) * max(longest, 1) > max_cells or padding > limit
        if end == start or full:
            if end > start:
                subbatches.append(Subbatch(order[start:end], (end - start) * max(longest, 1)))
            start, longest, padding = end, length, 0
    subbatches.append(Subbatch(order[start:], (len(order) - start) * max(longest, 1)))
    return subbatches


def plan_packed(lengths: Array, words_per_batch: int, *, multiple: int = 1) -> list[Array]:
    """Group inputs into few subbatches of even size that need no padding, the longest first.

    Consecutive batches of similar size then have subbatches of similar size, so memory and compiled
    kernels are reused.

    lengths (int, (n_inputs,)): Wordpieces of each input.
    words_per_batch (int): The maximum size of a subbatch in wordpieces; a longer input runs alone.
        0 for one subbatch.
    multiple (int): The number of subbatches is a multiple of it where the inputs allow it.
    RETURNS (list of int64): Indices of the inputs of each subbatch. Every input is in one of them.
    """
    order = numpy.argsort(-numpy.asarray(lengths), kind="stable")
    ends = numpy.cumsum(lengths[order])
    subbatches: list[Array] = []
    start = taken = 0
    while start < len(order):
        left = int(ends[-1]) - taken
        # A subbatch ends with the input that reaches the even size, so that size must leave room
        # for the longest input.
        most = max(words_per_batch - int(lengths[order[start]]) + 1, 1) if words_per_batch else left
        n_subbatches = len(subbatches) + (math.ceil(left / most) if left else 1)
        n_subbatches = math.ceil(n_subbatches / multiple) * multiple
        even = left / (n_subbatches - len(subbatches))
        taken = int(ends[numpy.searchsorted(ends, taken + even)])
        # Inputs without wordpieces come last and join the last subbatch.
        end = int(numpy.searchsorted(ends, taken, side="right"))
        subbatches.append(order[start:end])
        start = end
    return subbatches
