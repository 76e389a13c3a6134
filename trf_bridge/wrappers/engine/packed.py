"""The engine that needs no padding: inputs of any lengths one after another in a single row.

Everything in a transformer but its attention treats each wordpiece by itself. A row without padding
saves work there and makes the matrix products larger, which is faster. The attention stays within
each input; see `packed_attention`.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy
import torch

from ...types import Array
from ..traits import (
    SAMPLE_LENGTHS,
    Traits,
    comparison_flags,
    outputs_to_compare,
    sample_inputs,
)
from .base import Engine, Inputs, Request, SubbatchOutputs, collect_outputs
from .layout import Layout
from .linear import OneDnnLinear, round_up
from .packed_attention import NAME
from .planning import plan_packed

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from .lowered import LoweredCopy

logger = logging.getLogger(__name__)

# The largest difference to the outputs of each input alone, as a fraction of the largest number in
# them. Rounding is a hundred times smaller, and an input that attends to another one, or starts at
# another position, differs by far more.
TOLERANCE = 1e-4

# What models raise that cannot run on a packed row: for arguments that they do not take, and for
# shapes and positions that they do not expect. NotImplementedError is a RuntimeError.
REFUSALS = (TypeError, ValueError, RuntimeError, IndexError)


class PackedSupport(NamedTuple):
    """Whether a model can run on a packed row.

    first_position (int): Position of the first wordpiece of an input; None where it cannot.
    reason (str): The result of the comparison, or why there was none.
    """

    first_position: int | None
    reason: str


class PackedEngine(Engine):
    """Runs a model over inputs in one row, without padding."""

    name = "packed"

    def __init__(
        self,
        model: PreTrainedModel,
        traits: Traits,
        precision: str,
        lowered: LoweredCopy | None,
        *,
        reason: str,
        first_position: int,
    ) -> None:
        """Set the engine up; see `Engine` for the other arguments.

        first_position (int): Position of the first wordpiece of an input.
        """
        super().__init__(model, traits, precision, lowered, reason=reason)
        self._first_position = first_position
        # oneDNN stores a kernel for each number of rows, so these are rounded up.
        self._rounds_up = self._device.type == "cpu" and (
            precision != "fp32" or any(isinstance(m, OneDnnLinear) for m in model.modules())
        )

    def _plan(self, lengths: Array, words_per_batch: int) -> list[Array]:
        planned = plan_packed(lengths, words_per_batch)
        without_empty = [indices[lengths[indices] > 0] for indices in planned]
        return [indices for indices in without_empty if indices.size]

    def size(self, lengths: Array) -> int:
        """Return how many wordpieces the model computes for a subbatch, filler included.

        lengths (int, (n,)): Wordpieces of each input of the subbatch.
        RETURNS (int): The number.
        """
        n_rows = int(lengths.sum())
        return round_up(n_rows) if self._rounds_up else n_rows

    def _run(
        self, model: PreTrainedModel, inputs: Inputs, indices: Array, request: Request
    ) -> SubbatchOutputs:
        rows, lengths = inputs.rows_of(indices), inputs.lengths[indices]
        takes_types = inputs.type_ids is not None and "token_type_ids" in self._traits.parameters
        arguments = pack_inputs(
            inputs.ids[rows],
            cast(Array, inputs.type_ids)[rows] if takes_types else None,
            lengths,
            self._first_position,
            self._device,
            n_filler=self.size(lengths) - len(rows),
        )
        outputs = self._call(model, arguments, request)
        pool_inputs(model, outputs, arguments["layout"])
        return collect_outputs(
            outputs, indices, rows, request, lambda states: states[0, : len(rows)]
        )


def pack_inputs(
    ids: Array,
    type_ids: Array | None,
    lengths: Array,
    first_position: int,
    device: torch.device,
    *,
    n_filler: int = 0,
) -> dict[str, Any]:
    """Build the arguments of a model's forward for a row of inputs.

    ids (int64, (n_rows,)): Wordpieces of all inputs, the longest input first.
    type_ids (int64, (n_rows,)): Type ids, or None.
    lengths (int, (n_inputs,)): Wordpieces of each input.
    first_position (int): Position of the first wordpiece of an input.
    device (torch.device): Device of the model.
    n_filler (int): Wordpieces to append, which attend to nothing and to which nothing attends.
    RETURNS (dict): Keyword arguments; ids, type ids and positions are (1, n_rows + n_filler).
    """
    starts = numpy.cumsum(lengths) - lengths
    positions = numpy.arange(len(ids)) - numpy.repeat(starts, lengths)
    arrays = {"input_ids": ids, "position_ids": positions + first_position}
    if type_ids is not None:
        arrays["token_type_ids"] = type_ids
    arguments: dict[str, Any] = {"layout": Layout(lengths, device, n_filler)}
    for name, array in arrays.items():
        # The first wordpiece has a valid position in any model: in some, padding has none.
        filled = numpy.pad(array, (0, n_filler), constant_values=array[0])
        arguments[name] = torch.from_numpy(filled[None]).to(device)
    return arguments


def pool_inputs(model: PreTrainedModel, outputs: Any, layout: Layout) -> None:
    """Compute the pooler output of each input of a row. The model's own takes the row for one
    input.

    model (PreTrainedModel): The model.
    outputs (ModelOutput): What it returned for the row; changed.
    layout (Layout): Where the inputs lie.
    """
    if outputs.get("pooler_output") is not None:
        first = outputs.last_hidden_state[0].index_select(0, layout.starts)
        outputs["pooler_output"] = cast(Any, model).pooler(first[:, None])


def use_packed(model: PreTrainedModel, traits: Traits) -> PackedSupport:
    """Replace a model's attention by `packed_attention` if its outputs stay the same.

    model (PreTrainedModel): The model, in evaluation mode; unchanged if it is not supported.
    traits (Traits): What it takes and returns.
    RETURNS (PackedSupport): Whether it can run on a packed row, and why.
    """
    usual = model.config._attn_implementation
    if usual != "sdpa":
        return PackedSupport(None, f"its attention implementation is '{usual}', not 'sdpa'")
    if "position_ids" not in traits.parameters:
        return PackedSupport(None, "it takes no position_ids")
    inputs = sample_inputs(model, traits)
    expected = _run_alone(model, traits, inputs)
    reasons = []
    model.set_attn_implementation(NAME)
    for first_position in (0, int(getattr(model.config, "pad_token_id", None) or 0) + 1):
        is_equal, reason = _try_packed(model, traits, inputs, expected, first_position)
        if is_equal:
            return PackedSupport(first_position, reason)
        reasons.append(reason)
    model.set_attn_implementation(usual)
    return PackedSupport(None, "; ".join(dict.fromkeys(reasons)))


def _run_alone(
    model: PreTrainedModel, traits: Traits, inputs: list[torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Run a model on each input alone, and concatenate the outputs."""
    flags = comparison_flags(traits)
    with torch.inference_mode():
        outputs = [
            outputs_to_compare(model(input_ids=ids[None], **flags), traits) for ids in inputs
        ]
    return {name: torch.cat([each[name] for each in outputs]) for name in outputs[0]}


