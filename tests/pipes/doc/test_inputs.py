"""Inputs of the model: sentences, whole Docs, packed sentences, Spans returned by a function."""

from __future__ import annotations

import pickle
import warnings
from itertools import pairwise

import numpy
import oracles
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.cli import app
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from thinc.api import Config
from tiny import MAX_LENGTH
from typer.testing import CliRunner

from trf_bridge.pipes.doc.inputs import find_inputs
from trf_bridge.pipes.doc.records import get_wordpieces
from trf_bridge.pipes.doc.sentences import PackedSentences
from trf_bridge.pipes.wordpiecer import TrfWordpiecer

PACKED = {"@misc": "trf_bridge.packed_sentences.v1", "max_tokens": 8}
PARAGRAPHS = {"@misc": "test_trf_bridge.paragraphs.v1"}
TEXT = "One. Two more. And three of them.\n\nFour is enough. Or is it?\n\nNo."

# The inputs for TEXT, with the sentencizer.
SENTS = ["One.", "Two more.", "And three of them.", "\n\nFour is enough.", "Or is it?", "\n\nNo."]
INPUTS = {
    "sents": SENTS,
    "doc": [TEXT],
    "packed": ["One. Two more.", *SENTS[2:4], "Or is it?\n\nNo."],
    "paragraphs": ["One. Two more. And three of them.", "Four is enough. Or is it?", "No."],
}
OPTIONS = {"sents": "sents", "doc": "doc", "packed": PACKED, "paragraphs": PARAGRAPHS}


def find_paragraphs(docs):
    """Return the Spans between blank lines, which are in no Span themselves."""
    spans = []
    for doc in docs:
        breaks = [-1, *(token.i for token in doc if token.is_space), len(doc)]
        spans.append([doc[a + 1 : b] for a, b in pairwise(breaks)])
    return spans


@spacy.registry.misc("test_trf_bridge.paragraphs.v1")
def make_paragraphs():
    return find_paragraphs


def input_texts(doc):
    """Return the texts of the inputs of a Doc."""
    return [doc.text[a:b] for a, b in get_wordpieces(doc).spans.tolist()]


@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize("family", ["bert", "roberta", "xlnet"])
def test_inputs_follow_the_option(fresh, checkpoint, family, name):
    """Each input is the raw text of its Span, independent of the other inputs."""
    import torch

    nlp = fresh(family, sentences=OPTIONS[name])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        doc = nlp(TEXT)
    assert input_texts(doc) == INPUTS[name]
    assert [segment.text for segment in doc._.trf_segments] == INPUTS[name]
    tokenizer = oracles.load_plain_tokenizer(checkpoint(family))
    plain = oracles.load_plain(family, checkpoint(family)).eval()
    states = []
    for text in INPUTS[name]:
        encoded = tokenizer(text)
        with torch.no_grad():
            run = oracles.run_plain(plain, encoded["input_ids"], encoded.get("token_type_ids"))
        states.append(run.last_hidden_state[0])
    numpy.testing.assert_allclose(
        doc._.trf_last_hidden_state, torch.cat(states), atol=1e-5, rtol=1e-5
    )
    (again,) = nlp.pipe([TEXT])
    assert input_texts(again) == INPUTS[name]


@pytest.mark.parametrize("name", ["sentences", "docs"])
def test_strings_equal_their_registered_functions(pipeline, name):
    nlp = pipeline("bert")
    docs = [nlp(TEXT), nlp.make_doc(TEXT), nlp.make_doc("")]
    function = spacy.registry.misc.get(f"trf_bridge.{name}.v1")()
    option = {"sentences": "sents", "docs": "doc"}[name]
    named, called = (find_inputs(docs, given, None, "x") for given in (option, function))
    assert [doc.spans.tolist() for doc in named] == [doc.spans.tolist() for doc in called]
    assert [len(doc.spans) for doc in named] == [len(INPUTS[option])] * 2 + [0]


