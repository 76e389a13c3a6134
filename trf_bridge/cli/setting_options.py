"""Build command-line options from the settings classes, so that each setting is described once."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from types import NoneType
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

import typer

from ..settings import CheckpointSettings

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


def setting_options(
    *classes: type[CheckpointSettings], exclude: tuple[str, ...] = ()
) -> Callable[[FunctionT], FunctionT]:
    """Add the fields of settings classes to a command, as options in place of its `**settings`.

    typer reads the options of a command from its signature.

    *classes (type): The settings classes. A field that several of them have is one option.
    exclude (tuple of str): Fields that are not options.
    RETURNS (callable): The decorator.
    """
    options: dict[str, inspect.Parameter] = {}
    for settings in classes:
        hints = get_type_hints(settings)
        for field in dataclasses.fields(settings):
            if field.name not in exclude:
                options.setdefault(field.name, make_option(field, hints[field.name]))

    def decorate(function: FunctionT) -> FunctionT:
        signature = inspect.signature(function, eval_str=True)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        parameters = [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for parameter in (*own, *options.values())
        ]
        function.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        function.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": None}
        return function

    return decorate


def make_option(field: dataclasses.Field[Any], hint: Any) -> inspect.Parameter:
    """Build the option of a setting.

    field (Field): The field of the settings class.
    hint (type): Its type. A type of several parts is text, or a number where the text is one;
        functions are left out, as they cannot be passed on a command line.
    RETURNS (Parameter): A parameter of a command, annotated for typer.
    """
    flag = f"--{field.name.replace('_', '-')}"
    description = field.metadata["description"]
    kinds = set(get_args(hint) or (hint,)) & {str, int, float, bool}
    optional = NoneType in get_args(hint)
    if kinds == {bool}:
        if field.default:
            flag = f"{flag}/--no-{flag.removeprefix('--')}"
        annotation: Any = Annotated[bool, typer.Option(flag, help=description)]
    elif kinds == {str, int}:
        option = typer.Option(flag, help=description, parser=text_or_number, metavar="<str|int>")
        annotation = Annotated[str, option]
    else:
        (kind,) = kinds
        option = typer.Option(flag, help=description, show_default="null" if optional else True)
        annotation = Annotated[kind | None if optional else kind, option]
    return inspect.Parameter(
        field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=annotation
    )


def text_or_number(text: str) -> str | int:
    """Convert a value to a number if it is one.

    text (str): The value on the command line.
    RETURNS (str, int): The number, or the text.
    """
    try:
        return int(text)
    except ValueError:
        return text
