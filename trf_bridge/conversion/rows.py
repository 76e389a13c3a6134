"""What a conversion did with each part of a config or a pipeline."""

from __future__ import annotations

import json
from typing import Any, Literal, NamedTuple, TypeAlias

Outcome: TypeAlias = Literal["kept", "translated", "dropped"]


class Row(NamedTuple):
    """One row of the report of a conversion.

    where (str): The block of the config, such as "components.ner.model.tok2vec".
    what (str): The setting or the part in it, with its value.
    outcome (str): "kept", "translated" or "dropped".
    why (str): What it became, or why it was dropped.
    """

    where: str
    what: str
    outcome: Outcome
    why: str


def show_setting(name: str, value: Any) -> str:
    """Format a setting for a row.

    name (str): Name of the setting.
    value: Its value. A block with a registered function is shortened to the function's name and
        its plain arguments.
    RETURNS (str): The setting as in a config, in one line.
    """
    return f"{name} = {_show(value)}"


def _show(value: Any) -> str:
    if isinstance(value, str) and value.startswith("${"):
        return value
    if not isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    registered = [str(inner) for name, inner in value.items() if name.startswith("@")]
    if not registered:
        return json.dumps(value, ensure_ascii=False)
    plain = [
        f"{name} {_show(inner)}"
        for name, inner in value.items()
        if not name.startswith("@") and not isinstance(inner, dict)
    ]
    return f"{registered[0]} ({', '.join(plain)})" if plain else registered[0]
