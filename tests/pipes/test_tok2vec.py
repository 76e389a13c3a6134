"""The whole pipeline on texts: the output stored on Docs, and the calls that spaCy makes."""

from __future__ import annotations

import gc
import re
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy
import oracles
import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc
from strategies import texts
from tiny import MAX_LENGTH, WIDTH

from trf_bridge.pipes.doc.records import get_wordpieces

TEXTS = [
    "Apple shares rose on the news. Apple pie is delicious.",
    "",
    "Laced with dreams — dripping in reality, the American Dream reignites after 9.11.",
    " ",
    "\n\n",
    "My name is Robert.\r\n\r\nIs it? Yes... no.",
    "👩‍👩‍👧‍👦 and 👍🏽 [SEP] <s> 北京。今天天气很好",
    "word " * 30,
    "A",
] * 2


def sentences_of(nlp, doc, checkpoint_folder):
    max_length = nlp.get_pipe("trf_wordpiecer").tokenizer.max_length
    tokenizer = oracles.load_plain_tokenizer(checkpoint_folder)
    return oracles.plain_sentences(doc, tokenizer, max_length)


def check_doc(nlp, doc, family, folder):
    """Check the wordpieces, hidden states and token rows with plain transformers and the oracle."""
    import torch

    sentences = sentences_of(nlp, doc, folder)
    plain = oracles.load_plain(family, folder).eval()
    with torch.no_grad():
        hidden = [
            oracles.run_plain(plain, s.ids, s.type_ids).last_hidden_state[0].numpy()
            for s in sentences
            if s.ids
        ]
    hidden = numpy.concatenate(hidden) if hidden else numpy.zeros((0, WIDTH))
    assert doc._.trf_word_pieces.tolist() == [i for s in sentences for i in s.ids]
    assert doc._.trf_last_hidden_state.shape == hidden.shape
    numpy.testing.assert_allclose(doc._.trf_last_hidden_state, hidden, atol=1e-5, rtol=1e-5)
    links = oracles.align_doc(doc, sentences)
    assert doc._.trf_alignment == links
    assert doc.tensor.shape == (len(doc), WIDTH)
    assert doc.tensor.dtype == numpy.float32
    stored = doc._.trf_last_hidden_state
    # A token may have thousands of wordpieces: float32's error grows with the terms of the sum.
    terms = max(float(oracles.weighted_sum(links, abs(stored)).max(initial=0)), 1.0)
    expected = oracles.weighted_sum(links, stored)
    numpy.testing.assert_allclose(doc.tensor, expected, atol=1e-6 * terms, rtol=1e-5)
    assert numpy.isfinite(doc.tensor).all()


def assert_same_docs(got, expected):
    assert got.text == expected.text
    assert got._.trf_word_pieces_ == expected._.trf_word_pieces_
    assert got._.trf_alignment == expected._.trf_alignment
    assert got.tensor.shape == expected.tensor.shape
    numpy.testing.assert_allclose(got.tensor, expected.tensor, atol=1e-5, rtol=1e-5)
    numpy.testing.assert_allclose(
        got._.trf_last_hidden_state, expected._.trf_last_hidden_state, atol=1e-5, rtol=1e-5
    )


# Single texts


@pytest.mark.filterwarnings("ignore:.*TB101")
def test_doc_equals_plain_transformers_and_the_oracle(family, pipeline, checkpoint):
    nlp = pipeline(family)
    for text in TEXTS[:7]:
        check_doc(nlp, nlp(text), family, checkpoint(family))


@given(text=texts())
@settings(max_examples=25)
@pytest.mark.filterwarnings("ignore:.*TB101")
def test_any_doc_equals_plain_transformers_and_the_oracle(family, pipeline, checkpoint, text):
    nlp = pipeline(family)
    check_doc(nlp, nlp(text), family, checkpoint(family))


