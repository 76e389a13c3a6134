"""Splits texts into wordpieces, with the tokenizer of the checkpoint."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy

from ... import errors
from ...types import Array, Runs, Wordpieces, escape_piece
from ..configs import load_config
from ..configs import max_length as find_max_length
from .forking import guard_forks
from .loading import copy_backend, load_tokenizer
from .pair_encoding import Pair, encode_pair
from .single_tokens import encode_tokens
from .slow_backend import SlowBackend
from .windows import WindowPlanner

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


# The maximum length of inputs for models that have none. The memory of attention grows with the
# square of the length, so without a limit one long text could use up all memory.
WITHOUT_MAXIMUM = 4096


@dataclass(frozen=True)
class Encoded:
    """The wordpieces of a batch of texts.

    wordpieces (Wordpieces): All wordpieces, text after text. Offsets and spans count from the start
        of their text, rows in `runs` from its first wordpiece, class rows from the first of all.
    n_inputs (int32, (n_texts,)): Inputs of each text: 1, or the number of its windows.
    n_pieces (int32, (n_texts,)): Wordpieces of each text.
    truncated (bool, (n_texts,)): Whether wordpieces were dropped past the maximum length.
    """

    wordpieces: Wordpieces
    n_inputs: Array
    n_pieces: Array
    truncated: Array


class WordpieceTokenizer:
    """Wraps a Hugging Face tokenizer, with fixed options for long inputs.

    It uses a copy of the tokenizer's Rust part. Calls of the Python object change the truncation
    and the padding of that part for every thread that shares it. A tokenizer without a Rust part is
    wrapped in a `SlowBackend`.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        *,
        max_length: int | None = None,
        overflow: str = "truncate",
        stride: int = 128,
        type_ids: bool | None = None,
        split_special_tokens: bool = False,
        window_rows: str = "most_context",
        by_token: bool = False,
    ) -> None:
        """Wrap a tokenizer.

        tokenizer (PreTrainedTokenizerBase): A fast tokenizer, or a slow one.
        max_length (int): The maximum number of wordpieces of an input, boundary pieces included;
            None for a model without a maximum, for which `limit` is WITHOUT_MAXIMUM.
        overflow (str): How longer inputs are handled: "truncate" drops the end, "window" and
            "strided" split the input into overlapping windows; see `WindowPlanner`.
        stride (int): Wordpieces that neighbouring windows share; at most half of a window.
        type_ids (bool): Whether the model reads type ids; None to use the tokenizer's setting.
        split_special_tokens (bool): Whether special tokens that occur in a text, such as "[SEP]",
            are split like any other text instead of being one wordpiece.
        window_rows (str): The row of a wordpiece that several windows read: that of the window in
            which it has the "most_context", or the "mean" of all. Pairs always use most context.
        by_token (bool): Whether `encode` splits each token by itself. Pairs are split as texts.
        RAISES (ValueError): TB004 for a fast tokenizer that cannot be copied, and for by_token with
            a slow one; TB008 for an unknown
            option; TB033 for a slow tokenizer whose steps do not add up to a call; TB034 for a
            maximum that leaves no room for a text.
        """
        guard_forks()
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.overflow = overflow
        self.stride = stride
        self.type_ids = (
            "token_type_ids" in tokenizer.model_input_names if type_ids is None else type_ids
        )
        self.split_special_tokens = split_special_tokens
        self.by_token = by_token
        if by_token and not getattr(tokenizer, "is_fast", False):
            reason = "by_token = true needs a fast tokenizer, which is written in Rust"
            raise ValueError(errors.TB004.format(trf_name=tokenizer.name_or_path, reason=reason))
        self._backend: Any = (
            copy_backend(tokenizer)
            if getattr(tokenizer, "is_fast", False)
            else SlowBackend(tokenizer)
        )
        self._backend.encode_special_tokens = split_special_tokens
        self.class_id = self._find_class_id()
        self.limit = WITHOUT_MAXIMUM if max_length is None else max_length
        n_added = len(self._backend.encode("").ids)
        if self.limit <= n_added:
            raise ValueError(
                errors.TB034.format(got=self.limit, n_added=n_added, least=n_added + 1)
            )
        self._planner = WindowPlanner(self.limit, overflow, stride, window_rows)

    def __setstate__(self, state: dict[str, Any]) -> None:
        guard_forks()  # a process that is spawned unpickles its tokenizer
        self.__dict__.update(state)

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path,
        *,
        revision: str | None = None,
        trust_remote_code: bool = False,
        max_length: int | None = None,
        overflow: str = "truncate",
        stride: int = 128,
        type_ids: bool | None = None,
        split_special_tokens: bool = False,
        window_rows: str = "most_context",
        by_token: bool = False,
    ) -> WordpieceTokenizer:
        """Load the tokenizer of a checkpoint.

        name_or_path (str, Path): A folder, or a name on the Hugging Face hub.
        revision (str): Branch, tag or commit on the hub; None for the main branch.
        trust_remote_code (bool): Whether to run code that comes with the checkpoint.
        max_length (int): The maximum number of wordpieces of an input, boundary pieces included;
            the model's own maximum if that is smaller, or if this is None.
        overflow, stride, type_ids, split_special_tokens, window_rows, by_token: As in
            `WordpieceTokenizer`.
        RETURNS (WordpieceTokenizer): The tokenizer.
        RAISES (ValueError): TB002, TB004, TB008, TB016, TB033, TB034.
        """
        name = str(name_or_path)
        config = load_config(name, revision=revision, trust_remote_code=trust_remote_code)
        tokenizer = load_tokenizer(name, revision=revision, trust_remote_code=trust_remote_code)
        limit = find_max_length(config, tokenizer, trust_remote_code=trust_remote_code)
        limits = [length for length in (limit, max_length) if length is not None]
        return cls(
            tokenizer,
            max_length=min(limits, default=None),
            overflow=overflow,
            stride=stride,
            type_ids=type_ids,
            split_special_tokens=split_special_tokens,
            window_rows=window_rows,
            by_token=by_token,
        )

    def encode(self, texts: Sequence[str], tokens: Sequence[Array] = ()) -> Encoded:
        """Split texts into wordpieces, and add the boundary pieces of each input.

        texts (sequence of str, (n_texts,)): The raw texts, not split into words.
        tokens (sequence of int32, each (n_tokens, 2)): Character start and end of the tokens of
            each text. Only used with `by_token`.
        RETURNS (Encoded): The wordpieces of all texts.
        RAISES (ValueError): TB032; TB039 for a text with half of a surrogate pair.
        WARNS: TB104, once, where offsets of a slow tokenizer are not certain.
        """
        texts = list(texts)
        try:
            if self.by_token:
                encodings, offsets = encode_tokens(self._backend, texts, tokens)
            else:
                encodings = self._backend.encode_batch(texts)
                offsets = [encoding.offsets for encoding in encodings]
        except TypeError:
            _raise_for_surrogates(texts)
            raise
        n_pieces = numpy.asarray([len(encoding) for encoding in encodings], dtype="int32")
        whole = Wordpieces(
            ids=_flatten(encoding.ids for encoding in encodings),
            type_ids=_flatten(e.type_ids for e in encodings) if self.type_ids else None,
            offsets=_flatten(chain.from_iterable(offsets)).reshape(-1, 2),
            boundary=_flatten(e.special_tokens_mask for e in encodings).astype("bool"),
            lengths=n_pieces,
            spans=numpy.asarray([(0, len(text)) for text in texts], dtype="int32").reshape(-1, 2),
            class_rows=numpy.empty(0, dtype="int32"),
        )
        if (n_pieces > self._planner.longest).any():
            return self._split_long(whole)
        wordpieces = replace(whole, class_rows=self._class_rows(whole))
        return Encoded(
            wordpieces,
            n_inputs=numpy.ones_like(n_pieces),
            n_pieces=n_pieces,
            truncated=numpy.zeros(len(texts), dtype="bool"),
        )

    def encode_pairs(self, pairs: Sequence[Pair]) -> tuple[list[Wordpieces], Array]:
        """Split pairs of texts into wordpieces, with the tokenizer's own template for pairs.

        pairs (sequence of Pair, (n_pairs,)): The raw texts.
        RETURNS (list of Wordpieces, bool (n_pairs,)): The wordpieces of each pair, without strings;
            and whether wordpieces were dropped past the maximum length.
        RAISES (ValueError): TB009 for a maximum that leaves no room for a pair; TB032.
        """
        # Hugging Face's tokenizers treat an empty second text as no second text.
        texts = [pair.texts if pair.texts[1] else pair.texts[0] for pair in pairs]
        encodings = self._backend.encode_batch(texts)
        encoded, truncated = [], []
        for encoding, pair in zip(encodings, pairs, strict=True):
            pieces, is_truncated = encode_pair(
                encoding, pair, self._planner, type_ids=self.type_ids
            )
            encoded.append(replace(pieces, class_rows=self._class_rows(pieces)))
            truncated.append(is_truncated)
        return encoded, numpy.asarray(truncated, dtype="bool")

    def join_strings(self, ids: Array) -> str:
        """Look up wordpieces in the vocabulary.

        ids (int, (n_wp,)): The ids of the wordpieces.
        RETURNS (str): The strings of the vocabulary, each through `escape_piece`, separated by NUL.
        """
        strings = self._strings
        return "\0".join([strings[i] for i in ids.tolist()])

    @cached_property
    def _strings(self) -> list[str]:
        """Return the string of each id, escaped."""
        vocabulary = self._backend.get_vocab(with_added_tokens=True)
        strings = [""] * (max(vocabulary.values(), default=-1) + 1)
        for string, i in vocabulary.items():
            strings[i] = escape_piece(string)
        return strings

    def _find_class_id(self) -> int | None:
        """Return the id of the class token if it is one of the boundary pieces."""
        class_id = getattr(self.tokenizer, "cls_token_id", None)
        added = self._backend.encode("").ids
        return int(class_id) if class_id is not None and class_id in added else None

    def _class_rows(self, wordpieces: Wordpieces) -> Array:
        """Return the row of the first class token of each input; -1 for an input without one."""
        rows = numpy.full(len(wordpieces.lengths), -1, dtype="int32")
        if self.class_id is None:
            return rows
        is_class = wordpieces.boundary & (wordpieces.ids == self.class_id)
        class_rows = numpy.flatnonzero(is_class).astype("int32")
        inputs = numpy.searchsorted(numpy.cumsum(wordpieces.lengths), class_rows, side="right")
        rows[inputs[::-1]] = class_rows[::-1]  # the first one of an input is written last
        return rows

    def _split_long(self, whole: Wordpieces) -> Encoded:
        """Truncate texts that are too long, or split them into windows.

        whole (Wordpieces): One input for each text, without class rows.
        RETURNS (Encoded): The inputs of all texts.
        """
        ends = numpy.cumsum(whole.lengths)
        starts = ends - whole.lengths
        sides = -whole.boundary.astype("int32")
        plans = [
            self._planner.plan(whole.offsets[start:end], sides[start:end], [span])
            for start, end, span in zip(starts, ends, whole.spans.tolist(), strict=True)
        ]
        rows = numpy.concatenate([s + plan.rows for s, plan in zip(starts, plans, strict=True)])
        n_inputs = numpy.asarray([len(plan.lengths) for plan in plans], dtype="int32")
        runs = None
        if self.overflow != "truncate":
            runs = Runs(
                rows=numpy.concatenate([plan.read_rows for plan in plans]),
                lengths=numpy.concatenate([plan.read_lengths for plan in plans]),
                text_spans=numpy.repeat(whole.spans, n_inputs, axis=0),
                mean=self._planner.takes_means,
            )
        wordpieces = Wordpieces(
            ids=whole.ids[rows],
            type_ids=None if whole.type_ids is None else whole.type_ids[rows],
            offsets=whole.offsets[rows],
            boundary=whole.boundary[rows],
            lengths=numpy.concatenate([plan.lengths for plan in plans]),
            spans=numpy.concatenate([plan.spans[:, 0] for plan in plans]),
            class_rows=whole.class_rows,
            runs=runs,
        )
        return Encoded(
            replace(wordpieces, class_rows=self._class_rows(wordpieces)),
            n_inputs=n_inputs,
            n_pieces=numpy.asarray([len(plan.rows) for plan in plans], dtype="int32"),
            truncated=numpy.asarray([plan.truncated for plan in plans], dtype="bool"),
        )


def _raise_for_surrogates(texts: Sequence[str]) -> None:
    """Raise an error if a text contains half of a surrogate pair."""
    halves = re.compile("[\ud800-\udfff]")
    match = next(filter(None, (halves.search(t) for t in texts if isinstance(t, str))), None)
    if match is not None:
        code = f"U+{ord(match.group()):04X}"
        raise ValueError(errors.TB039.format(code=code, place=match.start()))


def _flatten(parts: Iterable[Iterable[int]]) -> Array:
    """Concatenate lists of numbers into one array."""
    return numpy.fromiter(chain.from_iterable(parts), dtype="int32")
