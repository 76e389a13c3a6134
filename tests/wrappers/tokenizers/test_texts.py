"""Texts of every kind, with tokenizers of every kind."""

from __future__ import annotations

import numpy
import oracles
import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from odd_tokenizers import ODD, SPECIALS, load_odd
from promises import check
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from strategies import (
    HOSTILE,
    LONG_WORDS,
    PUNCTUATION,
    SPACES,
    retokenizations,
    texts,
    words_and_spaces,
)
from tiny import FAMILIES, WIDTH

from trf_bridge.pipes.doc.records import get_wordpieces
from trf_bridge.pipes.wordpiecer import TrfWordpiecer
from trf_bridge.wrappers.tokenizers.tokenizer import WordpieceTokenizer

KINDS = [*FAMILIES, *ODD]
NO_LIMIT = 1_000_000
NLP = spacy.blank("en")
NLP.add_pipe("sentencizer")


@pytest.fixture(params=KINDS)
def kind(request):
    """Return the name of each kind of tokenizer."""
    return request.param


@pytest.fixture(scope="session")
def load(checkpoint):
    """Return a function that loads the tokenizer of a kind, as transformers does."""

    def get(kind):
        if kind in FAMILIES:
            return oracles.load_plain_tokenizer(checkpoint(kind))
        return load_odd(kind)

    return get


def make_wordpiecer(tokenizer, limit=NO_LIMIT, **options):
    wordpiecer = TrfWordpiecer(NLP.vocab, **options)
    wordpiecer._set_tokenizer(tokenizer, limit)
    return wordpiecer


def tokenize(tokenizer, text):
    return make_wordpiecer(tokenizer)(NLP(text))


# Texts and Docs


@given(text=texts())
@settings(max_examples=25)
def test_any_text(load, kind, text):
    check(tokenize(load(kind), text), load(kind))


def test_hostile_texts(load, kind):
    alone = [*HOSTILE.values(), "".join(SPACES), "".join(PUNCTUATION)]
    among_others = [f"A{text}b. {text} [SEP]" for text in alone]
    docs = NLP.pipe(alone + among_others)
    for doc in make_wordpiecer(load(kind)).pipe(docs):
        check(doc, load(kind))


@pytest.mark.parametrize("word", LONG_WORDS.values(), ids=list(LONG_WORDS))
def test_words_of_ten_thousand_letters(load, kind, word):
    doc = Doc(NLP.vocab, words=["a", word, "b"], spaces=[True, True, False])
    check(make_wordpiecer(load(kind))(doc), load(kind))


@given(drawn=words_and_spaces())
@settings(max_examples=15)
def test_docs_of_words_and_spaces(load, kind, drawn):
    words, spaces, starts = drawn
    doc = Doc(NLP.vocab, words=words, spaces=spaces, sent_starts=starts)
    check(make_wordpiecer(load(kind))(doc), load(kind))


@pytest.mark.parametrize("when", ["before", "after"])
@given(data=st.data())
@settings(max_examples=10)
def test_retokenized_docs(load, kind, when, data):
    """Tokens are merged and split, before or after the Doc is split into wordpieces."""
    doc = NLP.make_doc(data.draw(texts()))
    mark_one_sentence(doc)
    merges, splits = data.draw(retokenizations(doc))
    text = doc.text
    wordpiecer = make_wordpiecer(load(kind))
    if when == "after":
        wordpiecer(doc)
        check(doc, load(kind))
    with doc.retokenize() as retokenizer:
        for start, end in merges:
            retokenizer.merge(doc[start:end])
        for token, parts in splits:
            retokenizer.split(doc[token], parts, heads=[doc[token]] * len(parts))
    assert doc.text == text
    mark_one_sentence(doc)
    if when == "before":
        wordpiecer(doc)
    check(doc, load(kind))


def mark_one_sentence(doc):
    """Set the boundaries of a Doc, because those of a Doc without any depend on its tokens."""
    for token in doc:
        token.is_sent_start = token.i == 0


@given(text=texts(40))
@settings(max_examples=10)
def test_windows_contain_every_wordpiece(load, kind, text):
    tokenizer = load(kind)
    whole = tokenize(tokenizer, text)
    limit = 20 + len(tokenizer("")["input_ids"])
    windows = make_wordpiecer(tokenizer, limit, overflow="window", stride=6)(NLP(text))
    ids, parts = get_wordpieces(whole), get_wordpieces(windows)
    assert parts.ids[~parts.boundary].tolist() == ids.ids[~ids.boundary].tolist()
    linked = {row for rows in windows._.trf_alignment for row in rows}
    assert linked == set(range(len(parts)))


# Literal special tokens


def literal_text(tokenizer):
    names = dict.fromkeys([*tokenizer.all_special_tokens, *SPECIALS])
    return "A" + "".join(f" {name} b{name}c {name}{name}." for name in names) + "  [SEP]\n"


@pytest.mark.parametrize("split_special_tokens", [False, True])
def test_literal_special_tokens_are_text(load, kind, split_special_tokens):
    tokenizer = load(kind)
    text = literal_text(tokenizer)
    options = {"split_special_tokens": split_special_tokens}
    doc = make_wordpiecer(tokenizer, sentences="doc", **options)(NLP.make_doc(text))
    plain = tokenizer(text, return_offsets_mapping=True, return_special_tokens_mask=True, **options)
    assert doc._.trf_word_pieces.tolist() == plain["input_ids"]
    assert doc._.trf_offsets.tolist() == [list(span) for span in plain["offset_mapping"]]
    boundary = [bool(flag) for flag in plain["special_tokens_mask"]]
    assert doc._.trf_boundary.tolist() == boundary
    tokens = [(token.idx, token.idx + len(token)) for token in doc]
    links = oracles.link_pieces(text, tokens, plain["offset_mapping"], boundary, (0, tokens[-1][1]))
    expected = [[row for row, own in enumerate(links) if i in own] for i in range(len(doc))]
    assert doc._.trf_alignment == expected
    # Only boundary pieces are linked to all tokens.
    reach = numpy.bincount([row for rows in doc._.trf_alignment for row in rows])
    assert (reach[boundary] == len(doc)).all()
    assert (reach[~numpy.asarray(boundary)] < len(doc)).all()


