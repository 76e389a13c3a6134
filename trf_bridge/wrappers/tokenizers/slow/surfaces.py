"""What the wordpieces of a tokenizer show of a text, learnt from the tokenizer itself."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from .placing import Surface

# How sentencepiece writes the bytes of characters that its vocabulary lacks.
BYTE = re.compile(r"<0x([0-9A-F]{2})>")

ANCHORS = ("a", "e", "i", "0", "1", ".", "的", "の", "\u0430", "\u0627", "a b")
MANY = 65536  # surfaces to remember; there is no end to those of unknown characters
SAMPLE = 2000  # wordpieces of the vocabulary that show which marks there are


class SurfaceReader:
    """Reads the surfaces of wordpieces: without `##`, `▁`, `</w>`, `@@` or whatever marks are used.

    A wordpiece is turned back into text between two others, by the tokenizer's own method, which
    knows its marks; byte-level alphabets are learnt from the wordpieces of characters.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Learn how the tokenizer writes.

        tokenizer (PreTrainedTokenizerBase): A tokenizer.
        """
        self._unknown = tokenizer.unk_token
        self._whole = {*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()}
        self._vocabulary = tokenizer.get_vocab()
        self._to_string = tokenizer.convert_tokens_to_string
        self._known: dict[str, Surface] = {}
        self._bytes = learn_bytes(tokenizer.tokenize)
        self._anchor = self._find_anchor(tokenizer.tokenize)
        self._prefixes, self._suffixes = self._learn_marks()

    def read(self, pieces: Sequence[str]) -> list[Surface]:
        """Read the surfaces of wordpieces.

        pieces (sequence of str, (n_wp,)): Wordpieces, as the tokenizer writes them.
        RETURNS (list of str, bytes or None, (n_wp,)): The characters or the bytes of UTF-8 that
            each stands for; None for the unknown piece.
        """
        surfaces = []
        for piece in pieces:
            if piece not in self._known:
                if len(self._known) >= MANY:
                    self._known.clear()
                self._known[piece] = self._read(piece)
            surfaces.append(self._known[piece])
        return surfaces

    def _read(self, piece: str) -> Surface:
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
        shown = self._turn_back(piece) if piece in self._vocabulary else None
        if shown is not None:
            return shown
        for prefix in self._prefixes:
            if piece.startswith(prefix):
                piece = piece[len(prefix) :]
                break
        for suffix in self._suffixes:
            if piece.endswith(suffix):
                piece = piece[: -len(suffix)]
                break
        return piece

    def _turn_back(self, piece: str) -> str | None:
        """The text of a wordpiece that stands between two others."""
        if not self._anchor:
            return None
        edge = self._to_string(self._anchor)
        shown = self._to_string([*self._anchor, piece, *self._anchor])
        if len(shown) < 2 * len(edge) or not (shown.startswith(edge) and shown.endswith(edge)):
            return None
        inside: str = shown[len(edge) : len(shown) - len(edge)]
        if inside.strip():
            return inside.strip()
        without = self._to_string([*self._anchor, *self._anchor])
        return " " * max(0, len(shown) - len(without))

    def _find_anchor(self, tokenize: Callable[[str], list[str]]) -> list[str]:
        """Wordpieces that surely stand for themselves."""
        for text in ANCHORS:
            pieces = tokenize(text)
            if pieces and not self._whole.intersection(pieces):
                try:
                    if self._to_string(pieces).strip() == text:
                        return pieces
                except (KeyError, ValueError):  # it knows no such wordpiece
                    continue
        return []

    def _learn_marks(self) -> tuple[list[str], list[str]]:
        """What the vocabulary writes before and after the surface of a wordpiece."""
        prefixes: set[str] = set()
        suffixes: set[str] = set()
        words = [piece for piece in self._vocabulary if piece not in self._whole]
        for piece in [] if self._bytes else words[:: max(1, len(words) // SAMPLE)]:
            shown = self._turn_back(piece)
            if shown and shown != piece and piece.count(shown) == 1:
                prefix, _, suffix = piece.partition(shown)
                prefixes.add(prefix)
                suffixes.add(suffix)
        return _by_falling_length(prefixes), _by_falling_length(suffixes)


def learn_bytes(tokenize: Callable[[str], Sequence[str]]) -> dict[str, int]:
    """Find out which byte each character of a byte-level vocabulary stands for.

    tokenize (callable): From a text to its wordpieces.
    RETURNS (dict): Byte of each character; empty for a tokenizer of another kind.
    """
    start = "".join(tokenize("a"))
    for character in "é界👍":
        if not _bytes_of(tokenize, start, character):
            return {}
    alphabet: dict[str, int] = {}
    for character in _every_byte():
        for written, byte in _bytes_of(tokenize, start, character):
            alphabet.setdefault(written, byte)
    return alphabet


def _bytes_of(
    tokenize: Callable[[str], Sequence[str]], start: str, character: str
) -> list[tuple[str, int]]:
    joined = "".join(tokenize(f"a{character}a"))
    written = joined[len(start) : len(joined) - len(start)]
    data = character.encode("utf8")
    if joined != start + written + start or len(written) != len(data):
        return []
    return list(zip(written, data, strict=True))


def _every_byte() -> Iterable[str]:
    """Characters whose UTF-8 has every byte that there can be."""
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
    """Whether a tokenizer that normalizes would leave it as it is."""
    assigned = unicodedata.category(character)[0] in "LNSP"
    return assigned and character == unicodedata.normalize("NFKC", character).lower()


def _by_falling_length(marks: set[str]) -> list[str]:
    return sorted(marks - {""}, key=lambda mark: (-len(mark), mark))
