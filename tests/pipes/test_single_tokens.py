"""`by_token` and strided windows: the wordpieces and rows of spacy-curated-transformers."""

from __future__ import annotations

import numpy
import oracles
import pytest
from curated_pipelines import STEP, WINDOW, curated_rows
from slow_tiny import save_slow
from token_loss import LISTENER
from torch_oracle import get_module

from trf_bridge import WordpieceTokenizer

TEXTS = [
    "Anna counted the state-of-the-art boats.  Robert isn't here, but his Straßenbahn is 👍🏽!",
    "",
    "A",
    " \n ",
    "Anna is here, and Robert is not.",
]
OPTIONS = {
    "by_token": True,
    "overflow": "strided",
    "max_length": WINDOW,
    "stride": WINDOW - STEP,
    "sentences": "doc",
}


@pytest.mark.parametrize("family", ["bert", "roberta", "xlm_roberta"])
def test_rows_equal_single_tokens_in_windows(fresh, checkpoint, family):
    nlp = fresh(family, **OPTIONS)
    tokenizer = oracles.load_plain_tokenizer(checkpoint(family))
    rows = curated_rows(family, get_module(nlp), tokenizer)
    nlp.add_pipe("test_token_loss", config={"listener": {**LISTENER, "pooling": "mean"}})
    listener = nlp.get_pipe("test_token_loss").model.layers[0]
    docs = list(nlp.pipe(TEXTS))
    for doc, found in zip(docs, listener.predict(docs), strict=True):
        numpy.testing.assert_allclose(found, rows(doc), atol=1e-5)
    assert len(docs[0]._.trf_segments) > 2  # windows


def test_characters_of_the_wordpieces(fresh):
    nlp = fresh("bert", **OPTIONS)
    doc = nlp(TEXTS[0])
    for token in doc:
        own = [row for row in token._.trf_alignment if not doc._.trf_boundary[row]]
        assert bool(own) is not token.is_space
        for start, end in doc._.trf_offsets[own]:
            assert token.idx <= start < end <= token.idx + len(token)


def test_pair_is_split_as_texts(fresh):
    nlp = fresh("bert", separator="|||", by_token=True, sentences="doc")
    plain = fresh("bert", separator="|||", sentences="doc")
    text = "Anna is here ||| Robert isn't"
    assert nlp(text)._.trf_word_pieces.tolist() == plain(text)._.trf_word_pieces.tolist()


def test_tokenizer_without_a_rust_part_is_refused(tmp_path):
    folder = save_slow("bert_japanese", tmp_path)
    with pytest.raises(ValueError, match=r"TB004.*by_token"):
        WordpieceTokenizer.from_pretrained(folder, by_token=True)
