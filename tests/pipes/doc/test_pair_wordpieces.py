"""Wordpieces of pairs of texts: encoded like the Hugging Face tokenizer does, and windows."""

from __future__ import annotations

import numpy
import oracles
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pair_checks import (
    FIRST,
    LONG,
    SECOND,
    SEP,
    TEXT,
    build_pair,
    check_pair,
    check_pair_sums,
    make_wordpiecer,
)
from strategies import texts
from tiny import MAX_LENGTH

from trf_bridge.pipes.doc.records import get_wordpieces

# Comparison with the Hugging Face tokenizer


@given(first=texts(), second=texts())
@settings(max_examples=40)
def test_pairs_equal_those_of_the_tokenizer(family, checkpoint, pipeline, first, second):
    plain = oracles.load_plain_tokenizer(checkpoint(family))
    nlp = pipeline(family)
    doc, at = build_pair(nlp, first, second)
    make_wordpiecer(plain, nlp.vocab)(doc)
    check_pair(doc, oracles.plain_pair(doc, at, plain))


@given(first=texts(), second=texts(), room=st.integers(2, 12))
@settings(max_examples=40)
@pytest.mark.filterwarnings("ignore:.*TB101")
def test_pairs_are_truncated_like_the_tokenizer_does(
    family, checkpoint, pipeline, first, second, room
):
    plain = oracles.load_plain_tokenizer(checkpoint(family))
    max_length = plain.num_special_tokens_to_add(pair=True) + room
    doc, at = build_pair(pipeline(family), first, second)
    make_wordpiecer(plain, doc.vocab, max_length=max_length)(doc)
    pair = oracles.plain_pair(doc, at, plain, max_length)
    check_pair(doc, pair)
    lost = set(range(len(doc))) - {*pair.own[0], at, *pair.own[1]}
    assert {i for i, rows in enumerate(doc._.trf_alignment) if not rows} >= lost


def test_templates_of_bert_xlnet_roberta_and_gpt2(pipeline):
    def encode(family):
        doc = pipeline(family, separator=SEP)("a ||| I")
        types = get_wordpieces(doc).type_ids
        return doc._.trf_word_pieces_, None if types is None else types.tolist()

    assert encode("bert") == (["[CLS]", "a", "[SEP]", "i", "[SEP]"], [0, 0, 0, 1, 1])
    pieces, types = encode("xlnet")
    assert [piece for piece in pieces if piece.startswith("<")] == ["<sep>", "<sep>", "<cls>"]
    at = pieces.index("<sep>") + 1
    assert types == [0] * at + [1] * (len(pieces) - at - 1) + [2]
    assert encode("roberta") == (["<s>", "a", "</s>", "</s>", "I", "</s>"], None)
    assert encode("gpt2") == (["a", "I"], None)


def test_class_row_of_a_pair(family, pipeline, checkpoint):
    plain = oracles.load_plain_tokenizer(checkpoint(family))
    (row,) = get_wordpieces(pipeline(family, separator=SEP)(TEXT)).class_rows.tolist()
    ids = plain(FIRST, SECOND)["input_ids"]
    assert row == (ids.index(plain.cls_token_id) if plain.cls_token_id in ids else -1)


def test_special_tokens_in_the_texts_are_not_boundary_pieces(family, pipeline, checkpoint):
    plain = oracles.load_plain_tokenizer(checkpoint(family))
    names = " ".join([*plain.all_special_tokens, "[SEP]", "</s>"])
    doc, at = build_pair(pipeline(family), f"a {names}", f"{names} b")
    make_wordpiecer(plain, doc.vocab)(doc)
    check_pair(doc, oracles.plain_pair(doc, at, plain))
    assert get_wordpieces(doc).boundary.sum() == plain.num_special_tokens_to_add(pair=True)


