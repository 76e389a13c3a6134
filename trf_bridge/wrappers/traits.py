"""What a model can do, asked of the model itself and never of its name."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, NamedTuple, cast

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Traits(NamedTuple):
    """What a model takes and gives.

    width (int): Width of the last hidden state.
    n_rows (int): Rows of the embedding table.
    pad_id (int): What to fill padding with.
    pooler_width (int): Width of the pooler output; 0 where there is none.
    n_hidden_states (int): Layers, and one for the embeddings; 0 where it does not give them.
    has_attentions (bool): Whether it gives its attention weights when asked.
    parameters (frozenset of str): Names of the arguments of its forward.
    """

    width: int
    n_rows: int
    pad_id: int
    pooler_width: int
    n_hidden_states: int
    has_attentions: bool
    parameters: frozenset[str]


def find_traits(model: PreTrainedModel) -> Traits:
    """Run a model once, on two wordpieces, and look at what comes out.

    model (PreTrainedModel): The model, in evaluation mode.
    RETURNS (Traits): What it takes and gives.
    """
    import torch

    parameters = frozenset(inspect.signature(model.forward).parameters)
    device = next(model.parameters()).device
    pad_id = getattr(model.config, "pad_token_id", None)
    ids = torch.zeros((1, 2), dtype=torch.long, device=device)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    with torch.inference_mode():
        eager = getattr(model.config, "_attn_implementation", None) == "eager"
        shown = model(
            **inputs,
            **quiet_flags(parameters, output_hidden_states=True, output_attentions=eager),
        )
    pooler_output = shown.get("pooler_output")
    return Traits(
        width=int(shown.last_hidden_state.shape[-1]),
        n_rows=int(cast(Any, model.get_input_embeddings()).num_embeddings),
        pad_id=0 if pad_id is None or pad_id < 0 else int(pad_id),
        pooler_width=0 if pooler_output is None else int(pooler_output.shape[-1]),
        n_hidden_states=len(shown.get("hidden_states") or ()),
        has_attentions=shown.get("attentions") is not None,
        parameters=parameters,
    )


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
    flags: dict[str, Any] = {"return_dict": True}
    if output_hidden_states:
        flags["output_hidden_states"] = True
    if output_attentions:
        flags["output_attentions"] = True
    # Key-value caches and memories serve generation; here they would only cost memory.
    flags.update({name: False for name in ("use_cache", "use_mems") if name in parameters})
    return flags
