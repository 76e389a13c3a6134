"""Generate the parts of the reference pages from the installed code.

A line `<!-- generated: components -->` in a page marks the place of a part. `conf.py` replaces
these lines when the pages are built.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import sys
import types
import typing
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from commands import commands
from docstrings import Argument, read_docstring
from draw_pictures import alignment, attention, similarity
from markup import as_code, as_prose, escape, make_table
from spacy.language import Language
from thinc.api import Config

import trf_bridge
from trf_bridge import errors, settings
from trf_bridge.align import align
from trf_bridge.settings import defaults_of, descriptions_of

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"

# Signatures longer than this have a line for each argument.
LINE_LENGTH = 88


def own_entry_points(group: str) -> dict[str, Callable[..., Any]]:
    """Load the functions that the package registers.

    group (str): A group of entry points.
    RETURNS (dict): Function by name, sorted.
    """
    own = [e for e in entry_points(group=group) if e.value.startswith("trf_bridge.")]
    return {entry.name: entry.load() for entry in sorted(own)}


# Components, architectures and other registered functions


def components() -> str:
    """Describe each component, with the fields of its config.

    RETURNS (str): A section for each.
    """
    factories = own_entry_points("spacy_factories")
    return "\n\n".join(_component(name, make) for name, make in factories.items())


def _component(name: str, make: Callable[..., Any]) -> str:
    meta = Language.get_factory_meta(name)
    defaults = meta.default_config
    config = Config({"components": {name: {"factory": name, **defaults}}}).to_str()
    config = config.removeprefix("[components]\n\n")  # the outer block has no fields
    module = sys.modules[make.__module__]
    sets = ", ".join(f"`{attribute}`" for attribute in meta.assigns)
    requires = ", ".join(f"`{attribute}`" for attribute in meta.requires) or "nothing"
    rows = {field: (_arguments(make)[field], _config_value(defaults[field])) for field in defaults}
    parts = [
        f"## {name}",
        as_prose(inspect.getdoc(module) or ""),
        f"Sets {sets}. Requires {requires}.",
        _settings_table(rows),
        *_notes(make)[1:],  # it returns the component
        f"The defaults, as a block of a config:\n\n{_fence('ini', config)}",
        *_own_members(getattr(module, str(inspect.signature(make).return_annotation), None)),
    ]
    return "\n\n".join(part for part in parts if part)


def _own_members(component: Any) -> list[str]:
    """Describe the public members of a component that spaCy's components do not have."""
    if component is None or not component.__module__.startswith("trf_bridge."):
        return []
    from spacy.pipeline import TextCategorizer

    # `loaded` is for the package itself.
    known = {*dir(TextCategorizer), "loaded"}
    return [section for name, section in _members(component) if name not in known]


def architectures() -> str:
    """Describe each architecture, with its arguments.

    RETURNS (str): A section for each.
    """
    return _registered("spacy_architectures", "architectures")


def sentence_functions() -> str:
    """Describe each function that a config can name in `sentences`.

    RETURNS (str): A section for each.
    """
    return _registered("spacy_misc", "misc")


def loggers() -> str:
    """Describe each logger of `spacy train`.

    RETURNS (str): A section for each.
    """
    return _registered("spacy_loggers", "loggers")


def scorers() -> str:
    """Describe each scorer.

    RETURNS (str): A section for each.
    """
    return _registered("spacy_scorers", "scorers")


def _registered(group: str, registry: str) -> str:
    functions = own_entry_points(group)
    return "\n\n".join(_function(name, f, registry) for name, f in functions.items())


def _function(name: str, function: Callable[..., Any], registry: str) -> str:
    """Describe a registered function by the block of a config that calls it."""
    defaults = {n: p.default for n, p in inspect.signature(function).parameters.items()}
    lines = [f'@{registry} = "{name}"', *(f"{n} = {json.dumps(v)}" for n, v in defaults.items())]
    arguments = _arguments(function)
    rows = {n: (arguments[n], _config_value(value)) for n, value in defaults.items()}
    parts = [
        f"## {name}",
        *map(as_prose, read_docstring(function).paragraphs),
        _fence("ini", "\n".join(lines)),
        _settings_table(rows),
        *_notes(function),
    ]
    return "\n\n".join(part for part in parts if part)


def _settings_table(rows: dict[str, tuple[Argument, str]]) -> str:
    cells = [
        [f"`{name}`", escape(argument.type), default, as_prose(argument.text)]
        for name, (argument, default) in rows.items()
    ]
    return make_table(["field", "type", "default", "description"], cells) if cells else ""


# Names of the package


def public_names() -> str:
    """Describe each public function and class.

    RETURNS (str): A section for each.
    """
    named = {name: getattr(trf_bridge, name) for name in trf_bridge.__all__}
    named["align.align"] = align  # trf_bridge.align is its package
    return "\n\n".join(_name(n, value) for n, value in sorted(named.items()) if callable(value))