def _try_packed(
    model: PreTrainedModel,
    traits: Traits,
    inputs: list[torch.Tensor],
    expected: dict[str, torch.Tensor],
    first_position: int,
) -> tuple[bool, str]:
    """Run a model on a packed row, and compare its outputs with those of each input alone.

    RETURNS (tuple of bool and str): Whether they are equal, and why.
    """
    row, device = torch.cat(inputs).cpu().numpy(), inputs[0].device
    arguments = pack_inputs(row, None, numpy.asarray(SAMPLE_LENGTHS), first_position, device)
    try:
        with torch.inference_mode():
            outputs = model(**arguments, **comparison_flags(traits))
            pool_inputs(model, outputs, arguments["layout"])
    except REFUSALS as error:
        return False, f"it cannot run on a packed row ({_summary(error)})"
    except Exception as error:  # code of a checkpoint may raise anything
        reason = f"it failed on a packed row ({_summary(error)})"
        logger.debug("The model is run on padded batches: %s.", reason, exc_info=True)
        return False, reason
    difference = _largest_difference(expected, outputs_to_compare(outputs, traits))
    if difference <= TOLERANCE:
        return True, f"its outputs equal those of each input alone (difference {difference:.0e})"
    return False, (
        f"its outputs on a packed row differ from those of each input alone (by {difference:.0e})"
    )


def _summary(error: Exception) -> str:
    """Return the type of an error and the first line of its message."""
    first_line = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {first_line}" if first_line else type(error).__name__


def _largest_difference(
    expected: dict[str, torch.Tensor], outputs: dict[str, torch.Tensor]
) -> float:
    """Return the largest difference of any output, as a fraction of the largest number in it;
    infinite for outputs of other shapes, and where numbers are not finite."""
    differences = [0.0]
    for name, values in outputs.items():
        if values.shape != expected[name].shape:
            return math.inf
        difference = float((values - expected[name]).abs().max())
        largest = float(expected[name].abs().max())
        if not math.isfinite(difference):
            return math.inf
        if difference:
            differences.append(difference / largest if largest else math.inf)
    return max(differences)
