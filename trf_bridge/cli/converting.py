"""Convert pipelines and configs of other libraries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import errors
from .console import check_file
from .pipelines import find_pipeline, read_components
from .tables import make_table
from .training_config import write_config
from .writing import check_output, creating_folder, replacing_file

if TYPE_CHECKING:
    from thinc.api import Config

    from ..conversion.rows import Row

HEADER = ("setting", "result", "as, or why")
MAX_WIDTH = 64


def convert_config_file(
    source: Path, output: Path, *, trf_name: str = "", force: bool = False
) -> list[Row]:
    """Convert a config.

    source (Path): The file.
    output (Path): The new file.
    trf_name (str): The checkpoint, instead of that in the config; "" for that.
    force (bool): Replace an existing file.
    RETURNS (list of Row): What was done with each part.
    RAISES (ValueError): TB041, TB044, TB066, TB067.
    WARNS: TB112.
    """
    check_file(source)
    check_output(output, force=force)
    from ..conversion.linkers import adapt_linkers
    from ..conversion.translating import convert_config

    config = read_config(source)
    sources = read_sources(config)
    new, rows = convert_config(config, trf_name=trf_name, sources=sources, path=str(source))
    rows = adapt_linkers(new, rows)
    with replacing_file(output) as staged:
        staged.write_text(write_config(new), encoding="utf8")
    return rows


def convert_saved_pipeline(source: str, output: Path, *, force: bool = False) -> list[Row]:
    """Convert a trained pipeline.

    source (str): An installed package, or a folder.
    output (Path): The folder to create.
    force (bool): Replace an existing pipeline.
    RETURNS (list of Row): What was done with each part.
    RAISES (ValueError): TB041; TB044 if there is no such pipeline; TB067 if it can't be converted.
    """
    folder = find_pipeline(source)
    check_output(output, force=force, folder=True)
    if output.exists() and output.resolve() == folder.resolve():
        advice = "It is the pipeline to convert. Give another path."
        raise ValueError(errors.TB041.format(path=output, advice=advice))
    from ..conversion.trained import convert_pipeline

    with creating_folder(output.absolute().parent):
        return convert_pipeline(folder, output.absolute(), force=force)


def read_config(path: Path) -> Config:
    """Read a config, with its variables.

    path (Path): The file.
    RETURNS (Config): The config.
    RAISES (ValueError): TB067 if the file is not a config.
    """
    from spacy.util import load_config

    try:
        return load_config(path, interpolate=False)
    except Exception as error:  # the parser of configs raises errors of many kinds
        reason = f"it is not a valid config: {' '.join(str(error).split())}"
        advice = "Correct the file."
        raise ValueError(errors.TB067.format(path=path, reason=reason, advice=advice)) from error


def read_sources(config: Config) -> dict[str, dict[str, str]]:
    """Read the components of the pipelines that a config takes components from.

    config (Config): The config.
    RETURNS (dict): Factory of each component by its name, by the pipeline as the config names it.
        Pipelines that are not installed are left out.
    """
    from ..conversion.variables import resolve

    sources: dict[str, dict[str, str]] = {}
    blocks: dict[str, Any] = config.get("components", {})
    for block in blocks.values():
        if not isinstance(block, dict) or "source" not in block:
            continue
        try:
            source = str(resolve(config, block["source"]))
            sources[source] = read_components(find_pipeline(source))
        except (LookupError, ValueError):  # `convert_config` reports it, if it matters
            continue
    return sources


def as_table(rows: Sequence[Row]) -> str:
    """Format the report of a conversion.

    rows (sequence of Row): The rows.
    RETURNS (str): A table: below each block of the config, its settings. Long settings are
        truncated.
    """
    blocks: dict[str, list[Row]] = {}
    for row in rows:
        blocks.setdefault(row.where, []).append(row)
    lines: list[tuple[str, str, str]] = []
    for where, group in blocks.items():
        if where:
            lines.append((f"[{where}]", "", ""))
        lines += [(_shorten(f"  {row.what}"), row.outcome, row.why) for row in group]
    return make_table(HEADER, lines)


def _shorten(text: str) -> str:
    return text if len(text) <= MAX_WIDTH else f"{text[: MAX_WIDTH - 1]}…"
