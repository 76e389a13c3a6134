"""A copy of a model in a lower precision, for prediction.

Mixed precision converts the weights each time they are used, and goes back to float32 in between,
which training needs and prediction does not: a model that is in the lower precision throughout is
faster. The copy is made again when the weights of the original have changed.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch

from ..traits import Traits, flags, some_ids, states_of
from .linear import state_of, use_fast_products

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# The least cosine between a wordpiece's row in float32 and in the lower precision. Models whose
# rows turn away by more need the float32 in between.
ALIKE = 0.999


class LoweredCopy:
    """Makes a model's copy in a lower precision when it is needed, and keeps it."""

    def __init__(self, dtype: torch.dtype) -> None:
        """Make an empty one.

        dtype (torch.dtype): The precision of the copy.
        """
        self.dtype = dtype
        self._made: tuple[list[tuple[int, int]], PreTrainedModel] | None = None

    def of(self, model: PreTrainedModel) -> PreTrainedModel:
        """Get the copy.

        model (PreTrainedModel): The original, in evaluation mode.
        RETURNS (PreTrainedModel): A copy with the same weights, rounded.
        """
        source = [state_of(weights) for weights in model.parameters()]
        made = self._made
        if made is None or made[0] != source:
            made = self._made = (source, _lower(model, self.dtype))
        return made[1]


def use_lowered(model: PreTrainedModel, traits: Traits, dtype: torch.dtype) -> LoweredCopy | None:
    """Ask a model whether a copy in a lower precision gives nearly the same.

    model (PreTrainedModel): The model, in evaluation mode.
    traits (Traits): What it takes and gives.
    dtype (torch.dtype): The precision.
    RETURNS (LoweredCopy): The copy; None where mixed precision must do.
    """
    lowered = LoweredCopy(dtype)
    try:
        with torch.inference_mode():
            for ids in some_ids(model, traits):
                exact, rounded = (
                    states_of(each(input_ids=ids[None], **flags(traits)), traits)
                    for each in (model, lowered.of(model))
                )
                if not all(_alike(exact[name], rounded[name]) for name in exact):
                    return None
    # A model may mix its weights with numbers of its own in float32. Whatever it then says: no.
    except RuntimeError:
        return None
    return lowered


def _lower(model: PreTrainedModel, dtype: torch.dtype) -> PreTrainedModel:
    # Prediction runs in inference mode, and what is made there keeps no version.
    with torch.inference_mode(False):
        # Parameters alone: models compute the angles of rotary positions from buffers, in float32.
        memo: dict[int, Any] = {
            id(weights): torch.nn.Parameter(weights.detach().to(dtype), requires_grad=False)
            for weights in model.parameters()
        }
        lowered: PreTrainedModel = copy.deepcopy(model, memo)
    use_fast_products(lowered)
    return lowered


def _alike(exact: torch.Tensor, rounded: torch.Tensor) -> bool:
    cosines = torch.nn.functional.cosine_similarity(exact.double(), rounded.double(), dim=-1)
    return bool((cosines >= ALIKE).all())
