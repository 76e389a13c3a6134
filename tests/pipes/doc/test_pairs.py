"""Docs that hold a pair of texts: outputs, separators, Spans, serialization."""

from __future__ import annotations

import pickle

import numpy
import oracles
import pytest
import torch
from pair_checks import FIRST, MIXED, SECOND, SEP, TEXT, PlainPairs, check_pair_sums
from spacy.tokens import Doc, DocBin

from trf_bridge.align import align
from trf_bridge.pipes.doc.pairs import find_pair
from trf_bridge.pipes.doc.records import get_wordpieces, token_spans
from trf_bridge.pipes.wordpiecer import TrfWordpiecer

# Outputs


def test_outputs_equal_plain_transformers(family, pipeline, checkpoint):
    nlp = pipeline(family, separator=SEP)
    plain = PlainPairs(family, checkpoint(family))
    plain.model.eval()
    for doc in nlp.pipe(MIXED):
        with torch.no_grad():
            runs = plain.run(doc)
        assert len(get_wordpieces(doc).lengths) == len(runs)
        if not runs:
            continue
        expected = torch.cat([run.last_hidden_state[0] for run in runs]).numpy()
        numpy.testing.assert_allclose(doc._.trf_last_hidden_state, expected, atol=1e-5, rtol=1e-5)
        if doc._.trf_pooler_output is not None:
            pooled = torch.cat([run.pooler_output for run in runs]).numpy()
            numpy.testing.assert_allclose(doc._.trf_pooler_output, pooled, atol=1e-5, rtol=1e-5)
    doc = nlp(TEXT)
    links = oracles.align_pair(doc, plain.sentences(doc)[0])
    expected = oracles.weighted_sum(links, doc._.trf_last_hidden_state)
    numpy.testing.assert_allclose(doc.tensor, expected, atol=1e-5, rtol=1e-5)


def test_results_do_not_depend_on_the_batch(family, pipeline):
    nlp = pipeline(family, separator=SEP)
    in_one_batch = list(nlp.pipe(MIXED * 3))
    alone = [nlp(text) for text in MIXED] * 3
    in_twos = list(nlp.pipe(MIXED * 3, batch_size=2))
    for doc, doc_alone, doc_in_two in zip(in_one_batch, alone, in_twos, strict=True):
        assert doc._.trf_alignment == doc_alone._.trf_alignment == doc_in_two._.trf_alignment
        numpy.testing.assert_allclose(doc.tensor, doc_alone.tensor, atol=1e-5, rtol=1e-5)
        numpy.testing.assert_allclose(doc.tensor, doc_in_two.tensor, atol=1e-5, rtol=1e-5)


def test_row_of_the_separator_is_its_share_of_the_boundary_pieces(pipeline):
    doc = pipeline("bert", separator=SEP)(TEXT)
    (at,) = [token.i for token in doc if token.text == SEP]
    hidden, boundary = doc._.trf_last_hidden_state, doc._.trf_boundary
    expected = hidden[boundary].sum(axis=0) / len(doc)
    numpy.testing.assert_allclose(doc.tensor[at], expected, atol=1e-5)
    assert boundary.sum() == 3
    assert doc[at]._.trf_alignment == numpy.flatnonzero(boundary).tolist()


# Separators and Spans


def test_separator_of_the_doc_overrides_that_of_the_pipeline(pipeline):
    nlp = pipeline("bert", separator=SEP)

    def split(text, separator=None):
        doc = nlp.make_doc(text)
        doc._.trf_separator = separator
        doc = nlp(doc)
        return [span.text for span in doc._.trf_segments], len(get_wordpieces(doc).lengths)

    assert split("One. Two ||| three.") == (["One. Two", "three."], 1)
    assert split("One || two ||| three.", "||") == (["One", "two ||| three."], 1)
    assert split("One. Two ||| three.", "") == (["One.", "Two ||| three."], 2)
    assert split("One. Two.") == (["One.", "Two."], 2)
    assert split("One ||| two ||| three.") == (["One", "two ||| three."], 1)
    assert split("One\ttwo.", "\t") == (["One", "two."], 1)
    assert split("||| two.") == (["", "two."], 1)
    assert split("One. |||") == (["One.", ""], 1)


def test_no_separator_by_default(pipeline):
    nlp = pipeline("bert")
    assert nlp.make_doc("a")._.trf_separator is None
    doc = nlp(TEXT)
    assert doc._.trf_separator is None
    assert [s.text for s in doc._.trf_segments] == [s.text for s in doc.sents]


def test_pair_is_split_at_the_first_separator(pipeline):
    doc = pipeline("bert").make_doc("  a |||  b ||| c ")
    pair = find_pair(doc, token_spans(doc), SEP)
    assert pair.texts == (doc[:2].text, doc[3:].text)
    assert doc.text[slice(*pair.separator)] == SEP
    assert find_pair(doc, token_spans(doc), "d") is None
    empty = doc[:0].as_doc()
    assert find_pair(empty, token_spans(empty), SEP) is None


