"""Vectors and similarity from `doc.tensor`, through spaCy's user hooks."""

from __future__ import annotations

import math
import weakref
from typing import TYPE_CHECKING, Any

import numpy
from thinc.api import get_array_module

from ... import errors
from ...types import Array
from .records import token_rows

if TYPE_CHECKING:
    from spacy.tokens import Doc, Span, Token


def install_hooks(doc: Doc) -> None:
    """Compute the vectors and the similarity of a Doc, its Spans and its Tokens from `doc.tensor`.

    spaCy does not save hooks with a Doc (see its warning W109), and a DocBin does not store tensors
    either: call this function on a Doc from `Doc.from_bytes`, from a DocBin or from another
    process. If the Doc has the transformer's outputs and no tensor, it is computed from them.

    doc (Doc): The Doc; changed.
    """
    token_rows(doc)
    add_hooks(doc)


def add_hooks(doc: Doc) -> None:
    """Install the hooks on a Doc whose tensor fits its tokens.

    doc (Doc): The Doc; changed.
    """
    hooks = VectorHooks(doc.tensor)
    doc.user_hooks.update(
        vector=hooks.doc_vector,
        vector_norm=vector_norm,
        has_vector=hooks.has_vector,
        similarity=similarity,
    )
    # No vector_norm for Spans: spaCy 3.8 would return the result of the vector hook instead.
    # Without the hook, the norm is computed from the vector.
    doc.user_span_hooks.update(
        vector=hooks.span_vector, has_vector=hooks.has_vector, similarity=similarity
    )
    doc.user_token_hooks.update(
        vector=hooks.token_vector,
        vector_norm=vector_norm,
        has_vector=hooks.has_vector,
        similarity=similarity,
    )


class VectorHooks:
    """The vectors of a Doc, which follow its tokens when they are merged or split."""

    def __init__(self, tensor: Array | None = None) -> None:
        """Create the hooks.

        tensor (float32, (n_tokens, width)): A tensor that fits the tokens; None if it is unknown.
        """
        # The tensor that was last found to fit the tokens. spaCy's retokenizer replaces tensors,
        # so the same array needs no second check. A weak reference: hooks don't keep the tensor of
        # a cleaned Doc in memory.
        self._checked: Any = None if tensor is None else weakref.ref(tensor)

    def __reduce__(self) -> tuple[type[VectorHooks], tuple[()]]:
        return VectorHooks, ()  # weak references can't be pickled

    def rows(self, doc: Doc) -> Array:
        """Return the rows of all tokens, float32 (n_tokens, width); (0,) if there are none."""
        tensor = doc.tensor
        if tensor is None or self._checked is None or self._checked() is not tensor:
            tensor = token_rows(doc)
            if tensor is None:  # as spaCy's doc_cleaner leaves it
                return numpy.zeros((0,), dtype="float32")
            self._checked = weakref.ref(tensor)
        return tensor

    def doc_vector(self, doc: Doc) -> Array:
        """Return the mean of the rows of all tokens, float32 (width,); zeros for an empty Doc."""
        return _mean(self.rows(doc))

    def span_vector(self, span: Span) -> Array:
        """Return the mean of the rows of a Span's tokens, float32 (width,); zeros if it is empty.

        span (Span): The Span.
        RETURNS (float32, (width,)): The vector.
        """
        return _mean(self.rows(span.doc)[span.start : span.end])

    def token_vector(self, token: Token) -> Array:
        """Return the row of a Token, float32 (width,)."""
        row: Array = self.rows(token.doc)[token.i]
        return row

    def has_vector(self, obj: Doc | Span | Token) -> bool:
        """Return whether the Doc of an object has a tensor."""
        return bool(self.rows(obj.doc).size)


def vector_norm(obj: Doc | Token) -> float:
    """Return the Euclidean length of the vector of a Doc or Token."""
    return _norm(obj.vector)


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
