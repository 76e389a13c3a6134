"""`strided_spans`: overlapping inputs of spaCy tokens, and rows that are means over them."""

from __future__ import annotations

import numpy
import oracles
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from spacy.util import registry
from token_loss import LISTENER
from torch_oracle import get_module

from trf_bridge.pipes.doc.strided import StridedSpans

TEXT = "Anna counted the state-of-the-art boats.  Robert isn't here, but his Straßenbahn is 👍🏽!"


def spans_of(n_tokens, window, stride):
    """Step through a Doc as the span getter of spacy-transformers is documented to do."""
    spans, start = [], 0
    while start < n_tokens:
        spans.append((start, min(start + window, n_tokens)))
        if start + window >= n_tokens:
            break
        start += stride
    return spans


@given(st.integers(0, 60), st.integers(1, 20), st.integers(0, 12))
def test_bounds_step_through_the_doc(n_tokens, stride, extra):
    bounds = StridedSpans(stride + extra, stride).bounds(n_tokens)
    assert [tuple(pair) for pair in bounds.tolist()] == spans_of(n_tokens, stride + extra, stride)


def make(fresh, family, size=5, step=3, **options):
    sentences = {"@misc": "trf_bridge.strided_spans.v1", "window": size, "stride": step}
    return fresh(family, sentences=sentences, **options)


@pytest.mark.parametrize("family", ["bert", "roberta", "xlm_roberta"])
def test_rows_are_means_over_inputs(fresh, checkpoint, family):
    nlp = make(fresh, family)
    doc = nlp(TEXT)
    plain, tokenizer = get_module(nlp), oracles.load_plain_tokenizer(checkpoint(family))
    sums, own_rows, counts = [0] * len(doc), [[] for _ in doc], [0] * len(doc)
    ids = []
    for start, end in spans_of(len(doc), 5, 3):
        span = doc[start:end]
        encoded = tokenizer(span.text, return_offsets_mapping=True, return_special_tokens_mask=True)
        ids += encoded["input_ids"]
        with torch.no_grad():
            run = oracles.run_plain(plain, encoded["input_ids"], encoded.get("token_type_ids"))
        hidden = run.last_hidden_state[0].numpy()
        offsets = [(a + span.start_char, b + span.start_char) for a, b in encoded["offset_mapping"]]
        boundary = [bool(flag) for flag in encoded["special_tokens_mask"]]
        tokens = [(token.idx, token.idx + len(token)) for token in doc]
        linked = oracles.link_pieces(
            doc.text, tokens, offsets, boundary, (span.start_char, span.end_char)
        )
        for piece, of_piece in enumerate(linked):
            for token in of_piece:
                sums[token] = sums[token] + hidden[piece] / len(of_piece)
                if not boundary[piece]:
                    own_rows[token].append(hidden[piece])
        for i in range(start, end):
            counts[i] += 1
    assert doc._.trf_word_pieces.tolist() == ids
    expected = [row / count for row, count in zip(sums, counts, strict=True)]
    numpy.testing.assert_allclose(doc.tensor, expected, atol=1e-5)
    nlp.add_pipe("test_token_loss", config={"listener": {**LISTENER, "pooling": "mean"}})
    (rows,) = nlp.get_pipe("test_token_loss").model.layers[0].predict([doc])
    means = [numpy.mean(own, axis=0) if own else 0 * sums[0] for own in own_rows]
    numpy.testing.assert_allclose(rows, means, atol=1e-5)


def test_batches_do_not_change_the_rows(fresh):
    nlp = make(fresh, "bert")
    texts = [TEXT, "", "A boat.", TEXT + " " + TEXT]
    for doc, text in zip(nlp.pipe(texts), texts, strict=True):
        numpy.testing.assert_allclose(doc.tensor, nlp(text).tensor, atol=1e-6)


def test_docs_with_one_input_equal_whole_docs(fresh):
    nlp, whole = make(fresh, "bert", 100, 60), fresh("bert", sentences="doc")
    numpy.testing.assert_array_equal(nlp("Anna is here.").tensor, whole("Anna is here.").tensor)


def test_inputs_in_windows_count_once(fresh):
    """The rows of an input do not depend on the number of windows that read it."""
    options = {"overflow": "window", "stride": 2, "max_length": 8, "window_rows": "mean"}
    nlp, whole = make(fresh, "bert", 12, 8, **options), fresh("bert", sentences="doc", **options)
    doc = nlp(TEXT)
    sums, counts = numpy.zeros_like(doc.tensor), numpy.zeros((len(doc), 1))
    for start, end in spans_of(len(doc), 12, 8):
        part = whole(doc[start:end].as_doc())
        assert len(part._.trf_segments) > 1  # windows
        sums[start:end] += part.tensor
        counts[start:end] += 1
    assert counts.max() == 2
    numpy.testing.assert_allclose(doc.tensor, sums / counts, atol=1e-5)


def test_pairs_are_not_averaged(fresh):
    nlp = make(fresh, "bert", separator="|||")
    doc = nlp("Anna is here. ||| Robert is not here today.")
    whole = fresh("bert", sentences="doc", separator="|||")(doc.text)
    numpy.testing.assert_array_equal(doc.tensor, whole.tensor)


def test_function_returns_the_same_spans(fresh):
    nlp = make(fresh, "bert")
    doc = nlp.make_doc(TEXT)
    (spans,) = StridedSpans(5, 3)([doc])
    assert [(span.start, span.end) for span in spans] == spans_of(len(doc), 5, 3)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"window": 2, "stride": 3}, "window"),
        ({"window": 2, "stride": 0}, "stride"),
    ],
)
def test_wrong_lengths_are_refused(options, field):
    make_spans = registry.misc.get("trf_bridge.strided_spans.v1")
    with pytest.raises(ValueError, match=f"TB009.*'{field}'"):
        make_spans(**options)
    with pytest.raises(TypeError, match="TB009"):
        make_spans(window=2.5, stride=2)
