"""The page of `python -m spacy trf …`, from the commands that are registered with spaCy."""

from __future__ import annotations

import inspect
import re
import textwrap
from typing import Any

from markup import escape, escape_bars

GROUP = "trf"


def find_group() -> Any:
    """Find our commands among spaCy's.

    RETURNS (click group): The group, or None where there is none.
    """
    from spacy.cli._util import app
    from spacy.util import registry
    from typer.main import get_command

    registry.cli.get_all()  # as spaCy does before it runs a command
    return getattr(get_command(app), "commands", {}).get(GROUP)


def commands(group: Any = None) -> str:
    """Describe each command: what it does, how it is called, its arguments and options.

    group (click group): The group; None for the one that is registered.
    RETURNS (str): A section for each.
    """
    group = find_group() if group is None else group
    if group is None:
        return "There are no commands in this version."
    names = group.list_commands(None)
    return "\n\n".join(_command(name, group.get_command(None, name)) for name in names)


def _command(name: str, command: Any) -> str:
    context = command.make_context(name, [], resilient_parsing=True)
    usage = ["python -m spacy", GROUP, name, *command.collect_usage_pieces(context)]
    parts = [f"## {name}", f"```text\n{' '.join(usage)}\n```", _prose(command.help or "")]
    records = [parameter.get_help_record(context) for parameter in command.params]
    rows = [
        f"| `{escape_bars(names)}` | {escape_bars(escape(text))} |"
        for names, text in filter(None, records)
    ]
    if rows:
        parts.append("\n".join(["| | what it is |", "|---|---|", *rows]))
    return "\n\n".join(part for part in parts if part)


def _prose(text: str) -> str:
    """A help text. Blocks that are not to be wrapped, marked `\\b`, are commands to copy."""
    blocks = []
    for block in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        lines = block.splitlines()
        if not lines or lines[0].strip() != "\b":
            blocks.append(escape(" ".join(block.split())))
            continue
        lines = lines[1:]
        if lines and lines[0].endswith(":"):
            blocks.append(escape(lines.pop(0)))
        code = textwrap.dedent("\n".join(lines))
        blocks.append(f"```text\n{code}\n```")
    return "\n\n".join(blocks)
