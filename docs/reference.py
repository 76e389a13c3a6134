"""What the reference pages say, read from the code that is installed: nothing to keep in step.

A page asks for a part with a line `<!-- generated: components -->`, and `conf.py` puts it there.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from commands import commands
from docstrings import Argument, read_docstring
from draw_pictures import alignment, attention, similarity
from markup import escape, escape_bars
from spacy.language import Language
from thinc.api import Config

import trf_bridge
from trf_bridge import errors

ROOT = Path(__file__).resolve().parents[1]


def ours(group: str) -> dict[str, Callable[..., Any]]:
    """Find what the package registers.

    group (str): A group of entry points.
    RETURNS (dict): Name -> function, by name.
    """
    found = [e for e in entry_points(group=group) if e.value.startswith("trf_bridge.")]
    return {entry.name: entry.load() for entry in sorted(found)}


def components() -> str:
    """RETURNS (str): A section for each component, with the fields of its config."""
    return "\n\n".join(_component(name, make) for name, make in ours("spacy_factories").items())


def _component(name: str, make: Callable[..., Any]) -> str:
    meta = Language.get_factory_meta(name)
    described = read_docstring(make)
    defaults = meta.default_config
    rows = {field: (described.arguments[field], _value(defaults[field])) for field in defaults}
    config = Config({"components": {name: {"factory": name, **defaults}}}).to_str()
    # The head line of the outer block says nothing.
    config = config.removeprefix("[components]\n\n")
    sets = ", ".join(f"`{attribute}`" for attribute in meta.assigns)
    needs = ", ".join(f"`{attribute}`" for attribute in meta.requires) or "nothing"
    parts = [
        f"## {name}",
        inspect.getdoc(sys.modules[make.__module__]) or "",
        f"It sets {sets}, and needs {needs}.",
        _table(rows),
        _raises(described.notes),
        f"As it stands in a config when nothing else is said:\n\n```ini\n{config.strip()}\n```",
    ]
    return "\n\n".join(part for part in parts if part)


def architectures() -> str:
    """RETURNS (str): A section for each architecture, with its arguments."""
    return _functions(ours("spacy_architectures"))


def sentence_functions() -> str:
    """RETURNS (str): A section for each function that a config can name in `sentences`."""
    return _functions(ours("spacy_misc"))


def scorers() -> str:
    """RETURNS (str): A section for each scorer."""
    return _functions(ours("spacy_scorers"))


def public_names() -> str:
    """RETURNS (str): A section for each name that `trf_bridge` has."""
    named = {name: getattr(trf_bridge, name) for name in trf_bridge.__all__}
    functions = {name: value for name, value in named.items() if callable(value)}
    return _functions(functions)


def _functions(functions: dict[str, Callable[..., Any]]) -> str:
    return "\n\n".join(_function(name, function) for name, function in functions.items())


def _function(name: str, function: Callable[..., Any]) -> str:
    described = read_docstring(function)
    parameters = inspect.signature(function).parameters
    rows = {
        "**" * (parameter.kind is parameter.VAR_KEYWORD) + name: (
            _resolve(name, described.arguments[name]),
            _default(parameter),
        )
        for name, parameter in parameters.items()
    }
    parts = [f"## {name}", *map(escape, described.paragraphs)]
    if rows:
        parts.append(_table(rows, record=dataclasses.is_dataclass(function)))
    returned = described.notes.get("RETURNS")
    if returned is not None:
        parts.append(f"Returns a `{returned.type}`: {escape(returned.text)}")
    parts.append(_raises(described.notes))
    return "\n\n".join(part for part in parts if part)


def _resolve(name: str, argument: Argument) -> Argument:
    """What an argument is that is said to be as for another architecture."""
    other = re.match(r"As for `(\w+)`", argument.text)
    if other is None:
        return argument
    functions = {f.__name__: f for f in ours("spacy_architectures").values()}
    return read_docstring(functions[other[1]]).arguments[name]


def error_codes() -> str:
    """RETURNS (str): A section for each error and warning, under its code."""
    found = sorted(name for name in vars(errors) if re.fullmatch(r"TB\d{3}", name))
    parts = ["## Errors"]
    for code in found:
        if int(code[2:]) > 100 and "## Warnings" not in parts:
            parts.append("## Warnings")
        message = getattr(errors, code).removeprefix(f"[{code}] ")
        pieces = re.split(r"\{(\w+)\}", message)
        texts = [f"*{escape(piece)}*" if i % 2 else escape(piece) for i, piece in enumerate(pieces)]
        parts.append(f"### {code}\n\n{''.join(texts)}")
    return "\n\n".join(parts)


def recipes() -> str:
    """RETURNS (str): A table of the pipeline packages that there are recipes for."""
    lines = ["| recipe | checkpoint | from | licence |", "|---|---|---|---|"]
    for path in sorted((ROOT / "packaging" / "recipes").glob("*.cfg")):
        checkpoint = Config().from_disk(path)["checkpoint"]
        cells = [f"`{path.stem}`", checkpoint["name"], checkpoint["source"], checkpoint["license"]]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def measurements() -> str:
    """RETURNS (str): What stands in benchmarks/results: pictures, and tables as they are, else
    the numbers."""
    parts = []
    for name in sorted({path.stem for path in _results() if path.suffix in (".md", ".json")}):
        table, numbers = (
            ROOT / "benchmarks" / "results" / f"{name}{end}" for end in (".md", ".json")
        )
        parts.append(f"## {name}.py")
        picture = numbers.with_suffix(".svg")
        if picture.is_file():
            path = f"../{picture.relative_to(ROOT).as_posix()}"
            parts.append(f"![The numbers of {name}.py as bars and curves]({path})")
        if table.is_file():
            parts.append(table.read_text(encoding="utf8").strip())
        else:
            parts.append(_numbers(json.loads(numbers.read_text(encoding="utf8"))))
    return "\n\n".join(parts)


def _results() -> Iterator[Path]:
    return (ROOT / "benchmarks" / "results").iterdir()


def _numbers(found: Any) -> str:
    """One table of a record, or of a list of records."""
    if isinstance(found, list):
        keys = list(found[0]) if found else []
        head = [f"| {' | '.join(keys)} |", "|---" * len(keys) + "|"]
        rows = [f"| {' | '.join(_number(record[key]) for key in keys)} |" for record in found]
        return "\n".join([*head, *rows])
    rows = [f"| {key} | {_number(value)} |" for key, value in found.items()]
    return "\n".join(["| what | value |", "|---|---|", *rows])


def _number(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_number(inner)}" for key, inner in value.items())
    return f"{value:.4g}" if isinstance(value, float) and abs(value) < 1000 else _rounded(value)


def _rounded(value: Any) -> str:
    return f"{value:,.0f}" if isinstance(value, float) else str(value)


def _table(rows: dict[str, tuple[Argument, str]], *, record: bool = False) -> str:
    head = "| field | type | what it is |" if record else "| field | default | what it is |"
    lines = [head, "|---|---|---|"]
    for name, (argument, default) in rows.items():
        second = argument.type if record else default
        text = (
            argument.text if record or not argument.type else f"({argument.type}) {argument.text}"
        )
        lines.append(f"| `{name}` | {escape_bars(second)} | {escape_bars(escape(text))} |")
    return "\n".join(lines)


def _default(parameter: inspect.Parameter) -> str:
    if parameter.default is parameter.empty:
        return ""
    return _value(parameter.default)


def _value(value: Any) -> str:
    """A default, as a config has it."""
    if isinstance(value, dict):
        name = next(inner for key, inner in value.items() if key.startswith("@"))
        anchor = re.sub(r"[^\w-]", "", name.lower())
        return (
            f"[`{name}`](architectures.md#{anchor})" if "@architectures" in value else f"`{name}`"
        )
    return f"`{json.dumps(value)}`"


def _raises(notes: dict[str, Argument]) -> str:
    """The codes, each with a link to what it says."""
    lines = []
    for kind, verb in [("RAISES", "Raises"), ("WARNS", "Warns with")]:
        if kind in notes:
            text = re.sub(r"TB\d{3}", lambda code: _link(code[0]), escape(notes[kind].text))
            error = f" {notes[kind].type}:" if notes[kind].type else ""
            lines.append(f"{verb}{error} {text}")
    return "\n\n".join(lines)


def _link(code: str) -> str:
    return f"[{code}](errors.md#{code.lower()})"


MARKER = re.compile(r"<!-- generated: ([a-z ]+) -->")

GENERATED: dict[str, Callable[[], str]] = {
    "architectures": architectures,
    "commands": commands,
    "components": components,
    "errors": error_codes,
    "measurements": measurements,
    "picture of an alignment": alignment,
    "picture of attention": attention,
    "picture of similarity": similarity,
    "public names": public_names,
    "recipes": recipes,
    "scorers": scorers,
    "sentence functions": sentence_functions,
}


def fill_in(text: str) -> str:
    """Put what is generated in the places that ask for it, one level below the heading there.

    text (str): A page.
    RETURNS (str): The page, whole.
    RAISES (KeyError): For a part that there isn't.
    """
    lines, level, fenced = [], 0, False
    for line in text.splitlines():
        marker = MARKER.fullmatch(line)
        fenced ^= line.startswith("```")
        if line.startswith("#") and not fenced:
            level = len(line) - len(line.lstrip("#"))
        if marker:
            heading = "#" * (level + 1)
            line = re.sub(r"^##(?=#* )", heading, GENERATED[marker[1]](), flags=re.M)
        lines.append(line)
    return "\n".join(lines) + "\n"
