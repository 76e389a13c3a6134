"""Texts and wordpieces folded to one form, each character with the place that it came from.

Tokenizers lower-case, strip accents, compose and decompose. Folded as far as Unicode goes, the text
and its wordpieces show the same characters whatever a tokenizer did to them.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import numpy

from ....types import Array

# What a wordpiece shows of the text: characters, bytes of UTF-8, or nothing at all.
Surface: TypeAlias = str | bytes | None

SPACE = ord(" ")
UNKNOWN = 0x110000  # the code of a wordpiece that shows nothing; no character has it


class Stream(NamedTuple):
    """Folded characters, and what each of them belongs to.

    codes (uint32, (n,)): Code points, every kind of white space as a space.
    first, last (int64, (n,)): The first and the last owner: places of characters in the text, or
        of wordpieces in their list. Bytes can share a character between several wordpieces.
    hard (bool, (n,)): Whether no tokenizer drops the character in passing, as many drop white
        space, accents, control characters and joiners.
    """

    codes: Array
    first: Array
    last: Array
    hard: Array

    @property
    def space(self) -> Array:
        """RETURNS (bool, (n,)): Which characters are white space."""
        return self.codes == SPACE

    def take(self, kept: Array) -> Stream:
        """Leave the other characters out.

        kept (int or bool): Which characters to keep.
        RETURNS (Stream): Those.
        """
        return Stream(*(column[kept] for column in self))


def fold_text(text: str) -> Stream:
    """Fold a text.

    text (str): The text.
    RETURNS (Stream): Its characters; owners are places in the text.
    """
    owners = numpy.arange(len(text), dtype="int64")
    return _make_stream(text, owners, owners)


def fold_surfaces(surfaces: Sequence[Surface]) -> Stream:
    """Fold the wordpieces of a text.

    White space is kept only of wordpieces that show nothing else.

    surfaces (sequence of str, bytes or None, (n_wp,)): What each wordpiece shows.
    RETURNS (Stream): Their characters, one `UNKNOWN` for None; owners are places in the sequence.
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
        shown = "\0" if surface is None else surface  # any one character will do
        parts.append(shown)
        first.extend([i] * len(shown))
        last.extend([i] * len(shown))
        i += 1
    stream = _make_stream(
        "".join(parts), numpy.asarray(first, dtype="int64"), numpy.asarray(last, dtype="int64")
    )
    unknown = numpy.asarray([surface is None for surface in surfaces], dtype="bool")[stream.first]
    stream = stream._replace(
        codes=numpy.where(unknown, UNKNOWN, stream.codes), hard=stream.hard | unknown
    )
    shows = numpy.zeros(len(surfaces), dtype="bool")
    shows[stream.first[~stream.space]] = True
    return stream.take(~stream.space | ~shows[stream.first])


def _decode(surfaces: Sequence[Surface]) -> tuple[str, list[int], list[int]]:
    """The characters of bytes, and the first and the last surface that each has a byte of."""
    joined = b"".join(surface for surface in surfaces if isinstance(surface, bytes))
    owners = [i for i, surface in enumerate(surfaces) for _ in surface or b""]
    characters = joined.decode("utf8", "surrogateescape")
    starts, stops = [], []
    at = 0
    for character in characters:
        starts.append(owners[at])
        at += len(character.encode("utf8", "surrogateescape"))
        stops.append(owners[at - 1])
    return characters, starts, stops


def _make_stream(characters: str, first: Array, last: Array) -> Stream:
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


def _is_in(codes: Array, wanted: Sequence[int]) -> Array:
    return numpy.isin(codes, numpy.asarray(wanted, dtype="uint32"))


@lru_cache(maxsize=65536)
def _fold_character(character: str) -> str:
    folded = unicodedata.normalize("NFKD", character).casefold()
    return unicodedata.normalize("NFKD", folded)


@lru_cache(maxsize=65536)
def _kind(character: str) -> str:
    if character.isspace():
        return "space"
    soft = is_control(character) or unicodedata.category(character)[0] == "M"
    return "soft" if soft else "hard"


def is_control(character: str) -> bool:
    """Tell characters that many tokenizers delete, wherever they stand.

    character (str): One character.
    RETURNS (bool): Whether it is a control or format character, unassigned, or U+FFFD.
    """
    return unicodedata.category(character)[0] == "C" or character == "\ufffd"
