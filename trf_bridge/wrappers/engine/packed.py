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
from ..traits import TRIED, Traits, flags, some_ids, states_of
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

# What models raise when they cannot run on a packed row: for arguments that they do not take, and
# for shapes that they do not expect.
REFUSALS = (TypeError, ValueError, RuntimeError, IndexError, KeyError, NotImplementedError)


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
        # The first wordpiece is a valid filler for any model: some give padding no position.
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
    ids = some_ids(model, traits)
    expected = [_run_alone(model, traits, row) for row in ids]
    reasons = []
    model.set_attn_implementation(NAME)
    for first_position in (0, int(getattr(model.config, "pad_token_id", None) or 0) + 1):
        difference, reason = _try_packed(model, traits, ids, expected, first_position)
        if difference <= TOLERANCE:
            return PackedSupport(first_position, reason)
        reasons.append(reason)
    model.set_attn_implementation(usual)
    return PackedSupport(None, "; ".join(dict.fromkeys(reasons)))


def _try_packed(
    model: PreTrainedModel,
    traits: Traits,
    ids: list[torch.Tensor],
    expected: list[dict[str, torch.Tensor]],
    first_position: int,
) -> tuple[float, str]:
    """Run a model on a packed row, and compare its outputs with those of each input alone."""
    try:
        difference = _compare(expected, _run_packed(model, traits, ids, first_position))
    except REFUSALS as error:
        return float("inf"), f"it cannot run on a packed row: {type(error).__name__}: {error}"
    except Exception as error:  # code that a checkpoint brings with it may raise anything
        logger.debug("Running the model on a packed row failed.", exc_info=True)
        return float("inf"), f"it failed on a packed row: {type(error).__name__}: {error}"
    return difference, f"its outputs on a packed row differ by {difference:.0e} of the largest"


def _run_alone(
    model: PreTrainedModel, traits: Traits, ids: torch.Tensor
) -> dict[str, torch.Tensor]:
    with torch.inference_mode():
        return states_of(model(input_ids=ids[None], **flags(traits)), traits)


def _run_packed(
    model: PreTrainedModel, traits: Traits, ids: list[torch.Tensor], first_position: int
) -> dict[str, torch.Tensor]:
    row = torch.cat(ids).cpu().numpy()
    arguments = pack_inputs(row, None, numpy.asarray(TRIED), first_position, ids[0].device)
    with torch.inference_mode():
        outputs = model(**arguments, **flags(traits))
        pool_inputs(model, outputs, arguments["layout"])
        return states_of(outputs, traits)


def _compare(expected: list[dict[str, torch.Tensor]], packed: dict[str, torch.Tensor]) -> float:
    """Return the largest difference of any output, relative to the largest number in it."""
    differences = []
    for name, values in packed.items():
        alone = torch.cat([outputs[name] for outputs in expected])
        if alone.shape != values.shape:
            return float("inf")
        difference, largest = float((alone - values).abs().max()), float(alone.abs().max())
        if not math.isfinite(difference) or not math.isfinite(largest):
            return float("inf")
        differences.append(difference / largest if difference else 0.0)
    return max(differences)
