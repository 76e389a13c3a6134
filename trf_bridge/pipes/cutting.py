"""Sentences of many Docs -> the wordpieces of each Doc."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy
from spacy.tokens import Doc

from .. import errors
from ..types import Array, Wordpieces
from ..wrappers.tokenizers.tokenizer import Encoded, WordpieceTokenizer
from .doc.records import token_spans


def cut_docs(
    tokenizer: WordpieceTokenizer,
    docs: Sequence[Doc],
    spans: Sequence[Sequence[tuple[int, int]]],
) -> list[Wordpieces]:
    """Cut the sentences of all Docs at once.

    tokenizer (WordpieceTokenizer): The tokenizer.
    docs (sequence of Doc, (n_docs,)): The Docs.
    spans (sequence of sequence of tuple of int, (n_docs,)): Character start and end of the
        sentences of each.
    RETURNS (list of Wordpieces, (n_docs,)): The wordpieces of each.
    WARNS: TB101, once, where something is cut off.
    """
    texts = []
    for doc, of_doc in zip(docs, spans, strict=True):
        text = doc.text  # put together anew each time that it is asked for
        texts += [text[start:end] for start, end in of_doc]
    encoded = tokenizer.encode(texts)
    starts = numpy.asarray([start for of_doc in spans for start, _ in of_doc], dtype="int32")
    pieces = _shift(encoded, starts)
    _warn_of_cuts(tokenizer, docs, spans, encoded.cut, pieces.spans)
    n_texts = numpy.asarray([len(of_doc) for of_doc in spans], dtype="int64")
    return _split(tokenizer, pieces, _sum_groups(encoded.n_inputs, n_texts))


def _shift(encoded: Encoded, starts: Array) -> Wordpieces:
    """Count characters from the start of the Doc, and rows from the start of the batch."""
    pieces = encoded.wordpieces
    input_starts = numpy.repeat(starts, encoded.n_inputs)
    runs = pieces.runs
    if runs is not None:
        first_rows = numpy.cumsum(encoded.n_pieces) - encoded.n_pieces
        shift = numpy.repeat(numpy.repeat(first_rows, encoded.n_inputs), runs.lengths)
        runs = runs._replace(rows=runs.rows + shift, texts=runs.texts + input_starts[:, None])
    return replace(
        pieces,
        offsets=pieces.offsets + numpy.repeat(input_starts, pieces.lengths)[:, None],
        spans=pieces.spans + input_starts[:, None],
        runs=runs,
    )


def _split(tokenizer: WordpieceTokenizer, pieces: Wordpieces, n_inputs: Array) -> list[Wordpieces]:
    """Cut a batch of wordpieces into its Docs, each with arrays of its own."""
    per_doc = []
    input_start = row_start = run_start = 0
    for n in n_inputs.tolist():
        inputs = slice(input_start, input_start + n)
        lengths = pieces.lengths[inputs]
        row_end = row_start + int(lengths.sum())
        rows = slice(row_start, row_end)
        runs = None
        if pieces.runs is not None:
            run_lengths = pieces.runs.lengths[inputs]
            run_end = run_start + int(run_lengths.sum())
            texts = pieces.runs.texts[inputs]
            reads_others = run_end - run_start != row_end - row_start
            if reads_others or not numpy.array_equal(texts, pieces.spans[inputs]):
                runs = pieces.runs._replace(
                    rows=pieces.runs.rows[run_start:run_end] - row_start,
                    lengths=run_lengths.copy(),
                    texts=texts.copy(),
                )
            run_start = run_end
        ids = pieces.ids[rows].copy()
        class_rows = pieces.class_rows[inputs]
        per_doc.append(
            Wordpieces(
                ids=ids,
                type_ids=None if pieces.type_ids is None else pieces.type_ids[rows].copy(),
                offsets=pieces.offsets[rows].copy(),
                boundary=pieces.boundary[rows].copy(),
                lengths=lengths.copy(),
                spans=pieces.spans[inputs].copy(),
                class_rows=numpy.where(class_rows < 0, class_rows, class_rows - row_start),
                joined=tokenizer.join_strings(ids),
                runs=runs,
            )
        )
        input_start, row_start = inputs.stop, row_end
    return per_doc


def _warn_of_cuts(
    tokenizer: WordpieceTokenizer,
    docs: Sequence[Doc],
    spans: Sequence[Sequence[tuple[int, int]]],
    cut: Array,
    kept: Array,
) -> None:
    """Count the tokens that lie past the maximum length, and say so once."""
    if not cut.any():
        return
    n_tokens = text = 0
    for doc, of_doc in zip(docs, spans, strict=True):
        past = cut[text : text + len(of_doc)]
        if past.any():
            token_starts = token_spans(doc)[:, 0]
            ends = numpy.asarray(of_doc, dtype="int32")[past, 1]
            first = numpy.searchsorted(token_starts, kept[text : text + len(of_doc), 1][past])
            n_tokens += int((numpy.searchsorted(token_starts, ends) - first).sum())
        text += len(of_doc)
    message = errors.TB101.format(
        n_tokens=n_tokens, n_inputs=int(cut.sum()), max_length=tokenizer.limit
    )
    warnings.warn(message, stacklevel=4)


def _sum_groups(values: Array, sizes: Array) -> Array:
    """Sum runs of neighbours; a run may be empty."""
    sums = numpy.concatenate([[0], numpy.cumsum(values, dtype="int64")])
    ends = numpy.cumsum(sizes)
    differences: Array = sums[ends] - sums[ends - sizes]
    return differences