@given(text=texts())
@settings(max_examples=25)
@pytest.mark.parametrize("overflow", ["truncate", "window"])
@pytest.mark.filterwarnings("ignore:.*TB101")
def test_token_rows_sum_to_the_wordpiece_rows(family, pipeline, overflow, text):
    doc = pipeline(family, overflow=overflow)(text)
    hidden = doc._.trf_last_hidden_state
    assert {row for rows in doc._.trf_alignment for row in rows} == set(range(len(hidden)))
    scale = max(float(abs(hidden).sum()), 1.0)
    numpy.testing.assert_allclose(
        doc.tensor.sum(axis=0), hidden.sum(axis=0), atol=1e-6 * scale, rtol=1e-3
    )


@pytest.mark.parametrize("text", ["", " ", "\n\n", "\u200b", "\x00", "[SEP]", "\ufffd", "."])
def test_degenerate_texts_have_valid_shapes(family, pipeline, text):
    nlp = pipeline(family, output_hidden_states=True, output_attentions=True)
    doc = nlp(text)
    assert doc.tensor.shape == (len(doc), WIDTH)
    assert doc.tensor.dtype == numpy.float32
    assert numpy.isfinite(doc.tensor).all()
    n = len(doc._.trf_word_pieces)
    assert doc._.trf_last_hidden_state.shape == (n, WIDTH)
    assert doc._.trf_all_hidden_states.shape[1:] == (n, WIDTH)
    assert len(doc._.trf_alignment) == len(doc)
    assert doc.vector.shape == (WIDTH,)
    assert len(doc._.trf_all_attentions) == len(get_wordpieces(doc).lengths)


def test_doc_without_sentence_boundaries_is_split_by_rules(pipeline, checkpoint):
    nlp = pipeline("bert")
    with nlp.select_pipes(disable=["sentencizer"]):
        doc = nlp("Is it? Yes. No.")
    assert len(get_wordpieces(doc).lengths) == 3
    check_doc(nlp, doc, "bert", checkpoint("bert"))


def test_existing_sentence_boundaries_are_used(pipeline, checkpoint):
    nlp = pipeline("bert")
    doc = Doc(nlp.vocab, words=["a", "b", "c", "d"], sent_starts=[True, False, True, False])
    for name in ("trf_wordpiecer", "trf_tok2vec"):
        doc = nlp.get_pipe(name)(doc)
    assert get_wordpieces(doc).lengths.tolist() == [4, 4]
    check_doc(nlp, doc, "bert", checkpoint("bert"))


def test_sentences_of_a_user_hook_are_used(pipeline):
    nlp = pipeline("bert")
    doc = nlp.make_doc("a b c d")
    doc.user_hooks["sents"] = lambda doc: iter([doc[0:1], doc[1:4]])
    nlp.get_pipe("trf_wordpiecer")(doc)
    assert get_wordpieces(doc).spans.tolist() == [[0, 1], [2, 7]]


@given(
    words=st.lists(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6), max_size=12
    ),
    data=st.data(),
)
@settings(max_examples=25)
@pytest.mark.filterwarnings("ignore:.*TB101")
def test_docs_of_any_words_and_spaces_equal_the_oracle(family, pipeline, checkpoint, words, data):
    nlp = pipeline(family)
    n = len(words)
    spaces = data.draw(st.lists(st.booleans(), min_size=n, max_size=n))
    starts = data.draw(st.lists(st.booleans(), min_size=n, max_size=n))
    doc = Doc(nlp.vocab, words=words, spaces=spaces, sent_starts=starts)
    for name in ("trf_wordpiecer", "trf_tok2vec"):
        doc = nlp.get_pipe(name)(doc)
    check_doc(nlp, doc, family, checkpoint(family))


@pytest.mark.parametrize("when", ["before", "between", "after"])
def test_retokenized_docs_are_aligned_to_their_new_tokens(pipeline, checkpoint, when):
    nlp = pipeline("roberta")
    doc = nlp.make_doc("My name is Robert Berger, from South-Berlin.")
    steps = ["trf_wordpiecer", "trf_tok2vec"]
    steps.insert(["before", "between", "after"].index(when), "retokenize")
    for step in steps:
        if step == "retokenize":
            with doc.retokenize() as retokenizer:
                retokenizer.merge(doc[3:5])
                retokenizer.split(doc[9], ["Ber", "lin"], heads=[doc[8], doc[8]])
        else:
            doc = nlp.get_pipe(step)(doc)
    assert [token.text for token in doc][3:] == [
        *["Robert Berger", ",", "from", "South", "-", "Ber", "lin", "."]
    ]
    sentences = sentences_of(nlp, doc, checkpoint("roberta"))
    assert doc._.trf_alignment == oracles.align_doc(doc, sentences)
    merged = doc[3]._
    assert merged.trf_word_pieces_ == doc._.trf_word_pieces_[merged.trf_start : merged.trf_end]
    if when != "after":  # spaCy's retokenizer has merged and split the rows of doc.tensor
        check_doc(nlp, doc, "roberta", checkpoint("roberta"))


