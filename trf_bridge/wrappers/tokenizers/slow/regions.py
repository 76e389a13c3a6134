"""Splits a text into regions of which the wordpieces are known, by tokenizing its words again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

from .matching import find_blocks

# Splits a text into wordpieces.
Tokenize: TypeAlias = Callable[[str], Sequence[str]]


class Region(NamedTuple):
    """A part of the text and its wordpieces.

    start, end (int): Characters of the text.
    first, last (int): First and last wordpiece (exclusive).
    """

    start: int
    end: int
    first: int
    last: int


def find_regions(
    text: str, pieces: Sequence[str], ends: Sequence[int], tokenize: Tokenize | None
) -> Iterator[Region]:
    """Tokenize the text again, chunk by chunk, and match the result with its wordpieces.

    text (str): The text.
    pieces (sequence of str, (n_wp,)): The wordpieces of the whole text.
    ends (sequence of int, (n_chunks,)): The end of each chunk in the text.
    tokenize (callable): The tokenizer; None to return one region.
    YIELDS (Region): One or more chunks and their wordpieces.
    """
    if tokenize is None or len(ends) < 2:
        yield Region(0, len(text), 0, len(pieces))
        return
    cache: dict[str, Sequence[str]] = {}
    again: list[str] = []
    borders = [0]  # the start of each chunk in `again`
    start = 0
    for end in ends:
        chunk = text[start:end]
        if chunk not in cache:
            cache[chunk] = tokenize(chunk)
        again.extend(cache[chunk])
        borders.append(len(again))
        start = end
    # A border is certain if the wordpieces on both sides of it are the same as before.
    places = {0: 0, len(again): len(pieces)}
    for block in find_blocks(list(pieces), again):
        places.update((block.other + i, block.start + i) for i in range(1, block.size))
    start = first = 0
    for end, border in zip(ends, borders[1:], strict=True):
        if end == len(text) or (border in places and border < len(again)):
            last = places[border]
            yield Region(start, end, first, last)
            start, first = end, last
