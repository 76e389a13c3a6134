"""Tokenizers written in Python: wordpieces, offsets, pipelines, files and errors."""

from __future__ import annotations

import copy
import pickle
import sys
import unicodedata
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy
import oracles
import pytest
import slow_tiny
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import HOSTILE, texts
from tiny_tokenizers import PAGE

import trf_bridge
from trf_bridge.pipes.doc.records import get_wordpieces
from trf_bridge.types import escape_piece
from trf_bridge.wrappers.tokenizers.loading import load_tokenizer
from trf_bridge.wrappers.tokenizers.slow.surfaces import SurfaceReader, learn_bytes
from trf_bridge.wrappers.tokenizers.slow_backend import SlowBackend
from trf_bridge.wrappers.tokenizers.tokenizer import WordpieceTokenizer

TEXT = "Apple pie is delicious. Is it “Käsespätzle”? Yes… [SEP] </s> <end> 👩‍👩‍👧 ξψ ẞ."
LONG = "The tide had gone out and left the harbour to the gulls, it is waiting for someone "


@pytest.fixture(scope="module")
def slow_checkpoint(tmp_path_factory):
    made = {}

    def get(name):
        if name not in made:
            made[name] = slow_tiny.save_slow(name, tmp_path_factory.mktemp(name))
        return made[name]

    return get


@pytest.fixture(params=list(slow_tiny.BUILDERS))
def slow(request):
    return request.param


@pytest.fixture
def plain(slow, slow_checkpoint):
    return oracles.load_plain_tokenizer(slow_checkpoint(slow))


def wrap(plain, *, max_length=None, overflow="truncate", stride=0, **options):
    return WordpieceTokenizer(
        plain, max_length=max_length, overflow=overflow, stride=stride, **options
    )


@pytest.fixture(scope="module")
def fast_twin(slow_checkpoint):
    """Return a Rust tokenizer with the same WordPiece vocabulary and rules."""
    from transformers import BertTokenizerFast

    vocab = slow_checkpoint("bert_japanese") / "vocab.txt"
    return BertTokenizerFast(
        str(vocab), do_lower_case=False, tokenize_chinese_chars=False, model_max_length=48
    )


def test_checkpoints_have_no_rust_part(plain, slow, slow_checkpoint):
    assert not plain.is_fast
    assert not load_tokenizer(str(slow_checkpoint(slow))).is_fast


@given(given_texts=st.lists(texts(), max_size=3))
@settings(max_examples=40)
def test_wordpieces_equal_those_of_a_call(plain, slow, given_texts):
    encoded = wrap(plain).encode(given_texts)
    pieces = encoded.wordpieces
    start = 0
    for text, length in zip(given_texts, pieces.lengths.tolist(), strict=True):
        expected = plain(text)
        rows = slice(start, start + length)
        assert pieces.ids[rows].tolist() == expected["input_ids"]
        if "token_type_ids" in plain.model_input_names:
            assert pieces.type_ids[rows].tolist() == expected["token_type_ids"]
        else:
            assert pieces.type_ids is None
        own = plain.convert_tokens_to_ids(plain.tokenize(text))
        assert pieces.ids[rows][~pieces.boundary[rows]].tolist() == own
        offsets = pieces.offsets[rows][~pieces.boundary[rows]]
        assert ((offsets >= 0) & (offsets <= len(text))).all()
        assert (numpy.diff(offsets, axis=0) >= 0).all()
        start += length


@given(text=texts())
@settings(max_examples=200)
def test_offsets_equal_those_of_the_same_tokenizer_in_rust(fast_twin, slow_checkpoint, text):
    # Python composes accents and has an older Unicode version; otherwise they are equal.
    text = unicodedata.normalize("NFC", text)
    text = "".join(c for c in text if unicodedata.category(c) != "Cn")
    plain = oracles.load_plain_tokenizer(slow_checkpoint("bert_japanese"))
    found, expected = SlowBackend(plain).encode(text), fast_twin(text, return_offsets_mapping=True)
    assert found.ids == expected["input_ids"]
    # Exact offsets are right. Others are rare, as the next test checks.
    exact = [True, *SlowBackend(plain)._split(text).exact.tolist(), True]
    spans = zip(found.offsets, expected["offset_mapping"], exact, strict=True)
    for got, span, is_exact in spans:
        assert not is_exact or oracles.trim(text, got) == oracles.trim(text, span)


