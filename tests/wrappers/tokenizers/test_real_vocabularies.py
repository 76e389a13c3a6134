"""Real vocabularies over real and hostile text, against the slow oracle."""

from __future__ import annotations

import json
import random
from functools import cache
from pathlib import Path

import oracles
import pytest
import spacy
from promises import check
from real_data import (
    DATA,
    TOKENIZERS,
    load_tokenizer,
    naughty_strings,
    paragraphs,
    treebank,
)
from spacy.tokens import Doc
from strategies import HOSTILE, LONG_WORDS

from trf_bridge.pipes.doc.records import get_alignment, get_wordpieces
from trf_bridge.pipes.wordpiecer import TrfWordpiecer
from trf_bridge.wrappers.tokenizers.tokenizer import WordpieceTokenizer

pytestmark = [pytest.mark.shared, pytest.mark.slow]

NO_LIMIT = 1_000_000


@cache
def load_wordpieces(name):
    return WordpieceTokenizer(
        load_tokenizer(name), max_length=NO_LIMIT, overflow="truncate", stride=0
    )


def contexts_and_questions(lang):
    path = DATA / "multilingual" / "xquad" / f"xquad.{lang}.json"
    articles = json.loads(path.read_text(encoding="utf8"))["data"]
    paragraphs = [p for article in articles for p in article["paragraphs"]]
    return [
        (p["context"][:600], p["qas"][0]["question"])
        for p in random.Random(0).sample(paragraphs, 6)
    ]


def make_wordpiecer(name, vocab):
    wordpiecer = TrfWordpiecer(vocab)
    wordpiecer._tokenizer = load_wordpieces(name)
    return wordpiecer


def check_pair(nlp, wordpiecer, first, second, tokenizer, max_length=None):
    """A pair is what the tokenizer makes of two texts, and aligned as the oracle says."""
    parts = [nlp.make_doc(first), Doc(nlp.vocab, words=["|||"]), nlp.make_doc(second)]
    doc = Doc.from_docs([part for part in parts if len(part)], ensure_whitespace=True)
    doc._.trf_separator = "|||"
    (at, *_) = [token.i for token in doc if token.text == "|||"]
    pair = oracles.plain_pair(doc, at, tokenizer, max_length)
    pieces = get_wordpieces(wordpiecer(doc))
    assert pieces.ids.tolist() == pair.ids
    assert pieces.boundary.tolist() == [side is None for side in pair.sides]
    if pieces.type_ids is not None or pair.type_ids is not None:
        assert pieces.type_ids.tolist() == pair.type_ids
    assert get_alignment(doc).tolist() == oracles.align_pair(doc, pair)


def make_nlp(lang):
    nlp = spacy.blank(lang if lang in ("en", "de", "zh", "ar", "hi", "ru") else "xx")
    nlp.add_pipe("sentencizer")
    return nlp


@pytest.mark.parametrize("name", TOKENIZERS)
def test_naughty_strings(name):
    nlp = make_nlp("en")
    wordpiecer = make_wordpiecer(name, nlp.vocab)
    for doc in wordpiecer.pipe(nlp.pipe(naughty_strings())):
        check(doc, load_tokenizer(name))


@pytest.mark.parametrize("lang", ["en", "zh", "ar", "hi", "th", "ru"])
@pytest.mark.parametrize("name", TOKENIZERS)
def test_paragraphs_in_many_languages(name, lang):
    nlp = make_nlp(lang)
    wordpiecer = make_wordpiecer(name, nlp.vocab)
    for doc in wordpiecer.pipe(nlp.pipe(paragraphs(lang)[:6])):
        check(doc, load_tokenizer(name))


@pytest.mark.parametrize("name", TOKENIZERS)
def test_hostile_texts(name):
    nlp = make_nlp("en")
    wordpiecer = make_wordpiecer(name, nlp.vocab)
    among_others = [f"A{text}b. {text} [SEP]" for text in HOSTILE.values()]
    for doc in wordpiecer.pipe(nlp.pipe([*HOSTILE.values(), *among_others])):
        check(doc, load_tokenizer(name))


@pytest.mark.parametrize("word", LONG_WORDS.values(), ids=list(LONG_WORDS))
@pytest.mark.parametrize("name", TOKENIZERS)
def test_words_of_ten_thousand_letters(name, word):
    nlp = make_nlp("xx")
    doc = Doc(nlp.vocab, words=["a", word, "b"])
    check(make_wordpiecer(name, nlp.vocab)(doc), load_tokenizer(name))


