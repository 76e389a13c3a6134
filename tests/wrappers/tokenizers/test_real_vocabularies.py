"""Published vocabularies over real and odd texts, against the slow oracle."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from real_data import DATA, TOKENIZERS, load_tokenizer, naughty_strings, paragraphs, treebank
from strategies import HOSTILE, LONG_WORDS
from vocabulary_checks import (
    check_literal_specials,
    check_long_word,
    check_pairs,
    check_retokenized,
    check_texts,
    check_words,
)

pytestmark = [pytest.mark.shared, pytest.mark.slow]


def contexts_and_questions(lang):
    path = DATA / "multilingual" / "xquad" / f"xquad.{lang}.json"
    articles = json.loads(path.read_text(encoding="utf8"))["data"]
    paragraphs = [p for article in articles for p in article["paragraphs"]]
    return [
        (p["context"][:600], p["qas"][0]["question"])
        for p in random.Random(0).sample(paragraphs, 6)
    ]


@pytest.mark.parametrize("name", TOKENIZERS)
def test_naughty_strings(name):
    check_texts(load_tokenizer(name), "en", naughty_strings())


@pytest.mark.parametrize("lang", ["en", "zh", "ar", "hi", "th", "ru"])
@pytest.mark.parametrize("name", TOKENIZERS)
def test_paragraphs_in_many_languages(name, lang):
    check_texts(load_tokenizer(name), lang, paragraphs(lang)[:6])


@pytest.mark.parametrize("name", TOKENIZERS)
def test_hostile_texts(name):
    among_others = [f"A{text}b. {text} [SEP]" for text in HOSTILE.values()]
    check_texts(load_tokenizer(name), "en", [*HOSTILE.values(), *among_others])


@pytest.mark.parametrize("word", LONG_WORDS.values(), ids=list(LONG_WORDS))
@pytest.mark.parametrize("name", TOKENIZERS)
def test_words_of_ten_thousand_letters(name, word):
    check_long_word(load_tokenizer(name), word)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_literal_special_tokens_are_text(name):
    check_literal_specials(load_tokenizer(name))


@pytest.mark.parametrize("treebank_name", ["en_ewt", "de_gsd", "zh_gsd"])
@pytest.mark.parametrize("name", TOKENIZERS)
def test_retokenized_treebanks(name, treebank_name):
    check_retokenized(load_tokenizer(name), treebank(treebank_name)[:15])


@pytest.mark.parametrize("treebank_name", ["en_ewt", "de_gsd", "zh_gsd"])
@pytest.mark.parametrize("name", TOKENIZERS)
def test_words_and_spaces_of_treebanks(name, treebank_name):
    check_words(load_tokenizer(name), treebank(treebank_name))


@pytest.mark.parametrize("lang", ["en", "zh", "ar", "hi", "th", "ru"])
@pytest.mark.parametrize("name", TOKENIZERS)
def test_pairs_in_many_languages(name, lang):
    pairs = contexts_and_questions(lang)
    both_orders = [pair for a, b in pairs for pair in ((a, b), (b, a))]
    check_pairs(load_tokenizer(name), lang, both_orders)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_pairs_of_naughty_strings(name):
    strings = [text for text in naughty_strings() if "|||" not in text]
    pairs = zip(strings, strings[1:] + strings[:1], strict=True)
    check_pairs(load_tokenizer(name), "en", pairs)


@pytest.mark.filterwarnings("ignore:.*TB101")
@pytest.mark.parametrize("name", TOKENIZERS)
def test_pairs_that_are_too_long(name):
    for max_length in (20, 41, 90):
        for context, question in contexts_and_questions("en"):
            pairs = [(context, question), (context, context[:200])]
            check_pairs(load_tokenizer(name), "en", pairs, max_length)


def test_every_tokenizer_is_a_published_one():
    for name in TOKENIZERS:
        assert (DATA / "tokenizers" / name).is_dir()
        assert len(load_tokenizer(name)) > 20_000
        assert Path(load_tokenizer(name).name_or_path).name == name
