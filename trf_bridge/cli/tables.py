"""Tables for a terminal, of texts in any script."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Literal

SPACING = 3


def make_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()
) -> str:
    """Put cells into columns.

    header (sequence of str, (n_columns,)): What stands above each column.
    rows (sequence of sequence of str, each (n_columns,)): The cells. White space and control
        characters in them are written as signs, so that no text changes the terminal.
    right (sequence of int): Columns of numbers, which end at the same place.
    RETURNS (str): The lines of the table.
    """
    from wasabi.tables import row

    cells = [[visible(cell) for cell in line] for line in (header, *rows)]
    widths = [max(map(width_of, column)) for column in zip(*cells, strict=True)]
    aligns: list[Literal["l", "r"]] = ["r" if i in right else "l" for i in range(len(widths))]
    lines = []
    for line in cells:
        # wasabi counts characters: tell it how many of them fill the column.
        filling = [n - width_of(cell) + len(cell) for n, cell in zip(widths, line, strict=True)]
        lines.append(row(line, widths=filling, spacing=SPACING, aligns=aligns).rstrip())
    divider = row(["-" * width for width in widths], widths=widths, spacing=SPACING)
    return "\n".join([lines[0], divider, *lines[1:]])


def visible(text: str) -> str:
    """Write what does not print as signs.

    text (str): Any text.
    RETURNS (str): The same with signs for spaces that stand alone, line breaks, control characters
        and whatever else doesn't print.
    """
    if text and not text.strip(" "):
        return "␣" * len(text)
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def width_of(text: str) -> int:
    """RETURNS (int): The columns that a text takes in a terminal."""
    width = 0
    for char in text:
        if unicodedata.category(char) not in ("Mn", "Me", "Cf"):
            width += 2 if unicodedata.east_asian_width(char) in "WF" else 1
    return width
