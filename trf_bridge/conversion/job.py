"""The state of the conversion of one config."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .. import errors
from .rows import Outcome, Row, show_setting
from .variables import resolve

# The settings of a trf_wordpiecer, and those of the model of a trf_tok2vec.
Encoder = tuple[dict[str, Any], dict[str, Any]]


@dataclass
class Job:
    """One config, and what was done with it so far.

    config (dict): The original config, with its variables.
    path (str): Where it comes from, for errors.
    trf_name (str): The checkpoint, which replaces that in the config; "" to use that.
    trained (bool): Whether the pipeline is trained, and needs no checkpoint.
    sources (dict): Factories of the components of each pipeline that the config sources, by the
        pipeline as the config names it.
    rows (list of Row): The report.
    """

    config: dict[str, Any]
    path: str = "the config"
    trf_name: str = ""
    trained: bool = False
    sources: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)

    def resolve(self, value: Any) -> Any:
        """Replace the variables in a value.

        value: A setting, or a block of settings.
        RETURNS: The value without variables.
        RAISES (ValueError): TB067 for a variable without a value.
        """
        try:
            return resolve(self.config, value)
        except LookupError as error:
            raise self.refuse(str(error.args[0]), "Correct the config.") from None

    def add(self, where: str, name: str, value: Any, outcome: Outcome, why: str) -> None:
        """Add a row for a setting to the report.

        where (str): The block.
        name (str): The setting.
        value: Its value.
        outcome (str): "kept", "translated" or "dropped".
        why (str): What it became, or why it was dropped.
        """
        self.rows.append(Row(where, show_setting(name, value), outcome, why))

    def refuse(self, reason: str, advice: str) -> ValueError:
        """Create the error for a config that can't be converted.

        reason (str): Why not.
        advice (str): What to do.
        RETURNS (ValueError): TB067.
        """
        return ValueError(errors.TB067.format(path=self.path, reason=reason, advice=advice))

    def checkpoint(self, found: Any, component: str) -> str:
        """Choose the checkpoint of a component.

        found (str): The checkpoint in the config; None for none.
        component (str): The component.
        RETURNS (str): The given checkpoint, or that in the config. "" for a trained pipeline
            without one.
        RAISES (ValueError): TB066 if there is none.
        """
        trf_name = self.trf_name or found or ""
        if not trf_name and not self.trained:
            raise ValueError(errors.TB066.format(path=self.path, component=component))
        return str(trf_name)
