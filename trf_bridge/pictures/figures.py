"""From the data of each picture to its figure."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from html import escape
from typing import TYPE_CHECKING, Any

from .. import errors
from .alignment import AlignedText, Part, piece_tokens, read_alignment
from .attention import Attention, count_cells, read_attention
from .head_overlap import Comparison
from .similarity import token_similarity
from .templates import direction, matrix_figure, pack_range, pack_roots, visible
from .token_links import read_links, shown_tokens

if TYPE_CHECKING:
    from spacy.tokens import Doc

    from .token_links import Obj

# What a page can hold in the browser's memory without getting slow.
MAX_CELLS = 50_000_000
# And what it can draw as one map: that of 3,000 by 3,000 tokens.
MAX_MAP = 9_000_000
TITLE_LENGTH = 60


def draw_alignment(obj: Obj) -> str:
    """Draw the tokens, the wordpieces below them, and their links.

    obj (Doc, Span): The Doc.
    RETURNS (str): A figure.
    RAISES (ValueError): TB052.
    """
    doc = obj.doc
    texts = read_alignment(obj)
    wordpieces, alignment = read_links(doc)
    pieces = {
        "strings": wordpieces.strings,
        "ids": wordpieces.ids.tolist(),
        "offsets": wordpieces.offsets.tolist(),
        "types": None if wordpieces.type_ids is None else wordpieces.type_ids.tolist(),
        "shares": piece_tokens(alignment, len(wordpieces)).tolist(),
    }
    lines = []
    for text in texts:
        parts = "\n".join(_draw_parts(doc, group, pieces) for group in _groups(text.parts))
        name = _text_name(text)
        lines.append(f'<div class="trf-line{" trf-cut" * text.cut}">{name}{parts}</div>')
    if not lines:
        lines.append('<p class="trf-note">There is no text.</p>')
    n_pieces = sum(len(part.rows) for text in texts for part in text.parts)
    caption = f"{len(obj)} tokens above, {n_pieces} wordpieces below"
    return (
        f'<figure class="trf-figure trf-alignment" data-kind="alignment">\n'
        f"<figcaption>{caption}</figcaption>\n"
        f'<div class="trf-lines" dir="{direction_of(obj)}">\n' + "\n".join(lines) + "\n</div>\n"
        '<p class="trf-readout" aria-live="polite"></p>\n</figure>'
    )


def draw_attention(
    obj: Obj,
    *,
    layers: Sequence[int] | None = None,
    heads: Sequence[int] | None = None,
    level: str = "tokens",
    name: str = "",
    place: int | None = None,
) -> str:
    """Draw what tokens and wordpieces look at, by layer and head.

    obj (Doc, Span): The Doc.
    layers, heads (sequence of int): Which to draw, counted from 0; None for all.
    level (str): What to show first: "tokens", "words" (tokens without boundary pieces), "pieces".
    name (str): What to call it where there are several, such as the name of a pipeline.
    place (int): Where it stands among several that belong together.
    RETURNS (str): A figure.
    RAISES (ValueError): TB025, TB051, TB052; TB055 where it would be too large for a browser.
    """
    check_attention(obj, layers=layers, heads=heads)
    texts = read_attention(obj, layers=layers, heads=heads)
    payload = {
        "dir": direction_of(obj),
        "level": level,
        "layers": texts[0].layers if texts else [],
        "heads": texts[0].heads if texts else [],
        "texts": [_attention_payload(obj.doc, text) for text in texts],
    }
    caption = f"Attention of {name}" if name else "Attention"
    data = {} if place is None else {"place": place}
    return matrix_figure("attention", caption, payload, **data)


def check_attention(
    obj: Obj, *, layers: Sequence[int] | None = None, heads: Sequence[int] | None = None
) -> None:
    """See that the attention is not too much to draw, before memory is taken for it.

    obj, layers, heads: As for `draw_attention`.
    RAISES (ValueError): TB051, TB052, TB055.
    """
    _check_size(count_cells(obj, layers=layers, heads=heads), MAX_CELLS)


def draw_similarity(one: Obj, two: Obj) -> str:
    """Draw how alike each token of one Doc is to each of another.

    one, two (Doc, Span): The Docs; they can be the same.
    RETURNS (str): A figure.
    RAISES (ValueError): TB017, TB052; TB055 where it would be too large for a browser.
    """
    _check_size(len(one) * len(two), MAX_MAP)
    values = token_similarity(one, two)
    n_tokens = f"{values.shape[0]} by {values.shape[1]} tokens"
    payload = {
        "dir": direction_of(one),
        "rows": _token_side(one),
        "columns": _token_side(two),
        "same": one is two,
        **_range_payload(values),
    }
    return matrix_figure("similarity", f"Cosine similarity of {n_tokens}", payload)


def draw_comparison(comparison: Comparison, names: tuple[str, str], places: tuple[int, int]) -> str:
    """Draw how much the heads of two transformers overlap.

    comparison (Comparison): The overlap of their heads.
    names (tuple of str): What the two are called.
    places (tuple of int): The `place` of the attention figures of the two on the same page.
    RETURNS (str): A figure; a click on a pair of heads shows them in the figures of attention.
    """
    shape = comparison.overlap.shape
    values = comparison.overlap.reshape(shape[0] * shape[1], shape[2] * shape[3])
    sides = []
    for name, n_layers, n_heads in zip(names, shape[::2], shape[1::2], strict=True):
        labels = [f"{layer}.{head}" for layer in range(n_layers) for head in range(n_heads)]
        titles = [
            f"layer {layer}, head {head}" for layer in range(n_layers) for head in range(n_heads)
        ]
        sides.append({"labels": labels, "titles": titles, "name": name, "per_line": n_heads})
    payload = {
        "dir": "ltr",
        "rows": sides[0],
        "columns": sides[1],
        "same": False,
        "places": places,
        **_range_payload(values),
    }
    caption = f"Overlap of the heads of {names[0]} and {names[1]}, each as layer.head"
    return matrix_figure("overlap", caption, payload)


def direction_of(obj: Obj) -> str:
    """RETURNS (str): "ltr" or "rtl": as most letters run, else as the language is written."""
    return direction(obj.text, obj.doc.vocab.writing_system.get("direction", "ltr"))


def title_of(obj: Obj) -> str:
    """RETURNS (str): The start of the text, on one line."""
    text = " ".join(obj.text.split())
    return text if len(text) <= TITLE_LENGTH else text[: TITLE_LENGTH - 1] + "…"


def _check_size(n_cells: int, most: int) -> None:
    if n_cells > most:
        raise ValueError(errors.TB055.format(n_cells=n_cells, most=most))


def _text_name(text: AlignedText) -> str:
    if not text.cut:
        return ""
    return '<span class="trf-note" dir="ltr">not read by the model:</span>'


def _groups(parts: Sequence[Part]) -> list[list[Part]]:
    """Put each boundary piece with a neighbour, so that none stands alone on a line."""
    groups: list[list[Part]] = []
    for part in parts:
        alone = bool(groups) and all(other.boundary for other in groups[-1])
        if groups and (part.boundary or alone):
            groups[-1].append(part)
        else:
            groups.append([part])
    return groups


def _draw_parts(doc: Doc, parts: Sequence[Part], pieces: dict[str, Any]) -> str:
    drawn = "".join(_draw_part(doc, part, pieces) for part in parts)
    return drawn if len(parts) == 1 else f'<div class="trf-group">{drawn}</div>'


def _draw_part(doc: Doc, part: Part, pieces: dict[str, Any]) -> str:
    tokens = "".join(_draw_token(doc, token) for token in part.tokens)
    below = "".join(_draw_piece(row, pieces, part) for row in part.rows)
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
        f'data-end="{end}"><bdi>{escape(visible(token.text))}</bdi></span>'
    )


def _draw_piece(row: int, pieces: dict[str, Any], part: Part) -> str:
    start, end = pieces["offsets"][row]
    share = pieces["shares"][row]
    linked = [part.tokens[link.token] for link in part.links if part.rows[link.piece] == row]
    kind = ' data-type="{}"'.format(pieces["types"][row]) if pieces["types"] else ""
    weight = f'<span class="trf-weight">{Fraction(1, share)}</span>' if share > 1 else ""
    return (
        f'<span class="trf-piece" tabindex="0" data-row="{row}" data-id="{pieces["ids"][row]}" '
        f'data-start="{start}" data-end="{end}" data-share="{share}"{kind} '
        f'data-tokens="{" ".join(map(str, linked))}">'
        f"<bdi>{escape(visible(pieces['strings'][row]))}</bdi>{weight}</span>"
    )


def _draw_links(part: Part) -> str:
    """Lines between the middles of equal columns, in percent, so that no text is measured."""
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


def _attention_payload(doc: Doc, text: Attention) -> dict[str, Any]:
    wordpieces, _ = read_links(doc)
    rows = slice(text.rows.start, text.rows.stop)
    span = doc[text.tokens.start : text.tokens.stop]
    offsets = wordpieces.offsets[rows].tolist()
    return {
        "title": title_of(span),
        "tokens": _token_side(span),
        "pieces": {
            "labels": [visible(piece) for piece in wordpieces.strings[rows]],
            "titles": [
                f"id {i}, characters {start}-{end}"
                for i, (start, end) in zip(wordpieces.ids[rows].tolist(), offsets, strict=True)
            ],
            "boundary": wordpieces.boundary[rows].astype(int).tolist(),
        },
        "data": {
            "tokens": pack_roots(text.by_token()),
            "words": pack_roots(text.by_token(boundary=False)),
            "pieces": pack_roots(text.by_piece),
        },
    }


def _token_side(obj: Obj) -> dict[str, Any]:
    shown = shown_tokens(obj)
    tokens = [obj.doc[i] for i in shown]
    return {
        "labels": [visible(token.text) for token in tokens],
        "titles": [f"token {t.i}, characters {t.idx}-{t.idx + len(t)}" for t in tokens],
        "dir": direction_of(obj),
    }


def _range_payload(values: Any) -> dict[str, Any]:
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    return {"low": low, "high": high, "values": pack_range(values, low, high)}
