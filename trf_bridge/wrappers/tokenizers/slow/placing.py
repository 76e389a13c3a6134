"""Offsets for tokenizers that give none: where in the text each of their wordpieces stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

import numpy

from ....types import Array
from .folding import SPACE, UNKNOWN, Surface, fold_surfaces, fold_text
from .matching import Block, find_between, find_blocks
from .words import find_chunks, find_words, without_controls, word_starts

__all__ = ["Cut", "Placement", "Surface", "place_pieces"]

Cut: TypeAlias = Callable[[str], Sequence[str]]

GAP = "\0"  # never among hard characters
CREDIBLE = 0.5  # the share of characters that must agree, else what agrees does so by chance
SHORT = 16  # characters within which a wordpiece can't be far from its place


class Placement(NamedTuple):
    """Where wordpieces stand.

    offsets (int32, (n_wp, 2)): Character start and end of each. Starts and ends never fall.
    exact (bool, (n_wp,)): Whether the text left only one place for it.
    """

    offsets: Array
    exact: Array


class _Region(NamedTuple):
    """A part of the text and the wordpieces that stand for it: characters, then pieces."""

    start: int
    end: int
    first: int
    last: int


def place_pieces(
    text: str, pieces: Sequence[str], surfaces: Sequence[Surface], *, cut: Cut | None = None
) -> Placement:
    """Find the characters that each wordpiece stands for.

    Both sides are folded to one form. Where that makes them the same, every wordpiece has its
    place. Where it doesn't, the text is cut again chunk by chunk, which shows the wordpieces of
    most chunks; in what is left, whatever stands between two neighbours that were found belongs to
    what stands between them. The time is linear in the length of the text.

    text (str): The text.
    pieces (sequence of str, (n_wp,)): Its wordpieces, as the tokenizer writes them.
    surfaces (sequence of str, bytes or None, (n_wp,)): What each shows of the text: characters
        without marks such as `##`, bytes of UTF-8, or None for an unknown piece.
    cut (callable): The tokenizer, from a part of the text to its wordpieces; None to do without.
    RETURNS (Placement): Their offsets.
    """
    placer = _Placer(text, surfaces)
    if not placer.match_all():
        names = {piece for piece, shown in zip(pieces, surfaces, strict=True) if shown is None}
        placer.match_regions(list(_find_regions(text, pieces, find_chunks(text, names), cut)))
    return placer.finish()


class _Placer:
    def __init__(self, text: str, surfaces: Sequence[Surface]) -> None:
        self.text = text
        self.n_pieces = len(surfaces)
        self.source = fold_text(text)
        self.shown = fold_surfaces(surfaces)
        self.match = numpy.full(len(self.shown.codes), -1, dtype="int64")
        self.starts = numpy.full(self.n_pieces, len(text), dtype="int64")
        self.ends = numpy.full(self.n_pieces, -1, dtype="int64")
        self.exact = numpy.ones(self.n_pieces, dtype="bool")
        self.regions = [_Region(0, len(text), 0, self.n_pieces)]
        # Wordpieces between unknown ones that could stand in more than one place of a region.
        self.ambiguous: list[tuple[_Region, Array]] = []

    def match_all(self) -> bool:
        """Match everything at once, if the folded forms are the same."""
        source, shown = self.source, self.shown
        for left, right in ((~source.space, ~shown.space), (source.hard, shown.hard)):
            if numpy.array_equal(source.codes[left], shown.codes[right]):
                self.match[right] = numpy.flatnonzero(left)
                return True
        return False

    def match_regions(self, regions: list[_Region]) -> None:
        """Match what no tokenizer drops, part by part of the text."""
        self.regions = regions
        bounds = numpy.asarray(regions, dtype="int64")
        left, right = numpy.flatnonzero(self.source.hard), numpy.flatnonzero(self.shown.hard)
        lefts = numpy.searchsorted(self.source.first[left], bounds[:, :2]).tolist()
        rights = numpy.searchsorted(self.shown.first[right], bounds[:, 2:]).tolist()
        codes, others = self.source.codes[left], self.shown.codes[right]
        for region, (start, end), (low, high) in zip(regions, lefts, rights, strict=True):
            if codes[start:end].tobytes() == others[low:high].tobytes():
                self.match[right[low:high]] = left[start:end]
                continue
            one, two = _as_string(codes[start:end]), _as_string(others[low:high])
            for block in self._find_blocks(left[start:end], one, two, region):
                rows = right[low + block.other : low + block.other + block.size]
                self.match[rows] = left[start + block.start : start + block.start + block.size]
                run = one[block.start : block.start + block.size]
                if GAP in two and one.find(run, one.find(run) + 1) >= 0:
                    self.ambiguous.append((region, self.shown.first[rows]))

    def _find_blocks(self, left: Array, one: str, two: str, region: _Region) -> list[Block]:
        if GAP in two:
            words = word_starts(self.text, self.source.first[left].tolist())
            blocks = (
                find_between(one, two, GAP, starts=words)
                or find_between(one, two, GAP)
                or find_between(one, two, GAP, least=0)  # accents alone are not hard characters
            )
            if blocks is not None:
                return blocks
        blocks = find_blocks(one, two)
        n_same = sum(block.size for block in blocks)
        length = max(len(one), len(two))
        if GAP in two or (length > SHORT and n_same < CREDIBLE * length):
            self.exact[region.first : region.last] = False
        return blocks

    def finish(self) -> Placement:
        """Place what was matched, then what stands between."""
        self._place_matches(numpy.flatnonzero(self.match >= 0))
        borders = [region.first for region in self.regions]
        region_of = numpy.searchsorted(borders, self.shown.first, side="right") - 1
        limits = numpy.searchsorted(region_of, numpy.arange(len(self.regions) + 1)).tolist()
        for low, high in _true_runs(self.match < 0, region_of):
            at = int(region_of[low])
            self._fill(low, high, (limits[at], limits[at + 1]), self.regions[at])
        for region, pieces in self.ambiguous:
            # Where the unknown pieces fit, so does what stands between them.
            if not self.exact[region.first : region.last].all():
                self.exact[pieces] = False
        self._place_empty()
        return Placement(_straighten(self.starts, self.ends), self.exact)

    def _place_matches(self, rows: Array) -> None:
        owners = self.source.first[self.match[rows]]
        first, last = self.shown.first[rows], self.shown.last[rows]
        for step in range(int((last - first).max(initial=0)) + 1):
            pieces = numpy.minimum(first + step, last)
            numpy.minimum.at(self.starts, pieces, owners)
            numpy.maximum.at(self.ends, pieces, owners + 1)

    def _fill(self, low: int, high: int, limits: tuple[int, int], region: _Region) -> None:
        """Place a run of characters of which none was matched."""
        source, shown, match = self.source, self.shown, self.match
        # What stands between the neighbours: characters of the stream, and of the text.
        before = int(match[low - 1]) if low > limits[0] else -1
        after = int(match[high]) if high < limits[1] else -1
        start = int(source.first[before]) + 1 if before >= 0 else region.start
        end = int(source.first[after]) if after >= 0 else region.end
        if start > end:  # both are parts of the same character
            start, end = end, start
        stream_start = before + 1 if before >= 0 else numpy.searchsorted(source.first, start)
        stream_end = after if after >= 0 else numpy.searchsorted(source.first, end)
        between = numpy.arange(stream_start, stream_end)
        rows = numpy.arange(low, high)
        if self._match_soft(between[~source.hard[between]], rows[~shown.hard[rows]]):
            for first, last in _true_runs(match[rows] < 0, numpy.zeros_like(rows)):
                self._fill(low + first, low + last, limits, region)
            return
        self._spread(rows[shown.hard[rows]], between[source.hard[between]], (start, end))
        self._settle_soft(rows[~shown.hard[rows]], start)

    def _match_soft(self, left: Array, right: Array) -> bool:
        """Match what was kept though it might have been dropped; say whether there was any."""
        if not left.size or not right.size:
            return False
        one, two = _as_string(self.source.codes[left]), _as_string(self.shown.codes[right])
        blocks = find_blocks(one, two)
        for block in blocks:
            rows = right[block.other : block.other + block.size]
            self.match[rows] = left[block.start : block.start + block.size]
            self._place_matches(rows)
        return bool(blocks)

    def _spread(self, rows: Array, between: Array, span: tuple[int, int]) -> None:
        """Give the characters between two neighbours to the wordpieces between them."""
        if not rows.size:
            return
        pieces = numpy.unique([self.shown.first[rows], self.shown.last[rows]]).tolist()
        unknown = bool((self.shown.codes[rows] == UNKNOWN).all())
        start, end = _trim(self.text, *span)
        if start < end:
            spans: list[tuple[int, int]] = []
            if len(pieces) == 1:
                spans = [(start, end)]
            elif unknown:
                spans = find_words(self.text, start, end, len(pieces))
            if unknown:
                spans = [without_controls(self.text, *place) for place in spans]
            if spans:
                self._place(pieces, spans)
                return
            if len(rows) == len(between):
                self.match[rows] = between
                self._place_matches(rows)
                return
        self._guess(rows, start, end)

    def _guess(self, rows: Array, start: int, end: int) -> None:
        """Divide a span evenly, for want of anything better; an empty one is widened."""
        if start == end:
            start = min(max(start - 1, 0), max(len(self.text) - 1, 0))
            end = min(start + 1, len(self.text))
        width = end - start
        for i, row in enumerate(rows.tolist()):
            first = start + i * width // len(rows)
            last = max(start + (i + 1) * width // len(rows), min(first + 1, end))
            pieces = range(int(self.shown.first[row]), int(self.shown.last[row]) + 1)
            loose = [piece for piece in pieces if self.ends[piece] < 0 or not self.exact[piece]]
            self.exact[loose] = False
            self._place(loose, [(first, last)] * len(loose))

    def _settle_soft(self, rows: Array, start: int) -> None:
        """Place what would be dropped in passing, and was kept, and has no match."""
        for row in rows.tolist():
            piece = int(self.shown.first[row])
            if self.ends[piece] >= 0:
                continue
            if self.shown.codes[row] == SPACE:
                # Put in by the tokenizer, in front of what follows or in its place.
                self._place([piece], [(start, min(start + 1, len(self.text)))])
            else:
                self._guess(numpy.asarray([row]), start, start)

    def _place(self, pieces: Sequence[int], spans: Sequence[tuple[int, int]]) -> None:
        for piece, (start, end) in zip(pieces, spans, strict=True):
            self.starts[piece] = min(int(self.starts[piece]), start)
            self.ends[piece] = max(int(self.ends[piece]), end)

    def _place_empty(self) -> None:
        """Put wordpieces that show nothing at the end of the one before."""
        end = 0
        for piece in range(self.n_pieces):
            if self.ends[piece] < 0:
                self.starts[piece] = self.ends[piece] = end
            end = max(end, int(self.ends[piece]))


def _find_regions(
    text: str, pieces: Sequence[str], ends: Sequence[int], cut: Cut | None
) -> Iterator[_Region]:
    """Cut the text again, chunk by chunk, and see which wordpieces come back."""
    if cut is None or len(ends) < 2:
        yield _Region(0, len(text), 0, len(pieces))
        return
    known: dict[str, Sequence[str]] = {}
    again: list[str] = []
    borders = [0]  # where each chunk begins in `again`
    start = 0
    for end in ends:
        chunk = text[start:end]
        if chunk not in known:
            known[chunk] = cut(chunk)
        again.extend(known[chunk])
        borders.append(len(again))
        start = end
    # A border is where it was if the wordpieces on both sides of it came back.
    places = {0: 0, len(again): len(pieces)}
    for block in find_blocks(list(pieces), again):
        places.update((block.other + i, block.start + i) for i in range(1, block.size))
    start = first = 0
    for end, border in zip(ends, borders[1:], strict=True):
        if end == len(text) or (border in places and border < len(again)):
            last = places[border]
            yield _Region(start, end, first, last)
            start, first = end, last


def _straighten(starts: Array, ends: Array) -> Array:
    """Let starts and ends never fall, without emptying a span."""
    empty = starts == ends
    limits = numpy.where(empty, numpy.iinfo("int32").max, starts)[::-1]
    places = numpy.minimum(starts, numpy.minimum.accumulate(limits)[::-1])
    starts = numpy.maximum.accumulate(numpy.where(empty, places, starts))
    ends = numpy.maximum.accumulate(numpy.where(empty, places, ends))
    offsets: Array = numpy.stack([starts, numpy.maximum(starts, ends)], axis=1).astype("int32")
    return offsets


def _as_string(codes: Array) -> str:
    codes = numpy.where(codes == UNKNOWN, ord(GAP), codes).astype("<u4")
    string: str = codes.tobytes().decode("utf-32-le", "surrogatepass")
    return string


def _true_runs(flags: Array, groups: Array) -> list[tuple[int, int]]:
    """Start and end of each run of true values within one group."""
    rows = numpy.flatnonzero(flags)
    if not rows.size:
        return []
    breaks = numpy.flatnonzero((numpy.diff(rows) > 1) | (numpy.diff(groups[rows]) != 0)) + 1
    firsts = numpy.concatenate([rows[:1], rows[breaks]])
    lasts = numpy.concatenate([rows[breaks - 1], rows[-1:]])
    return list(zip(firsts.tolist(), (lasts + 1).tolist(), strict=True))


def _trim(text: str, start: int, end: int) -> tuple[int, int]:
    inside = text[start:end]
    left = start + len(inside) - len(inside.lstrip())
    return left, max(left, end - len(inside) + len(inside.rstrip()))
