"""What a corpus is like in wordpieces, and what it would cost to run a transformer over it."""

from __future__ import annotations

import heapq
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy

from .. import errors
from ..align import Alignment, align
from ..pipes.doc.inputs import input_spans
from ..pipes.doc.pairs import cut_docs_and_pairs, find_pairs
from ..pipes.doc.records import token_spans
from ..pipes.streams import bounded_batches
from ..pipes.wordpiecer import TrfWordpiecer
from ..types import Array, Wordpieces
from ..wrappers.engine.planning import plan_padded
from ..wrappers.tokenizers.tokenizer import WordpieceTokenizer
from .console import progress
from .corpus import read_corpus
from .tables import make_table, visible

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

# For what share of padding to measure; 0 is one subbatch of everything.
WORDS_PER_BATCH = (500, 1000, 2000, 3000, 6000, 12000, 0)
# Wordpieces of a token that are counted apart; the last stands for all that are more.
MOST_PIECES = 4
MOST_UNKNOWN = 10
EXCERPT = 40
# No input is as long: nothing is cut.
NO_LIMIT = 1 << 30


@dataclass
class Measures:
    """What is counted while a corpus is read.

    n_texts, n_inputs, n_tokens, n_wordpieces, n_boundary, n_unknown, n_past, n_lost (int): Texts,
        inputs of the model, tokens, wordpieces but for boundary pieces, those, unknown wordpieces,
        inputs past the maximum, and tokens that are lost there.
    by_pieces (int64, (MOST_PIECES + 1,)): Tokens by their number of wordpieces.
    unknown (Counter): Tokens that have unknown wordpieces.
    longest (list): The longest inputs: wordpieces, -(place), tokens, excerpt.
    cells, padding (dict): Padded size and padding by words_per_batch.
    """

    n_texts: int = 0
    n_inputs: int = 0
    n_tokens: int = 0
    n_wordpieces: int = 0
    n_boundary: int = 0
    n_unknown: int = 0
    n_past: int = 0
    n_lost: int = 0
    by_pieces: Array = field(default_factory=lambda: numpy.zeros(MOST_PIECES + 1, dtype="int64"))
    unknown: Counter[str] = field(default_factory=Counter)
    longest: list[tuple[int, int, int, str]] = field(default_factory=list)
    cells: Counter[int] = field(default_factory=Counter)
    padding: Counter[int] = field(default_factory=Counter)


def measure_corpus(nlp: Language, path: Path, *, pipeline: str, longest: int = 5) -> dict[str, Any]:
    """Cut a corpus into wordpieces and count.

    nlp (Language): A pipeline that ends with trf_wordpiecer.
    path (Path): The file of the corpus.
    pipeline (str): What the user calls the pipeline.
    longest (int): How many of the longest inputs to list.
    RETURNS (dict): The measures.
    RAISES (ValueError): TB042, TB044; what the components raise.
    """
    wordpiecer = next(pipe for _, pipe in nlp.components if isinstance(pipe, TrfWordpiecer))
    uncut = without_limit(wordpiecer)
    measures = Measures()
    docs = progress(read_corpus(nlp, path, wordpiecer.name), what="Cutting texts", unit="texts")
    for batch in bounded_batches(docs, nlp.batch_size):
        add_batch(measures, list(batch), wordpiecer, uncut, longest)
    if not measures.n_texts:
        raise ValueError(
            errors.TB044.format(path=path, reason="it holds no texts", expected="some")
        )
    limit = wordpiecer.tokenizer.limit
    return {
        "pipeline": pipeline,
        "corpus": str(path),
        "overflow": wordpiecer.overflow,
        "max_length": limit,
        "batch_size": nlp.batch_size,
        **_counts(measures),
    }


