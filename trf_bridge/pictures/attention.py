"""Attention between wordpieces, and the same attention converted to spaCy's tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy

from .. import errors
from ..align import Alignment
from ..pipes.doc.records import get_outputs
from ..types import Array, Wordpieces
from .token_links import input_rows, link_tokens, read_links, read_texts, to_numpy

if TYPE_CHECKING:
    from spacy.tokens import Doc

    from .token_links import DocLike


@dataclass(frozen=True)
class Attention:
    """The attention within one text: a sentence, or a pair of texts, with all of its windows.

    tokens (range): The tokens of the text, as indices into the Doc.
    rows (range): Its wordpieces, as rows of the Doc.
    layers, heads (list of int): The selected layers and heads, counted from 0.
    by_piece (float32, (n_layers, n_heads, n_wp, n_wp)): Attention between wordpieces. Rows are the
        queries, as in transformers.
    links (float32, (n_tokens, n_wp)): The weight of each link. The weights of a wordpiece add up to
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
        """Convert the attention to tokens, as `to_tokens` does.

        boundary (bool): Whether each token includes its share of the boundary pieces. If not, the
            boundary pieces are left out as queries and as keys.
        RETURNS (float32, (n_layers, n_heads, n_tokens, n_tokens)): Rows add up to one.
        """
        links = self.links if boundary else numpy.where(self.boundary, 0, self.links)
        return to_tokens(self.by_piece, links)


def read_attention(
    doclike: DocLike, *, layers: Sequence[int] | None = None, heads: Sequence[int] | None = None
) -> list[Attention]:
    """Return the attention that is stored on a Doc, text by text.

    doclike (Doc, Span): The Doc. For a Span, the texts that it has tokens of.
    layers, heads (sequence of int): The layers and heads to return, counted from 0; None for all.
    RETURNS (list of Attention): One for each text that has tokens.
    RAISES (ValueError): TB025 for a layer or head that does not exist, TB051 where no attention is
        stored, TB052 where there are no wordpieces.
    """
    doc = doclike.doc
    wordpieces, alignment = read_links(doc)
    attentions = _stored_attentions(doc)
    if not attentions:
        return []
    n_layers, n_heads = attentions[0].shape[:2]
    layers = _check_indices("layers", layers, n_layers)
    heads = _check_indices("heads", heads, n_heads)
    texts = []
    for inputs, rows, tokens in read_texts(doclike):
        windows = [
            to_numpy(attentions[i])[numpy.ix_(layers, heads)].astype("float32") for i in inputs
        ]
        texts.append(
            Attention(
                tokens=tokens,
                rows=rows,
                layers=layers,
                heads=heads,
                by_piece=join_windows(wordpieces, inputs, windows),
                links=link_matrix(alignment, tokens, rows),
                boundary=wordpieces.boundary[rows.start : rows.stop],
            )
        )
    return texts


def count_cells(
    doclike: DocLike, *, layers: Sequence[int] | None = None, heads: Sequence[int] | None = None
) -> int:
    """Count the values in a picture of the attention, before any of them is computed.

    doclike, layers, heads: As for `read_attention`.
    RETURNS (int): The values between wordpieces, between tokens, and between tokens without
        boundary pieces.
    RAISES (ValueError): TB051, TB052.
    """
    read_links(doclike.doc)  # raises TB052 for missing wordpieces before missing outputs
    attentions = _stored_attentions(doclike.doc)
    if not attentions:
        return 0
    n_layers, n_heads = attentions[0].shape[:2]
    n_maps = (n_layers if layers is None else len(layers)) * (
        n_heads if heads is None else len(heads)
    )
    return n_maps * sum(
        2 * len(text.tokens) ** 2 + len(text.rows) ** 2 for text in read_texts(doclike)
    )


