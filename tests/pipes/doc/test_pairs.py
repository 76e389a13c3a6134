"""Docs that hold a pair of texts: read as the Hugging Face tokenizer reads two texts."""

from __future__ import annotations

import pickle
import random
import warnings
from itertools import product
from pathlib import Path

import numpy
import oracles
import pytest
import spacy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.cli import app
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from strategies import texts
from thinc.api import Adam
from tiny import MAX_LENGTH
from torch_oracle import PlainTransformer, add_writer, assert_near, get_gradients, plain_backward
from typer.testing import CliRunner

from trf_bridge.align import align, apply_alignment
from trf_bridge.pipes.doc.pairs import find_pair
from trf_bridge.pipes.doc.records import get_alignment, get_wordpieces, token_spans
from trf_bridge.pipes.wordpiecer import TrfWordpiecer
from trf_bridge.wrappers.tokenizers.tokenizer import WordpieceTokenizer

CONFIG = Path(__file__).resolve().parents[3] / "examples" / "configs" / "textcat.cfg"

SEP = "|||"
FIRST = "A man. The tide!"
SECOND = "Is it? It isn't 👍🏽 in Straße."
TEXT = f"{FIRST} {SEP} {SECOND}"
LONG = f"{FIRST * 3} {SEP} {SECOND * 4}"


def build_pair(nlp, first, second):
    """A Doc of the tokens of both texts with a separator between them, and the separator's place.

    The texts are made of anything, so they are put together token by token.
    """
    parts = [nlp.make_doc(text.replace(SEP, "")) for text in (first, second)]
    words, spaces = [], []
    for part in parts:
        words += [token.text for token in part] + [SEP]
        spaces += [bool(token.whitespace_) for token in part] + [True]
    words, spaces = words[:-1], spaces[:-1]
    if len(parts[0]):
        spaces[len(parts[0]) - 1] = True
    doc = Doc(nlp.vocab, words=words, spaces=spaces)
    doc._.trf_separator = SEP
    return doc, len(parts[0])


def make_wordpiecer(plain, vocab, *, max_length=None, overflow="truncate", stride=0, **options):
    wordpiecer = TrfWordpiecer(vocab, **options)
    wordpiecer._tokenizer = WordpieceTokenizer(
        plain, max_length=max_length, overflow=overflow, stride=stride
    )
    return wordpiecer


def check(doc, pair):
    """Wordpieces and alignment are those of the oracle, and nothing is lost."""
    pieces, alignment = get_wordpieces(doc), get_alignment(doc)
    assert pieces.ids.tolist() == pair.ids
    assert (None if pieces.type_ids is None else pieces.type_ids.tolist()) == pair.type_ids
    assert pieces.lengths.tolist() == ([len(pair.ids)] if pair.ids else [])
    assert pieces.boundary.tolist() == [side is None for side in pair.sides]
    inside = ~pieces.boundary
    expected = [
        offset for offset, side in zip(pair.offsets, pair.sides, strict=True) if side in (0, 1)
    ]
    assert [tuple(offset) for offset in pieces.offsets[inside].tolist()] == expected
    assert alignment.tolist() == oracles.align_pair(doc, pair)
    check_mass(doc)


def check_mass(doc):
    alignment, n = get_alignment(doc), len(get_wordpieces(doc))
    assert set(alignment.rows.tolist()) == set(range(n))
    rng = numpy.random.default_rng(0)
    x, y = rng.normal(size=(n, 3)), rng.normal(size=(len(doc), 3))
    (rows,), backprop = apply_alignment(spacy.util.get_current_ops(), alignment, [x])
    (d_x,) = backprop([y])
    numpy.testing.assert_allclose(rows.sum(axis=0), x.sum(axis=0), rtol=1e-5, atol=1e-5)
    numpy.testing.assert_allclose((rows * y).sum(), (x * d_x).sum(), rtol=1e-12, atol=1e-12)


class PlainPairs(PlainTransformer):
    """Reads a Doc with a separator as a pair, by transformers alone."""

    def sentences(self, doc):
        places = [token.i for token in doc if token.text == SEP]
        if not places:
            return super().sentences(doc)
        return [oracles.plain_pair(doc, places[0], self.tokenizer, self.max_length)]


# What the tokenizer gives


