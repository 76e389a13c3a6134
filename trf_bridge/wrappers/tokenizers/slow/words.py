"""Where words begin and end, for wordpieces that stand for whole words and don't show them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from .folding import is_control

Trait: TypeAlias = Callable[[str], bool]

# What everybody takes for white space. Python has more, which many tokenizers delete or keep.
BLANK = r" \t\n\r\xa0\u1680\u2000-\u200a\u202f\u205f\u3000"
IS_BLANK = re.compile(f"[{BLANK}]")


def find_chunks(text: str, names: Iterable[str]) -> list[int]:
    """Cut a text where surely no wordpiece goes across.

    text (str): The text.
    names (iterable of str): What unknown pieces are called, which may stand in the text as well.
    RETURNS (list of int): The end of each word with the white space before it.
    """
    word = f"[^{BLANK}]"
    literal = "|".join(re.escape(name) for name in sorted(names) if name and name in text)
    chunk = f"(?:{literal}|(?:(?!{literal}){word})+)" if literal else f"{word}+"
    return [found.end() for found in re.finditer(rf"[{BLANK}]*{chunk}|[{BLANK}]+\Z", text)]


def find_words(text: str, start: int, end: int, n_words: int) -> list[tuple[int, int]]:
    """Cut a span of a text into so many words, by the first rule that finds so many.

    text (str): The text.
    start, end (int): The span.
    n_words (int): How many words there are.
    RETURNS (list of tuple of int): Start and end of each; none where no rule finds so many.
    """
    for parts in (_is_blank, str.isspace):
        for joins in (_is_joined, _is_in_word, _is_no_punctuation):
            places = [i for i in range(start, end) if not (parts(text[i]) or is_control(text[i]))]
            flags = word_starts(text, places, joins, parts)
            firsts = [i for i, flag in enumerate(flags) if flag]
            if len(firsts) == n_words:
                lasts = [*firsts[1:], len(places)]
                return [(places[i], places[j - 1] + 1) for i, j in zip(firsts, lasts, strict=True)]
    return []


def word_starts(
    text: str, places: Sequence[int], joins: Trait | None = None, parts: Trait = str.isspace
) -> list[bool]:
    """Say where words may begin: after a gap, and where two characters don't join.

    text (str): The text.
    places (sequence of int): Places in it, rising.
    joins (callable): Whether a character joins with its neighbours; None for all but punctuation
        and ideographs.
    parts (callable): Whether a character between two places parts them.
    RETURNS (list of bool): For each place.
    """
    joins = joins or _is_in_word
    flags = []
    before = -2
    for place in places:
        if place == before:  # another part of the same character
            flags.append(False)
            continue
        joined = before >= 0 and not any(parts(char) for char in text[before + 1 : place])
        flags.append(not (joined and joins(text[before]) and joins(text[place])))
        before = place
    return flags


def without_controls(text: str, start: int, end: int) -> tuple[int, int]:
    """Leave control characters and white space at both ends of a span out.

    text (str): The text.
    start, end (int): The span.
    RETURNS (tuple of int): Start and end; as they were where there is nothing else.
    """
    kept = [i for i in range(start, end) if not (text[i].isspace() or is_control(text[i]))]
    return (kept[0], kept[-1] + 1) if kept else (start, end)


def _is_joined(character: str) -> bool:
    return True


def _is_no_punctuation(character: str) -> bool:
    if character.isascii():
        return character.isalnum()
    return unicodedata.category(character)[0] != "P"


def _is_in_word(character: str) -> bool:
    return _is_no_punctuation(character) and not unicodedata.name(character, "").startswith("CJK")


def _is_blank(character: str) -> bool:
    return IS_BLANK.match(character) is not None
