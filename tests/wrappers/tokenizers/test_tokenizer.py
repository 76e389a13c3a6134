"""Wordpieces of texts, compared with calls of the Hugging Face tokenizer."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields

import numpy
import oracles
import pytest
from builders import build_wordpieces
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import texts
from tiny import MAX_LENGTH

from trf_bridge.types import Wordpieces
from trf_bridge.wrappers.configs import load_config
from trf_bridge.wrappers.configs import max_length as find_max_length
from trf_bridge.wrappers.tokenizers.loading import load_tokenizer
from trf_bridge.wrappers.tokenizers.tokenizer import WordpieceTokenizer


@pytest.fixture
def plain(family, checkpoint):
    return oracles.load_plain_tokenizer(checkpoint(family))


def make_tokenizer(plain, *, max_length=None, overflow="truncate", stride=0, **options):
    return WordpieceTokenizer(
        plain, max_length=max_length, overflow=overflow, stride=stride, **options
    )


@pytest.mark.parametrize("max_length", [None, MAX_LENGTH, 5])
@given(given_texts=st.lists(texts(), max_size=4))
@settings(max_examples=30)
def test_wordpieces_equal_those_of_the_tokenizer(plain, family, max_length, given_texts):
    encoded = make_tokenizer(plain, max_length=max_length).encode(given_texts)
    options = {} if max_length is None else {"truncation": True, "max_length": max_length}
    expected = [
        plain(text, return_offsets_mapping=True, return_special_tokens_mask=True, **options)
        for text in given_texts
    ]
    pieces = encoded.wordpieces
    lengths = [len(e["input_ids"]) for e in expected]
    assert pieces.lengths.tolist() == encoded.n_pieces.tolist() == lengths
    assert encoded.n_inputs.tolist() == [1] * len(given_texts)
    assert pieces.ids.tolist() == [i for e in expected for i in e["input_ids"]]
    assert pieces.offsets.tolist() == [list(p) for e in expected for p in e["offset_mapping"]]
    assert pieces.boundary.tolist() == [bool(m) for e in expected for m in e["special_tokens_mask"]]
    if "token_type_ids" in plain.model_input_names:
        assert pieces.type_ids.tolist() == [i for e in expected for i in e["token_type_ids"]]
    else:
        assert pieces.type_ids is None
    whole = [plain(text)["input_ids"] for text in given_texts]
    cut = [len(ids) > (max_length or 10**9) for ids in whole]
    assert encoded.truncated.tolist() == cut
    assert pieces.runs is None
    assert pieces.ids.dtype == pieces.offsets.dtype == pieces.lengths.dtype == numpy.int32
    assert pieces.boundary.dtype == numpy.bool_


@given(given_texts=st.lists(texts(), max_size=4))
@settings(max_examples=20)
def test_strings_are_those_of_the_vocabulary(plain, family, given_texts):
    tokenizer = make_tokenizer(plain)
    ids = tokenizer.encode(given_texts).wordpieces.ids
    pieces = build_wordpieces([len(ids)], ids=ids, joined=tokenizer.join_strings(ids))
    assert pieces.strings == plain.convert_ids_to_tokens(ids.tolist())


def test_span_ends_where_a_text_is_truncated(checkpoint):
    plain = oracles.load_plain_tokenizer(checkpoint("bert"))
    encoded = make_tokenizer(plain, max_length=4).encode(["a b c d", "a b", ""])
    assert encoded.truncated.tolist() == [True, False, False]
    assert encoded.wordpieces.spans.tolist() == [[0, 3], [0, 3], [0, 0]]


def test_no_texts(plain, family):
    encoded = make_tokenizer(plain).encode([])
    assert len(encoded.wordpieces) == 0
    assert encoded.wordpieces.offsets.shape == encoded.wordpieces.spans.shape == (0, 2)


def test_type_ids_are_optional(checkpoint):
    bert = oracles.load_plain_tokenizer(checkpoint("bert"))
    assert make_tokenizer(bert).encode(["a"]).wordpieces.type_ids.tolist() == [0, 0, 0]
    assert make_tokenizer(bert, type_ids=False).encode(["a"]).wordpieces.type_ids is None


def test_wrapped_tokenizer_is_not_changed(checkpoint):
    plain = oracles.load_plain_tokenizer.__wrapped__(checkpoint("bert"))
    before = plain.backend_tokenizer.to_str()
    make_tokenizer(plain, max_length=4, overflow="window", stride=1).encode(["a b c d"] * 3)
    assert plain.backend_tokenizer.to_str() == before


def test_padding_and_truncation_of_the_checkpoint_are_ignored(checkpoint):
    plain = oracles.load_plain_tokenizer.__wrapped__(checkpoint("bert"))
    plain.backend_tokenizer.enable_padding(length=40)
    plain.backend_tokenizer.enable_truncation(3)
    assert make_tokenizer(plain).encode(["a b c d"]).n_pieces.tolist() == [6]


def test_calls_of_the_wrapped_tokenizer_change_nothing(checkpoint):
    plain = oracles.load_plain_tokenizer.__wrapped__(checkpoint("bert"))
    tokenizer = make_tokenizer(plain)
    plain(["a", "a b c d"], padding=True, truncation=True, max_length=3)
    assert tokenizer.encode(["a b c d"]).n_pieces.tolist() == [6]


def test_threads_with_other_options_do_not_interfere(checkpoint):
    plain = oracles.load_plain_tokenizer.__wrapped__(checkpoint("bert"))
    tokenizers = [
        make_tokenizer(plain, max_length=5),
        make_tokenizer(plain, max_length=8, overflow="window", stride=2),
        make_tokenizer(plain),
    ]
    work = [(tokenizer, ["a b c d e f g h i j", "a"]) for tokenizer in tokenizers] * 100
    expected = [tokenizer.encode(given).wordpieces.ids.tolist() for tokenizer, given in work[:3]]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda job: job[0].encode(job[1]).wordpieces.ids.tolist(), work))
    assert found == expected * 100


@pytest.mark.parametrize("overflow", ["", "cut", "Window", None])
def test_unknown_options_raise(checkpoint, overflow):
    plain = oracles.load_plain_tokenizer(checkpoint("bert"))
    with pytest.raises(ValueError, match=r"\[TB008\] Unknown overflow: .*'truncate', 'window'"):
        make_tokenizer(plain, overflow=overflow)
    with pytest.raises(ValueError, match=r"\[TB008\] Unknown window_rows: .*'mean'"):
        make_tokenizer(plain, window_rows=overflow)


# From a checkpoint


def test_from_pretrained_uses_the_maximum_of_the_model(family, checkpoint, plain):
    tokenizer = WordpieceTokenizer.from_pretrained(checkpoint(family))
    config = load_config(str(checkpoint(family)))
    assert tokenizer.max_length == find_max_length(config, plain)
    assert (tokenizer.overflow, tokenizer.stride, tokenizer.split_special_tokens) == (
        *("truncate", 128),
        False,
    )
    expected = make_tokenizer(plain, max_length=tokenizer.max_length)
    texts = ["The tide. " * 30, "", "a [SEP] b"]
    assert_same(tokenizer.encode(texts), expected.encode(texts))


def test_from_pretrained_passes_all_options(checkpoint):
    folder = str(checkpoint("bert"))
    options = {
        "overflow": "window",
        "stride": 3,
        "type_ids": False,
        "split_special_tokens": True,
        "window_rows": "mean",
    }
    tokenizer = WordpieceTokenizer.from_pretrained(folder, max_length=12, **options)
    plain = oracles.load_plain_tokenizer(checkpoint("bert"))
    expected = WordpieceTokenizer(plain, max_length=12, **options)
    texts = ["The tide [SEP] had gone out. " * 3, "a"]
    assert_same(tokenizer.encode(texts), expected.encode(texts))
    assert tokenizer.encode(texts).wordpieces.runs.mean


@pytest.mark.parametrize(("max_length", "limit"), [(None, MAX_LENGTH), (9, 9), (999, MAX_LENGTH)])
def test_from_pretrained_uses_the_smaller_maximum(checkpoint, max_length, limit):
    tokenizer = WordpieceTokenizer.from_pretrained(checkpoint("bert"), max_length=max_length)
    assert tokenizer.max_length == tokenizer.limit == limit


def test_from_pretrained_raises_for_other_folders(checkpoint, tmp_path):
    with pytest.raises(ValueError, match=r"\[TB002\]"):
        WordpieceTokenizer.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_bytes((checkpoint("bert") / "config.json").read_bytes())
    with pytest.raises(ValueError, match=r"\[TB004\]"):
        WordpieceTokenizer.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"\[TB034\] .* 3"):
        WordpieceTokenizer.from_pretrained(checkpoint("bert"), max_length=2)


def test_from_pretrained_passes_revision_and_trust(checkpoint, monkeypatch):
    module = "trf_bridge.wrappers.tokenizers.tokenizer"
    folder = str(checkpoint("bert"))
    given = []

    def record(name, load):
        def call(path, **options):
            given.append((name, path, options))
            return load(folder)

        monkeypatch.setattr(f"{module}.{name}", call)

    record("load_config", load_config)
    record("load_tokenizer", load_tokenizer)
    WordpieceTokenizer.from_pretrained("owner/name", revision="v2", trust_remote_code=True)
    options = {"revision": "v2", "trust_remote_code": True}
    assert given == [(name, "owner/name", options) for name in ("load_config", "load_tokenizer")]


def assert_same(one, two):
    for name in ("n_inputs", "n_pieces", "truncated"):
        numpy.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    for field in fields(Wordpieces):
        got, expected = (getattr(encoded.wordpieces, field.name) for encoded in (one, two))
        if field.name == "runs" and got is not None:
            for left, right in zip(got, expected, strict=True):
                numpy.testing.assert_array_equal(left, right)
        else:
            numpy.testing.assert_array_equal(got, expected)