@given(first=texts(), second=texts())
@settings(max_examples=40)
def test_pairs_are_those_of_the_tokenizer(family, checkpoint, pipeline, first, second):
    plain = oracles.load_plain_tokenizer(checkpoint(family))
    nlp = pipeline(family)
    doc, at = build_pair(nlp, first, second)
    make_wordpiecer(plain, nlp.vocab)(doc)
    check(doc, oracles.plain_pair(doc, at, plain))


@given(first=texts(), second=texts(), room=st.integers(2, 12))
@settings(max_examples=40)
@pytest.mark.filterwarnings("ignore:.*TB101")
def test_pairs_are_cut_as_the_tokenizer_cuts_them(
    family, checkpoint, pipeline, first, second, room
):
    plain = oracles.load_plain_tokenizer(checkpoint(family))
    max_length = plain.num_special_tokens_to_add(pair=True) + room
    doc, at = build_pair(pipeline(family), first, second)
    make_wordpiecer(plain, doc.vocab, max_length=max_length)(doc)
    pair = oracles.plain_pair(doc, at, plain, max_length)
    check(doc, pair)
    lost = set(range(len(doc))) - {*pair.own[0], at, *pair.own[1]}
    assert {i for i, rows in enumerate(doc._.trf_alignment) if not rows} >= lost


def test_bert_and_xlnet_and_roberta_have_their_own_templates(pipeline):
    def read(family):
        doc = pipeline(family, separator=SEP)("a ||| I")
        types = get_wordpieces(doc).type_ids
        return doc._.trf_word_pieces_, None if types is None else types.tolist()

    assert read("bert") == (["[CLS]", "a", "[SEP]", "i", "[SEP]"], [0, 0, 0, 1, 1])
    pieces, types = read("xlnet")
    assert [piece for piece in pieces if piece.startswith("<")] == ["<sep>", "<sep>", "<cls>"]
    at = pieces.index("<sep>") + 1
    assert types == [0] * at + [1] * (len(pieces) - at - 1) + [2]
    assert read("roberta") == (["<s>", "a", "</s>", "</s>", "I", "</s>"], None)
    assert read("gpt2") == (["a", "I"], None)


def test_class_row_is_that_of_the_pair(family, pipeline, checkpoint):
    plain = oracles.load_plain_tokenizer(checkpoint(family))
    (row,) = get_wordpieces(pipeline(family, separator=SEP)(TEXT)).class_rows.tolist()
    ids = plain(FIRST, SECOND)["input_ids"]
    assert row == (ids.index(plain.cls_token_id) if plain.cls_token_id in ids else -1)


def test_boundary_pieces_in_the_texts_are_text(family, pipeline, checkpoint):
    plain = oracles.load_plain_tokenizer(checkpoint(family))
    names = " ".join([*plain.all_special_tokens, "[SEP]", "</s>"])
    doc, at = build_pair(pipeline(family), f"a {names}", f"{names} b")
    make_wordpiecer(plain, doc.vocab)(doc)
    check(doc, oracles.plain_pair(doc, at, plain))
    assert get_wordpieces(doc).boundary.sum() == plain.num_special_tokens_to_add(pair=True)


@pytest.mark.parametrize("text", ["", " ", "a", "\n"])
@pytest.mark.parametrize("other", ["", "I am"])
@pytest.mark.parametrize("turned", [False, True])
def test_empty_texts(family, pipeline, checkpoint, text, other, turned):
    plain = oracles.load_plain_tokenizer(checkpoint(family))
    nlp = pipeline(family)
    doc, at = build_pair(nlp, *((other, text) if turned else (text, other)))
    for name in ("trf_wordpiecer", "trf_tok2vec"):
        nlp.get_pipe(name)(doc)
    check(doc, oracles.plain_pair(doc, at, plain))
    assert doc.tensor.shape[0] == len(doc)
    assert numpy.isfinite(doc.tensor).all()


def test_too_long_pairs_warn_once_with_a_count(pipeline, checkpoint):
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
        check(doc, oracles.plain_pair(doc, at, plain, MAX_LENGTH))
        assert doc.tensor[at].any()
        cut = [i for i, rows in enumerate(doc._.trf_alignment) if not rows]
        assert not doc.tensor[cut].any()


