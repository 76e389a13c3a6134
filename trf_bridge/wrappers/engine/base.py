"""What an engine takes and returns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy
import torch

from ...types import Array
from ..training.precision import lower_dtype
from ..traits import Traits
from .caches import rows_in_caches
from .planning import Subbatch
from .threads import ForkGuard

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Inputs(NamedTuple):
    """The wordpieces that the model reads, input after input.

    ids (int64, (n_rows,)): Wordpiece ids.
    type_ids (int64, (n_rows,)): Type ids, or None.
    lengths (int64, (n_inputs,)): Wordpieces of each input.
    """

    ids: Array
    type_ids: Array | None
    lengths: Array

    def rows_of(self, indices: Array) -> Array:
        """Return the rows of some of the inputs.

        indices (int64, (n,)): Which inputs.
        RETURNS (int64, (n_rows,)): Their rows, input after input.
        """
        lengths = self.lengths[indices]
        starts = (numpy.cumsum(self.lengths) - self.lengths)[indices]
        shifts = starts - (numpy.cumsum(lengths) - lengths)
        rows: Array = numpy.arange(lengths.sum()) + numpy.repeat(shifts, lengths)
        return rows


class Request(NamedTuple):
    """Which outputs to return besides the last hidden state and the pooler output."""

    hidden_states: bool = False
    attentions: bool = False


@dataclass(frozen=True)
class SubbatchOutputs:
    """The model's outputs for one subbatch, in float32 and without padding.

    indices (int64, (n,)): Which inputs the subbatch holds.
    rows (int64, (n_rows,)): The row of `Inputs` that each row of the states belongs to.
    last_hidden_state (Tensor, (n_rows, width)): States of the last layer.
    pooler_output (Tensor, (n, width)): None where the model has no pooler.
    hidden_states (list of Tensor, each (n_rows, width)): One for the embeddings and one for each
        layer; empty unless requested.
    attentions (list of Tensor, each (layers, heads, length, length)): One for each input; empty
        unless requested.
    """

    indices: Array
    rows: Array
    last_hidden_state: torch.Tensor
    pooler_output: torch.Tensor | None
    hidden_states: Sequence[torch.Tensor]
    attentions: Sequence[torch.Tensor]


class Engine(ABC):
    """Runs a Hugging Face model over inputs of any lengths.

    The outputs of an input do not depend on the other inputs of its subbatch.

    name (str): Name of the engine.
    reason (str): Why this engine is used.
    precision (str): "fp32", "bf16" or "fp16".
    """

    name: str

    def __init__(
        self, model: PreTrainedModel, traits: Traits, precision: str, *, reason: str = ""
    ) -> None:
        """Set the engine up.

        model (PreTrainedModel): The model, in evaluation mode.
        traits (Traits): What it takes and returns.
        precision (str): "fp32", "bf16" or "fp16".
        reason (str): Why this engine is used.
        """
        self.reason = reason
        self._model = model
        self._traits = traits
        self.precision = precision
        self._lower = lower_dtype(precision)
        self._max_rows = rows_in_caches(model, traits.width, self._lower or torch.float32)
        self._fork_guard = ForkGuard()

    @property
    def _device(self) -> torch.device:
        """Return the device of the model, which thinc can move to another one."""
        return next(self._model.parameters()).device

    def __repr__(self) -> str:
        return f"<{type(self).__name__} '{self.name}': {self.reason}>"

    @abstractmethod
    def plan(self, lengths: Array, words_per_batch: int) -> Sequence[Subbatch]:
        """Choose the inputs of each subbatch of a prediction, the longest first.

        lengths (int, (n_inputs,)): Wordpieces of each input.
        words_per_batch (int): The maximum size of a subbatch in wordpieces, padding included; 0 for
            no limit. On a CPU, subbatches are also limited by its caches: see `caches`.
        RETURNS (sequence of Subbatch): The subbatches.
        """

    def _limit(self, words_per_batch: int) -> int:
        """Return the maximum size of a subbatch in prediction on this machine; 0 for no limit.

        Training has no such limit: each subbatch adds to the gradients of all weights.
        """
        if words_per_batch and self._device.type == "cpu":
            return min(words_per_batch, self._max_rows)
        return words_per_batch

    @abstractmethod
    def predict(
        self, inputs: Inputs, words_per_batch: int, request: Request
    ) -> Iterator[SubbatchOutputs]:
        """Run the model without storing what a backward pass would need.

        inputs (Inputs): The inputs.
        words_per_batch (int): The maximum size of a subbatch in wordpieces; 0 for no limit.
        request (Request): Which further outputs to return.
        RETURNS (iterator of SubbatchOutputs): The outputs of each subbatch.
        """

    @abstractmethod
    def update(
        self, inputs: Inputs, words_per_batch: int, request: Request
    ) -> Iterator[SubbatchOutputs]:
        """Run the model in training mode, in mixed precision.

        inputs (Inputs): The inputs.
        words_per_batch (int): The maximum size of a subbatch in wordpieces; 0 for no limit.
        request (Request): Which further outputs to return.
        RETURNS (iterator of SubbatchOutputs): The outputs of each subbatch, connected to the
            weights.
        """

    @abstractmethod
    def count_products(self) -> dict[str, int]:
        """Count the linear layers by the library that computes their products in prediction.

        RETURNS (dict): Number of layers by "torch" and "onednn".
        """
