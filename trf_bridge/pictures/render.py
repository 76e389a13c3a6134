"""The public function `trf_bridge.render`, which draws pictures as displaCy does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from spacy.tokens import Doc, Span
from spacy.util import is_in_jupyter

from .. import errors
from .figures import draw_alignment, draw_attention, draw_similarity, title_of
from .templates import wrap, wrap_page

if TYPE_CHECKING:
    from .token_links import DocLike

STYLES = ("alignment", "attention", "similarity")
THEMES = ("auto", "light", "dark")


def render(
    docs: DocLike | Iterable[DocLike],
    *,
    style: str = "alignment",
    page: bool = False,
    jupyter: bool | None = None,
    theme: str = "auto",
    layers: Sequence[int] | None = None,
    heads: Sequence[int] | None = None,
) -> str | None:
    """Draw what the transformer computed for a Doc, as HTML without external resources.

    The style "alignment" shows tokens above, wordpieces below, and the links between them with
    their weights. "attention" shows which tokens or wordpieces each of them attends to, by layer
    and head; the pipeline must store the attention (output_attentions = true). "similarity" shows
    the cosine similarity of each token with each other, within one Doc or between two.

    docs (Doc, Span, or iterable of them): What to draw. For a Span, only its own tokens are drawn,
        except for attention, which is drawn for each sentence that the Span has tokens of.
    style (str): "alignment", "attention" or "similarity".
    page (bool): Return a complete page instead of HTML to embed.
    jupyter (bool): Display the picture in the notebook and return None; None to detect a notebook.
    theme (str): "light", "dark", or "auto" for the color scheme of the reader's system or notebook.
    layers, heads (sequence of int): The layers and heads of attention to draw, counted from 0; None
        for all.
    RETURNS (str): HTML; None if the picture is displayed in a notebook.
    RAISES (ValueError, TypeError): TB008, TB017, TB025, TB050, TB051, TB052, TB053, TB055.
    """
    _check_choice("style", style, STYLES)
    _check_choice("theme", theme, THEMES)
    doclikes = _as_list(docs)
    if style == "alignment":
        figures = [draw_alignment(doclike) for doclike in doclikes]
    elif style == "attention":
        figures = [draw_attention(doclike, layers=layers, heads=heads) for doclike in doclikes]
    else:
        if not 1 <= len(doclikes) <= 2:
            got = f"{len(doclikes)} Docs"
            message = errors.TB053.format(
                what="The style 'similarity'", expected="one Doc, or two", got=got
            )
            raise ValueError(message)
        figures = [draw_similarity(doclikes[0], doclikes[-1])]
    title = f"{style}: {title_of(doclikes[0])}" if doclikes else style
    lang = doclikes[0].doc.lang_ if doclikes else ""
    return show(figures, title=title, lang=lang, page=page, jupyter=jupyter, theme=theme)


def show(
    figures: list[str],
    *,
    title: str,
    lang: str = "",
    page: bool = False,
    jupyter: bool | None = None,
    theme: str = "auto",
) -> str | None:
    """Join figures, and display them if this is a notebook.

    figures (list of str): HTML.
    title (str): The title of the page.
    lang (str): The code of its language.
    page (bool): Build a complete page.
    jupyter (bool): Display the figures in the notebook; None to detect a notebook.
    theme (str): "auto", "light" or "dark".
    RETURNS (str): HTML; None if the figures are displayed in a notebook.
    """
    html = wrap(figures, theme=theme)
    if page:
        html = wrap_page(html, title=title, lang=lang, theme=theme)
    if jupyter or (jupyter is None and is_in_jupyter()):
        from IPython.display import HTML, display

        # This class stops MathJax from reading dollar signs in the text as formulas.
        display(HTML(f'<div class="tex2jax_ignore">{html}</div>'))
        return None
    return html


def _as_list(docs: Any) -> list[DocLike]:
    """Return one or several Docs or Spans as a list, or raise TB050."""
    single = isinstance(docs, Doc | Span | str) or not isinstance(docs, Iterable)
    doclikes = [docs] if single else list(docs)
    for doclike in doclikes:
        if not isinstance(doclike, Doc | Span):
            raise TypeError(errors.TB050.format(got=type(doclike).__name__))
    return doclikes


def _check_choice(field: str, got: str, expected: Sequence[str]) -> None:
    if got not in expected:
        message = errors.TB008.format(field=field, got=repr(got), expected=", ".join(expected))
        raise ValueError(message)