def without_limit(wordpiecer: TrfWordpiecer) -> WordpieceTokenizer:
    """Make a tokenizer that cuts as that of a component does, and cuts nothing off.

    wordpiecer (TrfWordpiecer): The component.
    RETURNS (WordpieceTokenizer): The tokenizer.
    """
    tokenizer = wordpiecer.tokenizer
    return WordpieceTokenizer(
        tokenizer.tokenizer,
        max_length=NO_LIMIT,
        overflow="truncate",
        stride=0,
        type_ids=tokenizer.type_ids,
        split_special_tokens=tokenizer.split_special_tokens,
    )


def add_batch(
    measures: Measures,
    docs: Sequence[Doc],
    wordpiecer: TrfWordpiecer,
    uncut: WordpieceTokenizer,
    longest: int,
) -> None:
    """Count what is in a batch of Docs.

    measures (Measures): The counts so far; changed.
    docs (sequence of Doc, (n_docs,)): The Docs.
    wordpiecer (TrfWordpiecer): What would cut them.
    uncut (WordpieceTokenizer): The same without a limit.
    longest (int): How many of the longest inputs to keep.
    """
    spans = input_spans(docs, wordpiecer.sentences, wordpiecer.name)
    pairs = find_pairs(docs, wordpiecer.separator)
    pieces = cut_docs_and_pairs(uncut, docs, spans, pairs)
    alignments = align([doc.text for doc in docs], [token_spans(doc) for doc in docs], pieces)
    run_lengths = []
    unknown_id = getattr(uncut.tokenizer, "unk_token_id", None)
    for doc, of_doc, alignment in zip(docs, pieces, alignments.split(), strict=True):
        measures.n_texts += 1
        measures.n_inputs += len(of_doc.lengths)
        measures.n_tokens += len(doc)
        measures.n_boundary += int(of_doc.boundary.sum())
        measures.n_wordpieces += int((~of_doc.boundary).sum())
        _count_pieces(measures, doc, of_doc, alignment, unknown_id)
        _keep_longest(measures, doc, of_doc, longest)
        run_lengths.append(_cut(measures, doc, of_doc, alignment, wordpiecer))
    lengths = numpy.concatenate(run_lengths) if run_lengths else numpy.zeros(0, dtype="int32")
    for words_per_batch in WORDS_PER_BATCH:
        for indices in plan_padded(lengths, words_per_batch):
            cells = len(indices) * int(lengths[indices].max())
            measures.cells[words_per_batch] += cells
            measures.padding[words_per_batch] += cells - int(lengths[indices].sum())


def _count_pieces(
    measures: Measures, doc: Doc, pieces: Wordpieces, alignment: Alignment, unknown_id: int | None
) -> None:
    """Count the wordpieces of each token, and those that stand for what is unknown."""
    token_of = numpy.repeat(numpy.arange(len(doc)), alignment.lengths)
    own = ~pieces.boundary[alignment.rows]
    n_pieces = numpy.bincount(token_of[own], minlength=len(doc))
    most = numpy.minimum(n_pieces, MOST_PIECES)
    measures.by_pieces += numpy.bincount(most, minlength=MOST_PIECES + 1)
    if unknown_id is not None:
        unknown = (pieces.ids == unknown_id) & ~pieces.boundary
        measures.n_unknown += int(unknown.sum())
        tokens = numpy.unique(token_of[unknown[alignment.rows]]).tolist()
        measures.unknown.update(doc[token].text for token in tokens)


def _keep_longest(measures: Measures, doc: Doc, pieces: Wordpieces, longest: int) -> None:
    starts = token_spans(doc)[:, 0]
    for length, (start, end) in zip(pieces.lengths.tolist(), pieces.spans.tolist(), strict=True):
        if len(measures.longest) >= longest and (not longest or length <= measures.longest[0][0]):
            continue
        first, last = numpy.searchsorted(starts, [start, end])
        excerpt = doc.text[start : min(end, start + EXCERPT)]
        entry = (length, -measures.n_texts, int(last - first), excerpt)
        heapq.heappush(measures.longest, entry)
        if len(measures.longest) > longest:
            heapq.heappop(measures.longest)


