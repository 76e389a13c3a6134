"""Whether the heads of two transformers look at the same tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy

from .. import errors
from ..types import Array
from .attention import Attention, read_attention

if TYPE_CHECKING:
    from spacy.tokens import Doc


class Match(NamedTuple):
    """A head, and the head of the other transformer that looks most as it does.

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
    """How much each head of one transformer overlaps with each head of another.

    overlap (float32, (layers, heads, other_layers, other_heads)): From 0, nothing in common, to 1,
        the same attention.
    n_tokens (int): Tokens that it is a mean over.
    """

    overlap: Array
    n_tokens: int

    def matches(self) -> list[Match]:
        """RETURNS (list of Match, (layers * heads,)): The best match of each head, in order."""
        _, _, _, n_heads = self.overlap.shape
        found = []
        for layer, heads in enumerate(self.overlap):
            for head, others in enumerate(heads):
                best = int(others.argmax())
                value = float(others.flat[best])
                found.append(Match(layer, head, best // n_heads, best % n_heads, value))
        return found

    def layers(self) -> Array:
        """RETURNS (float32, (layers, other_layers)): For each layer of one, how well its heads are
        matched by their best ones in each layer of the other, on average."""
        if not self.overlap.size:  # no tokens
            return numpy.zeros(self.overlap.shape[::2], dtype="float32")
        means: Array = self.overlap.max(axis=3).mean(axis=1)
        return means

    def transposed(self) -> Comparison:
        """RETURNS (Comparison): The same, seen from the other transformer."""
        return Comparison(self.overlap.transpose(2, 3, 0, 1), self.n_tokens)


def compare_attention(one: Doc, two: Doc, *, boundary: bool = False) -> Comparison:
    """Compare what two transformers look at in the same tokens.

    The overlap of two heads with the token attentions S and T, both with rows that add up to one,
    is the Bhattacharyya coefficient of their rows, as a mean over the n tokens that have a row in
    both:

        overlap = (1 / n) sum over i, m of sqrt(S[i, m] T[i, m])

    It is 1 where both look at the same tokens to the same degree, and 0 where one looks only at
    what the other doesn't.

    one, two (Doc): Docs with the same tokens and with attentions.
    boundary (bool): Whether tokens have their share of the boundary pieces. Many heads look mostly
        there; with their share spread over all tokens, most heads seem alike.
    RETURNS (Comparison): The overlap of every head with every other.
    RAISES (ValueError): TB051, TB052; TB056 where the tokens differ.
    """
    if [token.text for token in one] != [token.text for token in two]:
        raise ValueError(errors.TB056.format(one=len(one), two=len(two)))
    blocks = [_token_blocks(doc, boundary=boundary) for doc in (one, two)]
    if not all(blocks):
        return Comparison(numpy.zeros((0, 0, 0, 0), dtype="float32"), 0)
    total: Array | float = 0.0
    rows = [numpy.zeros(len(one), dtype="bool") for _ in blocks]
    for here, tokens in blocks[0]:
        for there, others in blocks[1]:
            # Outside of both texts one of the factors is zero.
            shared = range(max(here.start, there.start), min(here.stop, there.stop))
            if len(shared):
                total = total + _flat(tokens, here, shared) @ _flat(others, there, shared).T
    for seen, found in zip(rows, blocks, strict=True):
        for where, tokens in found:
            seen[where.start : where.stop] = tokens.sum(axis=(0, 1, 3)) > 0
    n_tokens = int((rows[0] & rows[1]).sum())
    shape = (*blocks[0][0][1].shape[:2], *blocks[1][0][1].shape[:2])
    overlap = numpy.zeros(shape) + numpy.reshape(total, shape if numpy.ndim(total) else ())
    return Comparison((overlap / max(n_tokens, 1)).astype("float32"), n_tokens)


def mean_best(comparison: Comparison) -> float:
    """RETURNS (float): How well a head of one is matched in the other, as a mean over heads."""
    matches: Sequence[Match] = comparison.matches()
    return float(numpy.mean([match.overlap for match in matches])) if matches else 0.0


def mean_attention(doc: Doc, *, boundary: bool = False) -> Array:
    """Average what each token looks at over layers and heads.

    doc (Doc): The Doc.
    boundary (bool): Whether tokens have their share of the boundary pieces.
    RETURNS (float32, (n_tokens, n_tokens)): Zeros between tokens of different texts.
    RAISES (ValueError): TB051, TB052.
    """
    means = numpy.zeros((len(doc), len(doc)), dtype="float32")
    for where, tokens in _token_blocks(doc, boundary=boundary):
        part = slice(where.start, where.stop)
        means[part, part] = tokens.mean(axis=(0, 1))
    return means


def _token_blocks(doc: Doc, *, boundary: bool) -> list[tuple[range, Array]]:
    found: list[Attention] = read_attention(doc)
    return [(text.tokens, text.by_token(boundary=boundary)) for text in found]


def _flat(tokens: Array, where: range, shared: range) -> Array:
    """Square roots of what the shared tokens pay each other, a row for each head."""
    part = slice(shared.start - where.start, shared.stop - where.start)
    roots: Array = numpy.sqrt(tokens[:, :, part, part].astype("float64"))
    return roots.reshape(roots.shape[0] * roots.shape[1], -1)
