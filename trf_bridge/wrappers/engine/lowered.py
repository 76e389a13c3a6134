"""A copy of a model in a lower precision, for prediction.

Mixed precision converts the weights each time they are used, and returns to float32 in between.
Training needs that and prediction does not: a model entirely in the lower precision is faster. The
copy is recreated when the weights of the original have changed.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch

from ..traits import Traits, comparison_flags, outputs_to_compare, sample_inputs
from .linear import choose_products, state_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# The smallest cosine between a wordpiece's row in float32 and in the lower precision. Models whose
# rows differ by more need the float32 in between.
MIN_COSINE = 0.999


class LoweredCopy:
    """A copy of a model in a lower precision, recreated when the weights of the model change."""

    def __init__(self, dtype: torch.dtype) -> None:
        """Store the precision. The copy is created at the first use.

        dtype (torch.dtype): The precision of the copy.
        """
        self.dtype = dtype
        # The state of the weights that the copy was created from, and the copy.
        self._created: tuple[list[tuple[int, int]], PreTrainedModel] | None = None

    def of(self, model: PreTrainedModel) -> PreTrainedModel:
        """Return the copy of a model.

        model (PreTrainedModel): The original, in evaluation mode.
        RETURNS (PreTrainedModel): A copy with the same weights, rounded.
        """
        source = [state_of(weights) for weights in model.parameters()]
        created = self._created
        if created is None or created[0] != source:
            created = self._created = (source, _lower(model, self.dtype))
        return created[1]


def use_lowered(model: PreTrainedModel, traits: Traits, dtype: torch.dtype) -> LoweredCopy | None:
    """Create a copy of a model in a lower precision, if its outputs are nearly the same.

    model (PreTrainedModel): The model, in evaluation mode.
    traits (Traits): What it takes and returns.
    dtype (torch.dtype): The precision.
    RETURNS (LoweredCopy): The copy; None where the model needs mixed precision.
    """
    lowered = LoweredCopy(dtype)
    flags = comparison_flags(traits)
    try:
        with torch.inference_mode():
            for ids in sample_inputs(model, traits):
                exact, rounded = (
                    outputs_to_compare(either(input_ids=ids[None], **flags), traits)
                    for either in (model, lowered.of(model))
                )
                if not all(_is_similar(exact[name], rounded[name]) for name in exact):
                    return None
    # Some models combine their weights with numbers of their own in float32.
    except RuntimeError:
        return None
    return lowered


def _lower(model: PreTrainedModel, dtype: torch.dtype) -> PreTrainedModel:
    # Prediction runs in inference mode. Tensors created there have no version.
    with torch.inference_mode(False):
        # Parameters alone: models compute the angles of rotary positions from buffers, in float32.
        memo: dict[int, Any] = {
            id(weights): torch.nn.Parameter(weights.detach().to(dtype), requires_grad=False)
            for weights in model.parameters()
        }
        lowered: PreTrainedModel = copy.deepcopy(model, memo)
    choose_products(lowered, "auto")
    return lowered


def _is_similar(exact: torch.Tensor, rounded: torch.Tensor) -> bool:
    cosines = torch.nn.functional.cosine_similarity(exact.double(), rounded.double(), dim=-1)
    return bool((cosines >= MIN_COSINE).all())
