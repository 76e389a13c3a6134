"""What the listener of spaCy's entity linker needs: the width of the rows, and `doc.tensor`."""

from __future__ import annotations

from typing import Any

from thinc.api import Config

from .listeners import LISTENER
from .rows import Row
from .variables import resolve

LINKERS = "spacy.EntityLinker."


def adapt_linkers(config: Config, rows: list[Row]) -> list[Row]:
    """Adapt the listeners in entity linkers of a config for training.

    The linker reads copies of Docs, which have `doc.tensor` but no wordpieces, so no other pooling
    is possible. Its layers need the width of the transformer when they are built.

    config (Config): A converted config; changed.
    rows (list of Row): The report of the conversion.
    RETURNS (list of Row): The report, with rows for what was changed.
    """
    for name, block in config["components"].items():
        model = block.get("model", {})
        listener = model.get("tok2vec", {}) if isinstance(model, dict) else {}
        if not (isinstance(listener, dict) and listener.get("@architectures") == LISTENER):
            continue
        if not str(model.get("@architectures")).startswith(LINKERS):
            continue
        where = f"components.{name}.model.tok2vec"
        listener["pooling"], listener["boundary"] = "sum", True
        why = 'pooling = "sum": an entity linker reads copies of Docs, which have doc.tensor alone'
        rows = [
            row._replace(outcome="dropped", why=why)
            if row.where == where and row.what.startswith("pooling")
            else row
            for row in rows
        ]
        if "width" not in listener:
            rows = [*rows, _add_width(config, listener, where)]
    return rows


def _add_width(config: dict[str, Any], listener: dict[str, Any], where: str) -> Row:
    """Set the width of a listener, from the config.json of the checkpoint."""
    width = _width_of(config)
    if width is None:
        why = "set it to the width of the checkpoint, whose config.json could not be read"
        return Row(where, "width = null", "dropped", why)
    listener["width"] = width
    return Row(where, f"width = {width}", "translated", "of the checkpoint; the layers need it")


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
