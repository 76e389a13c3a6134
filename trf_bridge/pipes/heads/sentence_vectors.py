"""One vector for each input of the model: the class token's, the pooler's, or the mean.

A pooling is a pair of functions that are each other's transpose. To add one, define a `Pooling` and
a layer function here, and an architecture in `text_classifiers`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from spacy.tokens import Doc
from thinc.api import Model, Ops, Ragged

from ... import errors
from ...types import Activations, Array, Wordpieces
from ...wrappers.traits import Traits
from ..doc.records import add_gradient, get_outputs, get_wordpieces
from .listener import Listener

InT = Sequence[Doc]


class Pooling(NamedTuple):
    """How the rows of an input are combined into one vector, and its transpose.

    name (str): Name of the layer.
    output (str): The output that is read: "last_hidden_state" or "pooler_output".
    pool (callable): Outputs and wordpieces of a Doc -> float32 (n_inputs, width).
    unpool (callable): Gradient of that, outputs and wordpieces -> gradient of the output.
    """

    name: str
    output: str
    pool: Callable[[Ops, Activations, Wordpieces], Array]
    unpool: Callable[[Ops, Array, Activations, Wordpieces], Array]


def _pool_class(ops: Ops, outputs: Activations, wordpieces: Wordpieces) -> Array:
    return outputs.last_hidden_state[wordpieces.class_rows]


def _unpool_class(
    ops: Ops, d_vectors: Array, outputs: Activations, wordpieces: Wordpieces
) -> Array:
    gradient = ops.alloc(outputs.last_hidden_state.shape)
    gradient[wordpieces.class_rows] = d_vectors
    return gradient


def _pool_pooler(ops: Ops, outputs: Activations, wordpieces: Wordpieces) -> Array:
    return outputs.pooler_output


def _unpool_pooler(
    ops: Ops, d_vectors: Array, outputs: Activations, wordpieces: Wordpieces
) -> Array:
    return d_vectors


def _pool_mean(ops: Ops, outputs: Activations, wordpieces: Wordpieces) -> Array:
    return ops.reduce_mean(
        ops.as_contig(outputs.last_hidden_state), ops.asarray1i(wordpieces.lengths)
    )


def _unpool_mean(ops: Ops, d_vectors: Array, outputs: Activations, wordpieces: Wordpieces) -> Array:
    return ops.backprop_reduce_mean(ops.as_contig(d_vectors), ops.asarray1i(wordpieces.lengths))


CLASS = Pooling("trf-ClassVectors", "last_hidden_state", _pool_class, _unpool_class)
POOLER = Pooling("trf-PoolerVectors", "pooler_output", _pool_pooler, _unpool_pooler)
MEAN = Pooling("trf-MeanVectors", "last_hidden_state", _pool_mean, _unpool_mean)


class SentenceVectors(Listener):
    """Reads a vector for each input of the transformer, and sends its gradient back."""

    def __init__(self, pooling: Pooling) -> None:
        """Create the layer.

        pooling (Pooling): How the rows of an input are combined.
        """
        super().__init__(pooling.name, forward)
        self.pooling = pooling

    def width(self, traits: Traits) -> int:
        """Return the width of the output that the layer reads."""
        return traits.pooler_width if self.pooling.output == "pooler_output" else traits.width


def ClassVectors() -> SentenceVectors:
    """Build a layer that reads the last hidden state of each input's class token, such as `[CLS]`.

    RETURNS (Model): Sequence of Doc -> Ragged of float32, rows (n_inputs, width).
    """
    return SentenceVectors(CLASS)


def PoolerVectors() -> SentenceVectors:
    """Build a layer that reads the pooler output of each input.

    RETURNS (Model): Sequence of Doc -> Ragged of float32, rows (n_inputs, width).
    """
    return SentenceVectors(POOLER)


def MeanVectors() -> SentenceVectors:
    """Build a layer that averages the last hidden state of each input, boundary pieces included.

    RETURNS (Model): Sequence of Doc -> Ragged of float32, rows (n_inputs, width).
    """
    return SentenceVectors(MEAN)


def forward(
    model: Model[InT, Ragged], docs: InT, is_train: bool
) -> tuple[Ragged, Callable[[Ragged], list[Any]]]:
    """Read a vector for each input of each Doc.

    docs (sequence of Doc, (n_docs,)): Docs that have been through the transformer.
    RETURNS (Ragged, float32): Rows (n_inputs, width), and how many of them each Doc has; and a
        callback that adds their gradient to the gradient of the output. It returns an empty list.
    RAISES (ValueError): TB021 for a Doc that has not been through the transformer; TB024 for a
        gradient that comes too late.
    """
    assert isinstance(model, SentenceVectors)
    model.check_sample(docs, is_train)
    read = [_read(model, doc) for doc in docs]
    vectors = [model.ops.alloc2f(0, model.get_dim("nO")), *(vectors for vectors, _, _ in read)]
    lengths = [len(vectors) for vectors, _, _ in read]
    receivers = [model.receiver(doc) for doc in docs]
    ragged = Ragged(model.ops.xp.concatenate(vectors), model.ops.asarray1i(lengths))

    def backprop(d_vectors: Ragged) -> list[Any]:
        output, _, unpool = model.pooling[1:]
        start = 0
        for doc, (_, outputs, wordpieces), length in zip(receivers, read, lengths, strict=True):
            d_doc = d_vectors.dataXd[start : start + length]
            if outputs is not None and wordpieces is not None and length:
                add_gradient(doc, output, unpool(model.ops, d_doc, outputs, wordpieces))
            start += length
        model.contribute()
        return []

    return ragged, backprop


def _read(model: SentenceVectors, doc: Doc) -> tuple[Array, Activations | None, Wordpieces | None]:
    outputs, wordpieces = get_outputs(doc), get_wordpieces(doc)
    if outputs is None or wordpieces is None:
        if model.is_sample(doc):
            return model.ops.alloc2f(1, model.get_dim("nO")), None, None
        message = errors.TB021.format(
            component=model.describe(), n_tokens=len(doc), found="no output"
        )
        raise ValueError(message)
    if not len(wordpieces.lengths):
        return model.ops.alloc2f(0, model.get_dim("nO")), None, None
    return model.pooling.pool(model.ops, outputs, wordpieces), outputs, wordpieces
