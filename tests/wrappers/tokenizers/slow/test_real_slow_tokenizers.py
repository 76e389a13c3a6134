"""Published vocabularies, tokenized in Python and in Rust: the same pieces have the same places."""

from __future__ import annotations

from functools import cache

import pytest
from locations import SHARED
from real_data import load_tokenizer, naughty_strings, paragraphs, treebank
from slow_pairs import find_differences, sentencepiece_pair, wordpiece_pair

pytestmark = [pytest.mark.shared, pytest.mark.slow]

FOLDER = SHARED / "data" / "tokenizers"

# Not XLNet's: its Rust tokenizer normalizes otherwise, so few texts are comparable.
SENTENCEPIECE = {
    "t5-small": "spiece.rebuilt.model",
    "xlm-roberta-base_rebuilt": "sentencepiece.bpe.model",
}
WORDPIECE = ("bert-base-cased", "bert-base-multilingual-cased", "bert-base-uncased")


@cache
def load_pair(name):
    """Load the vocabulary in Python and in Rust."""
    if name in SENTENCEPIECE:
        return sentencepiece_pair(FOLDER / name / SENTENCEPIECE[name], load_tokenizer(name))
    return wordpiece_pair(FOLDER / name / "vocab.txt", lowercase=name.endswith("uncased"))


@pytest.mark.filterwarnings("ignore:.*TB104")
@pytest.mark.parametrize("name", [*SENTENCEPIECE, *WORDPIECE])
def test_naughty_strings(name):
    found, n_same = find_differences(load_pair(name), naughty_strings())
    assert n_same > 480
    # A single space in place of an invisible character, or an unknown word of invisible ones.
    assert set(found) <= {"▁", "[UNK]", "<unk>"}
    assert len(found) < 30


@pytest.mark.parametrize("lang", ["en", "zh", "ar", "hi", "th", "ru"])
@pytest.mark.parametrize("name", [*SENTENCEPIECE, *WORDPIECE])
def test_paragraphs_in_many_languages(name, lang):
    found, _ = find_differences(load_pair(name), paragraphs(lang)[:6])
    # Of two spaces, one has a piece of its own: the first here, the second there.
    assert set(found) <= ({"▁"} if name in SENTENCEPIECE else set())
    assert len(found) < 6


@pytest.mark.parametrize("treebank_name", ["en_ewt", "de_gsd", "zh_gsd"])
@pytest.mark.parametrize("name", [*SENTENCEPIECE, *WORDPIECE])
def test_treebanks(name, treebank_name):
    texts = [
        "".join(word + " " * space for word, space in zip(words, spaces, strict=True))
        for words, spaces in treebank(treebank_name)
    ]
    found, n_same = find_differences(load_pair(name), texts)
    assert not found
    assert n_same > 28
