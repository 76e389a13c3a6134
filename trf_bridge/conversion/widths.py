"""The width of the transformer, for heads that need it when they are built."""

from __future__ import annotations

from typing import Any

from thinc.api import Config

from .listeners import LISTENER
from .rows import Row
from .variables import resolve

LINKERS = "spacy.EntityLinker."


def add_widths(config: Config) -> list[Row]:
    """Set the width of listeners in entity linkers, from the config.json of the checkpoint.

    config (Config): A converted config; changed.
    RETURNS (list of Row): A row for each of them.
    """
    rows: list[Row] = []
    components = config["components"]
    for name, block in components.items():
        model = block.get("model", {})
        listener = model.get("tok2vec", {}) if isinstance(model, dict) else {}
        if not (isinstance(listener, dict) and listener.get("@architectures") == LISTENER):
            continue
        if not str(model.get("@architectures")).startswith(LINKERS) or "width" in listener:
            continue
        where, width = f"components.{name}.model.tok2vec", _width_of(config)
        if width is None:
            why = "set it to the width of the checkpoint, whose config.json could not be read"
        else:
            listener["width"], why = width, "of the checkpoint; an entity linker needs it"
        rows.append(Row(where, f"width = {width or 'null'}", "translated", why))
    return rows


def _width_of(config: dict[str, Any]) -> int | None:
    """Return the width of the first transformer; None if its checkpoint can't be read."""
    from ..wrappers.configs import load_config

    for block in config["components"].values():
        model = block.get("model", {})
        if block.get("factory") != "trf_tok2vec":
            continue
        try:
            checkpoint = load_config(
                str(resolve(config, model["trf_name"])), revision=model.get("revision")
            )
        except (LookupError, ValueError):
            return None
        return getattr(checkpoint, "hidden_size", None)
    return None
