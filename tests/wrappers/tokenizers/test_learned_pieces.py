"""The vocabularies of the tests: joined pairs, scored pieces, and the same in every process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from math import log
from pathlib import Path

import learned_pieces
from learned_pieces import count_words, learn_merges, learn_unigram
from odd_tokenizers import ODD
from tokenizers import Tokenizer, normalizers, pre_tokenizers

PRINT_ALL = """
import json
from odd_tokenizers import ODD

print(json.dumps({name: build().to_str() for name, build in ODD.items()}))
"""


def test_vocabularies_are_the_same_in_another_process():
    """Whatever the order of its hash tables is."""
    support = str(Path(learned_pieces.__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", PRINT_ALL],
        env={**os.environ, "PYTHONPATH": support, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == {name: build().to_str() for name, build in ODD.items()}


def test_words_are_counted_as_the_model_meets_them():
    texts = ["Ab ab", "", "ab-"]
    steps = normalizers.Lowercase(), pre_tokenizers.BertPreTokenizer()
    assert count_words(texts, *steps) == {"ab": 3, "-": 1}
    assert count_words(texts, None, None) == {"Ab ab": 1, "ab-": 1}


def test_most_frequent_pairs_are_joined_and_of_equal_ones_the_first():
    words = {"low": 5, "lower": 2, "newest": 6, "widest": 3}
    pieces, merges = learn_merges(words, 21, ["<unk>"], suffix="</w>")
    characters = ["d", "e", "i", "l", "n", "o", "r", "r</w>", "s", "t", "t</w>", "w", "w</w>"]
    joined = ["es", "est</w>", "lo", "ew", "new", "newest</w>", "low</w>"]
    assert merges[:3] == [("e", "s"), ("es", "t</w>"), ("l", "o")]  # 9, 9, and 7 times
    assert merges[3:6] == [("e", "w"), ("n", "ew"), ("new", "est</w>")]  # all of them 6 times
    assert list(pieces) == ["<unk>", *characters, *joined]
    assert list(pieces.values()) == list(range(21))


def test_pieces_inside_of_words_are_marked():
    pieces, merges = learn_merges({"aba": 2}, 9, ["[UNK]"], prefix="##")
    assert list(pieces) == ["[UNK]", "##a", "##b", "a", "b", "##ba", "aba"]
    assert merges == [("##b", "##a"), ("a", "##ba")]


def test_unigram_pieces_cover_the_most_text():
    model = learn_unigram({"abab": 2, "abc": 1}, 6, ["<unk>"], "<unk>")
    # "abab" covers 8 characters, "ab" 10; "aba" and "bab" 6.
    counts = {"a": 5, "b": 5, "c": 1, "ab": 5, "abab": 2}
    scored = [["<unk>", 0.0], *([piece, log(n / 18)] for piece, n in counts.items())]
    state = json.loads(Tokenizer(model).to_str())["model"]
    assert state["vocab"] == scored
    assert state["unk_id"] == 0
