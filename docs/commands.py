"""Generate the page of `python -m spacy trf …` from the registered commands."""

from __future__ import annotations

import inspect
import re
import textwrap
from typing import Any

from markup import as_prose, make_table

GROUP = "trf"


def find_group() -> Any:
    """Find the group of the package's commands among spaCy's commands.

    RETURNS (click group): The group; None if it is not registered.
    """
    from spacy.cli._util import app
    from spacy.util import registry
    from typer.main import get_command

    registry.cli.get_all()  # as spaCy does before it runs a command
    return getattr(get_command(app), "commands", {}).get(GROUP)


def commands(group: Any = None) -> str:
    """Describe each command: its purpose, its call, its arguments and options.

    group (click group): The group of commands; None for the registered one.
    RETURNS (str): A section for each.
    """
    group = find_group() if group is None else group
    if group is None:
        return "This version has no commands."
    names = group.list_commands(None)
    return "\n\n".join(_command(name, group.get_command(None, name)) for name in names)


def _command(name: str, command: Any) -> str:
    context = command.make_context(name, [], resilient_parsing=True)
    usage = ["python -m spacy", GROUP, name, *command.collect_usage_pieces(context)]
    parts = [f"## {name}", f"```text\n{' '.join(usage)}\n```", _prose(command.help or "")]
    records = [parameter.get_help_record(context) for parameter in command.params]
    rows = [[f"`{names}`", as_prose(text)] for names, text in filter(None, records)]
    if rows:
        parts.append(make_table(["argument or option", "description"], rows))
    return "\n\n".join(part for part in parts if part)


def _prose(text: str) -> str:
    """Write a help text. Blocks marked with `\\b`, which are not wrapped, are commands to copy."""
    blocks = []
    for block in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        lines = block.splitlines()
        if not lines or lines[0].strip() != "\b":
            blocks.append(as_prose(" ".join(block.split())))
            continue
        lines = lines[1:]
        if lines and lines[0].endswith(":"):
            blocks.append(as_prose(lines.pop(0)))
        code = textwrap.dedent("\n".join(lines))
        blocks.append(f"```text\n{code}\n```")
    return "\n\n".join(blocks)
