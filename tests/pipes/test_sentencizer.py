"""`trf_sentencizer`: the boundaries of spaCy's sentencizer, and everything else that it has."""

from __future__ import annotations

from unittest.mock import patch

import numpy
import pytest
import real_data
import spacy
from hypothesis import example, given
from hypothesis import strategies as st
from spacy.language import Language
from spacy.pipeline import Sentencizer
from spacy.tokens import Doc
from spacy.training import Example
from spacy.vocab import Vocab

import trf_bridge
from trf_bridge.pipes import sentencizer as module
from trf_bridge.pipes.doc.sentences import SentenceRules, sentence_bounds
from trf_bridge.pipes.sentencizer import TrfSentencizer

BLANK = spacy.blank("xx")
TEXT = "One. Two more! (Is it?) No."

# Ends of sentences in several scripts, other punctuation, texts that only contain an end, spaces.
ENDS = sorted(Sentencizer.default_punct_chars)
OTHERS = [
    *["...", "?!", "a.", ".a", '"', ")", "»", ",", "、", "¡", "-", "'"],
    *["a", "Ä", "好", "ก", "7", "$", " ", "\n", "\t\n", "\u3000", "ORTH", "\u0301", "😀"],
]
# Arrays in any case, and spaCy's own loop in any case.
WAYS = [0, 1 << 30]

words = st.lists(
    st.one_of(
        st.sampled_from([".", "?", "।", "。", '"', "a"]),
        st.sampled_from(OTHERS),
        st.sampled_from(ENDS),
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=3),
    ),
    max_size=12,
)


@st.composite
def docs_with_boundaries(draw):
    """Draw words of several Docs of one vocab, whose flags a user may have changed."""
    vocab = Vocab()
    vocab.lex_attr_getters = BLANK.vocab.lex_attr_getters
    docs = []
    for texts in draw(st.lists(words, max_size=5)):
        starts = st.sampled_from([None, None, True, False])
        values = draw(st.one_of(st.none(), st.lists(starts, min_size=len(texts), max_size=12)))
        docs.append((texts, None if values is None else values[: len(texts)]))
    for text in {text for texts, _ in docs for text in texts}:
        lexeme = vocab[text]
        if draw(st.integers(0, 4)) == 0:
            lexeme.is_punct = not lexeme.is_punct
    return [Doc(vocab, words=texts, sent_starts=starts) for texts, starts in docs]


def boundaries(doc):
    return [token.is_sent_start for token in doc]


def punct_chars():
    return st.one_of(st.none(), st.lists(st.sampled_from([*ENDS[:3], *OTHERS]), max_size=4))


@given(docs_with_boundaries(), punct_chars())
def test_rules_are_those_of_spacy(docs, chars):
    spacys = Sentencizer(punct_chars=chars)
    rules = SentenceRules(spacys.punct_chars)
    assert rules.predict(docs) == spacys.predict(docs)


@given(docs_with_boundaries(), punct_chars(), st.booleans(), st.sampled_from(WAYS))
def test_boundaries_are_those_of_spacy(docs, chars, overwrite, few_tokens):
    """Boundaries that are set remain, unless they are overwritten; nothing else changes."""
    spacys = Sentencizer(punct_chars=chars, overwrite=overwrite)
    ours = TrfSentencizer(punct_chars=chars, overwrite=overwrite)
    for doc in docs:
        doc.user_data["kept"] = len(doc)
    copies = [doc.copy() for doc in docs]
    with patch.object(module, "FEW_TOKENS", few_tokens):
        assert ours.predict(docs) == spacys.predict(docs)
        streamed = list(ours.pipe((doc.copy() for doc in docs), batch_size=3))
        called = [ours(doc) for doc in docs]
    for doc, in_stream, other in zip(called, streamed, map(spacys, copies), strict=True):
        assert boundaries(doc) == boundaries(in_stream) == boundaries(other)
        assert doc.to_bytes() == in_stream.to_bytes() == other.to_bytes()


def test_a_call_returns_the_same_doc():
    doc = BLANK(TEXT)
    assert TrfSentencizer()(doc) is doc
    assert [sentence.text for sentence in doc.sents] == ["One.", "Two more! (", "Is it?)", "No."]


@pytest.mark.parametrize("few_tokens", WAYS)
def test_characters_can_be_changed(few_tokens):
    ours, spacys = TrfSentencizer(), Sentencizer()
    docs = [BLANK("a; b. c"), BLANK("d; e")]
    with patch.object(module, "FEW_TOKENS", few_tokens):
        for change in (lambda chars: chars.add(";"), lambda chars: chars.discard(".")):
            assert ours.predict(docs) == spacys.predict(docs)
            change(ours.punct_chars)
            change(spacys.punct_chars)
        assert ours.predict(docs) == spacys.predict(docs) != Sentencizer().predict(docs)
        ours.punct_chars = spacys.punct_chars = set()
        assert ours.predict(docs) == spacys.predict(docs)
    assert TrfSentencizer().punct_chars == Sentencizer().punct_chars


