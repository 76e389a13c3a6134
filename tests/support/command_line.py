"""Run `python -m spacy trf …` in this process."""

from __future__ import annotations

from typing import Any

from spacy.cli import app
from typer.testing import CliRunner

import trf_bridge.cli  # noqa: F401 - adds the group to spaCy's app


def run(*args: object) -> Any:
    """Run a command of spaCy, and return typer's record of it."""
    return CliRunner().invoke(app, [str(arg) for arg in args])


def trf(*args: object) -> str:
    """Run a command that succeeds, and return its output on stdout."""
    result = run("trf", *args)
    assert result.exit_code == 0, result.output + repr(result.exception)
    stdout: str = result.stdout
    return stdout


def refused(*args: object) -> str:
    """Run a command that ends with an error, and return its only line on stderr."""
    result = run("trf", *args)
    assert result.exit_code == 1, result.output + repr(result.exception)
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    line: str = result.stderr
    assert line.startswith("[TB")
    assert line.count("\n") == 1
    assert "Traceback" not in line
    return line
