"""The cosine similarity between tokens, from the rows of `doc.tensor`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy

from .. import errors
from ..types import Array
from .token_links import to_numpy, token_indices

if TYPE_CHECKING:
    from .token_links import DocLike


def token_similarity(one: DocLike, two: DocLike) -> Array:
    """Compute the cosine similarity of each token of one Doc with each token of another.

    one, two (Doc, Span): Docs with rows in `doc.tensor`, as trf_tok2vec stores them. They can be
        the same Doc.
    RETURNS (float32, (n_one, n_two)): From -1 to 1, the values of `token.similarity`; 0 where one
        of the rows is zero.
    RAISES (ValueError): TB017 where the widths differ, TB052 where a Doc has no rows.
    """
    rows, others = _unit_rows(one), _unit_rows(two)
    if not len(rows) or not len(others):
        return numpy.zeros((len(rows), len(others)), dtype="float32")
    if rows.shape[1] != others.shape[1]:
        raise ValueError(errors.TB017.format(one=rows.shape[1], two=others.shape[1]))
    cosines: Array = numpy.clip(rows @ others.T, -1, 1).astype("float32")
    return cosines


def _unit_rows(doclike: DocLike) -> Array:
    """Return the rows of `doc.tensor` divided by their norms; rows of zeros stay zero."""
    doc, tokens = doclike.doc, token_indices(doclike)
    if len(doc) and (doc.tensor.ndim != 2 or doc.tensor.shape[0] != len(doc)):
        message = errors.TB052.format(
            n_tokens=len(doc), what="rows in doc.tensor", component="trf_tok2vec"
        )
        raise ValueError(message)
    if not len(tokens):
        return numpy.zeros((0, 0))
    rows = to_numpy(doc.tensor)[tokens.start : tokens.stop].astype("float64")
    norms = numpy.linalg.norm(rows, axis=1, keepdims=True)
    unit: Array = rows / numpy.where(norms > 0, norms, 1)
    return unit
