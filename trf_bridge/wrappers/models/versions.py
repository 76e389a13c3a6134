"""Models saved with one version of transformers and loaded with another."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import errors
from ..traits import probe

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def describe_origin(model: PreTrainedModel) -> dict[str, Any]:
    """Describe the version that a model is saved with, and a few numbers that it computes.

    model (PreTrainedModel): The model, in evaluation mode.
    RETURNS (dict): The version of transformers and the numbers, for `check_origin`.
    """
    from transformers import __version__ as version

    return {"transformers": version, "fingerprint": _fingerprint(model)}


def check_origin(model: PreTrainedModel, origin: dict[str, Any], path: Path) -> None:
    """Check that a model computes the same numbers as when it was saved.

    transformers ignores settings that its version does not support. The model then computes other
    numbers, without an error.

    model (PreTrainedModel): The model, in evaluation mode.
    origin (dict): The description by `describe_origin`; nothing is checked without its numbers.
    path (Path): The folder of the model, for the message.
    RAISES (ValueError): TB031.
    """
    from transformers import __version__ as version

    saved, computed = origin.get("fingerprint") or [], _fingerprint(model)
    # Wide enough for other processors. Wrong settings cause larger differences.
    tolerance = 1e-2 * max([1.0, *(abs(number) for number in saved)])
    if any(abs(one - two) > tolerance for one, two in zip(saved, computed, strict=False)):
        message = errors.TB031.format(
            path=path, saved=origin.get("transformers"), installed=version
        )
        raise ValueError(message)


def _fingerprint(model: PreTrainedModel) -> list[float]:
    """Return the start of a wordpiece's last hidden state; nothing if it is not finite."""
    numbers: list[float] = probe(model).last_hidden_state[0, -1, :8].tolist()
    return numbers if all(math.isfinite(number) for number in numbers) else []
