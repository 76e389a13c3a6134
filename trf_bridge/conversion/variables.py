"""Variables of configs, such as `${paths.train}`."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from typing import Any

VARIABLE = re.compile(r"\$\{([\w.:]+)\}")


def resolve(config: dict[str, Any], value: Any) -> Any:
    """Replace the variables in a value.

    config (dict): The config that defines them.
    value: A setting, or a block of settings.
    RETURNS: The value without variables.
    RAISES (LookupError): For a variable without a value; the message describes it.
    """
    return inline(config, value, [()])


def inline(config: dict[str, Any], value: Any, blocks: Sequence[tuple[str, ...]]) -> Any:
    """Replace the variables in a value that refer to certain blocks.

    config (dict): The config that defines them.
    value: A setting, or a block of settings.
    blocks (sequence of tuple of str): The paths of the blocks.
    RETURNS: A copy of the value. Other variables remain.
    RAISES (LookupError): For a variable without a value; the message describes it.
    """
    return _replace(config, value, blocks, frozenset())


def _replace(
    config: dict[str, Any], value: Any, blocks: Sequence[tuple[str, ...]], seen: frozenset[str]
) -> Any:
    if isinstance(value, dict):
        return {name: _replace(config, inner, blocks, seen) for name, inner in value.items()}
    if isinstance(value, list):
        return [_replace(config, inner, blocks, seen) for inner in value]
    if not isinstance(value, str):
        return copy.deepcopy(value)

    def find(match: re.Match[str]) -> Any:
        path = tuple(re.split("[.:]", match[1]))
        if not any(path[: len(block)] == block for block in blocks):
            return match[0]
        if match[1] in seen:
            raise LookupError(f"the variable {match[0]} refers to itself")
        found = _look_up(config, path, match[0])
        return _replace(config, found, blocks, seen | {match[1]})

    whole = VARIABLE.fullmatch(value)
    if whole:
        return find(whole)
    return VARIABLE.sub(lambda match: str(find(match)), value)


def _look_up(config: dict[str, Any], path: tuple[str, ...], variable: str) -> Any:
    found: Any = config
    for part in path:
        if not isinstance(found, dict) or part not in found:
            raise LookupError(f"the variable {variable} is not defined")
        found = found[part]
    return found
