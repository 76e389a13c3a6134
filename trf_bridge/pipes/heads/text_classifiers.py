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

from ...settings import check_choice
from .dense import Dense
from .logistic import CrossEntropyLogistic
from .sentence_vectors import ClassVectors, MeanVectors, PoolerVectors, SentenceVectors

InT = Sequence[Doc]

ROWS = {"class": ClassVectors, "pooler": PoolerVectors, "mean": MeanVectors}
OUTPUTS = ("softmax", "sigmoid", "none")


def TextCatClassVector(
    *, exclusive_classes: bool = True, nO: int | None = None
) -> Model[InT, Floats2d]:
    """Score the last hidden state of the class token, such as BERT's `[CLS]`.

    exclusive_classes (bool): Softmax for one label per Doc, else a logistic function per label.
    nO (int): Number of labels; None to take it from the data.
    RETURNS (Model): Sequence of Doc -> float32 (n_docs, n_labels).
    """
    return _textcat(ClassVectors(), [], _output(exclusive_classes), nO)


def TextCatClassVectorTanh(
    *, exclusive_classes: bool = True, nO: int | None = None
) -> Model[InT, Floats2d]:
    """Score the class token's vector after an additional layer with a hyperbolic tangent.

    exclusive_classes (bool): Softmax for one label per Doc, else a logistic function per label.
    nO (int): Number of labels; None to take it from the data.
    RETURNS (Model): Sequence of Doc -> float32 (n_docs, n_labels).
    """
    return _textcat(ClassVectors(), [with_array(Dense())], _output(exclusive_classes), nO)


def TextCatPooler(*, exclusive_classes: bool = True, nO: int | None = None) -> Model[InT, Floats2d]:
    """Score the pooler output, a pretrained layer over the class token.

    exclusive_classes (bool): Softmax for one label per Doc, else a logistic function per label.
    nO (int): Number of labels; None to take it from the data.
    RETURNS (Model): Sequence of Doc -> float32 (n_docs, n_labels).
    """
    return _textcat(PoolerVectors(), [], _output(exclusive_classes), nO)


def TextCatMean(*, exclusive_classes: bool = True, nO: int | None = None) -> Model[InT, Floats2d]:
    """Score the mean of the last hidden state, which works with every checkpoint.

    exclusive_classes (bool): Softmax for one label per Doc, else a logistic function per label.
    nO (int): Number of labels; None to take it from the data.
    RETURNS (Model): Sequence of Doc -> float32 (n_docs, n_labels).
    """
    return _textcat(MeanVectors(), [], _output(exclusive_classes), nO)


def TextCatPretrainedHead(
    *,
    rows: str = "class",
    activation: str | None = None,
    hidden_width: int | None = None,
    output: str = "softmax",
    nO: int | None = None,
) -> Model[InT, Floats2d]:
    """Compute what the sequence classification heads of transformers compute.

    `from_pretrained` uses it for a checkpoint with such a head, and copies the weights. Initialized
    without them, it is a new head of the same form.

    rows (str): What the head reads: the last hidden state of the class token ("class"), the pooler
        output ("pooler"), or the mean of the last hidden state ("mean").
    activation (str): The activation of a layer before the output: "tanh", "relu" or "gelu"; None
        for no such layer.
    hidden_width (int): Width of that layer; None for the width of what it reads.
    output (str): What the scores go through: "softmax" for one label per Doc, "sigmoid" for a
        logistic function per label, or "none" for numbers, as in a regression.
    nO (int): Number of labels; None to take it from the data.
    RETURNS (Model): Sequence of Doc -> float32 (n_docs, n_labels).
    RAISES (ValueError): TB008.
    """
    check_choice("rows", rows, tuple(ROWS))
    check_choice("output", output, OUTPUTS)
    between = [] if activation is None else [Dense(activation=activation, nO=hidden_width)]
    return _textcat(ROWS[rows](), [with_array(layer) for layer in between], output, nO)


def _output(exclusive_classes: bool) -> str:
    return "softmax" if exclusive_classes else "sigmoid"


def _textcat(
    vectors: SentenceVectors, between: list[Model[Any, Any]], kind: str, nO: int | None
) -> Model[InT, Floats2d]:
    # Random weights, because zeros would send no gradient to the transformer in the first batch.
    output: Model[Floats2d, Floats2d]
    if kind == "softmax":
        output = Softmax_v2(nO=nO, init_W=glorot_uniform_init)
    else:
        output = Linear(nO=nO, init_W=glorot_uniform_init)
        if kind == "sigmoid":
            output = chain(output, CrossEntropyLogistic())
    model: Model[InT, Floats2d] = chain(vectors, *between, reduce_mean(), Dropout(), output)
    model.set_ref("output_layer", output)
    model.set_ref("vectors", vectors)
    model.attrs["multi_label"] = kind != "softmax"
    model.attrs["regression"] = kind == "none"
    return model
