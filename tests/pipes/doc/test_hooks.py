"""Vectors and similarity are computed from `doc.tensor`."""

from __future__ import annotations

import gc
import pickle
import weakref

import numpy
import oracles
import pytest
from spacy.tokens import Doc, DocBin
from tiny import WIDTH

from trf_bridge import Tok2VecListener, install_hooks


def cosine(a, b):
    return float(a @ b / (numpy.linalg.norm(a) * numpy.linalg.norm(b)))


@pytest.fixture
def doc(pipeline):
    return pipeline("bert")("Apple shares rose on the news. Apple pie is delicious.")


def test_vectors_are_means_of_rows(doc):
    numpy.testing.assert_allclose(doc.vector, doc.tensor.mean(axis=0), atol=1e-6)
    numpy.testing.assert_allclose(doc[2:5].vector, doc.tensor[2:5].mean(axis=0), atol=1e-6)
    assert numpy.array_equal(doc[3].vector, doc.tensor[3])


def test_vector_norm_equals_the_norm_of_the_vector(doc):
    for obj in (doc, doc[2:5], doc[3]):
        assert obj.vector_norm == pytest.approx(numpy.linalg.norm(obj.vector), rel=1e-5)
        assert obj.has_vector is True


def test_similarity_is_the_cosine(doc, pipeline):
    other = pipeline("bert")("Bake it at 180 degrees.")
    objects = [doc, doc[2:5], doc[0], other, other[1:3], other[4]]
    for a in objects:
        for b in objects:
            expected = cosine(a.vector, b.vector)
            assert a.similarity(b) == pytest.approx(expected, abs=1e-5)
            assert isinstance(a.similarity(b), float)


def test_vector_of_a_token_depends_on_its_sentence(doc):
    assert doc[0].text == doc[7].text == "Apple"
    assert doc[0].similarity(doc[7]) < 0.999
    assert doc[0].similarity(doc[0]) == pytest.approx(1.0, abs=1e-6)


def test_empty_docs_and_spans_have_zero_vectors(pipeline):
    empty = pipeline("bert")("")
    assert empty.vector.shape == (WIDTH,)
    assert not empty.vector.any()
    assert empty.vector_norm == 0.0
    assert not empty.has_vector
    doc = pipeline("bert")("One.")
    assert not doc[1:1].vector.any()
    assert doc.similarity(empty) == empty.similarity(doc) == 0.0


@pytest.mark.filterwarnings("ignore:.*TB101")
def test_truncated_tokens_have_zero_similarity(pipeline):
    doc = pipeline("bert")("cat " * 200)
    assert doc[-1].similarity(doc[0]) == 0.0
    assert doc[-1].vector_norm == 0.0


def test_vectors_of_different_widths_are_rejected(doc):
    other = Doc(doc.vocab, words=["a"])
    other.tensor = numpy.ones((1, WIDTH + 1), dtype="float32")
    install_hooks(other)
    for a, b in [(doc, other), (doc[0], other[0]), (other[0:1], doc[0:1])]:
        with pytest.raises(ValueError, match=r"\[TB017\] .*\d+"):
            a.similarity(b)


@pytest.mark.filterwarnings("ignore:.*W109")
def test_hooks_can_be_installed_on_a_loaded_doc(doc):
    loaded = Doc(doc.vocab).from_bytes(doc.to_bytes())
    install_hooks(loaded)
    assert numpy.array_equal(loaded.vector, doc.vector)
    assert loaded.similarity(doc) == pytest.approx(1.0, abs=1e-6)


def test_hooks_of_a_doc_without_a_tensor(doc):
    blank = Doc(doc.vocab, words=["a"])
    install_hooks(blank)
    assert not blank.has_vector
    assert not blank[0].has_vector
    assert blank.vector.shape == (0,)


def test_other_hooks_are_kept(pipeline):
    nlp = pipeline("bert")
    doc = nlp.make_doc("a b")
    doc.user_hooks["sentiment"] = len
    for name in ("trf_wordpiecer", "trf_tok2vec"):
        doc = nlp.get_pipe(name)(doc)
    assert doc.user_hooks["sentiment"] is len


