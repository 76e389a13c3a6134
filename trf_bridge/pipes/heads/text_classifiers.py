"""Architectures of trf_textcat: a vector for each sentence, their mean, and a score for each
label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from spacy.tokens import Doc
from thinc.api import (
    Dropout,
    Linear,
    Model,
    Softmax_v2,
    chain,
    glorot_uniform_init,
    reduce_mean,
    with_array,
)
from thinc.types import Floats2d

from .logistic import CrossEntropyLogistic
from .sentence_vectors import ClassVectors, MeanVectors, PoolerVectors, SentenceVectors
from .tanh_linear import TanhLinear

InT = Sequence[Doc]


def TextCatClassVector(
    *, exclusive_classes: bool = True, nO: int | None = None
) -> Model[InT, Floats2d]:
    """Score the last hidden state of the class token, such as BERT's `[CLS]`.

    exclusive_classes (bool): Softmax for one label per Doc, else a logistic function per label.
    nO (int): Number of labels; None to take it from the data.
    RETURNS (Model): Sequence of Doc -> float32 (n_docs, n_labels).
    """
    return _textcat(ClassVectors(), [], exclusive_classes, nO)


def TextCatClassVectorTanh(
    *, exclusive_classes: bool = True, nO: int | None = None
) -> Model[InT, Floats2d]:
    """Score the class token's vector after an additional layer with a hyperbolic tangent.

    exclusive_classes (bool): Softmax for one label per Doc, else a logistic function per label.
    nO (int): Number of labels; None to take it from the data.
    RETURNS (Model): Sequence of Doc -> float32 (n_docs, n_labels).
    """
    return _textcat(ClassVectors(), [with_array(TanhLinear())], exclusive_classes, nO)


def TextCatPooler(*, exclusive_classes: bool = True, nO: int | None = None) -> Model[InT, Floats2d]:
    """Score the pooler output, a pretrained layer over the class token.

    exclusive_classes (bool): Softmax for one label per Doc, else a logistic function per label.
    nO (int): Number of labels; None to take it from the data.
    RETURNS (Model): Sequence of Doc -> float32 (n_docs, n_labels).
    """
    return _textcat(PoolerVectors(), [], exclusive_classes, nO)


def TextCatMean(*, exclusive_classes: bool = True, nO: int | None = None) -> Model[InT, Floats2d]:
    """Score the mean of the last hidden state, which works with every checkpoint.

    exclusive_classes (bool): Softmax for one label per Doc, else a logistic function per label.
    nO (int): Number of labels; None to take it from the data.
    RETURNS (Model): Sequence of Doc -> float32 (n_docs, n_labels).
    """
    return _textcat(MeanVectors(), [], exclusive_classes, nO)


def _textcat(
    vectors: SentenceVectors,
    between: list[Model[Any, Any]],
    exclusive_classes: bool,
    nO: int | None,
) -> Model[InT, Floats2d]:
    # Random weights, because zeros would send no gradient to the transformer in the first batch.
    output: Model[Floats2d, Floats2d]
    if exclusive_classes:
        output = Softmax_v2(nO=nO, init_W=glorot_uniform_init)
    else:
        output = chain(Linear(nO=nO, init_W=glorot_uniform_init), CrossEntropyLogistic())
    model: Model[InT, Floats2d] = chain(vectors, *between, reduce_mean(), Dropout(), output)
    model.set_ref("output_layer", output)
    model.set_ref("vectors", vectors)
    model.attrs["multi_label"] = not exclusive_classes
    return model
