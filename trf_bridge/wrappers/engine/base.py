"""What every engine does: run the model over subbatches, in prediction and in training."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy
import torch

from ...types import Array
from ..training.precision import lower_dtype, mixed
from ..traits import Traits, output_flags
from .linear import OneDnnLinear
from .memory import max_rows
from .threads import ForkGuard

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from .lowered import LoweredCopy


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
    """

    name: str

    def __init__(
        self,
        model: PreTrainedModel,
        traits: Traits,
        precision: str,
        lowered: LoweredCopy | None,
        *,
        reason: str,
    ) -> None:
        """Set the engine up.

        model (PreTrainedModel): The model, in evaluation mode.
        traits (Traits): What it takes and returns.
        precision (str): "fp32", "bf16" or "fp16".
        lowered (LoweredCopy): The copy that predicts in that precision; None for mixed precision.
        reason (str): Why this engine is used.
        """
        self.reason = reason
        self._model = model
        self._traits = traits
        self._precision = precision
        self._lowered = lowered
        dtype = lower_dtype(precision) or torch.float32
        on_cpu = self._device.type == "cpu"
        self._max_rows = max_rows(model, traits.width, dtype) if on_cpu else None
        self._fork_guard = ForkGuard()

    @property
    def _device(self) -> torch.device:
        """Return the device of the model, which thinc can move to another one."""
        return next(self._model.parameters()).device

    def __repr__(self) -> str:
        return f"<{type(self).__name__} '{self.name}': {self.reason}>"

    def plan(self, lengths: Array, words_per_batch: int) -> list[Array]:
        """Choose the inputs of each subbatch, the longest first.

        lengths (int, (n_inputs,)): Wordpieces of each input.
        words_per_batch (int): The maximum size of a subbatch in wordpieces, padding included; 0 for
            no limit. On a CPU, subbatches of wide models are smaller: see `memory`.
        RETURNS (list of int64): Indices of the inputs of each subbatch.
        """
        if words_per_batch and self._max_rows is not None:
            words_per_batch = min(words_per_batch, self._max_rows)
        return self._plan(lengths, words_per_batch)

    @abstractmethod
    def _plan(self, lengths: Array, words_per_batch: int) -> list[Array]:
        """Choose the inputs of each subbatch, within the limit of this machine."""

    @abstractmethod
    def size(self, lengths: Array) -> int:
        """Return how many wordpieces the model computes for a subbatch, padding included.

        lengths (int, (n,)): Wordpieces of each input of the subbatch.
        RETURNS (int): The number.
        """

    @abstractmethod
    def _run(
        self, model: PreTrainedModel, inputs: Inputs, indices: Array, request: Request
    ) -> SubbatchOutputs:
        """Run the model over one subbatch.

        model (PreTrainedModel): The model, or its copy in a lower precision.
        inputs (Inputs): All inputs.
        indices (int64, (n,)): The inputs of the subbatch.
        request (Request): Which further outputs to return.
        RETURNS (SubbatchOutputs): The outputs.
        """

    def count_products(self) -> dict[str, int]:
        """Count the linear layers by the library that computes their products in prediction.

        RETURNS (dict): Number of layers by "torch" and "onednn".
        """
        model = self._model if self._lowered is None else self._lowered.of(self._model)
        layers = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear)]
        n_onednn = sum(isinstance(layer, OneDnnLinear) for layer in layers)
        return {"torch": len(layers) - n_onednn, "onednn": n_onednn}

    def predict(
        self, inputs: Inputs, words_per_batch: int, request: Request
    ) -> Iterator[SubbatchOutputs]:
        """Run the model without storing what a backward pass would need.

        inputs (Inputs): The inputs.
        words_per_batch (int): The maximum size of a subbatch in wordpieces; 0 for no limit.
        request (Request): Which further outputs to return.
        YIELDS (SubbatchOutputs): The outputs of each subbatch.
        """
        self._fork_guard.check()
        lowered = None if self._lowered is None else self._lowered.of(self._model)
        for indices in self.plan(inputs.lengths, words_per_batch):
            with torch.inference_mode():
                if lowered is not None:
                    outputs = self._run(lowered, inputs, indices, request)
                else:
                    with mixed(self._precision, self._device):
                        outputs = self._run(self._model, inputs, indices, request)
            yield outputs

    def update(
        self, inputs: Inputs, words_per_batch: int, request: Request
    ) -> Iterator[SubbatchOutputs]:
        """Run the model in training mode, in mixed precision.

        inputs (Inputs): The inputs.
        words_per_batch (int): The maximum size of a subbatch in wordpieces; 0 for no limit.
        request (Request): Which further outputs to return.
        YIELDS (SubbatchOutputs): The outputs of each subbatch, connected to the weights.
        """
        self._fork_guard.check()
        for indices in self.plan(inputs.lengths, words_per_batch):
            with training_mode(self._model), mixed(self._precision, self._device):
                outputs = self._run(self._model, inputs, indices, request)
            yield outputs

    def _call(self, model: PreTrainedModel, arguments: dict[str, Any], request: Request) -> Any:
        """Call a model with the arguments that it takes, and only the outputs that are needed."""
        flags = output_flags(
            self._traits.parameters,
            output_hidden_states=request.hidden_states,
            output_attentions=request.attentions,
        )
        return model(**arguments, **flags)


def collect_outputs(
    outputs: Any,
    indices: Array,
    rows: Array,
    request: Request,
    select: Callable[[torch.Tensor], torch.Tensor],
    attentions: Sequence[torch.Tensor] = (),
) -> SubbatchOutputs:
    """Collect the outputs of a Hugging Face model.

    outputs (ModelOutput): What the model returned.
    indices (int64, (n,)): The inputs of the subbatch.
    rows (int64, (n_rows,)): Their rows.
    request (Request): Which further outputs to collect.
    select (callable): Removes padding from the states of a layer: a Tensor (n_rows, width).
    attentions (sequence of Tensor): The attention weights of each input.
    RETURNS (SubbatchOutputs): The outputs, in float32.
    """
    pooler_output = outputs.get("pooler_output")
    layers = outputs.hidden_states if request.hidden_states else ()
    return SubbatchOutputs(
        indices=indices,
        rows=rows,
        last_hidden_state=select(outputs.last_hidden_state).float(),
        pooler_output=None if pooler_output is None else pooler_output.float(),
        hidden_states=[select(layer).float() for layer in layers],
        attentions=attentions,
    )


@contextlib.contextmanager
def training_mode(model: PreTrainedModel) -> Iterator[None]:
    """Put a model into training mode inside of a block.

    model (PreTrainedModel): The model, in evaluation mode.
    """
    model.train()
    try:
        yield
    finally:
        model.eval()