def test_separator_that_is_not_a_token_warns(pipeline):
    nlp = pipeline("bert", separator="[SEP]")
    with pytest.warns(UserWarning, match=r"\[TB106\] The separator of 2 Docs is in their text"):
        docs = list(nlp.pipe(["a [SEP] b", "c", "a[SEP]b"]))
    assert all(get_wordpieces(doc).segments is None for doc in docs)


@pytest.mark.parametrize(("separator", "error"), [("", ValueError), (5, TypeError)])
def test_invalid_separators_are_rejected(pipeline, separator, error):
    with pytest.raises(error, match=r"\[TB037\] Expected the text of a token.* for separator, got"):
        TrfWordpiecer(pipeline("bert").vocab, separator=separator)


def test_invalid_separator_of_a_doc_is_rejected(pipeline):
    doc = pipeline("bert").make_doc("a")
    doc._.trf_separator = 5
    with pytest.raises(TypeError, match=r"\[TB037\] .* for doc\._\.trf_separator, got 5 \(int\)"):
        pipeline("bert")(doc)


def test_spans_of_a_pair(pipeline):
    doc = pipeline("bert", separator=SEP)(TEXT)
    pieces = get_wordpieces(doc)
    first, second = doc._.trf_segments
    for span, word in ((first, "a"), (second, "is")):
        assert span._.trf_word_pieces_[0] == word
        rows = slice(span._.trf_start, span._.trf_end)
        assert not pieces.boundary[rows].any()
        assert span._.trf_pooler_output.shape == (1, 16)
        numpy.testing.assert_array_equal(
            span._.trf_last_hidden_state, doc._.trf_last_hidden_state[rows]
        )
    n_content = len(first._.trf_word_pieces) + len(second._.trf_word_pieces)
    assert n_content == (~pieces.boundary).sum()


@pytest.mark.parametrize("merged", [(2, 5), (3, 5), (4, 7), (0, 12)])
def test_retokenized_pairs_keep_all_wordpieces(pipeline, merged):
    doc = pipeline("bert", separator=SEP)("A man sleeps . ||| Someone is asleep . So it is")
    before = [span.text for span in doc._.trf_segments]
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[slice(*merged)])
    check_pair_sums(doc)
    assert all(doc._.trf_alignment)
    assert len(doc._.trf_segments) == len(before)


def test_pairs_and_other_docs_are_aligned_in_one_batch(pipeline):
    docs = list(pipeline("bert", separator=SEP).pipe(MIXED))
    in_one_batch = align(
        [doc.text for doc in docs],
        [token_spans(doc) for doc in docs],
        [get_wordpieces(doc) for doc in docs],
    ).split()
    for doc, alignment in zip(docs, in_one_batch, strict=True):
        alone = align([doc.text], [token_spans(doc)], [get_wordpieces(doc)])
        assert alignment.tolist() == alone.tolist()
        assert alignment.weights.tolist() == alone.weights.tolist()


# Serialization


def assert_same_pair(doc, got):
    pieces, got_pieces = get_wordpieces(doc), get_wordpieces(got)
    for name in ("ids", "type_ids", "offsets", "boundary", "lengths", "spans", "segments"):
        expected, array = getattr(pieces, name), getattr(got_pieces, name)
        assert expected.dtype == array.dtype
        numpy.testing.assert_array_equal(expected, array)
    assert pieces.joined == got_pieces.joined
    assert doc._.trf_separator == got._.trf_separator
    assert doc._.trf_alignment == got._.trf_alignment
    assert [s.text for s in doc._.trf_segments] == [s.text for s in got._.trf_segments]


@pytest.mark.filterwarnings("ignore:.*W109")
def test_pairs_are_serialized_with_their_docs(pipeline):
    nlp = pipeline("xlnet")
    doc = nlp.make_doc(TEXT)
    doc._.trf_separator = SEP
    doc = nlp(doc)
    assert get_wordpieces(doc).type_ids.max() == 2
    assert_same_pair(doc, Doc(nlp.vocab).from_bytes(doc.to_bytes()))
    assert_same_pair(doc, doc.copy())
    assert_same_pair(doc, pickle.loads(pickle.dumps(doc)))
    (restored,) = DocBin(docs=[doc], store_user_data=True).get_docs(nlp.vocab)
    assert_same_pair(doc, restored)
    numpy.testing.assert_allclose(nlp(restored).tensor, doc.tensor, atol=1e-5)


def test_separators_in_a_docbin_are_used(pipeline):
    nlp = pipeline("bert")
    doc = nlp.make_doc(TEXT)
    doc._.trf_separator = SEP
    data = DocBin(docs=[doc], store_user_data=True).to_bytes()
    (restored,) = DocBin().from_bytes(data).get_docs(nlp.vocab)
    assert restored._.trf_separator == SEP
    assert [span.text for span in nlp(restored)._.trf_segments] == [FIRST, SECOND]
