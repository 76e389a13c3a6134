"""Measure a corpus in wordpieces: their number, what is truncated, and the padding."""

from __future__ import annotations

import heapq
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy

from .. import errors
from ..align import Alignment, align
from ..pipes.doc.inputs import find_inputs
from ..pipes.doc.records import token_spans
from ..pipes.streams import bounded_batches
from ..pipes.tok2vec import TrfTok2Vec
from ..pipes.tokenizing import tokenize_docs
from ..pipes.wordpiecer import TrfWordpiecer
from ..types import Array, Wordpieces
from ..wrappers.engine import Engine
from ..wrappers.engine.planning import Subbatch, plan_padded
from ..wrappers.tokenizers.tokenizer import WordpieceTokenizer
from .console import progress
from .corpus import read_corpus

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

# Values of words_per_batch to measure the padding for; 0 is one subbatch.
WORDS_PER_BATCH = (500, 1000, 2000, 3000, 6000, 12000, 0)
# Tokens with this many wordpieces or more are counted together.
MAX_PIECES = 4
# Number of tokens with unknown wordpieces to list.
MAX_UNKNOWN = 10
# Characters to show of a long input.
EXCERPT = 40
# A maximum length that no input reaches.
NO_LIMIT = 1 << 30


class PaddedBatching:
    """Padded subbatches, to measure a pipeline without a transformer."""

    name = "padded"

    def plan(self, lengths: Array, words_per_batch: int) -> list[Subbatch]:
        """Choose the inputs of each subbatch; see `Engine.plan`."""
        return plan_padded(lengths, words_per_batch)


Batching: TypeAlias = Engine | PaddedBatching


@dataclass
class Measures:
    """Counts, while a corpus is read.

    n_texts, n_inputs, n_tokens (int): Texts, inputs of the model, and tokens.
    n_wordpieces, n_boundary, n_unknown (int): Wordpieces without boundary pieces, boundary pieces,
        and unknown wordpieces.
    n_too_long, n_lost (int): Inputs longer than the maximum, and the tokens that they lose.
    by_pieces (int64, (MAX_PIECES + 1,)): Tokens by their number of wordpieces.
    unknown (Counter): Tokens with unknown wordpieces.
    longest (list): The longest inputs: wordpieces, -(number of the text), tokens, excerpt.
    computed, padding (Counter): Wordpieces that the model computes, and the padding among them, by
        words_per_batch.
    """

    n_texts: int = 0
    n_inputs: int = 0
    n_tokens: int = 0
    n_wordpieces: int = 0
    n_boundary: int = 0
    n_unknown: int = 0
    n_too_long: int = 0
    n_lost: int = 0
    by_pieces: Array = field(default_factory=lambda: numpy.zeros(MAX_PIECES + 1, dtype="int64"))
    unknown: Counter[str] = field(default_factory=Counter)
    longest: list[tuple[int, int, int, str]] = field(default_factory=list)
    computed: Counter[int] = field(default_factory=Counter)
    padding: Counter[int] = field(default_factory=Counter)


def measure_corpus(nlp: Language, path: Path, *, pipeline: str, longest: int = 5) -> dict[str, Any]:
    """Split a corpus into wordpieces, and count. The model is not run.

    nlp (Language): A pipeline with trf_wordpiecer, and with trf_tok2vec to measure the padding of
        its engine.
    path (Path): The file of the corpus.
    pipeline (str): The pipeline as the user named it.
    longest (int): How many of the longest inputs to list.
    RETURNS (dict): The record for JSON.
    RAISES (ValueError): TB042, TB044; the errors of the components.
    """
    components = [component for _, component in nlp.components]
    wordpiecer = next(c for c in components if isinstance(c, TrfWordpiecer))
    engines = [c.engine for c in components if isinstance(c, TrfTok2Vec)]
    batching: Batching = engines[0] if engines else PaddedBatching()
    unlimited = without_limit(wordpiecer)
    measures = Measures()
    docs = read_corpus(nlp, path, wordpiecer.name)
    shown = progress(docs, title="Splitting texts into wordpieces", unit="texts")
    for batch in bounded_batches(shown, nlp.batch_size):
        lengths = add_batch(measures, list(batch), wordpiecer, unlimited, longest)
        add_padding(measures, lengths, batching)
    if not measures.n_texts:
        raise ValueError(
            errors.TB044.format(path=path, reason="it contains no texts", expected="a text or more")
        )
    return {
        "pipeline": pipeline,
        "corpus": str(path),
        "overflow": wordpiecer.overflow,
        "max_length": wordpiecer.tokenizer.limit,
        "batch_size": nlp.batch_size,
        "engine": batching.name,
        **_counts(measures),
    }


