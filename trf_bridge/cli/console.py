"""What the commands have in common: errors, text files, pipelines, progress.

This is imported at each command of spaCy: everything heavy is imported inside the functions.
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
from typing import TYPE_CHECKING, Annotated, Any, TextIO, TypeVar, cast

import typer

from .. import errors

if TYPE_CHECKING:
    pass

T = TypeVar("T")

CODE = re.compile(r"\[(TB|E|W)\d+\] ")

Verbose = Annotated[
    bool, typer.Option("--verbose", "-V", help="Show the traceback where there is an error.")
]
Force = Annotated[
    bool, typer.Option("--force", "-F", help="Replace what is in the output's place.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def with_errors(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the option --verbose; without it, an error is one message on stderr.

    function (callable): The command.
    RETURNS (callable): The same with one more keyword; where the command raises, it ends with
        exit status 1.
    """

    @wraps(function)
    def run(*, verbose: bool = False, **values: Any) -> None:
        try:
            with warnings.catch_warnings():
                if not verbose:
                    warnings.showwarning = _say_warning
                function(**values)
        except (typer.Exit, typer.Abort, BrokenPipeError):  # typer's own affair
            raise
        except Exception as error:
            if verbose:
                raise
            say(describe(error), style="fail")
            raise typer.Exit(1) from None

    # typer reads the options from the signature, and older versions from the annotations.
    signature = inspect.signature(function, eval_str=True)
    option = inspect.Parameter(
        "verbose", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Verbose
    )
    parameters = [*signature.parameters.values(), option]
    cast(Any, run).__signature__ = signature.replace(parameters=parameters)
    run.__annotations__ = {**function.__annotations__, "verbose": Verbose}
    return run


def _say_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Show a warning as errors are shown: without the line of the program that gave it."""
    text = " ".join(str(message).split())
    say(text if CODE.match(text) else f"{category.__name__}: {text}", style="warn")


def describe(error: Exception) -> str:
    """Put an error into one line.

    error (Exception): The error.
    RETURNS (str): Its own message where it has a code, of ours or of spaCy; else TB040.
    """
    message = " ".join(str(error).split())
    if CODE.match(message):
        return message
    return errors.TB040.format(error=type(error).__name__, reason=message or "none")


def say(message: str, *, style: str = "info") -> None:
    """Print a message on stderr, so that stdout holds the result alone.

    message (str): The message.
    style (str): "info", "good", "warn" or "fail".
    """
    from wasabi.printer import Printer

    printer = Printer(pretty=sys.stderr.isatty(), no_print=True)
    typer.echo(getattr(printer, style)(message), err=True)


def read_lines(path: Path) -> Iterator[str]:
    """Read the lines of a text file.

    path (Path): The file.
    YIELDS (str): Each line without its end.
    RAISES (ValueError): TB042 where it is not UTF-8; TB044 where there is no such file.
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
    """See that there is a file to read.

    path (Path): The file.
    RAISES (ValueError): TB044.
    """
    if not path.is_file():
        reason = "it is a folder" if path.is_dir() else "there is no such file"
        raise ValueError(errors.TB044.format(path=path, reason=reason, expected="a file"))


def progress(items: Iterable[T], *, what: str, unit: str, total: int | None = None) -> Iterable[T]:
    """Show a bar on stderr while something is gone through, if that takes more than two seconds.

    items (iterable): What is gone through.
    what (str): What is being done.
    unit (str): What the items are.
    total (int): Their number; None where it is not known.
    RETURNS (iterable): The same; there is no bar where stderr is not a terminal.
    """
    from tqdm import tqdm

    bar: Iterable[T] = tqdm(
        items, desc=what, unit=unit, total=total, delay=2, disable=None, leave=False
    )
    return bar


@contextlib.contextmanager
def steps(total: int) -> Iterator[Callable[[str], None]]:
    """Show on stderr which of several long steps is being done.

    total (int): The number of steps.
    YIELDS (callable): To be called with what is done next; nothing is shown where stderr is not a
        terminal.
    """
    from tqdm import tqdm

    layout = "{desc} ({n_fmt}/{total_fmt}) [{elapsed}]"
    with tqdm(total=total, bar_format=layout, disable=None, leave=False) as bar:

        def start(what: str) -> None:
            bar.set_description_str(what, refresh=False)
            bar.update(1)
            bar.refresh()

        yield start


def quiet_downloads() -> None:
    """Turn the hub's progress bars off where stderr is not a terminal."""
    if not sys.stderr.isatty():
        from huggingface_hub.utils.tqdm import disable_progress_bars

        disable_progress_bars()
