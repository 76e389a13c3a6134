"""Tokens and wordpieces of a Doc, as a record and as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy

from .. import errors
from ..pipes.doc.records import get_alignment, get_wordpieces, token_spans
from ..types import Array, Wordpieces
from .tables import make_table

if TYPE_CHECKING:
    from spacy.tokens import Doc


def describe_doc(doc: Doc) -> dict[str, Any]:
    """Say which wordpieces make up each token.

    doc (Doc): A Doc that has been through trf_wordpiecer.
    RETURNS (dict): The text; what the model reads at once (a "sentence", "pair" or "window"), and
        of each of these inputs the first and last wordpiece (exclusive) and the tokens; the
        wordpieces; the tokens, each with the rows of its wordpieces and their weights.
    RAISES (ValueError): TB011.
    """
    wordpieces, alignment = get_wordpieces(doc), get_alignment(doc)
    if wordpieces is None or alignment is None:
        raise ValueError(errors.TB011.format(n_tokens=len(doc), name="inspect"))
    spans = token_spans(doc).tolist()
    # In double precision again, as one part of what several tokens share evenly.
    parts = numpy.rint(1 / alignment.weights.astype("float64"))
    weights = _split((1 / parts).tolist(), alignment.lengths.tolist())
    rows = alignment.tolist()
    tokens = [
        {"text": token.text, "start": start, "end": end, "wordpieces": of, "weights": shares}
        for token, (start, end), of, shares in zip(doc, spans, rows, weights, strict=True)
    ]
    pieces = [
        {"text": text, "id": i, "start": start, "end": end, "boundary": boundary}
        for text, i, (start, end), boundary in zip(
            wordpieces.strings,
            wordpieces.ids.tolist(),
            wordpieces.offsets.tolist(),
            wordpieces.boundary.tolist(),
            strict=True,
        )
    ]
    inputs = _inputs(wordpieces, input_of_tokens(wordpieces, rows))
    return {
        "text": doc.text,
        "reads": _kind(wordpieces),
        "inputs": inputs,
        "wordpieces": pieces,
        "tokens": tokens,
    }


def input_of_tokens(wordpieces: Wordpieces, rows: list[list[int]]) -> list[int]:
    """Find the input in which each token is read.

    wordpieces (Wordpieces): The wordpieces of a Doc.
    rows (list of list of int, (n_tokens,)): The wordpieces of each token.
    RETURNS (list of int, (n_tokens,)): Index of the input; a token without wordpieces, as one that
        was cut off, is with the token before it.
    """
    ends = numpy.cumsum(wordpieces.lengths)
    found: list[int] = []
    for of_token in rows:
        own = [row for row in of_token if not wordpieces.boundary[row]] or of_token
        last = found[-1] if found else 0
        found.append(int(numpy.searchsorted(ends, own[0], side="right")) if own else last)
    return found


def show_doc(record: dict[str, Any]) -> str:
    """Write what `describe_doc` found as one table for each input.

    record (dict): The record of a Doc.
    RETURNS (str): The tables.
    """
    pieces, tokens = record["wordpieces"], record["tokens"]
    shown = []
    for number, of_input in enumerate(record["inputs"], 1):
        lines = [
            [str(i), tokens[i]["text"], *_cells(pieces, tokens[i])] for i in of_input["tokens"]
        ]
        title = (
            f"{record['reads'].capitalize()} {number} of {len(record['inputs'])}: "
            f"{_count(len(lines), 'token')}, "
            f"{_count(of_input['end'] - of_input['start'], 'wordpiece')}"
        )
        header = ["#", "token", "wordpieces", "weights", "boundary pieces", "weights"]
        shown.append(f"{title}\n\n{make_table(header, lines, right=[0])}")
    return "\n\n".join(shown) or "No tokens."


def _cells(pieces: list[dict[str, Any]], token: dict[str, Any]) -> list[str]:
    cells = []
    for boundary in (False, True):
        links = [
            (pieces[row]["text"], weight)
            for row, weight in zip(token["wordpieces"], token["weights"], strict=True)
            if pieces[row]["boundary"] is boundary
        ]
        cells += [" ".join(text for text, _ in links), " ".join(_share(w) for _, w in links)]
    return cells


def _kind(wordpieces: Wordpieces) -> str:
    if wordpieces.segments is not None:
        return "pair"
    return "sentence" if wordpieces.runs is None else "window"


def _share(weight: float) -> str:
    parts = round(1 / weight)
    return "1" if parts == 1 else f"1/{parts}"


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def _inputs(wordpieces: Wordpieces, input_of: list[int]) -> list[dict[str, Any]]:
    ends: Array = numpy.cumsum(wordpieces.lengths)
    inputs: list[dict[str, Any]] = [
        {"start": int(end - length), "end": int(end), "tokens": []}
        for length, end in zip(wordpieces.lengths.tolist(), ends.tolist(), strict=True)
    ]
    for token, i in enumerate(input_of):
        inputs[i]["tokens"].append(token)
    return inputs


def _split(values: list[float], lengths: list[int]) -> list[list[float]]:
    parts, start = [], 0
    for length in lengths:
        parts.append(values[start : start + length])
        start += length
    return parts
