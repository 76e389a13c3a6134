"""Checks that hold for every Doc that was not truncated, with any text and any tokenizer."""

from __future__ import annotations

from typing import Any

import numpy
import oracles
import spacy

from trf_bridge.align import apply_alignment
from trf_bridge.pipes.doc.records import get_alignment, get_wordpieces

SMALL = 200  # wordpieces; larger Docs are not compared with the quadratic oracle


def check(doc: Any, tokenizer: Any) -> None:
    """Check the wordpieces, the alignment and the weighted sums of a Doc.

    doc (Doc): A Doc with wordpieces, neither windowed nor truncated.
    tokenizer (PreTrainedTokenizerBase): Its tokenizer, as transformers loads it.
    """
    pieces = get_wordpieces(doc)
    check_pieces(doc, pieces, tokenizer)
    check_links(doc, pieces)
    check_sums(doc, pieces)


def check_pieces(doc: Any, pieces: Any, tokenizer: Any) -> None:
    """Check that the wordpieces equal a plain call of the tokenizer for each sentence."""
    assert doc._.trf_word_pieces_ == tokenizer.convert_ids_to_tokens(pieces.ids.tolist())
    assert (pieces.offsets >= 0).all()
    assert (pieces.offsets <= len(doc.text)).all()
    if not tokenizer.is_fast:
        return
    sentences = oracles.plain_sentences(doc, tokenizer)
    assert pieces.ids.tolist() == [i for s in sentences for i in s.ids]
    assert pieces.boundary.tolist() == [flag for s in sentences for flag in s.boundary]
    assert pieces.offsets.tolist() == [list(span) for s in sentences for span in s.offsets]
    assert pieces.boundary.sum() == tokenizer.num_special_tokens_to_add() * len(sentences)
    if len(pieces) < SMALL:
        assert doc._.trf_alignment == oracles.align_doc(doc, sentences)


def check_links(doc: Any, pieces: Any) -> None:
    """Check the alignment character by character.

    A wordpiece is linked to every token that it shares a character with, else to the nearest one.
    """
    links = doc._.trf_alignment
    assert len(links) == len(doc)
    linked = [set() for _ in range(len(pieces))]
    for token, rows in enumerate(links):
        assert rows == sorted(set(rows))
        assert all(0 <= row < len(pieces) for row in rows)
        for row in rows:
            linked[row].add(token)
    owners = {token.idx + i: token.i for token in doc for i in range(len(token))}
    offsets, boundary = pieces.offsets.tolist(), pieces.boundary.tolist()
    start = 0
    for n, (first, last) in zip(pieces.lengths.tolist(), pieces.spans.tolist(), strict=True):
        own = {owners[place] for place in range(first, last) if place in owners}
        assert own
        for row in range(start, start + n):
            places = places_of(doc.text, offsets[row])
            sharing = {owners[place] for place in places if place in owners}
            assert linked[row] == (own if boundary[row] else sharing or nearest(doc, places, own))
        start += n
    assert start == len(pieces)


def places_of(text: str, offsets: list[int]) -> range:
    """Return the characters of a wordpiece, trimmed of white space unless it holds nothing else."""
    visible = [place for place in range(*offsets) if not text[place].isspace()]
    return range(visible[0], visible[-1] + 1) if visible else range(*offsets)


def nearest(doc: Any, places: range, own: set[int]) -> set[int]:
    """Return the token with the fewest characters in between, the following one on a tie."""

    def characters_between(token: Any) -> int:
        start, end = token.idx, token.idx + len(token)
        return max(start - places.stop, places.start - end, 0)

    return {max(own, key=lambda i: (-characters_between(doc[i]), i))}


def check_sums(doc: Any, pieces: Any) -> None:
    """Check that the token rows sum to the wordpiece rows, and that backward is the transpose."""
    links, n = doc._.trf_alignment, len(pieces)
    rng = numpy.random.default_rng(0)
    x, y = rng.normal(size=(n, 3)), rng.normal(size=(len(doc), 3))
    ops = spacy.util.get_current_ops()
    (rows,), backprop = apply_alignment(ops, get_alignment(doc), [x])
    (d_x,) = backprop([y])
    assert rows.shape == y.shape
    assert d_x.shape == x.shape
    assert numpy.isfinite(rows).all()
    assert numpy.isfinite(d_x).all()
    # A wordpiece is weighted by 1 / s in float32 for each of its s tokens: their sum is rounded.
    numpy.testing.assert_allclose(rows.sum(axis=0), x.sum(axis=0), atol=1e-7 * (1 + abs(x).sum()))
    numpy.testing.assert_allclose((rows * y).sum(), (x * d_x).sum(), rtol=1e-10, atol=1e-10)
    if n < SMALL:
        terms = oracles.weighted_sum(links, abs(x)).max(initial=1)
        expected = oracles.weighted_sum(links, x)
        numpy.testing.assert_allclose(rows, expected, atol=1e-6 * terms, rtol=0)
        expected = oracles.transposed_sum(links, y, n)
        numpy.testing.assert_allclose(d_x, expected, atol=1e-6 * abs(y).max(initial=1), rtol=0)
