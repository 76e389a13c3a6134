"""Encode values and text for a page: JSON, packed arrays, visible characters, text direction."""

from __future__ import annotations

import base64
import json
import unicodedata
import zlib
from typing import Any

import numpy

from ..types import Array

# Symbols that replace the most frequent invisible characters.
SYMBOLS = {" ": "\u2423", "\n": "\u21b5", "\t": "\u21e5", "\r": "\u240d", "\u00a0": "\u237d"}


def as_json(value: Any) -> str:
    """Write a value as JSON that is safe inside a script element, whatever its strings contain.

    value: A value that JSON can represent.
    RETURNS (str): JSON without `<`, `>` and `&`.
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def pack_roots(values: Array) -> str:
    """Pack numbers from 0 to 1 into one byte each.

    The square roots are stored, so that small numbers stay precise.

    values (float): From 0 to 1.
    RETURNS (str): Compressed bytes in base64. The error is below 0.004 at 1, and 0.0004 at 0.01.
    """
    roots = numpy.rint(numpy.sqrt(numpy.clip(values, 0, 1)) * 255).astype("uint8")
    return _pack(roots.tobytes())


def pack_range(values: Array, low: float, high: float) -> str:
    """Pack numbers within a range into two bytes each.

    values (float): From low to high.
    low, high (float): The range.
    RETURNS (str): Compressed bytes in base64.
    """
    scaled = (numpy.asarray(values, dtype="float64") - low) / ((high - low) or 1)
    return _pack(numpy.rint(numpy.clip(scaled, 0, 1) * 65535).astype("<u2").tobytes())


def show_invisible(text: str) -> str:
    """Replace a text that has no visible character, such as white space or a joiner between emoji.

    text (str): The text of a token or a wordpiece.
    RETURNS (str): The same text if any of it is visible; if not, a symbol or a code point for each
        character.
    """
    if any(not char.isspace() and unicodedata.category(char) not in ("Cc", "Cf") for char in text):
        return text
    return "".join(SYMBOLS.get(char, f"U+{ord(char):04X}") for char in text)


def text_direction(text: str, default: str = "ltr") -> str:
    """Return the direction of most letters of a text.

    text (str): The text.
    default (str): The direction of a text with as many letters in either direction, or with none.
    RETURNS (str): "ltr" or "rtl".
    """
    kinds = [unicodedata.bidirectional(char) for char in text]
    left, right = kinds.count("L"), kinds.count("R") + kinds.count("AL")
    if left == right:
        return default
    return "rtl" if right > left else "ltr"


def _pack(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, 6)).decode("ascii")