def test_factory_has_the_settings_of_spacys():
    ours, spacys = map(Language.get_factory_meta, ("trf_sentencizer", "sentencizer"))
    for name in ("assigns", "requires", "retokenizes", "default_config", "default_score_weights"):
        assert getattr(ours, name) == getattr(spacys, name)
    nlp = spacy.blank("en")
    config = {"punct_chars": [";"], "overwrite": True}
    component = nlp.add_pipe("trf_sentencizer", config=config)
    assert isinstance(component, TrfSentencizer)
    assert isinstance(component, Sentencizer)
    assert (component.punct_chars, component.overwrite) == ({";"}, True)
    other = spacy.blank("en")
    other.add_pipe("sentencizer", config=config)
    examples = [
        Example.from_dict(nlp.make_doc("a; b . c"), {"sent_starts": [1, -1, 1, -1, -1]}),
    ]
    assert nlp.evaluate(examples)["sents_f"] == other.evaluate(examples)["sents_f"] == 1.0


@pytest.mark.parametrize("saving", ["disk", "bytes"])
@pytest.mark.parametrize("kind", ["ours by spaCy", "spaCy's by ours"])
def test_files_are_those_of_spacy(tmp_path, saving, kind):
    classes = [TrfSentencizer, Sentencizer]
    saved, loaded = classes if kind == "ours by spaCy" else classes[::-1]
    one, two = saved(punct_chars=["a", "好"], overwrite=True), loaded()
    if saving == "disk":
        one.to_disk(tmp_path / "sentencizer")
        two.from_disk(tmp_path / "sentencizer")
    else:
        two.from_bytes(one.to_bytes())
    assert (two.punct_chars, two.overwrite) == ({"a", "好"}, True)
    docs = [BLANK("b a 好 c. d")] * 20
    assert two.predict(docs) == one.predict(docs)


@pytest.mark.parametrize("raises", [False, True])
def test_errors_are_handled_as_by_spacy(raises):
    """The error handler receives the object that is not a Doc, and the Docs around it remain."""
    results = []
    for component in (TrfSentencizer(), Sentencizer()):
        handled = []

        def handle(name, pipe, docs, error, handled=handled):
            handled.append((name, pipe.name, docs, type(error)))
            if raises:
                raise error

        component.set_error_handler(handle)
        stream = [BLANK("one. two"), "not a Doc", BLANK("three. four")]
        seen = []
        try:
            seen.extend(component.pipe(stream))
            seen.append(component("not a Doc either"))
        except AttributeError as error:
            seen.append(type(error))
        texts = [boundaries(doc) if isinstance(doc, Doc) else doc for doc in seen]
        results.append((handled, texts))
    assert results[0] == results[1]
    assert len(results[0][0]) == 2  # spaCy calls a handler that raises an error twice


def test_pipelines_have_it_under_the_name_of_spacys(checkpoint):
    nlp = trf_bridge.from_pretrained(checkpoint("bert"))
    assert nlp.pipe_factories["sentencizer"] == "trf_sentencizer"
    assert type(nlp.get_pipe("sentencizer")) is TrfSentencizer


def test_pipelines_with_spacys_sentencizer_load(checkpoint, tmp_path):
    nlp = trf_bridge.from_pretrained(checkpoint("bert"))
    expected = nlp(TEXT)
    nlp.replace_pipe("sentencizer", "sentencizer")
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    assert type(loaded.get_pipe("sentencizer")) is Sentencizer
    doc = loaded(TEXT)
    assert boundaries(doc) == boundaries(expected)
    assert numpy.array_equal(doc.tensor, expected.tensor)


# The sentences that the wordpiecer reads


def expected_bounds(doc):
    """Return the sentences of a Doc with spaCy's own means; its sentencizer where it has none."""
    if not len(doc):
        return []
    if "sents" not in doc.user_hooks and not doc.has_annotation("SENT_START"):
        doc = Sentencizer()(doc.copy())
    return [(sentence.start, sentence.end) for sentence in doc.sents]


@given(docs_with_boundaries(), st.booleans())
@example([], False)
@example([BLANK("One. Two"), BLANK("a b c")], True)
def test_sentences_are_those_of_each_doc(docs, is_hooked):
    for doc in docs[-1:] if is_hooked else []:
        doc.user_hooks["sents"] = lambda doc: [doc[i : i + 1] for i in range(0, len(doc), 2)]
    bounds, n_sentences = sentence_bounds(docs)
    expected = [expected_bounds(doc) for doc in docs]
    firsts = numpy.cumsum([0, *map(len, docs)]).tolist()
    joined = [
        (first + a, first + b)
        for first, of_doc in zip(firsts, expected, strict=False)
        for a, b in of_doc
    ]
    assert list(map(tuple, bounds.tolist())) == joined
    assert n_sentences.tolist() == [len(of_doc) for of_doc in expected]


@pytest.mark.shared
@pytest.mark.parametrize("lang", ["en", "ar", "hi", "ru", "th", "zh"])
def test_real_texts_are_split_as_by_spacy(lang):
    docs = [BLANK(text) for text in [*real_data.paragraphs(lang), *real_data.naughty_strings()]]
    assert TrfSentencizer().predict(docs) == Sentencizer().predict(docs)


@pytest.mark.shared
@pytest.mark.parametrize("name", ["en_ewt", "de_gsd", "zh_gsd"])
def test_treebanks_are_split_as_by_spacy(name):
    sentences = [Doc(BLANK.vocab, words, spaces) for words, spaces in real_data.treebank(name)]
    docs = [Doc.from_docs(sentences[i : i + 5]) for i in range(0, len(sentences), 5)]
    assert TrfSentencizer().predict(docs) == Sentencizer().predict(docs)