def test_nearly_all_offsets_are_exact(fast_twin, slow_checkpoint):
    """In the texts that the tokenizers are trained on, and in odd texts."""
    plain = oracles.load_plain_tokenizer(slow_checkpoint("bert_japanese"))
    lines = [*PAGE.splitlines(), *HOSTILE.values()]
    exact = numpy.concatenate([SlowBackend(plain)._split(line).exact for line in lines])
    assert exact.mean() > 0.95


@pytest.mark.parametrize(
    ("overflow", "max_length", "stride"),
    [
        ("truncate", None, 0),
        ("truncate", 5, 0),
        ("window", 5, 0),
        ("window", 9, 3),
        ("window", 10, 99),
        ("window", 48, 4),
        ("truncate", 3, 0),
    ],
)
def test_long_texts_are_handled_as_in_rust(
    fast_twin, slow_checkpoint, overflow, max_length, stride
):
    plain = oracles.load_plain_tokenizer(slow_checkpoint("bert_japanese"))
    options = {"overflow": overflow, "max_length": max_length, "stride": stride, "type_ids": True}
    given_texts = [LONG * 3, "", "the", "the boats and the gulls", "Anna [SEP] " * 9, LONG]
    found, expected = (wrap(one, **options).encode(given_texts) for one in (plain, fast_twin))
    assert found.truncated.tolist() == expected.truncated.tolist()
    assert found.n_inputs.tolist() == expected.n_inputs.tolist()
    assert found.n_pieces.tolist() == expected.n_pieces.tolist()
    for name in ("ids", "type_ids", "boundary", "lengths", "spans", "class_rows", "offsets"):
        values = [getattr(encoded.wordpieces, name) for encoded in (found, expected)]
        assert values[0].tolist() == values[1].tolist(), name
        assert values[0].dtype == values[1].dtype
    runs = [encoded.wordpieces.runs for encoded in (found, expected)]
    assert (runs[0] is None) == (runs[1] is None)
    if runs[0] is not None:
        one, two = ([numpy.asarray(field).tolist() for field in run] for run in runs)
        assert one == two


def test_pairs_equal_those_of_a_call(plain, slow):
    pair = ("Anna counted the boats.", "Did she?")
    found, expected = SlowBackend(plain).encode(pair), plain(*pair)
    assert found.ids == expected["input_ids"]
    if "token_type_ids" in expected:
        assert found.type_ids == expected["token_type_ids"]
    for sequence, text in enumerate(pair):
        alone = SlowBackend(plain).encode(text)
        offsets = [
            o for o, s in zip(found.offsets, found.sequence_ids, strict=True) if s == sequence
        ]
        assert offsets == [
            o for o, s in zip(alone.offsets, alone.sequence_ids, strict=True) if s == 0
        ]
    mask = [int(s is None) for s in found.sequence_ids]
    assert found.special_tokens_mask == mask
    assert sum(mask) == len(expected["input_ids"]) - sum(len(plain.tokenize(text)) for text in pair)


def test_literal_boundary_pieces_are_text(plain, slow):
    for name in plain.all_special_tokens:
        text = f"the {name} boats {name} x"
        found = SlowBackend(plain).encode(text)
        assert found.ids == plain(text)["input_ids"]
        n_added = len(plain.build_inputs_with_special_tokens([]))
        assert sum(found.special_tokens_mask) == n_added
        own = plain.tokenize(text)
        assert own.count(name) == 2
        inside = [o for o, s in zip(found.offsets, found.sequence_ids, strict=True) if s == 0]
        spans = [text[a:b] for (a, b), piece in zip(inside, own, strict=True) if piece == name]
        assert spans == [name, name]


def test_surfaces_are_learned_from_the_tokenizer(plain, slow):
    reader = SurfaceReader(plain)
    text = "The harbour, waiting"
    surfaces = reader.read(plain.tokenize(text))
    letters = [
        surface.decode("utf8") if isinstance(surface, bytes) else surface for surface in surfaces
    ]
    expected = text if slow in ("byt5", "bert_japanese") else text.lower()
    if None not in letters:
        assert "".join(letters).replace(" ", "") == expected.replace(" ", "")
    assert reader.read([plain.unk_token]) == [None]
    assert bool(learn_bytes(plain.tokenize)) == (slow == "byt5")


def test_surfaces_of_pieces_that_the_vocabulary_lacks(slow_checkpoint):
    own = oracles.load_plain_tokenizer(slow_checkpoint("own"))
    assert SurfaceReader(own).read(["ξ@@", "ψ", "[SEP]", "<end>"]) == ["ξ", "ψ", "[SEP]", "<end>"]
    xlm = oracles.load_plain_tokenizer(slow_checkpoint("xlm"))
    assert SurfaceReader(xlm).read(["ξ", "ψ</w>", "</s>"]) == ["ξ", "ψ", "</s>"]


