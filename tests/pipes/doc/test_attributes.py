"""Extension attributes of Docs, Spans and Tokens: values, gradients, serialization."""

from __future__ import annotations

import time

import numpy
import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc, DocBin, Span, Token
from tiny import HEADS, LAYERS, WIDTH

from trf_bridge import install_extensions
from trf_bridge.pipes.doc.records import get_alignment, get_outputs, get_wordpieces

TEXT = "Apple pie isn't delicious. 👍🏽 Is it? Straßenbahn."
SENTS = 3

ALL = {"output_hidden_states": True, "output_attentions": True}

ON_ALL = [
    "trf_word_pieces",
    "trf_word_pieces_",
    "trf_alignment",
    "trf_start",
    "trf_end",
    "trf_last_hidden_state",
    "trf_pooler_output",
    "trf_all_hidden_states",
    "trf_all_attentions",
    "trf_d_last_hidden_state",
    "trf_d_pooler_output",
    "trf_d_all_hidden_states",
    "trf_d_all_attentions",
]


@pytest.fixture
def doc(pipeline):
    return pipeline("bert", **ALL)(TEXT)


@pytest.mark.parametrize("cls", [Doc, Span, Token])
def test_every_attribute_is_registered(cls):
    install_extensions()
    install_extensions()
    assert all(cls.has_extension(name) for name in ON_ALL)
    assert Doc.has_extension("trf_outputs")
    assert Doc.has_extension("trf_segments")


def test_existing_extensions_are_not_replaced():
    def getter(doc):
        return "mine"

    old = Doc.get_extension("trf_start")
    Doc.set_extension("trf_start", getter=getter, force=True)
    try:
        install_extensions()
        assert Doc.get_extension("trf_start")[2] is getter
    finally:
        Doc.set_extension("trf_start", getter=old[2], setter=old[3], force=True)


def test_attributes_are_none_before_the_pipeline(pipeline):
    doc = pipeline("bert").make_doc(TEXT)
    for obj in (doc, doc[0:2], doc[0]):
        for name in ON_ALL:
            if name not in ("trf_start", "trf_end"):
                assert getattr(obj._, name) is None
        assert obj._.trf_start == obj._.trf_end == 0
    assert doc._.trf_segments == []


def test_attributes_of_a_doc(doc):
    n = len(doc._.trf_word_pieces)
    assert doc._.trf_word_pieces.dtype == numpy.int32
    assert len(doc._.trf_word_pieces_) == n
    assert (doc._.trf_start, doc._.trf_end) == (0, n)
    assert doc._.trf_last_hidden_state.shape == (n, WIDTH)
    assert doc._.trf_pooler_output.shape == (SENTS, WIDTH)
    assert doc._.trf_all_hidden_states.shape == (LAYERS + 1, n, WIDTH)
    lengths = get_wordpieces(doc).lengths.tolist()
    assert [a.shape for a in doc._.trf_all_attentions] == [
        (LAYERS, HEADS, length, length) for length in lengths
    ]
    assert [span.text for span in doc._.trf_segments] == [sent.text for sent in doc.sents]
    outputs = doc._.trf_outputs
    assert outputs.last_hidden_state is doc._.trf_last_hidden_state
    assert outputs.pooler_output is doc._.trf_pooler_output
    assert outputs.hidden_states is doc._.trf_all_hidden_states
    assert len(doc._.trf_alignment) == len(doc)
    assert all(isinstance(row, int) for rows in doc._.trf_alignment for row in rows)


def own_rows(doc, start, end):
    """Return the wordpieces of a slice of tokens, one link at a time."""
    pieces = get_wordpieces(doc)
    links = doc._.trf_alignment
    rows = set()
    for token in range(start, end):
        for row in links[token]:
            tokens = [i for i, linked in enumerate(links) if row in linked]
            if not pieces.boundary[row] or all(start <= i < end for i in tokens):
                rows.add(row)
    return sorted(rows)


@given(edges=st.tuples(st.integers(0, 13), st.integers(0, 13)))
@settings(max_examples=60)
def test_attributes_of_a_span_are_slices_of_the_docs(pipeline, edges):
    doc = pipeline("bert", **ALL)(TEXT)
    start, end = sorted(min(edge, len(doc)) for edge in edges)
    check_slice(doc, doc[start:end], start, end)