def test_no_room_for_a_pair(checkpoint, pipeline):
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
def test_windows_of_a_pair_lose_nothing(family, checkpoint, pipeline, first, second, room, stride):
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
        check(doc, whole)
        assert pieces.runs is None
        return
    # Each wordpiece is answered for once.
    inside = numpy.flatnonzero(~pieces.boundary)
    order = sorted(inside.tolist(), key=lambda row: place_of(doc, at, pieces, row))
    expected = [i for i, side in enumerate(whole.sides) if side is not None]
    assert pieces.ids[order].tolist() == [whole.ids[i] for i in expected]
    assert [tuple(o) for o in pieces.offsets[order].tolist()] == [
        whole.offsets[i] for i in expected
    ]
    # The first window is the pair as the tokenizer cuts it; all are of its template.
    cut = oracles.plain_pair(doc, at, plain, max_length)
    ends = numpy.cumsum(pieces.runs.lengths)
    runs = numpy.split(pieces.runs.rows, ends[:-1])
    own_ends = numpy.cumsum(pieces.lengths)
    assert pieces.ids[runs[0]].tolist() == cut.ids
    template = [whole.ids[i] for i, side in enumerate(whole.sides) if side is None]
    for run, end, n in zip(runs, own_ends, pieces.lengths, strict=True):
        assert len(run) <= max_length
        assert set(range(end - n, end)) <= set(run.tolist())
        assert pieces.ids[run][pieces.boundary[run]].tolist() == template
        boundary = run[pieces.boundary[run]]
        assert ((boundary >= end - n) & (boundary < end)).all()
        if cut.type_ids is not None:
            assert pieces.type_ids[run].tolist() == pair_types(cut, whole, pieces, run, doc, at)
    # The separator has nothing but boundary pieces, if there are any.
    assert all(rows or (i == at and not template) for i, rows in enumerate(doc._.trf_alignment))
    check_mass(doc)
    check_windows_alone(doc, at)


def place_of(doc, at, pieces, row):
    """Sort wordpieces of windows back into the order of the text."""
    return (pieces.offsets[row, 0] >= doc[at].idx, row)


def pair_types(cut, whole, pieces, run, doc, at):
    """The type ids that belong to what a window reads, piece by piece."""
    boundary = iter(
        [t for t, side in zip(whole.type_ids, whole.sides, strict=True) if side is None]
    )
    of_side = {}
    for t, side in zip(whole.type_ids, whole.sides, strict=True):
        of_side.setdefault(side, t)
    return [
        next(boundary)
        if pieces.boundary[row]
        else of_side[int(pieces.offsets[row, 0] > doc[at].idx)]
        for row in run
    ]


def check_windows_alone(doc, at):
    """No piece of one text is linked to a token of the other, and the separator to none."""
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
def test_pair_in_windows_equals_the_windows_run_one_by_one(family, pipeline, checkpoint, stride):
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


# What the model gives


