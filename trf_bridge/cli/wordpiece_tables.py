"""Format what `spacy trf inspect` shows: the wordpieces of a Doc, and the measures of a corpus."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy

from .. import errors
from ..pipes.doc.records import get_alignment, get_wordpieces, token_spans
from ..types import Array, Wordpieces
from .tables import escape_unprintable, make_table

if TYPE_CHECKING:
    from spacy.tokens import Doc


def describe_doc(doc: Doc) -> dict[str, Any]:
    """Describe the wordpieces of each token of a Doc.

    doc (Doc): A Doc with wordpieces.
    RETURNS (dict): "text": the text. "reads": the kind of the model's inputs: "sentence", "pair" or
        "window". "inputs": the first wordpiece, the last (exclusive) and the tokens of each.
        "wordpieces": the wordpieces. "tokens": the tokens, each with the rows of its wordpieces and
        their weights.
    RAISES (ValueError): TB011.
    """
    wordpieces, alignment = get_wordpieces(doc), get_alignment(doc)
    if wordpieces is None or alignment is None:
        raise ValueError(errors.TB011.format(n_tokens=len(doc), component="The command inspect"))
    spans = token_spans(doc).tolist()
    # Each weight is 1/n. It is recomputed in double precision, so that JSON shows it exactly.
    n_sharing = numpy.rint(1 / alignment.weights.astype("float64"))
    weights = _split((1 / n_sharing).tolist(), alignment.lengths.tolist())
    rows = alignment.tolist()
    tokens = [
        {"text": token.text, "start": start, "end": end, "wordpieces": own_rows, "weights": shares}
        for token, (start, end), own_rows, shares in zip(doc, spans, rows, weights, strict=True)
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
    return {
        "text": doc.text,
        "reads": _kind(wordpieces),
        "inputs": _inputs(wordpieces, inputs_of_tokens(wordpieces, rows)),
        "wordpieces": pieces,
        "tokens": tokens,
    }


def inputs_of_tokens(wordpieces: Wordpieces, rows: list[list[int]]) -> list[int]:
    """Find the input that contains each token.

    wordpieces (Wordpieces): The wordpieces of a Doc.
    rows (list of list of int, (n_tokens,)): The wordpieces of each token.
    RETURNS (list of int, (n_tokens,)): Index of the input. A token without wordpieces, such as a
        truncated one, gets the input of the token before it.
    """
    ends = numpy.cumsum(wordpieces.lengths)
    inputs: list[int] = []
    for linked in rows:
        own = [row for row in linked if not wordpieces.boundary[row]] or linked
        previous = inputs[-1] if inputs else 0
        inputs.append(int(numpy.searchsorted(ends, own[0], side="right")) if own else previous)
    return inputs


def doc_tables(record: dict[str, Any]) -> str:
    """Format the record of a Doc as one table per input.

    record (dict): The record, from `describe_doc`.
    RETURNS (str): The tables.
    """
    pieces, tokens, inputs = record["wordpieces"], record["tokens"], record["inputs"]
    header = ["#", "token", "wordpieces", "weights", "boundary pieces", "weights"]
    tables = []
    for number, part in enumerate(inputs, 1):
        rows = [[str(i), tokens[i]["text"], *_cells(pieces, tokens[i])] for i in part["tokens"]]
        title = (
            f"{record['reads'].capitalize()} {number} of {len(inputs)}: "
            f"{_count(len(rows), 'token')}, {_count(part['end'] - part['start'], 'wordpiece')}"
        )
        tables.append(f"{title}\n\n{make_table(header, rows, right=[0])}")
    return "\n\n".join(tables) or "No tokens."


def corpus_tables(record: dict[str, Any]) -> str:
    """Format the record of a corpus as tables.

    record (dict): The record, from `measure_corpus`.
    RETURNS (str): The tables.
    """
    tables = [make_table(["", "number", ""], _totals(record), right=[1])]
    if record["unknown_tokens"]:
        unknown = [[token["text"], f"{token['count']:,}"] for token in record["unknown_tokens"]]
        tables.append(make_table(["token with unknown wordpieces", "number"], unknown, right=[1]))
    padding = [
        [f"{line['words_per_batch'] or 'no limit'}", f"{100 * line['share']:.1f} %"]
        for line in record["padding"]
    ]
    header = ["words_per_batch", f"padding by the {record['engine']} engine"]
    tables.append(make_table(header, padding, right=[0, 1]))
    if record["longest"]:
        header = ["wordpieces", "tokens", "text", "longest sentences"]
        longest = [
            [
                *(f"{line[key]:,}" for key in ("wordpieces", "tokens", "text")),
                escape_unprintable(line["start"]),
            ]
            for line in record["longest"]
        ]
        tables.append(make_table(header, longest, right=[0, 1, 2]))
    return "\n\n".join(tables)


def _totals(record: dict[str, Any]) -> list[list[str]]:
    """Return the rows of the totals of a corpus."""
    n_tokens, n_pieces = record["tokens"], record["wordpieces"]
    rows = [
        ["texts", f"{record['texts']:,}", ""],
        ["sentences", f"{record['sentences']:,}", ""],
        ["tokens", f"{n_tokens:,}", ""],
        ["wordpieces", f"{n_pieces:,}", f"{record['wordpieces_per_token']:.2f} per token"],
        ["boundary pieces", f"{record['boundary_pieces']:,}", ""],
    ]
    for key, n in record["tokens_by_wordpieces"].items():
        noun = "wordpiece" if key == "1" else "wordpieces"
        rows.append([f"tokens with {key} {noun}", f"{n:,}", _percent(n, n_tokens)])
    n_unknown, too_long = record["unknown_wordpieces"], record["past_maximum"]
    rows.append(["unknown wordpieces", f"{n_unknown:,}", _percent(n_unknown, n_pieces)])
    lost = (
        f"{too_long['tokens_lost']:,} tokens lost"
        if record["overflow"] == "truncate"
        else "none lost"
    )
    title = f"sentences longer than {record['max_length']}"
    rows.append([title, f"{too_long['sentences']:,}", lost])
    return rows


def _percent(part: int, whole: int) -> str:
    """Return a part of a whole in percent."""
    return f"{100 * part / whole if whole else 0:.1f} %"


def _cells(pieces: list[dict[str, Any]], token: dict[str, Any]) -> list[str]:
    """Return a token's own wordpieces, their weights, its boundary pieces, and their weights."""
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
    """Return the kind of the inputs: "sentence", "pair" or "window"."""
    if wordpieces.segments is not None:
        return "pair"
    return "sentence" if wordpieces.runs is None else "window"


def _share(weight: float) -> str:
    """Return a weight as a fraction."""
    n_sharing = round(1 / weight)
    return "1" if n_sharing == 1 else f"1/{n_sharing}"


def _count(n: int, noun: str) -> str:
    """Return a number with its noun, in the singular or the plural."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def _inputs(wordpieces: Wordpieces, inputs_of: list[int]) -> list[dict[str, Any]]:
    """Return the wordpieces and tokens of each input."""
    ends: Array = numpy.cumsum(wordpieces.lengths)
    inputs: list[dict[str, Any]] = [
        {"start": int(end - length), "end": int(end), "tokens": []}
        for length, end in zip(wordpieces.lengths.tolist(), ends.tolist(), strict=True)
    ]
    for token, i in enumerate(inputs_of):
        inputs[i]["tokens"].append(token)
    return inputs


def _split(values: list[float], lengths: list[int]) -> list[list[float]]:
    """Split a list into parts of the given lengths."""
    parts, start = [], 0
    for length in lengths:
        parts.append(values[start : start + length])
        start += length
    return parts