def test_attributes_of_a_token_are_slices_of_the_docs(doc):
    for token in doc:
        check_slice(doc, token, token.i, token.i + 1)


def check_slice(doc, obj, start, end):
    rows = own_rows(doc, start, end)
    first, last = (rows[0], rows[-1] + 1) if rows else (0, 0)
    assert (obj._.trf_start, obj._.trf_end) == (first, last)
    assert obj._.trf_word_pieces.tolist() == doc._.trf_word_pieces[rows].tolist()
    assert obj._.trf_word_pieces_ == [doc._.trf_word_pieces_[row] for row in rows]
    links = doc._.trf_alignment[start:end]
    assert obj._.trf_alignment == (links[0] if isinstance(obj, Token) else links)
    assert numpy.array_equal(obj._.trf_last_hidden_state, doc._.trf_last_hidden_state[rows])
    assert numpy.array_equal(obj._.trf_all_hidden_states, doc._.trf_all_hidden_states[:, rows])
    sents = list(doc.sents)
    inputs = [i for i, s in enumerate(sents) if s.start < end and start < s.end and last > first]
    assert numpy.array_equal(obj._.trf_pooler_output, doc._.trf_pooler_output[inputs])
    assert len(obj._.trf_all_attentions) == len(inputs)
    for got, i in zip(obj._.trf_all_attentions, inputs, strict=True):
        assert got is doc._.trf_all_attentions[i]


def test_span_across_two_sentences_has_no_boundary_pieces(pipeline):
    doc = pipeline("bert", **ALL)("One two three. Four five six.")
    span = doc[2:5]
    assert "".join(span._.trf_word_pieces_).replace("##", "") == "three.four"
    rows = span._.trf_last_hidden_state
    assert len(rows) == len(span._.trf_word_pieces) < span._.trf_end - span._.trf_start
    span._.trf_d_last_hidden_state += 1.0
    span._.trf_d_all_hidden_states += 2.0
    span._.trf_d_last_hidden_state += rows
    expected = numpy.zeros_like(doc._.trf_last_hidden_state)
    expected[own_rows(doc, 2, 5)] = 1.0 + rows
    assert numpy.array_equal(doc._.trf_d_last_hidden_state, expected)
    boundary = doc._.trf_boundary
    assert not doc._.trf_d_all_hidden_states[:, boundary].any()
    assert doc._.trf_d_all_hidden_states.sum() == pytest.approx(2.0 * rows.size * (LAYERS + 1))


def test_spans_of_whole_sentences_have_their_boundary_pieces(doc):
    assert (doc[:]._.trf_start, doc[:]._.trf_end) == (0, len(doc._.trf_word_pieces))
    for i, sent in enumerate(doc.sents):
        assert sent._.trf_word_pieces_[0] == "[CLS]"
        assert sent._.trf_word_pieces_[-1] == "[SEP]"
        assert numpy.array_equal(sent._.trf_pooler_output[0], doc._.trf_pooler_output[i])


def test_token_has_no_boundary_pieces(doc):
    assert doc[0]._.trf_word_pieces_[0] != "[CLS]"
    joined = "".join(piece.removeprefix("##") for piece in doc[0]._.trf_word_pieces_)
    assert joined == "apple"
    assert {"[CLS]", "[SEP]"} <= {doc._.trf_word_pieces_[row] for row in doc[0]._.trf_alignment}


def test_attributes_of_the_tokens_of_a_long_doc_are_fast(pipeline):
    doc = pipeline("bert")("My cat sat. " * 1000)
    links, strings = doc._.trf_alignment, doc._.trf_word_pieces_
    start = time.process_time()
    assert [token._.trf_alignment for token in doc] == links
    joined = [token._.trf_word_pieces_ for token in doc]
    # Processing the whole Doc for each token would take more than twice as long.
    assert time.process_time() - start < 10
    assert [p for pieces in joined for p in pieces] == [p for p in strings if p[0] != "["]


# Gradients


GRADIENTS = {
    "trf_d_last_hidden_state": "trf_last_hidden_state",
    "trf_d_pooler_output": "trf_pooler_output",
    "trf_d_all_hidden_states": "trf_all_hidden_states",
    "trf_d_all_attentions": "trf_all_attentions",
}


