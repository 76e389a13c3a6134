"""Offsets for tokenizers that return none."""

from __future__ import annotations

import random
import re
import unicodedata
from itertools import pairwise

import builders
import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import texts
from thinc.api import NumpyOps

from trf_bridge.align import align, apply_alignment
from trf_bridge.wrappers.tokenizers.slow.matching import WINDOW, Block, find_between, find_blocks
from trf_bridge.wrappers.tokenizers.slow.placing import place_pieces


def place(text, surfaces, tokenize=None):
    pieces = ["[UNK]" if surface is None else str(surface) for surface in surfaces]
    placement = place_pieces(text, pieces, surfaces, tokenize=tokenize)
    return [tuple(span) for span in placement.offsets.tolist()], placement.exact.tolist()


def place_exactly(text, surfaces, tokenize=None):
    """Return the characters of each wordpiece, all of them certain."""
    spans, exact = place(text, surfaces, tokenize)
    assert all(exact)
    return [text[start:end] for start, end in spans]


# Changes that tokenizers make to single characters, so that the right offsets are known.
NORMALIZERS = {
    "nothing": lambda char: char,
    "lower": str.lower,
    "casefold": str.casefold,
    "NFD": lambda char: unicodedata.normalize("NFD", char),
    "NFKC": lambda char: unicodedata.normalize("NFKC", char),
    "NFKD": lambda char: unicodedata.normalize("NFKD", char),
    "strip accents": lambda char: "".join(
        c for c in unicodedata.normalize("NFD", char.lower()) if unicodedata.category(c) != "Mn"
    ),
    "drop controls": lambda char: "" if unicodedata.category(char)[0] == "C" else char,
}


def spread(text, normalize):
    """Return the normalized characters without white space, each with its place in the text."""
    return [(c, i) for i, char in enumerate(text) for c in normalize(char) if not char.isspace()]


@st.composite
def known_pieces(draw):
    """Draw a text, the surfaces of its wordpieces, and their right spans."""
    text = draw(texts())
    characters = spread(text, NORMALIZERS[draw(st.sampled_from(sorted(NORMALIZERS)))])
    characters = [(c, i) for c, i in characters if not c.isspace()]
    surfaces, spans = [], []
    at = 0
    while at < len(characters):
        size = draw(st.integers(1, 4))
        part = characters[at : at + size]
        surfaces.append("".join(c for c, _ in part))
        spans.append((part[0][1], part[-1][1] + 1))
        at += size
    return text, surfaces, spans


@given(known_pieces())
@settings(max_examples=300)
def test_spans_are_right_for_every_change_of_single_characters(drawn):
    text, surfaces, expected = drawn
    spans, exact = place(text, surfaces)
    assert spans == expected
    assert all(exact)


@given(texts(), st.data())
def test_bytes_of_one_character_have_its_span(text, data):
    encoded = text.encode("utf8")
    owners = [i for i, char in enumerate(text) for _ in char.encode("utf8")]
    cuts = sorted(data.draw(st.sets(st.integers(0, len(encoded)), max_size=20)) | {0, len(encoded)})
    pairs = list(pairwise(cuts))
    spans, exact = place(text, [encoded[start:end] for start, end in pairs])
    for (start, end), span in zip(pairs, spans, strict=True):
        inside = [i for i in owners[start:end] if not text[i].isspace()]
        if inside:
            assert (text[span[0] : span[1]].strip(), span[0] <= inside[0]) == (
                text[inside[0] : inside[-1] + 1],
                True,
            )
        elif start < end:
            assert text[span[0] : span[1]].isspace()
    assert all(exact)


surface = st.one_of(
    st.none(),
    st.text(max_size=5),
    st.sampled_from([" ", "  ", "", "a", "the", "\u0301", "\u200d", "\0", "ß", "ﬁ"]),
    st.binary(max_size=3),
)


@given(texts(), st.lists(surface, max_size=25))
@settings(max_examples=500)
def test_every_piece_has_a_place_even_if_it_is_not_in_the_text(text, surfaces):
    spans, exact = place(text, surfaces, tokenize=str.split)
    assert len(spans) == len(exact) == len(surfaces)
    for (start, end), given_surface in zip(spans, surfaces, strict=True):
        assert 0 <= start <= end <= len(text)
        if given_surface is None or (isinstance(given_surface, str) and given_surface.strip()):
            assert start < end or not text
    assert [start for start, _ in spans] == sorted(start for start, _ in spans)
    assert [end for _, end in spans] == sorted(end for _, end in spans)


@given(texts(), st.lists(surface, max_size=25))
def test_sum_over_tokens_equals_sum_over_pieces(text, surfaces):
    spans, _ = place(text, surfaces)
    tokens = [(found.start(), found.end()) for found in re.finditer(r"\S+", text)]
    pieces = builders.build_wordpieces(
        [len(spans)], offsets=[place for span in spans for place in span], spans=[0, len(text)]
    )
    alignment = align([text], [numpy.asarray(tokens, dtype="int32").reshape(-1, 2)], [pieces])
    x = numpy.random.default_rng(0).normal(size=(len(spans), 3))
    (rows,), _ = apply_alignment(NumpyOps(), alignment, [x])
    if tokens:
        assert set(alignment.rows.tolist()) == set(range(len(spans)))
        numpy.testing.assert_allclose(rows.sum(axis=0), x.sum(axis=0), rtol=1e-5, atol=1e-5)


