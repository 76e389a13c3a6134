"""A vocabulary in a tokenizer written in Python and in one written in Rust, and what differs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import oracles
import spacy

from trf_bridge.wrappers.tokenizers.slow_backend import SlowBackend


class SlowPair(NamedTuple):
    """Store both tokenizers."""

    slow: Any
    fast: Any


def sentencepiece_pair(model: Path, fast: Any) -> SlowPair:
    """Load a SentencePiece model in a class that transformers has only in Python."""
    import transformers

    names = dict.fromkeys(("bos_token", "eos_token", "pad_token", "sep_token"))
    slow = transformers.BertGenerationTokenizer(str(model), unk_token="<unk>", **names)
    return SlowPair(slow, fast)


def wordpiece_pair(vocab: Path, lowercase: bool) -> SlowPair:
    """Load a WordPiece vocabulary in a class that transformers has only in Python, and in Rust."""
    import transformers

    options = {"do_lower_case": lowercase}
    slow = transformers.BertJapaneseTokenizer(str(vocab), word_tokenizer_type="basic", **options)
    fast = transformers.BertTokenizerFast(str(vocab), tokenize_chinese_chars=False, **options)
    return SlowPair(slow, fast)


def find_differences(pair: SlowPair, texts: Iterable[str]) -> tuple[list[str], int]:
    """Find pieces that are linked to other tokens.

    pair (SlowPair): The tokenizers.
    texts (iterable of str): The texts. Those that are split into other pieces are skipped.
    RETURNS (tuple of list of str, int): The pieces, and the number of texts that were compared.
    """
    slow, fast = pair
    backend = SlowBackend(slow)
    nlp = spacy.blank("xx")
    found: list[str] = []
    n_same = 0
    for text in texts:
        pieces = slow.tokenize(text)
        expected = fast(text, return_offsets_mapping=True, add_special_tokens=False)
        names = fast.convert_ids_to_tokens(expected["input_ids"])
        # Ids of XLM-R are shifted by one, so the strings are compared.
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
