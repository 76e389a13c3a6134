"""Whether an engine returns for each input what the model returns for that input alone."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any

import numpy
import torch

from ..configs import positions_of
from ..traits import Traits, output_flags
from .base import Engine, Inputs, Request

if TYPE_CHECKING:
    from transformers import PreTrainedModel

logger = logging.getLogger(__name__)

# The largest difference to the outputs of each input alone, as a fraction of the largest number in
# them. Rounding is a hundred times smaller, and an input that attends to another one, or starts at
# another position, differs by far more.
TOLERANCE = 1e-4

# The smallest cosine between a wordpiece's row in float32 and in a lower precision. Models whose
# rows differ by more need float32 for some of their numbers.
MIN_COSINE = 0.999

# Lengths of the sample inputs, the longest first. Two of them are as long as the tiles of `choice`
# are wide, so that a window in which a model attends has an effect.
SAMPLE_LENGTHS = (128, 64, 20, 5, 3, 3, 1)

Outputs = dict[str, torch.Tensor]


class Sample:
    """Inputs that engines are tried on, and the outputs of each alone.

    inputs (Inputs): The inputs. They contain no padding, which has no position in some models.
    """

    def __init__(self, model: PreTrainedModel, traits: Traits) -> None:
        """Run a model on each input alone.

        model (PreTrainedModel): The model, in evaluation mode.
        traits (Traits): What it takes and returns.
        """
        self._traits = traits
        limit = positions_of(model) or max(SAMPLE_LENGTHS)
        lengths = numpy.minimum(SAMPLE_LENGTHS, limit)
        valid = [i for i in range(min(traits.n_rows, 50)) if i != traits.pad_id]
        ids = numpy.asarray([valid[i * 7 % len(valid)] for i in range(lengths.sum())])
        self.inputs = Inputs(ids, None, lengths)
        self._expected = self._run_alone(model)

    def try_engine(self, engine: Engine) -> tuple[bool, str]:
        """Compare the outputs of an engine with those of each input alone.

        engine (Engine): The engine, in the precision of the model.
        RETURNS (tuple of bool and str): Whether they are equal, and the reason.
        """
        outputs, refusal = self._try(engine)
        if outputs is None:
            return False, refusal
        difference = _largest_difference(self._expected, outputs)
        if difference <= TOLERANCE:
            return (
                True,
                f"its outputs equal those of each input alone (difference {difference:.0e})",
            )
        return False, (
            f"its outputs in the engine '{engine.name}' differ from those of each input alone (by "
            f"{difference:.0e})"
        )

    def is_similar(self, engine: Engine) -> bool:
        """Return whether the outputs of an engine in a lower precision are nearly the same.

        engine (Engine): The engine.
        RETURNS (bool): Whether every row has a cosine of `MIN_COSINE` with the row in float32.
        """
        outputs, _ = self._try(engine)
        return outputs is not None and all(
            _min_cosine(self._expected[name], rows) >= MIN_COSINE for name, rows in outputs.items()
        )

    def _run_alone(self, model: PreTrainedModel) -> Outputs:
        """Run a model on each input alone, and concatenate the outputs."""
        flags = output_flags(
            self._traits.parameters, output_hidden_states=self._traits.n_hidden_states > 0
        )
        device = next(model.parameters()).device
        rows = []
        ids = torch.from_numpy(self.inputs.ids).to(device)
        with torch.inference_mode():
            for alone in ids.split(self.inputs.lengths.tolist()):
                outputs = model(input_ids=alone[None], **flags)
                layers = [outputs.last_hidden_state, *(outputs.get("hidden_states") or [])]
                named = {f"states {i}": layer[0] for i, layer in enumerate(layers)}
                if self._traits.pooler_width:
                    named["pooler"] = outputs.pooler_output
                rows.append(named)
        return {name: torch.cat([each[name] for each in rows]).float() for name in rows[0]}

    def _try(self, engine: Engine) -> tuple[Outputs | None, str]:
        """Run an engine on the inputs: its outputs, or None and why there are none."""
        try:
            return self._run(engine), ""
        except (MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # code of a checkpoint may raise anything
            reason = f"it cannot run there ({_summary(error)})"
            logger.debug("The engine '%s' is not used: %s.", engine.name, reason, exc_info=True)
            return None, reason

    def _run(self, engine: Engine) -> Outputs:
        request = Request(hidden_states=self._traits.n_hidden_states > 0)
        parts = list(engine.predict(self.inputs, 0, request))
        rows = torch.from_numpy(numpy.concatenate([part.rows for part in parts]))
        order = torch.argsort(rows.to(parts[0].last_hidden_state.device))
        named = {"states 0": torch.cat([part.last_hidden_state for part in parts])[order]}
        for i in range(len(parts[0].hidden_states)):
            layers = [part.hidden_states[i] for part in parts]
            named[f"states {i + 1}"] = torch.cat(layers)[order]
        if self._traits.pooler_width:
            indices = torch.from_numpy(numpy.concatenate([part.indices for part in parts]))
            pooled = torch.cat([_pooled(part) for part in parts])
            named["pooler"] = pooled[torch.argsort(indices.to(pooled.device))]
        return named


def _pooled(part: Any) -> torch.Tensor:
    if part.pooler_output is None:
        raise ValueError("it returned no pooler output")
    pooled: torch.Tensor = part.pooler_output
    return pooled


def _summary(error: Exception) -> str:
    """Return the type of an error and the first line of its message."""
    first_line = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {first_line}" if first_line else type(error).__name__


def _largest_difference(expected: Outputs, outputs: Outputs) -> float:
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


def _min_cosine(expected: torch.Tensor, rows: torch.Tensor) -> float:
    """Return the smallest cosine between rows; that of numbers that are not finite is negative."""
    if rows.shape != expected.shape:
        return -1.0
    cosines = torch.nn.functional.cosine_similarity(expected.double(), rows.double(), dim=-1)
    return float(cosines.nan_to_num(-1.0).min())