def without_limit(wordpiecer: TrfWordpiecer) -> WordpieceTokenizer:
    """Return a tokenizer like that of a component, but without a maximum length.

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
        by_token=tokenizer.by_token,
    )


def add_batch(
    measures: Measures,
    docs: Sequence[Doc],
    wordpiecer: TrfWordpiecer,
    unlimited: WordpieceTokenizer,
    longest: int,
) -> Array:
    """Add the counts of a batch of Docs.

    measures (Measures): The counts so far; changed.
    docs (sequence of Doc, (n_docs,)): The Docs.
    wordpiecer (TrfWordpiecer): The component that would split them.
    unlimited (WordpieceTokenizer): Its tokenizer without a maximum length.
    longest (int): How many of the longest inputs to keep.
    RETURNS (int, (n_inputs,)): The length of each input that the model would read.
    """
    inputs = find_inputs(docs, wordpiecer.sentences, wordpiecer.separator, wordpiecer.name)
    wordpieces = tokenize_docs(unlimited, inputs)
    alignments = align([doc.text for doc in inputs], [doc.tokens for doc in inputs], wordpieces)
    unknown_id = getattr(unlimited.tokenizer, "unk_token_id", None)
    lengths = [numpy.zeros(0, dtype="int32")]
    for doc, pieces, alignment in zip(docs, wordpieces, alignments.split(), strict=True):
        measures.n_texts += 1
        measures.n_inputs += len(pieces.lengths)
        measures.n_tokens += len(doc)
        measures.n_boundary += int(pieces.boundary.sum())
        measures.n_wordpieces += int((~pieces.boundary).sum())
        _count_pieces(measures, doc, pieces, alignment, unknown_id)
        _keep_longest(measures, doc, pieces, longest)
        lengths.append(_apply_limit(measures, doc, pieces, alignment, wordpiecer))
    return numpy.concatenate(lengths)


def add_padding(measures: Measures, lengths: Array, batching: Batching) -> None:
    """Add the padding of a batch of Docs, for each value of words_per_batch.

    measures (Measures): The counts so far; changed.
    lengths (int, (n_inputs,)): The length of each input.
    batching (Engine, PaddedBatching): Plans the subbatches.
    """
    for words_per_batch in WORDS_PER_BATCH:
        for subbatch in batching.plan(lengths, words_per_batch):
            n_pieces = int(lengths[subbatch.indices].sum())
            measures.computed[words_per_batch] += subbatch.size
            measures.padding[words_per_batch] += subbatch.size - n_pieces


def _count_pieces(
    measures: Measures, doc: Doc, pieces: Wordpieces, alignment: Alignment, unknown_id: int | None
) -> None:
    """Count the wordpieces of each token, and the unknown ones."""
    token_of = numpy.repeat(numpy.arange(len(doc)), alignment.lengths)
    own = ~pieces.boundary[alignment.rows]
    n_pieces = numpy.bincount(token_of[own], minlength=len(doc))
    limited = numpy.minimum(n_pieces, MAX_PIECES)
    measures.by_pieces += numpy.bincount(limited, minlength=MAX_PIECES + 1)
    if unknown_id is not None:
        unknown = (pieces.ids == unknown_id) & ~pieces.boundary
        measures.n_unknown += int(unknown.sum())
        tokens = numpy.unique(token_of[unknown[alignment.rows]]).tolist()
        measures.unknown.update(doc[token].text for token in tokens)


def _keep_longest(measures: Measures, doc: Doc, pieces: Wordpieces, longest: int) -> None:
    """Keep the longest inputs of all texts so far."""
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


def _apply_limit(
    measures: Measures,
    doc: Doc,
    pieces: Wordpieces,
    alignment: Alignment,
    wordpiecer: TrfWordpiecer,
) -> Array:
    """Count what exceeds the maximum length, and return the length of each input within it."""
    n_too_long = int((pieces.lengths > wordpiecer.tokenizer.limit).sum())
    if not n_too_long:
        return pieces.lengths
    measures.n_too_long += n_too_long
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TB101 warns of what is counted here
        (limited,) = wordpiecer.predict([doc])
    linked = align([doc.text], [token_spans(doc)], [limited])
    measures.n_lost += int(((linked.lengths == 0) & (alignment.lengths > 0)).sum())
    return limited.lengths if limited.runs is None else limited.runs.lengths


def _counts(measures: Measures) -> dict[str, Any]:
    """Return the counts as a record."""
    keys = [*map(str, range(MAX_PIECES)), f"{MAX_PIECES}+"]
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
            for text, count in measures.unknown.most_common(MAX_UNKNOWN)
        ],
        "past_maximum": {"sentences": measures.n_too_long, "tokens_lost": measures.n_lost},
        "padding": [
            {"words_per_batch": n, "share": _ratio(measures.padding[n], measures.computed[n])}
            for n in WORDS_PER_BATCH
        ],
        "longest": [
            {"wordpieces": length, "tokens": n_tokens, "text": -number, "start": excerpt}
            for length, number, n_tokens, excerpt in sorted(measures.longest, reverse=True)
        ],
    }


def _ratio(part: int, whole: int) -> float:
    """Return a part of a whole as a rounded fraction."""
    return round(part / whole, 4) if whole else 0.0
