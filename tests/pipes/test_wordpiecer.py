"""The component that splits Docs into wordpieces."""

from __future__ import annotations

from types import SimpleNamespace
from typing import ClassVar

import numpy
import oracles
import pytest
import spacy
from spacy.training import Example

from trf_bridge.pipes.doc.inputs import find_inputs
from trf_bridge.pipes.doc.records import get_wordpieces

TEXT = "Apple pie is delicious. Is it? Yes."


def wordpiecer_of(nlp):
    return nlp.get_pipe("trf_wordpiecer")


def test_offsets_and_spans_are_positions_in_the_doc(family, pipeline):
    nlp = pipeline(family)
    docs = list(nlp.pipe([TEXT, "", "\n\n", TEXT + TEXT]))
    for doc in docs:
        pieces = get_wordpieces(doc)
        sents = [[s.start_char, s.end_char] for s in doc.sents]
        assert pieces.spans.tolist() == sents
        start = 0
        for n, (first, last) in zip(pieces.lengths.tolist(), sents, strict=True):
            inside = ~pieces.boundary[start : start + n]
            offsets = pieces.offsets[start : start + n][inside]
            assert (offsets >= first).all()
            assert (offsets <= last).all()
            start += n
        assert start == len(pieces)


def test_each_sentence_is_tokenized_alone(family, pipeline, checkpoint):
    plain = oracles.load_plain_tokenizer(checkpoint(family))
    doc = pipeline(family)(TEXT)
    expected = [i for sent in doc.sents for i in plain(sent.text)["input_ids"]]
    assert doc._.trf_word_pieces.tolist() == expected
    assert doc._.trf_word_pieces_ == plain.convert_ids_to_tokens(expected)


def test_class_rows_point_to_the_class_token(family, pipeline, checkpoint):
    plain = oracles.load_plain_tokenizer(checkpoint(family))
    for text in (TEXT, "[CLS] <s> <cls> a. <cls> b"):
        for doc in pipeline(family, overflow="window").pipe([text, text + " cat" * 200]):
            pieces = get_wordpieces(doc)
            added = plain("")["input_ids"]
            if plain.cls_token_id is None or plain.cls_token_id not in added:
                assert pieces.class_rows.tolist() == [-1] * len(pieces.lengths)
                continue
            place = added.index(plain.cls_token_id) - len(added)
            ends = numpy.cumsum(pieces.lengths)
            rows = ends + place if family == "xlnet" else ends - pieces.lengths
            assert pieces.class_rows.tolist() == rows.tolist()


@pytest.mark.parametrize("overflow", ["truncate", "window"])
def test_a_doc_does_not_keep_the_wordpieces_of_its_batch(pipeline, overflow):
    nlp = pipeline("bert", overflow=overflow)
    for texts in ([TEXT], ["One."], [TEXT, "One.", "", TEXT + " cat" * 200]):
        for doc in nlp.pipe(texts):
            pieces = get_wordpieces(doc)
            arrays = [pieces.ids, pieces.type_ids, pieces.offsets, pieces.boundary]
            for array in [*arrays, pieces.lengths, pieces.spans, pieces.class_rows]:
                assert array.base is None or array.base.nbytes == array.nbytes
                assert array.dtype == ("bool" if array is pieces.boundary else "int32")


def test_update_sets_wordpieces_on_the_predicted_docs(pipeline):
    nlp = pipeline("bert")
    example = Example(nlp.make_doc(TEXT), nlp(TEXT))
    losses = wordpiecer_of(nlp).update([example], losses={"x": 1.0})
    assert losses == {"x": 1.0}
    expected = nlp(TEXT)
    assert example.predicted._.trf_word_pieces.tolist() == expected._.trf_word_pieces.tolist()


def test_update_uses_the_sentences_of_prediction(fresh):
    nlp = fresh("bert")
    sents = [[s.start_char, s.end_char] for s in nlp(TEXT).sents]
    seen = []
    wordpiecer = wordpiecer_of(nlp)
    set_annotations = wordpiecer.set_annotations

    def spy(docs, wordpieces):
        wordpieces = list(wordpieces)
        seen.extend(p.spans.tolist() for p in wordpieces)
        set_annotations(docs, wordpieces)

    wordpiecer.set_annotations = spy
    reference = nlp.make_doc(TEXT)
    for i, token in enumerate(reference):
        token.is_sent_start = i == 0  # not the sentencizer's boundaries
    predicted = spacy.tokens.Doc(nlp.vocab, words=["a", "b"], sent_starts=[True, True])
    examples = [
        Example(nlp.make_doc(TEXT), reference),
        Example(predicted, spacy.tokens.Doc(nlp.vocab, words=["a", "b"])),
        Example(nlp.make_doc(""), nlp.make_doc("")),
    ]
    with nlp.select_pipes(enable=["sentencizer", "trf_wordpiecer"]):
        nlp.update(examples)
    assert seen == [sents, [[0, 1], [2, 3]], []]
    seen.clear()
    nlp.remove_pipe("sentencizer")
    with nlp.select_pipes(enable=["trf_wordpiecer"]):
        nlp.update([Example(nlp.make_doc(TEXT), reference)])
        nlp.update([Example(nlp.make_doc(TEXT), nlp.make_doc(TEXT))])
    assert seen == [sents, sents]


