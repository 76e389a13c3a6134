"""What a conversion did with each part of a config or a pipeline."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

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
