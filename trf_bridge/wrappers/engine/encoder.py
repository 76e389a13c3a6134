"""The engine that computes post-norm encoders itself, for prediction.

The rows of all inputs of a subbatch lie one after another. Short inputs share tiles of the width
`TILE_WIDTH`, so attention is one call for all of them, with a mask that keeps each input to itself.
The weights are laid out for oneDNN once.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy
import torch

from ...types import Array
from ..traits import Traits
from .architectures import NotSupportedError, find_modules
from .base import Engine, Inputs, Request, SubbatchOutputs
from .changes import ModelState
from .encoder_layers import Encoder, Group
from .linear import SUPPORTED, count_products, round_up
from .planning import TiledSubbatch, plan_tiles
from .threads import Streams, count_streams

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class _Read(NamedTuple):
    """An encoder, and the state of the model that its weights were read from."""

    state: ModelState
    encoder: Encoder | None


class EncoderEngine(Engine):
    """Computes the model itself in prediction. Training, and attention weights, are left to another
    engine, which runs the model's own forward."""

    name = "encoder"

    def __init__(
        self,
        model: PreTrainedModel,
        traits: Traits,
        precision: str,
        *,
        fallback: Engine,
        packed: bool,
        reason: str = "",
    ) -> None:
        """Set the engine up; see `Engine` for the other arguments.

        fallback (Engine): The engine for everything else.
        packed (bool): Whether oneDNN computes the products on a CPU.
        RAISES (NotSupportedError): If the model has other modules.
        """
        super().__init__(model, traits, precision, reason=reason)
        find_modules(model)
        self._fallback = fallback
        self._packed = packed
        self._description = _describe(model)
        self._read: _Read | None = None
        self._streams = Streams()

    def __deepcopy__(self, memo: dict[int, Any]) -> EncoderEngine:
        # The copy of the model gets weights of its own, and weights laid out for oneDNN can't be
        # copied.
        copied = EncoderEngine.__new__(EncoderEngine)
        memo[id(self)] = copied
        for name, value in {**vars(self), "_read": None}.items():
            setattr(copied, name, copy.deepcopy(value, memo))
        return copied

    def predict(
        self, inputs: Inputs, words_per_batch: int, request: Request
    ) -> Iterator[SubbatchOutputs]:
        """Compute the outputs; see `Engine`."""
        self._fork_guard.check()
        encoder = None if request.attentions else self._current_encoder()
        if encoder is None:
            yield from self._fallback.predict(inputs, words_per_batch, request)
            return

        def run(subbatch: TiledSubbatch) -> SubbatchOutputs:
            with torch.inference_mode():
                return self._run(encoder, inputs, subbatch, request)

        subbatches = self.plan(inputs.lengths, words_per_batch)
        n_streams = self._count_streams(inputs.lengths, words_per_batch)
        yield from self._streams.map(run, subbatches, n_streams)

    def update(
        self, inputs: Inputs, words_per_batch: int, request: Request
    ) -> Iterator[SubbatchOutputs]:
        """Run the model in training mode; see `Engine`."""
        self._read = None  # the weights will change
        return self._fallback.update(inputs, words_per_batch, request)

    def count_products(self) -> dict[str, int]:
        """Count the linear layers by the library that computes their products; see `Engine`."""
        n_layers = sum(count_products(self._model).values())
        return (
            {"torch": 0, "onednn": n_layers} if self._packed else {"torch": n_layers, "onednn": 0}
        )

    def _current_encoder(self) -> Encoder | None:
        """Return the encoder with the current weights of the model.

        RETURNS (Encoder): The encoder; None if the model has changed into one that is not computed
            here.
        """
        read = self._read
        if read is None or not read.state.is_current():
            self._read = None  # the old weights need not stay in memory beside the new ones
            state = ModelState(self._model)
            read = self._read = _Read(state, self._read_weights())
        return read.encoder

    def _read_weights(self) -> Encoder | None:
        try:
            modules = find_modules(self._model)
        except NotSupportedError:
            return None
        # The comparison with the model was made with these modules.
        if _describe(self._model) != self._description:
            return None
        dtype = self._lower or modules.words.weight.dtype
        packed = self._packed and self._device.type == "cpu" and dtype in SUPPORTED
        with torch.inference_mode():
            return Encoder(modules, dtype, packed=packed)

    def plan(self, lengths: Array, words_per_batch: int) -> Sequence[TiledSubbatch]:
        """Choose the inputs of each subbatch; see `Engine`."""
        limit = self._limit(words_per_batch)
        n_streams = self._count_streams(lengths, words_per_batch)
        if n_streams > 1:  # those that run at a time are not larger than `words_per_batch`
            limit = min(limit, words_per_batch // n_streams)
        return plan_tiles(lengths, limit, multiple=n_streams)

    def _count_streams(self, lengths: Array, words_per_batch: int) -> int:
        """Compute how many subbatches run at a time."""
        if self._device.type != "cpu":
            return 1
        return count_streams(words_per_batch, int(lengths.sum()))

    def _run(
        self, encoder: Encoder, inputs: Inputs, subbatch: TiledSubbatch, request: Request
    ) -> SubbatchOutputs:
        indices, device = subbatch.indices, self._device
        lengths, rows = inputs.lengths[indices], inputs.rows_of(indices)
        cells = subbatch.rows(lengths)
        type_ids = None if inputs.type_ids is None else inputs.type_ids[rows]
        # oneDNN stores a kernel for each number of rows, so these are rounded up.
        n_rows = round_up(subbatch.size)
        columns = numpy.zeros((2, n_rows), dtype="int64")
        columns[0, cells] = inputs.ids[rows]
        columns[1, cells] = encoder.find_places(inputs.ids[rows], type_ids, lengths)
        ids, places = torch.from_numpy(columns).to(device)
        owners = subbatch.owners(cells, lengths)
        groups = make_groups(subbatch.widths, owners, encoder.dtype, device)
        real = None
        if len(cells) != n_rows:
            real = torch.from_numpy(cells).to(device)
        layers = []
        for states in encoder(ids, places, groups):
            if request.hidden_states:
                layers.append(_select(states, real))
        last = layers[-1] if layers else _select(states, real)
        first = torch.from_numpy(numpy.cumsum(lengths) - lengths).to(device)
        return SubbatchOutputs(
            indices=indices,
            rows=rows,
            last_hidden_state=last,
            pooler_output=encoder.pool(last.index_select(0, first)),
            hidden_states=layers,
            attentions=(),
        )


def _describe(model: PreTrainedModel) -> list[tuple[str, object]]:
    """List the modules of a model by name with their types, and the names of its parameters."""
    modules = [(name, type(module)) for name, module in model.named_modules()]
    return [*modules, *((name, None) for name, _ in model.named_parameters())]


def make_groups(
    widths: Array, owners: Array, dtype: torch.dtype, device: torch.device
) -> list[Group]:
    """Group the tiles of a subbatch by their width.

    widths (int64, (n_tiles,)): Columns of each tile, the widest first.
    owners (int64, (size,)): The input that each row belongs to; -1 for padding.
    dtype (torch.dtype): Precision of the masks.
    device (torch.device): Device of the masks.
    RETURNS (list of Group): The groups, one after another.
    """
    groups = []
    start = 0
    for width in sorted(set(widths.tolist()), reverse=True):
        end = start + width * int((widths == width).sum())
        of_tiles = owners[start:end].reshape(-1, width)
        mask = None
        if (of_tiles != of_tiles[:, :1]).any():
            owner = torch.from_numpy(of_tiles).to(device)
            apart = owner[:, None, :, None] != owner[:, None, None, :]
            mask = torch.zeros(apart.shape, dtype=dtype, device=device)
            mask.masked_fill_(apart, float("-inf"))
        groups.append(Group(start, end, width, mask))
        start = end
    return groups


def _select(states: torch.Tensor, real: torch.Tensor | None) -> torch.Tensor:
    """Remove padding, and convert to float32."""
    return (states if real is None else states.index_select(0, real)).float()
