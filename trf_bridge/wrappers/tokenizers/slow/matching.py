"""Finds the parts that two sequences have in common, in time linear in their length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from rapidfuzz.distance import Levenshtein

WINDOW = 2048  # items that are compared at once; the time is quadratic in it


class Block(NamedTuple):
    """A run of equal items: first[start : start + size] and second[other : other + size]."""

    start: int
    other: int
    size: int


def find_blocks(first: Sequence[Any], second: Sequence[Any]) -> list[Block]:
    """Find runs that both sequences contain, in order.

    The runs are those of the fewest edits between the sequences, within windows that move along
    both. A difference of more than a quarter of a window at one place can misalign the windows.

    first, second (sequence): Strings, or lists of hashable items.
    RETURNS (list of Block): Runs that are ascending in both sequences.
    """
    start = _shared_prefix(first, second)
    end = _shared_prefix(first[start:][::-1], second[start:][::-1])
    blocks = [Block(0, 0, start)] if start else []
    blocks.extend(_slide(first, second, start, len(first) - end, len(second) - end))
    if end:
        blocks.append(Block(len(first) - end, len(second) - end, end))
    return blocks


def _shared_prefix(first: Sequence[Any], second: Sequence[Any]) -> int:
    """Return the number of equal items at the start of both sequences, by bisection."""
    low, high = 0, min(len(first), len(second))
    while low < high:
        middle = (low + high + 1) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _slide(
    first: Sequence[Any], second: Sequence[Any], start: int, first_end: int, second_end: int
) -> Iterator[Block]:
    """Yield the blocks of windows that move along both sequences."""
    i = j = start
    while i < first_end and j < second_end:
        part = first[i : min(i + WINDOW, first_end)]
        other = second[j : min(j + WINDOW, second_end)]
        is_last = i + len(part) == first_end and j + len(other) == second_end
        blocks = [
            Block(op.src_start, op.dest_start, op.src_end - op.src_start)
            for op in Levenshtein.opcodes(part, other)
            if op.tag == "equal"
        ]
        if not is_last:
            # Near the end of a window there is too little context for a reliable match.
            blocks = [block for block in blocks if block.start + block.other < WINDOW]
        done_first = min(len(part), WINDOW // 2)
        done_second = (second_end - j) * done_first // (first_end - i)
        for block in blocks:
            size = block.size
            if not is_last:
                size = min(size, max(1, (WINDOW - block.start - block.other) // 2))
            yield Block(i + block.start, j + block.other, size)
            done_first, done_second = block.start + size, block.other + size
        i, j = (first_end, second_end) if is_last else (i + done_first, j + done_second)


def find_between(
    text: str, pattern: str, gap: str, *, starts: Sequence[bool] | None = None, least: int = 1
) -> list[Block] | None:
    """Find the runs of a pattern with gaps in a text, each as early as possible.

    text (str): The text.
    pattern (str): Runs of characters with gaps between them.
    gap (str): The character that represents a gap.
    starts (sequence of bool, (n_chars,)): Whether a run or a gap may start at each character of the
        text; None if it may start anywhere.
    least (int): The minimum number of characters of a gap.
    RETURNS (list of Block): The runs, in order; None if the text does not match the pattern.
    """
    runs = pattern.split(gap)
    if len(runs) == 1 or not text.startswith(runs[0]):
        return None
    starts = [True] * len(text) if starts is None else starts
    blocks = [Block(0, 0, len(runs[0]))]
    at = other = len(runs[0])
    for i, run in enumerate(runs[1:], start=1):
        if at + least > len(text) or (least and not starts[at]):
            return None
        is_last = i == len(runs) - 1
        if run:
            start = _find_run(text, run, at + least, starts, is_last)
            if start < 0:
                return None
            at, other = start + len(run), other + 1 + len(run)
            blocks.append(Block(start, other - len(run), len(run)))
        else:
            other += 1
            at = at if is_last else _next_start(starts, at + least)
    return [block for block in blocks if block.size]


def _find_run(text: str, run: str, at: int, starts: Sequence[bool], is_last: bool) -> int:
    """Return the start of a run at or after a character; -1 if there is none."""
    if is_last:
        start = len(text) - len(run)
        return start if start >= at and starts[start] and text.endswith(run) else -1
    start = at - 1
    for _ in range(WINDOW):
        start = text.find(run, start + 1)
        end = start + len(run)
        if start < 0 or (starts[start] and (end == len(text) or starts[end])):
            return start
    return -1


def _next_start(starts: Sequence[bool], at: int) -> int:
    """Return the first possible start at or after a character."""
    while at < len(starts) and not starts[at]:
        at += 1
    return at
