"""Read the wordpieces of a Doc, their links to its tokens, and the texts that the model read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy
from thinc.api import get_array_module

from .. import errors
from ..align import Alignment
from ..pipes.doc.attributes import token_range
from ..pipes.doc.records import get_alignment, get_wordpieces
from ..types import Array, Wordpieces

if TYPE_CHECKING:
    from spacy.tokens import Doc, Span

    DocLike: TypeAlias = Doc | Span


class TextRanges(NamedTuple):
    """Where a text is in its Doc: a sentence, or a pair of texts, with all of its windows.

    inputs (range): Inputs of the model, as indices into `Wordpieces.lengths`.
    rows (range): Wordpieces, as rows of the Doc.
    tokens (range): Tokens, as indices into the Doc.
    """

    inputs: range
    rows: range
    tokens: range


def read_links(doc: Doc) -> tuple[Wordpieces, Alignment]:
    """Return the wordpieces of a Doc and their links to its tokens.

    doc (Doc): The Doc.
    RETURNS (tuple of Wordpieces, Alignment): Both.
    RAISES (ValueError): TB052 where the Doc has no wordpieces.
    """
    wordpieces, alignment = get_wordpieces(doc), get_alignment(doc)
    if wordpieces is None or alignment is None:
        message = errors.TB052.format(
            n_tokens=len(doc), what="wordpieces", component="trf_wordpiecer"
        )
        raise ValueError(message)
    return wordpieces, alignment


def read_texts(doclike: DocLike) -> Iterator[TextRanges]:
    """List the texts that a Doc or Span has tokens of.

    doclike (Doc, Span): The Doc or Span.
    YIELDS (TextRanges): Each whole text, in order, even if a Span contains only a part of it.
    RAISES (ValueError): TB052 where the Doc has no wordpieces.
    """
    wordpieces, alignment = read_links(doclike.doc)
    selected = token_indices(doclike)
    for inputs in group_windows(wordpieces):
        rows = input_rows(wordpieces, inputs)
        tokens = linked_tokens(alignment, rows)
        if max(tokens.start, selected.start) < min(tokens.stop, selected.stop):
            yield TextRanges(inputs, rows, tokens)


def group_windows(wordpieces: Wordpieces) -> list[range]:
    """Group the windows of each text.

    wordpieces (Wordpieces): The wordpieces of a Doc.
    RETURNS (list of range): The inputs of each text. Without windows, every text is one input.
    """
    n_inputs = len(wordpieces.lengths)
    if wordpieces.runs is None:
        return [range(i, i + 1) for i in range(n_inputs)]
    texts = wordpieces.runs.text_spans.tolist()
    starts = [i for i in range(n_inputs) if not i or texts[i] != texts[i - 1]]
    return [range(*pair) for pair in zip(starts, [*starts[1:], n_inputs], strict=True)]


def input_rows(wordpieces: Wordpieces, inputs: range) -> range:
    """Return the wordpieces of consecutive inputs.

    wordpieces (Wordpieces): The wordpieces of a Doc.
    inputs (range): The inputs.
    RETURNS (range): Rows of the Doc.
    """
    ends = numpy.cumsum(wordpieces.lengths).tolist()
    if not len(inputs):
        return range(0)
    return range(ends[inputs[0] - 1] if inputs[0] else 0, ends[inputs[-1]])


def link_tokens(alignment: Alignment) -> Array:
    """Return the token of each link.

    alignment (Alignment): The links of a Doc.
    RETURNS (int64, (n_links,)): Indices into the Doc.
    """
    return numpy.repeat(numpy.arange(len(alignment.lengths)), alignment.lengths)


def linked_tokens(alignment: Alignment, rows: range) -> range:
    """Find the tokens that are linked to consecutive wordpieces.

    alignment (Alignment): The links of a Doc.
    rows (range): Wordpieces of the Doc.
    RETURNS (range): From the first linked token to the last; empty if there are none.
    """
    inside = (alignment.rows >= rows.start) & (alignment.rows < rows.stop)
    tokens = link_tokens(alignment)[inside]
    return range(int(tokens.min()), int(tokens.max()) + 1) if len(tokens) else range(0)


def token_indices(doclike: DocLike) -> range:
    """Return the tokens of a Doc or Span.

    doclike (Doc, Span): The Doc or Span.
    RETURNS (range): Indices into the Doc.
    """
    return range(*token_range(doclike))


def to_numpy(array: Array) -> Array:
    """Copy an array to the CPU if it is on a GPU.

    array (array): An array of numpy or cupy.
    RETURNS (array): The same values in an array of numpy.
    """
    return array if get_array_module(array) is numpy else array.get()
