"""What holds for every vocabulary and every text: checks that real and small data share."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy
import oracles
import spacy
from promises import check
from spacy.tokens import Doc
from torch_oracle import get_weights, make_adam, make_examples

import trf_bridge
from trf_bridge.pipes.doc.records import get_alignment, get_wordpieces
from trf_bridge.pipes.wordpiecer import TrfWordpiecer
from trf_bridge.wrappers.tokenizers.tokenizer import WordpieceTokenizer

NO_LIMIT = 1_000_000
OWN_LANGUAGES = ("en", "de", "zh", "ar", "hi", "ru")

SENTENCES = [
    "Laced with dreams, dripping in reality, the American Dream reignites after 9.11. U.S. laws!",
    "Über den Dächern hängt der Nebel; l'été dernier, j'ai visité la Provence.\r\n\r\nIs it? 👍🏽",
    "我住在北京。今天天气很好！ Привет, как дела? السلام عليكم สวัสดีครับ नमस्ते",
    "A literal [SEP] and </s> and <|endoftext|>.",
    "",
]


def make_nlp(lang: str) -> Any:
    """Make a pipeline that only splits sentences, with spaCy's tokenizer for the language."""
    nlp = spacy.blank(lang if lang in OWN_LANGUAGES else "xx")
    nlp.add_pipe("sentencizer")
    return nlp


def make_wordpiecer(tokenizer: Any, vocab: Any, max_length: int = NO_LIMIT) -> TrfWordpiecer:
    """Make a wordpiecer around a tokenizer of transformers; longer inputs are truncated."""
    wordpiecer = TrfWordpiecer(vocab)
    wordpiecer._tokenizer = WordpieceTokenizer(
        tokenizer, max_length=max_length, overflow="truncate", stride=0
    )
    return wordpiecer


def check_texts(tokenizer: Any, lang: str, texts: Iterable[str]) -> None:
    """Check the wordpieces and the alignment of texts."""
    nlp = make_nlp(lang)
    wordpiecer = make_wordpiecer(tokenizer, nlp.vocab)
    for doc in wordpiecer.pipe(nlp.pipe(texts)):
        check(doc, tokenizer)


def check_words(tokenizer: Any, sentences: Iterable[tuple[Sequence[str], Sequence[bool]]]) -> None:
    """Check sentences that are given as words and spaces."""
    vocab = make_nlp("xx").vocab
    docs = [Doc(vocab, words=list(words), spaces=list(spaces)) for words, spaces in sentences]
    for doc in make_wordpiecer(tokenizer, vocab).pipe(docs):
        check(doc, tokenizer)


def check_long_word(tokenizer: Any, word: str) -> None:
    """Check a Doc with a very long word."""
    vocab = make_nlp("xx").vocab
    doc = Doc(vocab, words=["a", word, "b"])
    check(make_wordpiecer(tokenizer, vocab)(doc), tokenizer)


def check_literal_specials(tokenizer: Any) -> None:
    """Check that the names of special tokens in a text are text."""
    nlp = make_nlp("xx")
    text = "A" + "".join(f" {piece} b{piece}c." for piece in tokenizer.all_special_tokens)
    doc = make_wordpiecer(tokenizer, nlp.vocab)(nlp(text))
    check(doc, tokenizer)
    assert sum(doc._.trf_boundary) == tokenizer.num_special_tokens_to_add() * len(list(doc.sents))


def check_retokenized(
    tokenizer: Any, sentences: Iterable[tuple[Sequence[str], Sequence[bool]]]
) -> None:
    """Check Docs in which neighbours were merged and long words split after tokenization."""
    vocab = make_nlp("xx").vocab
    wordpiecer = make_wordpiecer(tokenizer, vocab)
    chosen = random.Random(1)
    for words, spaces in sentences:
        # The boundaries are set before, because those of a Doc without any depend on its tokens.
        starts = [i == 0 for i in range(len(words))]
        doc = Doc(vocab, words=list(words), spaces=list(spaces), sent_starts=starts)
        doc = wordpiecer(doc)
        with doc.retokenize() as retokenizer:
            for start in range(0, len(doc) - 3, 4):
                retokenizer.merge(doc[start : start + chosen.randint(1, 3)])
            for token in list(doc)[3::4]:
                if len(token) > 1:
                    cut = chosen.randint(1, len(token) - 1)
                    parts = [token.text[:cut], token.text[cut:]]
                    retokenizer.split(token, parts, heads=[token, token])
        check(doc, tokenizer)


