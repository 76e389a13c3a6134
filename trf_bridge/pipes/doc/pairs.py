"""Docs that hold a pair of texts, parted by a token."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy
from spacy.strings import get_string_id

from ... import errors
from ...types import Array, Wordpieces
from ...wrappers.tokenizers.pairs import Pair
from ...wrappers.tokenizers.tokenizer import WordpieceTokenizer
from ..cutting import cut_docs
from .records import get_separator, token_spans

if TYPE_CHECKING:
    from spacy.tokens import Doc
    from spacy.training import Example


def validate_separator(separator: object, field: str = "separator") -> None:
    """Check the option before any work is done.

    separator (str): The text of a token; None for no separator.
    field (str): What it was given as.
    RAISES (TypeError, ValueError): TB037.
    """
    if separator is None or (isinstance(separator, str) and separator):
        return
    message = errors.TB037.format(
        field=field, got=repr(separator), got_type=type(separator).__name__
    )
    raise ValueError(message) if isinstance(separator, str) else TypeError(message)


def find_pairs(
    docs: Sequence[Doc], default: str | None, examples: Sequence[Example] | None = None
) -> list[Pair | None]:
    """Find the Docs that hold a pair of texts.

    A Doc is parted at the first token that is its separator, which is `doc._.trf_separator` where
    that is set, else, in training, that of the reference, else the default.

    docs (sequence of Doc, (n_docs,)): The Docs.
    default (str): The pipeline's own separator; None for no separator.
    examples (sequence of Example, (n_docs,)): Their examples, in training.
    RETURNS (list of Pair, (n_docs,)): The pairs; None for a Doc without a separator.
    RAISES (TypeError): TB037.
    WARNS: TB106 where prediction would not see the same pairs, or a separator is in the text and
        no token.
    """
    separators = [_separator(doc) for doc in docs]
    if examples is not None:
        separators = _ask_references(separators, default, examples)
    separators = [default if s is None else s for s in separators]
    pairs = [find_pair(doc, s) if s else None for doc, s in zip(docs, separators, strict=True)]
    n_hidden = sum(
        pair is None and bool(s) and str(s) in doc.text
        for doc, s, pair in zip(docs, separators, pairs, strict=True)
    )
    if n_hidden:
        warnings.warn(
            errors.TB106.format(
                n_docs=n_hidden,
                problem="stands in their text, but not as a token of its own: they are read as "
                "one text",
                advice="Put spaces around it, or choose one that the pipeline's tokenizer leaves "
                "whole, such as '|||'.",
            ),
            stacklevel=5,
        )
    return pairs


def find_pair(doc: Doc, separator: str) -> Pair | None:
    """Part a Doc at the first token with a given text.

    doc (Doc): The Doc.
    separator (str): The text of the token.
    RETURNS (Pair): The texts before and after it, without the white space around it; None where
        there is no such token.
    """
    places = numpy.flatnonzero(doc.to_array(["ORTH"]).ravel() == get_string_id(separator))
    if not places.size:
        return None
    at = int(places[0])
    starts, ends = token_spans(doc).T.tolist()
    return Pair(
        text=doc.text,
        first=(0, ends[at - 1] if at else 0),
        separator=(starts[at], ends[at]),
        second=(starts[at + 1], ends[-1]) if at + 1 < len(doc) else (ends[at], ends[at]),
    )


def cut_docs_and_pairs(
    tokenizer: WordpieceTokenizer,
    docs: Sequence[Doc],
    spans: Sequence[Sequence[tuple[int, int]]],
    pairs: Sequence[Pair | None],
) -> list[Wordpieces]:
    """Cut Docs into wordpieces: a pair as one input, any other Doc sentence by sentence.

    tokenizer (WordpieceTokenizer): The tokenizer.
    docs (sequence of Doc, (n_docs,)): The Docs.
    spans (sequence of sequence of tuple of int, (n_docs,)): Character start and end of the
        sentences of each; not looked at for a pair.
    pairs (sequence of Pair, (n_docs,)): The pairs among them; None for each other Doc.
    RETURNS (list of Wordpieces, (n_docs,)): The wordpieces of each.
    RAISES (ValueError): TB009.
    WARNS: TB101, once each, where something is cut off of sentences and of pairs.
    """
    if not any(pairs):
        return cut_docs(tokenizer, docs, spans)
    others = [i for i, pair in enumerate(pairs) if pair is None]
    cut = iter(cut_docs(tokenizer, [docs[i] for i in others], [spans[i] for i in others]))
    paired = [(doc, pair) for doc, pair in zip(docs, pairs, strict=True) if pair is not None]
    cut_pairs = iter(_cut_pairs(tokenizer, paired))
    return [next(cut) if pair is None else next(cut_pairs) for pair in pairs]


def _cut_pairs(
    tokenizer: WordpieceTokenizer, pairs: Sequence[tuple[Doc, Pair]]
) -> list[Wordpieces]:
    found, cut = tokenizer.encode_pairs([pair for _, pair in pairs])
    if cut.any():
        n_tokens = sum(
            _count_lost(doc, pair, pieces.segments)
            for (doc, pair), pieces, is_cut in zip(pairs, found, cut.tolist(), strict=True)
            if is_cut
        )
        message = errors.TB101.format(
            n_tokens=n_tokens, n_inputs=int(cut.sum()), max_length=tokenizer.limit
        )
        warnings.warn(message, stacklevel=5)
    return [replace(pieces, joined=tokenizer.join_strings(pieces.ids)) for pieces in found]


def _count_lost(doc: Doc, pair: Pair, segments: Array) -> int:
    """The tokens of a pair that lie past what was kept of their text."""
    starts = token_spans(doc)[:, 0]
    kept = segments[0, :, 1]
    lost = (starts >= kept[0]) & (starts < pair.first[1])
    lost |= (starts >= kept[2]) & (starts >= pair.second[0]) & (starts < pair.second[1])
    return int(lost.sum())


def _separator(doc: Doc) -> str | None:
    """The separator of a Doc itself: None where it has no opinion, "" for none."""
    separator: str | None = get_separator(doc)
    if separator != "":
        validate_separator(separator, "doc._.trf_separator")
    return separator


def _ask_references(
    separators: Sequence[str | None], default: str | None, examples: Sequence[Example]
) -> list[str | None]:
    """Take the separator of the reference where the predicted Doc has none."""
    asked = [
        _separator(example.reference) if separator is None else separator
        for separator, example in zip(separators, examples, strict=True)
    ]
    n_unknown = sum(
        before is None and after is not None and after != (default or "")
        for before, after in zip(separators, asked, strict=True)
    )
    if n_unknown:
        warnings.warn(
            errors.TB106.format(
                n_docs=n_unknown,
                problem="is set on the reference alone, where prediction does not see it",
                advice="Set separator in the config of trf_wordpiecer, or doc._.trf_separator on "
                "the predicted Doc as well.",
            ),
            stacklevel=5,
        )
    return asked
