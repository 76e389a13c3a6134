"""Heads whose weights come from a checkpoint, and checks that labels and weights fit."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from spacy.errors import Errors
from spacy.training import Example
from thinc.api import Model

from ... import errors
from ...types import Array

# Attribute of a model whose weights come from a checkpoint: `initialize` preserves them.
TRAINED = "trained"


class CheckedLabels:
    """Checks of a component whose model has an output for each of its labels.

    name (str): Name of the component.
    model (Model): Its model.
    labels (tuple of str): Its labels.
    """

    name: str
    model: Any
    labels: Any

    def check_new_label(self, label: str) -> None:
        """Check that a label can be added.

        label (str): A label that the component does not have.
        RAISES (ValueError): TB063 if all outputs of the model have a label.
        """
        if not isinstance(label, str):
            raise ValueError(Errors.E187)
        n_outputs = _count_outputs(self.model)
        if n_outputs is not None and len(self.labels) >= n_outputs:
            advice = "Add labels before nlp.initialize, or train a new component for them."
            raise ValueError(self._misfit(len(self.labels) + 1, n_outputs, advice))

    def check_weights(self) -> None:
        """Check that the model has weights, with an output for each label.

        RAISES (ValueError): TB063.
        """
        n_outputs = _count_outputs(self.model) or 0
        if n_outputs != len(self.labels) or not n_outputs:
            advice = "Call nlp.initialize with examples, after the last label was added."
            raise ValueError(self._misfit(len(self.labels), n_outputs, advice))

    def _misfit(self, n_labels: int, n_outputs: int, advice: str) -> str:
        return errors.TB063.format(
            name=self.name, n_labels=n_labels, n_outputs=n_outputs, advice=advice
        )


class CheckedCategories(CheckedLabels):
    """The same checks in front of the methods of spaCy's text categorizers."""

    def add_label(self, label: str) -> int:
        """Add a label.

        label (str): The label.
        RETURNS (int): 1, or 0 if the component has the label already.
        RAISES (ValueError): TB063 if all outputs of the model have a label.
        """
        if label not in self.labels:
            self.check_new_label(label)
        added: int = super().add_label(label)  # type: ignore[misc]  # of spaCy's class
        return added

    def update(self, examples: Iterable[Example], **options: Any) -> dict[str, float]:
        """Learn from a batch; see spaCy's `TextCategorizer.update`.

        examples (iterable of Example): The batch.
        **options: drop, sgd and losses.
        RETURNS (dict): The losses.
        RAISES (ValueError): TB021, TB024, TB026, TB063, TB064.
        """
        self.check_weights()
        losses: dict[str, float] = super().update(examples, **options)  # type: ignore[misc]
        return losses


def copy_weights(model: Model[Any, Any], layers: Sequence[tuple[Array, Array]]) -> None:
    """Copy the weights of a checkpoint's head into a model.

    model (Model): The model; changed.
    layers (sequence of (float32 (nO, nI), float32 (nO,))): Weights and biases, the output last.
    """
    for node, (W, b) in zip(_weighted(model), layers, strict=True):
        node.set_dim("nO", W.shape[0], force=True)
        node.set_dim("nI", W.shape[1], force=True)
        node.set_param("W", node.ops.asarray2f(W))
        node.set_param("b", node.ops.asarray1f(b))
    model.attrs[TRAINED] = True


@contextlib.contextmanager
def kept_weights(model: Model[Any, Any]) -> Iterator[None]:
    """Preserve the weights that come from a checkpoint, while the model is initialized.

    model (Model): The model; without such weights, nothing is preserved.
    """
    if not model.attrs.get(TRAINED):
        yield
        return
    layers = [(node.get_param("W").copy(), node.get_param("b").copy()) for node in _weighted(model)]
    try:
        yield
    finally:
        copy_weights(model, layers)


def _weighted(model: Model[Any, Any]) -> list[Model[Any, Any]]:
    """List the layers that have weights, the output last."""
    return [node for node in model.walk(order="dfs_pre") if "W" in node.param_names]


def _count_outputs(model: Model[Any, Any]) -> int | None:
    """Return the number of outputs of a model; None if it has no weights yet."""
    output = _weighted(model)[-1]
    return output.get_dim("nO") if output.has_param("W") else None