WORD = re.compile(r"\w+|[^\w\s]")
KNOWN = {"a", "b", "the", "hello", ",", ".", "-"}


def tokenize_words(text):
    """Split a text into whole words, as BERT does if its vocabulary lacks most of them."""
    return [word if word in KNOWN else "[UNK]" for word in WORD.findall(text.lower())]


@given(
    st.lists(
        st.sampled_from(
            ["a", "b", "aa", "ab", "The", "ξa", "aξ", "xthe", "thex", ",", "Hello.", "-"]
        ),
        max_size=12,
    ),
    st.sampled_from([" ", "  ", "\n"]),
)
@settings(max_examples=300)
def test_unknown_words_have_the_right_spans(words, space):
    text = space.join(words)
    pieces = tokenize_words(text)
    surfaces = [None if piece == "[UNK]" else piece for piece in pieces]
    placement = place_pieces(text, pieces, surfaces, tokenize=tokenize_words)
    expected = [list(found.span()) for found in WORD.finditer(text)]
    assert placement.offsets.tolist() == expected
    assert placement.exact.all()


def test_chunks_with_other_wordpieces_determine_no_border():
    def tokenize(text):
        return ["[UNK]"] if "ξ" in text else ["0"]

    placement = place_pieces("0 ξ", ["[UNK]"], [None], tokenize=tokenize)
    assert placement.offsets.tolist() == [[0, 3]]


def test_white_space_that_many_delete_separates_words_only_as_a_last_resort():
    assert place_exactly(">👩\x0ba", [None, None]) == [">", "👩\x0ba"]
    assert place_exactly("ξ\x0bψ", [None, None]) == ["ξ", "ψ"]


def test_literal_name_of_the_unknown_piece():
    def tokenize(text):
        return ["[UNK]"] * len(re.findall(r"\[UNK\]|(?:(?!\[UNK\])\S)+", text))

    text = "👩👩[UNK] x[UNK]x"
    pieces = ["[UNK]"] * 5
    assert tokenize(text) == pieces
    placement = place_pieces(text, pieces, [None] * 5, tokenize=tokenize)
    assert placement.offsets.tolist() == [[0, 2], [2, 7], [8, 9], [9, 14], [14, 15]]
    assert placement.exact.all()


@pytest.mark.parametrize(
    ("text", "surfaces", "expected"),
    [
        # case folding and decomposition that change the length
        ("STRAẞE İstanbul", ["straße", "i\u0307stan", "bul"], ["STRAẞE", "İstan", "bul"]),
        ("ﬁne oﬃce", ["f", "ine", "off", "ice"], ["ﬁ", "ﬁne", "oﬃ", "ﬃce"]),
        ("cafe\u0301 x", ["caf", "é", "x"], ["caf", "e\u0301", "x"]),
        ("cafe\u0301 x", ["cafe", "x"], ["cafe", "x"]),
        # characters that are dropped
        ("a\u200bb\x00c\ufffdd", ["ab", "cd"], ["a\u200bb", "c\ufffdd"]),
        ("👩\u200d👧 👍🏽", ["👩👧", "👍", "🏽"], ["👩\u200d👧", "👍", "🏽"]),
        # or kept as separate pieces
        ("👩\u200d👧", ["👩", "\u200d", "👧"], ["👩", "\u200d", "👧"]),
        ("e\u0301", ["e", "\u0301"], ["e", "\u0301"]),
        # white space as a piece
        ("a   b", ["a", " ", " ", "b"], ["a", " ", " ", "b"]),
        ("a，b", [" ", "a", " ", ",", "b"], ["a", "a", "，", "，", "b"]),
        # characters that are replaced by others
        ("“Hi”—ok…", ['"', "hi", '"', "-", "ok", "..."], ["“", "Hi", "”", "—", "ok", "…"]),
        ("''Hi''", ['"', "hi", '"'], ["''", "Hi", "''"]),
        # unknown pieces, without a tokenizer
        ("我𠀀们", ["我", None, "们"], ["我", "𠀀", "们"]),
        ("𠀀𠀁", [None, None], ["𠀀", "𠀁"]),
        ("ξψ, ω", [None, None, None], ["ξψ", ",", "ω"]),
        ("ξψω", [None], ["ξψω"]),
        ("กา์” x", ["ก", "า", "์", None, "x"], ["ก", "า", "์", "”", "x"]),
        ("0¹:¨", [None, ":", None], ["0¹", ":", "¨"]),
        # literal names of boundary pieces
        ("a [SEP] b", ["a", "[SEP]", "b"], ["a", "[SEP]", "b"]),
        # bytes
        ("é👍", [b"\xc3", b"\xa9", b"\xf0\x9f", b"\x91\x8d"], ["é", "é", "👍", "👍"]),
        ("", [], []),
        (" \n", [], []),
        ("", [" "], [""]),
    ],
)
def test_examples(text, surfaces, expected):
    assert place_exactly(text, surfaces) == expected


