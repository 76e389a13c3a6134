"""Attention between wordpieces, and the same carried over to tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy

from .. import errors
from ..align import Alignment
from ..pipes.doc.records import get_outputs
from ..types import Array, Wordpieces
from .token_links import (
    group_rows,
    input_groups,
    link_tokens,
    linked_range,
    on_cpu,
    read_links,
    shown_tokens,
)

if TYPE_CHECKING:
    from spacy.tokens import Doc

    from .token_links import Obj


@dataclass(frozen=True)
class Attention:
    """The attention within one text: a sentence, a pair of texts, or all windows of either.

    tokens (range): Its tokens, as indices into the Doc.
    rows (range): Its wordpieces, as rows of the Doc.
    layers, heads (list of int): Which are here, counted from 0.
    by_piece (float32, (n_layers, n_heads, n_wp, n_wp)): Rows are the queries, as in transformers.
    links (float32, (n_tokens, n_wp)): What each token has of each wordpiece; a column adds up to
        one.
    boundary (bool, (n_wp,)): Which wordpieces are boundary pieces.
    """

    tokens: range
    rows: range
    layers: list[int]
    heads: list[int]
    by_piece: Array
    links: Array
    boundary: Array

    def by_token(self, *, boundary: bool = True) -> Array:
        """Carry the attention over to tokens; see `to_tokens`.

        boundary (bool): Whether each token has its share of the boundary pieces, in what it looks
            at and in what it is looked at; otherwise they are left out on both sides.
        RETURNS (float32, (n_layers, n_heads, n_tokens, n_tokens)): Rows add up to one.
        """
        links = self.links if boundary else numpy.where(self.boundary, 0, self.links)
        return to_tokens(self.by_piece, links)


def read_attention(
    obj: Obj, *, layers: Sequence[int] | None = None, heads: Sequence[int] | None = None
) -> list[Attention]:
    """Take the attention that is stored on a Doc, text by text.

    obj (Doc, Span): The Doc; of a Span, the texts that it has tokens of.
    layers, heads (sequence of int): Which, counted from 0; None for all.
    RETURNS (list of Attention): One for each text that has tokens.
    RAISES (ValueError): TB025 for a layer or head that there isn't; TB051 where there are no
        attentions, TB052 where there are no wordpieces.
    """
    doc = obj.doc
    wordpieces, alignment = read_links(doc)
    attentions = _stored(doc)
    if not attentions:
        return []
    n_layers, n_heads = attentions[0].shape[:2]
    kept_layers = _kept("layers", layers, n_layers)
    kept_heads = _kept("heads", heads, n_heads)
    shown = shown_tokens(obj)
    found = []
    for inputs in input_groups(wordpieces):
        rows = group_rows(wordpieces, inputs)
        tokens = linked_range(alignment, rows)
        if max(tokens.start, shown.start) >= min(tokens.stop, shown.stop):
            continue
        parts = [
            on_cpu(attentions[i])[numpy.ix_(kept_layers, kept_heads)].astype("float32")
            for i in inputs
        ]
        found.append(
            Attention(
                tokens=tokens,
                rows=rows,
                layers=kept_layers,
                heads=kept_heads,
                by_piece=join_windows(wordpieces, inputs, parts),
                links=link_matrix(alignment, tokens, rows),
                boundary=wordpieces.boundary[rows.start : rows.stop],
            )
        )
    return found


def count_cells(
    obj: Obj, *, layers: Sequence[int] | None = None, heads: Sequence[int] | None = None
) -> int:
    """Count the numbers that a picture of the attention holds, before any is computed.

    obj, layers, heads: As for `read_attention`.
    RETURNS (int): Those between tokens, with and without boundary pieces, and between wordpieces.
    RAISES (ValueError): TB051, TB052.
    """
    wordpieces, alignment = read_links(obj.doc)
    attentions = _stored(obj.doc)
    if not attentions:
        return 0
    n_layers, n_heads = attentions[0].shape[:2]
    n_maps = (n_layers if layers is None else len(layers)) * (
        n_heads if heads is None else len(heads)
    )
    shown, n_cells = shown_tokens(obj), 0
    for inputs in input_groups(wordpieces):
        rows = group_rows(wordpieces, inputs)
        tokens = linked_range(alignment, rows)
        if max(tokens.start, shown.start) < min(tokens.stop, shown.stop):
            n_cells += 2 * len(tokens) ** 2 + len(rows) ** 2
    return n_maps * n_cells


def to_tokens(by_piece: Array, links: Array) -> Array:
    """Carry attention between wordpieces over to tokens, by the links of the alignment.

    With P[j, k] what wordpiece j pays to wordpiece k, and W[i, j] = 1 / s_j where token i is linked
    to j, one of s_j tokens, and 0 elsewhere:

        U[i, j] = W[i, j] / sum over j' of W[i, j']
        S[i, m] = sum over j, k of U[i, j] P[j, k] W[m, k]
        T[i, m] = S[i, m] / sum over m' of S[i, m']

    A token looks as its wordpieces do on average, each counted by the part of it that is the
    token's own. What falls on a wordpiece is divided between the tokens that share it, as its
    hidden state is for `doc.tensor`. Rows of U and columns of W add up to one, so rows of S do
    where those of P do; the last line matters only where wordpieces are left out of W, or where
    the model itself pays less than one in sum. Where every token is one wordpiece T is P, and where
    no wordpiece is shared this is the rule of the source: sums to a split word, means from one.

    by_piece (float, (..., n_wp, n_wp)): P; rows are the queries.
    links (float, (n_tokens, n_wp)): W.
    RETURNS (float32, (..., n_tokens, n_tokens)): T. Rows add up to one, but for those of tokens
        that have no wordpiece, or only such as pay no attention to any other token's: zeros.
    SOURCE: Clark et al. (2019), What Does BERT Look At?, section 4.1.
    """
    weights = numpy.asarray(links, dtype="float64")
    spread = _normalize(weights) @ by_piece @ weights.T
    tokens: Array = _normalize(spread).astype("float32")
    return tokens


def link_matrix(alignment: Alignment, tokens: range, rows: range) -> Array:
    """Write the links between neighbouring tokens and wordpieces as a matrix.

    alignment (Alignment): The links of a Doc.
    tokens (range): Tokens of the Doc.
    rows (range): Wordpieces of the Doc.
    RETURNS (float32, (n_tokens, n_wp)): The weight of each link; zeros where there is none.
    """
    found = link_tokens(alignment)
    inside = (alignment.rows >= rows.start) & (alignment.rows < rows.stop)
    inside &= (found >= tokens.start) & (found < tokens.stop)
    matrix = numpy.zeros((len(tokens), len(rows)), dtype="float32")
    matrix[found[inside] - tokens.start, alignment.rows[inside] - rows.start] = alignment.weights[
        inside
    ]
    return matrix


def join_windows(wordpieces: Wordpieces, inputs: range, attentions: Sequence[Array]) -> Array:
    """Join the attention within windows to one matrix of the whole text.

    A wordpiece that several windows read looks as it does in the window that answers for it, or,
    where rows are means over windows, as it does on average.

    wordpieces (Wordpieces): The wordpieces of a Doc.
    inputs (range): The windows of one text.
    attentions (sequence of float32, each (n_layers, n_heads, n_run, n_run)): That of each window.
    RETURNS (float32, (n_layers, n_heads, n_wp, n_wp)): That of the text; zeros between wordpieces
        that no window reads together.
    """
    runs = wordpieces.runs
    if runs is None:
        return attentions[0]
    rows = group_rows(wordpieces, inputs)
    run_ends = numpy.cumsum(runs.lengths)
    shape = (*attentions[0].shape[:2], len(rows), len(rows))
    total, counts = numpy.zeros(shape, dtype="float32"), numpy.zeros(len(rows), dtype="float32")
    for i, attention in zip(inputs, attentions, strict=True):
        read = runs.rows[run_ends[i] - runs.lengths[i] : run_ends[i]]
        own = group_rows(wordpieces, range(i, i + 1))
        answers = (read >= own.start) & (read < own.stop)
        if runs.mean:
            answers[:] = True
        queries, keys = read[answers] - rows.start, read - rows.start
        total[:, :, queries[:, None], keys] += attention[:, :, answers]
        counts[queries] += 1
    joined: Array = total / numpy.maximum(counts, 1)[:, None]
    return joined


def _stored(doc: Doc) -> list[Array]:
    outputs = get_outputs(doc)
    if outputs is None:
        message = errors.TB052.format(
            n_tokens=len(doc), what="outputs of a transformer", component="trf_tok2vec"
        )
        raise ValueError(message)
    if outputs.attentions is None:
        raise ValueError(errors.TB051.format(n_tokens=len(doc)))
    return outputs.attentions


def _kept(field: str, given: Sequence[int] | None, n: int) -> list[int]:
    for number in given or []:
        if not isinstance(number, int) or not 0 <= number < n:
            raise ValueError(errors.TB025.format(field=field, least=0, most=n - 1, got=number))
    return list(range(n)) if given is None else list(given)


def _normalize(matrix: Array) -> Array:
    sums = matrix.sum(axis=-1, keepdims=True)
    normalized: Array = matrix / numpy.where(sums > 0, sums, 1)
    return normalized
