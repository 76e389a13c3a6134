"""Turn the data of each picture into an HTML figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .. import errors
from .alignment import read_alignment
from .alignment_html import draw_lines
from .attention import Attention, count_cells, read_attention
from .encoding import pack_range, pack_roots, show_invisible, text_direction
from .head_overlap import Comparison
from .similarity import token_similarity
from .templates import matrix_figure
from .token_links import read_links, token_indices

if TYPE_CHECKING:
    from spacy.tokens import Doc

    from ..types import Array
    from .token_links import DocLike

# Values of attention that a browser holds in memory without becoming slow.
MAX_CELLS = 50_000_000
# Cells that a browser draws as one matrix, such as those of 3,000 by 3,000 tokens.
MAX_MAP = 9_000_000
TITLE_LENGTH = 60


def draw_alignment(doclike: DocLike) -> str:
    """Draw the tokens, the wordpieces below them, and the links between them.

    doclike (Doc, Span): The Doc or Span.
    RETURNS (str): An HTML figure.
    RAISES (ValueError): TB052.
    """
    texts = read_alignment(doclike)
    lines = draw_lines(doclike.doc, texts, *read_links(doclike.doc))
    if not lines:
        lines.append('<p class="trf-note">The text is empty.</p>')
    n_pieces = sum(len(part.rows) for text in texts for part in text.parts)
    caption = f"{len(doclike)} tokens above, {n_pieces} wordpieces below"
    return (
        f'<figure class="trf-figure trf-alignment" data-kind="alignment">\n'
        f"<figcaption>{caption}</figcaption>\n"
        f'<div class="trf-lines" dir="{direction_of(doclike)}">\n' + "\n".join(lines) + "\n</div>\n"
        '<p class="trf-readout" aria-live="polite"></p>\n</figure>'
    )


def draw_attention(
    doclike: DocLike,
    *,
    layers: Sequence[int] | None = None,
    heads: Sequence[int] | None = None,
    level: str = "tokens",
    name: str = "",
    place: int | None = None,
) -> str:
    """Draw the attention between tokens and between wordpieces, by layer and head.

    doclike (Doc, Span): The Doc or Span.
    layers, heads (sequence of int): The layers and heads to draw, counted from 0; None for all.
    level (str): What is shown first: "tokens", "words" (tokens without boundary pieces) or
        "pieces".
    name (str): A name for the caption, such as that of a pipeline.
    place (int): The index by which a figure of head overlap selects this figure; None for no index.
    RETURNS (str): An HTML figure.
    RAISES (ValueError): TB025, TB051, TB052; TB055 where the figure is too large for a browser.
    """
    check_attention(doclike, layers=layers, heads=heads)
    texts = read_attention(doclike, layers=layers, heads=heads)
    payload = {
        "dir": direction_of(doclike),
        "level": level,
        "layers": texts[0].layers if texts else [],
        "heads": texts[0].heads if texts else [],
        "texts": [_attention_payload(doclike.doc, text) for text in texts],
    }
    caption = f"Attention of {name}" if name else "Attention"
    data = {} if place is None else {"place": place}
    return matrix_figure("attention", caption, payload, **data)


def check_attention(
    doclike: DocLike, *, layers: Sequence[int] | None = None, heads: Sequence[int] | None = None
) -> None:
    """Check that the attention is not too large to draw, before memory is allocated for it.

    doclike, layers, heads: As for `draw_attention`.
    RAISES (ValueError): TB051, TB052, TB055.
    """
    _check_size(count_cells(doclike, layers=layers, heads=heads), MAX_CELLS)


def draw_similarity(one: DocLike, two: DocLike) -> str:
    """Draw the cosine similarity of each token of one Doc with each token of another.

    one, two (Doc, Span): The Docs or Spans; they can be the same.
    RETURNS (str): An HTML figure.
    RAISES (ValueError): TB017, TB052; TB055 where the figure is too large for a browser.
    """
    _check_size(len(one) * len(two), MAX_MAP)
    values = token_similarity(one, two)
    n_tokens = f"{values.shape[0]} by {values.shape[1]} tokens"
    payload = {
        "dir": direction_of(one),
        "rows": _token_labels(one),
        "columns": _token_labels(two),
        "same": one is two,
        **_values_payload(values),
    }
    return matrix_figure("similarity", f"Cosine similarity of {n_tokens}", payload)


def draw_comparison(comparison: Comparison, names: tuple[str, str], places: tuple[int, int]) -> str:
    """Draw the overlap between the attention heads of two transformers.

    A click on a pair of heads selects both in the figures of attention on the same page.

    comparison (Comparison): The overlap.
    names (tuple of str): The names of the two transformers.
    places (tuple of int): The `place` of their figures of attention.
    RETURNS (str): An HTML figure.
    """
    shape = comparison.overlap.shape
    values = comparison.overlap.reshape(shape[0] * shape[1], shape[2] * shape[3])
    rows, columns = map(_head_labels, names, shape[::2], shape[1::2])
    payload = {
        "dir": "ltr",
        "rows": rows,
        "columns": columns,
        "same": False,
        "places": places,
        **_values_payload(values),
    }
    caption = f"Overlap of the heads of {names[0]} and {names[1]}, labeled as layer.head"
    return matrix_figure("overlap", caption, payload)


def direction_of(doclike: DocLike) -> str:
    """Return the direction of most letters, or that of the language if there are none.

    doclike (Doc, Span): The Doc or Span.
    RETURNS (str): "ltr" or "rtl".
    """
    default = doclike.doc.vocab.writing_system.get("direction", "ltr")
    return text_direction(doclike.text, default)


def title_of(doclike: DocLike) -> str:
    """Return the start of the text on one line.

    doclike (Doc, Span): The Doc or Span.
    RETURNS (str): Up to 60 characters.
    """
    text = " ".join(doclike.text.split())
    return text if len(text) <= TITLE_LENGTH else text[: TITLE_LENGTH - 1] + "…"


def _check_size(n_cells: int, most: int) -> None:
    if n_cells > most:
        raise ValueError(errors.TB055.format(n_cells=n_cells, most=most))


def _attention_payload(doc: Doc, text: Attention) -> dict[str, Any]:
    wordpieces, _ = read_links(doc)
    rows = slice(text.rows.start, text.rows.stop)
    span = doc[text.tokens.start : text.tokens.stop]
    offsets = wordpieces.offsets[rows].tolist()
    return {
        "title": title_of(span),
        "tokens": _token_labels(span),
        "pieces": {
            "labels": [show_invisible(piece) for piece in wordpieces.strings[rows]],
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


def _token_labels(doclike: DocLike) -> dict[str, Any]:
    tokens = [doclike.doc[i] for i in token_indices(doclike)]
    return {
        "labels": [show_invisible(token.text) for token in tokens],
        "titles": [f"token {t.i}, characters {t.idx}-{t.idx + len(t)}" for t in tokens],
        "dir": direction_of(doclike),
    }


def _head_labels(name: str, n_layers: int, n_heads: int) -> dict[str, Any]:
    heads = [(layer, head) for layer in range(n_layers) for head in range(n_heads)]
    return {
        "labels": [f"{layer}.{head}" for layer, head in heads],
        "titles": [f"layer {layer}, head {head}" for layer, head in heads],
        "name": name,
        "per_line": n_heads,
    }


def _values_payload(values: Array) -> dict[str, Any]:
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    return {"low": low, "high": high, "values": pack_range(values, low, high)}
