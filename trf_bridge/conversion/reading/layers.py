"""Layers without a function, in the structure of another library's layers, to read their files."""

from __future__ import annotations

from typing import Any

from thinc.api import Model


def make_empty(name: str, **options: Any) -> Model[Any, Any]:
    """Build a layer that is never run.

    name (str): Name of the layer.
    **options: Arguments of `Model`, such as its layers and dimensions.
    RETURNS (Model): The layer.
    """
    return Model(name, _not_run, **options)


def _not_run(model: Model[Any, Any], X: Any, is_train: bool) -> Any:
    raise NotImplementedError(model.name)