@pytest.mark.parametrize("text", ["", " ", "a", "\n"])
@pytest.mark.parametrize("other", ["", "I am"])
@pytest.mark.parametrize("swapped", [False, True])
def test_empty_texts(family, pipeline, checkpoint, text, other, swapped):
    plain = oracles.load_plain_tokenizer(checkpoint(family))
    nlp = pipeline(family)
    doc, at = build_pair(nlp, *((other, text) if swapped else (text, other)))
    for name in ("trf_wordpiecer", "trf_tok2vec"):
        nlp.get_pipe(name)(doc)
    check_pair(doc, oracles.plain_pair(doc, at, plain))
    assert doc.tensor.shape[0] == len(doc)
    assert numpy.isfinite(doc.tensor).all()


def test_truncated_pairs_warn_once_with_a_count(pipeline, checkpoint):
    nlp = pipeline("bert", separator=SEP)
    plain = oracles.load_plain_tokenizer(checkpoint("bert"))
    given_texts = [LONG, TEXT, f"a {SEP} {SECOND * 4}"]
    n_lost = 0
    for doc in (nlp.make_doc(text) for text in given_texts):
        (at,) = [token.i for token in doc if token.text == SEP]
        pair = oracles.plain_pair(doc, at, plain, MAX_LENGTH)
        n_lost += len(doc) - 1 - len(pair.own[0]) - len(pair.own[1])
    with pytest.warns(UserWarning, match="TB101") as caught:
        docs = list(nlp.pipe(given_texts))
    (message,) = [str(w.message) for w in caught if "TB101" in str(w.message)]
    assert n_lost > 20
    assert message.startswith(f"[TB101] {n_lost} tokens of 2 sentences or pairs")
    for doc in docs:
        (at,) = [token.i for token in doc if token.text == SEP]
        check_pair(doc, oracles.plain_pair(doc, at, plain, MAX_LENGTH))
        assert doc.tensor[at].any()
        truncated = [i for i, rows in enumerate(doc._.trf_alignment) if not rows]
        assert not doc.tensor[truncated].any()


def test_maximum_length_without_room_for_a_pair_is_rejected(checkpoint, pipeline):
    plain = oracles.load_plain_tokenizer(checkpoint("roberta"))
    wordpiecer = make_wordpiecer(plain, pipeline("roberta").vocab, max_length=5, separator=SEP)
    doc, _ = build_pair(pipeline("roberta"), "", "")
    assert len(get_wordpieces(wordpiecer(doc))) == 2
    doc, _ = build_pair(pipeline("roberta"), "a b", "c d")
    with pytest.raises(ValueError, match=r"\[TB009\] .* 6 .*The model's maximum length.* got 5"):
        wordpiecer(doc)


# Windows


@given(
    first=st.one_of(texts(40), st.just(FIRST * 3)),
    second=st.one_of(texts(40), st.just(SECOND * 3)),
    room=st.integers(2, 20),
    stride=st.integers(0, 20),
)
@settings(max_examples=60)
def test_windows_of_a_pair_are_complete(family, checkpoint, pipeline, first, second, room, stride):
    plain = oracles.load_plain_tokenizer(checkpoint(family))
    max_length = plain.num_special_tokens_to_add(pair=True) + room
    doc, at = build_pair(pipeline(family), first, second)
    wordpiecer = make_wordpiecer(
        plain, doc.vocab, max_length=max_length, overflow="window", stride=stride
    )
    wordpiecer(doc)
    whole = oracles.plain_pair(doc, at, plain)
    pieces = get_wordpieces(doc)
    if len(whole.ids) <= max_length:
        check_pair(doc, whole)
        assert pieces.runs is None
        return
    # Each wordpiece belongs to one window.
    content = numpy.flatnonzero(~pieces.boundary)
    order = sorted(content.tolist(), key=lambda row: text_order(doc, at, pieces, row))
    expected = [i for i, side in enumerate(whole.sides) if side is not None]
    assert pieces.ids[order].tolist() == [whole.ids[i] for i in expected]
    assert [tuple(o) for o in pieces.offsets[order].tolist()] == [
        whole.offsets[i] for i in expected
    ]
    # The first window is the pair as the tokenizer truncates it. All have the same template.
    first_window = oracles.plain_pair(doc, at, plain, max_length)
    ends = numpy.cumsum(pieces.runs.lengths)
    runs = numpy.split(pieces.runs.rows, ends[:-1])
    own_ends = numpy.cumsum(pieces.lengths)
    assert pieces.ids[runs[0]].tolist() == first_window.ids
    template = [whole.ids[i] for i, side in enumerate(whole.sides) if side is None]
    for run, end, n in zip(runs, own_ends, pieces.lengths, strict=True):
        assert len(run) <= max_length
        assert set(range(end - n, end)) <= set(run.tolist())
        assert pieces.ids[run][pieces.boundary[run]].tolist() == template
        boundary = run[pieces.boundary[run]]
        assert ((boundary >= end - n) & (boundary < end)).all()
        if first_window.type_ids is not None:
            assert pieces.type_ids[run].tolist() == pair_types(whole, pieces, run, doc, at)
    # The separator is linked to boundary pieces only, if there are any.
    assert all(rows or (i == at and not template) for i, rows in enumerate(doc._.trf_alignment))
    check_pair_sums(doc)
    check_window_links(doc, at)


