"""Draw the alignment of one short sentence, as the package computes it.

    python docs/draw_alignment.py

writes docs/alignment.svg. The wordpieces are those of an uncased BERT. The picture follows the
reader's color scheme. It paints its own background, because a page can have another scheme than the
reader's system, and the picture must be readable there too.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy

from trf_bridge import Alignment, Wordpieces
from trf_bridge.align import align

PICTURE = Path(__file__).with_name("alignment.svg")

TEXT = "She isn't home."
TOKENS = ["She", "is", "n't", "home", "."]
PIECES = ["[CLS]", "she", "isn", "'", "t", "home", ".", "[SEP]"]
OFFSETS = [(0, 0), (0, 3), (4, 7), (7, 8), (8, 9), (10, 14), (14, 15), (0, 0)]
BOUNDARY = [True, *[False] * 6, True]

WIDTH, HEIGHT, BOX = 720, 262, 66
TOKEN_Y, PIECE_Y, BOX_HEIGHT = 40, 180, 32
FIRST = 45  # center of the first wordpiece
STEP = 90  # distance between the centers of two wordpieces

# Declarations of each class in the light scheme and in the dark scheme.
STYLES = {
    "paper": ("fill: #ffffff", "fill: #0d1117"),
    "box": ("fill: #ffffff; stroke: #1f2933", "fill: #161b22; stroke: #9aa7b4"),
    "boundary": ("stroke: #8c9aa8; stroke-dasharray: 4 3", "stroke: #6b7785"),
    "faint": ("stroke: #b8c2cc", "stroke: #4a5562"),
    "link": ("stroke: #2563a8", "stroke: #6cb0ff"),
    "weight": ("fill: #2563a8", "fill: #6cb0ff"),
    "text": ("fill: #1f2933", "fill: #e6edf3"),
}


def token_spans() -> numpy.ndarray:
    """Find the characters of each token.

    RETURNS (int32, (n_tokens, 2)): Start and end of each token.
    """
    spans, end = [], 0
    for token in TOKENS:
        start = TEXT.index(token, end)
        end = start + len(token)
        spans.append((start, end))
    return numpy.asarray(spans, dtype="int32")


def compute() -> Alignment:
    """Align the sentence.

    RETURNS (Alignment): The links of the sentence, with their weights.
    """
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
    # Links of boundary pieces first, so that these many lines are behind the others.
    links.sort(key=lambda link: not BOUNDARY[link[1]])
    parts = [_link(tokens_x[token], pieces_x[row], weight, row) for token, row, weight in links]
    parts += [_box(x, TOKEN_Y, text) for x, text in zip(tokens_x, TOKENS, strict=True)]
    parts += [
        _box(x, PIECE_Y, text, boundary=boundary)
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
        _style(),
        f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}" rx="6"/>',
    ]
    return "\n".join([*head, *parts, "</svg>\n"])


def _style() -> str:
    """Return a style sheet for the light scheme, overridden where the reader prefers the dark."""
    light = [f".{name} {{ {styles[0]} }}" for name, styles in STYLES.items()]
    dark = [f"  .{name} {{ {styles[1]} }}" for name, styles in STYLES.items()]
    dark = ["@media (prefers-color-scheme: dark) {", *dark, "}"]
    return "\n".join(["<style>", *light, *dark, "</style>"])


def _spread(n: int, first: float, last: float) -> Sequence[float]:
    return [first + (last - first) * i / (n - 1) for i in range(n)]


def _link(x1: float, x2: float, weight: float, row: int) -> str:
    kind, width = ("faint", 1) if BOUNDARY[row] else ("link", 1 + 2 * weight)
    y1, y2 = TOKEN_Y + BOX_HEIGHT, PIECE_Y
    line = (
        f'<line class="{kind}" x1="{x1:g}" y1="{y1}" x2="{x2:g}" y2="{y2}" '
        f'stroke-width="{width:g}"/>'
    )
    if BOUNDARY[row]:
        return line
    x, y = x1 + 0.62 * (x2 - x1), y1 + 0.62 * (y2 - y1)
    paper = f'<rect class="paper" x="{x - 13:g}" y="{y - 10:g}" width="26" height="19" rx="4"/>'
    label = _text(x, y + 4.5, _fraction(weight), 'class="weight" font-size="13"')
    return "\n".join([line, paper, label])


def _share(x: float, y: float, weight: float) -> str:
    return _text(x, y, f"{_fraction(weight)} each", 'class="text" font-size="12"')


def _fraction(weight: float) -> str:
    return "1" if weight == 1 else f"1/{round(1 / weight)}"


def _box(x: float, y: float, text: str, *, boundary: bool = False) -> str:
    kind = "box boundary" if boundary else "box"
    box = (
        f'<rect class="{kind}" x="{x - BOX / 2:g}" y="{y}" width="{BOX}" height="{BOX_HEIGHT}" '
        'rx="5"/>'
    )
    return "\n".join([box, _text(x, y + 21, text, 'class="text"')])


def _note(y: float, text: str) -> str:
    return _text(12, y, text, 'class="text" font-size="12" text-anchor="start"')


def _text(x: float, y: float, text: str, style: str) -> str:
    return f'<text x="{x:g}" y="{y:g}" {style}>{escape(text)}</text>'


if __name__ == "__main__":
    PICTURE.write_text(draw(compute()), encoding="utf8")
