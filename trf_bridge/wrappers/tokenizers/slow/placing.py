"""Finds the offsets of wordpieces in the text, for tokenizers that return none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy

from ....types import Array
from .folding import SPACE, UNKNOWN, Surface, fold_surfaces, fold_text
from .matching import Block, find_between, find_blocks
from .regions import Region, Tokenize, find_regions
from .words import find_chunks, find_words, without_controls, word_starts

GAP = "\0"  # never one of the hard characters
CREDIBLE = 0.5  # the share of characters that must match; fewer matches can be coincidences
SHORT = 16  # characters; in shorter regions no wordpiece is far from its place


class Placement(NamedTuple):
    """The offsets of the wordpieces of a text.

    offsets (int32, (n_wp, 2)): Character start and end of each. Starts and ends never decrease.
    exact (bool, (n_wp,)): Whether only these offsets are possible.
    """

    offsets: Array
    exact: Array


def place_pieces(
    text: str,
    pieces: Sequence[str],
    surfaces: Sequence[Surface],
    *,
    tokenize: Tokenize | None = None,
) -> Placement:
    """Find the characters that each wordpiece represents.

    The text and the wordpieces are folded to one form. If the results are equal, they determine
    all offsets. Otherwise the text is tokenized again, chunk by chunk, which determines the
    wordpieces of most chunks. In the rest, characters between two matched neighbours are assigned
    to the wordpieces between them. The time is linear in the length of the text.

    text (str): The text.
    pieces (sequence of str, (n_wp,)): The strings of its wordpieces in the vocabulary.
    surfaces (sequence of str, bytes or None, (n_wp,)): The surface of each: its characters without
        marks such as `##`, its bytes of UTF-8, or None for the unknown piece.
    tokenize (callable): Splits a part of the text into wordpieces; None to not tokenize again.
    RETURNS (Placement): The offsets.
    """
    placer = _Placer(text, surfaces)
    if not placer.match_all():
        names = {piece for piece, s in zip(pieces, surfaces, strict=True) if s is None}
        placer.match_regions(list(find_regions(text, pieces, find_chunks(text, names), tokenize)))
    return placer.finish()


class _Placer:
    """Matches the folded characters of the wordpieces with those of the text.

    `source` is the folded text and `target` the folded wordpieces. `match` holds, for each
    character of the target, the index of its character of the source, or -1.
    """

    def __init__(self, text: str, surfaces: Sequence[Surface]) -> None:
        """Fold the text and the wordpieces.

        text (str): The text.
        surfaces (sequence of str, bytes or None, (n_wp,)): The surface of each wordpiece.
        """
        self.text = text
        self.n_pieces = len(surfaces)
        self.source = fold_text(text)
        self.target = fold_surfaces(surfaces)
        self.match = numpy.full(len(self.target.codes), -1, dtype="int64")
        self.starts = numpy.full(self.n_pieces, len(text), dtype="int64")
        self.ends = numpy.full(self.n_pieces, -1, dtype="int64")
        self.exact = numpy.ones(self.n_pieces, dtype="bool")
        self.regions = [Region(0, len(text), 0, self.n_pieces)]
        # Wordpieces between unknown ones with more than one possible place in a region.
        self.ambiguous: list[tuple[Region, Array]] = []

    def match_all(self) -> bool:
        """Match all characters, and return whether the folded forms are equal."""
        source, target = self.source, self.target
        for left, right in ((~source.space, ~target.space), (source.hard, target.hard)):
            if numpy.array_equal(source.codes[left], target.codes[right]):
                self.match[right] = numpy.flatnonzero(left)
                return True
        return False

    def match_regions(self, regions: list[Region]) -> None:
        """Match the hard characters of each region."""
        self.regions = regions
        bounds = numpy.asarray(regions, dtype="int64")
        left, right = numpy.flatnonzero(self.source.hard), numpy.flatnonzero(self.target.hard)
        lefts = numpy.searchsorted(self.source.first[left], bounds[:, :2]).tolist()
        rights = numpy.searchsorted(self.target.first[right], bounds[:, 2:]).tolist()
        codes, others = self.source.codes[left], self.target.codes[right]
        for region, (start, end), (low, high) in zip(regions, lefts, rights, strict=True):
            if codes[start:end].tobytes() == others[low:high].tobytes():
                self.match[right[low:high]] = left[start:end]
                continue
            source, target = _as_string(codes[start:end]), _as_string(others[low:high])
            for block in self._find_blocks(left[start:end], source, target, region):
                rows = right[low + block.other : low + block.other + block.size]
                self.match[rows] = left[start + block.start : start + block.start + block.size]
                run = source[block.start : block.start + block.size]
                if GAP in target and source.find(run, source.find(run) + 1) >= 0:
                    self.ambiguous.append((region, self.target.first[rows]))

    def _find_blocks(self, left: Array, source: str, target: str, region: Region) -> list[Block]:
        """Find the matching runs of a region; `left` holds the indices of the source characters."""
        if GAP in target:
            words = word_starts(self.text, self.source.first[left].tolist())
            blocks = (
                find_between(source, target, GAP, starts=words)
                or find_between(source, target, GAP)
                or find_between(source, target, GAP, least=0)  # a gap of accents has no hard ones
            )
            if blocks is not None:
                return blocks
        blocks = find_blocks(source, target)
        n_same = sum(block.size for block in blocks)
        length = max(len(source), len(target))
        if GAP in target or (length > SHORT and n_same < CREDIBLE * length):
            self.exact[region.first : region.last] = False
        return blocks

    def finish(self) -> Placement:
        """Place the matched characters, then those between them, and return the offsets."""
        self._place_matches(numpy.flatnonzero(self.match >= 0))
        borders = [region.first for region in self.regions]
        region_of = numpy.searchsorted(borders, self.target.first, side="right") - 1
        limits = numpy.searchsorted(region_of, numpy.arange(len(self.regions) + 1)).tolist()
        for low, high in _true_runs(self.match < 0, region_of):
            at = int(region_of[low])
            self._fill(low, high, (limits[at], limits[at + 1]), self.regions[at])
        for region, pieces in self.ambiguous:
            # If the unknown pieces of a region are certain, so are the wordpieces between them.
            if not self.exact[region.first : region.last].all():
                self.exact[pieces] = False
        self._place_empty()
        return Placement(_straighten(self.starts, self.ends), self.exact)

    def _place_matches(self, rows: Array) -> None:
        """Extend the spans of wordpieces to the characters that match theirs."""
        origins = self.source.first[self.match[rows]]
        first, last = self.target.first[rows], self.target.last[rows]
        for step in range(int((last - first).max(initial=0)) + 1):
            pieces = numpy.minimum(first + step, last)
            numpy.minimum.at(self.starts, pieces, origins)
            numpy.maximum.at(self.ends, pieces, origins + 1)

    def _fill(self, low: int, high: int, limits: tuple[int, int], region: Region) -> None:
        """Place a run of target characters without a match, given the limits of its region."""
        source, target, match = self.source, self.target, self.match
        # The characters between the matched neighbours, as indices of the source and of the text.
        before = int(match[low - 1]) if low > limits[0] else -1
        after = int(match[high]) if high < limits[1] else -1
        start = int(source.first[before]) + 1 if before >= 0 else region.start
        end = int(source.first[after]) if after >= 0 else region.end
        if start > end:  # both are parts of the same character
            start, end = end, start
        source_start = before + 1 if before >= 0 else numpy.searchsorted(source.first, start)
        source_end = after if after >= 0 else numpy.searchsorted(source.first, end)
        between = numpy.arange(source_start, source_end)
        rows = numpy.arange(low, high)
        if self._match_soft(between[~source.hard[between]], rows[~target.hard[rows]]):
            for first, last in _true_runs(match[rows] < 0, numpy.zeros_like(rows)):
                self._fill(low + first, low + last, limits, region)
            return
        self._spread(rows[target.hard[rows]], between[source.hard[between]], (start, end))
        self._place_soft(rows[~target.hard[rows]], start)

    def _match_soft(self, left: Array, right: Array) -> bool:
        """Match soft characters that the tokenizer kept, and return whether there are any."""
        if not left.size or not right.size:
            return False
        source, target = _as_string(self.source.codes[left]), _as_string(self.target.codes[right])
        blocks = find_blocks(source, target)
        for block in blocks:
            rows = right[block.other : block.other + block.size]
            self.match[rows] = left[block.start : block.start + block.size]
            self._place_matches(rows)
        return bool(blocks)

    def _spread(self, rows: Array, between: Array, span: tuple[int, int]) -> None:
        """Assign the characters between two neighbours to the wordpieces between them."""
        if not rows.size:
            return
        pieces = numpy.unique([self.target.first[rows], self.target.last[rows]]).tolist()
        unknown = bool((self.target.codes[rows] == UNKNOWN).all())
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
        """Divide a span evenly between wordpieces, as the last resort; widen an empty span."""
        if start == end:
            start = min(max(start - 1, 0), max(len(self.text) - 1, 0))
            end = min(start + 1, len(self.text))
        width = end - start
        for i, row in enumerate(rows.tolist()):
            first = start + i * width // len(rows)
            last = max(start + (i + 1) * width // len(rows), min(first + 1, end))
            pieces = range(int(self.target.first[row]), int(self.target.last[row]) + 1)
            guessed = [piece for piece in pieces if self.ends[piece] < 0 or not self.exact[piece]]
            self.exact[guessed] = False
            self._place(guessed, [(first, last)] * len(guessed))

    def _place_soft(self, rows: Array, start: int) -> None:
        """Place soft characters without a match."""
        for row in rows.tolist():
            piece = int(self.target.first[row])
            if self.ends[piece] >= 0:
                continue
            if self.target.codes[row] == SPACE:
                # Added by the tokenizer, before the next character or instead of it.
                self._place([piece], [(start, min(start + 1, len(self.text)))])
            else:
                self._guess(numpy.asarray([row]), start, start)

    def _place(self, pieces: Sequence[int], spans: Sequence[tuple[int, int]]) -> None:
        """Extend the span of each wordpiece to the given one."""
        for piece, (start, end) in zip(pieces, spans, strict=True):
            self.starts[piece] = min(int(self.starts[piece]), start)
            self.ends[piece] = max(int(self.ends[piece]), end)

    def _place_empty(self) -> None:
        """Place wordpieces without characters at the end of the one before."""
        end = 0
        for piece in range(self.n_pieces):
            if self.ends[piece] < 0:
                self.starts[piece] = self.ends[piece] = end
            end = max(end, int(self.ends[piece]))


def _straighten(starts: Array, ends: Array) -> Array:
    """Change starts and ends so that they never decrease, without emptying a span."""
    empty = starts == ends
    limits = numpy.where(empty, numpy.iinfo("int32").max, starts)[::-1]
    places = numpy.minimum(starts, numpy.minimum.accumulate(limits)[::-1])
    starts = numpy.maximum.accumulate(numpy.where(empty, places, starts))
    ends = numpy.maximum.accumulate(numpy.where(empty, places, ends))
    offsets: Array = numpy.stack([starts, numpy.maximum(starts, ends)], axis=1).astype("int32")
    return offsets


def _as_string(codes: Array) -> str:
    """Convert code points to a string, with GAP for unknown pieces."""
    codes = numpy.where(codes == UNKNOWN, ord(GAP), codes).astype("<u4")
    string: str = codes.tobytes().decode("utf-32-le", "surrogatepass")
    return string


def _true_runs(flags: Array, groups: Array) -> list[tuple[int, int]]:
    """Return start and end of each run of true flags within one group."""
    rows = numpy.flatnonzero(flags)
    if not rows.size:
        return []
    breaks = numpy.flatnonzero((numpy.diff(rows) > 1) | (numpy.diff(groups[rows]) != 0)) + 1
    firsts = numpy.concatenate([rows[:1], rows[breaks]])
    lasts = numpy.concatenate([rows[breaks - 1], rows[-1:]])
    return list(zip(firsts.tolist(), (lasts + 1).tolist(), strict=True))


def _trim(text: str, start: int, end: int) -> tuple[int, int]:
    """Trim white space from both ends of a span; a span of white space becomes empty."""
    inside = text[start:end]
    left = start + len(inside) - len(inside.lstrip())
    return left, max(left, end - len(inside) + len(inside.rstrip()))
