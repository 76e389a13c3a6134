"""Reads the docstrings of this project: what a function does, its arguments, what it raises."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

NOTES = ("RETURNS", "YIELDS", "RAISES", "WARNS")
ENTRY = re.compile(r"(?P<names>\*{0,2}\w+(?:, \w+)*)(?: \((?P<type>.*?)\))?: (?P<text>.+)")


@dataclass(frozen=True)
class Argument:
    """Type and meaning of an argument, or of a field of a record."""

    type: str
    text: str


@dataclass
class Docstring:
    """The parts of a docstring.

    paragraphs: What stands before the arguments.
    arguments: Name -> what it is.
    notes: "RETURNS" and so on -> (type, text).
    """

    paragraphs: list[str] = field(default_factory=list)
    arguments: dict[str, Argument] = field(default_factory=dict)
    notes: dict[str, Argument] = field(default_factory=dict)


def read_docstring(described: Callable[..., Any]) -> Docstring:
    """Read the docstring of a function or a class.

    described (callable): The function or class.
    RETURNS (Docstring): Its parts.
    """
    found = Docstring()
    for paragraph in re.split(r"\n\s*\n", inspect.getdoc(described) or ""):
        matches = [match for entry in _entries(paragraph) if (match := ENTRY.fullmatch(entry))]
        if len(matches) < len(_entries(paragraph)):
            found.paragraphs.append(" ".join(paragraph.split()))
            continue
        for match in matches:
            kind = found.notes if match["names"] in NOTES else found.arguments
            for name in match["names"].split(", "):
                kind[name.lstrip("*")] = Argument(match["type"] or "", match["text"])
    return found


def _entries(paragraph: str) -> list[str]:
    """The lines of a paragraph; an indented line goes on with the one before."""
    entries: list[str] = []
    for line in paragraph.splitlines():
        if line.startswith(" ") and entries:
            entries[-1] += " " + line.strip()
        else:
            entries.append(line.strip())
    return entries