def test_special_tokens_in_the_text_are_not_boundary_pieces(family, pipeline, checkpoint):
    nlp = pipeline(family)
    doc = nlp("a [SEP] b <s> c </s> d <cls> e <|endoftext|> f")
    n_boundary = oracles.load_plain_tokenizer(checkpoint(family)).num_special_tokens_to_add()
    assert doc._.trf_boundary.sum() == n_boundary * len(get_wordpieces(doc).lengths)
    check_doc(nlp, doc, family, checkpoint(family))


# Long texts


def long_text(n):
    return " ".join(["cat"] * n)


def test_truncated_tokens_have_zero_rows_and_one_warning_counts_them(pipeline, checkpoint):
    nlp = pipeline("gpt2")
    tokenizer = oracles.load_plain_tokenizer(checkpoint("gpt2"))
    per_word = len(tokenizer(" cat")["input_ids"])
    first = len(tokenizer("cat")["input_ids"])
    kept = 1 + (MAX_LENGTH - first) // per_word
    partly = (MAX_LENGTH - first) % per_word > 0
    docs = [nlp.make_doc(long_text(n)) for n in (kept + 7, 3, kept + 2)]
    with pytest.warns(UserWarning, match="TB101") as caught:
        docs = list(nlp.pipe(docs))
    (warning,) = [w for w in caught if "TB101" in str(w.message)]
    n_past = 9 - 2 * partly
    expected = rf"\[TB101\] {n_past} tokens of 2 sentences .* {MAX_LENGTH} wordpieces"
    assert re.match(expected, str(warning.message))
    for doc in docs:
        check_doc(nlp, doc, "gpt2", checkpoint("gpt2"))
        past = doc.tensor[kept + partly :]
        assert not past.any()
        assert doc.tensor[: kept + partly].any(axis=1).all()
        assert all(rows == [] for rows in doc._.trf_alignment[kept + partly :])


def test_each_batch_warns_separately(pipeline):
    nlp = pipeline("bert")
    docs = [long_text(200)] * 4
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        list(nlp.pipe(docs, batch_size=2))
    messages = [str(w.message) for w in caught if "TB101" in str(w.message)]
    assert len(messages) == 2


def test_text_of_exactly_the_maximum_length_is_not_truncated(pipeline, checkpoint):
    tokenizer = oracles.load_plain_tokenizer(checkpoint("bert"))
    per_word = len(tokenizer("a a")["input_ids"]) - len(tokenizer("a")["input_ids"])
    assert per_word == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        doc = pipeline("bert")(" ".join(["a"] * (MAX_LENGTH - 2)))
    assert len(doc._.trf_word_pieces) == MAX_LENGTH
    with pytest.warns(UserWarning, match=r"\[TB101\] 1 tokens of 1 sentences"):
        pipeline("bert")(" ".join(["a"] * (MAX_LENGTH - 1)))


def test_maximum_length_excludes_reserved_positions(pipeline, checkpoint):
    # RoBERTa's table has two more rows than positions.
    for name in ("roberta", "xlm_roberta"):
        assert pipeline(name).get_pipe("trf_wordpiecer").tokenizer.max_length == MAX_LENGTH
    for name in ("xlnet",):
        assert pipeline(name).get_pipe("trf_wordpiecer").tokenizer.max_length is None


EXTREME_TEXTS = [
    "My name is robert " + "contact" * 800 + " My name is robert",
    " \r\n " * 1000,
]


