"""HTML templates of a page and of a figure that contains a matrix."""

from __future__ import annotations

from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from .encoding import as_json

ASSETS = Path(__file__).parent / "assets"

# The browser enforces it: a page loads nothing from elsewhere, and sends nothing.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'"
)

PAGE = """<!DOCTYPE html>
<html lang="{lang}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="{scheme}">
<link rel="icon" href="data:,">
<title>{title}</title>
</head>
<body class="trf-page" data-theme="{theme}">
{body}
</body>
</html>
"""

MATRIX = """<figure class="trf-figure trf-matrix" data-kind="{kind}"{attributes}>
<figcaption>{caption}</figcaption>
<div class="trf-view"><noscript>This picture needs JavaScript.</noscript></div>
<script type="application/json">{payload}</script>
</figure>"""


def wrap(figures: list[str], *, theme: str) -> str:
    """Join figures with their style sheet and their scripts.

    figures (list of str): HTML.
    theme (str): "auto", "light" or "dark".
    RETURNS (str): HTML for a notebook or for the body of a page.
    """
    scripts = "\n".join(asset(name) for name in ("alignment.js", "matrix.js"))
    return (
        f'<div class="trf-render" data-theme="{theme}">\n<style>{asset("style.css")}</style>\n'
        + "\n".join(figures)
        + f"\n<script>{scripts}</script>\n</div>"
    )


def wrap_page(body: str, *, title: str, lang: str, theme: str) -> str:
    """Build a complete page.

    body (str): HTML.
    title (str): The title of the page, as plain text.
    lang (str): The code of its language.
    theme (str): "auto", "light" or "dark".
    RETURNS (str): The page.
    """
    scheme = {"auto": "light dark"}.get(theme, theme)
    return PAGE.format(
        lang=escape(lang),
        policy=POLICY,
        scheme=scheme,
        title=escape(title),
        theme=theme,
        body=body,
    )


def matrix_figure(kind: str, caption: str, payload: dict[str, Any], **data: object) -> str:
    """Build a figure that `matrix.js` draws in the browser.

    kind (str): "attention", "similarity" or "overlap"; selects the labels and messages.
    caption (str): Plain text.
    payload (dict): The data of the figure.
    **data: `data-` attributes of the figure, without that prefix.
    RETURNS (str): HTML.
    """
    attributes = "".join(f' data-{name}="{escape(str(data[name]))}"' for name in data)
    return MATRIX.format(
        kind=kind, caption=escape(caption), payload=as_json(payload), attributes=attributes
    )


@cache
def asset(name: str) -> str:
    """Read a style sheet or a script of this package.

    name (str): The name of a file in `assets/`.
    RETURNS (str): Its text.
    """
    return (ASSETS / name).read_text(encoding="utf8")