def ones_like(value, fill=1.0):
    if isinstance(value, list):
        return [numpy.full_like(array, fill) for array in value]
    return numpy.full_like(value, fill)


def arrays(value):
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize(("name", "like"), GRADIENTS.items())
def test_gradient_can_be_set_and_added_to(doc, name, like):
    assert all(not array.any() for array in arrays(getattr(doc._, name)))
    value = ones_like(getattr(doc._, like))
    setattr(doc._, name, value)
    for obj in (doc, doc[0:5], doc[2]):
        assert all((array == 1.0).all() for array in arrays(getattr(obj._, name)))
    for array in arrays(getattr(doc[0:5]._, name)):
        array += 1.0
    total = sum(float(array.sum()) for array in arrays(getattr(doc._, name)))
    size = sum(array.size for array in arrays(getattr(doc._, name)))
    added = sum(array.size for array in arrays(getattr(doc[0:5]._, name)))
    assert 0 < added < size
    assert total == size + added


@pytest.mark.parametrize(("name", "like"), GRADIENTS.items())
@pytest.mark.parametrize("part", ["span", "token"])
def test_gradient_can_be_set_through_slices(doc, name, like, part):
    obj = doc[1:4] if part == "span" else doc[1]
    setattr(obj._, name, ones_like(getattr(obj._, like), 2.0))
    for array in arrays(getattr(obj._, name)):
        assert (array == 2.0).all()
    total = sum(float(array.sum()) for array in arrays(getattr(doc._, name)))
    assert total == 2.0 * sum(array.size for array in arrays(getattr(obj._, like)))


@pytest.mark.parametrize(("name", "like"), GRADIENTS.items())
@pytest.mark.parametrize("part", ["doc", "span", "token"])
def test_gradient_of_the_wrong_shape_is_rejected(doc, name, like, part):
    obj = {"doc": doc, "span": doc[0:3], "token": doc[0]}[part]
    value = ones_like(getattr(obj._, like))
    wrong = [*value, value[0]] if isinstance(value, list) else value[..., :-1]
    for bad in (wrong, None, numpy.zeros(3)):
        with pytest.raises(ValueError, match=rf"\[TB014\] .*doc\._\.{name}, .*{like}"):
            setattr(obj._, name, bad)
    assert all(not array.any() for array in arrays(getattr(doc._, name)))


def test_gradient_of_a_missing_output_is_rejected(pipeline):
    doc = pipeline("gpt2")("One.")
    assert doc._.trf_pooler_output is None
    assert doc._.trf_d_pooler_output is None
    with pytest.raises(ValueError, match=r"\[TB014\]"):
        doc._.trf_d_pooler_output = numpy.zeros((1, WIDTH), dtype="float32")


def test_docs_do_not_share_gradients(pipeline):
    first, second = pipeline("bert").pipe(["One.", "One."])
    first._.trf_d_last_hidden_state += 1.0
    assert not second._.trf_d_last_hidden_state.any()


# Serialization and copies


def assert_same_attributes(got, expected):
    assert got.text == expected.text
    assert got._.trf_word_pieces_ == expected._.trf_word_pieces_
    assert got._.trf_alignment == expected._.trf_alignment
    for name in ("trf_word_pieces", "trf_last_hidden_state", "trf_all_hidden_states"):
        assert numpy.array_equal(getattr(got._, name), getattr(expected._, name))
    assert numpy.array_equal(got._.trf_pooler_output, expected._.trf_pooler_output)
    for a, b in zip(got._.trf_all_attentions, expected._.trf_all_attentions, strict=True):
        assert numpy.array_equal(a, b)
    assert numpy.array_equal(got.tensor, expected.tensor)
    assert [s.text for s in got._.trf_segments] == [s.text for s in expected._.trf_segments]
    assert got[1]._.trf_word_pieces_ == expected[1]._.trf_word_pieces_ if len(got) > 1 else True


@pytest.fixture(params=["short", "windows", "empty", "line break"])
def any_doc(request, pipeline):
    nlp = pipeline("bert", overflow="window", **ALL)
    given = {"short": TEXT, "windows": TEXT * 9, "empty": "", "line break": "\n"}
    return nlp(given[request.param])