MIXED = [TEXT, "No separator. Two sentences.", f"a {SEP} b", f"{SECOND} {SEP} {FIRST}", ""]


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
    together = list(nlp.pipe(MIXED * 3))
    alone = [nlp(text) for text in MIXED] * 3
    in_pairs = list(nlp.pipe(MIXED * 3, batch_size=2))
    for one, two, three in zip(together, alone, in_pairs, strict=True):
        assert one._.trf_alignment == two._.trf_alignment == three._.trf_alignment
        numpy.testing.assert_allclose(one.tensor, two.tensor, atol=1e-5, rtol=1e-5)
        numpy.testing.assert_allclose(one.tensor, three.tensor, atol=1e-5, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:.*TB101")
def test_gradients_equal_torch(family, fresh, checkpoint):
    nlp = fresh(family, separator=SEP)
    add_writer(nlp)
    given_texts = [*MIXED, LONG]
    plain = PlainPairs(family, checkpoint(family))
    plain.max_length = nlp.get_pipe("trf_wordpiecer").tokenizer.max_length
    docs = [nlp(text) for text in given_texts]
    plain_backward(plain, docs, ("last_hidden_state",), 1.0)
    expected = plain.gradients()
    assert max(abs(g).max() for g in expected.values()) > 0.1
    nlp.update([Example(nlp.make_doc(t), nlp.make_doc(t)) for t in given_texts], sgd=False)
    assert_near(get_gradients(nlp), expected)


def test_separator_has_a_row_of_boundary_shares_and_sends_its_gradient_back(pipeline):
    doc = pipeline("bert", separator=SEP)(TEXT)
    (at,) = [token.i for token in doc if token.text == SEP]
    hidden, boundary = doc._.trf_last_hidden_state, doc._.trf_boundary
    expected = hidden[boundary].sum(axis=0) / len(doc)
    numpy.testing.assert_allclose(doc.tensor[at], expected, atol=1e-5)
    assert boundary.sum() == 3
    assert doc[at]._.trf_alignment == numpy.flatnonzero(boundary).tolist()


# Which Docs are pairs


def test_separator_of_the_doc_goes_before_that_of_the_pipeline(pipeline):
    nlp = pipeline("bert", separator=SEP)

    def read(text, separator=None):
        doc = nlp.make_doc(text)
        doc._.trf_separator = separator
        doc = nlp(doc)
        return [span.text for span in doc._.trf_segments], len(get_wordpieces(doc).lengths)

    assert read("One. Two ||| three.") == (["One. Two", "three."], 1)
    assert read("One || two ||| three.", "||") == (["One", "two ||| three."], 1)
    assert read("One. Two ||| three.", "") == (["One.", "Two ||| three."], 2)
    assert read("One. Two.") == (["One.", "Two."], 2)
    assert read("One ||| two ||| three.") == (["One", "two ||| three."], 1)
    assert read("One\ttwo.", "\t") == (["One", "two."], 1)
    assert read("||| two.") == (["", "two."], 1)
    assert read("One. |||") == (["One.", ""], 1)


def test_no_separator_unless_asked_for(pipeline):
    nlp = pipeline("bert")
    assert nlp.make_doc("a")._.trf_separator is None
    doc = nlp(TEXT)
    assert doc._.trf_separator is None
    assert [s.text for s in doc._.trf_segments] == [s.text for s in doc.sents]


def test_pair_is_found_at_the_first_separator(pipeline):
    doc = pipeline("bert").make_doc("  a |||  b ||| c ")
    pair = find_pair(doc, token_spans(doc), SEP)
    assert pair.texts == (doc[:2].text, doc[3:].text)
    assert doc.text[slice(*pair.separator)] == SEP
    assert find_pair(doc, token_spans(doc), "d") is None
    empty = doc[:0].as_doc()
    assert find_pair(empty, token_spans(empty), SEP) is None


def test_text_of_a_separator_that_is_no_token_warns(pipeline):
    nlp = pipeline("bert", separator="[SEP]")
    with pytest.warns(UserWarning, match=r"\[TB106\] The separator of 2 Docs is in their text"):
        docs = list(nlp.pipe(["a [SEP] b", "c", "a[SEP]b"]))
    assert all(get_wordpieces(doc).segments is None for doc in docs)


@pytest.mark.parametrize(("separator", "error"), [("", ValueError), (5, TypeError)])
def test_bad_separators_are_refused(pipeline, separator, error):
    with pytest.raises(error, match=r"\[TB037\] Expected the text of a token.* for separator, got"):
        TrfWordpiecer(pipeline("bert").vocab, separator=separator)


def test_bad_separator_of_a_doc_is_refused(pipeline):
    doc = pipeline("bert").make_doc("a")
    doc._.trf_separator = 5
    with pytest.raises(TypeError, match=r"\[TB037\] doc\._\.trf_separator .* 5 \(int\)"):
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
def test_retokenized_pairs_lose_nothing(pipeline, merged):
    doc = pipeline("bert", separator=SEP)("A man sleeps . ||| Someone is asleep . So it is")
    before = [span.text for span in doc._.trf_segments]
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[slice(*merged)])
    check_mass(doc)
    assert all(doc._.trf_alignment)
    assert len(doc._.trf_segments) == len(before)


def test_pairs_and_others_are_aligned_in_one_batch(pipeline):
    docs = list(pipeline("bert", separator=SEP).pipe(MIXED))
    together = align(
        [doc.text for doc in docs],
        [token_spans(doc) for doc in docs],
        [get_wordpieces(doc) for doc in docs],
    ).split()
    for doc, alignment in zip(docs, together, strict=True):
        alone = align([doc.text], [token_spans(doc)], [get_wordpieces(doc)])
        assert alignment.tolist() == alone.tolist()
        assert alignment.weights.tolist() == alone.weights.tolist()


