"""The engine for any model: its own forward, over inputs of similar length that are padded to the
longest of them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy
import torch

from ...types import Array
from ..training.precision import mixed
from ..traits import Traits, output_flags
from .base import Engine, Inputs, Request, SubbatchOutputs
from .linear import count_products
from .planning import MAX_PADDING, Subbatch, plan_padded

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from .lowered import LoweredCopy


class PaddedEngine(Engine):
    """Runs a model over padded subbatches."""

    name = "padded"

    def __init__(
        self,
        model: PreTrainedModel,
        traits: Traits,
        precision: str,
        *,
        lowered: LoweredCopy | None = None,
        reason: str = "",
    ) -> None:
        """Set the engine up; see `Engine` for the other arguments.

        lowered (LoweredCopy): The copy that predicts in that precision; None for mixed precision.
        """
        super().__init__(model, traits, precision, reason=reason)
        self.lowered = lowered

    def predict(
        self, inputs: Inputs, words_per_batch: int, request: Request
    ) -> Iterator[SubbatchOutputs]:
        """Run the model without storing what a backward pass would need; see `Engine`."""
        self._fork_guard.check()
        lowered = None if self.lowered is None else self.lowered.of(self._model)
        for subbatch in self.plan(inputs.lengths, words_per_batch):
            with torch.inference_mode():
                if lowered is not None:
                    outputs = self._run(lowered, inputs, subbatch, request)
                else:
                    with mixed(self.precision, self._device):
                        outputs = self._run(self._model, inputs, subbatch, request)
            yield outputs

    def update(
        self, inputs: Inputs, words_per_batch: int, request: Request
    ) -> Iterator[SubbatchOutputs]:
        """Run the model in training mode, in mixed precision; see `Engine`."""
        self._fork_guard.check()
        for subbatch in self._plan(inputs.lengths, words_per_batch):
            with training_mode(self._model), mixed(self.precision, self._device):
                outputs = self._run(self._model, inputs, subbatch, request)
            yield outputs

    def count_products(self) -> dict[str, int]:
        """Count the linear layers by the library that computes their products; see `Engine`."""
        return count_products(self._model if self.lowered is None else self.lowered.of(self._model))

    def plan(self, lengths: Array, words_per_batch: int) -> Sequence[Subbatch]:
        """Choose the inputs of each subbatch of a prediction; see `Engine`."""
        return self._plan(lengths, self._limit(words_per_batch))

    def _plan(self, lengths: Array, words_per_batch: int) -> Sequence[Subbatch]:
        max_padding = MAX_PADDING if self._traits.ignores_padding else 0
        return plan_padded(lengths, words_per_batch, max_padding=max_padding)

    def _run(
        self, model: PreTrainedModel, inputs: Inputs, subbatch: Subbatch, request: Request
    ) -> SubbatchOutputs:
        """Run the model over one subbatch.

        model (PreTrainedModel): The model, or its copy in a lower precision.
        inputs (Inputs): All inputs.
        subbatch (Subbatch): One of those that `plan` returned.
        request (Request): Which further outputs to return.
        RETURNS (SubbatchOutputs): The outputs.
        """
        indices = subbatch.indices
        lengths, rows = inputs.lengths[indices], inputs.rows_of(indices)
        mask = numpy.arange(subbatch.size // len(indices)) < lengths[:, None]
        arguments = {"input_ids": self._pad(inputs.ids, rows, mask, self._traits.pad_id)}
        if "attention_mask" in self._traits.parameters:
            arguments["attention_mask"] = torch.from_numpy(mask.astype("int64")).to(self._device)
        if inputs.type_ids is not None and "token_type_ids" in self._traits.parameters:
            arguments["token_type_ids"] = self._pad(inputs.type_ids, rows, mask, 0)
        outputs = self._call(model, arguments, request)
        if not lengths.all() and outputs.get("pooler_output") is not None:
            empty = torch.from_numpy(lengths == 0).to(self._device)[:, None]
            outputs["pooler_output"] = outputs["pooler_output"].masked_fill(empty, 0.0)
        attentions = []
        if request.attentions:
            stacked = torch.stack(list(outputs.attentions), dim=1).float()
            attentions = [stacked[i, :, :, :n, :n].clone() for i, n in enumerate(lengths.tolist())]
        cells = torch.from_numpy(numpy.flatnonzero(mask)).to(self._device)
        return collect_outputs(
            outputs,
            indices,
            rows,
            request,
            lambda states: states.flatten(0, 1).index_select(0, cells),
            attentions,
        )

    def _call(self, model: PreTrainedModel, arguments: dict[str, Any], request: Request) -> Any:
        """Call a model with the arguments that it takes, and only the outputs that are needed."""
        flags = output_flags(
            self._traits.parameters,
            output_hidden_states=request.hidden_states,
            output_attentions=request.attentions,
        )
        return model(**arguments, **flags)

    def _pad(self, values: Array, rows: Array, mask: Array, filler: int) -> torch.Tensor:
        """Pad some rows: (n_rows,) to (n, longest)."""
        padded = numpy.full(mask.shape, filler, dtype="int64")
        padded[mask] = values[rows]
        return torch.from_numpy(padded).to(self._device)


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
