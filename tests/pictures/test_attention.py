"""Attention converted to tokens, compared with the formula written as loops."""

from __future__ import annotations

import numpy
import pytest
from builders import windows_of
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc
from tiny import HEADS, LAYERS

from trf_bridge.pictures.attention import join_windows, read_attention, to_tokens
from trf_bridge.pictures.token_links import group_windows
from trf_bridge.pipes.doc.records import get_wordpieces

TEXT = "Apple shares rose unhappily. Don't the apples in Straße isn't 👍🏽 sleep?"
LONG = "A man sleeps in the house and the tide isn't rising for Apple shares " * 4


def token_attention(pieces, links):
    """Compute the three lines of the formula entry by entry."""
    n_tokens, n_pieces = len(links), len(pieces)
    result = [[0.0] * n_tokens for _ in range(n_tokens)]
    for i in range(n_tokens):
        own = sum(links[i])
        for m in range(n_tokens):
            for j in range(n_pieces):
                for k in range(n_pieces):
                    if own:
                        result[i][m] += links[i][j] / own * pieces[j][k] * links[m][k]
        total = sum(result[i])
        result[i] = [value / total if total else 0.0 for value in result[i]]
    return numpy.asarray(result, dtype="float64").reshape(n_tokens, n_tokens)


def links_of(doc, tokens, rows, boundary):
    """Compute 1 / (tokens that share the wordpiece) from the attributes of the Doc."""
    alignment = doc._.trf_alignment
    n_tokens = [sum(row in linked for linked in alignment) for row in range(rows.stop)]
    excluded = [not boundary and bool(is_boundary) for is_boundary in doc._.trf_boundary]
    return [
        [1 / n_tokens[row] if row in alignment[i] and not excluded[row] else 0.0 for row in rows]
        for i in tokens
    ]


@st.composite
def problems(draw):
    n_tokens, n_pieces = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    linked = draw(
        st.lists(
            st.lists(st.booleans(), min_size=n_pieces, max_size=n_pieces),
            min_size=n_tokens,
            max_size=n_tokens,
        )
    )
    for piece in range(n_pieces):  # link every wordpiece to some token
        linked[draw(st.integers(0, n_tokens - 1))][piece] = True
    weights = numpy.asarray(linked, dtype="float64")
    weights /= weights.sum(axis=0)
    raw = numpy.random.default_rng(draw(st.integers(0, 99))).random((n_pieces, n_pieces)) + 0.01
    return raw / raw.sum(axis=1, keepdims=True), weights


@given(problems())
def test_conversion_follows_the_formula_of_the_docstring(problem):
    pieces, links = problem
    tokens = to_tokens(pieces[None, None], links)[0, 0]
    numpy.testing.assert_allclose(tokens, token_attention(pieces, links), atol=1e-5)
    has_pieces = links.sum(axis=1) > 0
    numpy.testing.assert_allclose(tokens.sum(axis=1), has_pieces.astype(float), atol=1e-5)
    # Tokens receive as much attention in total as they pay: none is lost.
    assert tokens.sum() == pytest.approx(has_pieces.sum(), abs=1e-5)


def test_attention_is_unchanged_with_one_wordpiece_per_token():
    pieces = numpy.random.default_rng(0).dirichlet(numpy.ones(7), size=(2, 3, 7))
    numpy.testing.assert_allclose(to_tokens(pieces, numpy.eye(7)), pieces, atol=1e-6)


def test_attention_to_a_split_word_is_summed_and_attention_from_it_averaged():
    pieces = numpy.asarray([[0.2, 0.3, 0.5], [0.6, 0.2, 0.2], [0.1, 0.1, 0.8]])
    links = numpy.asarray([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])  # the first token is two wordpieces
    expected = [[(0.5 + 0.8) / 2, (0.5 + 0.2) / 2], [0.2, 0.8]]
    numpy.testing.assert_allclose(to_tokens(pieces, links), expected, atol=1e-6)


@pytest.mark.parametrize("boundary", [True, False])
def test_attention_of_a_doc(pipeline, family, boundary):
    doc = pipeline(family, output_attentions=True)(TEXT)
    stored = doc._.trf_all_attentions
    texts = read_attention(doc)
    assert len(texts) == len(stored) == len(list(doc.sents)) == 2
    for text, plain, sent in zip(texts, stored, doc.sents, strict=True):
        assert text.tokens == range(sent.start, sent.end)
        assert numpy.array_equal(text.by_piece, plain)
        assert text.layers == list(range(LAYERS))
        assert text.heads == list(range(HEADS))
        tokens = text.by_token(boundary=boundary)
        links = links_of(doc, text.tokens, text.rows, boundary)
        expected = token_attention(plain[1, 0].tolist(), links)
        numpy.testing.assert_allclose(tokens[1, 0], expected, atol=1e-5)
        sums = numpy.broadcast_to(numpy.asarray(links).sum(axis=1) > 0, tokens.shape[:3])
        numpy.testing.assert_allclose(tokens.sum(axis=3), sums, atol=1e-5)
    assert [text.rows.start for text in texts] == [0, texts[0].rows.stop]
    assert texts[-1].rows.stop == len(doc._.trf_word_pieces)


