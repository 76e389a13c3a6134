"""The engine for any model: inputs of similar length, padded to the longest of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy
import torch

from ...types import Array
from .base import Engine, Inputs, Request, SubbatchOutputs, collect_outputs
from .planning import MAX_PADDING, plan_padded

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class PaddedEngine(Engine):
    """Runs a model over padded subbatches."""

    name = "padded"

    def _plan(self, lengths: Array, words_per_batch: int) -> list[Array]:
        max_padding = MAX_PADDING if self._traits.ignores_padding else 0
        return plan_padded(lengths, words_per_batch, max_padding=max_padding)

    def size(self, lengths: Array) -> int:
        """Return how many wordpieces the model computes for a subbatch, padding included.

        lengths (int, (n,)): Wordpieces of each input of the subbatch.
        RETURNS (int): The number of inputs times the length of the longest, which counts as 1 where
            no input has wordpieces.
        """
        return len(lengths) * _padded_length(lengths)

    def _run(
        self, model: PreTrainedModel, inputs: Inputs, indices: Array, request: Request
    ) -> SubbatchOutputs:
        lengths, rows = inputs.lengths[indices], inputs.rows_of(indices)
        mask = numpy.arange(_padded_length(lengths)) < lengths[:, None]
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

    def _pad(self, values: Array, rows: Array, mask: Array, filler: int) -> torch.Tensor:
        """Pad some rows: (n_rows,) to (n, longest)."""
        padded = numpy.full(mask.shape, filler, dtype="int64")
        padded[mask] = values[rows]
        return torch.from_numpy(padded).to(self._device)


def _padded_length(lengths: Array) -> int:
    # Models differ in how they handle inputs without wordpieces: one column of padding is safe.
    return max(int(lengths.max(initial=0)), 1)