# Training


def read_in_update(nlp, examples):
    """The segments of the predicted Docs as an update of the pipeline sees them."""
    seen = []
    wordpiecer = nlp.get_pipe("trf_wordpiecer")
    original = wordpiecer.set_annotations

    def spy(docs, wordpieces):
        wordpieces = list(wordpieces)
        seen.extend(None if p.segments is None else p.segments.tolist() for p in wordpieces)
        original(docs, wordpieces)

    wordpiecer.set_annotations = spy
    nlp.update(examples, annotates=["trf_wordpiecer"])
    assert seen[: len(examples)] == seen[len(examples) :]
    return seen[: len(examples)]


def test_update_sees_the_pairs_that_prediction_sees(fresh):
    nlp = fresh("bert", separator=SEP)
    expected = get_wordpieces(nlp(TEXT)).segments.tolist()
    marked = nlp.make_doc(f"a || {SEP} b")
    marked._.trf_separator = "||"
    off = nlp.make_doc(TEXT)
    off._.trf_separator = ""
    examples = [
        Example(nlp.make_doc(TEXT), nlp.make_doc(TEXT)),
        Example(marked, nlp.make_doc(marked.text)),
        Example(off, nlp.make_doc(TEXT)),
        Example(nlp.make_doc("a"), nlp.make_doc("a")),
    ]
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*TB106")
        seen = read_in_update(nlp, examples)
    assert seen == [expected, [[[0, 1], [2, 4], [5, 10]]], None, None]


def test_separator_of_the_reference_is_used_with_a_warning(fresh):
    nlp = fresh("bert")
    reference = nlp.make_doc(TEXT)
    reference._.trf_separator = SEP
    with pytest.warns(UserWarning, match=r"\[TB106\] .* 1 Docs is set on the reference alone"):
        seen = read_in_update(nlp, [Example(nlp.make_doc(TEXT), reference)])
    assert seen[0] is not None
    both = nlp.make_doc(TEXT)
    both._.trf_separator = SEP
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*TB106")
        assert read_in_update(nlp, [Example(both, reference)]) == seen
        nlp.get_pipe("trf_wordpiecer").separator = SEP
        assert read_in_update(nlp, [Example(nlp.make_doc(TEXT), reference)]) == seen


WORDS = ["boats", "cream", "news", "tide"]


def paraphrase_examples(nlp):
    """Do both texts say the same? Each text alone says nothing about it."""
    texts = []
    for one, two in product(WORDS, WORDS):
        texts += [(f"{one} {SEP} {two}", one == two)] * (len(WORDS) - 1 if one == two else 1)
    for word, side in product(WORDS, (0, 2)):
        answers = [same for text, same in texts if text.split()[side] == word]
        assert sum(answers) * 2 == len(answers)
    return [
        Example.from_dict(
            nlp.make_doc(text), {"cats": {"same": float(same), "other": float(not same)}}
        )
        for text, same in texts
    ]


@pytest.fixture(scope="module")
def trained(checkpoint):
    """A pipeline that was trained to tell pairs of the same word from others."""
    import trf_bridge

    spacy.util.fix_random_seed(0)
    nlp = trf_bridge.from_pretrained(checkpoint("bert"), separator=SEP)
    examples = paraphrase_examples(nlp)
    nlp.add_pipe("trf_textcat").initialize(lambda: examples, nlp=nlp)
    optimizer = nlp.resume_training(sgd=Adam(learn_rate=0.005))
    rng = random.Random(0)
    for _ in range(100):
        rng.shuffle(examples)
        for batch in spacy.util.minibatch(examples, size=8):
            nlp.update(batch, sgd=optimizer)
    return nlp


def test_textcat_learns_what_only_the_pair_says(trained):
    scores = trained.evaluate(paraphrase_examples(trained))
    assert scores["cats_macro_f"] == 1.0
    assert trained("boats ||| boats").cats["same"] > 0.9
    assert trained("boats ||| news").cats["same"] < 0.1