def test_layers_and_heads_can_be_selected(pipeline):
    doc = pipeline("bert", output_attentions=True)(TEXT)
    all_heads = read_attention(doc)
    for text, part in zip(all_heads, read_attention(doc, layers=[1], heads=[1, 0]), strict=True):
        assert (part.layers, part.heads) == ([1], [1, 0])
        assert numpy.array_equal(part.by_piece, text.by_piece[1:, ::-1])


@pytest.mark.parametrize("selection", [{"layers": [LAYERS]}, {"heads": [-1]}, {"layers": [0.5]}])
def test_missing_layers_and_heads_are_refused(pipeline, selection):
    doc = pipeline("bert", output_attentions=True)(TEXT)
    with pytest.raises(ValueError, match=r"TB025.*layers|TB025.*heads"):
        read_attention(doc, **selection)


def test_spans_return_the_texts_that_they_overlap(pipeline):
    doc = pipeline("bert", output_attentions=True)(TEXT)
    first, second = read_attention(doc)
    assert [text.tokens for text in read_attention(doc[0:2])] == [first.tokens]
    both = read_attention(doc[second.tokens.start - 1 : second.tokens.start + 1])
    assert [text.tokens for text in both] == [first.tokens, second.tokens]
    assert read_attention(doc[2:2]) == []


@pytest.mark.parametrize("window_rows", ["most_context", "mean"])
def test_windows_of_a_text_are_joined(pipeline, window_rows):
    settings = {"overflow": "window", "max_length": 16, "stride": 4, "window_rows": window_rows}
    doc = pipeline("bert", output_attentions=True, **settings)(f"One. {LONG}. Two.")
    wordpieces = get_wordpieces(doc)
    own, runs = windows_of(type("Encoded", (), {"wordpieces": wordpieces}))
    groups = group_windows(wordpieces)
    assert len(groups) == 3
    assert len(groups[1]) > 2
    stored = doc._.trf_all_attentions
    text = read_attention(doc)[1]
    expected = numpy.zeros((len(wordpieces), len(wordpieces)))
    for row in text.rows:
        readers = [i for i in groups[1] if row in (runs if window_rows == "mean" else own)[i]]
        for i in readers:
            run = list(runs[i])
            expected[row, run] += stored[i][1, 1, run.index(row)] / len(readers)
    part = slice(text.rows.start, text.rows.stop)
    numpy.testing.assert_allclose(text.by_piece[1, 1], expected[part, part], atol=1e-6)
    for boundary in (True, False):
        tokens = text.by_token(boundary=boundary)
        numpy.testing.assert_allclose(tokens.sum(axis=3), 1, atol=1e-5)


def test_attention_is_unchanged_without_windows(pipeline):
    doc = pipeline("bert", output_attentions=True)(TEXT)
    attention = doc._.trf_all_attentions[0]
    assert join_windows(get_wordpieces(doc), range(1), [attention]) is attention


def test_a_pair_is_one_text(pipeline):
    doc = pipeline("bert", output_attentions=True, separator="|||")("A man. ||| Is it?")
    (text,) = read_attention(doc)
    assert text.tokens == range(len(doc))
    numpy.testing.assert_allclose(text.by_token().sum(axis=3), 1, atol=1e-5)
    separator = [token.text for token in doc].index("|||")
    assert not text.by_token(boundary=False)[:, :, separator].any()


def test_truncated_tokens_are_in_no_text(pipeline):
    with pytest.warns(UserWarning, match="TB101"):
        doc = pipeline("bert", output_attentions=True, max_length=8)(LONG)
    (text,) = read_attention(doc)
    n_read = sum(bool(linked) for linked in doc._.trf_alignment)
    assert text.tokens == range(n_read)
    assert n_read < len(doc)


def test_an_empty_doc_has_no_attention(pipeline):
    assert read_attention(pipeline("bert", output_attentions=True)("")) == []


def test_errors_name_the_missing_data(pipeline):
    nlp = pipeline("bert")
    with pytest.raises(ValueError, match=r"TB052.*3 tokens.*wordpieces.*trf_wordpiecer"):
        read_attention(Doc(nlp.vocab, words=["a", "b", "c"]))
    with nlp.select_pipes(disable=["trf_tok2vec"]):
        without_outputs = nlp("A man.")
    with pytest.raises(ValueError, match=r"TB052.*3 tokens.*outputs.*trf_tok2vec"):
        read_attention(without_outputs)
    with pytest.raises(ValueError, match=r"TB051.*output_attentions = true in \[components"):
        read_attention(nlp("A man."))
