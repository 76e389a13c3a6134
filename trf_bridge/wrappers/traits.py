"""What a model takes and returns, found by running it, never by its name."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel


# What transformers 5 passes through its models as unnamed keyword arguments.
USUAL_PARAMETERS = ("attention_mask", "output_hidden_states", "output_attentions", "return_dict")


class Traits(NamedTuple):
    """What a model takes and returns.

    width (int): Width of the last hidden state.
    n_rows (int): Rows of the embedding table.
    pad_id (int): Wordpiece id of padding.
    pooler_width (int): Width of the pooler output; 0 for a model without a pooler.
    n_hidden_states (int): Number of layers, plus one for the embeddings; 0 for a model that does
        not return hidden states.
    has_attentions (bool): Whether the model can return its attention weights.
    parameters (frozenset of str): Names of the arguments of its forward.
    ignores_padding (bool): Whether padding leaves the other outputs unchanged. It changes those of
        MobileBERT, whose embeddings include the next wordpiece, and of FNet, which mixes all
        wordpieces.
    """

    width: int
    n_rows: int
    pad_id: int
    pooler_width: int
    n_hidden_states: int
    has_attentions: bool
    parameters: frozenset[str]
    ignores_padding: bool = True


def find_traits(model: PreTrainedModel) -> Traits:
    """Run a model on a few wordpieces, and describe its outputs.

    model (PreTrainedModel): The model, in evaluation mode.
    RETURNS (Traits): What it takes and returns.
    """
    # The fused implementations of attention return no weights, and warn if these are requested.
    eager = getattr(model.config, "_attn_implementation", None) == "eager"
    outputs = probe(model, output_hidden_states=True, output_attentions=eager)
    pooler_output = outputs.get("pooler_output")
    return Traits(
        width=int(outputs.last_hidden_state.shape[-1]),
        n_rows=_n_rows(model),
        pad_id=_pad_id(model),
        pooler_width=0 if pooler_output is None else int(pooler_output.shape[-1]),
        n_hidden_states=len(outputs.get("hidden_states") or ()),
        has_attentions=outputs.get("attentions") is not None,
        parameters=_parameters(model),
        ignores_padding=_has_same_start(outputs, probe(model, n_padding=2)),
    )


def probe(
    model: PreTrainedModel,
    *,
    n_padding: int = 0,
    output_hidden_states: bool = False,
    output_attentions: bool = False,
) -> Any:
    """Run a model on four different wordpieces.

    model (PreTrainedModel): The model, in evaluation mode.
    n_padding (int): Number of padding wordpieces to append.
    output_hidden_states, output_attentions (bool): Which outputs to request.
    RETURNS (ModelOutput): The outputs.
    """
    parameters, pad_id = _parameters(model), _pad_id(model)
    n_rows = _n_rows(model)
    device = next(model.parameters()).device
    ids = [(pad_id + 1 + i) % n_rows for i in range(4)] + [pad_id] * n_padding
    arguments = {"input_ids": torch.tensor([ids], device=device)}
    if "attention_mask" in parameters:
        arguments["attention_mask"] = torch.tensor([[1] * 4 + [0] * n_padding], device=device)
    flags = output_flags(
        parameters,
        output_hidden_states=output_hidden_states,
        output_attentions=output_attentions,
    )
    with torch.inference_mode():
        return model(**arguments, **flags)


def _parameters(model: PreTrainedModel) -> frozenset[str]:
    """Return the names of the arguments of a model's forward. One that takes any takes the usual
    ones."""
    named = inspect.signature(model.forward).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in named.values())
    return frozenset([*named, *USUAL_PARAMETERS] if takes_any else named)


def _n_rows(model: PreTrainedModel) -> int:
    return int(cast(Any, model.get_input_embeddings()).num_embeddings)


def _pad_id(model: PreTrainedModel) -> int:
    pad_id = getattr(model.config, "pad_token_id", None)
    return 0 if pad_id is None or pad_id < 0 else int(pad_id)


def _has_same_start(outputs: Any, longer_outputs: Any) -> bool:
    """Return whether the last hidden state starts with that of a shorter input, and the pooler
    output is the same, up to rounding."""
    state, pooled = outputs.last_hidden_state, outputs.get("pooler_output")
    pairs = [(state, longer_outputs.last_hidden_state[:, : state.shape[1]])]
    if pooled is not None:
        pairs.append((pooled, longer_outputs.pooler_output))
    return all(
        torch.allclose(two, one, atol=1e-4 * max(1.0, float(one.abs().max())), equal_nan=True)
        for one, two in pairs
    )


def output_flags(
    parameters: frozenset[str],
    *,
    output_hidden_states: bool = False,
    output_attentions: bool = False,
) -> dict[str, Any]:
    """Return the arguments of a model's forward that turn off all outputs but the requested ones.

    parameters (frozenset of str): Names of the arguments of the model's forward.
    output_hidden_states, output_attentions (bool): Which outputs to request.
    RETURNS (dict): Keyword arguments of the forward.
    """
    flags = {
        "return_dict": True,
        "output_hidden_states": output_hidden_states or None,
        "output_attentions": output_attentions or None,
        # Key-value caches and memories serve generation; here they would only take memory.
        "use_cache": False,
        "use_mems": False,
    }
    return {
        name: value for name, value in flags.items() if value is not None and name in parameters
    }