@pytest.mark.parametrize("text", EXTREME_TEXTS, ids=["long-word", "line-breaks"])
@pytest.mark.parametrize("overflow", ["truncate", "window"])
@pytest.mark.filterwarnings("ignore:.*TB101")
def test_extreme_texts(family, pipeline, checkpoint, text, overflow):
    nlp = pipeline(family, overflow=overflow)
    doc = nlp(text)
    assert doc.text == text
    assert doc.tensor.shape == (len(doc), WIDTH)
    assert numpy.isfinite(doc.tensor).all()
    if overflow == "truncate":
        check_doc(nlp, doc, family, checkpoint(family))
    else:
        hidden = doc._.trf_last_hidden_state
        scale = float(abs(hidden).sum())
        numpy.testing.assert_allclose(
            doc.tensor.sum(axis=0), hidden.sum(axis=0), atol=1e-6 * scale, rtol=1e-3
        )


# Batches and streams


@pytest.mark.parametrize("batch_size", [1, 2, 7, 64])
def test_batch_size_does_not_matter(family, pipeline, batch_size):
    nlp = pipeline(family, overflow="window")
    docs = list(nlp.pipe(TEXTS, batch_size=batch_size))
    assert [doc.text for doc in docs] == TEXTS
    for doc, text in zip(docs[:9], TEXTS[:9], strict=True):
        assert_same_docs(doc, nlp(text))


@pytest.mark.parametrize("words_per_batch", [0, 1, 20, 3000])
@pytest.mark.filterwarnings("ignore:.*TB101")
def test_words_per_batch_does_not_matter(pipeline, words_per_batch):
    docs = pipeline("bert", words_per_batch=words_per_batch).pipe(TEXTS[:9])
    for doc, text in zip(docs, TEXTS[:9], strict=True):
        assert_same_docs(doc, pipeline("bert")(text))


def test_empty_stream(pipeline):
    assert list(pipeline("bert").pipe([])) == []
    for name in ("trf_wordpiecer", "trf_tok2vec"):
        assert list(pipeline("bert").get_pipe(name).pipe([])) == []


def test_pipe_keeps_the_order(pipeline):
    ordered = [" ".join(["a"] * (i * 7 % 11)) for i in range(40)]
    assert [doc.text for doc in pipeline("bert").pipe(ordered, batch_size=16)] == ordered


@pytest.mark.filterwarnings("ignore:.*(TB101|W109)")
def test_two_processes_give_the_same_docs(pipeline):
    nlp = pipeline("bert")
    expected = [nlp(text) for text in TEXTS[:9]]
    docs = list(nlp.pipe(TEXTS[:9], n_process=2, batch_size=2))
    for doc, expected_doc in zip(docs, expected, strict=True):
        assert_same_docs(doc, expected_doc)


def test_pipe_as_tuples(pipeline):
    pairs = list(pipeline("bert").pipe([("One.", 1), ("", 2)], as_tuples=True))
    assert [(doc.text, context) for doc, context in pairs] == [("One.", 1), ("", 2)]
    assert all(doc.tensor.shape == (len(doc), WIDTH) for doc, _ in pairs)


def test_disabled_tok2vec_stores_no_outputs(pipeline):
    nlp = pipeline("bert")
    with nlp.select_pipes(disable=["trf_tok2vec"]):
        doc = nlp("One.")
    assert doc._.trf_word_pieces is not None
    assert doc._.trf_outputs is None
    assert doc._.trf_last_hidden_state is None
    assert not doc.tensor.size
    assert nlp("One.")._.trf_outputs is not None


def test_doc_without_wordpieces_is_rejected(pipeline):
    nlp = pipeline("bert")
    with (
        nlp.select_pipes(disable=["trf_wordpiecer"]),
        pytest.raises(ValueError, match=r"\[TB011\] .* 2 tokens .*trf_wordpiecer"),
    ):
        nlp("One.")


