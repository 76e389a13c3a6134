"""Folds texts and wordpieces to one form, and keeps the origin of each character.

Tokenizers lower-case, strip accents, compose and decompose. After full Unicode folding, the text
and its wordpieces consist of the same characters, whatever the tokenizer did to them.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import numpy

from ....types import Array

# The characters of the text that a wordpiece represents, or their bytes of UTF-8; None for the
# unknown piece.
Surface: TypeAlias = str | bytes | None

SPACE = ord(" ")
UNKNOWN = 0x110000  # the code of the unknown piece; larger than that of any character


class Stream(NamedTuple):
    """Folded characters and their origins.

    codes (uint32, (n,)): Code points, with every kind of white space as a space.
    first, last (int64, (n,)): The first and the last origin of each: indices of characters in the
        text, or of wordpieces. The bytes of one character can belong to several wordpieces.
    hard (bool, (n,)): Whether tokenizers keep the character. Many drop white space, accents,
        control characters and joiners, which are soft.
    """

    codes: Array
    first: Array
    last: Array
    hard: Array

    @property
    def space(self) -> Array:
        """Return whether each character is white space.

        RETURNS (bool, (n,)): The mask.
        """
        return self.codes == SPACE

    def take(self, kept: Array) -> Stream:
        """Select characters.

        kept (int or bool): Indices or a mask of the characters to keep.
        RETURNS (Stream): The selected characters.
        """
        return Stream(*(column[kept] for column in self))


def fold_text(text: str) -> Stream:
    """Fold a text.

    text (str): The text.
    RETURNS (Stream): Its characters; origins are indices in the text.
    """
    origins = numpy.arange(len(text), dtype="int64")
    return _make_stream(text, origins, origins)


def fold_surfaces(surfaces: Sequence[Surface]) -> Stream:
    """Fold the wordpieces of a text.

    White space is dropped, except in wordpieces that consist of it.

    surfaces (sequence of str, bytes or None, (n_wp,)): The surface of each wordpiece.
    RETURNS (Stream): Their characters, with one `UNKNOWN` for None; origins are indices of
        wordpieces.
    """
    parts: list[str] = []
    first: list[int] = []
    last: list[int] = []
    i = 0
    while i < len(surfaces):
        surface = surfaces[i]
        if isinstance(surface, bytes):
            end = i
            while end < len(surfaces) and isinstance(surfaces[end], bytes):
                end += 1
            characters, starts, stops = _decode(surfaces[i:end])
            parts.append(characters)
            first.extend(i + start for start in starts)
            last.extend(i + stop for stop in stops)
            i = end
            continue
        characters = "\0" if surface is None else surface  # any one character is replaced below
        parts.append(characters)
        first.extend([i] * len(characters))
        last.extend([i] * len(characters))
        i += 1
    stream = _make_stream(
        "".join(parts), numpy.asarray(first, dtype="int64"), numpy.asarray(last, dtype="int64")
    )
    unknown = numpy.asarray([surface is None for surface in surfaces], dtype="bool")[stream.first]
    stream = stream._replace(
        codes=numpy.where(unknown, UNKNOWN, stream.codes), hard=stream.hard | unknown
    )
    has_letters = numpy.zeros(len(surfaces), dtype="bool")
    has_letters[stream.first[~stream.space]] = True
    return stream.take(~stream.space | ~has_letters[stream.first])


def _decode(surfaces: Sequence[Surface]) -> tuple[str, list[int], list[int]]:
    """Decode the bytes of neighbouring wordpieces.

    surfaces (sequence of bytes): The bytes of each wordpiece.
    RETURNS (str, list of int, list of int): The characters, and the first and the last wordpiece
        with a byte of each character.
    """
    joined = b"".join(surface for surface in surfaces if isinstance(surface, bytes))
    origins = [i for i, surface in enumerate(surfaces) for _ in surface or b""]
    characters = joined.decode("utf8", "surrogateescape")
    starts, stops = [], []
    at = 0
    for character in characters:
        starts.append(origins[at])
        at += len(character.encode("utf8", "surrogateescape"))
        stops.append(origins[at - 1])
    return characters, starts, stops


def _make_stream(characters: str, first: Array, last: Array) -> Stream:
    """Fold characters, given the first and the last origin of each."""
    if characters.isascii():
        folded = characters.lower()
    else:
        parts = [_fold_character(character) for character in characters]
        folded = "".join(parts)
        lengths = numpy.fromiter(map(len, parts), dtype="int64", count=len(parts))
        first, last = numpy.repeat(first, lengths), numpy.repeat(last, lengths)
    codes = numpy.frombuffer(folded.encode("utf-32-le", "surrogatepass"), dtype="uint32")
    kinds = {character: _kind(character) for character in set(folded)}
    spaces = [ord(character) for character, kind in kinds.items() if kind == "space"]
    soft = [ord(character) for character, kind in kinds.items() if kind != "hard"]
    return Stream(
        codes=numpy.where(_is_in(codes, spaces), numpy.uint32(SPACE), codes),
        first=first,
        last=last,
        hard=~_is_in(codes, soft),
    )


def _is_in(codes: Array, members: Sequence[int]) -> Array:
    """Return whether each code is one of the given codes."""
    return numpy.isin(codes, numpy.asarray(members, dtype="uint32"))


@lru_cache(maxsize=65536)
def _fold_character(character: str) -> str:
    """Decompose a character and fold its case."""
    folded = unicodedata.normalize("NFKD", character).casefold()
    return unicodedata.normalize("NFKD", folded)


@lru_cache(maxsize=65536)
def _kind(character: str) -> str:
    """Classify a folded character as "space", "soft" or "hard"; see `Stream`."""
    if character.isspace():
        return "space"
    soft = is_control(character) or unicodedata.category(character)[0] == "M"
    return "soft" if soft else "hard"


def is_control(character: str) -> bool:
    """Return whether many tokenizers delete a character, wherever it occurs.

    character (str): One character.
    RETURNS (bool): Whether it is a control or format character, unassigned, or U+FFFD.
    """
    return unicodedata.category(character)[0] == "C" or character == "\ufffd"
