"""Small inputs to ask a model with how it can be run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from .traits import Traits, quiet_flags

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Lengths of the inputs that a model is tried with, in falling order.
TRIED = (5, 3, 3, 1)


def some_ids(model: PreTrainedModel, traits: Traits) -> list[torch.Tensor]:
    """Make inputs of wordpieces that are not padding, which some models give no position.

    model (PreTrainedModel): The model.
    traits (Traits): What it takes and gives.
    RETURNS (list of Tensor, each int64 (n,)): One for each length in TRIED, on the model's device.
    """
    device = next(model.parameters()).device
    known = [i for i in range(min(traits.n_rows, 50)) if i != traits.pad_id]
    ids = torch.tensor([known[i * 7 % len(known)] for i in range(sum(TRIED))], device=device)
    return list(ids.split(TRIED))


def flags(traits: Traits) -> dict[str, Any]:
    """RETURNS (dict): Arguments for a forward that gives all hidden states there are, and no
    attentions."""
    return quiet_flags(traits.parameters, output_hidden_states=traits.n_hidden_states > 0)


def states_of(outputs: Any, traits: Traits) -> dict[str, torch.Tensor]:
    """Name what a model gave for a row of inputs.

    outputs (ModelOutput): What it gave.
    traits (Traits): What it gives.
    RETURNS (dict of str to Tensor): The last hidden state and all others, each (n_rows, width), and
        the pooler output, (n_inputs, width).
    """
    layers = [outputs.last_hidden_state, *(outputs.get("hidden_states") or [])]
    given = {f"states {i}": layer[0] for i, layer in enumerate(layers)}
    if traits.pooler_width:
        given["pooler"] = outputs.pooler_output
    return given
