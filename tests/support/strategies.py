"""Hypothesis strategies: ordinary and unusual texts, and inputs of the alignment kernel."""

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
    *["\ud7ff", "\ufdd0", "\uffff", "\\", "\\0", "\u202e", "\u2060", "\u034f", "\ufe0f"],
    # scripts
    *["שלום", "السلام عليكم", "สวัสดีครับ", "नमस्ते", "क्षि", "ʼn"],
    *["北京", "今天天气很好", "，", "。", "「是」"],
    *["Привет", "ｆｕｌｌ", "ﬁ", "①", "㎏", "𝔘𝔫𝔦", "İ", "ǅ", "한국어", "가"],
    # accents, composed and decomposed
    *[unicodedata.normalize(form, word) for form in ("NFC", "NFD") for word in ACCENTED],
    *["a\u0301\u0323", "\u0301", "z" + "\u0334" * 9],
    # names of special tokens, as text
    *["[CLS]", "[SEP]", "[MASK]", "[UNK]", "<s>", "</s>", "<cls>", "<sep>", "<pad>", "<mask>"],
    *["<|endoftext|>", "▁", "##s", "Ġ", "</w>", " [SEP] ", "[SEP][CLS]", "<s></s>"],
    # words
    *["Berlin", "Apple", "state-of-the-art", "don't", "U.S.", "12.5%", "$24", "contact" * 9],
    *["https://example.com/a?b=c", "...", "!?", "—", "“", "''", "``", "(", ":-)", "a", "I"],
]

# Texts of one kind each. Real documents may consist of nothing else.
HOSTILE = {
    "empty": "",
    "line break": "\n",
    "spaces": " " * 50,
    "every space": "".join(map(chr, [*range(9, 14), *range(28, 33), 0x85, 0xA0, 0x1680, 0x2003]))
    + "\u2028\u2029\u202f\u205f\u3000",
    "line breaks": " \r\n " * 60 + "\r\n" * 60 + "a\r\n\r\nb\r\n" + "\r" * 9 + "\n\r" * 9,
    "tabs": "a\tb\t\tc\t \td" + "\t" * 30,
    "long words": ("Donau" * 40 + " ") * 12,
    "punctuation": "!?...---***((([[[{{{<<<>>>}}}]]])))''\"\"``;:,.@#$%^&~|\\/",
    "CJK punctuation": "。，、；：？！「」『』（）【】《》〈〉…—～·々〇",
    "emoji": "👩‍👩‍👧‍👦👍🏽🏳️‍🌈🇩🇪🇫🇷3️⃣☹️🤷🏾‍♀️🏴\U000e0067\U000e0062\U000e007f👩‍ ‍👩 🏽",
    "invisible": "a\u200bb\u200c\u200d\u2060\ufeffc\u00add\u180e\u200e\u200f"
    "\u202e\u2066e\u2069\u034f",
    "only invisible": "\u200b\u00ad\ufeff\u200d",
    "replaced": "\ufffd\ufffda\ufffdb \ufffd",
    "accents composed": unicodedata.normalize("NFC", "Phở Việt Nam, Ångström, naïve café, ế"),
    "accents apart": unicodedata.normalize("NFD", "Phở Việt Nam, Ångström, naïve café, ế"),
    "accents alone": "\u0301\u0301 \u0323a\u0323\u0301 z" + "\u0334\u0335\u0336" * 40,
    "right to left": "שָׁלוֹם עוֹלָם! السَّلَامُ عَلَيْكُمْ ﷺ (abc) ١٢٣",
    "without spaces": "今天天气很好我们去公园散步吧วันนี้อากาศดีมากเราไปเดินเล่นกันเถอะ",
    "jamo": "각각 한국어 ㅋㅋㅋ",
    "expanding": "ﷺ ﬃ ㎏ ½ Ⅷ ｆｕｌｌ İstanbul ǅ ẞ ŉ ᾳ ㍿ 𝔘𝔫𝔦",
    "surrogate-like": "\ud7ff\ue000\uf8ff\ufdd0\ufffe\uffff\U0001fffe\U000f0000\U0010ffff \\ud83d",
    "control": "".join(map(chr, range(32))) + "a\x00b\x7f\x80\x9f",
    "escapes": "\\ \\0 \\\\0 \x00\\ \\\x00",
}

LONG_WORDS = {"known letters": "contact" * 1430, "unknown letters": "ß鿿👍🏽" * 2_500}

SPACES = [" ", "\n", "\t", "\r\n", "\u00a0", "\u2003", "\u3000"]
PUNCTUATION = [".", "!", "?", ",", "…", "。", "—", "'", '"', "(", ")", "[", "]", "<", ">", "|"]


def texts(max_fragments: int = 14) -> st.SearchStrategy[str]:
    """Draw texts of ordinary and unusual fragments, with and without spaces between them."""
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
def words_and_spaces(draw):
    """Draw words of any tokenization, whether a space follows each, and sentence starts."""
    odd = st.sampled_from(FRAGMENTS + SPACES + PUNCTUATION)
    letters = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5)
    words = draw(st.lists(st.one_of(odd, odd, letters), max_size=12))
    flags = st.lists(st.booleans(), min_size=len(words), max_size=len(words))
    return words, draw(flags), draw(flags)


@st.composite
def retokenizations(draw, doc):
    """Draw Spans of a Doc to merge and (token, parts) to split, none of them overlapping."""
    merges, splits = [], []
    at = 0
    while at < len(doc):
        n = draw(st.integers(1, 4))
        text = doc[at].text
        if n > 1 and at + n <= len(doc) and draw(st.booleans()):
            merges.append((at, at + n))
            at += n
            continue
        if len(text) > 1 and draw(st.booleans()):
            cuts = sorted(draw(st.sets(st.integers(1, len(text) - 1), min_size=1, max_size=4)))
            edges = [0, *cuts, len(text)]
            splits.append((at, [text[a:b] for a, b in pairwise(edges)]))
        at += 1
    return merges, splits


@st.composite
def kernel_docs(draw, tidy: bool = False):
    """Draw a text, its tokens, and inputs with wordpieces of arbitrary spans.

    tidy (bool): Sort the wordpieces and keep each within its own input, as tokenizers do.
    RETURNS: The text, the token spans, and for each input its span and the (start, end), boundary
        of each of its wordpieces.
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
