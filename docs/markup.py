"""Text as Markdown."""

from __future__ import annotations

import re


def escape(text: str) -> str:
    """Write text so that it stands for itself; what is in backticks is code.

    text (str): Text of a docstring or a message.
    RETURNS (str): Markdown.
    """
    parts = text.split("`")
    for i in range(0, len(parts), 2):
        parts[i] = re.sub(r"([\\*_<>\[\]#])", r"\\\1", parts[i])
    return "`".join(parts)


def escape_bars(markdown: str) -> str:
    """Write Markdown for the cell of a table, where a bar ends the cell also in code.

    markdown (str): Markdown, of one or more lines.
    RETURNS (str): The same in one line.
    """
    return " ".join(markdown.split()).replace("|", "\\|")