def test_special_tokens_are_split_if_the_option_is_set(load):
    doc = make_wordpiecer(load("bert"), split_special_tokens=True)(NLP.make_doc("a [SEP] b"))
    assert doc._.trf_word_pieces_.count("[SEP]") == 1
    assert len(doc._.trf_word_pieces) > len(["[CLS]", "a", "[SEP]", "b", "[SEP]"])
    doc = make_wordpiecer(load("gpt2"), split_special_tokens=True)(NLP.make_doc("a<|endoftext|>"))
    assert doc._.trf_word_pieces_[:4] == ["a", "<", "|", "e"]


def test_saved_pipelines_split_special_tokens_too(pipeline, tmp_path):
    text = "a [MASK] b"
    assert pipeline("bert")(text)._.trf_word_pieces_ == ["[CLS]", "a", "[MASK]", "b", "[SEP]"]
    assert pipeline("bert")(text)[1:4]._.trf_word_pieces_ == ["[MASK]"]
    nlp = pipeline("bert", split_special_tokens=True)
    assert "[MASK]" not in nlp(text)._.trf_word_pieces_
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    assert loaded(text)._.trf_word_pieces_ == nlp(text)._.trf_word_pieces_


# Invalid texts


SURROGATES = ["\ud800", "a\udfffb", "fine \ud83d", "\ude00\ud83d"]


@pytest.mark.parametrize("text", SURROGATES)
def test_half_of_a_surrogate_pair_raises(load, kind, text):
    # spaCy raises an error too, so no Doc contains one.
    with pytest.raises(UnicodeEncodeError):
        NLP(text)
    place = next(i for i, char in enumerate(text) if 0xD800 <= ord(char) < 0xE000)
    tokenizer = make_wordpiecer(load(kind)).tokenizer
    with pytest.raises(ValueError, match=rf"\[TB039\] .*U\+D[0-9A-F]+, .* character {place}\."):
        tokenizer.encode(["a", text])


def test_text_that_is_not_a_string_raises(load):
    with pytest.raises(TypeError):
        make_wordpiecer(load("bert")).tokenizer.encode(["a", None])


def test_tokenizer_with_python_code_raises():
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    class Halves:
        def pre_tokenize(self, text):
            text.split(lambda i, part: [part[: len(part) // 2], part[len(part) // 2 :]])

    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    wrapped.backend_tokenizer.pre_tokenizer = pre_tokenizers.PreTokenizer.custom(Halves())
    with pytest.raises(ValueError, match=r"\[TB004\] .* can't be copied or saved"):
        WordpieceTokenizer(wrapped, max_length=None, overflow="truncate", stride=0)


# With the model


@pytest.mark.filterwarnings("ignore:.*TB101")
@pytest.mark.parametrize("overflow", ["truncate", "window"])
def test_rows_of_hostile_texts_are_finite_and_equal_the_oracle(family, pipeline, overflow):
    nlp = pipeline(family, overflow=overflow)
    for doc in nlp.pipe(HOSTILE.values()):
        hidden = doc._.trf_last_hidden_state
        assert doc.tensor.shape == (len(doc), WIDTH)
        assert numpy.isfinite(doc.tensor).all()
        assert numpy.isfinite(hidden).all()
        links = doc._.trf_alignment
        terms = max(float(oracles.weighted_sum(links, abs(hidden)).max(initial=0)), 1.0)
        expected = oracles.weighted_sum(links, hidden)
        numpy.testing.assert_allclose(doc.tensor, expected, atol=1e-6 * terms, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:.*(W109|TB102)")
def test_docs_without_words_work_everywhere(family, fresh):
    given = ["", "\n", "A cat.", " ", "\r\n\r\n", "\u200b"]
    nlp = fresh(family)
    labels = {"GOOD": 1.0, "BAD": 0.0}
    examples = [Example.from_dict(nlp.make_doc(text), {"cats": labels}) for text in given]
    nlp.add_pipe("trf_textcat", config={"model": {"@architectures": "trf_bridge.TextCatMean.v1"}})
    nlp.get_pipe("trf_textcat").initialize(lambda: examples, nlp=nlp)
    optimizer = nlp.resume_training()
    for batch in ([examples[0]], [examples[1]], examples[:2], examples):
        losses = nlp.update(batch, sgd=optimizer)
        assert numpy.isfinite(losses["trf_textcat"])
    assert 0 <= nlp.evaluate(examples)["cats_score"] <= 1
    docs = list(nlp.pipe(given, batch_size=2))
    data = DocBin(docs=docs, store_user_data=True).to_bytes()
    stored = DocBin().from_bytes(data).get_docs(nlp.vocab)
    for text, doc, other in zip(given, docs, stored, strict=True):
        assert doc.text == other.text == text
        assert doc.tensor.shape == (len(doc), WIDTH)
        assert numpy.isfinite(doc.tensor).all()
        assert numpy.isfinite(doc.vector).all()
        assert numpy.isfinite(list(doc.cats.values())).all()
        assert doc._.trf_alignment == other._.trf_alignment
        assert Doc(nlp.vocab).from_bytes(doc.to_bytes())._.trf_alignment == doc._.trf_alignment
