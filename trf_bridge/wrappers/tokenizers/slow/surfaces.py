"""Surfaces of wordpieces: the characters that they represent, learned from the tokenizer."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from .folding import Surface

# Byte pieces of sentencepiece, for characters that its vocabulary lacks.
BYTE = re.compile(r"<0x([0-9A-F]{2})>")

ANCHORS = ("a", "e", "i", "0", "1", ".", "的", "の", "\u0430", "\u0627", "a b")
MAX_CACHED = 65536  # surfaces; the number of wordpieces of unknown characters has no limit
SAMPLE = 2000  # wordpieces of the vocabulary from which marks are learned


class SurfaceReader:
    """Computes the surfaces of wordpieces, without marks such as `##`, `▁`, `</w>` or `@@`.

    The tokenizer's own method converts a wordpiece between two others to text, which removes its
    marks. Byte-level alphabets are learned from the wordpieces of characters.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Learn the marks and the alphabet of a tokenizer.

        tokenizer (PreTrainedTokenizerBase): A tokenizer.
        """
        self._unknown = tokenizer.unk_token
        self._whole = {*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()}
        self._vocabulary = tokenizer.get_vocab()
        self._to_string = tokenizer.convert_tokens_to_string
        self._cache: dict[str, Surface] = {}
        self._bytes = learn_bytes(tokenizer.tokenize)
        self._anchor = self._find_anchor(tokenizer.tokenize)
        self._prefixes, self._suffixes = self._learn_marks()

    def read(self, pieces: Sequence[str]) -> list[Surface]:
        """Compute the surfaces of wordpieces.

        pieces (sequence of str, (n_wp,)): The strings of the wordpieces in the vocabulary.
        RETURNS (list of str, bytes or None, (n_wp,)): The characters, or the bytes of UTF-8, that
            each wordpiece represents; None for the unknown piece.
        """
        surfaces = []
        for piece in pieces:
            if piece not in self._cache:
                if len(self._cache) >= MAX_CACHED:
                    self._cache.clear()
                self._cache[piece] = self._read(piece)
            surfaces.append(self._cache[piece])
        return surfaces

    def _read(self, piece: str) -> Surface:
        """Compute the surface of one wordpiece."""
        if piece == self._unknown:
            return None
        if piece in self._whole:
            return piece
        if self._bytes and all(character in self._bytes for character in piece):
            return bytes(self._bytes[character] for character in piece)
        byte = BYTE.fullmatch(piece)
        if byte and piece in self._vocabulary:
            return bytes([int(byte[1], 16)])
        return self._strip(piece)

    def _strip(self, piece: str) -> str:
        """Remove the marks of a wordpiece."""
        surface = self._convert_back(piece) if piece in self._vocabulary else None
        if surface is not None:
            return surface
        for prefix in self._prefixes:
            if piece.startswith(prefix):
                piece = piece[len(prefix) :]
                break
        for suffix in self._suffixes:
            if piece.endswith(suffix):
                piece = piece[: -len(suffix)]
                break
        return piece

    def _convert_back(self, piece: str) -> str | None:
        """Return the text of a wordpiece between two anchors; None if it cannot be separated."""
        if not self._anchor:
            return None
        edge = self._to_string(self._anchor)
        text = self._to_string([*self._anchor, piece, *self._anchor])
        if len(text) < 2 * len(edge) or not (text.startswith(edge) and text.endswith(edge)):
            return None
        inside: str = text[len(edge) : len(text) - len(edge)]
        if inside.strip():
            return inside.strip()
        without = self._to_string([*self._anchor, *self._anchor])
        return " " * max(0, len(text) - len(without))

    def _find_anchor(self, tokenize: Callable[[str], list[str]]) -> list[str]:
        """Find a text that its wordpieces reproduce exactly, and return these."""
        for text in ANCHORS:
            pieces = tokenize(text)
            if pieces and not self._whole.intersection(pieces):
                try:
                    if self._to_string(pieces).strip() == text:
                        return pieces
                except (KeyError, ValueError):  # not in the vocabulary
                    continue
        return []

    def _learn_marks(self) -> tuple[list[str], list[str]]:
        """Return the prefixes and suffixes that the vocabulary adds to surfaces."""
        prefixes: set[str] = set()
        suffixes: set[str] = set()
        words = [piece for piece in self._vocabulary if piece not in self._whole]
        for piece in [] if self._bytes else words[:: max(1, len(words) // SAMPLE)]:
            surface = self._convert_back(piece)
            if surface and surface != piece and piece.count(surface) == 1:
                prefix, _, suffix = piece.partition(surface)
                prefixes.add(prefix)
                suffixes.add(suffix)
        return _by_falling_length(prefixes), _by_falling_length(suffixes)


def learn_bytes(tokenize: Callable[[str], Sequence[str]]) -> dict[str, int]:
    """Learn the byte that each character of a byte-level vocabulary represents.

    tokenize (callable): Splits a text into wordpieces.
    RETURNS (dict): The byte of each character; empty for a tokenizer of another kind.
    """
    start = "".join(tokenize("a"))
    for character in "é界👍":
        if not _bytes_of(tokenize, start, character):
            return {}
    alphabet: dict[str, int] = {}
    for character in _every_byte():
        for symbol, byte in _bytes_of(tokenize, start, character):
            alphabet.setdefault(symbol, byte)
    return alphabet


def _bytes_of(
    tokenize: Callable[[str], Sequence[str]], start: str, character: str
) -> list[tuple[str, int]]:
    """Return the symbol of each byte of a character; empty if symbols and bytes do not correspond.

    tokenize (callable): Splits a text into wordpieces.
    start (str): The wordpieces of "a".
    character (str): The character.
    RETURNS (list of tuple of str and int): Symbols of the vocabulary and bytes.
    """
    joined = "".join(tokenize(f"a{character}a"))
    symbols = joined[len(start) : len(joined) - len(start)]
    data = character.encode("utf8")
    if joined != start + symbols + start or len(symbols) != len(data):
        return []
    return list(zip(symbols, data, strict=True))


def _every_byte() -> Iterable[str]:
    """Yield characters that together contain every byte of UTF-8."""
    yield from (chr(code) for code in range(128))
    yield from (chr(code) for code in range(0x4E00, 0x4E40))
    for first in (*range(0xC2, 0xE0), *range(0xE0, 0xF0), *range(0xF0, 0xF5)):
        size = 2 if first < 0xE0 else 3 if first < 0xF0 else 4
        step = 1 << 6 * (size - 1)
        low = (first & (0xFF >> (size + 1))) * step
        codes = range(max(low, 0x80, 0x800 * (size > 2), 0x10000 * (size > 3)), low + step)
        stable = (chr(code) for code in codes if code <= 0x10FFFF and _is_stable(chr(code)))
        yield next(stable, chr(codes[0]))


def _is_stable(character: str) -> bool:
    """Return whether normalization does not change a character."""
    assigned = unicodedata.category(character)[0] in "LNSP"
    return assigned and character == unicodedata.normalize("NFKC", character).lower()


def _by_falling_length(marks: set[str]) -> list[str]:
    """Sort marks, the longest first."""
    return sorted(marks - {""}, key=lambda mark: (-len(mark), mark))
