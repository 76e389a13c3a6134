"""Format tables for a terminal, with texts in any script."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Literal

SPACING = 3


def make_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()
) -> str:
    """Format rows as a table.

    header (sequence of str, (n_columns,)): The titles of the columns.
    rows (sequence of sequence of str, each (n_columns,)): The cells. Characters that do not print
        are escaped, so that no text can control the terminal.
    right (sequence of int): Indices of the columns that are aligned to the right.
    RETURNS (str): The table.
    """
    from wasabi.tables import row

    cells = [[escape_unprintable(cell) for cell in line] for line in (header, *rows)]
    widths = [max(map(width_of, column)) for column in zip(*cells, strict=True)]
    aligns: list[Literal["l", "r"]] = ["r" if i in right else "l" for i in range(len(widths))]
    lines = []
    for line in cells:
        # wasabi counts characters, not columns of the terminal.
        n_chars = [n - width_of(cell) + len(cell) for n, cell in zip(widths, line, strict=True)]
        lines.append(row(line, widths=n_chars, spacing=SPACING, aligns=aligns).rstrip())
    divider = row(["-" * width for width in widths], widths=widths, spacing=SPACING)
    return "\n".join([lines[0], divider, *lines[1:]])


def escape_unprintable(text: str) -> str:
    """Replace characters that do not print by their escape sequences.

    text (str): Any text.
    RETURNS (str): The text, with escape sequences for line breaks, control characters and the like.
        A text of spaces only becomes a text of "␣".
    """
    if text and not text.strip(" "):
        return "␣" * len(text)
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def width_of(text: str) -> int:
    """Return the number of terminal columns that a text takes."""
    width = 0
    for char in text:
        if unicodedata.category(char) not in ("Mn", "Me", "Cf"):
            width += 2 if unicodedata.east_asian_width(char) in "WF" else 1
    return width
