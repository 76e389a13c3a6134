"""The overlap of heads, compared with the formula written as loops."""

from __future__ import annotations

from math import sqrt

import numpy
import pytest
from spacy.tokens import Doc
from tiny import HEADS, LAYERS

from trf_bridge.cli.pipelines import run_over
from trf_bridge.pictures.attention import read_attention
from trf_bridge.pictures.head_overlap import compare_attention, mean_attention, mean_best

TEXT = "Apple shares rose unhappily. The apples in Straße sleep."


@pytest.fixture
def docs(pipeline):
    one = pipeline("bert", output_attentions=True)(TEXT)
    return one, run_over(pipeline("roberta", output_attentions=True), one)


def dense(doc, layer, head, boundary):
    """Write the attention of a head between all tokens of a Doc, zero between texts."""
    matrix = [[0.0] * len(doc) for _ in doc]
    for text in read_attention(doc):
        tokens = text.by_token(boundary=boundary)[layer, head]
        for i, query in enumerate(text.tokens):
            for j, key in enumerate(text.tokens):
                matrix[query][key] = float(tokens[i, j])
    return matrix


def overlap(one, two):
    """Compute the mean Bhattacharyya coefficient of the rows that both matrices have."""
    coefficients = [
        sum(sqrt(a * b) for a, b in zip(row, other, strict=True))
        for row, other in zip(one, two, strict=True)
        if sum(row) and sum(other)
    ]
    return sum(coefficients) / len(coefficients)


@pytest.mark.parametrize("boundary", [True, False])
def test_overlap_follows_the_formula_of_the_docstring(docs, boundary):
    comparison = compare_attention(*docs, boundary=boundary)
    assert comparison.overlap.shape == (LAYERS, HEADS, LAYERS, HEADS)
    assert comparison.n_tokens == len(docs[0])
    for layer, head, other_layer, other_head in numpy.ndindex(comparison.overlap.shape):
        expected = overlap(
            dense(docs[0], layer, head, boundary), dense(docs[1], other_layer, other_head, boundary)
        )
        got = comparison.overlap[layer, head, other_layer, other_head]
        assert got == pytest.approx(expected, abs=1e-5)


def test_docs_with_different_sentences_are_compared_over_all_tokens(pipeline):
    one = pipeline("bert", output_attentions=True)(TEXT)
    two = pipeline("roberta", output_attentions=True, sentences="doc")(TEXT)
    assert len(read_attention(one)) == 2
    assert len(read_attention(two)) == 1
    comparison = compare_attention(one, two)
    expected = overlap(dense(one, 1, 0, False), dense(two, 0, 1, False))
    assert comparison.overlap[1, 0, 0, 1] == pytest.approx(expected, abs=1e-5)


def test_a_transformer_overlaps_fully_with_itself(docs):
    comparison = compare_attention(docs[0], docs[0])
    for match in comparison.matches():
        assert match.overlap == pytest.approx(1.0, abs=1e-5)
        # The heads of the tiny model are so alike that rounding can make another head the best.
        own = comparison.overlap[match.layer, match.head, match.layer, match.head]
        assert own == pytest.approx(1.0, abs=1e-5)
    assert mean_best(comparison) == pytest.approx(1.0, abs=1e-5)


def test_matches_and_layer_means(docs):
    comparison = compare_attention(*docs)
    matches = comparison.matches()
    places = [(match.layer, match.head) for match in matches]
    assert places == list(numpy.ndindex(LAYERS, HEADS))
    for match in matches:
        others = comparison.overlap[match.layer, match.head]
        assert others[match.other_layer, match.other_head] == others.max() == match.overlap
    for layer, other in numpy.ndindex(LAYERS, LAYERS):
        best = [comparison.overlap[layer, head, other].max() for head in range(HEADS)]
        assert comparison.layers()[layer, other] == pytest.approx(sum(best) / HEADS, abs=1e-6)
    transposed = comparison.transposed()
    assert transposed.overlap[1, 0, 0, 1] == comparison.overlap[0, 1, 1, 0]
    swapped = compare_attention(docs[1], docs[0])
    numpy.testing.assert_allclose(transposed.overlap, swapped.overlap, atol=1e-6)


def test_mean_attention_averages_layers_and_heads(docs):
    heads = [dense(docs[0], *place, False) for place in numpy.ndindex(LAYERS, HEADS)]
    expected = numpy.mean(heads, axis=0)
    numpy.testing.assert_allclose(mean_attention(docs[0]), expected, atol=1e-6)


def test_pipelines_process_the_same_tokens_and_sentences(docs):
    one, two = docs
    assert [token.text for token in one] == [token.text for token in two]
    assert one.text == two.text
    assert [s.start for s in one.sents] == [s.start for s in two.sents]
    assert two.vocab is not one.vocab


def test_docs_with_different_tokens_are_refused(docs):
    other = Doc(docs[0].vocab, words=["A", "man"])
    with pytest.raises(ValueError, match=r"TB056.*11 tokens.*of 2"):
        compare_attention(docs[0], other)


def test_empty_docs_have_no_overlap(pipeline):
    doc = pipeline("bert", output_attentions=True)("")
    comparison = compare_attention(doc, doc)
    assert comparison.n_tokens == 0
    assert comparison.matches() == []
    assert mean_best(comparison) == 0.0
