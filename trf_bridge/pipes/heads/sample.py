"""Layers that accept the sample Docs of `initialize`, which have not been through the pipeline."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from spacy.tokens import Doc
from thinc.api import Model


class SampledLayer(Model[Any, Any]):
    """A layer at the bottom of a head, which reads what earlier components store on Docs.

    To find its dimensions, a head runs its layers over sample Docs while it is initialized. These
    Docs have no output of the transformer, so the layer returns zeros for them, and an error for
    any other Doc without output. The sample ends when the pipeline is linked or trained, or
    when the layer receives other Docs.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Create the layer; the arguments are those of `Model`."""
        super().__init__(*args, **kwargs)
        self._sample = _Sample()

    def start_sample(self, docs: Iterable[Doc] | None) -> None:
        """Accept Docs without output; called by the layer's `init`.

        docs (iterable of Doc): The sample, or None.
        """
        self._sample = _Sample(docs or ())

    def end_sample(self) -> None:
        """Accept no more Docs without output."""
        self._sample = _Sample()

    def check_sample(self, docs: Iterable[Doc], is_train: bool) -> None:
        """End the sample if it is over; called by the layer's `forward`.

        docs (iterable of Doc): The Docs that the layer receives.
        is_train (bool): Whether the layer runs in training.
        """
        if is_train or not all(self.is_sample(doc) for doc in docs):
            self.end_sample()

    def is_sample(self, doc: Doc) -> bool:
        """Return whether a Doc is one of the sample."""
        return any(doc is other for other in self._sample.docs)


def end_samples(model: Model[Any, Any]) -> None:
    """End the sample of every layer of a head; called when the head is initialized.

    model (Model): The model of the head.
    """
    for node in model.walk():
        if isinstance(node, SampledLayer):
            node.end_sample()


class _Sample:
    """The sample Docs. Copies of the layer have none."""

    def __init__(self, docs: Iterable[Doc] = ()) -> None:
        self.docs = list(docs)

    def __reduce__(self) -> tuple[type[_Sample], tuple[()]]:
        return _Sample, ()