@pytest.mark.filterwarnings("ignore:.*W109")
def test_doc_bin_keeps_all_attributes(any_doc):
    data = DocBin(docs=[any_doc], store_user_data=True).to_bytes()
    (loaded,) = DocBin().from_bytes(data).get_docs(any_doc.vocab)
    loaded.tensor = any_doc.tensor  # not stored in a DocBin
    assert_same_attributes(loaded, any_doc)


@pytest.mark.filterwarnings("ignore:.*W109")
def test_bytes_keep_all_attributes(any_doc, tmp_path):
    loaded = Doc(any_doc.vocab).from_bytes(any_doc.to_bytes())
    assert_same_attributes(loaded, any_doc)
    any_doc.to_disk(tmp_path / "doc")
    assert_same_attributes(Doc(any_doc.vocab).from_disk(tmp_path / "doc"), any_doc)


def test_copy_keeps_all_attributes(any_doc):
    assert_same_attributes(any_doc.copy(), any_doc)


def test_user_data_has_only_plain_types(any_doc):
    def check(value):
        if isinstance(value, dict):
            for key, inner in value.items():
                assert isinstance(key, str)
                check(inner)
        elif isinstance(value, list):
            for inner in value:
                check(inner)
        else:
            assert value is None or isinstance(value, str | int | numpy.ndarray)

    for key, value in any_doc.user_data.items():
        assert key[0] == "._."
        assert key[1].startswith("trf_")
        check(value)


def test_span_as_doc_has_no_attributes_of_other_tokens(doc):
    part = doc[3:6].as_doc()
    assert part.text.strip() == doc[3:6].text
    assert part._.trf_word_pieces is None
    assert part._.trf_last_hidden_state is None
    assert part.tensor.shape == (3, WIDTH)
    kept = doc[3:6].as_doc(copy_user_data=True)
    assert kept._.trf_word_pieces is None or len(kept._.trf_alignment) == len(kept)


@pytest.mark.filterwarnings("ignore:.*W101")
def test_concatenated_docs_have_no_attributes_of_other_tokens(pipeline):
    nlp = pipeline("bert", **ALL)
    docs = [nlp("Apple pie."), nlp(""), nlp("Is it?")]
    doc = Doc.from_docs(docs)
    assert doc.tensor.shape == (len(doc), WIDTH)
    assert doc._.trf_word_pieces is None or len(doc._.trf_alignment) == len(doc)


def test_attributes_can_be_read_without_a_pipeline(doc):
    # A process may only read a DocBin.
    assert spacy.blank("en")("One.")._.trf_word_pieces is None


def test_docs_of_a_batch_do_not_share_memory(pipeline):
    nlp = pipeline("bert", **ALL)
    first, second = nlp.pipe([TEXT, TEXT])
    before = second._.trf_last_hidden_state.copy()
    first._.trf_last_hidden_state[:] = 0.0
    first.tensor[:] = 0.0
    assert numpy.array_equal(second._.trf_last_hidden_state, before)
    assert second.tensor.any()


def test_records_are_printed_as_shapes(pipeline):
    """Thousands of numbers, and the text of a document, do not fit on a screen or into a log."""
    doc = pipeline("bert", output_attentions=True, output_hidden_states=True)(
        "Wittgenstein slept. " * 50
    )
    outputs, wordpieces, alignment = get_outputs(doc), get_wordpieces(doc), get_alignment(doc)
    n_pieces, width = outputs.last_hidden_state.shape
    for record in (outputs, doc._.trf_outputs, wordpieces, alignment):
        assert repr(record).startswith(f"{type(record).__name__}(")
        assert len(repr(record)) < 400
        assert "ittgenstein" not in repr(record)
    assert f"last_hidden_state=float32 ({n_pieces}, {width})" in repr(outputs)
    assert f"ids=int32 ({n_pieces},)" in repr(wordpieces)
    assert "segments=None" in repr(wordpieces)
    assert f"weights=float32 ({len(alignment.weights)},)" in repr(alignment)


def test_records_of_windows_are_printed_as_shapes(pipeline):
    doc = pipeline("bert", overflow="window")("cat " * 200)
    assert "runs=Runs(rows=int" in repr(get_wordpieces(doc))
