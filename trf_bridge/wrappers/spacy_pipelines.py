"""Recognizes spaCy pipelines where a checkpoint is expected, without loading them."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

from .. import errors

# The factories of spacy-transformers and spacy-curated-transformers.
OTHER_FACTORIES = {
    "transformer": "spacy-transformers",
    "curated_transformer": "spacy-curated-transformers",
}


def check_no_pipeline(name: str) -> None:
    """Check that a name is not that of a spaCy pipeline: a saved one, or an installed package.

    name (str): A folder, or a name.
    RAISES (ValueError): TB058.
    """
    folder = _find_pipeline(name)
    if folder is None:
        return
    library = _library_of(folder)
    if library is None:
        kind, advice = "", f"Load it with: spacy.load({name!r})"
    else:
        kind = f" of {library}"
        advice = f"Convert it with: python -m spacy trf convert {name} OUTPUT"
    raise ValueError(errors.TB058.format(name=name, kind=kind, advice=advice))


def _find_pipeline(name: str) -> Path | None:
    """Return the folder of a saved or an installed pipeline; None if the name is of neither."""
    folder = Path(name)
    if folder.is_dir():
        has_config = (folder / "config.json").is_file()
        return None if has_config or not _is_pipeline(folder) else folder
    # The parents of a dotted name would be imported.
    spec = importlib.util.find_spec(name) if name.isidentifier() else None
    for location in (spec.submodule_search_locations or []) if spec is not None else []:
        if _is_pipeline(Path(location)):
            return Path(location)
    return None


def _is_pipeline(folder: Path) -> bool:
    """Return whether a folder has the meta.json of a pipeline."""
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf8"))
    except (OSError, ValueError):
        return False
    return isinstance(meta, dict) and {"lang", "pipeline"} <= set(meta)


def _library_of(folder: Path) -> str | None:
    """Return the library whose transformer a pipeline contains; None for this one, or for none."""
    # A package has its pipeline in a folder with the version.
    for path in [folder / "config.cfg", *sorted(folder.glob("*/config.cfg"))]:
        if not path.is_file():
            continue
        text = path.read_text(encoding="utf8")
        for factory in re.findall(r'^factory\s*=\s*"(\w+)"', text, re.MULTILINE):
            if factory in OTHER_FACTORIES:
                return OTHER_FACTORIES[factory]
    return None
