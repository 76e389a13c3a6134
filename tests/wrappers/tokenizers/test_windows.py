"""Overlapping windows: every wordpiece once, in the right window, with exact gradients."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace

import numpy
import oracles
import pytest
from builders import windows_of
from hypothesis import given, settings
from hypothesis import strategies as st
from odd_tokenizers import load_odd
from strategies import texts
from thinc.api import NumpyOps
from tiny import HEADS, LAYERS

from trf_bridge.align import apply_alignment
from trf_bridge.pipes.doc.inputs import find_inputs
from trf_bridge.pipes.doc.records import get_alignment, get_wordpieces, set_wordpieces
from trf_bridge.pipes.tokenizing import tokenize_docs
from trf_bridge.types import Activations
from trf_bridge.wrappers.models.layer import get_shim
from trf_bridge.wrappers.tokenizers.tokenizer import WordpieceTokenizer
from trf_bridge.wrappers.tokenizers.windows import WindowPlanner

WINDOW_ROWS = ["most_context", "mean"]

TEXT = "Laced with dreams, dripping in reality. " * 6 + "北京 👍🏽 don't " * 5 + "the end"


def encode(plain, given_texts, max_length, stride):
    tokenizer = WordpieceTokenizer(plain, max_length=max_length, overflow="window", stride=stride)
    return tokenizer.encode(given_texts)


def tokenize_whole(tokenizer, doc):
    """Return the wordpieces of a Doc that is one input."""
    return tokenize_docs(tokenizer, find_inputs([doc], "doc", None, "trf_wordpiecer"))


def content(plain, text):
    return plain(text, add_special_tokens=False, return_offsets_mapping=True)


def with_boundary(plain, ids):
    """Return ids with the boundary pieces that the tokenizer adds to a text."""
    added = plain("")["input_ids"]
    mask = plain("a", return_special_tokens_mask=True)["special_tokens_mask"]
    n_leading = mask.index(0)
    return [*added[:n_leading], *ids, *added[n_leading:]]


@given(
    text=st.one_of(texts(40), st.just(TEXT)),
    max_length=st.integers(5, 30),
    stride=st.integers(0, 20),
)
@settings(max_examples=60)
def test_every_wordpiece_is_in_one_window_and_is_read_in_order(
    family, checkpoint, text, max_length, stride
):
    plain = oracles.load_plain_tokenizer(checkpoint(family))
    encoded = encode(plain, [text], max_length, stride)
    pieces = encoded.wordpieces
    expected = content(plain, text)
    inside = ~pieces.boundary
    assert pieces.ids[inside].tolist() == expected["input_ids"]
    assert [tuple(p) for p in pieces.offsets[inside].tolist()] == expected["offset_mapping"]
    own, runs = windows_of(encoded)
    assert len(own) == len(runs) == encoded.n_inputs[0]
    n_special = plain.num_special_tokens_to_add()
    position = {row: i for i, row in enumerate(numpy.flatnonzero(inside).tolist())}
    for rows, run in zip(own, runs, strict=True):
        assert len(run) <= max_length
        assert set(rows) <= set(run)
        assert int(pieces.boundary[run].sum()) == n_special
        assert all(row in rows for row in run if pieces.boundary[row])
        places = [position[row] for row in run if row in position]
        assert places == list(range(places[0], places[0] + len(places))) if places else True
        # The model reads what the tokenizer returns for these wordpieces alone.
        stretch = [expected["input_ids"][i] for i in places]
        assert pieces.ids[run].tolist() == with_boundary(plain, stretch)


@pytest.mark.parametrize(("max_length", "stride"), [(10, 0), (10, 1), (10, 3), (10, 4), (12, 99)])
def test_every_wordpiece_belongs_to_the_window_with_most_context(checkpoint, max_length, stride):
    plain = oracles.load_plain_tokenizer(checkpoint("bert"))
    encoded = encode(plain, [TEXT], max_length, stride)
    own, runs = windows_of(encoded)
    n = len(runs)
    boundary = encoded.wordpieces.boundary

    def context(row, i):
        inner = [r for r in runs[i] if not boundary[r]]
        left = inner.index(row) if i else 10**6
        right = len(inner) - 1 - inner.index(row) if i < n - 1 else 10**6
        return min(left, right)

    for i, rows in enumerate(own):
        for row in rows:
            if not boundary[row]:
                best = max(context(row, k) for k in range(n) if row in runs[k])
                assert context(row, i) >= best


def test_stride_is_at_most_half_a_window(checkpoint):
    plain = oracles.load_plain_tokenizer(checkpoint("bert"))
    for stride, shared in [(0, 0), (3, 3), (99, 4)]:
        _, runs = windows_of(encode(plain, [TEXT], 10, stride))
        overlaps = {len(set(a) & set(b)) for a, b in pairwise(runs)}
        assert overlaps == {shared}


def test_short_texts_in_a_batch_with_long_ones_are_one_window(checkpoint):
    plain = oracles.load_plain_tokenizer(checkpoint("bert"))
    given_texts = ["a", TEXT, "", "a b", TEXT]
    encoded = encode(plain, given_texts, 12, 3)
    assert encoded.n_inputs[[0, 2, 3]].tolist() == [1, 1, 1]
    assert encoded.n_inputs[1] == encoded.n_inputs[4] > 1
    assert not encoded.truncated.any()
    alone = [encode(plain, [text], 12, 3) for text in given_texts]
    for field in ("ids", "offsets", "boundary", "lengths", "spans"):
        joined = numpy.concatenate([getattr(one.wordpieces, field) for one in alone])
        assert numpy.array_equal(getattr(encoded.wordpieces, field), joined)


def test_spans_cover_the_text_without_gaps(checkpoint):
    plain = oracles.load_plain_tokenizer(checkpoint("bert"))
    spans = encode(plain, [TEXT], 10, 2).wordpieces.spans
    assert spans[0, 0] == 0
    assert spans[-1, 1] == len(TEXT)
    assert (spans[:-1, 1] >= spans[1:, 0]).all()


def test_windows_overlap_at_a_character_with_pieces_in_both():
    # four byte-level pieces of one emoji, split in the middle
    offsets, sides = numpy.asarray([(0, 1)] * 4), numpy.zeros(4, dtype="int32")
    plan = WindowPlanner(limit=2, overflow="window", stride=0).plan(offsets, sides, [(0, 1)])
    assert plan.spans.tolist() == [[[0, 1]], [[0, 1]]]
    assert plan.read_rows.tolist() == [0, 1, 2, 3]
    assert plan.read_lengths.tolist() == [2, 2]


@given(
    n_pieces=st.integers(0, 30),
    room=st.integers(2, 12),
    stride=st.integers(0, 8),
    overflow=st.sampled_from(["truncate", "window"]),
    turned=st.booleans(),
)
def test_text_is_planned_as_a_pair_of_which_one_text_is_empty(
    n_pieces, room, stride, overflow, turned
):
    """One planner serves both; the boundary pieces of the two templates are equal here."""
    places = numpy.arange(n_pieces)
    offsets = numpy.concatenate([[(0, 0)], numpy.stack([places, places + 1], 1), [(0, 0)]])
    sides = numpy.asarray([-1, *[0] * n_pieces, -1], dtype="int32")
    planner = WindowPlanner(limit=room + 2, overflow=overflow, stride=stride)
    text = (0, n_pieces)
    single = planner.plan(offsets, sides, [text])
    in_second = numpy.where(sides == 0, 1, sides)
    spans = [(0, 0), text] if turned else [text, (n_pieces, n_pieces)]
    pair = planner.plan(offsets, in_second if turned else sides, spans)
    assert single.rows.tolist() == pair.rows.tolist()
    assert single.lengths.tolist() == pair.lengths.tolist()
    assert single.read_rows.tolist() == pair.read_rows.tolist()
    assert single.read_lengths.tolist() == pair.read_lengths.tolist()
    assert single.spans[:, 0].tolist() == pair.spans[:, int(turned)].tolist()
    assert single.truncated == pair.truncated == (overflow == "truncate" and n_pieces > room)


def test_offsets_at_the_start_of_a_window_are_those_of_the_text():
    """RobertaProcessing does not trim the space of the first wordpiece of its input."""
    plain = load_odd("roberta_trimmed")
    encoded = encode(plain, [TEXT], 10, 0)
    pieces = encoded.wordpieces
    offsets = [tuple(offset) for offset in pieces.offsets[~pieces.boundary].tolist()]
    assert offsets == content(plain, TEXT)["offset_mapping"]
    assert encoded.n_inputs[0] > 3


def plain_windows(plain, pieces, **flags):
    """Yield the own rows of each window, the rows that it reads, and the model's outputs."""
    own, runs = windows_of(SimpleNamespace(wordpieces=pieces))
    for rows, run in zip(own, runs, strict=True):
        types = None if pieces.type_ids is None else pieces.type_ids[run].tolist()
        yield rows, run, oracles.run_plain(plain, pieces.ids[run].tolist(), types, **flags)


