"""The page of `python -m spacy trf …`, from the commands that are registered with spaCy."""

from __future__ import annotations

import inspect
import re
import textwrap
from typing import Any

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
    shown = [parameter for parameter in command.params if not getattr(parameter, "hidden", False)]
    usage = f"python -m spacy {GROUP} {name}"
    for parameter in shown:
        if parameter.param_type_name == "argument":
            value = _metavar(parameter) + ("…" if parameter.nargs == -1 else "")
            usage += f" {value}" if parameter.required else f" [{value}]"
    if any(parameter.param_type_name == "option" for parameter in shown):
        usage += " [options]"
    parts = [f"## {name}", f"```text\n{usage}\n```", _prose(command.help or "")]
    if shown:
        rows = [f"| {_names(p)} | {_default(p)} | {_cell(p)} |" for p in shown]
        parts.append("\n".join(["| | default | what it is |", "|---|---|---|", *rows]))
    return "\n\n".join(part for part in parts if part)


def _prose(text: str) -> str:
    """A help text. Blocks that are not to be wrapped, marked `\\b`, are commands to copy."""
    blocks = []
    for block in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        lines = block.splitlines()
        if lines[0].strip() != "\b":
            blocks.append(_escape(" ".join(block.split())))
            continue
        lines = lines[1:]
        if lines[0].endswith(":"):
            blocks.append(_escape(lines.pop(0)))
        code = textwrap.dedent("\n".join(lines))
        blocks.append(f"```text\n{code}\n```")
    return "\n\n".join(blocks)


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{_metavar(parameter)}`"
    names = [*parameter.opts, *parameter.secondary_opts]
    return ", ".join(f"`{name}`" for name in names)


def _metavar(parameter: Any) -> str:
    return parameter.metavar or parameter.name.upper()


def _default(parameter: Any) -> str:
    default = parameter.default
    if parameter.required or default is None or callable(default) or default in ((), [], ""):
        return ""
    if not isinstance(default, str | int | float):  # click's mark for "not given"
        default = getattr(default, "value", "")
    return (
        f"`{str(default).lower() if isinstance(default, bool) else default}`"
        if default != ""
        else ""
    )


def _cell(parameter: Any) -> str:
    text = getattr(parameter, "help", None) or ""
    choices = getattr(parameter.type, "choices", None)
    if choices:
        text += f" One of: {', '.join(str(getattr(c, 'value', c)) for c in choices)}."
    return _escape(" ".join(text.split())).replace("|", "\\|")


def _escape(text: str) -> str:
    parts = text.split("`")
    for i in range(0, len(parts), 2):
        parts[i] = re.sub(r"([\\*_<>\[\]#])", r"\\\1", parts[i])
    return "`".join(parts)