@given(
    lengths=st.lists(st.integers(1, 6), max_size=9),
    max_tokens=st.integers(1, 12),
)
def test_packing_is_greedy_and_keeps_sentences_whole(lengths, max_tokens):
    starts = [i == 0 for n in lengths for i in range(n)]
    doc = Doc(spacy.blank("en").vocab, words=["a"] * len(starts), sent_starts=starts)
    (packed,) = PackedSentences(max_tokens)([doc])
    expected = []
    for n in lengths:
        if expected and sum(expected[-1]) + n <= max_tokens:
            expected[-1].append(n)
        else:
            expected.append([n])
    assert [[len(s) for s in span.sents] for span in packed if len(span)] == expected


def test_packing_without_sentences_returns_the_whole_doc():
    doc = Doc(spacy.blank("en").vocab, words=["a"] * 9)
    assert [len(span) for span in PackedSentences(3)([doc])[0]] == [9]


def test_packing_does_not_cross_gaps_between_sentences():
    doc = Doc(spacy.blank("en").vocab, words=["a"] * 9)
    doc.user_hooks["sents"] = lambda doc: iter([doc[0:2], doc[3:5], doc[5:7]])
    (packed,) = PackedSentences(9)([doc])
    assert [(span.start, span.end) for span in packed] == [(0, 2), (3, 7)]


# Training


def texts_of_update(nlp, *examples):
    """Update the pipeline, and return the texts of the inputs of each Doc."""
    wordpiecer, seen = nlp.get_pipe("trf_wordpiecer"), []
    set_annotations = wordpiecer.set_annotations

    def spy(docs, wordpieces):
        set_annotations(docs, wordpieces)
        seen.extend(docs)

    wordpiecer.set_annotations = spy
    with nlp.select_pipes(disable=["trf_tok2vec"]):
        nlp.update([Example(*example) for example in examples])
    del wordpiecer.set_annotations
    return [input_texts(doc) for doc in seen]


@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize("boundaries", ["sentencizer", "reference", "predicted"])
def test_training_has_the_inputs_of_prediction(fresh, name, boundaries):
    nlp = fresh("bert", sentences=OPTIONS[name])
    predicted, reference = nlp.make_doc(TEXT), nlp.make_doc(TEXT)
    sentencizer = nlp.get_pipe("sentencizer")
    if boundaries != "sentencizer":
        sentencizer(reference if boundaries == "reference" else predicted)
        nlp.remove_pipe("sentencizer")
    empty = nlp.make_doc("")
    texts = texts_of_update(nlp, (predicted, reference), (empty, empty))
    assert texts == [INPUTS[name], []]
    assert predicted.has_annotation("SENT_START") == (boundaries == "predicted")


def test_boundaries_of_the_reference_are_ignored(fresh):
    """Prediction does not have them. To train on them, set them on the predicted Docs."""
    nlp = fresh("bert")
    nlp.remove_pipe("sentencizer")
    reference = nlp.make_doc(TEXT)
    for token in reference:
        token.is_sent_start = token.i % 2 == 0
    assert texts_of_update(nlp, (nlp.make_doc(TEXT), reference)) == [INPUTS["sents"]]


@pytest.mark.parametrize(
    "text", [TEXT, "", " ", "\n", "a", "...", "Hi! ... Why?? no", "Ça va。好。"]
)
def test_docs_without_boundaries_are_split_like_the_sentencizer(pipeline, text):
    nlp = pipeline("bert")
    with_boundaries = nlp(text)
    with nlp.select_pipes(disable=["sentencizer"]):
        without = nlp(text)
    assert not any(token.is_sent_start for token in without[1:])
    assert input_texts(without) == input_texts(with_boundaries)
    assert numpy.array_equal(without.tensor, with_boundaries.tensor)


def test_function_receives_predicted_docs_with_boundaries(fresh):
    nlp = fresh("bert")
    nlp.remove_pipe("sentencizer")
    seen = []

    def spy(docs):
        seen.extend(docs)
        return [list(doc.sents) for doc in docs]

    nlp.get_pipe("trf_wordpiecer").sentences = spy
    predicted, reference = nlp.make_doc("Yes. b c"), nlp.make_doc("Yes. b c")
    reference.ents = [reference.char_span(0, 3, "X")]
    assert texts_of_update(nlp, (predicted, reference)) == [["Yes.", "b c"]]
    (doc,) = seen
    assert [bool(token.is_sent_start) for token in doc] == [True, False, True, False]
    assert doc.ents == ()
    assert not predicted.has_annotation("SENT_START")


