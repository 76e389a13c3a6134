"""Whether a model is still the one that something was computed from."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class ModelState:
    """The modules and weights of a model at one time.

    A copy of the weights in another layout or precision is valid as long as the state is current.
    Values that are changed in place through `weights.data` or through NumPy are not noticed: torch
    counts no version for them. `torch.no_grad()` is the way to change weights in place.
    """

    def __init__(self, model: nn.Module) -> None:
        """Store the state of a model.

        model (nn.Module): The model.
        """
        modules = list(model.modules())
        # Every module and parameter by the table of its parent, and every forward that was set on a
        # module, so that others that take their place are noticed.
        tables: list[dict[str, Any]] = [
            table for module in modules for table in (module._modules, module._parameters)
        ]
        self._members = [(table, name, value) for table in tables for name, value in table.items()]
        self._members += [
            (vars(module), "forward", vars(module).get("forward")) for module in modules
        ]
        hooks: list[dict[Any, Any]] = [
            hooks
            for module in modules
            for hooks in (module._forward_hooks, module._forward_pre_hooks)
        ]
        self._sizes = [(table, len(table)) for table in (*tables, *hooks)]
        self._weights = [(weights, state_of(weights)) for weights in model.parameters()]

    def is_current(self) -> bool:
        """Return whether the model has the same modules, hooks and weights as then."""
        return (
            all(len(table) == size for table, size in self._sizes)
            and all(table.get(name) is value for table, name, value in self._members)
            and all(state_of(weights) == state for weights, state in self._weights)
        )


def state_of(weights: torch.Tensor) -> tuple[int, int]:
    """Return a key that changes when weights change; see `ModelState` for what it misses.

    weights (Tensor): The weights.
    RETURNS (tuple of int): Their address, which changes when other weights are put in, and their
        version, which changes in place. Weights created in inference mode have no version.
    """
    return weights.data_ptr(), 0 if weights.is_inference() else weights._version
