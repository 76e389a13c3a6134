"""What one version of transformers writes, read by another: the same, or refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import errors
from ..traits import probe

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def describe_origin(model: PreTrainedModel) -> dict[str, Any]:
    """Note by what a model was saved, and a few numbers that it computes.

    model (PreTrainedModel): The model, in evaluation mode.
    RETURNS (dict): What `check_origin` reads.
    """
    from transformers import __version__ as version

    return {"transformers": version, "fingerprint": _fingerprint(model)}


def check_origin(model: PreTrainedModel, origin: dict[str, Any], path: Path) -> None:
    """Check that a model computes what it did where it was saved.

    A setting that one version of transformers writes, and another does not know, is passed over in
    silence, and the numbers that come out look like any others.

    model (PreTrainedModel): The model, in evaluation mode.
    origin (dict): What `describe_origin` gave; nothing is checked where it is not there.
    path (Path): Where the model is from, for the message.
    RAISES (ValueError): TB031.
    """
    from transformers import __version__ as version

    saved, found = origin.get("fingerprint") or [], _fingerprint(model)
    # Wide enough for other processors; what a wrong setting does is larger.
    tolerance = 1e-2 * max([1.0, *(abs(number) for number in saved)])
    if any(abs(one - two) > tolerance for one, two in zip(saved, found, strict=False)):
        message = errors.TB031.format(
            path=path, saved=origin.get("transformers"), installed=version
        )
        raise ValueError(message)


def _fingerprint(model: PreTrainedModel) -> list[float]:
    """The start of the last hidden state of a wordpiece; nothing where it is not a number."""
    numbers: list[float] = probe(model).last_hidden_state[0, -1, :8].tolist()
    return numbers if all(math.isfinite(number) for number in numbers) else []
