"""Vocabularies learned from texts, the same in every process and with every version of a library.

The trainers of the `tokenizers` library choose between equally frequent pieces in the order of a
hash table, so that each session would test other vocabularies.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from math import log
from typing import Any

MAX_PIECE_LENGTH = 16  # of unigram pieces, in characters


def count_words(texts: Iterable[str], normalizer: Any, pre_tokenizer: Any) -> Counter[str]:
    """Count the words that a tokenizer would pass to its model.

    texts (iterable of str): The texts.
    normalizer (Normalizer or None): The normalizer of the tokenizer.
    pre_tokenizer (PreTokenizer or None): Its pre-tokenizer. Without one, a text is one word.
    RETURNS (Counter): The words and their counts.
    """
    words: Counter[str] = Counter()
    for text in texts:
        normalized = text if normalizer is None else normalizer.normalize_str(text)
        if pre_tokenizer is None:
            words[normalized] += 1
        else:
            words.update(word for word, _ in pre_tokenizer.pre_tokenize_str(normalized))
    del words[""]
    return words


def learn_merges(
    words: Mapping[str, int],
    size: int,
    specials: Iterable[str],
    *,
    alphabet: Iterable[str] = (),
    prefix: str = "",
    suffix: str = "",
) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Join the most frequent pair of pieces until there are enough pieces.

    Of equally frequent pairs, the one whose pieces were learned first is joined.

    words (mapping of str to int): Words and their counts.
    size (int): The number of pieces. There are more if the words have more characters.
    specials (iterable of str): The first pieces.
    alphabet (iterable of str): Characters to include, besides those of the words.
    prefix (str): What a piece starts with if it does not start a word.
    suffix (str): What a piece ends with if it ends a word.
    RETURNS (tuple of dict and list): The id of every piece, and the pairs in the order of joining.
    """
    splits = [(_split(word, prefix, suffix), count) for word, count in words.items()]
    characters = {*alphabet, *"".join(words), *(part for parts, _ in splits for part in parts)}
    pieces: dict[str, int] = {}
    for piece in [*specials, *sorted(characters)]:
        pieces.setdefault(piece, len(pieces))
    merges: list[tuple[str, str]] = []
    while len(pieces) < size:
        counts: Counter[tuple[str, str]] = Counter()
        for parts, count in splits:
            for pair in pairwise(parts):
                counts[pair] += count
        if not counts:
            break
        most = max(counts.values())
        frequent = [pair for pair, count in counts.items() if count == most]
        merge = min(frequent, key=lambda pair: (pieces[pair[0]], pieces[pair[1]]))
        joined = merge[0] + merge[1].removeprefix(prefix)
        splits = [(_join(parts, merge, joined), count) for parts, count in splits]
        pieces.setdefault(joined, len(pieces))
        merges.append(merge)
    return pieces, merges


def learn_wordpiece(words: Mapping[str, int], size: int, specials: Sequence[str], unk: str) -> Any:
    """Make a WordPiece model of the pieces that `learn_merges` learns."""
    from tokenizers import models

    vocabulary, _ = learn_merges(words, size, specials, prefix="##")
    return models.WordPiece(vocabulary, unk_token=unk)


def learn_bpe(
    words: Mapping[str, int],
    size: int,
    specials: Sequence[str],
    alphabet: Iterable[str] = (),
    **options: Any,
) -> Any:
    """Make a BPE model of the pieces that `learn_merges` learns, with the options of the model."""
    from tokenizers import models

    suffix = options.get("end_of_word_suffix", "")
    vocabulary, merges = learn_merges(words, size, specials, alphabet=alphabet, suffix=suffix)
    return models.BPE(vocabulary, merges, **options)


def learn_unigram(words: Mapping[str, int], size: int, specials: Sequence[str], unk: str) -> Any:
    """Make a unigram model of all characters, and of the longer pieces that cover the most text."""
    from tokenizers import models

    counts: Counter[str] = Counter()
    for word, count in words.items():
        for start in range(len(word)):
            for end in range(start + 1, min(start + MAX_PIECE_LENGTH, len(word)) + 1):
                counts[word[start:end]] += count
    longer = [piece for piece, count in counts.items() if len(piece) > 1 < count]
    longer.sort(key=lambda piece: (-counts[piece] * len(piece), piece))
    pieces = sorted(piece for piece in counts if len(piece) == 1)
    pieces += longer[: max(size - len(specials) - len(pieces), 0)]
    total = sum(counts[piece] for piece in pieces)
    scored = [(piece, log(counts[piece] / total)) for piece in pieces]
    return models.Unigram([*((piece, 0.0) for piece in specials), *scored], specials.index(unk))


def _split(word: str, prefix: str, suffix: str) -> list[str]:
    first, *others = word
    parts = [first, *(prefix + character for character in others)]
    parts[-1] += suffix
    return parts


def _join(parts: list[str], pair: tuple[str, str], joined: str) -> list[str]:
    if pair[0] not in parts or pair[1] not in parts:
        return parts
    result: list[str] = []
    for part in parts:
        if result and (result[-1], part) == pair:
            result[-1] = joined
        else:
            result.append(part)
    return result