@pytest.mark.parametrize("annotating", [False, True])
@pytest.mark.parametrize(
    ("factory", "config", "sentences", "warned"),
    [
        ("sentencizer", {}, "sents", False),
        ("trf_sentencizer", {}, "sents", False),
        ("trf_sentencizer", {"punct_chars": [";"]}, "sents", True),
        ("sentencizer", {"punct_chars": [";"]}, "sents", True),
        ("sentencizer", {"punct_chars": [";"]}, "doc", False),
        ("senter", {}, "sents", True),
        ("senter", {}, PACKED, True),
    ],
)
def test_boundaries_of_a_component_that_does_not_annotate_warn(
    checkpoint, factory, config, sentences, warned, annotating
):
    nlp = spacy.blank("en")
    nlp.add_pipe(factory, name="splitter", config=config)
    settings = {"trf_name": str(checkpoint("bert")), "sentences": sentences}
    nlp.add_pipe("trf_wordpiecer", config=settings)
    if annotating:
        nlp.config["training"]["annotating_components"] = ["splitter"]
    example = Example.from_dict(
        nlp.make_doc("a b"), {"words": ["a", "b"], "sent_starts": [True, False]}
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        nlp.initialize(lambda: [example])
    found = [str(w.message) for w in caught if "[TB109]" in str(w.message)]
    assert len(found) == (warned and not annotating)
    assert all("'splitter'" in message and "annotating_components" in message for message in found)


# Tokens without an input, and invalid values


def test_tokens_outside_of_all_spans_have_zero_rows_and_are_counted(fresh):
    nlp = fresh("bert")
    nlp.get_pipe("trf_wordpiecer").sentences = lambda docs: [
        [span for span in doc.sents if "Four" not in span.text] for doc in docs
    ]
    with pytest.warns(UserWarning, match=r"\[TB105\] 8 tokens of 2 Docs.*'trf_wordpiecer'"):
        docs = list(nlp.pipe([TEXT, "One.", TEXT]))
    (omitted,) = (sent for sent in docs[0].sents if "Four" in sent.text)
    for token in docs[0]:
        is_omitted = omitted.start <= token.i < omitted.end
        assert bool(docs[0].tensor[token.i].any()) != is_omitted
        assert bool(token._.trf_alignment) != is_omitted


def test_function_that_returns_no_spans_gives_no_inputs(fresh):
    nlp = fresh("bert")
    nlp.get_pipe("trf_wordpiecer").sentences = lambda docs: [[] for _ in docs]
    with pytest.warns(UserWarning, match=r"\[TB105\] 2 tokens of 1 Docs"):
        doc = nlp("One.")
    assert not doc.tensor.any()
    assert doc.tensor.shape[0] == 2
    assert input_texts(doc) == []


@pytest.mark.parametrize(
    ("function", "error", "got"),
    [
        (lambda docs: None, TypeError, "NoneType"),
        (lambda docs: docs[:1] and [None for _ in docs], TypeError, "list"),
        (lambda docs: [list(doc.sents) for doc in docs[1:]], ValueError, "1 lists"),
        (lambda docs: [[(0, 1)] for _ in docs], TypeError, "a tuple in a list"),
        (lambda docs: [[docs[0][:]] for _ in docs], ValueError, "a Span of another Doc"),
    ],
)
def test_invalid_return_values_are_rejected(pipeline, function, error, got):
    nlp = pipeline("bert")
    docs = [nlp(TEXT), nlp("One.")]
    with pytest.raises(error, match=rf"\[TB035\] .*'piecer'.* 2 Docs.*got {got}\."):
        find_inputs(docs, function, None, "piecer")


@pytest.mark.parametrize("ranges", [[(0, 3), (2, 4)], [(2, 4), (0, 1)], [(0, 1), (0, 1)]])
def test_unordered_and_overlapping_spans_are_rejected(pipeline, ranges):
    doc = pipeline("bert").make_doc(TEXT)
    with pytest.raises(ValueError, match=r"\[TB036\] .*'piecer' returned the tokens \d to \d and"):
        find_inputs([doc], lambda docs: [[docs[0][a:b] for a, b in ranges]], None, "piecer")


@pytest.mark.parametrize(("sentences", "error"), [("sent", ValueError), (3, TypeError)])
def test_invalid_sentences_option_is_rejected(sentences, error):
    with pytest.raises(error, match=r"\[TB008\] Unknown sentences: .*'sents', 'doc'"):
        TrfWordpiecer(spacy.blank("en").vocab, sentences=sentences)


@pytest.mark.parametrize(
    ("length", "error"), [(0, ValueError), (True, TypeError), ("8", TypeError)]
)
def test_invalid_lengths_are_rejected(length, error):
    with pytest.raises(error, match=r"\[TB009\] .*'max_tokens'"):
        PackedSentences(length)
    with pytest.raises(error, match=r"\[TB009\] .*'max_length'"):
        TrfWordpiecer(spacy.blank("en").vocab, max_length=length)


# Saving


@pytest.mark.parametrize("name", INPUTS)
def test_option_is_saved_with_the_pipeline(fresh, tmp_path, name):
    nlp = fresh("bert", sentences=OPTIONS[name], window_rows="mean", max_length=47)
    nlp.to_disk(tmp_path)
    expected = nlp(TEXT)
    loaded = spacy.load(tmp_path)
    from_bytes = spacy.blank("en").from_config(nlp.config).from_bytes(nlp.to_bytes())
    for other in (loaded, from_bytes, pickle.loads(pickle.dumps(nlp))):
        doc = other(TEXT)
        assert input_texts(doc) == INPUTS[name]
        assert numpy.array_equal(doc.tensor, expected.tensor)
        wordpiecer = other.get_pipe("trf_wordpiecer")
        assert wordpiecer.window_rows == "mean"
        assert wordpiecer.tokenizer.limit == 47
    assert loaded.config == nlp.config
    docs = list(nlp.pipe([TEXT] * 4, n_process=2, batch_size=2))
    assert [input_texts(doc) for doc in docs] == [INPUTS[name]] * 4


# Maximum length of an input


def test_max_length_below_that_of_the_model(pipeline, checkpoint):
    nlp = pipeline("bert", max_length=10)
    plain = oracles.load_plain_tokenizer(checkpoint("bert"))
    text = "a b c d e f g h i j k"
    with pytest.warns(UserWarning, match=r"\[TB101\] 3 tokens .* the maximum of 10 wordpieces"):
        doc = nlp(text)
    expected = plain(text, truncation=True, max_length=10)["input_ids"]
    assert doc._.trf_word_pieces.tolist() == expected
    lengths = get_wordpieces(pipeline("bert", max_length=10, overflow="window")(text)).runs.lengths
    assert lengths.max() == lengths[0] == 10


@pytest.mark.parametrize("family", ["bert", "t5"])
def test_max_length_above_that_of_the_model_is_reduced(pipeline, family):
    nlp = pipeline(family, max_length=10_000)
    assert nlp.get_pipe("trf_wordpiecer").tokenizer.limit == MAX_LENGTH


@pytest.mark.filterwarnings("ignore:.*TB101")
def test_model_without_a_maximum_has_a_default_limit(pipeline, fresh):
    text = "a " * 5000
    for nlp, limit in [(pipeline("xlnet"), 4096), (pipeline("xlnet", max_length=4500), 4500)]:
        tokenizer = nlp.get_pipe("trf_wordpiecer").tokenizer
        assert tokenizer.limit == limit
        doc = nlp.get_pipe("trf_wordpiecer")(nlp.make_doc(text))
        assert len(doc._.trf_word_pieces) == limit


def test_max_length_of_a_saved_pipeline_can_be_changed(fresh, tmp_path):
    fresh("bert", max_length=20).to_disk(tmp_path)
    for given_length, limit in [(12, 12), (None, MAX_LENGTH), (30, 30)]:
        config = {"components": {"trf_wordpiecer": {"max_length": given_length}}}
        nlp = spacy.load(tmp_path, config=config)
        assert nlp.get_pipe("trf_wordpiecer").tokenizer.limit == limit


@pytest.mark.parametrize(("family", "least"), [("bert", 3), ("t5", 2), ("gpt2", 1)])
def test_max_length_without_room_for_text_is_rejected(fresh, family, least):
    if least > 1:
        with pytest.raises(ValueError, match=rf"\[TB034\] .* max_length .* at least {least}\."):
            fresh(family, max_length=least - 1)
    nlp = fresh(family, max_length=least, overflow="window")
    assert nlp("a b").tensor.any(axis=1).all()


FUNCTION = """
import spacy

@spacy.registry.misc("test_trf_bridge.chunks.v1")
def make_chunks(size: int):
    def chunks(docs):
        return [[doc[i : i + size] for i in range(0, len(doc), size)] for doc in docs]
    return chunks
"""


def test_user_function_with_fill_config_and_train(checkpoint, tmp_path):
    def invoke(*args):
        result = CliRunner().invoke(app, [str(arg) for arg in args])
        assert result.exit_code == 0, result.output + repr(result.exception)

    nlp = spacy.blank("en")
    docs = [nlp(text) for text in ("the tide had gone out", "the boats", "apple pie is good")]
    for i, doc in enumerate(docs):
        doc.cats = {"A": float(i % 2), "B": float(1 - i % 2)}
    DocBin(docs=docs).to_disk(tmp_path / "data.spacy")
    code = tmp_path / "functions.py"
    code.write_text(FUNCTION)
    trf_name = str(checkpoint("bert"))
    chunks = {"@misc": "test_trf_bridge.chunks.v1", "size": 2}
    components = {
        "trf_wordpiecer": {"factory": "trf_wordpiecer", "sentences": chunks},
        "trf_tok2vec": {
            "factory": "trf_tok2vec",
            "model": {"@architectures": "trf_bridge.TransformerModel.v1", "trf_name": trf_name},
        },
        "trf_textcat": {"factory": "trf_textcat"},
    }
    reader = {"@readers": "spacy.Corpus.v1", "path": str(tmp_path / "data.spacy")}
    config = {
        "nlp": {"lang": "en", "pipeline": list(components)},
        "components": components,
        "corpora": {"train": reader, "dev": reader},
        "training": {"max_steps": 2, "eval_frequency": 1, "gpu_allocator": None},
    }
    given_file, filled = tmp_path / "given.cfg", tmp_path / "filled.cfg"
    Config(config).to_disk(given_file)
    invoke("init", "fill-config", given_file, filled, "--code", code)
    wordpiecer = Config().from_disk(filled, interpolate=False)["components"]["trf_wordpiecer"]
    assert wordpiecer["sentences"] == chunks
    assert wordpiecer["max_length"] is None
    assert wordpiecer["window_rows"] == "most_context"
    invoke("debug", "config", filled, "--code", code)
    invoke("train", filled, "--output", tmp_path / "trained", "--code", code)
    doc = spacy.load(tmp_path / "trained" / "model-last")("the boats had gone out")
    assert input_texts(doc) == ["the boats", "had gone", "out"]
    assert set(doc.cats) == {"A", "B"}


def test_fill_config_adds_defaults_of_a_registered_function(tmp_path):
    block = {"@misc": "trf_bridge.packed_sentences.v1"}
    component = {"factory": "trf_wordpiecer", "sentences": block}
    config = {
        "nlp": {"lang": "en", "pipeline": ["trf_wordpiecer"]},
        "components": {"trf_wordpiecer": component},
    }
    Config(config).to_disk(tmp_path / "given.cfg")
    args = ["init", "fill-config", str(tmp_path / "given.cfg"), str(tmp_path / "filled.cfg")]
    assert CliRunner().invoke(app, args).exit_code == 0
    filled = Config().from_disk(tmp_path / "filled.cfg")["components"]["trf_wordpiecer"]
    assert filled["sentences"] == {**block, "max_tokens": 128}
