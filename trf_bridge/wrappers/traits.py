"""What a model can do, asked of the model itself and never of its name."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel


# What transformers 5 hands through its models as keywords without a name.
USUAL_PARAMETERS = ("attention_mask", "output_hidden_states", "output_attentions", "return_dict")


class Traits(NamedTuple):
    """What a model takes and gives.

    width (int): Width of the last hidden state.
    n_rows (int): Rows of the embedding table.
    pad_id (int): What to fill padding with.
    pooler_width (int): Width of the pooler output; 0 where there is none.
    n_hidden_states (int): Layers, and one for the embeddings; 0 where it does not give them.
    has_attentions (bool): Whether it gives its attention weights when asked.
    parameters (frozenset of str): Names of the arguments of its forward.
    padded (bool): Whether it leaves padding out. MobileBERT's embeddings see the next wordpiece,
        FNet mixes all of them: they read what is behind the end of an input.
    """

    width: int
    n_rows: int
    pad_id: int
    pooler_width: int
    n_hidden_states: int
    has_attentions: bool
    parameters: frozenset[str]
    padded: bool = True


def find_traits(model: PreTrainedModel) -> Traits:
    """Run a model on a few wordpieces, and look at what comes out.

    model (PreTrainedModel): The model, in evaluation mode.
    RETURNS (Traits): What it takes and gives.
    """
    # The fused implementations of attention have no weights to give, and warn when asked for them.
    eager = getattr(model.config, "_attn_implementation", None) == "eager"
    shown = probe(model, output_hidden_states=True, output_attentions=eager)
    pooler_output = shown.get("pooler_output")
    return Traits(
        width=int(shown.last_hidden_state.shape[-1]),
        n_rows=_n_rows(model),
        pad_id=_pad_id(model),
        pooler_width=0 if pooler_output is None else int(pooler_output.shape[-1]),
        n_hidden_states=len(shown.get("hidden_states") or ()),
        has_attentions=shown.get("attentions") is not None,
        parameters=_parameters(model),
        padded=_same_start(shown, probe(model, n_padding=2)),
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
    n_padding (int): How much padding to put behind them.
    output_hidden_states, output_attentions (bool): What to ask for.
    RETURNS (ModelOutput): What it gives.
    """

    parameters, pad_id = _parameters(model), _pad_id(model)
    n_rows = _n_rows(model)
    device = next(model.parameters()).device
    ids = [(pad_id + 1 + i) % n_rows for i in range(4)] + [pad_id] * n_padding
    inputs = {"input_ids": torch.tensor([ids], device=device)}
    if "attention_mask" in parameters:
        inputs["attention_mask"] = torch.tensor([[1] * 4 + [0] * n_padding], device=device)
    flags = quiet_flags(
        parameters,
        output_hidden_states=output_hidden_states,
        output_attentions=output_attentions,
    )
    with torch.inference_mode():
        return model(**inputs, **flags)


def _parameters(model: PreTrainedModel) -> frozenset[str]:
    """The arguments of its forward; one that takes any takes the usual ones too."""
    given = inspect.signature(model.forward).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in given.values())
    return frozenset([*given, *USUAL_PARAMETERS] if takes_any else given)


def _n_rows(model: PreTrainedModel) -> int:
    return int(cast(Any, model.get_input_embeddings()).num_embeddings)


def _pad_id(model: PreTrainedModel) -> int:
    pad_id = getattr(model.config, "pad_token_id", None)
    return 0 if pad_id is None or pad_id < 0 else int(pad_id)


def _same_start(one: Any, longer: Any) -> bool:
    """Whether padding leaves the hidden state of what stands before it as it is, up to rounding."""

    state = one.last_hidden_state
    tolerance = 1e-4 * max(1.0, float(state.abs().max()))
    start = longer.last_hidden_state[:, : state.shape[1]]
    return torch.allclose(start, state, atol=tolerance, equal_nan=True)


def quiet_flags(
    parameters: frozenset[str],
    *,
    output_hidden_states: bool = False,
    output_attentions: bool = False,
) -> dict[str, Any]:
    """Arguments that turn everything off which nobody asked for.

    parameters (frozenset of str): Names of the arguments of the model's forward.
    output_hidden_states, output_attentions (bool): What to ask for.
    RETURNS (dict): Keyword arguments for its forward.
    """
    wanted = {
        "return_dict": True,
        "output_hidden_states": output_hidden_states or None,
        "output_attentions": output_attentions or None,
        # Key-value caches and memories serve generation; here they would only cost memory.
        "use_cache": False,
        "use_mems": False,
    }
    return {
        name: value for name, value in wanted.items() if value is not None and name in parameters
    }


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
