"""Shared by all commands: errors, messages, text files and progress.

spaCy imports this module for each of its commands, so slow imports are inside the functions.
"""

from __future__ import annotations

import contextlib
import inspect
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, TextIO, TypeVar, cast

import typer

from .. import errors

T = TypeVar("T")

CODE = re.compile(r"\[(TB|E|W)\d+\] ")

Verbose = Annotated[bool, typer.Option("--verbose", "-V", help="Show the traceback of an error.")]
Force = Annotated[bool, typer.Option("--force", "-F", help="Replace an existing output.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


def with_errors(function: Callable[..., None]) -> Callable[..., None]:
    """Add the option --verbose to a command. Without it, an error is one line on stderr.

    function (callable): The command.
    RETURNS (callable): The command with one more keyword. An error ends it with exit status 1.
    """

    @wraps(function)
    def run(*, verbose: bool = False, **values: Any) -> None:
        try:
            with warnings.catch_warnings():
                if not verbose:
                    warnings.showwarning = _print_warning
                function(**values)
        except (typer.Exit, typer.Abort, BrokenPipeError):  # typer handles these
            raise
        except Exception as error:
            if verbose:
                raise
            say(describe(error), style="fail")
            raise typer.Exit(1) from None

    # typer reads the options from the signature; older versions read the annotations.
    signature = inspect.signature(function, eval_str=True)
    option = inspect.Parameter(
        "verbose", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Verbose
    )
    parameters = [*signature.parameters.values(), option]
    cast(Any, run).__signature__ = signature.replace(parameters=parameters)
    run.__annotations__ = {**function.__annotations__, "verbose": Verbose}
    return run


def _print_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print a warning as one line on stderr, like an error, without its place in the code."""
    text = " ".join(str(message).split())
    say(text if CODE.match(text) else f"{category.__name__}: {text}", style="warn")


def describe(error: Exception) -> str:
    """Describe an error in one line.

    error (Exception): The error.
    RETURNS (str): Its message, if that has a code of trf_bridge or spaCy; otherwise TB040.
    """
    message = " ".join(str(error).split())
    if CODE.match(message):
        return message
    return errors.TB040.format(error=type(error).__name__, reason=message or "none")


def say(message: str, *, style: str = "info") -> None:
    """Print a message on stderr, so that stdout holds only the result.

    message (str): The message.
    style (str): "info", "good", "warn" or "fail".
    """
    from wasabi.printer import Printer

    printer = Printer(pretty=sys.stderr.isatty(), no_print=True)
    typer.echo(getattr(printer, style)(message), err=True)


def read_lines(path: Path) -> Iterator[str]:
    """Read the lines of a text file.

    path (Path): The file.
    YIELDS (str): Each line, without its line break.
    RAISES (ValueError): TB042 if the file is not UTF-8; TB044 if it does not exist.
    """
    check_file(path)
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                byte = f"0x{error.object[error.start]:02x}"
                message = errors.TB042.format(path=path, byte=byte, line=number)
                raise ValueError(message) from None
            yield text.rstrip("\r\n")


def check_file(path: Path) -> None:
    """Check that a file exists.

    path (Path): The file.
    RAISES (ValueError): TB044.
    """
    if not path.is_file():
        reason = "it is a folder" if path.is_dir() else "the file does not exist"
        raise ValueError(errors.TB044.format(path=path, reason=reason, expected="a file"))


def progress(items: Iterable[T], *, title: str, unit: str, total: int | None = None) -> Iterable[T]:
    """Show a progress bar on stderr while items are processed, after the first two seconds.

    items (iterable): The items.
    title (str): Title of the bar.
    unit (str): Name of the items, in the plural.
    total (int): Their number; None if it is unknown.
    RETURNS (iterable): The items. No bar is shown if stderr is not a terminal.
    """
    from tqdm import tqdm

    bar: Iterable[T] = tqdm(
        items, desc=title, unit=unit, total=total, delay=2, disable=None, leave=False
    )
    return bar


@contextlib.contextmanager
def steps(total: int) -> Iterator[Callable[[str], None]]:
    """Show on stderr which of several long steps is running.

    total (int): The number of steps.
    YIELDS (callable): A function to call at the start of each step, with its title. Nothing is
        shown if stderr is not a terminal.
    """
    from tqdm import tqdm

    layout = "{desc} ({n_fmt}/{total_fmt}) [{elapsed}]"
    with tqdm(total=total, bar_format=layout, disable=None, leave=False) as bar:

        def start(title: str) -> None:
            bar.set_description_str(title, refresh=False)
            bar.update(1)
            bar.refresh()

        yield start


def quiet_downloads() -> None:
    """Turn off the hub's progress bars if stderr is not a terminal."""
    if not sys.stderr.isatty():
        from huggingface_hub.utils.tqdm import disable_progress_bars

        disable_progress_bars()
