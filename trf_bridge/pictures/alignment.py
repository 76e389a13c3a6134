"""The links between tokens and wordpieces, in parts that can be drawn beside each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy

from ..align import Alignment
from ..types import Array, Wordpieces
from .token_links import (
    group_rows,
    input_groups,
    link_tokens,
    linked_range,
    read_links,
    shown_tokens,
)

if TYPE_CHECKING:
    from .token_links import Obj


class Link(NamedTuple):
    """A link: the place of a token and of a wordpiece in their part, and the weight."""

    token: int
    piece: int
    weight: float


@dataclass(frozen=True)
class Part:
    """Tokens and wordpieces that are linked to each other and, boundary aside, to no others.

    tokens (list of int): Tokens of the Doc; none for a boundary piece.
    rows (list of int): Wordpieces of the Doc; none for a token that has only its share of the
        boundary pieces.
    links (list of Link): What connects them; of a boundary piece, none.
    boundary (bool): Whether it is a boundary piece, which belongs to every token of its input.
    """

    tokens: list[int]
    rows: list[int]
    links: list[Link]
    boundary: bool = False


@dataclass(frozen=True)
class AlignedText:
    """What the model reads at once, or in windows: a sentence, or a pair of texts.

    parts (list of Part): In the order of the text.
    cut (bool): Whether these are tokens that the model does not read: they lie past its maximum
        length, or in no sentence.
    """

    parts: list[Part]
    cut: bool = False


def read_alignment(obj: Obj) -> list[AlignedText]:
    """Cut the alignment of a Doc into texts, and these into parts that no link connects.

    obj (Doc, Span): The Doc; of a Span, the texts that it has tokens of, and its tokens there.
    RETURNS (list of AlignedText): In order; those that are not read at the end.
    RAISES (ValueError): TB052 where there are no wordpieces.
    """
    wordpieces, alignment = read_links(obj.doc)
    shown = shown_tokens(obj)
    texts = []
    for inputs in input_groups(wordpieces):
        rows = group_rows(wordpieces, inputs)
        tokens = linked_range(alignment, rows)
        if max(tokens.start, shown.start) >= min(tokens.stop, shown.stop):
            continue
        parts = [
            part
            for part in _parts(wordpieces, alignment, tokens, rows)
            if part.boundary or any(token in shown for token in part.tokens)
        ]
        texts.append(AlignedText(parts))
    unread = [token for token in shown if not alignment.lengths[token]]
    if unread:
        texts.append(AlignedText([Part([token], [], []) for token in unread], cut=True))
    return texts


def piece_tokens(alignment: Alignment, n_pieces: int) -> Array:
    """RETURNS (int64, (n_wp,)): How many tokens share each wordpiece of a Doc."""
    return numpy.bincount(alignment.rows, minlength=n_pieces)


def _parts(
    wordpieces: Wordpieces, alignment: Alignment, tokens: range, rows: range
) -> Iterator[Part]:
    """The parts of one text, each boundary piece where it stands."""
    boundary = wordpieces.boundary
    pending = [row for row in rows if boundary[row]]
    for part in _content_parts(wordpieces, alignment, tokens, rows):
        while part.rows and pending and pending[0] < part.rows[0]:
            yield Part([], [pending.pop(0)], [], boundary=True)
        yield part
    for row in pending:
        yield Part([], [row], [], boundary=True)


def _content_parts(
    wordpieces: Wordpieces, alignment: Alignment, tokens: range, rows: range
) -> Iterator[Part]:
    found = link_tokens(alignment)
    inside = (alignment.rows >= rows.start) & (alignment.rows < rows.stop)
    inside &= ~wordpieces.boundary[alignment.rows]
    linked: dict[int, list[tuple[int, float]]] = {token: [] for token in tokens}
    triples = zip(found[inside], alignment.rows[inside], alignment.weights[inside], strict=True)
    for token, row, weight in triples:
        linked[int(token)].append((int(row), float(weight)))
    for group in _separate(tokens, linked):
        own = sorted({row for token in group for row, _ in linked[token]})
        places = {row: place for place, row in enumerate(own)}
        links = [
            Link(place, places[row], weight)
            for place, token in enumerate(group)
            for row, weight in linked[token]
        ]
        if links or alignment.lengths[group[0]]:  # a token without even a boundary piece is unread
            yield Part(group, own, links)


def _separate(tokens: range, linked: dict[int, list[tuple[int, float]]]) -> Iterator[list[int]]:
    """Cut the tokens wherever no later one has a wordpiece at or before those so far."""
    next_row: list[float] = [float("inf")]
    for token in reversed(tokens):
        firsts = [row for row, _ in linked[token]]
        next_row.append(min([next_row[-1], *firsts]))
    next_row.reverse()
    group: list[int] = []
    last_row = -1
    for place, token in enumerate(tokens):
        group.append(token)
        last_row = max([last_row, *[row for row, _ in linked[token]]])
        if next_row[place + 1] > last_row:
            yield group
            group = []
