"""What is stored on a Doc: its wordpieces, their alignment, the model's outputs and their
gradients.

They are stored in `doc.user_data` as dictionaries of plain arrays, under keys like those of spaCy's
extension attributes. So `Doc.to_bytes`, `DocBin` and several processes preserve them, and spaCy
drops them where they would no longer fit, as in `Span.as_doc` and `Doc.from_docs`.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy
from thinc.api import get_array_module
from thinc.backends import get_array_ops

from ... import errors
from ...align import Alignment, align, apply_alignment
from ...types import Activations, Array, Runs, Wordpieces

if TYPE_CHECKING:
    from spacy.tokens import Doc


def _key(name: str) -> tuple[str, str, None, None]:
    return ("._.", name, None, None)


WORDPIECES = _key("trf_wordpieces")
ALIGNMENT = _key("trf_alignment")
OUTPUTS = _key("trf_outputs")
D_OUTPUTS = _key("trf_d_outputs")
PLACE = _key("trf_place")
SEPARATOR = _key("trf_separator")
CLOSED = _key("trf_closed")
POOLING = _key("trf_sentence_pooling")
ENT_SCORES = _key("trf_ent_scores")

# An alignment is stored with the tokens that it was computed for.
LINKS = [field.name for field in fields(Alignment)]
# The runs are stored beside the other fields of the wordpieces.
RUN_KEYS = [f"run_{name}" for name in Runs._fields]
NO_RUNS = [None] * len(RUN_KEYS)


def _data(doc: Doc) -> dict[Any, Any]:
    # spaCy's stubs allow only string keys; its own extension attributes use tuples.
    return doc.user_data


def token_spans(doc: Doc) -> Array:
    """Return the character offsets of the tokens of a Doc.

    doc (Doc): The Doc.
    RETURNS (int32, (n_tokens, 2)): Start and end of each token in `doc.text`, without the white
        space after it.
    """
    return spans_of_columns(doc.to_array(["IDX", "LENGTH"]))


def spans_of_columns(columns: Array) -> Array:
    """Convert places and lengths of tokens to character offsets.

    columns (uint64, (n_tokens, 2 or more)): IDX and LENGTH of each token; others are not used.
    RETURNS (int32, (n_tokens, 2)): Start and end of each token.
    """
    spans: Array = columns[:, :2].astype("int32")
    spans[:, 1] += spans[:, 0]
    return spans


def get_wordpieces(doc: Doc) -> Wordpieces | None:
    """Return the wordpieces of a Doc.

    doc (Doc): The Doc.
    RETURNS (Wordpieces): The wordpieces; None if the Doc has not been through trf_wordpiecer.
    """
    stored = _data(doc).get(WORDPIECES)
    if stored is None:
        return None
    record = dict(stored)
    windows = [record.pop(key) for key in RUN_KEYS]
    runs = None if stored[RUN_KEYS[0]] is None else Runs(*windows)
    return Wordpieces(**record, runs=runs)


def set_wordpieces(doc: Doc, wordpieces: Wordpieces) -> None:
    """Store the wordpieces of a Doc, and drop everything that was computed from earlier ones.

    doc (Doc): The Doc; changed.
    wordpieces (Wordpieces): Its wordpieces.
    """
    record = _arrays(wordpieces)
    runs = record.pop("runs")
    record.update(zip(RUN_KEYS, NO_RUNS if runs is None else runs, strict=True))
    data = _data(doc)
    data[WORDPIECES] = record
    for stale in (ALIGNMENT, OUTPUTS, D_OUTPUTS, CLOSED):
        data.pop(stale, None)


def get_separator(doc: Doc) -> Any:
    """Return the text of the token that separates a Doc into a pair of texts.

    doc (Doc): The Doc.
    RETURNS (str): The value of `doc._.trf_separator`; None if it is not set.
    """
    return _data(doc).get(SEPARATOR)


def set_separator(doc: Doc, separator: str) -> None:
    """Set `doc._.trf_separator`.

    doc (Doc): The Doc; changed.
    separator (str): Text of the token that separates the two texts; "" for no pair.
    """
    _data(doc)[SEPARATOR] = separator


def set_ent_scores(doc: Doc, scores: list[float]) -> None:
    """Set `doc._.trf_ent_scores`.

    doc (Doc): The Doc; changed.
    scores (list of float): The probability of each entity, span or tag.
    """
    _data(doc)[ENT_SCORES] = scores


def get_alignment(doc: Doc) -> Alignment | None:
    """Return the links between the tokens and the wordpieces of a Doc.

    The links are stored with the tokens that they were computed for. If the Doc has been
    retokenized since, they and `doc.tensor` are recomputed.

    doc (Doc): The Doc.
    RETURNS (Alignment): The links; None if the Doc has no wordpieces.
    """
    wordpieces = get_wordpieces(doc)
    if wordpieces is None:
        return None
    stored = _data(doc).get(ALIGNMENT)
    spans = token_spans(doc)
    if stored is None or not numpy.array_equal(stored["token_spans"], spans):
        alignment = align([doc.text], [spans], [wordpieces])
        set_alignment(doc, alignment, spans)
        _set_tensor(doc, alignment)
        return alignment
    return Alignment(**{name: stored[name] for name in LINKS})


def token_rows(doc: Doc) -> Array:
    """Return `doc.tensor`, recomputed if it does not fit the tokens.

    DocBin does not store it. When tokens are merged or split, spaCy removes rows, or adds zeros.

    doc (Doc): The Doc; changed if its tensor is recomputed.
    RETURNS (float32, (n_tokens, width)): Its rows; whatever is in `doc.tensor` if the Doc has no
        outputs of the transformer.
    """
    if OUTPUTS in _data(doc):
        alignment = get_alignment(doc)
        missing = doc.tensor is None or doc.tensor.ndim != 2 or len(doc.tensor) != len(doc)
        if alignment is not None and missing:
            _set_tensor(doc, alignment)
    return doc.tensor


def _set_tensor(doc: Doc, alignment: Alignment) -> None:
    """Compute `doc.tensor` from the outputs, if the Doc has them."""
    outputs = get_outputs(doc)
    if outputs is not None and outputs.last_hidden_state is not None:
        ops = get_array_ops(outputs.last_hidden_state)
        (doc.tensor,), _ = apply_alignment(ops, alignment, [outputs.last_hidden_state])


def set_alignment(doc: Doc, alignment: Alignment, spans: Array) -> None:
    """Store the links of a Doc.

    doc (Doc): The Doc; changed.
    alignment (Alignment): Its links.
    spans (int32, (n_tokens, 2)): The tokens that they were computed for.
    """
    _data(doc)[ALIGNMENT] = {**_arrays(alignment), "token_spans": spans}


def get_outputs(doc: Doc) -> Activations | None:
    """Return the model's outputs for a Doc.

    doc (Doc): The Doc.
    RETURNS (Activations): The outputs; None if the Doc has not been through trf_tok2vec.
    """
    stored = _data(doc).get(OUTPUTS)
    return None if stored is None else Activations(**stored)


def set_outputs(doc: Doc, outputs: Activations) -> None:
    """Store the model's outputs for a Doc.

    doc (Doc): The Doc; changed.
    outputs (Activations): The outputs.
    """
    _data(doc)[OUTPUTS] = _arrays(outputs)


def get_pooling(doc: Doc) -> dict[str, Any] | None:
    """Return how sentence-transformers pools the rows of a text of the Doc's checkpoint.

    doc (Doc): The Doc.
    RETURNS (dict): See `read_pooling`; None if it is not known.
    """
    return _data(doc).get(POOLING)


def set_pooling(doc: Doc, pooling: dict[str, Any] | None) -> None:
    """Store how sentence-transformers pools the rows of a text of the Doc's checkpoint.

    doc (Doc): The Doc; changed.
    pooling (dict): See `read_pooling`; None if it is not known.
    """
    if pooling is None:
        _data(doc).pop(POOLING, None)
    else:
        _data(doc)[POOLING] = pooling


def get_gradients(doc: Doc) -> Activations:
    """Return the gradients that are stored on a Doc.

    doc (Doc): The Doc.
    RETURNS (Activations): The gradients; None for each output without one.
    """
    return Activations(**{"last_hidden_state": None, **_data(doc).get(D_OUTPUTS, {})})


def get_gradient(doc: Doc, name: str) -> Any:
    """Return the gradient of one of the outputs, and store zeros if there is none yet.

    doc (Doc): The Doc.
    name (str): Field of Activations.
    RETURNS (float32 array, or list of them): The array that is stored, so `+=` changes the Doc;
        None if the Doc has no such output.
    """
    stored = _data(doc).get(D_OUTPUTS, {})
    if stored.get(name) is None:
        outputs = get_outputs(doc)
        output = None if outputs is None else getattr(outputs, name)
        if output is None:
            return None
        zeros = [_zeros(a) for a in output] if isinstance(output, list) else _zeros(output)
        set_gradient(doc, name, zeros)
        return zeros
    return stored[name]


def add_gradient(doc: Doc, name: str, gradient: Any) -> None:
    """Add to the gradient of one of the outputs.

    doc (Doc): The Doc; changed.
    name (str): Field of Activations.
    gradient (float32 array): What to add, of the shape of the output.
    RAISES (ValueError): TB024 if the sum has been sent back already.
    """
    check_open(doc, name)
    total = get_gradient(doc, name)
    total += gradient


def set_gradient(doc: Doc, name: str, gradient: Any) -> None:
    """Store the gradient of one of the outputs.

    doc (Doc): The Doc; changed.
    name (str): Field of Activations.
    gradient (float32 array, or list of them): The gradient.
    """
    _data(doc).setdefault(D_OUTPUTS, {})[name] = gradient


def drop_gradients(doc: Doc) -> None:
    """Remove the gradients that are stored on a Doc.

    doc (Doc): The Doc; changed.
    """
    _data(doc).pop(D_OUTPUTS, None)


def open_gradients(doc: Doc, place: int) -> None:
    """Store zeros as the gradient of the last hidden state, for heads to add to.

    doc (Doc): The Doc; changed. Gradients of an earlier update are removed.
    place (int): Index of the Doc in its training batch. Copies of the Doc have it too.
    """
    drop_gradients(doc)
    _data(doc).pop(CLOSED, None)
    _data(doc)[PLACE] = place
    get_gradient(doc, "last_hidden_state")


def close_gradients(doc: Doc) -> None:
    """Refuse gradients that are added from now on: they would be lost.

    doc (Doc): The Doc; changed.
    """
    _data(doc).pop(PLACE, None)
    _data(doc)[CLOSED] = True
    for gradient in _data(doc).get(D_OUTPUTS, {}).values():
        for array in gradient if isinstance(gradient, list) else [gradient]:
            if hasattr(array, "setflags"):  # numpy also refuses `+=` on an array that a head holds
                array.setflags(write=False)


def check_open(doc: Doc, name: str) -> None:
    """Check that gradients can still be added to a Doc.

    doc (Doc): The Doc.
    name (str): Field of Activations.
    RAISES (ValueError): TB024 if they have been sent back already.
    """
    if _data(doc).get(CLOSED):
        raise ValueError(errors.TB024.format(output=name))


def place_in_batch(doc: Doc) -> int | None:
    """Return the index of a Doc, or of the Doc that it is a copy of, in its training batch.

    doc (Doc): The Doc.
    RETURNS (int): The index; None if the Doc is in no batch.
    """
    place: int | None = _data(doc).get(PLACE)
    return place


def _zeros(array: Array) -> Array:
    return get_array_module(array).zeros_like(array)


def _arrays(record: Any) -> dict[str, Any]:
    return dict(vars(record))  # much faster than `dataclasses.fields`
