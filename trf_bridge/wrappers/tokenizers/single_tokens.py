"""Wordpieces of single tokens instead of a whole text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy

from ...types import Array


def encode_tokens(
    backend: Any, texts: Sequence[str], tokens: Sequence[Array]
) -> tuple[list[Any], list[Array]]:
    """Split each token of texts into wordpieces by itself, with the boundary pieces of its text.

    A token is split together with the space before it, which belongs to the wordpieces of some
    tokenizers. Tokens of white space have no wordpieces.

    backend (tokenizers.Tokenizer): The Rust part of a fast tokenizer.
    texts (sequence of str, (n_texts,)): The texts.
    tokens (sequence of int32, each (n_tokens, 2)): Character start and end of the tokens of each
        text, in their text.
    RETURNS (list of tokenizers.Encoding, list of int32 (n_wp, 2)): The wordpieces of each text; and
        their characters in it, zeros for boundary pieces.
    """
    words, starts = [], []
    for text, spans in zip(texts, tokens, strict=True):
        of_text, first_chars, previous = [], [], 0
        for start, end in spans.tolist():
            if not text[start:end].isspace():
                first = start - 1 if start > previous and text[start - 1] == " " else start
                of_text.append(text[first:end])
                first_chars.append(first)
            previous = end
        words.append(of_text)
        starts.append(numpy.asarray([*first_chars, 0], dtype="int32"))
    encodings = backend.encode_batch(words, is_pretokenized=True)
    offsets = [
        _count_from_text(encoding, of_text)
        for encoding, of_text in zip(encodings, starts, strict=True)
    ]
    return encodings, offsets


def _count_from_text(encoding: Any, starts: Array) -> Array:
    """Count the characters of wordpieces from the start of their text instead of their token.

    encoding (tokenizers.Encoding): The wordpieces.
    starts (int32, (n_words + 1,)): The first character of each word, and 0 for boundary pieces.
    RETURNS (int32, (n_wp, 2)): Character start and end of each wordpiece.
    """
    last = len(starts) - 1
    words = [last if word is None else word for word in encoding.word_ids]
    own = numpy.asarray(encoding.offsets, dtype="int32").reshape(-1, 2)
    offsets: Array = own + starts[words][:, None]
    offsets[numpy.asarray(words, dtype="int64") == last] = 0
    return offsets
