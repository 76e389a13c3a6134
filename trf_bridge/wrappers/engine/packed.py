"""Inputs of any lengths one after another in a single row, without padding between them.

Everything in a transformer but its attention treats each wordpiece by itself, and there a row
without padding saves work and makes the matrix products larger, which is faster. The attention is
called through transformers' own interface for that, and looks only inside each input. Whether a
model can be run so is asked of the model: it must give the same as for each input alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import numpy
import torch
from transformers import AttentionInterface, AttentionMaskInterface

from ...types import Array
from ..traits import TRIED, Traits, flags, some_ids, states_of
from .batched_attention import MANY, SHORT, attend_by_products
from .layout import Group, Layout

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Name of the attention below in the config of a model. It is not saved with the config.
NAME = "trf_bridge_unpadded"

# By how much what it gives may differ from what it gives for each input alone, as a part of the
# largest number in it. Rounding is a hundred times less, and an input that sees another, or counts
# its positions from another place, is far off.
TOLERANCE = 1e-4


def unpadded_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    layout: Layout | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Attend inside each input of a row.

    Its arguments are those of transformers' attention interface; see its documentation.

    query, key, value (Tensor, (1, heads, n_rows, width)): What to attend with.
    attention_mask (Tensor): The model's mask of the whole row, or None.
    layout (Layout): Where the inputs lie; None for an ordinary padded batch.
    RETURNS (tuple): (1, n_rows, heads, width), and None for the weights, which are not kept.
    """
    attend = AttentionInterface()["sdpa"]
    if layout is None:
        usual: tuple[torch.Tensor, None] = attend(
            module, query, key, value, attention_mask, **kwargs
        )
        return usual
    if kwargs.get("position_bias") is not None:
        # Asked by `use_unpadded`, this is how the answer comes to be no.
        raise NotImplementedError("a position bias over the whole row")
    is_causal = kwargs.get("is_causal")
    if is_causal is None:
        is_causal = getattr(module, "is_causal", True)
    # Padding comes last, where no earlier wordpiece looks.
    causal = attention_mask is None and is_causal
    biases = [None] * len(layout.groups) if causal else layout.biases(attention_mask, query.dtype)
    by_products = query.device.type == "cpu" and query.shape[1] == key.shape[1] and not causal
    parts = [_split(states, layout.sizes) for states in (query, key, value)]
    attended = []
    for i, (group, bias) in enumerate(zip(layout.groups, biases, strict=True)):
        q, k, v = (_to_cells(part[i], group) for part in parts)
        if by_products and group.n >= MANY and group.longest <= SHORT:
            given = {name: kwargs[name] for name in ("scaling", "dropout") if name in kwargs}
            states = attend_by_products(q, k, v, bias, **given)
        else:
            states = attend(module, q, k, v, bias, **kwargs)[0]
        attended.append(_to_rows(states, group))
    if layout.n_filler:
        attended.append(attended[0].new_zeros((layout.n_filler, *attended[0].shape[1:])))
    return torch.cat(attended)[None], None


class _Gather(torch.autograd.Function):
    """Copy rows into cells: (n_rows, width) to (n_cells, width).

    Its backward only copies too, since no gradient ever comes from padding: nobody looks at it.
    That of torch's index_select would add, one number at a time.
    """

    @staticmethod
    def forward(
        ctx: Any, rows: torch.Tensor, taken: torch.Tensor, cells: torch.Tensor
    ) -> torch.Tensor:
        ctx.cells = cells
        return rows.index_select(0, taken)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (d_cells,) = gradients
        return d_cells.index_select(0, ctx.cells), None, None


