"""Modules of a model, replaced on their parents."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from torch import nn

ModuleT = TypeVar("ModuleT", bound=nn.Module)


def replace_modules(model: nn.Module, convert: Callable[[nn.Module], nn.Module]) -> None:
    """Replace modules of a model by others.

    A module that occurs several times gets one replacement, so what is tied stays tied.

    model (nn.Module): The model; changed.
    convert (callable): Takes a module and returns its replacement, or the module itself.
    """
    replacements: dict[nn.Module, nn.Module] = {}
    for parent in list(model.modules()):
        # named_children would skip the second name of a child that a parent holds twice.
        for name, child in parent._modules.items():
            if child is None:
                continue
            if child not in replacements:
                replacements[child] = convert(child)
            if replacements[child] is not child:
                setattr(parent, name, replacements[child])


def share_state(module: nn.Module, module_type: type[ModuleT]) -> ModuleT:
    """Create a module of another class that shares the state of a module.

    module (nn.Module): The module.
    module_type (type): A class that adds no state of its own.
    RETURNS (nn.Module): The new module. Its parameters, buffers and hooks are those of the module;
        the other attributes have the same values.
    """
    shared = module_type.__new__(module_type)
    shared.__dict__.update(module.__dict__)
    return shared
