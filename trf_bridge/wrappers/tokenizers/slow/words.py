"""Finds words in a text, for unknown pieces, each of which represents a whole word."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from .folding import is_control

Trait: TypeAlias = Callable[[str], bool]

# White space for all tokenizers. Python includes more characters, which many delete or keep.
BLANK = r" \t\n\r\xa0\u1680\u2000-\u200a\u202f\u205f\u3000"
IS_BLANK = re.compile(f"[{BLANK}]")


def find_chunks(text: str, names: Iterable[str]) -> list[int]:
    """Split a text at positions that no wordpiece crosses.

    text (str): The text.
    names (iterable of str): Strings of the unknown piece, which can also occur in the text.
    RETURNS (list of int): The end of each chunk: a word with the white space before it.
    """
    word = f"[^{BLANK}]"
    literal = "|".join(re.escape(name) for name in sorted(names) if name and name in text)
    chunk = f"(?:{literal}|(?:(?!{literal}){word})+)" if literal else f"{word}+"
    return [match.end() for match in re.finditer(rf"[{BLANK}]*{chunk}|[{BLANK}]+\Z", text)]


def find_words(text: str, start: int, end: int, n_words: int) -> list[tuple[int, int]]:
    """Split a span of a text into a given number of words, by the first rule that yields it.

    text (str): The text.
    start, end (int): The span.
    n_words (int): The number of words.
    RETURNS (list of tuple of int): Start and end of each word; empty if no rule yields the number.
    """
    for separates in (_is_blank, str.isspace):
        for joins in (_is_joined, _is_in_word, _is_no_punctuation):
            places = [
                i for i in range(start, end) if not (separates(text[i]) or is_control(text[i]))
            ]
            flags = word_starts(text, places, joins, separates)
            firsts = [i for i, flag in enumerate(flags) if flag]
            if len(firsts) == n_words:
                lasts = [*firsts[1:], len(places)]
                return [(places[i], places[j - 1] + 1) for i, j in zip(firsts, lasts, strict=True)]
    return []


def word_starts(
    text: str, places: Sequence[int], joins: Trait | None = None, separates: Trait = str.isspace
) -> list[bool]:
    """Find the characters at which words can start: after a separator, or after another word.

    text (str): The text.
    places (sequence of int): Indices of characters, ascending.
    joins (callable): Returns whether a character belongs to the same word as its neighbours; None
        for all characters but punctuation and ideographs.
    separates (callable): Returns whether a character between two places separates words.
    RETURNS (list of bool): Whether a word can start at each place.
    """
    joins = joins or _is_in_word
    flags = []
    before = -2
    for place in places:
        if place == before:  # another part of the same character
            flags.append(False)
            continue
        joined = before >= 0 and not any(separates(char) for char in text[before + 1 : place])
        flags.append(not (joined and joins(text[before]) and joins(text[place])))
        before = place
    return flags


def without_controls(text: str, start: int, end: int) -> tuple[int, int]:
    """Trim control characters and white space from both ends of a span.

    text (str): The text.
    start, end (int): The span.
    RETURNS (tuple of int): Start and end; unchanged if the span has no other characters.
    """
    kept = [i for i in range(start, end) if not (text[i].isspace() or is_control(text[i]))]
    return (kept[0], kept[-1] + 1) if kept else (start, end)


def _is_joined(character: str) -> bool:
    """Return True: every character belongs to the word of its neighbours."""
    return True


def _is_no_punctuation(character: str) -> bool:
    """Return whether a character is not punctuation."""
    if character.isascii():
        return character.isalnum()
    return unicodedata.category(character)[0] != "P"


def _is_in_word(character: str) -> bool:
    """Return whether a character is neither punctuation nor an ideograph."""
    return _is_no_punctuation(character) and not unicodedata.name(character, "").startswith("CJK")


def _is_blank(character: str) -> bool:
    """Return whether a character is white space for all tokenizers."""
    return IS_BLANK.match(character) is not None