def text_order(doc, at, pieces, row):
    """Return a key that sorts the wordpieces of windows in the order of the text."""
    return (pieces.offsets[row, 0] >= doc[at].idx, row)


def pair_types(whole, pieces, run, doc, at):
    """Return the type id of each wordpiece that a window contains."""
    boundary = iter(
        [t for t, side in zip(whole.type_ids, whole.sides, strict=True) if side is None]
    )
    type_of_side = {}
    for t, side in zip(whole.type_ids, whole.sides, strict=True):
        type_of_side.setdefault(side, t)
    return [
        next(boundary)
        if pieces.boundary[row]
        else type_of_side[int(pieces.offsets[row, 0] > doc[at].idx)]
        for row in run
    ]


def check_window_links(doc, at):
    """Check that no wordpiece of a text is linked to the other text or to the separator."""
    pieces, links = get_wordpieces(doc), doc._.trf_alignment
    second = pieces.offsets[:, 0] > doc[at].idx
    if 0 < at < len(doc) - 1:
        for token, rows in enumerate(links):
            content = [row for row in rows if not pieces.boundary[row]]
            assert all(second[row] == (token > at) for row in content)
    if len(doc) > 1:
        assert all(pieces.boundary[row] for row in links[at])
    ends = numpy.cumsum(pieces.lengths)
    assert all(row < ends[0] for row in links[at])


@pytest.mark.parametrize("stride", [0, 5, 128])
def test_outputs_of_windows_equal_separate_runs(family, pipeline, checkpoint, stride):
    nlp = pipeline(family, overflow="window", stride=stride, separator=SEP)
    doc = nlp(LONG)
    pieces = get_wordpieces(doc)
    if nlp.get_pipe("trf_wordpiecer").tokenizer.max_length is None:
        assert pieces.runs is None
        return
    plain = oracles.load_plain(family, checkpoint(family)).eval()
    assert len(pieces.lengths) > 2
    own_ends = numpy.cumsum(pieces.lengths)
    seen = numpy.zeros(len(pieces), dtype=bool)
    runs = numpy.split(pieces.runs.rows, numpy.cumsum(pieces.runs.lengths)[:-1])
    for run, end, n in zip(runs, own_ends, pieces.lengths, strict=True):
        types = None if pieces.type_ids is None else pieces.type_ids[run].tolist()
        with torch.no_grad():
            hidden = oracles.run_plain(plain, pieces.ids[run].tolist(), types).last_hidden_state[0]
        own = (run >= end - n) & (run < end)
        found = doc._.trf_last_hidden_state[run[own]]
        numpy.testing.assert_allclose(found, hidden.numpy()[own], atol=1e-5, rtol=1e-5)
        seen[run[own]] = True
    assert seen.all()
    assert [span.text for span in doc._.trf_segments] == [FIRST * 3, SECOND * 4]
