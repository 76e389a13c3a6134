"""Links and weights for other ways to compute a token's row from the rows of its wordpieces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import numpy

from ..arrays import concatenate
from ..types import Array, Wordpieces
from .offsets import Alignment, share_weights

POOLINGS = ("sum", "mean", "first", "last")


def pool_links(
    alignment: Alignment, boundary: Array, pooling: str, *, keep_boundary: bool = True
) -> Alignment:
    """Return the links and weights that compute the rows of tokens by another pooling.

    A token's own wordpieces are those that it is linked to, without the boundary pieces. The row of
    a token without wordpieces of its own is zero, except in a sum with boundary pieces.

    alignment (Alignment): The links of one Doc.
    boundary (bool, (n_wp,)): Whether each wordpiece is a boundary piece.
    pooling (str): "sum" for the weighted sum of `apply_alignment`, in which tokens share a
        wordpiece; "mean" for the mean of the whole rows of a token's own wordpieces; "first" or
        "last" for the row of one of them.
    keep_boundary (bool): Whether a sum contains the token's share of the boundary pieces.
    RETURNS (Alignment): The links, for `apply_alignment`.
    """
    if pooling == "sum" and keep_boundary:
        return alignment
    n_tokens = len(alignment.lengths)
    own = ~boundary[alignment.rows]
    rows, weights = alignment.rows[own], alignment.weights[own]
    tokens = numpy.repeat(numpy.arange(n_tokens), alignment.lengths)[own]
    lengths = numpy.bincount(tokens, minlength=n_tokens).astype("int32")
    if pooling == "mean":
        weights = numpy.reciprocal(lengths[tokens], dtype="float32")
    elif pooling != "sum":
        ends = numpy.cumsum(lengths)
        chosen = (ends - lengths if pooling == "first" else ends - 1)[lengths > 0]
        rows, weights = rows[chosen], numpy.ones(len(chosen), dtype="float32")
        lengths = (lengths > 0).astype("int32")
    return Alignment(rows=rows, lengths=lengths, weights=weights, n_tokens=alignment.n_tokens)


def link_characters(tokens: Array, wordpieces: Wordpieces) -> Alignment:
    """Link the wordpieces of one Doc to tokens, the space after a token included, by characters.

    Some tokenizers count the space before a word as part of its first wordpiece, which is then also
    linked to the token before. A wordpiece without common characters is linked to no token, and
    neither is a boundary piece.

    SOURCE: get_alignment_via_offset_mapping of spacy-transformers 1.4.0.

    tokens (int32, (n_tokens, 2)): Character start and end of the tokens.
    wordpieces (Wordpieces): The wordpieces.
    RETURNS (Alignment): The links, for `pool_links`.
    """
    n_tokens = len(tokens)
    starts, ends = tokens[:, 0], tokens[:, 1].copy()
    ends[:-1] += starts[1:] > ends[:-1]
    ends[-1:] += 1
    first_chars, last_chars = wordpieces.offsets.T
    firsts = numpy.searchsorted(ends, first_chars, side="right")
    lasts = numpy.searchsorted(starts, last_chars, side="left")
    counts = numpy.maximum(lasts - firsts, 0)
    counts[wordpieces.boundary | (first_chars >= last_chars)] = 0
    rows = numpy.repeat(numpy.arange(len(counts)), counts)
    first_links = numpy.cumsum(counts) - counts
    linked = numpy.arange(len(rows)) - numpy.repeat(first_links - firsts, counts)
    order = numpy.lexsort((rows, linked))
    return Alignment(
        rows=rows[order].astype("int32"),
        lengths=numpy.bincount(linked, minlength=n_tokens).astype("int32"),
        weights=share_weights(counts[rows[order]]),
        n_tokens=numpy.asarray([n_tokens], dtype="int32"),
    )


def join_alignments(alignments: Sequence[Alignment]) -> Alignment:
    """Join the links of Docs to those of a batch; the opposite of `Alignment.split`.

    alignments (sequence of Alignment, (n_docs,)): The links of each Doc.
    RETURNS (Alignment): The links of the batch.
    """
    types = {"weights": "float32"}
    return Alignment(
        **{
            field.name: concatenate(
                [getattr(alignment, field.name) for alignment in alignments],
                (0,),
                types.get(field.name, "int32"),
            )
            for field in fields(Alignment)
        }
    )
