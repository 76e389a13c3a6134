"""From the inputs of many Docs to the wordpieces of each Doc."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy

from .. import errors
from ..types import Array, Runs, Wordpieces
from ..wrappers.tokenizers.pair_encoding import Pair
from ..wrappers.tokenizers.tokenizer import Encoded, WordpieceTokenizer
from .doc.inputs import DocInputs


def tokenize_docs(tokenizer: WordpieceTokenizer, docs: Sequence[DocInputs]) -> list[Wordpieces]:
    """Split Docs into wordpieces: a pair of texts as one input, any other Doc input by input.

    tokenizer (WordpieceTokenizer): The tokenizer.
    docs (sequence of DocInputs, (n_docs,)): The inputs of each Doc.
    RETURNS (list of Wordpieces, (n_docs,)): The wordpieces of each.
    RAISES (ValueError): TB009.
    WARNS: TB101, once for texts and once for pairs, if an input is truncated.
    """
    texts = iter(_tokenize_texts(tokenizer, [doc for doc in docs if doc.pair is None]))
    pairs = iter(_tokenize_pairs(tokenizer, [doc for doc in docs if doc.pair is not None]))
    return [next(texts if doc.pair is None else pairs) for doc in docs]


def _tokenize_texts(tokenizer: WordpieceTokenizer, docs: Sequence[DocInputs]) -> list[Wordpieces]:
    if not docs:
        return []
    texts = [doc.text[start:end] for doc in docs for start, end in doc.spans.tolist()]
    encoded = tokenizer.encode(texts, _tokens_of_texts(docs) if tokenizer.by_token else ())
    starts = numpy.concatenate([doc.spans[:, 0] for doc in docs])
    pieces = _shift(encoded, starts)
    if encoded.truncated.any():
        _warn_of_lost_tokens(tokenizer, _count_lost_of_texts(docs, encoded.truncated, pieces.spans))
    n_texts = numpy.asarray([len(doc.spans) for doc in docs], dtype="int64")
    return _split(tokenizer, pieces, _sum_groups(encoded.n_inputs, n_texts))


def _tokens_of_texts(docs: Sequence[DocInputs]) -> list[Array]:
    """Find the tokens of each text, with their characters counted from its start."""
    tokens = []
    for doc in docs:
        firsts, ends = numpy.searchsorted(doc.tokens[:, 0], doc.spans.T)
        starts = doc.spans[:, 0].tolist()
        for first, end, start in zip(firsts.tolist(), ends.tolist(), starts, strict=True):
            tokens.append(doc.tokens[first:end] - start)
    return tokens


def _tokenize_pairs(tokenizer: WordpieceTokenizer, docs: Sequence[DocInputs]) -> list[Wordpieces]:
    pairs = [doc.pair for doc in docs if doc.pair is not None]
    if not pairs:
        return []
    wordpieces, cut = tokenizer.encode_pairs(pairs)
    if cut.any():
        lost = [
            _count_lost_of_pair(doc.tokens, pair, pieces.segments)
            for doc, pair, pieces, is_cut in zip(docs, pairs, wordpieces, cut.tolist(), strict=True)
            if is_cut
        ]
        _warn_of_lost_tokens(tokenizer, lost)
    return [replace(pieces, joined=tokenizer.join_strings(pieces.ids)) for pieces in wordpieces]


def _shift(encoded: Encoded, starts: Array) -> Wordpieces:
    """Count characters from the start of the Doc, and rows from the start of the batch.

    encoded (Encoded): The wordpieces of all texts.
    starts (int32, (n_texts,)): The character at which each text starts in its Doc.
    RETURNS (Wordpieces): The wordpieces of the batch.
    """
    pieces = encoded.wordpieces
    if pieces.runs is None and not starts.any():
        return pieces
    input_starts = numpy.repeat(starts, encoded.n_inputs)
    runs = pieces.runs
    if runs is not None:
        first_rows = numpy.cumsum(encoded.n_pieces) - encoded.n_pieces
        shift = numpy.repeat(numpy.repeat(first_rows, encoded.n_inputs), runs.lengths)
        text_spans = runs.text_spans + input_starts[:, None]
        runs = runs._replace(rows=runs.rows + shift, text_spans=text_spans)
    return replace(
        pieces,
        offsets=pieces.offsets + numpy.repeat(input_starts, pieces.lengths)[:, None],
        spans=pieces.spans + input_starts[:, None],
        runs=runs,
    )


def _split(tokenizer: WordpieceTokenizer, pieces: Wordpieces, n_inputs: Array) -> list[Wordpieces]:
    """Split the wordpieces of a batch into those of each Doc, with arrays of their own.

    tokenizer (WordpieceTokenizer): The tokenizer.
    pieces (Wordpieces): The wordpieces of the batch.
    n_inputs (int64, (n_docs,)): Inputs of each Doc.
    RETURNS (list of Wordpieces, (n_docs,)): The wordpieces of each.
    """
    if len(n_inputs) == 1 and pieces.runs is None:  # the arrays of the batch are those of the Doc
        return [replace(pieces, joined=tokenizer.join_strings(pieces.ids))]
    n_rows = _sum_groups(pieces.lengths, n_inputs)
    n_read = n_rows if pieces.runs is None else _sum_groups(pieces.runs.lengths, n_inputs)
    first_rows = numpy.repeat(numpy.cumsum(n_rows) - n_rows, n_inputs).astype("int32")
    class_rows = numpy.where(pieces.class_rows < 0, -1, pieces.class_rows - first_rows)
    per_doc = []
    for inputs, rows, reads in zip(*map(_slices, (n_inputs, n_rows, n_read)), strict=True):
        ids = pieces.ids[rows].copy()
        per_doc.append(
            Wordpieces(
                ids=ids,
                type_ids=None if pieces.type_ids is None else pieces.type_ids[rows].copy(),
                offsets=pieces.offsets[rows].copy(),
                boundary=pieces.boundary[rows].copy(),
                lengths=pieces.lengths[inputs].copy(),
                spans=pieces.spans[inputs].copy(),
                class_rows=class_rows[inputs].copy(),
                joined=tokenizer.join_strings(ids),
                runs=_runs_of_doc(pieces, inputs, reads, rows),
            )
        )
    return per_doc


def _slices(sizes: Array) -> list[slice]:
    """Return the slices of groups of neighbouring values."""
    ends = numpy.cumsum(sizes)
    return list(map(slice, (ends - sizes).tolist(), ends.tolist()))


def _runs_of_doc(pieces: Wordpieces, inputs: slice, reads: slice, rows: slice) -> Runs | None:
    """Return what the inputs of a Doc read, or None where each of them reads itself alone.

    pieces (Wordpieces): The wordpieces of the batch.
    inputs, reads, rows (slice): The inputs of the Doc, the rows that they read, and their own rows.
    RETURNS (Runs): The runs, with rows counted from the first row of the Doc.
    """
    if pieces.runs is None:
        return None
    text_spans = pieces.runs.text_spans[inputs]
    reads_others = reads.stop - reads.start != rows.stop - rows.start
    if not reads_others and numpy.array_equal(text_spans, pieces.spans[inputs]):
        return None
    return pieces.runs._replace(
        rows=pieces.runs.rows[reads] - rows.start,
        lengths=pieces.runs.lengths[inputs].copy(),
        text_spans=text_spans.copy(),
    )


def _count_lost_of_texts(docs: Sequence[DocInputs], cut: Array, kept: Array) -> list[int]:
    """Count the tokens of each truncated text that lie past the maximum length.

    docs (sequence of DocInputs, (n_docs,)): The inputs of each Doc.
    cut (bool, (n_texts,)): Which texts are truncated.
    kept (int32, (n_texts, 2)): The characters of each that are kept.
    RETURNS (list of int): The number of tokens for each truncated text.
    """
    lost = []
    text = 0
    for doc in docs:
        for _, end in doc.spans.tolist():
            if cut[text]:
                first, last = numpy.searchsorted(doc.tokens[:, 0], [kept[text, 1], end])
                lost.append(int(last - first))
            text += 1
    return lost


def _count_lost_of_pair(tokens: Array, pair: Pair, segments: Array) -> int:
    """Count the tokens of a truncated pair that lie past what is kept of their text.

    tokens (int32, (n_tokens, 2)): Character start and end of each token.
    pair (Pair): The pair.
    segments (int32, (1, 3, 2)): The characters that its input covers.
    RETURNS (int): The number of tokens.
    """
    starts, kept = tokens[:, 0], segments[0, :, 1]
    lost = (starts >= kept[0]) & (starts < pair.first[1])
    lost |= (starts >= kept[2]) & (starts >= pair.second[0]) & (starts < pair.second[1])
    return int(lost.sum())


def _warn_of_lost_tokens(tokenizer: WordpieceTokenizer, lost: Sequence[int]) -> None:
    message = errors.TB101.format(
        n_tokens=sum(lost), n_inputs=len(lost), max_length=tokenizer.limit
    )
    warnings.warn(message, stacklevel=6)


def _sum_groups(values: Array, sizes: Array) -> Array:
    """Sum groups of neighbouring values; a group may be empty.

    values (int, (n,)): The values.
    sizes (int64, (n_groups,)): Number of values in each group.
    RETURNS (int64, (n_groups,)): The sums.
    """
    sums = numpy.concatenate([[0], numpy.cumsum(values, dtype="int64")])
    ends = numpy.cumsum(sizes)
    differences: Array = sums[ends] - sums[ends - sizes]
    return differences