def test_guessed_places_are_not_exact():
    text = "abcdefghij klmnopqrst uvwxyz"
    spans, exact = place(text, ["0123", "4567", "89"])
    assert exact == [False] * 3
    assert [start for start, _ in spans] == sorted(start for start, _ in spans)
    assert spans[0][0] == 0
    assert spans[-1][1] == len(text)
    # The border between two unknown pieces is not certain; their neighbours are exact.
    spans, exact = place("one 12345 two", ["one", None, None, "two"])
    assert exact == [True, False, False, True]
    assert (spans[1][0], spans[2][1]) == (4, 9)
    # A piece that is not in the text needs a place too.
    spans, exact = place("ab", ["ab", "zz"])
    assert (spans, exact) == ([(0, 2), (1, 2)], [True, False])


def test_matches_by_chance_are_not_exact():
    rng = random.Random(0)
    text = "".join(rng.choice("abcdefgh") for _ in range(5000))
    surfaces = ["".join(rng.choice("ahijklmn") for _ in range(4)) for _ in range(1000)]
    _, exact = place(text, surfaces)
    assert not any(exact)


@pytest.mark.parametrize("n_chars", [100, 3 * WINDOW, 20_000])
def test_long_texts_without_spaces_are_matched_to_the_end(n_chars):
    rng = random.Random(0)
    text = "".join(rng.choice("abcdefgh") for _ in range(n_chars))
    surfaces = [None if rng.random() < 0.01 else char for char in text]
    replaced = [char if char else "x" for char in surfaces]
    for given_surfaces in (surfaces, replaced):
        spans, exact = place(text, given_surfaces)
        assert spans == [(i, i + 1) for i in range(n_chars)]
        assert all(exact)


def test_words_of_ten_thousand_letters_and_many_spaces():
    text = "contact" * 1500 + " " * 10_000 + "ok"
    assert place_exactly(text, ["contact"] * 1500 + ["ok"])[-2:] == ["contact", "ok"]
    assert place_exactly(text, [None, "ok"]) == ["contact" * 1500, "ok"]


@given(st.text(st.sampled_from("abc"), max_size=40), st.text(st.sampled_from("abc"), max_size=40))
def test_blocks_are_equal_and_ascending_in_both_sequences(first, second):
    at = other = 0
    for block in find_blocks(first, second):
        assert block.size > 0
        assert block.start >= at
        assert block.other >= other
        at, other = block.start + block.size, block.other + block.size
        assert first[block.start : at] == second[block.other : other]
    assert at <= len(first)
    assert other <= len(second)


@pytest.mark.parametrize("dropped", [1, 300, WINDOW // 4])
def test_windows_follow_omissions(dropped):
    rng = random.Random(0)
    first = [rng.randrange(1000) for _ in range(6 * WINDOW)]
    cuts = [WINDOW + 7, 4 * WINDOW]
    second = [x for i, x in enumerate(first) if not any(0 <= i - cut < dropped for cut in cuts)]
    for one, two in ((first, second), (second, first)):
        found = sum(block.size for block in find_blocks(one, two))
        assert found == len(second)


def test_sequences_without_common_items_have_no_blocks():
    first, second = "a" * (5 * WINDOW), "b" * (3 * WINDOW)
    assert find_blocks(first, second) == []
    assert find_blocks(first, "") == find_blocks("", second) == []


@pytest.mark.parametrize(
    ("text", "pattern", "expected"),
    [
        ("abc", "a*c", [Block(0, 0, 1), Block(2, 2, 1)]),
        ("abc", "*bc", [Block(1, 1, 2)]),
        ("abc", "ab*", [Block(0, 0, 2)]),
        ("abc", "**c", [Block(2, 2, 1)]),
        ("abc", "*", []),
        ("abc", "a*bc", None),  # a gap is at least one character
        ("abc", "x*c", None),
        ("abc", "a*x", None),
        ("abc", "abc", None),  # no gap
        ("a", "**", None),
        ("", "*", None),
    ],
)
def test_runs_between_gaps(text, pattern, expected):
    assert find_between(text, pattern, "*") == expected
    assert find_between(text, pattern, "*", starts=[True] * len(text)) == expected


def test_runs_start_at_given_places():
    starts = [True, False, True, False]
    assert find_between("abcb", "*cb", "*", starts=starts) == [Block(2, 1, 2)]
    assert find_between("abcb", "*b", "*", starts=starts) is None


def test_gaps_can_be_empty():
    assert find_between("abc", "a*bc*", "*", least=0) == [Block(0, 0, 1), Block(1, 2, 2)]
    assert find_between("abc", "**c", "*", least=0) == [Block(2, 2, 1)]
    assert find_between("", "**", "*", least=0) == []
    assert find_between("abc", "a*x", "*", least=0) is None
