"""Docs that hold a pair of texts, and checks of their wordpieces and alignment."""

from __future__ import annotations

import numpy
import oracles
import spacy
from spacy.tokens import Doc
from torch_oracle import PlainTransformer

from trf_bridge.align import apply_alignment
from trf_bridge.pipes.doc.records import get_alignment, get_wordpieces
from trf_bridge.pipes.wordpiecer import TrfWordpiecer
from trf_bridge.wrappers.tokenizers.tokenizer import WordpieceTokenizer

SEP = "|||"
FIRST = "A man. The tide!"
SECOND = "Is it? It isn't 👍🏽 in Straße."
TEXT = f"{FIRST} {SEP} {SECOND}"
LONG = f"{FIRST * 3} {SEP} {SECOND * 4}"
MIXED = [TEXT, "No separator. Two sentences.", f"a {SEP} b", f"{SECOND} {SEP} {FIRST}", ""]


def build_pair(nlp, first, second):
    """Build a Doc of two texts and a separator, and return it with the separator's index.

    It is built from tokens, because arbitrary texts may be tokenized differently when joined.
    """
    parts = [nlp.make_doc(text.replace(SEP, "")) for text in (first, second)]
    words, spaces = [], []
    for part in parts:
        words += [token.text for token in part] + [SEP]
        spaces += [bool(token.whitespace_) for token in part] + [True]
    words, spaces = words[:-1], spaces[:-1]
    if len(parts[0]):
        spaces[len(parts[0]) - 1] = True
    doc = Doc(nlp.vocab, words=words, spaces=spaces)
    doc._.trf_separator = SEP
    return doc, len(parts[0])


def make_wordpiecer(plain, vocab, *, max_length=None, overflow="truncate", stride=0, **options):
    wordpiecer = TrfWordpiecer(vocab, **options)
    wordpiecer._tokenizer = WordpieceTokenizer(
        plain, max_length=max_length, overflow=overflow, stride=stride
    )
    return wordpiecer


def check_pair(doc, pair):
    """Check that the wordpieces and the alignment equal the oracle's."""
    pieces, alignment = get_wordpieces(doc), get_alignment(doc)
    assert pieces.ids.tolist() == pair.ids
    assert (None if pieces.type_ids is None else pieces.type_ids.tolist()) == pair.type_ids
    assert pieces.lengths.tolist() == ([len(pair.ids)] if pair.ids else [])
    assert pieces.boundary.tolist() == [side is None for side in pair.sides]
    content = ~pieces.boundary
    expected = [
        offset for offset, side in zip(pair.offsets, pair.sides, strict=True) if side in (0, 1)
    ]
    assert [tuple(offset) for offset in pieces.offsets[content].tolist()] == expected
    assert alignment.tolist() == oracles.align_pair(doc, pair)
    check_pair_sums(doc)


def check_pair_sums(doc):
    """Check that every wordpiece is linked, that sums are preserved, and the transpose."""
    alignment, n = get_alignment(doc), len(get_wordpieces(doc))
    assert set(alignment.rows.tolist()) == set(range(n))
    rng = numpy.random.default_rng(0)
    x, y = rng.normal(size=(n, 3)), rng.normal(size=(len(doc), 3))
    (rows,), backprop = apply_alignment(spacy.util.get_current_ops(), alignment, [x])
    (d_x,) = backprop([y])
    numpy.testing.assert_allclose(rows.sum(axis=0), x.sum(axis=0), rtol=1e-5, atol=1e-5)
    numpy.testing.assert_allclose((rows * y).sum(), (x * d_x).sum(), rtol=1e-12, atol=1e-12)


class PlainPairs(PlainTransformer):
    """Encode a Doc with a separator as a pair, with transformers alone."""

    def sentences(self, doc):
        separators = [token.i for token in doc if token.text == SEP]
        if not separators:
            return super().sentences(doc)
        return [oracles.plain_pair(doc, separators[0], self.tokenizer, self.max_length)]
