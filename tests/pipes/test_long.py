"""Docs of a hundred thousand tokens: bounded memory and correct results."""

from __future__ import annotations

import weakref

import numpy
import oracles
import pytest
from spacy.tokens import Doc
from tiny import LAYERS, MAX_LENGTH, WIDTH

from trf_bridge.pipes.doc.records import get_alignment, get_wordpieces
from trf_bridge.pipes.streams import MAX_TOKENS, bounded_batches

N_TOKENS = 100_000
WORDS = ["cat", "boats", "Berlin", "she", "counted", ",", "harbour", "don't", "北京", "."]


def make_long_doc(nlp, n_tokens=N_TOKENS):
    rng = numpy.random.default_rng(0)
    return Doc(nlp.vocab, words=rng.choice(WORDS, n_tokens).tolist())


def plain_rows(family, folder, ids, type_ids):
    import torch

    plain = oracles.load_plain(family, folder).eval()
    types = None if type_ids is None else type_ids.tolist()
    with torch.no_grad():
        return oracles.run_plain(plain, ids.tolist(), types).last_hidden_state[0].numpy()


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_long_sentence_is_truncated(pipeline, checkpoint, family):
    nlp = pipeline(family, sentences="doc")
    doc = make_long_doc(nlp)
    with pytest.warns(UserWarning, match="TB101"):
        doc = nlp(doc)
    pieces = get_wordpieces(doc)
    plain = oracles.load_plain_tokenizer(checkpoint(family))
    expected = plain(doc.text[:2000], truncation=True, max_length=MAX_LENGTH)["input_ids"]
    assert pieces.ids.tolist() == expected
    rows = plain_rows(family, checkpoint(family), pieces.ids, pieces.type_ids)
    numpy.testing.assert_allclose(doc._.trf_last_hidden_state, rows, atol=1e-5, rtol=1e-5)
    assert doc.tensor.shape == (N_TOKENS, WIDTH)
    n_kept = int(doc.tensor.any(axis=1).sum())
    assert 0 < n_kept < MAX_LENGTH
    assert doc.tensor[:n_kept].any(axis=1).all()


