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
    """Let vectors and similarity of a Doc, its Spans and its Tokens come from `doc.tensor`.

    spaCy does not save hooks with a Doc (its warning W109 says so): call this on a Doc that came
    from `Doc.from_bytes` or from another process.

    doc (Doc): The Doc; changed.
    """
    doc.user_hooks.update(
        vector=doc_vector, vector_norm=vector_norm, has_vector=has_vector, similarity=similarity
    )
    # No vector_norm for Spans: spaCy 3.8 would return the result of the vector hook in its place.
    # Without it the norm is computed from the vector.
    doc.user_span_hooks.update(vector=span_vector, has_vector=has_vector, similarity=similarity)
    doc.user_token_hooks.update(
        vector=token_vector, vector_norm=vector_norm, has_vector=has_vector, similarity=similarity
    )


def doc_vector(doc: Doc) -> Array:
    """RETURNS (float32, (width,)): Mean of the rows of all tokens; zeros where there are none."""
    return _mean(doc.tensor)


def span_vector(span: Span) -> Array:
    """RETURNS (float32, (width,)): Mean of the rows of its tokens; zeros where there are none."""
    return _mean(span.doc.tensor[span.start : span.end])


def token_vector(token: Token) -> Array:
    """RETURNS (float32, (width,)): Its row."""
    row: Array = token.doc.tensor[token.i]
    return row


def vector_norm(obj: Doc | Token) -> float:
    """RETURNS (float): Euclidean length of its vector."""
    return _norm(obj.vector)


def has_vector(obj: Doc | Span | Token) -> bool:
    """RETURNS (bool): Whether its Doc has a tensor."""
    return bool(obj.doc.tensor.size)


def similarity(obj: Doc | Span | Token, other: Any) -> float:
    """Cosine of the angle between two vectors.

    Tokens of the same form are compared by their vectors too: in different sentences they differ.

    obj (Doc, Span, Token): One.
    other (Doc, Span, Token, Lexeme): The other.
    RETURNS (float): From -1 to 1; 0 where one of the vectors is zero.
    RAISES (ValueError): TB017 where the widths differ.
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
