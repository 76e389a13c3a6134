"""Write text as Markdown."""

from __future__ import annotations

import re

# Names with an underscore, such as doc._.trf_outputs, and settings with a value. Names that start
# with n_ are sizes in shapes.
VALUE = r"""(?:'[\w-]+'|"[\w-]+"|true\b|false\b|\d[\w.]*\b)"""
SNAKE = r"(?=[\w.]*_)(?!n_|trf_bridge\b)[a-z]\w*(?:\.\w+)*"
NAME = re.compile(rf"""((?<![\w"'])(?:{SNAKE}(?: = {VALUE})?|[a-z]+ = {VALUE}))""")


def escape(text: str) -> str:
    """Escape the characters that Markdown would interpret. Text in backticks stays code.

    text (str): Text of a docstring or a message.
    RETURNS (str): Markdown.
    """
    parts = text.split("`")
    for i in range(0, len(parts), 2):
        parts[i] = re.sub(r"([\\*_<>\[\]#])", r"\\\1", parts[i])
    return "`".join(parts)


def as_prose(text: str) -> str:
    """Escape text, and write the names of attributes and settings in it as code.

    text (str): Text of a docstring or a message.
    RETURNS (str): Markdown.
    """
    parts = text.split("`")
    for i in range(0, len(parts), 2):
        pieces = NAME.split(parts[i])
        parts[i] = "".join(f"`{p}`" if j % 2 else escape(p) for j, p in enumerate(pieces))
    return "`".join(parts)


def as_code(text: str) -> str:
    """Write text as inline code, also if it contains backticks.

    text (str): The text, of one line.
    RETURNS (str): Markdown.
    """
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def escape_bars(markdown: str) -> str:
    """Write Markdown for a cell of a table, where a vertical bar ends the cell even in code.

    markdown (str): Markdown, of one or more lines.
    RETURNS (str): The same in one line.
    """
    return " ".join(markdown.split()).replace("|", "\\|")


def make_table(header: list[str], rows: list[list[str]]) -> str:
    """Write a table.

    header (list of str, (n_columns,)): Titles of the columns.
    rows (list of list of str, each (n_columns,)): Cells, as Markdown.
    RETURNS (str): Markdown.
    """
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(escape_bars, line))} |" for line in lines)
