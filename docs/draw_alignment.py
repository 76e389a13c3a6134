"""Draws the alignment of one short sentence, as the package computes it.

    python docs/draw_alignment.py

writes docs/alignment.svg. The wordpieces are those of an uncased BERT.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy

from trf_bridge.align import Alignment, align
from trf_bridge.types import Wordpieces

PICTURE = Path(__file__).with_name("alignment.svg")

TEXT = "She isn't home."
TOKENS = ["She", "is", "n't", "home", "."]
PIECES = ["[CLS]", "she", "isn", "'", "t", "home", ".", "[SEP]"]
OFFSETS = [(0, 0), (0, 3), (4, 7), (7, 8), (8, 9), (10, 14), (14, 15), (0, 0)]
BOUNDARY = [True, *[False] * 6, True]

WIDTH, HEIGHT, BOX = 720, 262, 66
TOKEN_Y, PIECE_Y, BOX_HEIGHT = 40, 180, 32
FIRST = 45  # middle of the first wordpiece
STEP = 90  # between the middles of two
INK, PAPER, PALE, ACCENT = "#1f2933", "#ffffff", "#b8c2cc", "#2563a8"


def token_spans() -> numpy.ndarray:
    """RETURNS (int32, (n_tokens, 2)): Character start and end of each token."""
    spans, end = [], 0
    for token in TOKENS:
        start = TEXT.index(token, end)
        end = start + len(token)
        spans.append((start, end))
    return numpy.asarray(spans, dtype="int32")


def compute() -> Alignment:
    """RETURNS (Alignment): The links of the sentence, with their weights."""
    wordpieces = Wordpieces(
        ids=numpy.zeros(len(PIECES), dtype="int32"),
        type_ids=None,
        offsets=numpy.asarray(OFFSETS, dtype="int32"),
        boundary=numpy.asarray(BOUNDARY),
        lengths=numpy.asarray([len(PIECES)], dtype="int32"),
        spans=numpy.asarray([(0, len(TEXT))], dtype="int32"),
        class_rows=numpy.asarray([0], dtype="int32"),
    )
    return align([TEXT], [token_spans()], [wordpieces])


def draw(alignment: Alignment) -> str:
    """Draw tokens above, wordpieces below, and a line for each link.

    alignment (Alignment): The links.
    RETURNS (str): SVG.
    """
    pieces_x = [FIRST + STEP * i for i in range(len(PIECES))]
    tokens_x = _spread(len(TOKENS), pieces_x[1], pieces_x[-2])
    tokens = numpy.repeat(numpy.arange(len(TOKENS)), alignment.lengths).tolist()
    links = list(zip(tokens, alignment.rows.tolist(), alignment.weights.tolist(), strict=True))
    # The boundary pieces first, so that their many lines lie behind the others.
    links.sort(key=lambda link: not BOUNDARY[link[1]])
    parts = [_link(tokens_x[token], pieces_x[row], weight, row) for token, row, weight in links]
    parts += [_box(x, TOKEN_Y, text) for x, text in zip(tokens_x, TOKENS, strict=True)]
    parts += [
        _box(x, PIECE_Y, text, dashed=boundary)
        for x, text, boundary in zip(pieces_x, PIECES, BOUNDARY, strict=True)
    ]
    below = PIECE_Y + BOX_HEIGHT
    shares = {row: weight for _, row, weight in links if BOUNDARY[row]}
    parts += [_share(pieces_x[row], below + 18, shares[row]) for row in sorted(shares)]
    parts += [_note(TOKEN_Y - 16, "spaCy's tokens"), _note(below + 40, "wordpieces")]
    title = f"The tokens of “{TEXT}” and the wordpieces that each is linked to"
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"',
        '  font-family="system-ui, sans-serif" font-size="14" text-anchor="middle">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="{PAPER}"/>',
    ]
    return "\n".join([*head, *parts, "</svg>\n"])


def _spread(n: int, first: float, last: float) -> Sequence[float]:
    return [first + (last - first) * i / (n - 1) for i in range(n)]


def _link(x1: float, x2: float, weight: float, row: int) -> str:
    color, width = (PALE, 1) if BOUNDARY[row] else (ACCENT, 1 + 2 * weight)
    y1, y2 = TOKEN_Y + BOX_HEIGHT, PIECE_Y
    line = (
        f'<line x1="{x1:g}" y1="{y1}" x2="{x2:g}" y2="{y2}" '
        f'stroke="{color}" stroke-width="{width:g}"/>'
    )
    if BOUNDARY[row]:
        return line
    x, y = x1 + 0.62 * (x2 - x1), y1 + 0.62 * (y2 - y1)
    back = f'<rect x="{x - 13:g}" y="{y - 10:g}" width="26" height="19" rx="4" fill="{PAPER}"/>'
    label = _text(x, y + 4.5, _fraction(weight), f'fill="{ACCENT}" font-size="13"')
    return "\n".join([line, back, label])


def _share(x: float, y: float, weight: float) -> str:
    return _text(x, y, f"{_fraction(weight)} each", f'fill="{INK}" font-size="12"')


def _fraction(weight: float) -> str:
    return "1" if weight == 1 else f"1/{round(1 / weight)}"


def _box(x: float, y: float, text: str, *, dashed: bool = False) -> str:
    stroke = f'stroke="{PALE}" stroke-dasharray="4 3"' if dashed else f'stroke="{INK}"'
    box = (
        f'<rect x="{x - BOX / 2:g}" y="{y}" width="{BOX}" height="{BOX_HEIGHT}" rx="5" '
        f'fill="{PAPER}" {stroke}/>'
    )
    return "\n".join([box, _text(x, y + 21, text, f'fill="{INK}"')])


def _note(y: float, text: str) -> str:
    return _text(12, y, text, f'fill="{INK}" font-size="12" text-anchor="start"')


def _text(x: float, y: float, text: str, style: str) -> str:
    return f'<text x="{x:g}" y="{y:g}" {style}>{escape(text)}</text>'


if __name__ == "__main__":
    PICTURE.write_text(draw(compute()), encoding="utf8")
