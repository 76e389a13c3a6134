"""Wraps a Hugging Face tokenizer written in Python, with the interface of a Rust tokenizer."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from ... import errors
from ...types import Array
from .forking import ForkSafeLock
from .slow.placing import place_pieces
from .slow.surfaces import SurfaceReader

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Text: TypeAlias = str | tuple[str, str]

PROBE = "a b, 1"


class _ContentId(int):
    """The id of a wordpiece of the text, which is distinguishable from ids of boundary pieces."""

    sequence = 0


class _ContentIdOfSecond(_ContentId):
    sequence = 1


_CONTENT_IDS = (_ContentId, _ContentIdOfSecond)


@dataclass(frozen=True)
class SlowEncoding:
    """The wordpieces of one input, with the attributes of `tokenizers.Encoding`.

    ids, type_ids, special_tokens_mask (list of int, (n_wp,)): As a call of the tokenizer returns.
    offsets (list of tuple of int, (n_wp,)): Character start and end; (0, 0) for boundary pieces.
    sequence_ids (list of int, (n_wp,)): 0 for the first text, 1 for the second; None for boundary
        pieces.
    """

    ids: list[int]
    type_ids: list[int]
    special_tokens_mask: list[int]
    offsets: list[tuple[int, int]]
    sequence_ids: list[int | None]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class _Pieces:
    """The wordpieces of one text.

    ids (list of int, (n_wp,)): Their ids.
    offsets (list of tuple of int, (n_wp,)): Character start and end of each.
    exact (bool, (n_wp,)): Whether the offsets are certain.
    """

    ids: list[int]
    offsets: list[tuple[int, int]]
    exact: Array


class SlowBackend:
    """Wraps a tokenizer without a Rust part, with the methods of a Rust part that are used here.

    The tokenizer splits the text and adds the boundary pieces; the offsets are found by
    `place_pieces`. Tokenizers written in Python need not be thread-safe, so one thread at a time
    uses it.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Check the tokenizer, and learn its marks.

        tokenizer (PreTrainedTokenizerBase): A tokenizer.
        RAISES (ValueError): TB033.
        """
        self._tokenizer: Any = tokenizer
        self._lock = ForkSafeLock()
        # Whether special tokens that occur in a text are split like any other text. The name is
        # that of the Rust tokenizers.
        self.encode_special_tokens = False
        self._check_calls()
        self._reader = SurfaceReader(tokenizer)

    def get_vocab(self, with_added_tokens: bool = True) -> dict[str, int]:
        """Return the vocabulary.

        with_added_tokens (bool): Whether to include wordpieces that were added to it.
        RETURNS (dict): The id of each wordpiece.
        """
        added = self._tokenizer.get_added_vocab()
        vocabulary: dict[str, int] = self._tokenizer.get_vocab()
        if with_added_tokens:
            return {**vocabulary, **added}
        return {piece: i for piece, i in vocabulary.items() if piece not in added}

    def encode(self, text: Text) -> SlowEncoding:
        """Split one text, or a pair of texts, into wordpieces.

        text (str, tuple of str): The text, or two texts that make one input.
        RETURNS (SlowEncoding): The wordpieces, not truncated.
        """
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[Text]) -> list[SlowEncoding]:
        """Split texts, or pairs of texts, into wordpieces.

        texts (sequence of str or tuple of str, (n_texts,)): The texts.
        RETURNS (list of SlowEncoding, (n_texts,)): The wordpieces of each, not truncated.
        RAISES (ValueError): TB032.
        WARNS: TB104, once, where offsets are not certain.
        """
        encodings = []
        exact: list[Array] = []
        for text in texts:
            parts = [self._split(part) for part in ((text,) if isinstance(text, str) else text)]
            encodings.append(self._build(*parts))
            exact.extend(part.exact for part in parts)
        n_pieces = sum(len(flags) for flags in exact)
        n_guessed = n_pieces - sum(int(flags.sum()) for flags in exact)
        if n_guessed:
            message = errors.TB104.format(n_guessed=n_guessed, n_pieces=n_pieces)
            warnings.warn(message, stacklevel=5)
        return encodings

    def _tokenize(self, text: str) -> list[str]:
        """Split a text into wordpieces, as strings of the vocabulary."""
        options = {"split_special_tokens": True} if self.encode_special_tokens else {}
        with self._lock:
            pieces: list[str] = self._tokenizer.tokenize(text, **options)
        return pieces

    def _split(self, text: str) -> _Pieces:
        """Split a text into wordpieces, and find their offsets."""
        pieces = self._tokenize(text)
        with self._lock:
            ids = self._tokenizer.convert_tokens_to_ids(pieces)
            surfaces = self._reader.read(pieces)
        placement = place_pieces(text, pieces, surfaces, tokenize=self._tokenize)
        return _Pieces(ids, list(map(tuple, placement.offsets.tolist())), placement.exact)

    def _build(self, *parts: _Pieces) -> SlowEncoding:
        """Add the boundary pieces to the wordpieces of one text or of two."""
        ids = [[kind(i) for i in part.ids] for kind, part in zip(_CONTENT_IDS, parts, strict=False)]
        with self._lock:
            built = self._tokenizer.build_inputs_with_special_tokens(*ids)
            type_ids = self._tokenizer.create_token_type_ids_from_sequences(*ids)
        sequence_ids = [i.sequence if isinstance(i, _ContentId) else None for i in built]
        expected = [i.sequence for part in ids for i in part]
        if [i for i in sequence_ids if i is not None] != expected:
            name = type(self._tokenizer).__name__
            raise ValueError(
                errors.TB032.format(
                    tokenizer=name,
                    expected=len(expected),
                    got=sum(i is not None for i in sequence_ids),
                )
            )
        if len(type_ids) != len(built):  # inherited from a class with another template
            type_ids = [i or 0 for i in sequence_ids]
        offsets = iter([offset for part in parts for offset in part.offsets])
        return SlowEncoding(
            ids=[int(i) for i in built],
            type_ids=type_ids,
            special_tokens_mask=[int(i is None) for i in sequence_ids],
            offsets=[(0, 0) if i is None else next(offsets) for i in sequence_ids],
            sequence_ids=sequence_ids,
        )

    def _check_calls(self) -> None:
        """Check that the separate steps produce the same ids as a call of the tokenizer."""
        with self._lock:
            try:
                expected = list(self._tokenizer(PROBE)["input_ids"])
                ids = self._tokenizer.convert_tokens_to_ids(self._tokenizer.tokenize(PROBE))
                got = list(self._tokenizer.build_inputs_with_special_tokens(ids))
            except (TypeError, ValueError, NotImplementedError, AttributeError) as error:
                reason = " ".join(str(error).split()) or type(error).__name__
            else:
                if got == expected and None not in got:
                    return
                reason = f"a call gives the ids {expected}, and its parts {got}"
        name = type(self._tokenizer).__name__
        raise ValueError(errors.TB033.format(tokenizer=name, reason=reason))