class _Unpad(torch.autograd.Function):
    """Cut the padding off: (n_cells, width) to (n_rows, width)."""

    @staticmethod
    def forward(ctx: Any, padded: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
        ctx.cells, ctx.n_cells = cells, len(padded)
        return padded.index_select(0, cells)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (d_rows,) = gradients
        d_padded = d_rows.new_zeros((ctx.n_cells, d_rows.shape[1]))
        return d_padded.index_copy_(0, ctx.cells, d_rows), None


# torch gives `apply` no types.
_gather: Callable[..., torch.Tensor] = _Gather.apply
_unpad: Callable[..., torch.Tensor] = _Unpad.apply


def _split(states: torch.Tensor, sizes: list[int]) -> tuple[torch.Tensor, ...]:
    """(1, heads, n_rows, width) to the rows of each group, (size, heads, width)."""
    return torch.split_with_sizes(states[0].transpose(0, 1), sizes)


def _to_cells(rows: torch.Tensor, group: Group) -> torch.Tensor:
    """(n_rows, heads, width) to (n, heads, longest, width)."""
    heads, width = rows.shape[1:]
    if group.real is None:
        return rows.view(group.n, group.longest, heads, width).transpose(1, 2)
    cells = _gather(rows.flatten(0, 1), *group.by_head(heads))
    return cells.view(group.n, heads, group.longest, width)


def _to_rows(attended: torch.Tensor, group: Group) -> torch.Tensor:
    """(n, longest, heads, width) to (n_rows, heads, width)."""
    rows = attended.flatten(2).flatten(0, 1)
    if group.real is not None:
        rows = _unpad(rows, group.cells)
    return cast(torch.Tensor, rows.unflatten(1, attended.shape[2:]))


AttentionInterface.register(NAME, unpadded_attention)
AttentionMaskInterface.register(NAME, AttentionMaskInterface()["sdpa"])


def unpadded_inputs(
    ids: Array,
    type_ids: Array | None,
    lengths: Array,
    first_position: int,
    device: torch.device,
    *,
    n_filler: int = 0,
) -> dict[str, Any]:
    """Arguments for the forward of a model.

    ids (int64, (1, n_rows)): Wordpieces of all inputs, the longest input first.
    type_ids (int64, (1, n_rows)): Type ids, or None.
    lengths (int, (n_inputs,)): Wordpieces of each input.
    first_position (int): Position of the first wordpiece of an input.
    device (torch.device): Where the model is.
    n_filler (int): Wordpieces to put behind them, which no input sees.
    RETURNS (dict): Keyword arguments.
    """
    starts = numpy.cumsum(lengths) - lengths
    positions = numpy.arange(ids.shape[1]) - numpy.repeat(starts, lengths)
    arrays = {"input_ids": ids, "position_ids": positions[None] + first_position}
    if type_ids is not None:
        arrays["token_type_ids"] = type_ids
    inputs: dict[str, Any] = {"layout": Layout(lengths, device, n_filler)}
    for name, array in arrays.items():
        # What stands first will do: some models give padding no position.
        filled = numpy.pad(array, ((0, 0), (0, n_filler)), constant_values=array[0, 0])
        inputs[name] = torch.from_numpy(filled).to(device)
    return inputs


def run_model(model: PreTrainedModel, inputs: dict[str, Any]) -> Any:
    """Run a model over a padded batch, or over a row without padding.

    model (PreTrainedModel): The model.
    inputs (dict): Keyword arguments of its forward.
    RETURNS (ModelOutput): What it returns; the pooler output has one row per input in either case.
    """
    outputs = model(**inputs)
    layout = inputs.get("layout")
    if layout is not None and outputs.get("pooler_output") is not None:
        # It took the row for one input.
        first = outputs.last_hidden_state[0].index_select(0, layout.starts)
        outputs["pooler_output"] = cast(Any, model).pooler(first[:, None])
    return outputs


def use_unpadded(model: PreTrainedModel, traits: Traits) -> int | None:
    """Turn a model's attention into the one above, if it then gives what it gave before.

    model (PreTrainedModel): The model, in evaluation mode; changed only if the answer is not None.
    traits (Traits): What it takes and gives.
    RETURNS (int): The position of the first wordpiece of an input, or None if the model must be run
        over padded batches.
    """
    usual = model.config._attn_implementation
    if usual != "sdpa" or "position_ids" not in traits.parameters:
        return None
    ids = some_ids(model, traits)
    expected = [_run(model, traits, {"input_ids": row[None]}) for row in ids]
    with_padding_index = int(getattr(model.config, "pad_token_id", None) or 0) + 1
    model.set_attn_implementation(NAME)
    for first_position in (0, with_padding_index):
        try:
            inputs = unpadded_inputs(
                torch.cat(ids)[None].cpu().numpy(),
                None,
                numpy.asarray(TRIED),
                first_position,
                ids[0].device,
            )
            given = _run(model, traits, inputs)
        # Whatever a model says to arguments that it does not know: the answer is no.
        except Exception:
            continue
        if _equal(expected, given):
            return first_position
    model.set_attn_implementation(usual)
    return None


def _run(model: PreTrainedModel, traits: Traits, inputs: dict[str, Any]) -> dict[str, torch.Tensor]:
    with torch.inference_mode():
        return states_of(run_model(model, {**inputs, **flags(traits)}), traits)


def _equal(expected: list[dict[str, torch.Tensor]], given: dict[str, torch.Tensor]) -> bool:
    for name, values in given.items():
        alone = torch.cat([row[name] for row in expected])
        if alone.shape != values.shape:
            return False
        if not (alone - values).abs().max() <= TOLERANCE * alone.abs().max():
            return False
    return True
