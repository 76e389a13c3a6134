"""The choice of the engine for a model."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from ... import errors
from ...settings import TransformerSettings
from ..configs import positions_of
from ..training.precision import lower_dtype
from ..traits import Traits
from .architectures import NotSupportedError
from .base import Engine
from .comparison import Sample
from .encoder import EncoderEngine
from .linear import can_pack, choose_products
from .lowered import LoweredCopy
from .padded import PaddedEngine
from .planning import TILE_WIDTH
from .tiles import TileArguments, TilesEngine

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Columns of a tile of a model's own forward. Wider tiles leave fewer inputs to be padded; a model
# that attends in a window needs narrower ones.
WIDTHS = (2 * TILE_WIDTH, TILE_WIDTH)

# Whether the mask is causal, and its dimensions: see `TileArguments`.
MASKS = ((False, 4), (True, 4), (False, 3))


def make_engine(
    model: PreTrainedModel, traits: Traits, settings: TransformerSettings, *, precision: str
) -> Engine:
    """Choose how a model is run.

    The choice depends on the model and on features of the processor, so every process on a machine
    computes the same bits.

    model (PreTrainedModel): The model, in evaluation mode; its linear layers may be replaced by
        others that compute the same.
    traits (Traits): What it takes and returns.
    settings (TransformerSettings): Which engine to use; "auto" for the first of "encoder", "tiles"
        and "padded" whose outputs equal those of each input alone.
    precision (str): "fp32", "bf16" or "fp16", as `settings.precision` was resolved.
    RETURNS (Engine): The engine.
    RAISES (ValueError): TB057 if the model can't be run in the engine that is named.
    """
    sample = Sample(model, traits)
    engine = settings.engine
    if engine == "padded":
        choose_products(model, settings.products)
        padded = PaddedEngine(model, traits, precision, reason="the config names it")
        return _with_lowered_copy(padded, sample)
    choice = _Choice(model, traits, precision, sample)
    own = choice.find_tiles() or PaddedEngine(model, traits, precision)
    # After the trial of the tiles, which would leave weights laid out for oneDNN behind.
    choose_products(model, settings.products)
    if engine == "auto" and settings.output_attentions:
        choice.refusals["encoder"] = "attention weights are requested"
    elif engine in ("auto", "encoder"):
        encoder = choice.find_encoder(own, settings.products)
        if encoder is not None:
            return encoder
    if engine not in ("auto", own.name):
        raise ValueError(errors.TB057.format(engine=engine, reason=choice.refusals[engine]))
    refusals = sorted(choice.refusals.items())
    reasons = [f"not '{name}': {reason}" for name, reason in refusals]
    own.reason = "; ".join([own.reason, *reasons] if own.reason else reasons)
    return _with_lowered_copy(own, sample)


class _Choice:
    """Engines that are tried on a model, and why it can't be run in some.

    refusals (dict): Reason by name of the engine.
    """

    def __init__(
        self, model: PreTrainedModel, traits: Traits, precision: str, sample: Sample
    ) -> None:
        self._model, self._traits, self._precision = model, traits, precision
        self._sample = sample
        self.refusals: dict[str, str] = {}

    def find_encoder(self, fallback: Engine, products: str) -> EncoderEngine | None:
        """Return the engine that computes the model itself, if it can."""

        def build(precision: str) -> EncoderEngine:
            packed = can_pack(self._model, precision, products)
            return EncoderEngine(
                self._model, self._traits, precision, fallback=fallback, packed=packed
            )

        try:
            engine = build("fp32")
        except NotSupportedError as error:
            self.refusals["encoder"] = str(error)
            return None
        is_equal, reason = self._sample.try_engine(engine)
        if is_equal and self._precision != "fp32":
            engine = build(self._precision)
            is_equal = self._sample.is_similar(engine)
            reason += "" if is_equal else f", but not in {self._precision}"
        if not is_equal:
            self.refusals["encoder"] = reason
            return None
        engine.reason = reason
        return engine

    def find_tiles(self) -> TilesEngine | None:
        """Return the engine that runs the model's own forward over tiles, if it can."""
        first_positions = [0]
        if "position_ids" in self._traits.parameters:
            padding = getattr(self._model.config, "pad_token_id", None) or 0
            first_positions.append(int(padding) + 1)
        # Some models make masks or positions for as many columns as they have positions.
        limit = positions_of(self._model) or WIDTHS[0]
        widths = dict.fromkeys(min(width, limit) for width in WIDTHS)
        reasons = []
        longest = int(self._sample.inputs.lengths.max())
        n_positions = getattr(self._model.config, "max_position_embeddings", None) or -1
        for width, first_position, mask in product(widths, first_positions, MASKS):
            # On a GPU, a position outside of the table ends the process.
            if 0 < n_positions < first_position + longest:
                continue
            arguments = TileArguments(width, first_position, *mask)
            engine = TilesEngine(self._model, self._traits, "fp32", arguments=arguments)
            is_equal, reason = self._sample.try_engine(engine)
            if is_equal:
                return TilesEngine(
                    self._model, self._traits, self._precision, arguments=arguments, reason=reason
                )
            reasons.append(reason)
        self.refusals["tiles"] = reasons[0] if reasons else "it has too few positions"
        return None


def _with_lowered_copy(engine: PaddedEngine, sample: Sample) -> PaddedEngine:
    """Let an engine predict with a copy of the model in a lower precision, if the outputs stay
    nearly the same."""
    dtype = lower_dtype(engine.precision)
    if dtype is not None:
        engine.lowered = LoweredCopy(dtype)
        if not sample.is_similar(engine):
            engine.lowered = None
    return engine
