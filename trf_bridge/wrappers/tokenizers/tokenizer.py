"""Texts -> wordpieces, through the tokenizer of the checkpoint."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy

from ... import errors
from ...types import Array, Runs, Wordpieces, escape_piece
from .forking import tokenize_alone_in_forks
from .pairs import Pair, encode_pair, read_encoding
from .slow.backend import SlowBackend, SlowEncoding
from .windows import Window, cut_windows

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


OVERFLOW = ("truncate", "window")
WINDOW_ROWS = ("most_context", "mean")
# Where inputs of a model without a maximum are cut. Attention takes memory with the square of the
# length: without a limit, one long text would take more than there is.
WITHOUT_MAXIMUM = 4096

tokenize_alone_in_forks()


@dataclass(frozen=True)
class Encoded:
    """The wordpieces of a batch of texts.

    wordpieces (Wordpieces): All of them, text after text. Offsets and spans count from the start of
        their own text, runs from its first wordpiece, class rows from the first of all.
    n_inputs (int32, (n_texts,)): Inputs of each text: 1, or its number of windows.
    n_pieces (int32, (n_texts,)): Wordpieces of each text.
    cut (bool, (n_texts,)): Whether something was cut off at the model's maximum length.
    """

    wordpieces: Wordpieces
    n_inputs: Array
    n_pieces: Array
    cut: Array


class WordpieceTokenizer:
    """A Hugging Face tokenizer with one fixed way to cut what is too long.

    It works on a copy of the tokenizer's Rust part, set up once, because a call of the Python
    object changes truncation and padding for every thread that shares it. A tokenizer that has
    no such part works behind a `SlowBackend`.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        *,
        max_length: int | None,
        overflow: str,
        stride: int,
        type_ids: bool | None = None,
        split_special_tokens: bool = False,
        window_rows: str = "most_context",
    ) -> None:
        """Set the tokenizer up.

        tokenizer (PreTrainedTokenizerBase): A fast tokenizer, or a slow one.
        max_length (int): The most wordpieces of an input, boundary pieces included; None for a
            model without a maximum, whose `limit` is then WITHOUT_MAXIMUM.
        overflow (str): "truncate" or "window".
        stride (int): Wordpieces that neighbouring windows share; at most half of a window.
        type_ids (bool): Whether the model reads type ids; None to ask the tokenizer.
        split_special_tokens (bool): Whether a special token that is written out in a text, such as
            "[SEP]", is cut like any other text, or stands for itself.
        window_rows (str): Whose rows a wordpiece in several windows has: those of the one with
            "most_context", or their "mean". Those of pairs are always of the most context.
        RAISES (ValueError): TB004 for a fast tokenizer that can't be copied; TB033 for a slow one
            that can't be taken apart; TB034 for a maximum that leaves no room for a text.
        """
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.overflow = overflow
        self.stride = stride
        self.type_ids = (
            "token_type_ids" in tokenizer.model_input_names if type_ids is None else type_ids
        )
        self.split_special_tokens = split_special_tokens
        self._backend: Any = (
            _copy_backend(tokenizer)
            if getattr(tokenizer, "is_fast", False)
            else SlowBackend(tokenizer)
        )
        self._backend.no_padding()
        self._backend.no_truncation()
        self._backend.encode_special_tokens = split_special_tokens
        self.class_id = self._find_class_id()
        self.limit = WITHOUT_MAXIMUM if max_length is None else max_length
        n_added = len(self._backend.encode("").ids)
        if self.limit <= n_added:
            raise ValueError(
                errors.TB034.format(got=self.limit, n_added=n_added, least=n_added + 1)
            )
        self._overlap = min(stride, (self.limit - n_added) // 2) if overflow == "window" else 0
        self._mean = window_rows == "mean"
        self._backend.enable_truncation(self.limit, stride=self._overlap)

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Cut texts into wordpieces, with the boundary pieces of each input.

        texts (sequence of str, (n_texts,)): The raw texts, not cut into words.
        RETURNS (Encoded): The wordpieces of all of them.
        RAISES (ValueError): TB032; TB039 for a text with half of a surrogate pair.
        WARNS: TB104, once, where a slow tokenizer leaves the place of a wordpiece in doubt.
        """
        texts = list(texts)
        try:
            encodings = self._backend.encode_batch(texts)
        except TypeError:
            _refuse_lone_surrogates(texts)
            raise
        cut = numpy.asarray([self._is_cut(encoding) for encoding in encodings], dtype="bool")
        if cut.any() and self.overflow == "window":
            return self._encode_windows(encodings, cut, texts)
        ends = [
            _last_end(encoding) if is_cut else len(text)
            for encoding, is_cut, text in zip(encodings, cut.tolist(), texts, strict=True)
        ]
        n_pieces = numpy.asarray([len(encoding) for encoding in encodings], dtype="int32")
        ids = _flat(encoding.ids for encoding in encodings)
        boundary = _flat(e.special_tokens_mask for e in encodings).astype("bool")
        wordpieces = Wordpieces(
            ids=ids,
            type_ids=_flat(e.type_ids for e in encodings) if self.type_ids else None,
            offsets=_flat(pair for e in encodings for pair in e.offsets).reshape(-1, 2),
            boundary=boundary,
            lengths=n_pieces,
            class_rows=_class_rows(ids, boundary, n_pieces, self.class_id),
            spans=numpy.asarray([(0, end) for end in ends], dtype="int32").reshape(-1, 2),
        )
        return Encoded(wordpieces, numpy.ones_like(n_pieces), n_pieces, cut)

    def encode_pairs(self, pairs: Sequence[Pair]) -> tuple[list[Wordpieces], Array]:
        """Cut pairs of texts into wordpieces, with the tokenizer's own template for pairs.

        pairs (sequence of Pair, (n_pairs,)): The raw texts.
        RETURNS (list of Wordpieces, bool (n_pairs,)): The wordpieces of each, without their
            strings; and whether something was cut off at the model's maximum length.
        RAISES (ValueError): TB009 for a pair that is too long for a model with next to no room.
        """
        # As Hugging Face's tokenizers do when called: with an empty second text, there is no pair.
        texts = [pair.texts if pair.texts[1] else pair.texts[0] for pair in pairs]
        encodings = self._uncut_backend.encode_batch(texts)
        found, cut = [], []
        for encoding, pair in zip(encodings, pairs, strict=True):
            pieces, is_cut = encode_pair(
                read_encoding(encoding, pair),
                pair,
                max_length=self.limit,
                overflow=self.overflow,
                stride=self.stride,
            )
            type_ids = pieces.type_ids if self.type_ids else None
            rows = _class_rows(pieces.ids, pieces.boundary, pieces.lengths, self.class_id)
            found.append(replace(pieces, type_ids=type_ids, class_rows=rows))
            cut.append(is_cut)
        return found, numpy.asarray(cut, dtype="bool")

    def join_strings(self, ids: Array) -> str:
        """Look wordpieces up in the vocabulary.

        ids (int, (n_wp,)): Their ids.
        RETURNS (str): The wordpieces as the vocabulary writes them, each through
            `escape_piece`, separated by NUL.
        """
        strings = self._strings
        return "\0".join([strings[i] for i in ids.tolist()])

    @cached_property
    def _uncut_backend(self) -> Any:
        """Pairs are cut here: the Rust part would keep each combination of what it cuts off."""
        backend = copy.deepcopy(self._backend)
        backend.no_truncation()
        backend.encode_special_tokens = self.split_special_tokens  # which a copy has forgotten
        return backend

    @cached_property
    def _strings(self) -> list[str]:
        vocabulary = self._backend.get_vocab(with_added_tokens=True)
        strings = [""] * (max(vocabulary.values(), default=-1) + 1)
        for string, i in vocabulary.items():
            strings[i] = escape_piece(string)
        return strings

    def _find_class_id(self) -> int | None:
        """The id of the class token, if it is one of the boundary pieces."""
        class_id = getattr(self.tokenizer, "cls_token_id", None)
        added = self._backend.encode("").ids
        return int(class_id) if class_id is not None and class_id in added else None

    def _is_cut(self, encoding: Any) -> bool:
        # Asking Rust for the overflow copies it, so ask only where there can be one.
        can_be = isinstance(encoding, SlowEncoding) or len(encoding) == self.limit
        return can_be and bool(encoding.overflowing)

    def _encode_windows(
        self, encodings: Sequence[Any], cut: Array, texts: Sequence[str]
    ) -> Encoded:
        per_text: list[list[Window]] = []
        for encoding, is_cut, text in zip(encodings, cut.tolist(), texts, strict=True):
            windows = [encoding, *encoding.overflowing] if is_cut else [encoding]
            per_text.append(cut_windows(windows, self._overlap, len(text), mean=self._mean))
        flat = [window for windows in per_text for window in windows]
        n_inputs = numpy.asarray([len(windows) for windows in per_text], dtype="int32")
        ends = numpy.asarray([(0, len(text)) for text in texts], dtype="int32")
        ids = _concatenate([window.ids for window in flat])
        boundary = _concatenate([window.boundary for window in flat], dtype="bool")
        lengths = numpy.asarray([len(window.ids) for window in flat], dtype="int32")
        wordpieces = Wordpieces(
            ids=ids,
            type_ids=_concatenate([w.type_ids for w in flat]) if self.type_ids else None,
            offsets=_concatenate([window.offsets for window in flat], (0, 2)),
            boundary=boundary,
            lengths=lengths,
            class_rows=_class_rows(ids, boundary, lengths, self.class_id),
            spans=numpy.asarray([window.span for window in flat], dtype="int32").reshape(-1, 2),
            runs=Runs(
                rows=_concatenate([window.run for window in flat]),
                lengths=numpy.asarray([len(window.run) for window in flat], dtype="int32"),
                texts=numpy.repeat(ends, n_inputs, axis=0),
                mean=self._mean,
            ),
        )
        n_pieces = [sum(len(window.ids) for window in windows) for windows in per_text]
        return Encoded(
            wordpieces,
            n_inputs,
            numpy.asarray(n_pieces, dtype="int32"),
            numpy.zeros(len(texts), dtype="bool"),
        )


def validate_overflow(overflow: str, window_rows: str = WINDOW_ROWS[0]) -> None:
    """Check the options before any work is done.

    overflow, window_rows (str): The options.
    RAISES (ValueError): TB008.
    """
    for field, got, options in [
        ("overflow", overflow, OVERFLOW),
        ("window_rows", window_rows, WINDOW_ROWS),
    ]:
        if got not in options:
            expected = ", ".join(repr(option) for option in options)
            raise ValueError(errors.TB008.format(field=field, got=repr(got), expected=expected))


def _copy_backend(tokenizer: PreTrainedTokenizerBase) -> Any:
    try:
        return copy.deepcopy(tokenizer.backend_tokenizer)
    except Exception as error:  # tokenizers raises nothing more precise
        reason = f"it can't be copied or saved: {error}"
        raise ValueError(
            errors.TB004.format(trf_name=tokenizer.name_or_path, reason=reason)
        ) from error


def _refuse_lone_surrogates(texts: Sequence[str]) -> None:
    halves = re.compile("[\ud800-\udfff]")
    found = next(filter(None, (halves.search(t) for t in texts if isinstance(t, str))), None)
    if found is not None:
        code = f"U+{ord(found.group()):04X}"
        raise ValueError(errors.TB039.format(code=code, place=found.start()))


def _class_rows(ids: Array, boundary: Array, lengths: Array, class_id: int | None) -> Array:
    """The first boundary piece of each input that is the class token."""
    rows = numpy.full(len(lengths), -1, dtype="int32")
    if class_id is None:
        return rows
    found = numpy.flatnonzero(boundary & (ids == class_id)).astype("int32")
    inputs = numpy.searchsorted(numpy.cumsum(lengths), found, side="right")
    rows[inputs[::-1]] = found[::-1]  # the first of an input is written last
    return rows


def _last_end(encoding: Any) -> int:
    """Where the text ends that the wordpieces of a cut encoding stand for."""
    spans = zip(encoding.offsets, encoding.special_tokens_mask, strict=True)
    return max((end for (_, end), special in spans if not special), default=0)


def _flat(parts: Iterable[Iterable[int]]) -> Array:
    return numpy.fromiter(chain.from_iterable(parts), dtype="int32")


def _concatenate(
    arrays: Sequence[Array], empty_shape: tuple[int, ...] = (0,), dtype: str = "int32"
) -> Array:
    if not arrays:
        return numpy.empty(empty_shape, dtype=dtype)
    return numpy.concatenate(arrays).astype(dtype, copy=False)
