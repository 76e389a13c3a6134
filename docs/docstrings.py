"""Parse docstrings: what a function does, its arguments, what it returns and raises."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

NOTES = ("RETURNS", "YIELDS", "RAISES", "WARNS", "SOURCE")
ENTRY = re.compile(r"(?P<names>\*{0,2}\w+(?:, \w+)*)(?: \((?P<type>.*?)\))?: (?P<text>.+)")


@dataclass(frozen=True)
class Argument:
    """The type and the description of an argument, or of a field of a record."""

    type: str
    text: str


@dataclass
class Docstring:
    """The parts of a docstring.

    paragraphs: The text before the arguments.
    arguments: Description by name.
    notes: Description by "RETURNS", "RAISES" and so on.
    """

    paragraphs: list[str] = field(default_factory=list)
    arguments: dict[str, Argument] = field(default_factory=dict)
    notes: dict[str, Argument] = field(default_factory=dict)


def read_docstring(described: Callable[..., Any] | property) -> Docstring:
    """Parse the docstring of a function, a class or a property.

    described (callable, property): The object with the docstring.
    RETURNS (Docstring): The parts of the docstring.
    """
    parsed = Docstring()
    for paragraph in re.split(r"\n\s*\n", inspect.getdoc(described) or ""):
        entries = _entries(paragraph)
        matches = [match for entry in entries if (match := ENTRY.fullmatch(entry))]
        if len(matches) < len(entries):
            parsed.paragraphs.append(" ".join(paragraph.split()))
            continue
        for match in matches:
            target = parsed.notes if match["names"] in NOTES else parsed.arguments
            for name in match["names"].split(", "):
                target[name.lstrip("*")] = Argument(match["type"] or "", match["text"])
    return parsed


def _entries(paragraph: str) -> list[str]:
    """Split a paragraph into lines; indented lines continue the line before."""
    entries: list[str] = []
    for line in paragraph.splitlines():
        if line.startswith(" ") and entries:
            entries[-1] += " " + line.strip()
        else:
            entries.append(line.strip())
    return entries
