"""HTML of aligned texts: tokens above, wordpieces below, and a line for each link."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from html import escape
from typing import TYPE_CHECKING, NamedTuple

from ..align import Alignment
from ..types import Wordpieces
from .alignment import AlignedText, Part, list_tokens
from .encoding import show_invisible

if TYPE_CHECKING:
    from spacy.tokens import Doc


class _Pieces(NamedTuple):
    """What is shown of the wordpieces of a Doc, with one entry per wordpiece."""

    strings: list[str]
    ids: list[int]
    offsets: list[list[int]]
    types: list[int] | None
    tokens: list[list[int]]


def draw_lines(
    doc: Doc, texts: Sequence[AlignedText], wordpieces: Wordpieces, alignment: Alignment
) -> list[str]:
    """Draw each text as a line of parts, which wraps where it is wider than the page.

    doc (Doc): The Doc.
    texts (sequence of AlignedText): Its texts, or some of them.
    wordpieces (Wordpieces): The wordpieces of the Doc.
    alignment (Alignment): Their links to its tokens.
    RETURNS (list of str): HTML of each text.
    """
    types = wordpieces.type_ids
    pieces = _Pieces(
        strings=wordpieces.strings,
        ids=wordpieces.ids.tolist(),
        offsets=wordpieces.offsets.tolist(),
        types=None if types is None else types.tolist(),
        tokens=list_tokens(alignment, len(wordpieces)),
    )
    return [_draw_line(doc, text, pieces) for text in texts]


def _draw_line(doc: Doc, text: AlignedText, pieces: _Pieces) -> str:
    groups = "\n".join(_draw_group(doc, group, pieces) for group in _group_parts(text.parts))
    if not text.unread:
        return f'<div class="trf-line">{groups}</div>'
    note = '<span class="trf-note" dir="ltr">not read by the model:</span>'
    return f'<div class="trf-line trf-unread">{note}{groups}</div>'


def _group_parts(parts: Sequence[Part]) -> list[list[Part]]:
    """Group each boundary piece with a neighbor, so that no line consists of one alone."""
    groups: list[list[Part]] = []
    for part in parts:
        only_boundary = bool(groups) and all(other.boundary for other in groups[-1])
        if groups and (part.boundary or only_boundary):
            groups[-1].append(part)
        else:
            groups.append([part])
    return groups


def _draw_group(doc: Doc, parts: Sequence[Part], pieces: _Pieces) -> str:
    html = "".join(_draw_part(doc, part, pieces) for part in parts)
    return html if len(parts) == 1 else f'<div class="trf-group">{html}</div>'


def _draw_part(doc: Doc, part: Part, pieces: _Pieces) -> str:
    tokens = "".join(_draw_token(doc, token) for token in part.tokens)
    below = "".join(_draw_piece(row, pieces) for row in part.rows)
    kind = "trf-part"
    if part.boundary:
        kind += " trf-boundary"
        tokens = '<span class="trf-none"></span>'
    return (
        f'<div class="{kind}"><div class="trf-tokens">{tokens}</div>{_draw_links(part)}'
        f'<div class="trf-pieces">{below}</div></div>'
    )


def _draw_token(doc: Doc, i: int) -> str:
    token = doc[i]
    start, end = token.idx, token.idx + len(token)
    return (
        f'<span class="trf-token" tabindex="0" data-token="{i}" data-start="{start}" '
        f'data-end="{end}"><bdi>{escape(show_invisible(token.text))}</bdi></span>'
    )


def _draw_piece(row: int, pieces: _Pieces) -> str:
    start, end = pieces.offsets[row]
    n_tokens = len(pieces.tokens[row])
    type_id = f' data-type="{pieces.types[row]}"' if pieces.types else ""
    weight = f'<span class="trf-weight">{Fraction(1, n_tokens)}</span>' if n_tokens > 1 else ""
    return (
        f'<span class="trf-piece" tabindex="0" data-row="{row}" data-id="{pieces.ids[row]}" '
        f'data-start="{start}" data-end="{end}" data-share="{n_tokens}"{type_id} '
        f'data-tokens="{" ".join(map(str, pieces.tokens[row]))}">'
        f"<bdi>{escape(show_invisible(pieces.strings[row]))}</bdi>{weight}</span>"
    )


def _draw_links(part: Part) -> str:
    """Draw the links between the centers of equally wide columns.

    Coordinates are percentages, so that no text needs to be measured.
    """
    n_tokens, n_pieces = len(part.tokens), len(part.rows)
    lines = []
    for link in part.links:
        x1, x2 = 100 * (link.token + 0.5) / n_tokens, 100 * (link.piece + 0.5) / n_pieces
        lines.append(
            f'<line x1="{x1:g}" y1="0" x2="{x2:g}" y2="100" data-weight="{link.weight:.6g}" '
            f'data-token="{part.tokens[link.token]}" data-row="{part.rows[link.piece]}" '
            f'style="--weight:{link.weight:.3g}"/>'
        )
    return (
        '<svg class="trf-links" viewBox="0 0 100 100" preserveAspectRatio="none" '
        f'aria-hidden="true">{"".join(lines)}</svg>'
    )
