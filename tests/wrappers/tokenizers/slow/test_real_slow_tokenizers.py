"""Real vocabularies, cut in Python and in Rust: the same pieces stand in the same places."""

from __future__ import annotations

from functools import cache

import oracles
import pytest
import spacy
from locations import SHARED
from real_data import load_tokenizer, naughty_strings, paragraphs, treebank

from trf_bridge.wrappers.tokenizers.slow.backend import SlowBackend

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
    """The vocabulary in a class that transformers has only in Python, and in its Rust class."""
    import transformers

    if name in SENTENCEPIECE:
        path = str(FOLDER / name / SENTENCEPIECE[name])
        names = dict.fromkeys(("bos_token", "eos_token", "pad_token", "sep_token"))
        slow = transformers.BertGenerationTokenizer(path, unk_token="<unk>", **names)
        return slow, SlowBackend(slow), load_tokenizer(name)
    vocab = str(FOLDER / name / "vocab.txt")
    options = {"do_lower_case": name.endswith("uncased")}
    slow = transformers.BertJapaneseTokenizer(vocab, word_tokenizer_type="basic", **options)
    fast = transformers.BertTokenizerFast(vocab, tokenize_chinese_chars=False, **options)
    return slow, SlowBackend(slow), fast


def find_differences(name, texts):
    """The pieces that are linked to other tokens, of texts that both cut into the same pieces."""
    slow, backend, fast = load_pair(name)
    nlp = spacy.blank("xx")
    found, n_same = [], 0
    for text in texts:
        pieces = slow.tokenize(text)
        expected = fast(text, return_offsets_mapping=True, add_special_tokens=False)
        names = fast.convert_ids_to_tokens(expected["input_ids"])
        # XLM-R's ids are shifted by one, so compare what they stand for.
        if slow.convert_ids_to_tokens(slow.convert_tokens_to_ids(pieces)) != names:
            continue
        n_same += 1
        tokens = [(token.idx, token.idx + len(token)) for token in nlp.make_doc(text)]
        encoding = backend.encode(text)
        own = [o for o, i in zip(encoding.offsets, encoding.sequence_ids, strict=True) if i == 0]
        links = [
            oracles.link_pieces(text, tokens, spans, [False] * len(pieces), (0, len(text)))
            for spans in (own, expected["offset_mapping"])
        ]
        found.extend(name for name, one, two in zip(names, *links, strict=True) if one != two)
    return found, n_same


@pytest.mark.filterwarnings("ignore:.*TB104")
@pytest.mark.parametrize("name", [*SENTENCEPIECE, *WORDPIECE])
def test_naughty_strings(name):
    found, n_same = find_differences(name, naughty_strings())
    assert n_same > 480
    # A lone space that stands for an invisible character, or an unknown word of invisible ones.
    assert set(found) <= {"▁", "[UNK]", "<unk>"}
    assert len(found) < 30


@pytest.mark.parametrize("lang", ["en", "zh", "ar", "hi", "th", "ru"])
@pytest.mark.parametrize("name", [*SENTENCEPIECE, *WORDPIECE])
def test_paragraphs_in_many_languages(name, lang):
    found, _ = find_differences(name, paragraphs(lang)[:6])
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
    found, n_same = find_differences(name, texts)
    assert not found
    assert n_same > 28
