"""What every picture reads from a Doc, with the errors that say what is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy
from thinc.api import get_array_module

from .. import errors
from ..align import Alignment
from ..pipes.doc.attributes import token_range
from ..pipes.doc.records import get_alignment, get_wordpieces
from ..types import Array, Wordpieces

if TYPE_CHECKING:
    from spacy.tokens import Doc, Span

    Obj: TypeAlias = Doc | Span


def read_links(doc: Doc) -> tuple[Wordpieces, Alignment]:
    """Take the wordpieces of a Doc and their links to its tokens.

    doc (Doc): The Doc.
    RETURNS (tuple of Wordpieces, Alignment): Both.
    RAISES (ValueError): TB052 where it has no wordpieces.
    """
    wordpieces, alignment = get_wordpieces(doc), get_alignment(doc)
    if wordpieces is None or alignment is None:
        message = errors.TB052.format(
            n_tokens=len(doc), what="wordpieces", component="trf_wordpiecer"
        )
        raise ValueError(message)
    return wordpieces, alignment


def input_groups(wordpieces: Wordpieces) -> list[range]:
    """Put the windows of one text together.

    wordpieces (Wordpieces): The wordpieces of a Doc.
    RETURNS (list of range): Inputs that belong together; one each where there are no windows.
    """
    n_inputs = len(wordpieces.lengths)
    if wordpieces.runs is None:
        return [range(i, i + 1) for i in range(n_inputs)]
    texts = wordpieces.runs.texts.tolist()
    starts = [i for i in range(n_inputs) if not i or texts[i] != texts[i - 1]]
    return [range(*pair) for pair in zip(starts, [*starts[1:], n_inputs], strict=True)]


def group_rows(wordpieces: Wordpieces, inputs: range) -> range:
    """RETURNS (range): The wordpieces of inputs that follow each other, as rows of the Doc."""
    ends = numpy.cumsum(wordpieces.lengths).tolist()
    if not len(inputs):
        return range(0)
    return range(ends[inputs[0] - 1] if inputs[0] else 0, ends[inputs[-1]])


def link_tokens(alignment: Alignment) -> Array:
    """RETURNS (int64, (n_links,)): The token of each link."""
    return numpy.repeat(numpy.arange(len(alignment.lengths)), alignment.lengths)


def linked_range(alignment: Alignment, rows: range) -> range:
    """Find the tokens that are linked to neighbouring wordpieces.

    alignment (Alignment): The links of a Doc.
    rows (range): Wordpieces of the Doc.
    RETURNS (range): From the first such token to the last; empty where there are none.
    """
    inside = (alignment.rows >= rows.start) & (alignment.rows < rows.stop)
    tokens = link_tokens(alignment)[inside]
    return range(int(tokens.min()), int(tokens.max()) + 1) if len(tokens) else range(0)


def shown_tokens(obj: Obj) -> range:
    """RETURNS (range): The tokens of a Doc or Span, as indices into the Doc."""
    return range(*token_range(obj))


def on_cpu(array: Array) -> Array:
    """RETURNS (array): The same as an array of numpy, whatever device it is on."""
    return array if get_array_module(array) is numpy else array.get()
