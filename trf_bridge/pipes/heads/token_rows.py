"""The rows of each token's own wordpieces, and the head that scores them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy
from spacy.tokens import Doc
from thinc.api import Dropout, Linear, Model, Ragged, chain, glorot_uniform_init, with_array

from ... import errors
from ...types import Array
from ..doc.records import add_gradient, get_alignment, get_outputs, get_wordpieces
from .dense import Dense
from .listener import Listener

InT = Sequence[Doc]


def TokenClassifierHead(
    *, activation: str | None = None, hidden_width: int | None = None, nO: int | None = None
) -> Model[InT, Ragged]:
    """Score the last hidden state of each token's own wordpieces, without boundary pieces.

    This is what the token classification heads of transformers compute. `from_pretrained` uses it
    for a checkpoint with such a head, and copies the weights.

    activation (str): The activation of a layer before the output: "tanh", "relu" or "gelu"; None
        for no such layer, as in nearly all checkpoints.
    hidden_width (int): Width of that layer; None for the width of the transformer.
    nO (int): Number of labels; None to take it from the data.
    RETURNS (Model): Sequence of Doc -> Ragged of float32, rows (n_own, n_labels).
    RAISES (ValueError): TB008.
    """
    vectors = OwnRows()
    output: Model[Any, Any] = Linear(nO=nO, init_W=glorot_uniform_init)
    between: list[Model[Any, Any]] = []
    if activation is not None:
        between = [Dense(activation=activation, nO=hidden_width), Dropout()]
    model: Model[InT, Ragged] = chain(
        vectors, *(with_array(layer) for layer in (Dropout(), *between, output))
    )
    model.set_ref("vectors", vectors)
    model.set_ref("output_layer", output)
    return model


class OwnRows(Listener):
    """Reads the last hidden state of each token's own wordpieces, and sends its gradient back."""

    def __init__(self) -> None:
        """Create the layer."""
        super().__init__("trf-OwnRows", forward)


def own_pieces(doc: Doc) -> tuple[Array, Array]:
    """Find the wordpieces of each token of a Doc, without boundary pieces.

    doc (Doc): A Doc that has been through the transformer.
    RETURNS (int32 (n_own,), int32 (n_tokens,)): Rows of the Doc's wordpieces, token after token,
        and how many of them each token has. A wordpiece of two tokens is listed for both.
    """
    wordpieces, alignment = get_wordpieces(doc), get_alignment(doc)
    if wordpieces is None or alignment is None:
        return numpy.zeros(0, dtype="int32"), numpy.zeros(len(doc), dtype="int32")
    is_own = ~wordpieces.boundary[alignment.rows]
    tokens = numpy.repeat(numpy.arange(len(doc)), alignment.lengths)
    lengths = numpy.bincount(tokens[is_own], minlength=len(doc))
    return alignment.rows[is_own].astype("int32"), lengths.astype("int32")


def texts_of_tokens(doc: Doc, pieces: Array, lengths: Array) -> Array:
    """Find the text that each token was read in, such as a sentence. Its windows are one text.

    doc (Doc): A Doc with wordpieces.
    pieces, lengths (int32): What `own_pieces` returned for it.
    RETURNS (int64, (n_tokens,)): Index of the text; -1 for a token without wordpieces.
    """
    texts = numpy.full(len(doc), -1)
    wordpieces = get_wordpieces(doc)
    if wordpieces is None or not len(pieces):
        return texts
    of_inputs = numpy.arange(len(wordpieces.lengths))
    if wordpieces.runs is not None:
        spans = wordpieces.runs.text_spans
        of_inputs = numpy.unique(spans, axis=0, return_inverse=True)[1].reshape(-1)
    held = numpy.flatnonzero(lengths)
    firsts = (numpy.cumsum(lengths) - lengths)[held]
    texts[held] = numpy.repeat(of_inputs, wordpieces.lengths)[pieces[firsts]]
    return texts


def forward(
    model: Model[InT, Ragged], docs: InT, is_train: bool
) -> tuple[Ragged, Callable[[Ragged], list[Any]]]:
    """Read the rows of each token's own wordpieces.

    docs (sequence of Doc, (n_docs,)): Docs that have been through the transformer.
    RETURNS (Ragged, float32): Rows (n_own, width), and how many of them each Doc has; and a
        callback that adds their gradient to the gradient of the output. It returns an empty list.
    RAISES (ValueError): TB021 for a Doc that has not been through the transformer; TB024 for a
        gradient that comes too late.
    """
    assert isinstance(model, OwnRows)
    model.check_sample(docs, is_train)
    read = [_read(model, doc) for doc in docs]
    lengths = [len(rows) for rows, _ in read]
    vectors = [model.ops.alloc2f(0, model.get_dim("nO")), *(rows for rows, _ in read)]
    receivers = [model.receiver(doc) for doc in docs]
    ragged = Ragged(model.ops.xp.concatenate(vectors), model.ops.asarray1i(lengths))

    def backprop(d_rows: Ragged) -> list[Any]:
        start = 0
        for doc, (_, pieces), length in zip(receivers, read, lengths, strict=True):
            outputs = get_outputs(doc)
            if outputs is not None and pieces is not None and length:
                gradient = model.ops.alloc(outputs.last_hidden_state.shape)
                d_doc: Array = model.ops.as_contig(d_rows.dataXd[start : start + length])
                model.ops.scatter_add(gradient, model.ops.asarray1i(pieces), d_doc)
                add_gradient(doc, "last_hidden_state", gradient)
            start += length
        model.contribute()
        return []

    return ragged, backprop


def _read(model: OwnRows, doc: Doc) -> tuple[Array, Array | None]:
    outputs = get_outputs(doc)
    if outputs is None:
        if model.is_sample(doc):
            return model.ops.alloc2f(1, model.get_dim("nO")), None
        message = errors.TB021.format(
            component=model.describe(), n_tokens=len(doc), found="no output"
        )
        raise ValueError(message)
    pieces, _ = own_pieces(doc)
    return outputs.last_hidden_state[pieces], pieces
