"""From character offsets of tokens and wordpieces to the links between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy

from .._align import count_links, fill_links, overlap, trim_spans
from ..arrays import concatenate
from ..types import Array, Wordpieces, describe
from .overlaps import count_inputs
from .segments import find_segments, overlap_segments


@dataclass(frozen=True, repr=False)
class Alignment:
    """The links between the tokens and the wordpieces of a batch of Docs.

    rows (int32, (n_links,)): Rows of the wordpieces of each token in its Doc, ascending, token
        after token.
    lengths (int32, (n_tokens,)): Number of links of each token.
    weights (float32, (n_links,)): 1 / (number of tokens that are linked to the wordpiece). Where
        the inputs of a Doc overlap, also divided by the number of inputs that contain the token.
    n_tokens (int32, (n_docs,)): Number of tokens of each Doc.
    """

    rows: Array
    lengths: Array
    weights: Array
    n_tokens: Array

    def __repr__(self) -> str:
        return describe(self, vars(self))

    def split(self) -> list[Alignment]:
        """Split the links of a batch into those of each Doc.

        RETURNS (list of Alignment, (n_docs,)): The links of each Doc, as views of the same arrays.
        """
        ends = numpy.concatenate([[0], numpy.cumsum(self.n_tokens)])
        link_ends = numpy.concatenate([[0], numpy.cumsum(self.lengths)])[ends].tolist()
        docs = []
        for i, (tokens, links) in enumerate(
            zip(pairwise(ends.tolist()), pairwise(link_ends), strict=True)
        ):
            docs.append(
                Alignment(
                    rows=self.rows[slice(*links)],
                    lengths=self.lengths[slice(*tokens)],
                    weights=self.weights[slice(*links)],
                    n_tokens=self.n_tokens[i : i + 1],
                )
            )
        return docs

    def tolist(self) -> list[list[int]]:
        """List the wordpieces of each token.

        RETURNS (list of list of int, (n_tokens,)): Rows of the wordpieces in the Doc, ascending.
        """
        rows, lists, start = self.rows.tolist(), [], 0
        for length in self.lengths.tolist():
            lists.append(rows[start : start + length])
            start += length
        return lists


def align(
    texts: Sequence[str], token_spans: Sequence[Array], wordpieces: Sequence[Wordpieces]
) -> Alignment:
    """Align the wordpieces of a batch of Docs to their tokens.

    A token is linked to every wordpiece that shares a character with it, except for white space at
    the ends of the wordpiece. A wordpiece that shares no character with a token is linked to the
    nearest token. A boundary piece is linked to every token of its input. In a pair, wordpieces
    are linked only to tokens of their own text, and the separator only to boundary pieces. Where
    inputs overlap, the row of a token is the mean over the inputs that contain it.
    All Docs are aligned in one pass, in time linear in tokens, wordpieces and links.

    texts (sequence of str, (n_docs,)): The text of each Doc.
    token_spans (sequence of int32, each (n_tokens, 2)): Character start and end of the tokens of
        each Doc.
    wordpieces (sequence of Wordpieces, (n_docs,)): The wordpieces of each Doc.
    RETURNS (Alignment): The links and their weights.
    """
    n_tokens = numpy.asarray([len(spans) for spans in token_spans], dtype="int32")
    n_pieces = numpy.asarray([len(pieces) for pieces in wordpieces], dtype="int32")
    n_inputs = numpy.asarray([len(pieces.lengths) for pieces in wordpieces], dtype="int32")
    tokens = concatenate(token_spans, (0, 2))
    offsets = concatenate([pieces.offsets for pieces in wordpieces], (0, 2))
    lengths = concatenate([pieces.lengths for pieces in wordpieces], (0,))
    spans = concatenate([pieces.spans for pieces in wordpieces], (0, 2))
    sources = concatenate([_sources(pieces) for pieces in wordpieces], (0, 2))
    boundary = concatenate([pieces.boundary for pieces in wordpieces], (0,), "bool")
    token_ends = numpy.cumsum(n_tokens, dtype="int32")
    bounds = numpy.stack([token_ends - n_tokens, token_ends], axis=1)

    trimmed = numpy.empty_like(offsets)
    trim_spans(list(texts), n_pieces, offsets, trimmed)
    bounds = numpy.repeat(bounds, n_inputs, axis=0)
    segments = find_segments(wordpieces)
    if segments is not None:
        ranges, owners = overlap_segments(
            tokens, bounds, sources, segments, trimmed, lengths, boundary
        )
        links = _links_of_ranges(ranges, owners, n_tokens, n_pieces)
    else:
        ranges = numpy.empty_like(offsets)
        covered = numpy.empty_like(spans)
        overlap(tokens, bounds, sources, spans, trimmed, lengths, covered, ranges)
        attach_boundary(ranges, covered, lengths, boundary)
        links = _links(ranges, n_tokens, n_pieces)
    counts = count_inputs(tokens, n_tokens, sources, wordpieces)
    if counts is None:
        return links
    weights = (links.weights / numpy.repeat(counts, links.lengths)).astype("float32")
    return replace(links, weights=weights)


def _links_of_ranges(ranges: Array, owners: Array, n_tokens: Array, n_pieces: Array) -> Alignment:
    """Compute the links from several ranges of tokens for each wordpiece; see `_links`.

    ranges (int32, (n_ranges, 2)): First and last token (exclusive) of each range.
    owners (int32, (n_ranges,)): The wordpiece of each range, ascending.
    n_tokens, n_pieces (int32, (n_docs,)): Number of tokens and of wordpieces of each Doc.
    RETURNS (Alignment): The links.
    """
    lengths = numpy.zeros(int(n_tokens.sum()), dtype="int32")
    rows = numpy.empty(count_links(ranges, lengths), dtype="int32")
    first_rows = numpy.cumsum(n_pieces, dtype="int32") - n_pieces
    # The kernel writes the index of the range minus the shift: the owner's row in its Doc.
    shift = numpy.arange(len(owners), dtype="int32") - owners
    shift += numpy.repeat(first_rows, n_pieces)[owners]
    cursors = numpy.cumsum(lengths, dtype="int32") - lengths
    fill_links(ranges, shift, cursors, rows, numpy.empty_like(rows))
    shares = numpy.bincount(owners, ranges[:, 1] - ranges[:, 0]).astype("int32")
    doc_rows = numpy.repeat(numpy.repeat(first_rows, n_tokens), lengths)
    weights = share_weights(shares[rows + doc_rows])
    return Alignment(rows=rows, lengths=lengths, weights=weights, n_tokens=n_tokens)


def _sources(pieces: Wordpieces) -> Array:
    """Return the characters of the text of each input; for a window, of the whole text."""
    return pieces.spans if pieces.runs is None else pieces.runs.text_spans


def _links(ranges: Array, n_tokens: Array, n_pieces: Array) -> Alignment:
    """Compute the links from one range of tokens for each wordpiece.

    ranges (int32, (n_wp, 2)): First and last token (exclusive) of each wordpiece.
    n_tokens, n_pieces (int32, (n_docs,)): Number of tokens and of wordpieces of each Doc.
    RETURNS (Alignment): The links.
    """
    lengths = numpy.zeros(int(n_tokens.sum()), dtype="int32")
    total = count_links(ranges, lengths)
    rows = numpy.empty(total, dtype="int32")
    shares = numpy.empty(total, dtype="int32")
    cursors = numpy.cumsum(lengths, dtype="int32") - lengths
    first_row = numpy.repeat(numpy.cumsum(n_pieces, dtype="int32") - n_pieces, n_pieces)
    fill_links(ranges, first_row, cursors, rows, shares)
    return Alignment(rows=rows, lengths=lengths, weights=share_weights(shares), n_tokens=n_tokens)


def attach_boundary(ranges: Array, covered: Array, lengths: Array, boundary: Array) -> None:
    """Link each boundary piece to every token of its input, in place.

    ranges (int32, (n_wp, 2)): First and last token (exclusive) of each wordpiece; changed.
    covered (int32, (n_inputs, 2)): First and last token (exclusive) of each input.
    lengths (int32, (n_inputs,)): Number of wordpieces of each input.
    boundary (bool, (n_wp,)): Whether each wordpiece is a boundary piece.
    """
    ranges[boundary] = numpy.repeat(covered, lengths, axis=0)[boundary]


def share_weights(shares: Array, dtype: str = "float32") -> Array:
    """Compute weights that divide each wordpiece evenly between the tokens linked to it.

    The weights of one wordpiece sum to one, so the sum of all token rows equals the sum of all
    wordpiece rows.

    shares (int32, (n_links,)): Number of tokens linked to the wordpiece of each link.
    dtype (str): The type of the weights.
    RETURNS (float32, (n_links,)): 1 / shares.
    """
    return numpy.reciprocal(shares, dtype=dtype)
