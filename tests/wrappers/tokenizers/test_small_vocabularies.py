"""Small vocabularies in the file formats of published ones, on texts in many languages.

The tests of `test_real_vocabularies.py`, without data beside the checkout.
"""

from __future__ import annotations

import pytest
from small_data import PASSAGES, STRINGS, TREEBANKS, small_paragraphs, small_strings, small_treebank
from small_vocabularies import SMALL_TOKENIZERS, load_small, save_vocabulary
from strategies import HOSTILE, LONG_WORDS
from vocabulary_checks import (
    check_literal_specials,
    check_long_word,
    check_pairs,
    check_retokenized,
    check_texts,
    check_words,
)


@pytest.fixture(scope="module", params=SMALL_TOKENIZERS)
def tokenizer(request, tmp_path_factory):
    """The tokenizer that transformers builds from vocabulary files."""
    name = request.param
    return load_small(save_vocabulary(name, tmp_path_factory.mktemp(name)), name)


def test_class_is_that_of_published_checkpoints(tokenizer):
    assert tokenizer.is_fast
    assert type(tokenizer).__name__.removesuffix("Fast") in {
        name.removesuffix("Fast") for name in SMALL_TOKENIZERS.values()
    }
    assert 400 <= len(tokenizer) <= 1000


def test_odd_strings(tokenizer):
    check_texts(tokenizer, "en", small_strings())


def test_odd_strings_among_words(tokenizer):
    texts = [f"A{text}b. {text} [SEP]" for text in [*HOSTILE.values(), *STRINGS]]
    check_texts(tokenizer, "en", texts)


@pytest.mark.parametrize("lang", PASSAGES)
def test_paragraphs_in_many_languages(tokenizer, lang):
    check_texts(tokenizer, lang, small_paragraphs(lang))


@pytest.mark.parametrize("word", LONG_WORDS.values(), ids=list(LONG_WORDS))
def test_words_of_ten_thousand_letters(tokenizer, word):
    check_long_word(tokenizer, word)


def test_literal_special_tokens_are_text(tokenizer):
    check_literal_specials(tokenizer)


@pytest.mark.parametrize("name", TREEBANKS)
def test_words_and_spaces_of_treebanks(tokenizer, name):
    check_words(tokenizer, small_treebank(name))


@pytest.mark.parametrize("name", TREEBANKS)
def test_retokenized_treebanks(tokenizer, name):
    check_retokenized(tokenizer, small_treebank(name))


@pytest.mark.parametrize("lang", PASSAGES)
def test_pairs_in_many_languages(tokenizer, lang):
    both_orders = [*PASSAGES[lang], *((second, first) for first, second in PASSAGES[lang])]
    check_pairs(tokenizer, lang, both_orders)


def test_pairs_of_odd_strings(tokenizer):
    strings = [text for text in small_strings() if "|||" not in text]
    check_pairs(tokenizer, "en", zip(strings, strings[1:] + strings[:1], strict=True))


@pytest.mark.filterwarnings("ignore:.*TB101")
@pytest.mark.parametrize("max_length", [20, 41, 90])
def test_pairs_that_are_too_long(tokenizer, max_length):
    pairs = [*PASSAGES["en"], *((first, first[:60]) for first, _ in PASSAGES["en"])]
    check_pairs(tokenizer, "en", pairs, max_length)


def test_treebanks_have_contractions_and_empty_nodes():
    (first, *_) = small_treebank("en")
    assert first[0][:5] == ("She", "can't", "(", "wo", "n't")
    assert first[1][:5] == (True, True, False, False, False)
    assert "sold" not in first[0]
    assert small_treebank("de")[0][0][0] == "Im"
    assert [len(sentences) for sentences in map(small_treebank, TREEBANKS)] == [3, 2, 2]