@pytest.mark.parametrize("name", TOKENIZERS)
def test_literal_special_tokens_are_text(name):
    tokenizer = load_tokenizer(name)
    nlp = make_nlp("xx")
    text = "A" + "".join(f" {piece} b{piece}c." for piece in tokenizer.all_special_tokens)
    doc = make_wordpiecer(name, nlp.vocab)(nlp(text))
    check(doc, tokenizer)
    assert sum(doc._.trf_boundary) == tokenizer.num_special_tokens_to_add() * len(list(doc.sents))


@pytest.mark.parametrize("treebank_name", ["en_ewt", "de_gsd", "zh_gsd"])
@pytest.mark.parametrize("name", TOKENIZERS)
def test_retokenized_treebanks(name, treebank_name):
    """Neighbours merged as entities are, and long words split as compounds are."""
    nlp = make_nlp("xx")
    wordpiecer = make_wordpiecer(name, nlp.vocab)
    chosen = random.Random(1)
    for words, spaces in treebank(treebank_name)[:15]:
        doc = wordpiecer(Doc(nlp.vocab, words=words, spaces=spaces))
        with doc.retokenize() as retokenizer:
            for start in range(0, len(doc) - 3, 4):
                retokenizer.merge(doc[start : start + chosen.randint(1, 3)])
            for token in list(doc)[3::4]:
                if len(token) > 1:
                    cut = chosen.randint(1, len(token) - 1)
                    parts = [token.text[:cut], token.text[cut:]]
                    retokenizer.split(token, parts, heads=[token, token])
        check(doc, load_tokenizer(name))


@pytest.mark.parametrize("treebank_name", ["en_ewt", "de_gsd", "zh_gsd"])
@pytest.mark.parametrize("name", TOKENIZERS)
def test_words_and_spaces_of_treebanks(name, treebank_name):
    nlp = make_nlp("xx")
    wordpiecer = make_wordpiecer(name, nlp.vocab)
    docs = [Doc(nlp.vocab, words=words, spaces=spaces) for words, spaces in treebank(treebank_name)]
    for doc in wordpiecer.pipe(docs):
        check(doc, load_tokenizer(name))


@pytest.mark.parametrize("lang", ["en", "zh", "ar", "hi", "th", "ru"])
@pytest.mark.parametrize("name", TOKENIZERS)
def test_pairs_in_many_languages(name, lang):
    nlp, tokenizer = make_nlp(lang), load_tokenizer(name)
    wordpiecer = make_wordpiecer(name, nlp.vocab)
    for context, question in contexts_and_questions(lang):
        check_pair(nlp, wordpiecer, context, question, tokenizer)
        check_pair(nlp, wordpiecer, question, context, tokenizer)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_pairs_of_naughty_strings(name):
    nlp, tokenizer = make_nlp("en"), load_tokenizer(name)
    wordpiecer = make_wordpiecer(name, nlp.vocab)
    strings = [text for text in naughty_strings() if "|||" not in text]
    for first, second in zip(strings, strings[1:] + strings[:1], strict=True):
        check_pair(nlp, wordpiecer, first, second, tokenizer)


@pytest.mark.filterwarnings("ignore:.*TB101")
@pytest.mark.parametrize("name", TOKENIZERS)
def test_pairs_that_are_too_long(name):
    nlp, tokenizer = make_nlp("en"), load_tokenizer(name)
    for max_length in (20, 41, 90):
        wordpiecer = TrfWordpiecer(nlp.vocab)
        wordpiecer._tokenizer = WordpieceTokenizer(
            tokenizer, max_length=max_length, overflow="truncate", stride=0
        )
        for context, question in contexts_and_questions("en"):
            check_pair(nlp, wordpiecer, context, question, tokenizer, max_length)
            check_pair(nlp, wordpiecer, context, context[:200], tokenizer, max_length)


def test_every_tokenizer_is_a_real_one():
    for name in TOKENIZERS:
        assert (DATA / "tokenizers" / name).is_dir()
        assert len(load_tokenizer(name)) > 20_000
        assert Path(load_tokenizer(name).name_or_path).name == name
