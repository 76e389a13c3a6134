"""The engine that runs a model's own forward over tiles: several short inputs in each row of a
batch, with a mask that keeps each input to itself.

A tile of fixed width is filled by inputs of any lengths, so a batch has almost no padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy
import torch

from ...types import Array
from ..traits import Traits
from .base import Inputs, Request, SubbatchOutputs
from .padded import PaddedEngine, collect_outputs
from .planning import TILE_WIDTH, Subbatch, TiledSubbatch, count_positions, plan_tiles

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from .lowered import LoweredCopy


class TileArguments(NamedTuple):
    """How a model takes tiles.

    width (int): Columns of a tile, at the most. Longer inputs are padded.
    first_position (int): Position of the first wordpiece of an input.
    causal (bool): Whether a wordpiece attends only to those before it.
    n_dims (int): Dimensions of the mask: 4 for numbers to add to the scores, 3 for ones and zeros.
    """

    width: int
    first_position: int
    causal: bool
    n_dims: int


class TilesEngine(PaddedEngine):
    """Runs a model over tiles, and over padded subbatches of inputs that are longer than a tile."""

    name = "tiles"

    def __init__(
        self,
        model: PreTrainedModel,
        traits: Traits,
        precision: str,
        *,
        arguments: TileArguments,
        lowered: LoweredCopy | None = None,
        reason: str = "",
    ) -> None:
        """Set the engine up; see `Engine` for the other arguments.

        arguments (TileArguments): How the model takes tiles.
        """
        super().__init__(model, traits, precision, lowered=lowered, reason=reason)
        self._arguments = arguments

    def _plan(self, lengths: Array, words_per_batch: int) -> Sequence[Subbatch]:
        # Inputs without wordpieces have no place in a tile, but outputs of their own.
        in_tiles = (lengths > 0) & (lengths <= self._arguments.width)
        long, short = numpy.flatnonzero(~in_tiles), numpy.flatnonzero(in_tiles)
        padded = super()._plan(lengths[long], words_per_batch)
        width = min(self._arguments.width, max(TILE_WIDTH, int(lengths[short].max(initial=0))))
        tiled = plan_tiles(lengths[short], words_per_batch, width=width, even=True)
        return [
            *(Subbatch(long[each.indices], each.size) for each in padded),
            *(each.of(short) for each in tiled),
        ]

    def _run(
        self, model: PreTrainedModel, inputs: Inputs, subbatch: Subbatch, request: Request
    ) -> SubbatchOutputs:
        if not isinstance(subbatch, TiledSubbatch):
            return super()._run(model, inputs, subbatch, request)
        indices = subbatch.indices
        lengths, rows = inputs.lengths[indices], inputs.rows_of(indices)
        cells = subbatch.rows(lengths)
        shape = (len(subbatch.widths), int(subbatch.widths[0]))

        def fill(values: Array) -> torch.Tensor:
            # The first wordpiece has a valid position in any model; in some, padding has none.
            filled = numpy.full(subbatch.size, values[0])
            filled[cells] = values
            return torch.from_numpy(filled.reshape(shape)).to(self._device)

        arguments = {
            "input_ids": fill(inputs.ids[rows]),
            "attention_mask": self._mask(subbatch.owners(cells, lengths).reshape(shape), model),
        }
        if "position_ids" in self._traits.parameters:
            first = self._arguments.first_position
            arguments["position_ids"] = fill(count_positions(inputs.ids[rows], lengths, first))
        if inputs.type_ids is not None and "token_type_ids" in self._traits.parameters:
            arguments["token_type_ids"] = fill(inputs.type_ids[rows])
        outputs = self._call(model, arguments, request)
        real = torch.from_numpy(cells).to(self._device)
        starts = cells[numpy.cumsum(lengths) - lengths]
        if outputs.get("pooler_output") is not None:
            outputs["pooler_output"] = self._pool(model, outputs, starts)
        return collect_outputs(
            outputs,
            indices,
            rows,
            request,
            lambda states: states.flatten(0, 1).index_select(0, real),
            _attentions(outputs, subbatch, lengths) if request.attentions else (),
        )

    def _mask(self, owners: Array, model: PreTrainedModel) -> torch.Tensor:
        """Build the mask that keeps each input to itself, for the inputs that own the cells."""
        device = self._device
        owner = torch.from_numpy(owners).to(device)
        seen = owner[:, :, None] == owner[:, None, :]
        if self._arguments.causal:
            seen = seen.tril()
        if self._arguments.n_dims == 3:
            return seen.to(model.dtype)
        mask = torch.zeros(seen.shape, dtype=model.dtype, device=device)
        return mask.masked_fill_(~seen, float("-inf"))[:, None]

    def _pool(self, model: PreTrainedModel, outputs: Any, starts: Array) -> torch.Tensor:
        """Compute the pooler output of each input. The model's own takes a tile for one input."""
        first = torch.from_numpy(starts).to(self._device)
        states = outputs.last_hidden_state.flatten(0, 1).index_select(0, first)
        pooled: torch.Tensor = cast(Any, model).pooler(states[:, None])
        return pooled


def _attentions(outputs: Any, subbatch: TiledSubbatch, lengths: Array) -> list[torch.Tensor]:
    """Return the weights of each input: (layers, heads, length, length)."""
    stacked = torch.stack(list(outputs.attentions), dim=1).float()
    places = zip(subbatch.tiles.tolist(), subbatch.starts.tolist(), lengths.tolist(), strict=True)
    return [
        stacked[tile, :, :, start : start + n, start : start + n].clone()
        for tile, start, n in places
    ]
