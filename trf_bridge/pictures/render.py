"""`trf_bridge.render`: pictures in the manner of displaCy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from spacy.tokens import Doc, Span
from spacy.util import is_in_jupyter

from .. import errors
from .figures import draw_alignment, draw_attention, draw_similarity, title_of
from .templates import wrap, wrap_page

if TYPE_CHECKING:
    from .token_links import Obj

STYLES = ("alignment", "attention", "similarity")
THEMES = ("auto", "light", "dark")


def render(
    docs: Obj | Iterable[Obj],
    *,
    style: str = "alignment",
    page: bool = False,
    jupyter: bool | None = None,
    theme: str = "auto",
    layers: Sequence[int] | None = None,
    heads: Sequence[int] | None = None,
) -> str | None:
    """Draw what the transformer made of a Doc, as HTML that needs no network and no other file.

    *alignment*: tokens above, wordpieces below, and the links between them with their weights.
    *attention*: what each token or wordpiece looks at, by layer and head; the pipeline must keep
    the attentions (output_attentions = true). Carried over to tokens, rows add up to one.
    *similarity*: the cosine of every token with every other, of one Doc or between two.

    docs (Doc, Span, or iterable of them): What to draw. Of a Span, its own tokens; in attention,
        the sentences that it touches.
    style (str): "alignment", "attention" or "similarity".
    page (bool): Make a whole page, not just what goes into one.
    jupyter (bool): Show the picture in the notebook, and return nothing; None to find out.
    theme (str): "light", "dark", or "auto" for that of the reader.
    layers, heads (sequence of int): What to draw of the attention, counted from 0; None for all.
    RETURNS (str): HTML; None where it was shown in a notebook.
    RAISES (ValueError, TypeError): TB008, TB017, TB025, TB050, TB051, TB052, TB053, TB055.
    """
    _check_choice("style", style, STYLES)
    _check_choice("theme", theme, THEMES)
    objs = _as_list(docs)
    if style == "alignment":
        figures = [draw_alignment(obj) for obj in objs]
    elif style == "attention":
        figures = [draw_attention(obj, layers=layers, heads=heads) for obj in objs]
    else:
        if not 1 <= len(objs) <= 2:
            message = errors.TB053.format(
                what="The style 'similarity'", expected="one Doc, or two", got=f"{len(objs)} Docs"
            )
            raise ValueError(message)
        figures = [draw_similarity(objs[0], objs[-1])]
    title = f"{style}: {title_of(objs[0])}" if objs else style
    lang = objs[0].doc.lang_ if objs else ""
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
    """Put figures together, and show them where this is a notebook.

    figures (list of str): HTML.
    title, lang (str): Of the page.
    page (bool): Make a whole page.
    jupyter (bool): Show them in the notebook; None to find out.
    theme (str): "auto", "light" or "dark".
    RETURNS (str): HTML; None where it was shown in a notebook.
    """
    html = wrap(figures, theme=theme)
    if page:
        html = wrap_page(html, title=title, lang=lang, theme=theme)
    if jupyter or (jupyter is None and is_in_jupyter()):
        from IPython.display import HTML, display

        # The class keeps MathJax away from dollar signs in the text.
        display(HTML(f'<div class="tex2jax_ignore">{html}</div>'))
        return None
    return html


def _as_list(docs: Any) -> list[Obj]:
    alone = isinstance(docs, Doc | Span | str) or not isinstance(docs, Iterable)
    objs = [docs] if alone else list(docs)
    for obj in objs:
        if not isinstance(obj, Doc | Span):
            raise TypeError(errors.TB050.format(got=type(obj).__name__))
    return objs


def _check_choice(field: str, got: str, expected: Sequence[str]) -> None:
    if got not in expected:
        message = errors.TB008.format(field=field, got=repr(got), expected=", ".join(expected))
        raise ValueError(message)
