"""How a forward pass is computed. `make_engine` is the only door: the rest of the package passes in
the wordpieces of inputs and receives the model's outputs for them.
"""

from __future__ import annotations

from .base import Engine, Inputs, Request, SubbatchOutputs
from .choice import make_engine
from .padded import training_mode

__all__ = ["Engine", "Inputs", "Request", "SubbatchOutputs", "make_engine", "training_mode"]
