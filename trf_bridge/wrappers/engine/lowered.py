"""A copy of a model in a lower precision, for prediction.

Mixed precision converts the weights each time they are used, and returns to float32 in between.
Training needs that and prediction does not: a model entirely in the lower precision is faster. The
copy is recreated when the weights of the original have changed.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch

from .changes import ModelState
from .linear import choose_products

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class LoweredCopy:
    """A copy of a model in a lower precision, recreated when the weights of the model change."""

    def __init__(self, dtype: torch.dtype) -> None:
        """Store the precision. The copy is created at the first use.

        dtype (torch.dtype): The precision of the copy.
        """
        self.dtype = dtype
        # The state of the model that the copy was created from, and the copy.
        self._created: tuple[ModelState, PreTrainedModel] | None = None

    def of(self, model: PreTrainedModel) -> PreTrainedModel:
        """Return the copy of a model.

        model (PreTrainedModel): The original, in evaluation mode.
        RETURNS (PreTrainedModel): A copy with the same weights, rounded.
        """
        created = self._created
        if created is None or not created[0].is_current():
            created = self._created = (ModelState(model), _lower(model, self.dtype))
        return created[1]


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
