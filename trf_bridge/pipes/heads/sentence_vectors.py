"""One vector per input of the model: the class token's, the pooler's, or the mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from spacy.tokens import Doc
from thinc.api import Model, Ragged

from ... import errors
from ...types import Activations, Array, Wordpieces
from ...wrappers.traits import Traits
from ..doc.records import add_gradient, get_outputs, get_wordpieces
from .listener import Listener, being_initialized

InT = Sequence[Doc]


class SentenceVectors(Listener):
    """Reads a vector for each input of the transformer, and writes its gradient.

    The output that it reads is `output` ("last_hidden_state" or "pooler_output"). `select` and
    `spread` are each other's transpose: rows of that output -> one row per input, and back.
    """

    output = "last_hidden_state"

    def __init__(self) -> None:
        """Make the layer."""
        super().__init__(f"trf-{type(self).__name__}", forward)

    def select(self, outputs: Activations, wordpieces: Wordpieces) -> Array:
        """RETURNS (float32, (n_inputs, width)): One row for each input."""
        raise TypeError(type(self))

    def spread(self, d_vectors: Array, outputs: Activations, wordpieces: Wordpieces) -> Array:
        """RETURNS (float32, shape of the output): The gradient of the output."""
        raise TypeError(type(self))


class ClassVectors(SentenceVectors):
    """The last hidden state of each input's class token."""

    def select(self, outputs: Activations, wordpieces: Wordpieces) -> Array:
        """RETURNS (float32, (n_inputs, width)): Rows of the class tokens."""
        return outputs.last_hidden_state[wordpieces.class_rows]

    def spread(self, d_vectors: Array, outputs: Activations, wordpieces: Wordpieces) -> Array:
        """RETURNS (float32, (n_wp, width)): Zeros but for the class tokens."""
        gradient = self.ops.alloc(outputs.last_hidden_state.shape)
        gradient[wordpieces.class_rows] = d_vectors
        return gradient


class PoolerVectors(SentenceVectors):
    """The pooler output of each input."""

    output = "pooler_output"

    def width(self, traits: Traits) -> int:
        """RETURNS (int): Width of the pooler output."""
        return traits.pooler_width

    def select(self, outputs: Activations, wordpieces: Wordpieces) -> Array:
        """RETURNS (float32, (n_inputs, width)): The pooler output."""
        return outputs.pooler_output

    def spread(self, d_vectors: Array, outputs: Activations, wordpieces: Wordpieces) -> Array:
        """RETURNS (float32, (n_inputs, width)): The same."""
        return d_vectors


class MeanVectors(SentenceVectors):
    """The mean of the last hidden state over each input, boundary pieces among it."""

    def select(self, outputs: Activations, wordpieces: Wordpieces) -> Array:
        """RETURNS (float32, (n_inputs, width)): The means."""
        return self.ops.reduce_mean(
            self.ops.as_contig(outputs.last_hidden_state), self.ops.asarray1i(wordpieces.lengths)
        )

    def spread(self, d_vectors: Array, outputs: Activations, wordpieces: Wordpieces) -> Array:
        """RETURNS (float32, (n_wp, width)): Each input's gradient, shared among its rows."""
        return self.ops.backprop_reduce_mean(
            self.ops.as_contig(d_vectors), self.ops.asarray1i(wordpieces.lengths)
        )


def forward(
    model: Model[InT, Ragged], docs: InT, is_train: bool
) -> tuple[Ragged, Callable[[Ragged], list[Any]]]:
    """Read a vector for each input of each Doc.

    docs (sequence of Doc, (n_docs,)): Docs that have been through the transformer.
    RETURNS (Ragged, float32): Rows (n_inputs, width), and how many of them each Doc has; and a
        callback that adds their gradient to that of the output. It returns an empty list.
    RAISES (ValueError): TB021 for a Doc that has not been through the transformer.
    """
    assert isinstance(model, SentenceVectors)
    read = [_read(model, doc) for doc in docs]
    vectors = [model.ops.alloc2f(0, model.get_dim("nO")), *(vectors for vectors, _, _ in read)]
    lengths = [len(vectors) for vectors, _, _ in read]
    receivers = [model.receiver(doc) for doc in docs]
    ragged = Ragged(model.ops.xp.concatenate(vectors), model.ops.asarray1i(lengths))

    def backprop(d_vectors: Ragged) -> list[Any]:
        start = 0
        for doc, (_, outputs, wordpieces), length in zip(receivers, read, lengths, strict=True):
            d_doc = d_vectors.dataXd[start : start + length]
            if outputs is not None and wordpieces is not None and length:
                add_gradient(doc, model.output, model.spread(d_doc, outputs, wordpieces))
            start += length
        model.contribute()
        return []

    return ragged, backprop


def _read(model: SentenceVectors, doc: Doc) -> tuple[Array, Activations | None, Wordpieces | None]:
    outputs, wordpieces = get_outputs(doc), get_wordpieces(doc)
    if outputs is None or wordpieces is None:
        if being_initialized():
            return model.ops.alloc2f(1, model.get_dim("nO")), None, None
        name = model.component or model.name
        message = errors.TB021.format(n_tokens=len(doc), name=name, found="no output")
        raise ValueError(message)
    if not len(wordpieces.lengths):
        return model.ops.alloc2f(0, model.get_dim("nO")), None, None
    return model.select(outputs, wordpieces), outputs, wordpieces
