"""A training batch between the transformer's update and the use of its gradient.

`Language.update` calls each component's `finish_update` right after the component's own update,
when the heads after the transformer have not added their gradients yet. So the transformer keeps
one batch pending, and a step that was requested too early with it. Both are carried out at the
first observation: the next update or prediction, saving, access to the model, or `settle`. `spacy
train` requests the steps after all updates, so there is nothing to wait for.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from thinc.api import Optimizer, get_array_module

from ... import errors
from ...types import Activations
from ..doc.attributes import OUTPUT_FIELDS
from ..doc.records import (
    close_gradients,
    get_gradients,
    get_outputs,
    open_gradients,
    place_in_batch,
)

if TYPE_CHECKING:
    from spacy.tokens import Doc

# What the schedules of thinc's optimizer change from step to step.
SCHEDULED = ("learn_rate", "grad_clip", "b1", "b2", "eps", "L2")


class PendingBatch:
    """The Docs of one update, their way back through the model, and a step requested early.

    docs (list of Doc): The Docs.
    contributors (set of str): Names of the components that have sent a gradient.
    step (EarlyStep): The step, or None.
    closed (bool): Whether the gradients have been sent back.
    """

    def __init__(
        self, docs: Sequence[Doc], backprop: Callable[[Sequence[Activations]], Any], name: str
    ) -> None:
        """Store a batch, and open its Docs for gradients.

        docs (sequence of Doc, (n_docs,)): Docs to which heads will add gradients.
        backprop (callable): Takes one Activations of gradients per Doc.
        name (str): Name of the transformer's component.
        """
        self.docs = list(docs)
        self.contributors: set[str] = set()
        self.step: EarlyStep | None = None
        self.closed = False
        self._backprop = backprop
        self._name = name
        for place, doc in enumerate(self.docs):
            open_gradients(doc, place)

    def holds(self, docs: Iterable[Doc]) -> bool:
        """Return whether all of these Docs are in this batch."""
        own = {id(doc) for doc in self.docs}
        return all(id(doc) in own for doc in docs)

    def receiver(self, doc: Doc) -> Doc:
        """Find the Doc to which the gradient of another belongs.

        Some components train on copies of the predicted Docs, as spaCy's entity linker does.

        doc (Doc): A Doc that a head has read.
        RETURNS (Doc): The Doc of the batch that it is or was copied from; itself if there is none.
        """
        place = place_in_batch(doc)
        if place is None or place >= len(self.docs) or self.docs[place].text != doc.text:
            return doc
        return self.docs[place]

    def has_wordpieces(self) -> bool:
        """Return whether any Doc has wordpieces, and so can have a gradient."""
        return any(
            len(outputs.last_hidden_state) for outputs in map(get_outputs, self.docs) if outputs
        )

    def has_gradient(self) -> bool:
        """Return whether any head has added a gradient other than zeros."""
        return any(_any(array) for doc in self.docs for _, array in _arrays(get_gradients(doc)))

    def carry_out(self) -> float:
        """Send the sum of the gradients back through the transformer.

        RETURNS (float): The norm of the gradient; 0 if there was nothing to send.
        RAISES (ValueError): TB023; then nothing was sent.
        """
        gradients = [_without_zeros(get_gradients(doc)) for doc in self.docs]
        total = 0.0
        for gradient in gradients:
            for name, array in _arrays(gradient):
                # In float32 the square of a large number is infinite, that of a small one zero.
                squares = float(get_array_module(array).square(array, dtype="float64").sum())
                if squares != squares or squares == float("inf"):
                    raise ValueError(errors.TB023.format(output=name, name=self._name))
                total += squares
        self.closed = True
        try:
            if total:
                self._backprop(gradients)
        finally:  # not before: torch 2.6 cannot import read-only arrays
            for doc in self.docs:
                close_gradients(doc)
        return float(total**0.5)

    def warn_of_silence(self, heads: Sequence[str]) -> None:
        """Warn that no gradient arrived.

        heads (sequence of str): Names of the components that listen.
        """
        if heads:
            listed = f"These components listen to it and sent none: {', '.join(heads)}."
        else:
            listed = "No component after it listens to it."
        warnings.warn(errors.TB102.format(name=self._name, heads=listed), stacklevel=4)


class PendingSlot:
    """The place of the pending batch: one for each transformer, shared with its listeners.

    batch (PendingBatch): The batch; None if nothing is pending.
    """

    def __init__(self) -> None:
        """Create an empty slot."""
        self.batch: PendingBatch | None = None

    def __reduce__(self) -> tuple[type[PendingSlot], tuple[()]]:
        # A graph cannot be serialized: copies of a component start without a pending batch.
        return PendingSlot, ()


class EarlyStep:
    """A step of the optimizer that was requested before its gradient was complete."""

    def __init__(self, optimizer: Optimizer) -> None:
        """Store the current rates: the schedules may have moved on by the time of the step.

        optimizer (Optimizer): The optimizer.
        """
        self._optimizer = optimizer
        self._rates = {name: getattr(optimizer, name) for name in SCHEDULED}

    def run(self, finish_update: Callable[[Optimizer], None]) -> None:
        """Make the step.

        finish_update (callable): Takes the optimizer.
        """
        later = {name: getattr(self._optimizer, name) for name in SCHEDULED}
        self._set(self._rates)
        try:
            finish_update(self._optimizer)
        finally:
            self._set(later)

    def _set(self, rates: dict[str, Any]) -> None:
        for name, rate in rates.items():
            setattr(self._optimizer, name, rate)


def _arrays(gradients: Activations) -> list[tuple[str, Any]]:
    """Return the arrays that are not None, with the names of their attributes."""
    arrays: list[tuple[str, Any]] = []
    for attribute, (field, _) in OUTPUT_FIELDS.items():
        value = getattr(gradients, field)
        listed = value if isinstance(value, list) else [value]
        arrays.extend((attribute, array) for array in listed if array is not None)
    return arrays


def _without_zeros(gradients: Activations) -> Activations:
    """Drop the arrays that hold only zeros, so that no work is done for them."""
    kept: dict[str, Any] = {}
    for field, _ in OUTPUT_FIELDS.values():
        value = getattr(gradients, field)
        arrays = value if isinstance(value, list) else [value]
        kept[field] = value if any(_any(array) for array in arrays) else None
    return Activations(**kept)


def _any(array: Any) -> bool:
    return array is not None and bool(get_array_module(array).any(array))