def test_cache_of_surfaces_is_limited(slow_checkpoint, monkeypatch):
    monkeypatch.setattr("trf_bridge.wrappers.tokenizers.slow.surfaces.MAX_CACHED", 3)
    reader = SurfaceReader(oracles.load_plain_tokenizer(slow_checkpoint("own")))
    pieces = [f"{letter}@@" for letter in "abcdefg"]
    assert reader.read(pieces) == list("abcdefg")
    assert len(reader._cache) <= 3


def test_predictions_equal_plain_transformers(slow, slow_checkpoint):
    folder = slow_checkpoint(slow)
    nlp = trf_bridge.from_pretrained(folder)
    plain = oracles.load_plain_tokenizer(folder)
    model = oracles.load_plain({"byt5": "t5"}.get(slow, slow), folder)
    for doc in nlp.pipe([TEXT, "", "\n", "Anna counted the boats. The blue one!"]):
        rows = []
        for sent in doc.sents:
            ids = plain(sent.text)
            with_types = "token_type_ids" in plain.model_input_names
            out = oracles.run_plain(
                model.eval(), ids["input_ids"], ids["token_type_ids"] if with_types else None
            )
            rows.extend(out.last_hidden_state[0].detach().numpy())
        hidden = doc._.trf_last_hidden_state
        assert len(hidden) == len(rows)
        if rows:
            numpy.testing.assert_allclose(hidden, rows, atol=1e-5)
            numpy.testing.assert_allclose(
                doc.tensor.sum(axis=0), numpy.sum(rows, axis=0), rtol=1e-4, atol=1e-4
            )
        assert doc.tensor.shape == (len(doc), tiny_width(nlp))


def tiny_width(nlp):
    return nlp.get_pipe("trf_tok2vec").model.get_dim("nO")


def test_saved_pipelines_return_the_same(slow, slow_checkpoint, tmp_path):
    nlp = trf_bridge.from_pretrained(slow_checkpoint(slow), overflow="window", stride=2)
    expected = nlp(TEXT)
    nlp.to_disk(tmp_path / "saved")
    assert not list((tmp_path / "saved").rglob("*.pkl"))
    from_bytes = spacy.blank("en").from_config(nlp.config).from_bytes(nlp.to_bytes())
    for loaded in (spacy.load(tmp_path / "saved"), from_bytes):
        doc = loaded(TEXT)
        assert doc._.trf_word_pieces.tolist() == expected._.trf_word_pieces.tolist()
        assert doc._.trf_word_pieces_ == expected._.trf_word_pieces_
        assert doc._.trf_alignment == expected._.trf_alignment
        numpy.testing.assert_array_equal(doc.tensor, expected.tensor)
    # A spawned process unpickles the component.
    wordpiecer = pickle.loads(pickle.dumps(nlp.get_pipe("trf_wordpiecer")))
    (pieces,) = wordpiecer.predict([expected])
    assert pieces.ids.tolist() == expected._.trf_word_pieces.tolist()


def test_threads_and_processes_share_a_tokenizer(slow, slow_checkpoint):
    nlp = trf_bridge.from_pretrained(slow_checkpoint(slow))
    given_texts = [TEXT, LONG, "Anna.", "ξψ"] * 5
    expected = [get_wordpieces(doc).offsets.tolist() for doc in nlp.pipe(given_texts)]
    tokenizer = nlp.get_pipe("trf_wordpiecer").tokenizer
    first = tokenizer.encode(given_texts).wordpieces
    with ThreadPoolExecutor(8) as pool:
        for encoded in pool.map(tokenizer.encode, [given_texts] * 16):
            assert encoded.wordpieces.ids.tolist() == first.ids.tolist()
            assert encoded.wordpieces.offsets.tolist() == first.offsets.tolist()
    docs = list(nlp.pipe(given_texts, n_process=2, batch_size=4))
    assert [get_wordpieces(doc).offsets.tolist() for doc in docs] == expected


