"""The overlap between the attention heads of two transformers on the same tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy

from .. import errors
from ..types import Array
from .attention import read_attention

if TYPE_CHECKING:
    from spacy.tokens import Doc


class Match(NamedTuple):
    """A head, and the head of the other transformer that overlaps most with it.

    layer, head, other_layer, other_head (int): Counted from 0.
    overlap (float): From 0 to 1.
    """

    layer: int
    head: int
    other_layer: int
    other_head: int
    overlap: float


@dataclass(frozen=True)
class Comparison:
    """The overlap of each head of one transformer with each head of another.

    overlap (float32, (layers, heads, other_layers, other_heads)): From 0, no common attention, to
        1, the same attention.
    n_tokens (int): The number of tokens that the overlap is a mean over.
    """

    overlap: Array
    n_tokens: int

    def matches(self) -> list[Match]:
        """Find the best match of each head.

        RETURNS (list of Match, (layers * heads,)): The matches, in order of layer and head.
        """
        _, _, _, n_heads = self.overlap.shape
        matches = []
        for layer, heads in enumerate(self.overlap):
            for head, others in enumerate(heads):
                best = int(others.argmax())
                value = float(others.flat[best])
                matches.append(Match(layer, head, best // n_heads, best % n_heads, value))
        return matches

    def layers(self) -> Array:
        """Average, for each pair of layers, the overlap of each head with its best match.

        RETURNS (float32, (layers, other_layers)): The mean over the heads of a layer of their best
            overlap with a head of the other layer.
        """
        if not self.overlap.size:  # no tokens
            return numpy.zeros(self.overlap.shape[::2], dtype="float32")
        means: Array = self.overlap.max(axis=3).mean(axis=1)
        return means

    def transposed(self) -> Comparison:
        """Swap the two transformers.

        RETURNS (Comparison): The same overlap, with the axes of the other transformer first.
        """
        return Comparison(self.overlap.transpose(2, 3, 0, 1), self.n_tokens)


def compare_attention(one: Doc, two: Doc, *, boundary: bool = False) -> Comparison:
    """Compare the attention of two transformers on the same tokens.

    The overlap of two heads with the token attentions S and T, whose rows add up to one, is the
    Bhattacharyya coefficient of their rows, averaged over the n tokens that have a row in both:

        overlap = (1 / n) sum over i, m of sqrt(S[i, m] T[i, m])

    It is 1 if both heads attend to the same tokens to the same degree, and 0 if they have no
    attended token in common.

    one, two (Doc): Docs with the same tokens and with attention stored.
    boundary (bool): Whether tokens include their share of the boundary pieces. Many heads attend
        mostly to those. Their share is spread over all tokens, which makes most heads similar.
    RETURNS (Comparison): The overlap of each pair of heads.
    RAISES (ValueError): TB051, TB052; TB056 where the tokens differ.
    """
    if [token.text for token in one] != [token.text for token in two]:
        raise ValueError(errors.TB056.format(one=len(one), two=len(two)))
    blocks, others = (_token_blocks(doc, boundary=boundary) for doc in (one, two))
    if not blocks or not others:
        return Comparison(numpy.zeros((0, 0, 0, 0), dtype="float32"), 0)
    shape, other_shape = blocks[0][1].shape[:2], others[0][1].shape[:2]
    total = numpy.zeros((numpy.prod(shape), numpy.prod(other_shape)))
    for tokens, attention in blocks:
        for other_tokens, other_attention in others:
            start = max(tokens.start, other_tokens.start)
            stop = min(tokens.stop, other_tokens.stop)
            if start < stop:  # outside of both texts, one of the factors is zero
                shared = range(start, stop)
                roots = _square_roots(attention, tokens, shared)
                total += roots @ _square_roots(other_attention, other_tokens, shared).T
    n_tokens = int((_has_row(blocks, len(one)) & _has_row(others, len(one))).sum())
    overlap = total.reshape(*shape, *other_shape)
    return Comparison((overlap / max(n_tokens, 1)).astype("float32"), n_tokens)


def mean_best(comparison: Comparison) -> float:
    """Average the overlap of each head with its best match.

    comparison (Comparison): The overlap.
    RETURNS (float): The mean over the heads of the first transformer; 0 without tokens.
    """
    matches = comparison.matches()
    return float(numpy.mean([match.overlap for match in matches])) if matches else 0.0


def mean_attention(doc: Doc, *, boundary: bool = False) -> Array:
    """Average the attention between tokens over layers and heads.

    doc (Doc): The Doc.
    boundary (bool): Whether tokens include their share of the boundary pieces.
    RETURNS (float32, (n_tokens, n_tokens)): The means; zero between tokens of different texts.
    RAISES (ValueError): TB051, TB052.
    """
    means = numpy.zeros((len(doc), len(doc)), dtype="float32")
    for tokens, attention in _token_blocks(doc, boundary=boundary):
        inside = slice(tokens.start, tokens.stop)
        means[inside, inside] = attention.mean(axis=(0, 1))
    return means


def _token_blocks(doc: Doc, *, boundary: bool) -> list[tuple[range, Array]]:
    """Return the tokens of each text and the attention between them."""
    return [(text.tokens, text.by_token(boundary=boundary)) for text in read_attention(doc)]


def _square_roots(attention: Array, tokens: range, shared: range) -> Array:
    """Return the square roots of the attention between shared tokens, a row for each head."""
    inside = slice(shared.start - tokens.start, shared.stop - tokens.start)
    roots: Array = numpy.sqrt(attention[:, :, inside, inside].astype("float64"))
    return roots.reshape(roots.shape[0] * roots.shape[1], -1)


def _has_row(blocks: list[tuple[range, Array]], n_tokens: int) -> Array:
    """Return which tokens of the Doc attend to any token, as a mask."""
    mask = numpy.zeros(n_tokens, dtype="bool")
    for tokens, attention in blocks:
        mask[tokens.start : tokens.stop] = attention.sum(axis=(0, 1, 3)) > 0
    return mask