def _name(name: str, value: Any) -> str:
    full_name = f"trf_bridge.{name}"
    if not isinstance(value, type):
        return _section(f"## {name}", _signature(full_name, value), value)
    if dataclasses.is_dataclass(value):
        main = _section(f"## {name}", _signature(full_name, value), value)
    else:
        paragraphs = [as_prose(text) for text in read_docstring(value).paragraphs]
        main = _section(
            f"## {name}", _signature(full_name, value), value.__init__, paragraphs=paragraphs
        )
    return "\n\n".join([main, *(section for _, section in _members(value))])


def _members(cls: type) -> Iterator[tuple[str, str]]:
    """Describe the public methods and properties of a class."""
    for name, member in vars(cls).items():
        function = inspect.unwrap(getattr(member, "__func__", member))
        if name.startswith("_") or not getattr(member, "__doc__", None):
            continue
        if isinstance(member, property):
            yield name, _section(f"### {cls.__name__}.{name}", "", member)
        elif inspect.isfunction(function):
            call = f"{cls.__name__}.{name}"
            skips_self = not isinstance(member, staticmethod)
            code = _signature(call, function, skips_self=skips_self)
            yield name, _section(f"### {cls.__name__}.{name}", code, function)


def _section(
    title: str,
    code: str,
    described: Callable[..., Any] | property,
    *,
    paragraphs: list[str] | None = None,
) -> str:
    """Describe a function, a record or a property: signature, text, arguments and notes."""
    is_record = dataclasses.is_dataclass(described)
    column = "field" if is_record else "argument"
    if paragraphs is None:
        paragraphs = [as_prose(text) for text in read_docstring(described).paragraphs]
    cells = [
        [f"`{name}`", escape(argument.type), as_prose(argument.text)]
        for name, argument in _arguments(described, with_defaults=True).items()
        if name != "self"
    ]
    table = make_table([column, "type", "description"], cells) if cells else ""
    parts = [title, _fence("python", code) if code else "", *paragraphs, table, *_notes(described)]
    return "\n\n".join(part for part in parts if part)


def _signature(name: str, function: Callable[..., Any], *, skips_self: bool = False) -> str:
    """Write a signature as one would call the function."""
    signature = inspect.signature(function)
    arguments = []
    parameters = list(signature.parameters.values())[1 if skips_self else 0 :]
    has_keyword_marker = False
    for parameter in parameters:
        text = parameter.name
        if parameter.kind is parameter.KEYWORD_ONLY and not has_keyword_marker:
            arguments.append("*")
            has_keyword_marker = True
        if parameter.kind is parameter.VAR_KEYWORD:
            text = f"**{text}"
        elif parameter.default is not parameter.empty:
            text = f"{text}={_python_value(parameter.default)}"
        arguments.append(text)
    returned = signature.return_annotation
    has_result = returned not in (inspect.Signature.empty, None, "None")
    result = f" -> {_outer_name(returned)}" if has_result and inspect.isfunction(function) else ""
    line = f"{name}({', '.join(arguments)}){result}"
    if len(line) <= LINE_LENGTH:
        return line
    listed = "".join(f"    {argument},\n" for argument in arguments)
    return f"{name}(\n{listed}){result}"


def _outer_name(annotation: Any) -> str:
    """Shorten an annotation: the docstring has the details of what containers hold."""
    text = annotation if isinstance(annotation, str) else _type_name(annotation)
    return " | ".join(part.partition("[")[0] for part in re.split(r" \| (?![^\[]*\])", text))


# Arguments and notes of any function


def _arguments(
    described: Callable[..., Any] | property, *, with_defaults: bool = False
) -> dict[str, Argument]:
    """Read the arguments of a function. `**settings` are replaced by the fields of their classes.

    described (callable, property): The function.
    with_defaults (bool): Append the defaults of settings to their types.
    RETURNS (dict): Description by name.
    """
    arguments: dict[str, Argument] = {}
    for name, argument in read_docstring(described).arguments.items():
        classes = re.findall(r"`(\w+Settings)`", argument.text)
        if not classes:
            arguments[name] = argument
        for cls in classes:
            for field, described_field in _fields(getattr(settings, cls), with_defaults).items():
                arguments.setdefault(field, described_field)
    if "name_or_path" in arguments:  # it is the name of the checkpoint
        arguments.pop("trf_name", None)
    return arguments


def _fields(cls: type, with_defaults: bool) -> dict[str, Argument]:
    """Describe the fields of a settings class."""
    hints, defaults = typing.get_type_hints(cls), defaults_of(cls)
    fields = {}
    for name, description in descriptions_of(cls).items():
        type_name = _type_name(hints[name])
        if with_defaults:
            type_name += f", default `{_python_value(defaults[name])}`"
        fields[name] = Argument(type_name, description)
    return fields


