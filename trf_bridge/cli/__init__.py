"""`python -m spacy trf …`: commands that spaCy finds through its entry point `spacy_cli`.

spaCy imports this module at each of its commands, so it imports nothing that spaCy has not. Each
command is a module of this package with a function `command`, and is imported when it is run or
its help is asked for.
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
)

HELP = """Commands for pipelines with a Hugging Face transformer: make and package them, write a
training config, look at how texts are cut into wordpieces, and at what attends to what."""


class Commands(TyperGroup):
    """The group `trf`, which imports a command when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        """RETURNS (list of str): The names of the commands, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Find a command by its name.

        ctx (Context): Not used.
        cmd_name (str): The name.
        RETURNS (Command): The command; None where there is none of that name.
        """
        if cmd_name in COMMANDS:
            if cmd_name not in self.commands:
                self.commands[cmd_name] = make_command(cmd_name)
        else:  # typer looks among these for what may have been meant
            self.commands.update({name: make_command(name) for name in COMMANDS})
        return self.commands.get(cmd_name)


def make_command(name: str) -> Any:
    """Import a command.

    name (str): One of COMMANDS.
    RETURNS (Command): The command, with the option --verbose.
    """
    function = import_module(f"{__name__}.commands.{name}").command
    single = typer.Typer(add_completion=False, rich_markup_mode=None)
    single.command(name, no_args_is_help=True)(with_errors(function))
    return get_command(single)


app = typer.Typer(cls=Commands, help=HELP, no_args_is_help=True, rich_markup_mode=None)
spacy_app.add_typer(app, name="trf")
