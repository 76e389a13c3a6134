"""Modules of a model, replaced on their parents."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn


def replace_modules(model: nn.Module, convert: Callable[[nn.Module], nn.Module]) -> None:
    """Replace modules of a model by others.

    A module with several parents gets one replacement.

    model (nn.Module): The model; changed.
    convert (callable): Takes a module and returns its replacement, or the module itself.
    """
    replacements: dict[int, nn.Module] = {}
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if id(child) not in replacements:
                replacements[id(child)] = convert(child)
            if replacements[id(child)] is not child:
                setattr(parent, name, replacements[id(child)])
