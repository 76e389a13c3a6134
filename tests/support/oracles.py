"""Slow reference results: the alignment in plain Python, and plain calls of transformers."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy
from spacy.pipeline import Sentencizer

# Classes of encoders that AutoModel would load together with a decoder.
ENCODERS = {"t5": "T5EncoderModel"}


class Sentence(NamedTuple):
    """The wordpieces of one sentence, from a plain call of the Hugging Face tokenizer.

    offsets are positions in the text of the Doc. end is the end of the sentence, or of its last
    wordpiece if the sentence was truncated.
    """

    ids: list[int]
    type_ids: list[int] | None
    offsets: list[tuple[int, int]]
    boundary: list[bool]
    start: int
    end: int


def plain_sentences(doc: Any, tokenizer: Any, max_length: int | None = None) -> list[Sentence]:
    """Tokenize the text of each sentence with a plain call of the tokenizer.

    Special tokens that occur in the text are not boundary pieces. Docs without sentence boundaries
    are split by spaCy's sentencizer.
    """
    if not len(doc):
        return []
    if not doc.has_annotation("SENT_START"):
        doc = Sentencizer()(doc.copy())
    sents = list(doc.sents)
    sentences = []
    for sent in sents:
        start = sent.start_char
        options = {} if max_length is None else {"truncation": True, "max_length": max_length}
        encoded = tokenizer(
            sent.text,
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
            **options,
        )
        boundary = [bool(flag) for flag in encoded["special_tokens_mask"]]
        offsets = [(a + start, b + start) for a, b in encoded["offset_mapping"]]
        truncated = False
        if max_length is not None:
            whole = tokenizer(sent.text)["input_ids"]
            truncated = len(whole) > max_length
        ends = [b for (_, b), flag in zip(offsets, boundary, strict=True) if not flag]
        sentences.append(
            Sentence(
                ids=encoded["input_ids"],
                type_ids=encoded.get("token_type_ids"),
                offsets=offsets,
                boundary=boundary,
                start=start,
                end=max(ends, default=start) if truncated else sent.end_char,
            )
        )
    return sentences


def align_doc(doc: Any, sentences: list[Sentence]) -> list[list[int]]:
    """Return the wordpieces of each token of a Doc, numbered from the start of the Doc."""
    links: list[list[int]] = [[] for _ in range(len(doc))]
    tokens = [(token.idx, token.idx + len(token)) for token in doc]
    row = 0
    for sentence in sentences:
        tokens_of_pieces = link_pieces(
            doc.text, tokens, sentence.offsets, sentence.boundary, (sentence.start, sentence.end)
        )
        for offset, linked in enumerate(tokens_of_pieces):
            for token in linked:
                links[token].append(row + offset)
        row += len(tokens_of_pieces)
    return links


def link_pieces(
    text: str,
    tokens: list[tuple[int, int]],
    pieces: list[tuple[int, int]],
    boundary: list[bool],
    span: tuple[int, int],
) -> list[list[int]]:
    """Return the tokens of each wordpiece of one input, by comparing every pair."""
    own = [i for i, token in enumerate(tokens) if share_characters(token, span)]
    links = []
    for piece, is_boundary in zip(pieces, boundary, strict=True):
        if is_boundary:
            links.append(own)
            continue
        trimmed = trim(text, piece)
        shared = [i for i in own if share_characters(tokens[i], trimmed)]
        links.append(shared or nearest(tokens, own, trimmed))
    return links


def trim(text: str, span: tuple[int, int]) -> tuple[int, int]:
    """Remove the white space at both ends of a span, unless it holds nothing else."""
    start, end = span
    inside = text[start:end]
    if not inside.strip():
        return span
    return start + len(inside) - len(inside.lstrip()), end - len(inside) + len(inside.rstrip())


def share_characters(first: tuple[int, int], second: tuple[int, int]) -> bool:
    """Return whether two spans have a character in common."""
    return bool(set(range(*first)) & set(range(*second)))


def nearest(tokens: list[tuple[int, int]], own: list[int], span: tuple[int, int]) -> list[int]:
    """Return the token with the fewest characters in between, the following one on a tie."""
    if not own:
        return []
    distances = [max(tokens[i][0] - span[1], span[0] - tokens[i][1], 0) for i in own]
    return [max(i for i, d in zip(own, distances, strict=True) if d == min(distances))]


def shares(links: list[list[int]], n_rows: int) -> list[int]:
    """Return the number of tokens that are linked to each wordpiece."""
    return [sum(row in linked for linked in links) for row in range(n_rows)]


def weighted_sum(links: list[list[int]], hidden: Any) -> Any:
    """Compute the token rows in float64, each wordpiece divided between its tokens."""
    hidden = numpy.asarray(hidden, dtype="float64")
    counts = shares(links, len(hidden))
    rows = numpy.zeros((len(links), hidden.shape[1]))
    for token, linked in enumerate(links):
        for row in linked:
            rows[token] += hidden[row] / counts[row]
    return rows


def transposed_sum(links: list[list[int]], d_rows: Any, n_rows: int) -> Any:
    """Compute the gradient of the wordpiece rows in float64."""
    d_rows = numpy.asarray(d_rows, dtype="float64")
    counts = shares(links, n_rows)
    d_hidden = numpy.zeros((n_rows, d_rows.shape[1]))
    for token, linked in enumerate(links):
        for row in linked:
            d_hidden[row] += d_rows[token] / counts[row]
    return d_hidden


@cache
def load_plain(name: str, folder: Path) -> Any:
    """Load the model with transformers, with an attention that can return its weights."""
    import torch
    import transformers

    model_class = getattr(transformers, ENCODERS.get(name, "AutoModel"))
    model = model_class.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    return model.get_encoder() if hasattr(model, "decoder") else model


@cache
def load_plain_tokenizer(folder: Path) -> Any:
    """Load the tokenizer with transformers, and its Rust part as tokenizer.json defines it."""
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    path = Path(folder) / "tokenizer.json"
    if tokenizer.is_fast and path.is_file():
        # The classes of transformers 5 replace parts of it.
        tokenizer._tokenizer = Tokenizer.from_file(str(path))
    return tokenizer


def run_plain(model: Any, ids: list[int], type_ids: list[int] | None, **flags: bool) -> Any:
    """Run the model on one sentence, without padding."""
    import torch

    inputs = {"input_ids": torch.tensor([ids]), "attention_mask": torch.ones((1, len(ids)))}
    if type_ids is not None:
        inputs["token_type_ids"] = torch.tensor([type_ids])
    return model(**inputs, return_dict=True, **flags)


class PlainPair(NamedTuple):
    """The wordpieces of a pair, from a plain call of the Hugging Face tokenizer with two texts.

    sides is 0 or 1 for a wordpiece of that text and None for a boundary piece. offsets are
    positions in the text of the Doc. own lists the tokens of both texts that were not truncated.
    separator is the index of the separating token.
    """

    ids: list[int]
    type_ids: list[int] | None
    offsets: list[tuple[int, int]]
    sides: list[int | None]
    own: tuple[list[int], list[int]]
    separator: int


def plain_pair(
    doc: Any, separator: int, tokenizer: Any, max_length: int | None = None
) -> PlainPair:
    """Tokenize the texts on both sides of a token with a plain call of the tokenizer."""
    texts = doc[:separator].text, doc[separator + 1 :].text
    options = {} if max_length is None else {"truncation": True, "max_length": max_length}
    whole = tokenizer(*texts).sequence_ids(0)
    encoded = tokenizer(*texts, return_offsets_mapping=True, **options)
    sides = encoded.sequence_ids(0)
    starts = (0, doc[separator + 1].idx if separator + 1 < len(doc) else 0)
    offsets = [
        pair if side is None else (pair[0] + starts[side], pair[1] + starts[side])
        for pair, side in zip(encoded["offset_mapping"], sides, strict=True)
    ]
    own = []
    for side, tokens in enumerate((doc[:separator], doc[separator + 1 :])):
        ends = [end for (_, end), other in zip(offsets, sides, strict=True) if other == side]
        truncated = whole.count(side) > sides.count(side)
        kept = max(ends, default=0) if truncated else len(doc.text)
        own.append([token.i for token in tokens if token.idx < kept])
    type_ids = encoded.get("token_type_ids")
    return PlainPair(encoded["input_ids"], type_ids, offsets, sides, (own[0], own[1]), separator)


def align_pair(doc: Any, pair: PlainPair) -> list[list[int]]:
    """Return the wordpieces of each token of a Doc that holds a pair."""
    links: list[list[int]] = [[] for _ in range(len(doc))]
    tokens = [(token.idx, token.idx + len(token)) for token in doc]
    all_tokens = sorted([*pair.own[0], pair.separator, *pair.own[1]])
    for row, (offset, side) in enumerate(zip(pair.offsets, pair.sides, strict=True)):
        linked = all_tokens
        if side is not None:
            own = pair.own[side]
            piece = trim(doc.text, offset)
            shared = [i for i in own if share_characters(tokens[i], piece)]
            linked = shared or nearest(tokens, own, piece) or all_tokens
        for token in linked:
            links[token].append(row)
    return links
