"""Where a Doc keeps its wordpieces, its activations and their gradients.

They stand in `doc.user_data` as dictionaries of plain arrays under the keys that spaCy uses for
extension attributes: so `Doc.to_bytes`, `DocBin` and several processes carry them, and spaCy drops
them where they would no longer fit, as in `Span.as_doc` and `Doc.from_docs`.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy
from thinc.api import get_array_module

from ... import errors
from ...align import Alignment, align
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


def _data(doc: Doc) -> dict[Any, Any]:
    # spaCy's stubs know only of string keys, its own extension attributes use tuples.
    return doc.user_data


def token_spans(doc: Doc) -> Array:
    """Character offsets of the tokens of a Doc.

    doc (Doc): The Doc.
    RETURNS (int32, (n_tokens, 2)): Start and end of each token in `doc.text`, without the white
        space behind it.
    """
    if not len(doc):
        return numpy.empty((0, 2), dtype="int32")
    spans = doc.to_array(["IDX", "LENGTH"]).astype("int32")
    spans[:, 1] += spans[:, 0]
    return spans


def get_wordpieces(doc: Doc) -> Wordpieces | None:
    """RETURNS (Wordpieces): The wordpieces of the Doc; None where it has none."""
    stored = _data(doc).get(WORDPIECES)
    if stored is None:
        return None
    record = dict(stored)
    windows = {name: record.pop(f"run_{name}") for name in Runs._fields}
    runs = None if windows["rows"] is None else Runs(**windows)
    return Wordpieces(**record, runs=runs)


def set_wordpieces(doc: Doc, wordpieces: Wordpieces) -> None:
    """Store the wordpieces of a Doc; what was computed from others is dropped.

    doc (Doc): The Doc; changed.
    wordpieces (Wordpieces): Its wordpieces.
    """
    record = _arrays(wordpieces)
    runs = record.pop("runs")
    for name in Runs._fields:
        record[f"run_{name}"] = None if runs is None else getattr(runs, name)
    _data(doc)[WORDPIECES] = record
    for stale in (ALIGNMENT, OUTPUTS, D_OUTPUTS):
        _data(doc).pop(stale, None)


def get_separator(doc: Doc) -> Any:
    """RETURNS (str): What was set as the text of the token that parts the Doc in two; None where
    nothing was."""
    return _data(doc).get(SEPARATOR)


def get_alignment(doc: Doc) -> Alignment | None:
    """Find the links between the tokens and the wordpieces of a Doc.

    They are kept with the tokens that they were made for, and made anew when the Doc has been
    retokenized since.

    doc (Doc): The Doc.
    RETURNS (Alignment): The links; None where there are no wordpieces.
    """
    wordpieces = get_wordpieces(doc)
    if wordpieces is None:
        return None
    stored = _data(doc).get(ALIGNMENT)
    spans = token_spans(doc)
    if stored is None or not numpy.array_equal(stored["token_spans"], spans):
        set_alignment(doc, align([doc.text], [spans], [wordpieces]), spans)
        stored = _data(doc)[ALIGNMENT]
    return Alignment(**{field.name: stored[field.name] for field in fields(Alignment)})


def set_alignment(doc: Doc, alignment: Alignment, spans: Array) -> None:
    """Store the links of a Doc.

    doc (Doc): The Doc; changed.
    alignment (Alignment): Its links.
    spans (int32, (n_tokens, 2)): The tokens that they were made for.
    """
    _data(doc)[ALIGNMENT] = {**_arrays(alignment), "token_spans": spans}


def get_outputs(doc: Doc) -> Activations | None:
    """RETURNS (Activations): What the model gave for the Doc; None where it has not been run."""
    stored = _data(doc).get(OUTPUTS)
    return None if stored is None else Activations(**stored)


def set_outputs(doc: Doc, outputs: Activations) -> None:
    """Store what the model gave for a Doc.

    doc (Doc): The Doc; changed.
    outputs (Activations): The activations.
    """
    _data(doc)[OUTPUTS] = _arrays(outputs)


def get_gradients(doc: Doc) -> Activations:
    """RETURNS (Activations): The gradients that were written onto the Doc; None for each that was
    not."""
    return Activations(**{"last_hidden_state": None, **_data(doc).get(D_OUTPUTS, {})})


def get_gradient(doc: Doc, name: str) -> Any:
    """Find the gradient of one of the outputs; zeros are put there where there was none.

    doc (Doc): The Doc.
    name (str): Field of Activations.
    RETURNS (float32 array, or list of them): The gradient itself, so that `+=` reaches the Doc;
        None where there is no such output.
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
    RAISES (ValueError): TB024 where the sum was already used.
    """
    total = get_gradient(doc, name)
    if isinstance(total, numpy.ndarray) and not total.flags.writeable:
        raise ValueError(errors.TB024.format(name="trf_tok2vec", output=name))
    total += gradient


def set_gradient(doc: Doc, name: str, gradient: Any) -> None:
    """Store the gradient of one of the outputs.

    doc (Doc): The Doc; changed.
    name (str): Field of Activations.
    gradient (float32 array, or list of them): The gradient.
    """
    _data(doc).setdefault(D_OUTPUTS, {})[name] = gradient


def drop_gradients(doc: Doc) -> None:
    """Forget the gradients that were written onto a Doc.

    doc (Doc): The Doc; changed.
    """
    _data(doc).pop(D_OUTPUTS, None)


def mark_place(doc: Doc, place: int | None) -> None:
    """Note where a Doc stands in its training batch; copies of the Doc have the note too.

    doc (Doc): The Doc; changed.
    place (int): Its place; None to drop the note.
    """
    if place is None:
        _data(doc).pop(PLACE, None)
    else:
        _data(doc)[PLACE] = place


def marked_place(doc: Doc) -> int | None:
    """RETURNS (int): The place of the Doc, or of what it was copied from, in a training batch;
    None where there is no note."""
    place: int | None = _data(doc).get(PLACE)
    return place


def _zeros(array: Array) -> Array:
    return get_array_module(array).zeros_like(array)


def _arrays(record: Any) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in fields(record)}