def rows_of_windows(pieces, states, window_rows):
    """Compute the state of each wordpiece from those of all windows, slowly.

    states: For each window its own rows, the rows that it reads, and their states.
    """
    found = [[] for _ in range(len(pieces))]
    for rows, run, window in states:
        for row, state in zip(run, window, strict=True):
            if window_rows == "mean" or row in rows:
                found[row].append(state)
    return [sum(several) / len(several) for several in found]


@pytest.mark.parametrize("window_rows", WINDOW_ROWS)
@pytest.mark.parametrize("stride", [0, 5, 128])
def test_doc_in_windows_equals_the_windows_run_one_by_one(
    family, pipeline, checkpoint, stride, window_rows
):
    """The state of a wordpiece is that of the window with most context, or the mean of all."""
    import torch

    settings = {"overflow": "window", "stride": stride, "window_rows": window_rows}
    nlp = pipeline(family, sentences="doc", max_length=40, **settings)
    doc = nlp(TEXT * 2)
    pieces = get_wordpieces(doc)
    assert len(pieces.lengths) > 3
    plain = oracles.load_plain(family, checkpoint(family)).eval()
    with torch.no_grad():
        states = [
            (rows, run, outputs.last_hidden_state[0])
            for rows, run, outputs in plain_windows(plain, pieces)
        ]
    expected = torch.stack(rows_of_windows(pieces, states, window_rows))
    numpy.testing.assert_allclose(doc._.trf_last_hidden_state, expected, atol=1e-5, rtol=1e-5)
    linked = {row for rows in doc._.trf_alignment for row in rows}
    assert linked == set(range(len(pieces)))
    assert all(doc._.trf_alignment)
    assert doc.tensor.any(axis=1).all()


