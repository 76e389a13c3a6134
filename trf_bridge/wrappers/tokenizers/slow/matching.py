"""Which characters of one sequence stand for which of another, in time linear in their length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from rapidfuzz.distance import Levenshtein

WINDOW = 2048  # what is compared at once: the time is quadratic in it, and linear beyond


class Block(NamedTuple):
    """A run that is the same in both: first[start : start + size], second[other : other + size]."""

    start: int
    other: int
    size: int


def find_blocks(first: Sequence[Any], second: Sequence[Any]) -> list[Block]:
    """Find runs that are the same in both sequences, in order.

    The fewest edits lead from one to the other, within windows that move along both. What differs
    by more than a quarter of a window at one place puts the windows out of step.

    first, second (sequence): Strings, or lists of anything that can be hashed.
    RETURNS (list of Block): Runs that rise in both.
    """
    start = _shared_prefix(first, second)
    end = _shared_prefix(first[start:][::-1], second[start:][::-1])
    blocks = [Block(0, 0, start)] if start else []
    blocks.extend(_slide(first, second, start, len(first) - end, len(second) - end))
    if end:
        blocks.append(Block(len(first) - end, len(second) - end, end))
    return blocks


def _shared_prefix(first: Sequence[Any], second: Sequence[Any]) -> int:
    """How many items are the same at the start of both, by halves."""
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
    i = j = start
    while i < first_end and j < second_end:
        one = first[i : min(i + WINDOW, first_end)]
        two = second[j : min(j + WINDOW, second_end)]
        is_last = i + len(one) == first_end and j + len(two) == second_end
        found = [
            Block(op.src_start, op.dest_start, op.src_end - op.src_start)
            for op in Levenshtein.opcodes(one, two)
            if op.tag == "equal"
        ]
        if not is_last:
            # Near the end of a window it does not see enough to be right.
            found = [block for block in found if block.start + block.other < WINDOW]
        done_first = min(len(one), WINDOW // 2)
        done_second = (second_end - j) * done_first // (first_end - i)
        for block in found:
            size = block.size
            if not is_last:
                size = min(size, max(1, (WINDOW - block.start - block.other) // 2))
            yield Block(i + block.start, j + block.other, size)
            done_first, done_second = block.start + size, block.other + size
        i, j = (first_end, second_end) if is_last else (i + done_first, j + done_second)


def find_between(
    text: str, pattern: str, gap: str, *, starts: Sequence[bool] | None = None, least: int = 1
) -> list[Block] | None:
    """Find the runs of a pattern between its gaps, each as early as it can be.

    text (str): The text.
    pattern (str): Runs with gaps between them.
    gap (str): The character that stands for a gap.
    starts (sequence of bool, (n_chars,)): Where in the text a run or a gap may begin; None for
        everywhere.
    least (int): How many characters a gap stands for at least.
    RETURNS (list of Block): The runs, in order; None where they are not all there.
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
            found = _find_run(text, run, at + least, starts, is_last)
            if found < 0:
                return None
            at, other = found + len(run), other + 1 + len(run)
            blocks.append(Block(found, other - len(run), len(run)))
        else:
            other += 1
            at = at if is_last else _next_start(starts, at + least)
    return [block for block in blocks if block.size]


def _find_run(text: str, run: str, at: int, starts: Sequence[bool], is_last: bool) -> int:
    if is_last:
        found = len(text) - len(run)
        return found if found >= at and starts[found] and text.endswith(run) else -1
    found = at - 1
    for _ in range(WINDOW):
        found = text.find(run, found + 1)
        end = found + len(run)
        if found < 0 or (starts[found] and (end == len(text) or starts[end])):
            return found
    return -1


def _next_start(starts: Sequence[bool], at: int) -> int:
    while at < len(starts) and not starts[at]:
        at += 1
    return at