def test_trained_pipeline_is_saved_with_its_separator(trained, tmp_path):
    given_texts = ["boats ||| boats", "tide ||| cream"]
    expected = [doc.cats for doc in trained.pipe(given_texts)]
    trained.to_disk(tmp_path / "pairs")
    loaded = spacy.load(tmp_path / "pairs")
    assert loaded.get_pipe("trf_wordpiecer").separator == SEP
    assert [doc.cats for doc in loaded.pipe(given_texts)] == expected
    restored = spacy.blank("en").from_config(trained.config).from_bytes(trained.to_bytes())
    assert [doc.cats for doc in restored.pipe(given_texts)] == expected
    assert [doc.cats for doc in trained.pipe(given_texts, n_process=2)] == expected


def test_spacy_train_learns_from_pairs(pipeline, tmp_path):
    pipeline("bert", separator=SEP).to_disk(tmp_path / "source")
    docs = [example.reference for example in paraphrase_examples(spacy.blank("en"))]
    DocBin(docs=docs).to_disk(tmp_path / "pairs.spacy")
    options = {
        "paths.source": tmp_path / "source",
        "paths.train": tmp_path / "pairs.spacy",
        "paths.dev": tmp_path / "pairs.spacy",
        "training.dropout": 0.0,
        "training.max_steps": 240,
        "training.batcher.size": 32,
        "training.optimizer.learn_rate.initial_rate": 0.01,
    }
    arguments = [str(part) for name, value in options.items() for part in (f"--{name}", value)]
    command = ["train", str(CONFIG), *arguments, "--output", str(tmp_path / "trained")]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output + repr(result.exception)
    nlp = spacy.load(tmp_path / "trained" / "model-best")
    assert nlp.meta["performance"]["cats_score"] == 1.0
    for doc in nlp.pipe(doc.text for doc in docs):
        first, second = (span.text for span in doc._.trf_segments)
        assert (doc.cats["same"] > 0.5) == (first == second)


def test_separator_can_be_given_when_a_pipeline_is_loaded(pipeline, tmp_path):
    pipeline("bert").to_disk(tmp_path / "plain")
    config = {"components": {"trf_wordpiecer": {"separator": SEP}}}
    nlp = spacy.load(tmp_path / "plain", config=config)
    assert get_wordpieces(nlp(TEXT)).segments is not None
    nlp.to_disk(tmp_path / "pairs")
    sourced = spacy.blank("en")
    source = spacy.load(tmp_path / "pairs")
    for name in source.pipe_names:
        sourced.add_pipe(name, source=source)
    for again in (source, sourced):
        numpy.testing.assert_array_equal(again(TEXT).tensor, nlp(TEXT).tensor)


# Serialization


def same_pair(one, two):
    pieces, others = get_wordpieces(one), get_wordpieces(two)
    for name in ("ids", "type_ids", "offsets", "boundary", "lengths", "spans", "segments"):
        expected, found = getattr(pieces, name), getattr(others, name)
        assert expected.dtype == found.dtype
        numpy.testing.assert_array_equal(expected, found)
    assert pieces.joined == others.joined
    assert one._.trf_separator == two._.trf_separator
    assert one._.trf_alignment == two._.trf_alignment
    assert [s.text for s in one._.trf_segments] == [s.text for s in two._.trf_segments]


@pytest.mark.filterwarnings("ignore:.*W109")
def test_pairs_on_docs_are_saved_with_them(pipeline):
    nlp = pipeline("xlnet")
    doc = nlp.make_doc(TEXT)
    doc._.trf_separator = SEP
    doc = nlp(doc)
    assert get_wordpieces(doc).type_ids.max() == 2
    same_pair(doc, Doc(nlp.vocab).from_bytes(doc.to_bytes()))
    same_pair(doc, doc.copy())
    same_pair(doc, pickle.loads(pickle.dumps(doc)))
    (restored,) = DocBin(docs=[doc], store_user_data=True).get_docs(nlp.vocab)
    same_pair(doc, restored)
    numpy.testing.assert_allclose(nlp(restored).tensor, doc.tensor, atol=1e-5)


def test_separators_in_a_docbin_reach_the_wordpiecer(pipeline):
    nlp = pipeline("bert")
    doc = nlp.make_doc(TEXT)
    doc._.trf_separator = SEP
    data = DocBin(docs=[doc], store_user_data=True).to_bytes()
    (restored,) = DocBin().from_bytes(data).get_docs(nlp.vocab)
    assert restored._.trf_separator == SEP
    assert [span.text for span in nlp(restored)._.trf_segments] == [FIRST, SECOND]