@pytest.mark.parametrize("window_rows", WINDOW_ROWS)
@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_other_outputs_in_windows(family, pipeline, checkpoint, window_rows):
    """Each window has a pooler output and attentions, over all wordpieces that it reads."""
    import torch

    flags = {"output_hidden_states": True, "output_attentions": True}
    settings = {"overflow": "window", "stride": 6, "window_rows": window_rows}
    nlp = pipeline(family, sentences="doc", **settings, **flags)
    doc = nlp(TEXT * 2)
    pieces = get_wordpieces(doc)
    plain = oracles.load_plain(family, checkpoint(family)).eval()
    with torch.no_grad():
        windows = list(plain_windows(plain, pieces, **flags))
    assert len(doc._.trf_pooler_output) == len(doc._.trf_all_attentions) == len(windows) > 3
    for i, (_, run, outputs) in enumerate(windows):
        attentions = torch.cat(outputs.attentions)
        assert doc._.trf_all_attentions[i].shape == (LAYERS, HEADS, len(run), len(run))
        numpy.testing.assert_allclose(doc._.trf_all_attentions[i], attentions, atol=1e-5)
        numpy.testing.assert_allclose(
            doc._.trf_pooler_output[i], outputs.pooler_output[0], atol=1e-5, rtol=1e-5
        )
    for layer in range(LAYERS + 1):
        states = [(rows, run, o.hidden_states[layer][0]) for rows, run, o in windows]
        expected = torch.stack(rows_of_windows(pieces, states, window_rows))
        numpy.testing.assert_allclose(
            doc._.trf_all_hidden_states[layer], expected, atol=1e-5, rtol=1e-5
        )


@pytest.mark.parametrize("window_rows", WINDOW_ROWS)
def test_alignment_in_windows_equals_the_oracle(family, pipeline, window_rows):
    """Wordpieces are linked to tokens of the sentence, boundary pieces to those of their window."""
    settings = {"overflow": "window", "stride": 6, "window_rows": window_rows}
    doc = pipeline(family, sentences="doc", **settings)(TEXT * 2)
    assert doc._.trf_alignment == links_in_windows(doc)


def links_in_windows(doc):
    pieces = get_wordpieces(doc)
    tokens = [(token.idx, token.idx + len(token)) for token in doc]
    sentence = (0, tokens[-1][1])
    links = [[] for _ in tokens]
    row = 0
    for n, span in zip(pieces.lengths.tolist(), pieces.spans.tolist(), strict=True):
        for offsets, edge in zip(
            pieces.offsets[row : row + n].tolist(), pieces.boundary[row : row + n], strict=True
        ):
            source = tuple(span) if edge else sentence
            (linked,) = oracles.link_pieces(doc.text, tokens, [tuple(offsets)], [edge], source)
            if not linked:  # a boundary piece of a window without tokens
                linked = oracles.nearest(tokens, range(len(tokens)), tuple(span))
            for token in linked:
                links[token].append(row)
            row += 1
    return links