@pytest.mark.parametrize("window_rows", ["most_context", "mean"])
@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_long_sentence_in_windows(pipeline, checkpoint, family, window_rows):
    settings = {"overflow": "window", "stride": 8, "window_rows": window_rows}
    nlp = pipeline(family, sentences="doc", **settings)
    doc = nlp(make_long_doc(nlp))
    pieces, alignment = get_wordpieces(doc), get_alignment(doc)
    # A token is linked to the boundary pieces of one or a few windows, not of all.
    assert alignment.rows.size < 8 * N_TOKENS
    assert numpy.bincount(alignment.rows, minlength=len(pieces)).max() <= MAX_LENGTH
    hidden = doc._.trf_last_hidden_state
    assert numpy.isfinite(hidden).all()
    sums = doc.tensor.sum(axis=0, dtype="float64"), hidden.sum(axis=0, dtype="float64")
    numpy.testing.assert_allclose(*sums, rtol=1e-4)
    run_ends = numpy.cumsum(pieces.runs.lengths)
    middle = len(run_ends) // 2
    for window in (0, 1, middle, len(run_ends) - 1):
        near = range(max(window - 1, 0), min(window + 2, len(run_ends)))
        states_of_row = {}
        for i in near:
            run = pieces.runs.rows[run_ends[i] - pieces.runs.lengths[i] : run_ends[i]]
            types = None if pieces.type_ids is None else pieces.type_ids[run]
            states = plain_rows(family, checkpoint(family), pieces.ids[run], types)
            end = int(pieces.lengths[: i + 1].sum())
            for row, state in zip(run.tolist(), states, strict=True):
                if window_rows == "mean" or end - pieces.lengths[i] <= row < end:
                    states_of_row.setdefault(row, []).append(state)
        end = int(pieces.lengths[: window + 1].sum())
        for row in range(end - int(pieces.lengths[window]), end):
            expected = sum(states_of_row[row]) / len(states_of_row[row])
            numpy.testing.assert_allclose(hidden[row], expected, atol=1e-5, rtol=1e-5)
    link_ends = numpy.cumsum(alignment.lengths)
    n_shared = numpy.bincount(alignment.rows)
    for token in (0, N_TOKENS // 3, N_TOKENS - 1):
        rows = alignment.rows[link_ends[token] - alignment.lengths[token] : link_ends[token]]
        expected = (hidden[rows] / n_shared[rows][:, None]).sum(axis=0)
        numpy.testing.assert_allclose(doc.tensor[token], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:.*TB101")
def test_long_docs_of_a_stream_are_freed_one_by_one(pipeline):
    nlp = pipeline("bert")
    alive: set[int] = set()
    n_alive = 0

    def stream():
        for i in range(6):
            doc = make_long_doc(nlp, MAX_TOKENS // 2 + 1)
            alive.add(i)
            weakref.finalize(doc, alive.discard, i)
            yield doc

    for doc in nlp.pipe(stream(), batch_size=100):
        assert doc.tensor.shape == (len(doc), WIDTH)
        n_alive = max(n_alive, len(alive))
    assert n_alive <= 3


@pytest.mark.filterwarnings("ignore:.*TB101")
@pytest.mark.parametrize(
    ("words_per_batch", "sizes"), [(3000, [2, 2, 2]), (3 * MAX_TOKENS, [6]), (0, [2, 2, 2])]
)
def test_batches_of_a_stream_hold_at_least_one_subbatch(fresh, words_per_batch, sizes):
    nlp = fresh("bert", words_per_batch=words_per_batch)
    component = nlp.get_pipe("trf_tok2vec")
    docs = [Doc(nlp.vocab, words=["a"] * (MAX_TOKENS // 2)) for _ in range(6)]
    n_docs = []
    predict = component.predict
    component.predict = lambda batch: n_docs.append(len(batch)) or predict(batch)
    stream = nlp.get_pipe("trf_wordpiecer").pipe(docs, batch_size=100)
    assert list(component.pipe(stream, batch_size=100)) == docs
    assert n_docs == sizes


@pytest.mark.parametrize(
    ("lengths", "batches"),
    [
        ([], []),
        ([1, 2, 3], [[1, 2, 3]]),
        ([0, 0, 0, 0], [[0, 0, 0], [0]]),
        ([1, 1, 1, 1], [[1, 1, 1], [1]]),
        ([9, 2, 30, 1], [[9], [2], [30], [1]]),
        ([4, 6, 1, 9, 1], [[4, 6], [1, 9], [1]]),
    ],
)
def test_batches_are_limited_in_docs_and_tokens(pipeline, lengths, batches):
    vocab = pipeline("bert").vocab
    docs = [Doc(vocab, words=["a"] * n) for n in lengths]
    got = [list(batch) for batch in bounded_batches(docs, 3, max_tokens=10)]
    assert [[len(doc) for doc in batch] for batch in got] == batches
    assert [doc for batch in got for doc in batch] == docs


def test_full_batch_is_returned_before_another_doc_is_read(pipeline):
    vocab = pipeline("bert").vocab

    def stream():
        yield Doc(vocab, words=["a"] * 2)
        yield Doc(vocab, words=["a"] * 2)
        raise AssertionError("read one Doc too many")

    assert len(next(bounded_batches(stream(), 2))) == 2


def test_hidden_states_of_a_long_doc_are_stored_if_enabled(pipeline):
    settings = {"overflow": "window", "window_rows": "mean"}
    nlp = pipeline("bert", sentences="doc", output_hidden_states=True, **settings)
    doc = nlp(make_long_doc(nlp, 2000))
    states = doc._.trf_all_hidden_states
    assert states.shape == (LAYERS + 1, len(get_wordpieces(doc)), WIDTH)
    assert numpy.array_equal(states[-1], doc._.trf_last_hidden_state)
