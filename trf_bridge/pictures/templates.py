"""Templates: what was computed, as HTML that needs nothing but itself."""

from __future__ import annotations

import base64
import json
import unicodedata
import zlib
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

import numpy

from ..types import Array

ASSETS = Path(__file__).parent / "assets"

# The browser itself then refuses whatever would leave the page.
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

# Characters that would not be seen, and what stands for them.
VISIBLE = {" ": "\u2423", "\n": "\u21b5", "\t": "\u21e5", "\r": "\u240d", "\u00a0": "\u237d"}


def wrap(figures: list[str], *, theme: str) -> str:
    """Put figures, their style and their script together.

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
    """Make a whole page.

    body (str): HTML.
    title, lang (str): Of the page; the title as plain text.
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
    """Make a figure that `matrix.js` draws.

    kind (str): "attention" or "similarity"; what the reader is told about the numbers.
    caption (str): Plain text.
    payload (dict): What is to be drawn.
    **data: Attributes of the figure, without their `data-`.
    RETURNS (str): HTML.
    """
    attributes = "".join(f' data-{name}="{escape(str(data[name]))}"' for name in data)
    return MATRIX.format(
        kind=kind, caption=escape(caption), payload=as_json(payload), attributes=attributes
    )


def as_json(value: Any) -> str:
    """Write JSON that can stand in a script element, whatever the strings in it.

    value: What JSON can say.
    RETURNS (str): JSON without `<`, `>` and `&`.
    """
    written = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        written = written.replace(sign, f"\\u{ord(sign):04x}")
    return written


def pack_roots(values: Array) -> str:
    """Pack numbers from 0 to 1 into a byte each: the square root, so that small ones stay exact.

    values (float): From 0 to 1.
    RETURNS (str): Compressed, in base64. A number is off by less than 0.004 at 1, 0.0004 at 0.01.
    """
    roots = numpy.rint(numpy.sqrt(numpy.clip(values, 0, 1)) * 255).astype("uint8")
    return _pack(roots.tobytes())


def pack_range(values: Array, low: float, high: float) -> str:
    """Pack numbers within a range into two bytes each.

    values (float): From low to high.
    low, high (float): The range.
    RETURNS (str): Compressed, in base64.
    """
    scaled = (numpy.asarray(values, dtype="float64") - low) / ((high - low) or 1)
    return _pack(numpy.rint(numpy.clip(scaled, 0, 1) * 65535).astype("<u2").tobytes())


def visible(text: str) -> str:
    """Write the text of a token so that something of it is seen.

    text (str): The text.
    RETURNS (str): The same, unless it is nothing but white space and signs without a shape of their
        own, such as a joiner between emoji.
    """
    if any(not sign.isspace() and unicodedata.category(sign) not in ("Cc", "Cf") for sign in text):
        return text
    return "".join(VISIBLE.get(sign, f"U+{ord(sign):04X}") for sign in text)


def direction(text: str, default: str = "ltr") -> str:
    """Find the direction that most letters of a text run in.

    text (str): The text.
    default (str): What to say where no letter runs in either.
    RETURNS (str): "ltr" or "rtl".
    """
    kinds = [unicodedata.bidirectional(sign) for sign in text]
    left, right = kinds.count("L"), kinds.count("R") + kinds.count("AL")
    if left == right:
        return default
    return "rtl" if right > left else "ltr"


@cache
def asset(name: str) -> str:
    """RETURNS (str): A style sheet or a script of this package."""
    return (ASSETS / name).read_text(encoding="utf8")


def _pack(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, 6)).decode("ascii")