@pytest.mark.parametrize("window_rows", WINDOW_ROWS)
@pytest.mark.parametrize("family", ["bert", "roberta", "gpt2", "t5"])
def test_gradients_through_windows_equal_plain_autograd(family, fresh, checkpoint, window_rows):
    """The gradients of all outputs of the model are checked together."""
    import torch

    kept = {"output_hidden_states": True, "output_attentions": True}
    nlp = fresh(
        family, overflow="window", stride=6, words_per_batch=100, window_rows=window_rows, **kept
    )
    with nlp.select_pipes(disable=["sentencizer", "trf_tok2vec"]):
        docs = [nlp(text) for text in (TEXT, "short", TEXT)]
    model = nlp.get_pipe("trf_tok2vec").model
    wordpieces = [get_wordpieces(doc) for doc in docs]
    outputs, backprop = model(wordpieces, is_train=True)
    rng = numpy.random.default_rng(0)
    gradients = [random_gradients(rng, output) for output in outputs]
    backprop(gradients)
    plain = oracles.load_plain.__wrapped__(family, checkpoint(family)).train()
    for pieces, gradient in zip(wordpieces, gradients, strict=True):
        windows = list(plain_windows(plain, pieces, **kept))
        states = [(rows, run, torch.stack(o.hidden_states, 2)[0]) for rows, run, o in windows]
        hidden = torch.stack(rows_of_windows(pieces, states, window_rows))  # (n_wp, layers, width)
        loss = (hidden * torch.tensor(gradient.hidden_states).transpose(0, 1)).sum()
        states = [(rows, run, o.last_hidden_state[0]) for rows, run, o in windows]
        hidden = torch.stack(rows_of_windows(pieces, states, window_rows))
        loss = loss + (hidden * torch.tensor(gradient.last_hidden_state)).sum()
        for i, (_, _, given_outputs) in enumerate(windows):
            attentions = torch.cat(given_outputs.attentions)
            loss = loss + (attentions * torch.tensor(gradient.attentions[i])).sum()
            if gradient.pooler_output is not None:
                pooled = given_outputs.pooler_output[0]
                loss = loss + (pooled * torch.tensor(gradient.pooler_output[i])).sum()
        loss.backward()
    expected = dict(plain.named_parameters())
    for name, parameter in get_shim(model)._model.named_parameters():
        if expected[name].grad is not None:
            scale = max(float(expected[name].grad.abs().max()), 1.0)
            numpy.testing.assert_allclose(
                parameter.grad, expected[name].grad, atol=1e-5 * scale, rtol=1e-5
            )


def random_gradients(rng, outputs):
    def like(array):
        return None if array is None else rng.normal(size=array.shape).astype("float32")

    return Activations(
        last_hidden_state=like(outputs.last_hidden_state),
        pooler_output=like(outputs.pooler_output),
        hidden_states=like(outputs.hidden_states),
        attentions=[like(attention) for attention in outputs.attentions],
    )


@given(
    text=texts(30),
    window_rows=st.sampled_from(WINDOW_ROWS),
    room=st.integers(1, 8),
    stride=st.integers(0, 5),
)
@settings(max_examples=80)
def test_no_wordpiece_of_any_window_is_lost(
    family, pipeline, checkpoint, text, window_rows, room, stride
):
    """Small windows of odd texts contain only white space, or a part of one token."""
    plain = oracles.load_plain_tokenizer(checkpoint(family))
    tokenizer = WordpieceTokenizer(
        plain,
        max_length=room + plain.num_special_tokens_to_add(),
        overflow="window",
        stride=stride,
        window_rows=window_rows,
    )
    doc = pipeline(family).make_doc(text)
    if not len(doc):
        return
    (pieces,) = tokenize_whole(tokenizer, doc)
    set_wordpieces(doc, pieces)
    links = doc._.trf_alignment
    assert {row for rows in links for row in rows} == set(range(len(pieces)))
    if pieces.runs is not None:
        assert links == links_in_windows(doc)
    alignment = get_alignment(doc)
    states = numpy.arange(1, len(pieces) + 1, dtype="float64")[:, None]
    (rows,), _ = apply_alignment(NumpyOps(), alignment, [states])
    numpy.testing.assert_allclose(rows.sum(), states.sum(), rtol=1e-5)


def test_windows_of_one_character_read_their_neighbours(pipeline, checkpoint):
    plain = oracles.load_plain_tokenizer(checkpoint("roberta"))
    doc = pipeline("roberta").make_doc("👍")
    tokenizer = WordpieceTokenizer(plain, max_length=4, overflow="window", stride=1)
    (pieces,) = tokenize_whole(tokenizer, doc)
    assert (pieces.spans == [0, 1]).all()
    assert pieces.runs.lengths.tolist() == [4] * (len(pieces.lengths))
    assert len(pieces) == 4 + 2 * len(pieces.lengths)
