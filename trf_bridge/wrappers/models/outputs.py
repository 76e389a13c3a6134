"""From padded outputs of subbatches to the Activations of each Doc, and back for gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from thinc.api import torch2xp, xp2torch

from ...types import Activations, Array
from ..traits import Traits
from .batch import Batch, Subbatch


class OutputBuffer:
    """Collects what the model gives for each subbatch, in the order of the Docs."""

    def __init__(
        self,
        batch: Batch,
        traits: Traits,
        device: torch.device,
        *,
        hidden_states: bool,
        attentions: bool,
    ) -> None:
        """Make room for a batch.

        batch (Batch): The batch.
        traits (Traits): What the model gives.
        device (torch.device): Where it gives it.
        hidden_states, attentions (bool): Whether to keep these.
        """

        self.batch = batch
        n_rows, n_inputs = int(batch.n_pieces.sum()), int(batch.n_inputs.sum())
        # Means are summed up; everything else is written once, so it need not be cleared.
        alloc = torch.empty if batch.weights is None else torch.zeros
        self.last_hidden_state = alloc((n_rows, traits.width), device=device)
        self.pooler_output: torch.Tensor | None = None
        self.hidden_states: torch.Tensor | None = None
        self.attentions: list[Any] | None = None
        if traits.pooler_width:
            # Zeros for an input without wordpieces, which may not be run.
            self.pooler_output = torch.zeros((n_inputs, traits.pooler_width), device=device)
        if hidden_states:
            shape = (traits.n_hidden_states, n_rows, traits.width)
            self.hidden_states = alloc(shape, device=device)
        if attentions:
            self.attentions = [None] * n_inputs

    def write(self, subbatch: Subbatch, tensors: SubbatchTensors) -> None:
        """Put the outputs of a subbatch where they belong.

        subbatch (Subbatch): The subbatch.
        tensors (SubbatchTensors): What the model gave for it.
        """

        with torch.no_grad():
            rows = torch.from_numpy(subbatch.rows).to(self.last_hidden_state.device)
            weights = _weights(subbatch, rows.device)
            _put(self.last_hidden_state, rows, tensors.last_hidden_state.detach(), weights)
            if self.pooler_output is not None and tensors.pooler_output is not None:
                inputs = torch.from_numpy(subbatch.indices).to(rows.device)
                self.pooler_output[inputs] = tensors.pooler_output.detach()
            if self.hidden_states is not None:
                for layer, states in enumerate(tensors.hidden_states):
                    _put(self.hidden_states[layer], rows, states.detach(), weights)
            if self.attentions is not None:
                for index, attention in zip(
                    subbatch.indices.tolist(), tensors.attentions, strict=True
                ):
                    self.attentions[index] = attention.detach()

    def split(self) -> list[Activations]:
        """Cut the batch into its Docs.

        RETURNS (list of Activations, (n_docs,)): Views of the arrays of the whole batch.
        """
        last_hidden_state = torch2xp(self.last_hidden_state)
        pooler_output = None if self.pooler_output is None else torch2xp(self.pooler_output)
        hidden_states: Array | None = (
            None if self.hidden_states is None else torch2xp(self.hidden_states)
        )
        docs = []
        row = first = 0
        for n_pieces, n_inputs in zip(
            self.batch.n_pieces.tolist(), self.batch.n_inputs.tolist(), strict=True
        ):
            rows, inputs = slice(row, row + n_pieces), slice(first, first + n_inputs)
            docs.append(
                Activations(
                    last_hidden_state=last_hidden_state[rows],
                    pooler_output=None if pooler_output is None else pooler_output[inputs],
                    hidden_states=None if hidden_states is None else hidden_states[:, rows],
                    attentions=(
                        None
                        if self.attentions is None
                        else [torch2xp(attention) for attention in self.attentions[inputs]]
                    ),
                )
            )
            row += n_pieces
            first += n_inputs
        return docs


class SubbatchTensors:
    """What the model gave for a subbatch, in float32 and without the padding.

    last_hidden_state ((n_cells, width)), pooler_output ((n, width) or None), hidden_states (one
    (n_cells, width) per layer and one for the embeddings), attentions (one (layers, heads, length,
    length) per input).
    """

    def __init__(
        self, outputs: Any, subbatch: Subbatch, *, hidden_states: bool, attentions: bool
    ) -> None:
        """Cut the padding off.

        outputs (ModelOutput): Of a Hugging Face model.
        subbatch (Subbatch): The subbatch that it read.
        hidden_states, attentions (bool): Whether to look for these.
        """

        cells = torch.from_numpy(subbatch.cells).to(outputs.last_hidden_state.device)
        self.last_hidden_state = _cells(outputs.last_hidden_state, cells)
        pooler_output = outputs.get("pooler_output")
        self.pooler_output = None if pooler_output is None else pooler_output.float()
        empty = torch.from_numpy(subbatch.lengths == 0)
        if self.pooler_output is not None and bool(empty.any()):
            at = empty.to(self.pooler_output.device)[:, None]
            self.pooler_output = self.pooler_output.masked_fill(at, 0.0)
        self.hidden_states: list[torch.Tensor] = []
        self.attentions: list[torch.Tensor] = []
        if hidden_states:
            self.hidden_states = [_cells(states, cells) for states in outputs.hidden_states]
        if attentions:
            stacked = torch.stack(list(outputs.attentions), dim=1).float()
            self.attentions = [
                stacked[i, :, :, :n, :n].clone() for i, n in enumerate(subbatch.lengths.tolist())
            ]


class GradientBuffer:
    """The gradients of a batch of Docs, laid out like the flat batch."""

    def __init__(
        self, batch: Batch, d_outputs: Sequence[Activations], device: torch.device
    ) -> None:
        """Put the gradients of all Docs one after another.

        batch (Batch): The batch.
        d_outputs (sequence of Activations, (n_docs,)): Gradients; what is None has none.
        device (torch.device): Where the model is.
        """
        self.device = device
        n_pieces, n_inputs = batch.n_pieces.tolist(), batch.n_inputs.tolist()
        self.last_hidden_state = self._join([d.last_hidden_state for d in d_outputs], n_pieces, 0)
        self.pooler_output = self._join([d.pooler_output for d in d_outputs], n_inputs, 0)
        self.hidden_states = self._join([d.hidden_states for d in d_outputs], n_pieces, 1)
        self.attentions: dict[int, torch.Tensor] = {}
        first = 0
        for d_output, n in zip(d_outputs, n_inputs, strict=True):
            for i, attention in enumerate(d_output.attentions or []):
                self.attentions[first + i] = xp2torch(attention, device=device)
            first += n

    def pairs(
        self, subbatch: Subbatch, tensors: SubbatchTensors
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Match the outputs of a subbatch with their gradients.

        subbatch (Subbatch): The subbatch.
        tensors (SubbatchTensors): What the model gave for it.
        RETURNS (tuple of two lists of Tensor): Outputs, and a gradient of the same shape for each.
        """

        rows = torch.from_numpy(subbatch.rows).to(self.device)
        weights = _weights(subbatch, rows.device)
        outputs, gradients = [], []
        if self.last_hidden_state is not None:
            outputs.append(tensors.last_hidden_state)
            gradients.append(_get(self.last_hidden_state, rows, weights))
        if self.pooler_output is not None and tensors.pooler_output is not None:
            outputs.append(tensors.pooler_output)
            inputs = torch.from_numpy(subbatch.indices).to(self.device)
            gradients.append(self.pooler_output[inputs])
        if self.hidden_states is not None:
            outputs.extend(tensors.hidden_states)
            gradients.extend(_get(layer, rows, weights) for layer in self.hidden_states)
        if tensors.attentions:
            for index, attention in zip(subbatch.indices.tolist(), tensors.attentions, strict=True):
                if index in self.attentions:
                    outputs.append(attention)
                    gradients.append(self.attentions[index])
        return outputs, gradients

    def _join(
        self, arrays: Sequence[Array | None], sizes: Sequence[int], axis: int
    ) -> torch.Tensor | None:
        """Concatenate, with zeros for the Docs that have none; None where none has any."""

        given = [array for array in arrays if array is not None]
        if not given:
            return None
        parts = []
        for array, size in zip(arrays, sizes, strict=True):
            if array is None:
                shape = list(given[0].shape)
                shape[axis] = size
                parts.append(torch.zeros(shape, device=self.device))
            else:
                parts.append(xp2torch(array, device=self.device))
        return torch.cat(parts, dim=axis)


def _cells(padded: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
    return padded.flatten(0, 1).index_select(0, cells).float()


def _weights(subbatch: Subbatch, device: torch.device) -> torch.Tensor | None:
    """What each cell counts in its row, as a column; None where it is the only one."""

    return (
        None if subbatch.weights is None else torch.from_numpy(subbatch.weights).to(device)[:, None]
    )


def _put(
    target: torch.Tensor, rows: torch.Tensor, states: torch.Tensor, weights: torch.Tensor | None
) -> None:
    """Write the states of cells into their rows; add them up where a row has several."""
    if weights is None:
        target[rows] = states
    else:
        target.index_add_(0, rows, states * weights)


def _get(d_target: torch.Tensor, rows: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
    """The transpose of `_put`: the gradient of each cell."""
    return d_target[rows] if weights is None else d_target[rows] * weights