def check_pairs(
    tokenizer: Any, lang: str, pairs: Iterable[tuple[str, str]], max_length: int | None = None
) -> None:
    """Check pairs of texts against the tokenizer's own pairs and the oracle of the alignment."""
    nlp = make_nlp(lang)
    wordpiecer = make_wordpiecer(tokenizer, nlp.vocab, max_length or NO_LIMIT)
    for first, second in pairs:
        parts = [nlp.make_doc(first), Doc(nlp.vocab, words=["|||"]), nlp.make_doc(second)]
        doc = Doc.from_docs([part for part in parts if len(part)], ensure_whitespace=True)
        doc._.trf_separator = "|||"
        (at, *_) = [token.i for token in doc if token.text == "|||"]
        pair = oracles.plain_pair(doc, at, tokenizer, max_length)
        pieces = get_wordpieces(wordpiecer(doc))
        assert pieces.ids.tolist() == pair.ids
        assert pieces.boundary.tolist() == [side is None for side in pair.sides]
        if pieces.type_ids is not None or pair.type_ids is not None:
            assert pieces.type_ids.tolist() == pair.type_ids
        assert get_alignment(doc).tolist() == oracles.align_pair(doc, pair)


def check_pipeline(folder: Path, tokenizer: Any, family: str, saved: Path) -> None:
    """Check a checkpoint from loading to saving.

    folder (Path): The checkpoint.
    tokenizer (PreTrainedTokenizerBase): Its tokenizer, loaded with its class.
    family (str): Name of the model's family, as in `oracles.load_plain`.
    saved (Path): An empty folder.
    """
    import torch

    nlp = trf_bridge.from_pretrained(folder, lang="xx")
    wordpiecer = nlp.get_pipe("trf_wordpiecer").tokenizer
    plain = oracles.load_plain(family, folder).eval()
    docs = list(nlp.pipe(SENTENCES))
    for doc in docs:
        sentences = oracles.plain_sentences(doc, tokenizer, wordpiecer.max_length)
        assert doc._.trf_word_pieces.tolist() == [i for s in sentences for i in s.ids]
        assert doc._.trf_alignment == oracles.align_doc(doc, sentences)
        with torch.no_grad():
            runs = [oracles.run_plain(plain, s.ids, s.type_ids) for s in sentences]
        for run, (start, end) in zip(runs, _input_rows(sentences), strict=True):
            numpy.testing.assert_allclose(
                doc._.trf_last_hidden_state[start:end], run.last_hidden_state[0], atol=1e-5
            )
    nlp.to_disk(saved)
    for loaded, doc in zip(spacy.load(saved).pipe(SENTENCES), docs, strict=True):
        assert loaded._.trf_word_pieces_ == doc._.trf_word_pieces_
        assert numpy.array_equal(loaded.tensor, doc.tensor)


def _input_rows(sentences: Iterable[Any]) -> Iterator[tuple[int, int]]:
    end = 0
    for sentence in sentences:
        end += len(sentence.ids)
        yield end - len(sentence.ids), end


def check_fine_tuning(folder: Path) -> None:
    """Check that a text classifier trains its head and the transformer of a checkpoint."""
    nlp = trf_bridge.from_pretrained(folder, lang="xx")
    config = {"model": {"@architectures": "trf_bridge.TextCatMean.v1"}}
    textcat = nlp.add_pipe("trf_textcat", config=config)
    examples = make_examples(
        nlp, SENTENCES, lambda i: {"cats": {"A": float(i % 2), "B": float(not i % 2)}}
    )
    textcat.initialize(lambda: examples, nlp=nlp)
    before = get_weights(nlp)
    optimizer = make_adam(0.05)
    losses = [nlp.update(examples, sgd=optimizer)["trf_textcat"] for _ in range(15)]
    assert losses[-1] < 0.5 * losses[0]
    assert any(abs(weights - before[n]).max() > 1e-3 for n, weights in get_weights(nlp).items())
