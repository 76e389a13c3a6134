"""Hypothesis strategies: texts as they come, and inputs of the alignment's kernel."""

from __future__ import annotations

import unicodedata
from itertools import pairwise

from hypothesis import strategies as st

ACCENTED = ["café", "naïve", "Ångström", "Straße", "Việt Nam", "é" * 3]

FRAGMENTS = [
    # emoji: joined by ZWJ, with skin tones, flags, keycaps, variation selectors
    *["👩‍👩‍👧‍👦", "👍🏽", "🏳️‍🌈", "🇩🇪", "3️⃣", "☹️", "🤷🏾‍♀️", "👩‍"],
    # invisible or replaced
    *["\u200b", "\ufffd", "\u00ad", "\u00a0", "\ufeff", "\u200d", "\u2028", "\u3000", "\u200f"],
    # white space
    *[" ", "  ", "\n", "\r\n", "\r\n\r\n", "\t", " \t ", "\x0b", "\x85", "   \n "],
    # control and private use
    *["\x00", "\x01", "\x1b", "\x7f", "\ue000", "\U000f0000", "\U0010ffff"],
    # scripts
    *["שלום", "السلام عليكم", "สวัสดีครับ", "नमस्ते", "क्षि", "ʼn"],
    *["北京", "今天天气很好", "，", "。", "「是」"],
    *["Привет", "ｆｕｌｌ", "ﬁ", "①", "㎏", "𝔘𝔫𝔦", "İ", "ǅ", "한국어", "가"],
    # accents, composed and not
    *[unicodedata.normalize(form, word) for form in ("NFC", "NFD") for word in ACCENTED],
    *["a\u0301\u0323", "\u0301", "z" + "\u0334" * 9],
    # the names of boundary pieces, as text
    *["[CLS]", "[SEP]", "[MASK]", "[UNK]", "<s>", "</s>", "<cls>", "<sep>", "<pad>", "<mask>"],
    *["<|endoftext|>", "▁", "##s", "Ġ", "</w>"],
    # words
    *["Berlin", "Apple", "state-of-the-art", "don't", "U.S.", "12.5%", "$24", "contact" * 9],
    *["https://example.com/a?b=c", "...", "!?", "—", "“", "''", "``", "(", ":-)", "a", "I"],
]

SPACES = [" ", "\n", "\t", "\r\n", "\u00a0", "\u2003", "\u3000"]
PUNCTUATION = [".", "!", "?", ",", "…", "。", "—", "'", '"', "(", ")", "[", "]", "<", ">", "|"]


def texts(max_fragments: int = 14) -> st.SearchStrategy[str]:
    """Texts of ordinary and odd pieces in any order, with and without spaces between them."""
    letters = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
    fragment = st.one_of(st.sampled_from(FRAGMENTS), st.sampled_from(FRAGMENTS), letters)
    mixed = st.tuples(st.sampled_from(["", " "]), st.lists(fragment, max_size=max_fragments)).map(
        lambda drawn: drawn[0].join(drawn[1])
    )
    return st.one_of(
        mixed,
        mixed,
        mixed,
        st.lists(st.sampled_from(SPACES), max_size=12).map("".join),
        st.lists(st.sampled_from(PUNCTUATION), max_size=12).map("".join),
    )


@st.composite
def kernel_docs(draw, tidy: bool = False):
    """A text, its tokens, and inputs with wordpieces whose spans are anything at all.

    tidy: wordpieces in order and each within its own input, as tokenizers give them.
    RETURNS: text, token spans, and for each input its span and (start, end, boundary) of each of
    its wordpieces.
    """
    text = draw(st.text(st.sampled_from("ab \n\u00a0界👍"), max_size=24))
    edges = st.integers(0, len(text))
    cuts = sorted(draw(st.lists(edges, max_size=14)))
    tokens = [(a, b) for a, b in pairwise(cuts) if a < b]
    tokens = [token for token in tokens if draw(st.integers(0, 4))]  # gaps, as between words
    input_cuts = sorted(draw(st.sets(edges, max_size=6)))
    inputs = []
    for start, end in pairwise(input_cuts):
        place = st.integers(start, end) if tidy else edges
        piece = st.tuples(place, place).map(sorted).map(tuple)
        spans = draw(st.lists(piece, max_size=8))
        if tidy:
            spans.sort()
        flags = draw(st.lists(st.booleans(), min_size=len(spans), max_size=len(spans)))
        inputs.append(((start, end), list(zip(spans, flags, strict=True))))
    return text, tokens, inputs