def test_text_of_a_doc_is_built_once(monkeypatch):
    """spaCy builds `doc.text` at each access; an access for each sentence would be quadratic."""

    class CountingDoc:
        n_accesses = 0
        user_hooks = ("sents",)
        user_data: ClassVar = {}
        sents = tuple(SimpleNamespace(start=i, end=i + 1) for i in range(50))

        @property
        def text(self):
            self.n_accesses += 1
            return "a " * 50

        def __len__(self):
            return 50

        def to_array(self, attributes):
            return numpy.asarray([(2 * i, 1, 0) for i in range(50)], dtype="uint64")

    doc = CountingDoc()
    (found,) = find_inputs([doc], "sents", None, "x")
    assert found.spans.tolist() == [[2 * i, 2 * i + 1] for i in range(50)]
    assert doc.n_accesses == 1


def test_truncated_tokens_are_counted_across_sentences(pipeline):
    nlp = pipeline("bert", max_length=6)
    texts = ["a b c d e f . a b . a b c d e .", "a .", "a b c d e f g . a b c ."]
    # Each sentence is truncated to four wordpieces and two boundary pieces.
    with pytest.warns(UserWarning, match=r"\[TB101\] 9 tokens of 3 sentences"):
        list(nlp.pipe(texts))


def test_checkpoint_defaults_to_that_of_the_tok2vec(checkpoint):
    nlp = spacy.blank("en")
    nlp.add_pipe("trf_wordpiecer")
    nlp.add_pipe("trf_tok2vec", config={"model": {"trf_name": str(checkpoint("bert"))}})
    nlp.initialize()
    assert nlp("One.")._.trf_word_pieces_[0] == "[CLS]"


def test_missing_checkpoint_name_is_rejected():
    nlp = spacy.blank("en")
    nlp.add_pipe("trf_wordpiecer")
    with pytest.raises(ValueError, match=r"\[TB001\] .*trf_wordpiecer"):
        nlp.initialize()
    nlp = spacy.blank("en")
    nlp.add_pipe("trf_tok2vec")
    with pytest.raises(ValueError, match=r"\[TB001\] .*trf_tok2vec.*model\.trf_name"):
        nlp.initialize()


def test_component_without_a_tokenizer_is_rejected():
    nlp = spacy.blank("en")
    nlp.add_pipe("trf_wordpiecer")
    with pytest.raises(ValueError, match=r"\[TB010\] .*trf_wordpiecer.*tokenizer"):
        nlp("One.")


@pytest.mark.parametrize(
    ("config", "error", "code"),
    [
        ({"overflow": "cut"}, ValueError, "TB008"),
        ({"stride": -1}, ValueError, "TB009"),
        ({"stride": True}, TypeError, "TB009"),
        ({"stride": 1.5}, TypeError, "TB009"),
    ],
)
def test_invalid_options_are_rejected(config, error, code):
    from trf_bridge.pipes.wordpiecer import TrfWordpiecer

    with pytest.raises(error, match=rf"\[{code}\]"):
        TrfWordpiecer(spacy.blank("en").vocab, trf_name="/nowhere", **config)


def test_new_wordpieces_remove_old_outputs_and_gradients(pipeline):
    nlp = pipeline("bert")
    doc = nlp(TEXT)
    assert doc._.trf_outputs is not None
    wordpiecer_of(pipeline("roberta"))(doc)
    assert doc._.trf_outputs is None
    assert doc._.trf_d_last_hidden_state is None
    assert len(doc._.trf_alignment) == len(doc)
    assert max(row for rows in doc._.trf_alignment for row in rows) < len(doc._.trf_word_pieces)


def test_component_with_a_custom_name(checkpoint):
    nlp = spacy.blank("en")
    nlp.add_pipe("trf_wordpiecer", name="pieces", config={"trf_name": str(checkpoint("bert"))})
    nlp.initialize()
    assert nlp("One.")._.trf_word_pieces is not None