def to_tokens(by_piece: Array, links: Array) -> Array:
    """Convert attention between wordpieces to attention between tokens.

    Let P[j, k] be the attention of wordpiece j to wordpiece k, and W[i, j] = 1 / s_j where token i
    is one of the s_j tokens that are linked to wordpiece j, and 0 elsewhere:

        U[i, j] = W[i, j] / sum over j' of W[i, j']
        S[i, m] = sum over j, k of U[i, j] P[j, k] W[m, k]
        T[i, m] = S[i, m] / sum over m' of S[i, m']

    The attention of a token is the mean over its wordpieces, each weighted by the token's share of
    it. Attention to a wordpiece is divided between the tokens that share it, as its hidden state is
    for `doc.tensor`. Rows of U and columns of W add up to one, so rows of S do where rows of P do.
    The last line only matters where wordpieces are left out of W, or where the model's own rows add
    up to less than one. If every token is one wordpiece, T equals P. If no wordpiece is shared,
    this is the rule of the source: sum the attention to a split word, average that from it.

    by_piece (float, (..., n_wp, n_wp)): P. Rows are the queries.
    links (float, (n_tokens, n_wp)): W.
    RETURNS (float32, (..., n_tokens, n_tokens)): T. Rows add up to one. The row is zero for a token
        without wordpieces, or whose wordpieces attend to none that is linked to a token.
    SOURCE: Clark et al. (2019), What Does BERT Look At?, section 4.1.
    """
    weights = numpy.asarray(links, dtype="float64")
    sums = _normalize(weights) @ by_piece @ weights.T
    by_token: Array = _normalize(sums).astype("float32")
    return by_token


def link_matrix(alignment: Alignment, tokens: range, rows: range) -> Array:
    """Write the links between consecutive tokens and wordpieces as a matrix.

    alignment (Alignment): The links of a Doc.
    tokens (range): Tokens of the Doc.
    rows (range): Wordpieces of the Doc.
    RETURNS (float32, (n_tokens, n_wp)): The weight of each link; zero where there is no link.
    """
    linked = link_tokens(alignment)
    inside = (alignment.rows >= rows.start) & (alignment.rows < rows.stop)
    inside &= (linked >= tokens.start) & (linked < tokens.stop)
    matrix = numpy.zeros((len(tokens), len(rows)), dtype="float32")
    places = (linked[inside] - tokens.start, alignment.rows[inside] - rows.start)
    matrix[places] = alignment.weights[inside]
    return matrix


def join_windows(wordpieces: Wordpieces, inputs: range, attentions: Sequence[Array]) -> Array:
    """Join the attention within windows into one matrix of the whole text.

    Where several windows read the same wordpiece, its row is taken from the window that provides
    its hidden state. Where hidden states are means over windows, so is the row.

    wordpieces (Wordpieces): The wordpieces of a Doc.
    inputs (range): The windows of one text.
    attentions (sequence of float32, each (n_layers, n_heads, n_run, n_run)): The attention within
        each window.
    RETURNS (float32, (n_layers, n_heads, n_wp, n_wp)): The attention within the text; zero between
        wordpieces that no window reads together.
    """
    runs = wordpieces.runs
    if runs is None:
        return attentions[0]
    rows = input_rows(wordpieces, inputs)
    run_ends = numpy.cumsum(runs.lengths)
    shape = (*attentions[0].shape[:2], len(rows), len(rows))
    total, counts = numpy.zeros(shape, dtype="float32"), numpy.zeros(len(rows), dtype="float32")
    for i, attention in zip(inputs, attentions, strict=True):
        run = runs.rows[run_ends[i] - runs.lengths[i] : run_ends[i]]
        own = input_rows(wordpieces, range(i, i + 1))
        used = (run >= own.start) & (run < own.stop)
        if runs.mean:
            used[:] = True
        queries, keys = run[used] - rows.start, run - rows.start
        total[:, :, queries[:, None], keys] += attention[:, :, used]
        counts[queries] += 1
    joined: Array = total / numpy.maximum(counts, 1)[:, None]
    return joined


def _stored_attentions(doc: Doc) -> list[Array]:
    """Return the attention of each input, or raise TB051 or TB052."""
    outputs = get_outputs(doc)
    if outputs is None:
        message = errors.TB052.format(
            n_tokens=len(doc), what="outputs of a transformer", component="trf_tok2vec"
        )
        raise ValueError(message)
    if outputs.attentions is None:
        raise ValueError(errors.TB051.format(n_tokens=len(doc)))
    return outputs.attentions


def _check_indices(field: str, indices: Sequence[int] | None, n: int) -> list[int]:
    """Return the selected layers or heads as a list, all n of them by default, or raise TB025."""
    for index in indices or []:
        if not isinstance(index, int) or not 0 <= index < n:
            raise ValueError(errors.TB025.format(field=field, least=0, most=n - 1, got=index))
    return list(range(n)) if indices is None else list(indices)


def _normalize(matrix: Array) -> Array:
    """Divide each row by its sum, and leave rows of zeros as they are."""
    sums = matrix.sum(axis=-1, keepdims=True)
    normalized: Array = matrix / numpy.where(sums > 0, sums, 1)
    return normalized
