"""The links between tokens and wordpieces, split into parts that can be drawn side by side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ..align import Alignment
from ..types import Wordpieces
from .token_links import TextRanges, link_tokens, read_links, read_texts, token_indices

if TYPE_CHECKING:
    from .token_links import DocLike


class Link(NamedTuple):
    """A link between a token and a wordpiece, both as indices into their part."""

    token: int
    piece: int
    weight: float


@dataclass(frozen=True)
class Part:
    """Tokens and wordpieces that are linked to each other and, boundary pieces aside, to no others.

    tokens (list of int): Tokens of the Doc; none for a boundary piece.
    rows (list of int): Wordpieces of the Doc; none for a token that has only its share of the
        boundary pieces.
    links (list of Link): The links between them; none for a boundary piece.
    boundary (bool): Whether this is a boundary piece, which is linked to every token of its input.
    """

    tokens: list[int]
    rows: list[int]
    links: list[Link]
    boundary: bool = False


@dataclass(frozen=True)
class AlignedText:
    """The alignment of one text: a sentence, or a pair of texts, with all of its windows.

    parts (list of Part): The parts, in the order of the text.
    unread (bool): Whether these are tokens that the model does not read, because they are past its
        maximum length or outside of all sentences.
    """

    parts: list[Part]
    unread: bool = False


def read_alignment(doclike: DocLike) -> list[AlignedText]:
    """Split the alignment of a Doc into texts, and each text into parts that share no link.

    doclike (Doc, Span): The Doc. For a Span, only its own tokens and the boundary pieces of their
        texts are returned.
    RETURNS (list of AlignedText): The texts in order, then the tokens that are not read.
    RAISES (ValueError): TB052 where there are no wordpieces.
    """
    wordpieces, alignment = read_links(doclike.doc)
    selected = token_indices(doclike)
    texts = []
    for text in read_texts(doclike):
        parts = [
            part
            for part in _parts(wordpieces, alignment, text)
            if part.boundary or any(token in selected for token in part.tokens)
        ]
        texts.append(AlignedText(parts))
    unread = [token for token in selected if not alignment.lengths[token]]
    if unread:
        texts.append(AlignedText([Part([token], [], []) for token in unread], unread=True))
    return texts


def list_tokens(alignment: Alignment, n_pieces: int) -> list[list[int]]:
    """List the tokens that are linked to each wordpiece.

    alignment (Alignment): The links of a Doc.
    n_pieces (int): The number of wordpieces.
    RETURNS (list of list of int, (n_wp,)): Tokens of the Doc, ascending.
    """
    lists: list[list[int]] = [[] for _ in range(n_pieces)]
    for token, row in zip(link_tokens(alignment).tolist(), alignment.rows.tolist(), strict=True):
        lists[row].append(token)
    return lists


def _parts(wordpieces: Wordpieces, alignment: Alignment, text: TextRanges) -> Iterator[Part]:
    """Split a text into parts, with each boundary piece as a part in its place."""
    boundary = wordpieces.boundary
    pending = [row for row in text.rows if boundary[row]]
    for part in _content_parts(wordpieces, alignment, text):
        while part.rows and pending and pending[0] < part.rows[0]:
            yield Part([], [pending.pop(0)], [], boundary=True)
        yield part
    for row in pending:
        yield Part([], [row], [], boundary=True)


def _content_parts(
    wordpieces: Wordpieces, alignment: Alignment, text: TextRanges
) -> Iterator[Part]:
    """Split a text into parts, without its boundary pieces."""
    rows = text.rows
    inside = (alignment.rows >= rows.start) & (alignment.rows < rows.stop)
    inside &= ~wordpieces.boundary[alignment.rows]
    linked: dict[int, list[tuple[int, float]]] = {token: [] for token in text.tokens}
    fields = (link_tokens(alignment), alignment.rows, alignment.weights)
    for token, row, weight in zip(*(field[inside] for field in fields), strict=True):
        linked[int(token)].append((int(row), float(weight)))
    for group in _separate(text.tokens, linked):
        group_rows = sorted({row for token in group for row, _ in linked[token]})
        piece_index = {row: i for i, row in enumerate(group_rows)}
        links = [
            Link(i, piece_index[row], weight)
            for i, token in enumerate(group)
            for row, weight in linked[token]
        ]
        if links or alignment.lengths[group[0]]:  # no link, not even to a boundary piece: unread
            yield Part(group, group_rows, links)


def _separate(tokens: range, linked: dict[int, list[tuple[int, float]]]) -> Iterator[list[int]]:
    """Split the tokens wherever all later wordpieces follow all earlier ones."""
    next_row: list[float] = [float("inf")]
    for token in reversed(tokens):
        token_rows = [row for row, _ in linked[token]]
        next_row.append(min([next_row[-1], *token_rows]))
    next_row.reverse()
    group: list[int] = []
    last_row = -1
    for i, token in enumerate(tokens):
        group.append(token)
        last_row = max([last_row, *[row for row, _ in linked[token]]])
        if next_row[i + 1] > last_row:
            yield group
            group = []