@pytest.fixture
def expected_rows(pipeline, checkpoint):
    """Return a function that computes the rows of changed tokens, with the slow alignment."""
    tokenizer = oracles.load_plain_tokenizer(checkpoint("bert"))

    def compute(doc):
        sentences = oracles.plain_sentences(pipeline("bert")(doc.text), tokenizer)
        links = oracles.align_doc(doc, sentences)
        return oracles.weighted_sum(links, doc._.trf_last_hidden_state)

    return compute


def assert_vectors_fit(doc, expected):
    for token, row in zip(doc, expected, strict=True):
        numpy.testing.assert_allclose(token.vector, row, atol=1e-5)
    numpy.testing.assert_allclose(doc.vector, expected.mean(axis=0), atol=1e-5)
    numpy.testing.assert_allclose(doc[1:3].vector, expected[1:3].mean(axis=0), atol=1e-5)
    numpy.testing.assert_allclose(doc.tensor, expected, atol=1e-5)


def merge(doc):
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[0:2])
        retokenizer.merge(doc[8:10])


def split(doc):
    with doc.retokenize() as retokenizer:
        retokenizer.split(doc[1], ["sha", "res"], heads=[(doc[1], 1), doc[2]])


def both(doc):
    """As many tokens as before, but others."""
    split(doc)
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[8:10])


CHANGES = [merge, split, both]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("read_before", [True, False])
def test_vectors_follow_merged_and_split_tokens(doc, change, read_before, expected_rows):
    if read_before:
        assert_vectors_fit(doc, expected_rows(doc))
    change(doc)
    assert_vectors_fit(doc, expected_rows(doc))


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.filterwarnings("ignore:.*W109")
def test_vectors_fit_after_the_alignment_was_read(doc, change, expected_rows):
    change(doc)
    assert len(doc._.trf_alignment) == len(doc)
    restored = Doc(doc.vocab).from_bytes(doc.to_bytes())
    for each in (doc, restored):
        install_hooks(each)
        assert_vectors_fit(each, expected_rows(doc))


@pytest.mark.parametrize("change", CHANGES)
def test_heads_read_the_rows_of_merged_and_split_tokens(doc, change, expected_rows):
    listener = Tok2VecListener(width=WIDTH)
    change(doc)
    (rows,) = listener.predict([doc])
    numpy.testing.assert_allclose(rows, expected_rows(doc), atol=1e-5)


def test_docbin_restores_the_tensor(doc):
    stored = DocBin(store_user_data=True, docs=[doc]).to_bytes()
    (restored,) = DocBin().from_bytes(stored).get_docs(doc.vocab)
    assert not restored.tensor.size
    install_hooks(restored)
    assert numpy.array_equal(restored.tensor, doc.tensor)
    assert restored.similarity(doc) == pytest.approx(1.0, abs=1e-6)


def test_docbin_without_user_data_has_no_vectors(doc):
    stored = DocBin(docs=[doc]).to_bytes()
    (restored,) = DocBin().from_bytes(stored).get_docs(doc.vocab)
    install_hooks(restored)
    assert not restored.has_vector


def test_a_removed_tensor_is_freed_and_computed_again(doc):
    """spaCy's doc_cleaner sets it to None."""
    expected, removed = doc.tensor.copy(), weakref.ref(doc.tensor)
    assert doc.has_vector
    doc.tensor = None
    gc.collect()
    assert removed() is None
    assert numpy.array_equal(doc.vector, expected.mean(axis=0))
    blank = Doc(doc.vocab, words=["a"])
    blank.tensor = None
    install_hooks(blank)
    assert not blank.has_vector


def test_a_tensor_of_the_user_is_kept(doc):
    doc.tensor = numpy.ones_like(doc.tensor)
    assert numpy.array_equal(doc[0].vector, numpy.ones(WIDTH))


@pytest.mark.filterwarnings("ignore:.*W109")
def test_copied_and_pickled_docs_have_vectors_of_their_own(doc, expected_rows):
    copies = [doc.copy(), pickle.loads(pickle.dumps(doc))]
    for copied in copies:
        assert numpy.array_equal(copied.vector, doc.vector)
        merge(copied)
        assert_vectors_fit(copied, expected_rows(copied))
    assert_vectors_fit(doc, expected_rows(doc))
