"""From the model's outputs for subbatches to the Activations of each Doc, and back for
gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from thinc.api import torch2xp, xp2torch

from ...types import Activations, Array
from ..engine import Request, SubbatchOutputs
from ..traits import Traits
from .batch import Batch


class OutputBuffer:
    """Collects the outputs of all subbatches, in the order of the Docs."""

    def __init__(
        self, batch: Batch, traits: Traits, device: torch.device, request: Request
    ) -> None:
        """Allocate memory for a batch.

        batch (Batch): The batch.
        traits (Traits): What the model returns.
        device (torch.device): Device of the model.
        request (Request): Which further outputs to store.
        """
        self._batch = batch
        n_rows, n_inputs = int(batch.n_pieces.sum()), int(batch.n_inputs.sum())
        # Means are summed up. Every other row is written once, so it need not be cleared.
        alloc = torch.empty if batch.weights is None else torch.zeros
        self.last_hidden_state = alloc((n_rows, traits.width), device=device)
        self.pooler_output: torch.Tensor | None = None
        self.hidden_states: torch.Tensor | None = None
        self.attentions: list[Any] | None = None
        if traits.pooler_width:
            # Zeros for inputs without wordpieces, which may not be run.
            self.pooler_output = torch.zeros((n_inputs, traits.pooler_width), device=device)
        if request.hidden_states:
            shape = (traits.n_hidden_states, n_rows, traits.width)
            self.hidden_states = alloc(shape, device=device)
        if request.attentions:
            self.attentions = [None] * n_inputs

    def write(self, outputs: SubbatchOutputs) -> None:
        """Store the outputs of a subbatch.

        outputs (SubbatchOutputs): The outputs.
        """
        device = self.last_hidden_state.device
        kept, rows, weights = _place(self._batch, outputs.rows, device)
        with torch.no_grad():
            _put(self.last_hidden_state, outputs.last_hidden_state.detach(), kept, rows, weights)
            if self.pooler_output is not None and outputs.pooler_output is not None:
                inputs = torch.from_numpy(outputs.indices).to(device)
                self.pooler_output[inputs] = outputs.pooler_output.detach()
            if self.hidden_states is not None:
                for target, states in zip(self.hidden_states, outputs.hidden_states, strict=True):
                    _put(target, states.detach(), kept, rows, weights)
        if self.attentions is not None:
            for index, attention in zip(outputs.indices.tolist(), outputs.attentions, strict=True):
                self.attentions[index] = attention.detach()

    def split(self) -> list[Activations]:
        """Split the batch into its Docs.

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
            self._batch.n_pieces.tolist(), self._batch.n_inputs.tolist(), strict=True
        ):
            rows, inputs = slice(row, row + n_pieces), slice(first, first + n_inputs)
            attentions = None if self.attentions is None else self.attentions[inputs]
            docs.append(
                Activations(
                    last_hidden_state=last_hidden_state[rows],
                    pooler_output=None if pooler_output is None else pooler_output[inputs],
                    hidden_states=None if hidden_states is None else hidden_states[:, rows],
                    attentions=None if attentions is None else [torch2xp(a) for a in attentions],
                )
            )
            row += n_pieces
            first += n_inputs
        return docs


class GradientBuffer:
    """The gradients of a batch of Docs, laid out like the batch."""

    def __init__(
        self, batch: Batch, d_outputs: Sequence[Activations], device: torch.device
    ) -> None:
        """Join the gradients of all Docs.

        batch (Batch): The batch.
        d_outputs (sequence of Activations, (n_docs,)): Gradients; None for outputs without one.
        device (torch.device): Device of the model.
        """
        self._batch, self._device = batch, device
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

    def pairs(self, outputs: SubbatchOutputs) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Match the outputs of a subbatch with their gradients.

        outputs (SubbatchOutputs): The outputs.
        RETURNS (tuple of two lists of Tensor): Outputs, and a gradient of the same shape for each.
        """
        kept, rows, weights = _place(self._batch, outputs.rows, self._device)
        tensors, gradients = [], []
        if self.last_hidden_state is not None:
            tensors.append(_select(outputs.last_hidden_state, kept))
            gradients.append(_get(self.last_hidden_state, rows, weights))
        if self.pooler_output is not None and outputs.pooler_output is not None:
            tensors.append(outputs.pooler_output)
            inputs = torch.from_numpy(outputs.indices).to(self._device)
            gradients.append(self.pooler_output[inputs])
        if self.hidden_states is not None:
            tensors.extend(_select(states, kept) for states in outputs.hidden_states)
            gradients.extend(_get(layer, rows, weights) for layer in self.hidden_states)
        for index, attention in zip(outputs.indices.tolist(), outputs.attentions, strict=False):
            if index in self.attentions:
                tensors.append(attention)
                gradients.append(self.attentions[index])
        return tensors, gradients

    def _join(
        self, arrays: Sequence[Array | None], sizes: Sequence[int], axis: int
    ) -> torch.Tensor | None:
        """Concatenate gradients, with zeros for Docs without one; None if no Doc has one."""
        present = [array for array in arrays if array is not None]
        if not present:
            return None
        parts = []
        for array, size in zip(arrays, sizes, strict=True):
            if array is None:
                shape = list(present[0].shape)
                shape[axis] = size
                parts.append(torch.zeros(shape, device=self._device))
            else:
                parts.append(xp2torch(array, device=self._device))
        return torch.cat(parts, dim=axis)


def _place(
    batch: Batch, read: Array, device: torch.device
) -> tuple[torch.Tensor | None, torch.Tensor, torch.Tensor | None]:
    """Find where the states of a subbatch belong.

    batch (Batch): The batch.
    read (int64, (n_rows,)): Rows of the batch's inputs.
    device (torch.device): Device of the model.
    RETURNS (tuple of int64 (n_kept,), int64 (n_kept,), float32 (n_kept, 1)): Which of the states
        are stored, None for all; the row of the Docs that each belongs to; and its share of the
        row's mean, None where no row is a mean.
    """
    kept = None
    if not batch.kept[read].all():
        stored = batch.kept[read].nonzero()[0]
        kept, read = torch.from_numpy(stored).to(device), read[stored]
    rows = torch.from_numpy(batch.rows[read]).to(device)
    if batch.weights is None:
        return kept, rows, None
    return kept, rows, torch.from_numpy(batch.weights[read]).to(device)[:, None]


def _put(
    target: torch.Tensor,
    states: torch.Tensor,
    kept: torch.Tensor | None,
    rows: torch.Tensor,
    weights: torch.Tensor | None,
) -> None:
    """Write states into their rows, or add their shares to the means."""
    states = _select(states, kept)
    if weights is None:
        target[rows] = states
    else:
        target.index_add_(0, rows, states * weights)


def _get(d_target: torch.Tensor, rows: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
    """Compute the transpose of `_put`: the gradient of each state that is stored."""
    return d_target[rows] if weights is None else d_target[rows] * weights


def _select(states: torch.Tensor, kept: torch.Tensor | None) -> torch.Tensor:
    return states if kept is None else states.index_select(0, kept)
