"""Vectors and similarity from `doc.tensor`, through spaCy's user hooks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from thinc.api import get_array_module

from ... import errors
from ...types import Array

if TYPE_CHECKING:
    from spacy.tokens import Doc, Span, Token


def install_hooks(doc: Doc) -> None:
    """Compute the vectors and the similarity of a Doc, its Spans and its Tokens from `doc.tensor`.

    spaCy does not save hooks with a Doc (see its warning W109): call this function on a Doc from
    `Doc.from_bytes` or from another process.

    doc (Doc): The Doc; changed.
    """
    doc.user_hooks.update(
        vector=doc_vector, vector_norm=vector_norm, has_vector=has_vector, similarity=similarity
    )
    # No vector_norm for Spans: spaCy 3.8 would return the result of the vector hook instead.
    # Without the hook, the norm is computed from the vector.
    doc.user_span_hooks.update(vector=span_vector, has_vector=has_vector, similarity=similarity)
    doc.user_token_hooks.update(
        vector=token_vector, vector_norm=vector_norm, has_vector=has_vector, similarity=similarity
    )


def doc_vector(doc: Doc) -> Array:
    """Return the mean of the rows of all tokens, float32 (width,); zeros for an empty Doc."""
    return _mean(doc.tensor)


def span_vector(span: Span) -> Array:
    """Return the mean of the rows of a Span's tokens, float32 (width,); zeros for an empty Span."""
    return _mean(span.doc.tensor[span.start : span.end])


def token_vector(token: Token) -> Array:
    """Return the row of a Token, float32 (width,)."""
    row: Array = token.doc.tensor[token.i]
    return row


def vector_norm(obj: Doc | Token) -> float:
    """Return the Euclidean length of the vector of a Doc or Token."""
    return _norm(obj.vector)


def has_vector(obj: Doc | Span | Token) -> bool:
    """Return whether the Doc of an object has a tensor."""
    return bool(obj.doc.tensor.size)


def similarity(obj: Doc | Span | Token, other: Any) -> float:
    """Compute the cosine of the angle between two vectors.

    Tokens of the same form are compared by their vectors too, which differ between sentences.

    obj (Doc, Span, Token): The first object.
    other (Doc, Span, Token, Lexeme): The second object.
    RETURNS (float): From -1 to 1; 0 if one of the vectors is zero.
    RAISES (ValueError): TB017 if the widths differ.
    """
    one, two = obj.vector, other.vector
    if one.shape != two.shape:
        raise ValueError(errors.TB017.format(one=one.shape[0], two=two.shape[0]))
    norms = _norm(one) * _norm(two)
    return float((one * two).sum()) / norms if norms else 0.0


def _mean(rows: Array) -> Array:
    if not rows.shape[0]:
        zeros: Array = get_array_module(rows).zeros(rows.shape[1:] or (0,), dtype="float32")
        return zeros
    mean: Array = rows.mean(axis=0)
    return mean


def _norm(vector: Array) -> float:
    return math.sqrt(float((vector * vector).sum()))
