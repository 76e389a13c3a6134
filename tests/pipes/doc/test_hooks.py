"""Vectors and similarity are computed from `doc.tensor`."""

from __future__ import annotations

import numpy
import pytest
from spacy.tokens import Doc
from tiny import WIDTH

from trf_bridge import install_hooks


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
