"""`python -m spacy trf …`: commands that spaCy finds through the entry point `spacy_cli`.

To add a command:

1. Write `commands/NAME.py` with a function `command`. Its parameters are the arguments and options,
   annotated for typer. The first line of its docstring is the line of `spacy trf --help`, and a
   block "Example:" shows a call. Import slow libraries inside the function.
2. Add NAME to `COMMANDS` below, at its place in the help.
3. Test it in `tests/cli/`: `trf(NAME, …)` of `tests/support/command_line.py` runs it.

Errors are printed as one line, and the option --verbose is added to every command; see
`console.with_errors`. The page of the documentation is generated from the help.

spaCy imports this module for each of its commands, so it imports only what spaCy has imported
already. A command is imported when it runs or when its help is shown.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer
from spacy.cli._util import app as spacy_app
from typer.core import TyperGroup
from typer.main import get_command

from .console import with_errors

COMMANDS = (
    "init",
    "package",
    "config",
    "inspect",
    "view",
    "compare",
    "convert",
)

HELP = "Create, package, train and inspect pipelines with a Hugging Face transformer."


class Commands(TyperGroup):
    """The group `trf`, which imports a command when it is needed."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Find a command by its name.

        ctx (Context): Not used.
        cmd_name (str): The name.
        RETURNS (Command): The command; None for an unknown name.
        """
        if cmd_name in COMMANDS:
            if cmd_name not in self.commands:
                self.commands[cmd_name] = make_command(cmd_name)
        else:  # typer suggests similar names from the imported commands
            self.commands.update({name: make_command(name) for name in COMMANDS})
        return self.commands.get(cmd_name)


def make_command(name: str) -> Any:
    """Import a command.

    name (str): Its name.
    RETURNS (Command): The command, with the option --verbose.
    """
    function = import_module(f"{__name__}.commands.{name}").command
    single = typer.Typer(add_completion=False, rich_markup_mode=None)
    single.command(name, no_args_is_help=True)(with_errors(function))
    return get_command(single)


app = typer.Typer(cls=Commands, help=HELP, no_args_is_help=True, rich_markup_mode=None)
spacy_app.add_typer(app, name="trf")
