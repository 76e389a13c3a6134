"""How sentence-transformers computes a vector of a text, from the files beside a checkpoint.

`modules.json` lists the steps after the transformer, each with its folder: a pooling of the rows of
the text, and often a normalization.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .files import loading_options, read_json

# A file of saved components.
POOLING_FILE = "sentence_pooling.json"

# The field of 1_Pooling/config.json that turns a pooling on, in older versions -> its name. The
# vectors of several poolings are joined in this order.
POOLINGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


def read_pooling(trf_name: str, revision: str | None = None) -> dict[str, Any] | None:
    """Read how sentence-transformers pools the rows of a text.

    trf_name (str): A folder, or a name on the Hugging Face hub.
    revision (str): Branch, tag or commit on the hub; None for the main branch.
    RETURNS (dict): "poolings" (list of str), "normalize" (bool), "max_length" (int, the maximum
        number of wordpieces of a text, or None) and "problem" (str, why the vectors can't be
        computed from the rows; empty if they can). None if the checkpoint has no modules.json.
    """
    pooling: dict[str, Any] = {"poolings": [], "normalize": False, "max_length": None}
    try:
        modules = _read(trf_name, revision, "modules.json")
        if modules is None:
            return None
        limits = _read(trf_name, revision, "sentence_bert_config.json") or {}
        pooling["max_length"] = limits.get("max_seq_length")
        for module in modules[1:]:  # the first one is the transformer
            kind = str(module["type"]).rpartition(".")[2]
            if kind == "Pooling":
                config = _read(trf_name, revision, f"{module['path']}/config.json")
                pooling["poolings"] = _names(config or {})
            elif kind == "Normalize":
                pooling["normalize"] = True
            else:
                return {**pooling, "problem": f"modules.json contains the module {kind}"}
    except (OSError, ValueError, TypeError, AttributeError, LookupError) as error:
        reason = " ".join(str(error).split())
        problem = f"its files can't be read ({type(error).__name__}: {reason})"
        return {**pooling, "problem": problem}
    problem = "" if pooling["poolings"] else "modules.json contains no pooling"
    return {**pooling, "problem": problem}


def saved_pooling(pooling: dict[str, Any] | None) -> dict[str, bytes]:
    """Write the settings of a saved component.

    pooling (dict): What `read_pooling` returned.
    RETURNS (dict): The content of the file, by its name; empty for None.
    """
    return {} if pooling is None else {POOLING_FILE: json.dumps(pooling).encode("utf8")}


def read_saved_pooling(folder: Path) -> dict[str, Any] | None:
    """Read the settings of a saved component.

    folder (Path): Its folder.
    RETURNS (dict): What `read_pooling` returned before it was saved.
    RAISES (ValueError): TB006.
    """
    path = folder / POOLING_FILE
    return read_json(path) if path.is_file() else None


def _names(config: dict[str, Any]) -> list[str]:
    """Return the names of the poolings in a config, of older and of newer versions."""
    newer = config.get("pooling_mode")
    if newer:
        return [newer] if isinstance(newer, str) else list(newer)
    return [name for field, name in POOLINGS.items() if config.get(field)]


def _read(trf_name: str, revision: str | None, name: str) -> Any:
    """Read a file of a checkpoint; None if it has none, or if the hub is not reachable."""
    folder = Path(trf_name)
    path: Path | str | None = folder / name
    if not folder.is_dir():
        from transformers.utils.hub import cached_file

        directory, _, file = name.rpartition("/")
        options = loading_options(trf_name, revision, False)
        del options["trust_remote_code"]
        path = cached_file(
            trf_name,
            file,
            subfolder=directory,
            _raise_exceptions_for_gated_repo=False,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
            **options,
        )
    if path is None or not Path(path).is_file():
        return None
    return json.loads(Path(path).read_text(encoding="utf8"))