def _type_name(hint: Any) -> str:
    """Write a type as the docstrings do."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return ", ".join(_type_name(h) for h in typing.get_args(hint) if h is not types.NoneType)
    if typing.get_origin(hint) is Callable:
        return "callable"
    return getattr(hint, "__name__", str(hint))


def _notes(described: Callable[..., Any] | property) -> list[str]:
    """Write what a function returns, raises and warns of. Codes are links to their messages."""
    notes = read_docstring(described).notes
    lines = []
    for kind, verb in [
        ("RETURNS", "Returns"),
        ("YIELDS", "Yields"),
        ("RAISES", "Raises"),
        ("WARNS", "Warns"),
        ("SOURCE", "Source"),
    ]:
        if kind not in notes:
            continue
        text = re.sub(r"TB\d{3}", lambda code: _link(code[0]), as_prose(notes[kind].text))
        type_name = f" {as_code(notes[kind].type)}" if notes[kind].type else ""
        lines.append(f"**{verb}**{type_name}: {text}")
    return lines


def _link(code: str) -> str:
    return f"[{code}](errors.md#{code.lower()})"


def _fence(language: str, code: str) -> str:
    return f"```{language}\n{code.strip()}\n```"


def _python_value(value: Any) -> str:
    return json.dumps(value) if isinstance(value, str) else repr(value)


def _config_value(value: Any) -> str:
    """Write a default as in a config; a block is a link to its architecture."""
    if isinstance(value, dict):
        name = next(inner for key, inner in value.items() if key.startswith("@"))
        anchor = re.sub(r"[^\w-]", "", name.lower())
        is_described = "@architectures" in value
        return f"[`{name}`](architectures.md#{anchor})" if is_described else f"`{name}`"
    return f"`{json.dumps(value)}`"


# Errors, recipes, measurements


def error_codes() -> str:
    """Describe each error and warning, under its code.

    RETURNS (str): A section for each.
    """
    codes = sorted(name for name in vars(errors) if re.fullmatch(r"TB\d{3}", name))
    parts = ["## Errors"]
    for code in codes:
        if int(code[2:]) > 100 and "## Warnings" not in parts:
            parts.append("## Warnings")
        message = getattr(errors, code).removeprefix(f"[{code}] ")
        pieces = re.split(r"\{(\w+)(?::[^{}]*)?\}", message)
        texts = [
            f"*{escape(piece)}*" if i % 2 else as_prose(piece) for i, piece in enumerate(pieces)
        ]
        parts.append(f"### {code}\n\n{''.join(texts)}")
    return "\n\n".join(parts)


def recipes() -> str:
    """List the recipes of pipeline packages.

    RETURNS (str): A table.
    """
    rows = []
    for path in sorted((ROOT / "packaging" / "recipes").glob("*.cfg")):
        checkpoint = Config().from_disk(path)["checkpoint"]
        rows.append(
            [f"`{path.stem}`", checkpoint["name"], checkpoint["source"], checkpoint["license"]]
        )
    return make_table(["recipe", "checkpoint", "source", "license"], rows)


def measurements() -> str:
    """Show the results in benchmarks/results: pictures, and tables, or the numbers alone.

    RETURNS (str): A section for each processor or GPU and each benchmark.
    """
    parts = []
    for folder in sorted(path for path in RESULTS.iterdir() if path.is_dir()):
        names = {path.stem for path in folder.iterdir() if path.suffix in (".md", ".json")}
        for name in sorted(names):
            table, numbers = (folder / f"{name}{end}" for end in (".md", ".json"))
            parts.append(f"## {name}.py, {folder.name}")
            picture = folder / f"{name}.svg"
            if picture.is_file():
                path = f"../{picture.relative_to(ROOT).as_posix()}"
                parts.append(f"![The numbers of {name}.py as bars and curves]({path})")
            if table.is_file():
                parts.append(table.read_text(encoding="utf8").strip())
            else:
                parts.append(_numbers(json.loads(numbers.read_text(encoding="utf8"))))
    return "\n\n".join(parts)


def gpu_lines() -> str:
    """List what the benchmark of a GPU measures, and whether there are results.

    RETURNS (str): A table without numbers, or a pointer to the results.
    """
    if list(RESULTS.glob("*/gpu.json")):
        return "The results are below, by GPU."
    sys.path.append(str(ROOT / "benchmarks"))
    from gpu import report

    return report({}).strip()


def _numbers(results: Any) -> str:
    """Write a record, or a list of records, as a table."""
    if isinstance(results, list):
        keys = list(results[0]) if results else []
        return make_table(keys, [[_number(record[key]) for key in keys] for record in results])
    rows = [[key, _number(value)] for key, value in results.items()]
    return make_table(["measure", "value"], rows)


def _number(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_number(inner)}" for key, inner in value.items())
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return str(value)


# Pages

MARKER = re.compile(r"<!-- generated: ([a-z ]+) -->")

GENERATED: dict[str, Callable[[], str]] = {
    "architectures": architectures,
    "commands": commands,
    "components": components,
    "errors": error_codes,
    "lines of the gpu benchmark": gpu_lines,
    "loggers": loggers,
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
    """Replace the markers in a page by the generated parts, one level below the heading above.

    text (str): A page.
    RETURNS (str): The complete page.
    RAISES (KeyError): For an unknown part.
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