def test_pipeline_learns(slow_checkpoint):
    from spacy.training import Example

    nlp = trf_bridge.from_pretrained(slow_checkpoint("own"))
    model = {"@architectures": "trf_bridge.TextCatMean.v1"}
    textcat = nlp.add_pipe("trf_textcat", config={"model": model})
    for label in ("A", "B"):
        textcat.add_label(label)
    cats = [{"A": 1.0, "B": 0.0}, {"A": 0.0, "B": 1.0}]
    examples = [
        Example.from_dict(nlp.make_doc(text), {"cats": gold})
        for text, gold in zip(["the tide", "apple pie"], cats, strict=True)
    ]
    optimizer = nlp.initialize(lambda: examples)
    optimizer.learn_rate = 0.01
    losses = [nlp.update(examples, sgd=optimizer)["trf_textcat"] for _ in range(30)]
    assert losses[-1] < 0.5 * losses[0]


class Broken:
    """Wraps a tokenizer and replaces some of its methods."""

    def __init__(self, plain, **methods):
        self._plain = plain
        self._methods = methods

    def __getattr__(self, name):
        if name.startswith("__") or name in ("_plain", "_methods"):
            raise AttributeError(name)
        return self._methods.get(name) or getattr(self._plain, name)

    def __call__(self, *args):
        return self._methods.get("__call__", self._plain)(*args)


@pytest.fixture
def own(slow_checkpoint):
    return oracles.load_plain_tokenizer(slow_checkpoint("own"))


def test_template_that_changes_wordpieces_raises(own):
    backend = SlowBackend(own)
    backend._tokenizer = Broken(own, build_inputs_with_special_tokens=lambda ids: [*ids[::-1], 2])
    assert backend.encode("a").ids == own("a")["input_ids"]
    backend._tokenizer = Broken(own, build_inputs_with_special_tokens=lambda ids: [*ids[1:], 2])
    with pytest.raises(ValueError, match=r"\[TB032\] .* of Broken .* the 2 ids .* got 1 of"):
        backend.encode("ab")


def test_type_ids_for_another_template_are_replaced(own):
    backend = SlowBackend(
        Broken(own, create_token_type_ids_from_sequences=lambda ids, more=None: [7])
    )
    assert backend.encode("ab").type_ids == [0, 0, 0]
    assert backend.encode(("ab", "c")).type_ids == [0, 0, 0, 1, 0]


def test_tokenizer_whose_steps_differ_from_a_call_raises(own):
    def refuse(text):
        raise NotImplementedError

    with pytest.raises(ValueError, match=r"\[TB033\] Can't use Broken.*NotImplementedError"):
        SlowBackend(Broken(own, tokenize=refuse))
    with pytest.raises(ValueError, match=r"\[TB033\] .*a call gives the ids \[5\]"):
        SlowBackend(Broken(own, __call__=lambda text: {"input_ids": [5]}))
    with pytest.raises(ValueError, match=r"\[TB033\] "):
        WordpieceTokenizer(
            Broken(own, __call__=lambda text: {"input_ids": [5]}),
            max_length=None,
            overflow="truncate",
            stride=0,
        )


def test_guessed_offsets_warn_once_for_all_texts(own):
    backend = SlowBackend(own)
    backend._tokenizer = Broken(
        own, tokenize=lambda text: ["<unk>", "a", "<unk>", "<unk>"] * (" a " in text)
    )
    with pytest.warns(UserWarning, match=r"\[TB104\] .*4 of 8 wordpieces") as caught:
        backend.encode_batch(["b a bbbbb", "bb a bbbb"])
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SlowBackend(own).encode_batch([TEXT, LONG, ""])


def test_missing_library_is_named(slow_checkpoint, monkeypatch):
    folder = str(slow_checkpoint("xlm"))
    monkeypatch.setitem(sys.modules, "sacremoses", None)
    with pytest.raises(ValueError, match=r"\[TB004\] .*sacremoses"):
        load_tokenizer(folder)


def test_copies_return_the_same(own):
    backend = SlowBackend(own)
    copied = copy.deepcopy(backend)
    assert copied._tokenizer is not own
    assert copied.encode("abcdefgh") == backend.encode("abcdefgh")
    assert len(copied.encode("abcdefgh")) == 9


def test_vocabulary_with_and_without_added_pieces(own):
    backend = SlowBackend(own)
    assert set(backend.get_vocab()) == set(own.get_vocab())
    without = backend.get_vocab(with_added_tokens=False)
    assert set(own.get_vocab()) - set(without) == set(own.get_added_vocab())


def test_strings_contain_no_nul(slow_checkpoint):
    tokenizer = wrap(oracles.load_plain_tokenizer(slow_checkpoint("byt5")))
    ids = tokenizer.encode(["a\0b"]).wordpieces.ids
    assert tokenizer.join_strings(ids).split("\0") == ["a", escape_piece("\0"), "b", "</s>"]
