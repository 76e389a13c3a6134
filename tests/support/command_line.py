"""Running `python -m spacy trf …` in this process."""

from __future__ import annotations

from typing import Any

from spacy.cli import app
from typer.testing import CliRunner

import trf_bridge.cli  # noqa: F401 - puts the group into spaCy's app


def run(*args: object) -> Any:
    """Run a command of spaCy, and return what became of it."""
    return CliRunner().invoke(app, [str(arg) for arg in args])


def trf(*args: object) -> str:
    """Run a command that is to succeed, and return what it printed on stdout."""
    result = run("trf", *args)
    assert result.exit_code == 0, result.output + repr(result.exception)
    stdout: str = result.stdout
    return stdout


def refused(*args: object) -> str:
    """Run a command that is to end with one line on stderr, and return the line."""
    result = run("trf", *args)
    assert result.exit_code == 1, result.output + repr(result.exception)
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    line: str = result.stderr
    assert line.startswith("[TB")
    assert line.count("\n") == 1
    assert "Traceback" not in line
    return line
