"""A Hugging Face tokenizer written in Python, behind the face of a Rust one."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from .... import errors
from ....types import Array
from ..forking import ForkSafeLock
from .placing import place_pieces
from .surfaces import SurfaceReader

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Text: TypeAlias = str | tuple[str, str]

PROBE = "a b, 1"


class _Own(int):
    """The id of a wordpiece of the text, to be told from the ids that are put around it."""

    sequence = 0


class _OwnOfSecond(_Own):
    sequence = 1


_KINDS = (_Own, _OwnOfSecond)


@dataclass(frozen=True)
class SlowEncoding:
    """The wordpieces of one input, under the names of `tokenizers.Encoding`.

    ids, type_ids, special_tokens_mask (list of int, (n_wp,)): As a call of the tokenizer gives.
    offsets (list of tuple of int, (n_wp,)): Character start and end; (0, 0) for boundary pieces.
    sequence_ids (list of int, (n_wp,)): Which of two texts; None for boundary pieces.
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
    """The wordpieces of one text: ids, offsets, and whether these are exact (bool, (n_wp,))."""

    ids: list[int]
    offsets: list[tuple[int, int]]
    exact: Array


class SlowBackend:
    """Gives a tokenizer without a Rust part the methods of one that are used here.

    The tokenizer is asked for the wordpieces of the text, and for the boundary pieces around their
    ids; where in the text they stand is found by `align.text`. One thread at a time uses it, since
    nobody promises that it can be used by several.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Try the tokenizer out.

        tokenizer (PreTrainedTokenizerBase): A tokenizer.
        RAISES (ValueError): TB033.
        """
        self._tokenizer: Any = tokenizer
        self._lock = ForkSafeLock()
        # Whether special tokens that are written out in a text are cut like any other text; the
        # name is that of the Rust part.
        self.encode_special_tokens = False
        self._check_calls()
        self._reader = SurfaceReader(tokenizer)

    def get_vocab(self, with_added_tokens: bool = True) -> dict[str, int]:
        """Give the vocabulary.

        with_added_tokens (bool): Whether to include those that were added to it.
        RETURNS (dict): Id of each wordpiece.
        """
        added = self._tokenizer.get_added_vocab()
        vocabulary: dict[str, int] = self._tokenizer.get_vocab()
        if with_added_tokens:
            return {**vocabulary, **added}
        return {piece: i for piece, i in vocabulary.items() if piece not in added}

    def encode(self, text: Text) -> SlowEncoding:
        """Cut one text, or a pair of texts.

        text (str, tuple of str): The text, or two that make one input.
        RETURNS (SlowEncoding): Its wordpieces.
        """
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[Text]) -> list[SlowEncoding]:
        """Cut texts, or pairs of texts, whatever their length.

        texts (sequence of str or tuple of str, (n_texts,)): The texts.
        RETURNS (list of SlowEncoding, (n_texts,)): Their wordpieces.
        RAISES (ValueError): TB032.
        WARNS: TB104, once, where the place of a wordpiece is not certain.
        """
        encodings = []
        exact: list[Array] = []
        for text in texts:
            parts = [self._cut(part) for part in ((text,) if isinstance(text, str) else text)]
            encodings.append(self._build(*parts))
            exact.extend(part.exact for part in parts)
        n_pieces = sum(len(flags) for flags in exact)
        n_guessed = n_pieces - sum(int(flags.sum()) for flags in exact)
        if n_guessed:
            message = errors.TB104.format(n_guessed=n_guessed, n_pieces=n_pieces)
            warnings.warn(message, stacklevel=5)
        return encodings

    def _tokenize(self, text: str) -> list[str]:
        options = {"split_special_tokens": True} if self.encode_special_tokens else {}
        with self._lock:
            pieces: list[str] = self._tokenizer.tokenize(text, **options)
        return pieces

    def _cut(self, text: str) -> _Pieces:
        pieces = self._tokenize(text)
        with self._lock:
            ids = self._tokenizer.convert_tokens_to_ids(pieces)
            surfaces = self._reader.read(pieces)
        placement = place_pieces(text, pieces, surfaces, cut=self._tokenize)
        return _Pieces(ids, list(map(tuple, placement.offsets.tolist())), placement.exact)

    def _build(self, *parts: _Pieces) -> SlowEncoding:
        """Put the boundary pieces around the wordpieces of one text, or of two."""
        own = [[kind(i) for i in part.ids] for kind, part in zip(_KINDS, parts, strict=False)]
        with self._lock:
            built = self._tokenizer.build_inputs_with_special_tokens(*own)
            type_ids = self._tokenizer.create_token_type_ids_from_sequences(*own)
        sequence_ids = [i.sequence if isinstance(i, _Own) else None for i in built]
        expected = [i.sequence for ids in own for i in ids]
        if [i for i in sequence_ids if i is not None] != expected:
            name = type(self._tokenizer).__name__
            raise ValueError(
                errors.TB032.format(
                    tokenizer=name,
                    expected=len(expected),
                    got=sum(i is not None for i in sequence_ids),
                )
            )
        if len(type_ids) != len(built):  # made for another template
            type_ids = [i or 0 for i in sequence_ids]
        places = iter([place for part in parts for place in part.offsets])
        return SlowEncoding(
            ids=[int(i) for i in built],
            type_ids=type_ids,
            special_tokens_mask=[int(i is None) for i in sequence_ids],
            offsets=[(0, 0) if i is None else next(places) for i in sequence_ids],
            sequence_ids=sequence_ids,
        )

    def _check_calls(self) -> None:
        """See that the wordpieces, put together here, are those of a plain call."""
        with self._lock:
            try:
                expected = list(self._tokenizer(PROBE)["input_ids"])
                own = self._tokenizer.convert_tokens_to_ids(self._tokenizer.tokenize(PROBE))
                got = list(self._tokenizer.build_inputs_with_special_tokens(own))
            except (TypeError, ValueError, NotImplementedError, AttributeError) as error:
                reason = " ".join(str(error).split()) or type(error).__name__
            else:
                if got == expected and None not in got:
                    return
                reason = f"a call gives the ids {expected}, and its parts {got}"
        name = type(self._tokenizer).__name__
        raise ValueError(errors.TB033.format(tokenizer=name, reason=reason))