@pytest.mark.parametrize("method", ["call", "pipe"])
@pytest.mark.parametrize("broken", ["trf_wordpiecer", "trf_tok2vec"])
def test_error_handler_gets_the_docs_that_failed(fresh, monkeypatch, method, broken):
    nlp = fresh("bert")
    component = nlp.get_pipe(broken)
    predict, seen = component.predict, []

    def fail_on_bad(docs):
        docs = list(docs)
        if any(doc.text == "bad" for doc in docs):
            raise ValueError("no")
        return predict(docs)

    monkeypatch.setattr(component, "predict", fail_on_bad)
    nlp.set_error_handler(lambda name, proc, docs, error: seen.append((name, docs[0].text, error)))
    given = ["good", "bad", "good"]
    if method == "pipe":
        docs = list(nlp.pipe(given, batch_size=1))
        assert [doc.text for doc in docs] == ["good", "good"]
    elif broken == "trf_wordpiecer":
        docs = [component(nlp.make_doc(text)) for text in given]
    else:
        wordpiecer = nlp.get_pipe("trf_wordpiecer")
        docs = [component(wordpiecer(nlp.make_doc(text))) for text in given]
    ((name, text, error),) = seen
    assert (name, text, str(error)) == (broken, "bad", "no")


def test_errors_are_raised_without_a_handler(fresh, monkeypatch):
    nlp = fresh("bert")

    def fail(docs):
        raise ValueError("no")

    monkeypatch.setattr(nlp.get_pipe("trf_wordpiecer"), "predict", fail)
    with pytest.raises(ValueError, match="no"):
        nlp("One.")
    with pytest.raises(ValueError, match="no"):
        list(nlp.pipe(["One."]))


def test_sixteen_threads_on_one_pipeline(pipeline):
    nlp = pipeline("bert", overflow="window")
    expected = {text: nlp(text) for text in TEXTS[:9]}
    with ThreadPoolExecutor(16) as pool:
        docs = list(pool.map(nlp, TEXTS[:9] * 16))
    assert len(docs) == 16 * 9
    for doc in docs:
        assert_same_docs(doc, expected[doc.text])


def test_doc_does_not_keep_its_batch_in_memory(pipeline):
    docs = list(pipeline("bert", output_hidden_states=True).pipe(["One.", "Two. " * 40]))
    record = docs[0]._.trf_outputs
    for array in (record.last_hidden_state, record.pooler_output, record.hidden_states):
        base = array if array.base is None else array.base
        assert getattr(base, "nbytes", array.nbytes) <= array.nbytes


def test_predict_does_not_change_the_doc(pipeline):
    nlp = pipeline("bert")
    doc = nlp("Apple pie.")
    before, tensor = dict(doc.user_data), doc.tensor.copy()
    nlp.get_pipe("trf_wordpiecer").predict([doc])
    nlp.get_pipe("trf_tok2vec").predict([doc])
    assert doc.user_data.keys() == before.keys()
    assert all(doc.user_data[key] is before[key] for key in before)
    assert numpy.array_equal(doc.tensor, tensor)


def test_running_twice_gives_the_same_rows(pipeline):
    nlp = pipeline("bert")
    doc = nlp("Apple pie is delicious.")
    tensor = doc.tensor.copy()
    for name in ("trf_wordpiecer", "trf_tok2vec"):
        doc = nlp.get_pipe(name)(doc)
    assert numpy.array_equal(doc.tensor, tensor)


def test_pipelines_do_not_affect_each_other(pipeline):
    bert, roberta = pipeline("bert"), pipeline("roberta")
    before = bert("Apple pie.").tensor
    roberta("Apple pie.")
    assert numpy.array_equal(bert("Apple pie.").tensor, before)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_memory_of_processed_docs_is_freed(pipeline):
    nlp = pipeline("bert")
    list(nlp.pipe(["Apple pie."] * 8))
    gc.collect()
    before = sum(isinstance(o, numpy.ndarray) for o in gc.get_objects())
    for _ in nlp.pipe(["Apple pie."] * 200, batch_size=8):
        pass
    gc.collect()
    after = sum(isinstance(o, numpy.ndarray) for o in gc.get_objects())
    assert after <= before + 8


def test_pipe_analysis_finds_missing_attributes():
    nlp = spacy.blank("en")
    nlp.add_pipe("trf_tok2vec")
    assert nlp.analyze_pipes()["problems"]["trf_tok2vec"] == ["doc._.trf_word_pieces"]
    nlp.add_pipe("trf_wordpiecer", before="trf_tok2vec")
    assert nlp.analyze_pipes()["problems"]["trf_tok2vec"] == []
