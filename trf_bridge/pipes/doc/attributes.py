"""Extension attributes: `doc._.trf_…`, and the same for Spans and Tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

import numpy
from spacy.tokens import Doc, Span, Token

from ... import errors
from ...types import Activations, Array
from .records import (
    check_open,
    get_alignment,
    get_gradient,
    get_outputs,
    get_wordpieces,
    set_outputs,
    token_spans,
)

Obj: TypeAlias = Doc | Span | Token

# Name of the attribute -> field of Activations, and the axis of wordpieces in the array. None for
# outputs with one entry per input.
OUTPUT_FIELDS: dict[str, tuple[str, int | None]] = {
    "last_hidden_state": ("last_hidden_state", 0),
    "pooler_output": ("pooler_output", None),
    "all_hidden_states": ("hidden_states", 1),
    "all_attentions": ("attentions", None),
}


def install_extensions() -> None:
    """Register the extension attributes; further calls have no effect.

    Pipelines with trf_bridge's components register them. Call it to read Docs, for example from a
    DocBin, in a process that has not loaded such a pipeline.
    """
    for cls in (Doc, Span, Token):
        for name, (getter, setter) in _attributes().items():
            if not cls.has_extension(name):
                cls.set_extension(name, getter=getter, setter=setter)
    if not Doc.has_extension("trf_outputs"):
        Doc.set_extension("trf_outputs", getter=get_outputs, setter=_set_outputs)
    if not Doc.has_extension("trf_segments"):
        Doc.set_extension("trf_segments", getter=get_segments)
    for name in ("trf_separator", "trf_ent_scores"):
        if not Doc.has_extension(name):
            Doc.set_extension(name, default=None)


def _attributes() -> dict[str, tuple[Callable[..., Any], Callable[..., None] | None]]:
    attributes: dict[str, tuple[Callable[..., Any], Callable[..., None] | None]] = {
        "trf_word_pieces": (partial(get_piece_array, name="ids"), None),
        "trf_word_pieces_": (get_piece_strings, None),
        "trf_offsets": (partial(get_piece_array, name="offsets"), None),
        "trf_boundary": (partial(get_piece_array, name="boundary"), None),
        "trf_alignment": (get_alignment_lists, None),
        "trf_start": (get_start, None),
        "trf_end": (get_end, None),
    }
    for name in OUTPUT_FIELDS:
        attributes[f"trf_{name}"] = (partial(get_output, name=name), None)
        attributes[f"trf_d_{name}"] = (
            partial(get_output_gradient, name=name),
            partial(set_output_gradient, name=name),
        )
    return attributes


def get_piece_array(obj: Obj, name: str) -> Any:
    """Return the entries of an array with one entry per wordpiece.

    obj (Doc, Span, Token): Whose wordpieces.
    name (str): Field of Wordpieces.
    RETURNS (array): Its entries; None if the Doc has no wordpieces.
    """
    wordpieces = get_wordpieces(obj.doc)
    return None if wordpieces is None else getattr(wordpieces, name)[piece_rows(obj)]


def get_piece_strings(obj: Obj) -> list[str] | None:
    """Return the wordpieces as the vocabulary writes them.

    obj (Doc, Span, Token): Whose wordpieces.
    RETURNS (list of str, (n_wp,)): The wordpieces; None if the Doc has none.
    """
    wordpieces = get_wordpieces(obj.doc)
    if wordpieces is None:
        return None
    rows = piece_rows(obj)
    strings = wordpieces.strings
    return strings[rows] if isinstance(rows, slice) else [strings[row] for row in rows.tolist()]


def get_alignment_lists(obj: Obj) -> Any:
    """List the wordpieces of each token, boundary pieces among them.

    obj (Doc, Span, Token): Whose tokens.
    RETURNS (list of list of int, or list of int for a Token): Indices into the wordpieces of the
        Doc, ascending; None if the Doc has no wordpieces.
    """
    alignment = get_alignment(obj.doc)
    if alignment is None:
        return None
    first, last = token_range(obj)
    lengths = alignment.lengths[first:last]
    start = int(alignment.lengths[:first].sum())
    # Only the links of the object: listing those of the whole Doc for each token would take too
    # long.
    rows = alignment.rows[start : start + int(lengths.sum())]
    lists = replace(alignment, rows=rows, lengths=lengths).tolist()
    return lists[0] if isinstance(obj, Token) else lists


def get_start(obj: Obj) -> int:
    """Return the first wordpiece, as an index into those of the Doc."""
    return _piece_range(obj)[0]


def get_end(obj: Obj) -> int:
    """Return one past the last wordpiece, as an index into those of the Doc."""
    return _piece_range(obj)[1]


def get_segments(doc: Doc) -> list[Span]:
    """List the inputs of the model.

    doc (Doc): The Doc.
    RETURNS (list of Span): The tokens of each input (n_inputs,), or of the two texts of a pair
        (2,), each of which can be empty; without truncated tokens.
    """
    wordpieces = get_wordpieces(doc)
    segments = None if wordpieces is None else wordpieces.segments
    if segments is not None and len(segments):
        return [_segment(doc, segments[:, side]) for side in (0, 2)]
    spans = [] if wordpieces is None else wordpieces.spans.tolist()
    found = [doc.char_span(start, end, alignment_mode="expand") for start, end in spans]
    return [span for span in found if span is not None]


def _segment(doc: Doc, chars: Array) -> Span:
    """Return the tokens of a text of a pair.

    doc (Doc): The Doc.
    chars (int32, (n_inputs, 2)): The characters that each window covers of the text.
    RETURNS (Span): The tokens.
    """
    tokens = token_spans(doc)
    covered = chars[chars[:, 0] < chars[:, 1]]
    if not len(covered):
        place = int((tokens[:, 0] < chars[0, 0]).sum())
        return doc[place:place]
    first, last = covered[:, 0].min(), covered[:, 1].max()
    inside = numpy.flatnonzero((tokens[:, 0] < last) & (tokens[:, 1] > first))
    return doc[int(inside[0]) : int(inside[-1]) + 1]


def get_output(obj: Obj, name: str) -> Any:
    """Return one of the model's outputs.

    obj (Doc, Span, Token): Whose wordpieces, or inputs.
    name (str): Key of OUTPUT_FIELDS.
    RETURNS (array, or list of arrays for attentions): The output; None if the Doc has none. A view,
        except for a Span whose wordpieces are not adjacent, because it crosses a sentence boundary.
    """
    outputs = get_outputs(obj.doc)
    return None if outputs is None else _slice(obj, getattr(outputs, OUTPUT_FIELDS[name][0]), name)


def get_output_gradient(obj: Obj, name: str) -> Any:
    """Return the gradient of one of the model's outputs.

    obj (Doc, Span, Token): Whose wordpieces, or inputs.
    name (str): Key of OUTPUT_FIELDS.
    RETURNS (array, or list of arrays for attentions): The gradient, zeros if nothing was added yet;
        None if the Doc has no such output. A view, like the output.
    """
    return _slice(obj, get_gradient(obj.doc, OUTPUT_FIELDS[name][0]), name)


def set_output_gradient(obj: Obj, value: Any, name: str) -> None:
    """Store the gradient of one of the model's outputs.

    obj (Doc, Span, Token): Whose wordpieces, or inputs.
    value (array, or list of arrays for attentions): The gradient.
    name (str): Key of OUTPUT_FIELDS.
    RAISES (ValueError): TB014 if its shape is not that of the output; TB024 if the gradients of the
        Doc have been sent back already.
    """
    field, axis = OUTPUT_FIELDS[name]
    check_open(obj.doc, name)
    expected, got = _shapes(get_output(obj, name)), _shapes(value)
    if expected != got:
        message = errors.TB014.format(
            name=f"trf_d_{name}", like=f"trf_{name}", expected=expected, got=got
        )
        raise ValueError(message)
    view = get_output_gradient(obj, name)
    if value is view:  # `+=` passes in the array that it changed
        return
    if isinstance(view, list):
        for target, part in zip(view, value, strict=True):
            target[...] = part
    elif axis is None:
        view[...] = value
    else:
        rows = piece_rows(obj)
        get_gradient(obj.doc, field)[rows if axis == 0 else (slice(None), rows)] = value


def token_range(obj: Obj) -> tuple[int, int]:
    """Return the first and last token (exclusive) of a Doc, Span or Token."""
    if isinstance(obj, Token):
        return obj.i, obj.i + 1
    return (obj.start, obj.end) if isinstance(obj, Span) else (0, len(obj))


def piece_rows(obj: Obj) -> Any:
    """Find the wordpieces of a Doc, Span or Token.

    Boundary pieces belong to a Span that holds all tokens of their input, and to no smaller one.

    obj (Doc, Span, Token): Whose wordpieces.
    RETURNS (slice, or int array (n_wp,)): Rows of the Doc's wordpieces. A slice if they are
        adjacent.
    """
    wordpieces, alignment = get_wordpieces(obj.doc), get_alignment(obj.doc)
    if wordpieces is None or alignment is None:
        return slice(0, 0)
    if obj is obj.doc:
        return slice(0, len(wordpieces))
    first, last = token_range(obj)
    link_ends = numpy.cumsum(alignment.lengths)
    start_link = link_ends[first - 1] if first else 0
    end_link = link_ends[last - 1] if last else 0
    linked = alignment.rows[start_link:end_link]
    counts = numpy.bincount(alignment.rows, minlength=len(wordpieces))
    inside = numpy.bincount(linked, minlength=len(wordpieces))
    # All links of a boundary piece are inside if the Span holds every token of its input.
    rows = numpy.unique(linked[~wordpieces.boundary[linked] | (counts[linked] == inside[linked])])
    if not rows.size:
        return slice(0, 0)
    start, end = int(rows[0]), int(rows[-1]) + 1
    return slice(start, end) if len(rows) == end - start else rows


def _piece_range(obj: Obj) -> tuple[int, int]:
    """Return the first and last wordpiece (exclusive); equal if there are none."""
    rows = piece_rows(obj)
    return (rows.start, rows.stop) if isinstance(rows, slice) else (int(rows[0]), int(rows[-1]) + 1)


def _slice(obj: Obj, array: Any, name: str) -> Any:
    axis = OUTPUT_FIELDS[name][1]
    if array is None or obj is obj.doc:
        return array
    if axis is not None:
        rows = piece_rows(obj)
        return array[rows] if axis == 0 else array[:, rows]
    start, end = _piece_range(obj)
    wordpieces = get_wordpieces(obj.doc)
    ends = numpy.cumsum(wordpieces.lengths) if wordpieces is not None else numpy.zeros(0)
    first = int(numpy.searchsorted(ends, start, side="right"))
    last = int(numpy.searchsorted(ends, end - 1, side="right")) + 1 if end > start else first
    return array[first:last]


def _shapes(value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, list):
        return [tuple(array.shape) for array in value]
    return tuple(numpy.shape(value) if not hasattr(value, "shape") else value.shape)


def _set_outputs(doc: Doc, outputs: Activations) -> None:
    set_outputs(doc, outputs)