def _cut(
    measures: Measures,
    doc: Doc,
    pieces: Wordpieces,
    alignment: Alignment,
    wordpiecer: TrfWordpiecer,
) -> Array:
    """Count what lies past the maximum. RETURNS what the model would read of each input."""
    n_past = int((pieces.lengths > wordpiecer.tokenizer.limit).sum())
    if not n_past:
        return pieces.lengths
    measures.n_past += n_past
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TB101: it is what is counted here
        (cut,) = wordpiecer.predict([doc])
    found = align([doc.text], [token_spans(doc)], [cut])
    measures.n_lost += int(((found.lengths == 0) & (alignment.lengths > 0)).sum())
    return cut.lengths if cut.runs is None else cut.runs.lengths


def _counts(measures: Measures) -> dict[str, Any]:
    keys = [*map(str, range(MOST_PIECES)), f"{MOST_PIECES}+"]
    return {
        "texts": measures.n_texts,
        "sentences": measures.n_inputs,
        "tokens": measures.n_tokens,
        "wordpieces": measures.n_wordpieces,
        "boundary_pieces": measures.n_boundary,
        "wordpieces_per_token": _ratio(measures.n_wordpieces, measures.n_tokens),
        "tokens_by_wordpieces": dict(zip(keys, measures.by_pieces.tolist(), strict=True)),
        "unknown_wordpieces": measures.n_unknown,
        "unknown_tokens": [
            {"text": text, "count": count}
            for text, count in measures.unknown.most_common(MOST_UNKNOWN)
        ],
        "past_maximum": {"sentences": measures.n_past, "tokens_lost": measures.n_lost},
        "padding": [
            {"words_per_batch": n, "share": _ratio(measures.padding[n], measures.cells[n])}
            for n in WORDS_PER_BATCH
        ],
        "longest": [
            {"wordpieces": length, "tokens": n_tokens, "text": -place, "start": start}
            for length, place, n_tokens, start in sorted(measures.longest, reverse=True)
        ],
    }


def _ratio(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0


def show_measures(found: dict[str, Any]) -> str:
    """Write what `measure_corpus` found as tables.

    found (dict): The measures.
    RETURNS (str): The tables.
    """
    n_tokens, n_pieces, past = found["tokens"], found["wordpieces"], found["past_maximum"]
    lost = "none lost" if found["overflow"] == "window" else f"{past['tokens_lost']:,} tokens lost"
    rows = [
        ["texts", f"{found['texts']:,}", ""],
        ["sentences", f"{found['sentences']:,}", ""],
        ["tokens", f"{n_tokens:,}", ""],
        ["wordpieces", f"{n_pieces:,}", f"{found['wordpieces_per_token']:.2f} per token"],
        ["boundary pieces", f"{found['boundary_pieces']:,}", ""],
    ]
    for key, n in found["tokens_by_wordpieces"].items():
        rows.append([f"tokens in {key} wordpieces", f"{n:,}", _percent(_ratio(n, n_tokens))])
    share = _percent(_ratio(found["unknown_wordpieces"], n_pieces))
    rows.append(["unknown wordpieces", f"{found['unknown_wordpieces']:,}", share])
    rows.append([f"sentences past {found['max_length']}", f"{past['sentences']:,}", lost])
    tables = [make_table(["what", "number", ""], rows, right=[1])]
    if found["unknown_tokens"]:
        listed = [[of["text"], f"{of['count']:,}"] for of in found["unknown_tokens"]]
        tables.append(make_table(["token with unknown wordpieces", "number"], listed, right=[1]))
    padding = [
        [f"{of['words_per_batch'] or 'no limit'}", _percent(of["share"])] for of in found["padding"]
    ]
    tables.append(make_table(["words_per_batch", "padding"], padding, right=[0, 1]))
    longest = [
        [f"{of['wordpieces']:,}", f"{of['tokens']:,}", f"{of['text']:,}", visible(of["start"])]
        for of in found["longest"]
    ]
    if longest:
        header = ["wordpieces", "tokens", "text", "longest sentences"]
        tables.append(make_table(header, longest, right=[0, 1, 2]))
    return "\n\n".join(tables)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
