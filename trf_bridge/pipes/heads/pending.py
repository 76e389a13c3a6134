"""A training batch between the transformer's update and the use of its gradient.

`Language.update` asks each component for its step right after the component's own update, when the
heads that come after the transformer have not added their gradients yet. So the transformer keeps
one batch pending, and a step asked for too early with it, and carries both out when something next
looks: the next update or prediction, saving, or access to the model. `spacy train` asks for the
steps after all updates; then there is nothing to wait for.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from thinc.api import Optimizer, get_array_module

from ... import errors
from ...types import Activations
from ..doc.attributes import OUTPUTS
from ..doc.records import get_gradients, get_outputs, mark_place, marked_place

if TYPE_CHECKING:
    from spacy.tokens import Doc

# What the schedules of thinc's optimizer change from step to step.
SCHEDULED = ("learn_rate", "grad_clip", "b1", "b2", "eps", "L2")


class PendingBatch:
    """The Docs of one update, their way back through the model, and a step asked for early."""

    def __init__(
        self,
        docs: Sequence[Doc],
        backprop: Callable[[Sequence[Activations]], Any],
        losses: dict[str, float],
        name: str,
    ) -> None:
        """Keep a batch.

        docs (sequence of Doc, (n_docs,)): Docs to which heads will add gradients.
        backprop (callable): Takes one Activations of gradients per Doc.
        losses (dict): Receives the norm of the gradient.
        name (str): Name of the component.
        """
        self.docs = list(docs)
        self.contributors: set[str] = set()
        self.step: EarlyStep | None = None
        self._backprop = backprop
        self._losses = losses
        self._name = name
        for place, doc in enumerate(self.docs):
            mark_place(doc, place)

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        # A graph can't be saved: a copy of the component is one without a pending batch.
        return _nothing, ()

    def holds(self, docs: Iterable[Doc]) -> bool:
        """RETURNS (bool): Whether these Docs are all of this batch."""
        own = {id(doc) for doc in self.docs}
        return all(id(doc) in own for doc in docs)

    def receiver(self, doc: Doc) -> Doc:
        """Find the Doc to which the gradient of another belongs.

        Some components train on copies of the predicted Docs, as spaCy's entity linker does.

        doc (Doc): A Doc that a head has read.
        RETURNS (Doc): The Doc of the batch that it is or was copied from; itself if there is none.
        """
        place = marked_place(doc)
        if place is None or place >= len(self.docs) or self.docs[place].text != doc.text:
            return doc
        return self.docs[place]

    def has_wordpieces(self) -> bool:
        """RETURNS (bool): Whether there is anything in the batch that could have a gradient."""
        return any(
            len(outputs.last_hidden_state) for outputs in map(get_outputs, self.docs) if outputs
        )

    def has_gradient(self) -> bool:
        """RETURNS (bool): Whether any head has added anything but zeros."""
        return any(_any(array) for doc in self.docs for _, array in _arrays(get_gradients(doc)))

    def carry_out(self) -> bool:
        """Send the sum of the gradients back through the transformer.

        RETURNS (bool): Whether there was anything to send.
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
        for doc in self.docs:
            mark_place(doc, None)
            for _, array in _arrays(get_gradients(doc)):
                if hasattr(array, "setflags"):
                    array.setflags(write=False)  # what is added from now on would be lost
        if total:
            self._backprop(gradients)
        self._losses[self._name] = self._losses.get(self._name, 0.0) + total**0.5
        return bool(total)

    def warn_of_silence(self, heads: Sequence[str]) -> None:
        """Say that no gradient came, and from whom it might have.

        heads (sequence of str): Names of the components that listen.
        """
        if heads:
            listed = f"These listen to it and contributed none: {', '.join(heads)}."
        else:
            listed = "No component after it listens to it."
        warnings.warn(errors.TB102.format(name=self._name, heads=listed), stacklevel=3)


class EarlyStep:
    """A step of the optimizer that was asked for before its gradient was complete."""

    def __init__(self, optimizer: Optimizer) -> None:
        """Remember the rates of now; by the time of the step the schedules may have moved on.

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
    """The arrays that are there, with the names of their attributes."""
    found: list[tuple[str, Any]] = []
    for attribute, (field, _) in OUTPUTS.items():
        value = getattr(gradients, field)
        arrays = value if isinstance(value, list) else [value]
        found.extend((attribute, array) for array in arrays if array is not None)
    return found


def _without_zeros(gradients: Activations) -> Activations:
    """Drop the arrays that hold nothing, so that no work is done for them."""
    kept: dict[str, Any] = {}
    for field, _ in OUTPUTS.values():
        value = getattr(gradients, field)
        arrays = value if isinstance(value, list) else [value]
        kept[field] = value if any(_any(array) for array in arrays) else None
    return Activations(**kept)


def _any(array: Any) -> bool:
    return array is not None and bool(get_array_module(array).any(array))


def _nothing() -> None:
    return None
