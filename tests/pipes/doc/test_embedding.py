"""Vectors of texts, against plain torch on the same weights, pooled as sentence-transformers does.

The files beside the checkpoints are written by hand, in the form of sentence-transformers.
"""

from __future__ import annotations

import json
import pickle
import shutil

import numpy
import pytest
import spacy
import torch
from spacy.tokens import Doc, DocBin
from tiny import WIDTH
from transformers import AutoModel, AutoTokenizer

import trf_bridge
from trf_bridge import embed

TEXTS = [
    "Apple shares rose on the news. Apple pie is delicious. Nobody slept.",
    "My name is Robert.",
    "Unbelievably, Wittgenstein's neighbours didn't mind the tuba!",
]
MODULES = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
]
NORMALIZE = {
    "idx": 2,
    "name": "2",
    "path": "2_Normalize",
    "type": "sentence_transformers.models.Normalize",
}


def plain_states(folder, texts, **options):
    """Run transformers itself on a padded batch."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    batch = tokenizer(texts, padding=True, return_tensors="pt", **options)
    with torch.inference_mode():
        states = model.eval()(**batch).last_hidden_state
    return states, batch["attention_mask"][:, :, None].float()


# The poolings, as formulas of the padded states and the attention mask.
FORMULAS = {
    "cls": lambda states, mask: states[:, 0],
    "max": lambda states, mask: states.masked_fill(mask == 0, -1e9).max(1).values,
    "mean": lambda states, mask: (states * mask).sum(1) / mask.sum(1),
    "mean_sqrt_len_tokens": lambda states, mask: (states * mask).sum(1) / mask.sum(1).sqrt(),
    "weightedmean": lambda states, mask: (
        (states * mask * (weights := torch.arange(1, states.shape[1] + 1)[None, :, None])).sum(1)
        / (mask * weights).sum(1)
    ),
    "lasttoken": lambda states, mask: states[range(len(states)), mask[:, :, 0].sum(1).long() - 1],
}
FIELDS = {
    "cls": "pooling_mode_cls_token",
    "max": "pooling_mode_max_tokens",
    "mean": "pooling_mode_mean_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}


def assert_close(one, two):
    numpy.testing.assert_allclose(one, numpy.asarray(two), atol=1e-5)


@pytest.fixture
def with_files(checkpoint, tmp_path):
    """Return a function: the files of sentence-transformers -> a checkpoint with them."""

    def make(modules=MODULES, *, limits=None, pooling=None):
        folder = tmp_path / "checkpoint"
        shutil.copytree(checkpoint("bert"), folder, dirs_exist_ok=True)
        (folder / "modules.json").write_text(json.dumps(modules))
        (folder / "1_Pooling").mkdir(exist_ok=True)
        config = {"word_embedding_dimension": WIDTH, **dict.fromkeys(FIELDS.values(), False)}
        config.update(pooling or {"pooling_mode_mean_tokens": True})
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(config))
        if limits:
            (folder / "sentence_bert_config.json").write_text(json.dumps(limits))
        return folder

    return make


@pytest.fixture
def whole(pipeline):
    """A pipeline whose inputs are whole Docs."""
    return pipeline("bert", sentences="doc")


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("normalize", [True, False])
def test_whole_docs_have_the_vectors_of_plain_torch(whole, checkpoint, pooling, normalize):
    expected = FORMULAS[pooling](*plain_states(checkpoint("bert"), TEXTS))
    if normalize:
        expected = torch.nn.functional.normalize(expected, dim=1)
    found = embed(whole.pipe(TEXTS), pooling=pooling, normalize=normalize)
    assert found.dtype == numpy.float32
    assert_close(found, expected)
    one = embed(whole(TEXTS[0]), pooling=pooling, normalize=normalize)
    assert one.shape == (WIDTH,)
    assert_close(one, expected[0])


@pytest.mark.parametrize("normalizes", [True, False])
@pytest.mark.parametrize("name", FORMULAS)
def test_model_computes_its_own_pooling(with_files, name, normalizes):
    folder = with_files(
        [*MODULES, *([NORMALIZE] if normalizes else [])], pooling={FIELDS[name]: True}
    )
    nlp = trf_bridge.from_pretrained(folder, sentences={"@misc": "trf_bridge.docs.v1"})
    expected = FORMULAS[name](*plain_states(folder, TEXTS))
    if normalizes:
        expected = torch.nn.functional.normalize(expected, dim=1)
    assert_close(embed(nlp.pipe(TEXTS), pooling="model", normalize=False), expected)


def test_several_poolings_are_joined(with_files):
    folder = with_files(pooling={FIELDS["mean"]: True, FIELDS["cls"]: True, FIELDS["max"]: True})
    nlp = trf_bridge.from_pretrained(folder, sentences="doc")
    states = plain_states(folder, TEXTS)
    expected = torch.cat([FORMULAS[name](*states) for name in ("cls", "max", "mean")], dim=1)
    assert_close(embed(nlp.pipe(TEXTS), pooling="model", normalize=False), expected)
    assert not embed(nlp(""), pooling="model").any()
    assert embed(nlp(""), pooling="model").shape == (3 * WIDTH,)


@pytest.mark.parametrize("names", [["max"], ["mean", "cls"]])
def test_newer_names_of_modules_and_poolings(with_files, names):
    """As sentence-transformers 6 writes them; several are joined in the order of the list."""
    newer = "sentence_transformers.sentence_transformer.modules.pooling.Pooling"
    modules = [MODULES[0], {**MODULES[1], "type": newer}]
    written = names[0] if len(names) == 1 else names
    folder = with_files(modules, pooling={"pooling_mode": written})
    nlp = trf_bridge.from_pretrained(folder, sentences="doc")
    states = plain_states(folder, TEXTS)
    expected = torch.cat([FORMULAS[name](*states) for name in names], dim=1)
    assert_close(embed(nlp.pipe(TEXTS), pooling="model", normalize=False), expected)


def test_settings_are_saved_with_the_pipeline(with_files, tmp_path):
    folder = with_files([*MODULES, NORMALIZE], pooling={FIELDS["max"]: True})
    nlp = trf_bridge.from_pretrained(folder, sentences="doc")
    expected = embed(nlp.pipe(TEXTS), pooling="model")
    nlp.to_disk(tmp_path / "saved")
    shutil.rmtree(folder)
    others = [spacy.load(tmp_path / "saved"), pickle.loads(pickle.dumps(nlp))]
    others.append(spacy.blank("en").from_config(nlp.config).from_bytes(nlp.to_bytes()))
    for other in others:
        assert_close(embed(other.pipe(TEXTS), pooling="model"), expected)
    stored = DocBin(store_user_data=True, docs=nlp.pipe(TEXTS)).to_bytes()
    restored = DocBin().from_bytes(stored).get_docs(spacy.blank("en").vocab)
    assert_close(embed(restored, pooling="model"), expected)


def test_sentences_are_weighted_by_their_wordpieces(pipeline):
    """The mean over all wordpieces of a Doc, in however many inputs they were read."""
    doc = pipeline("bert")(TEXTS[0])
    assert len(list(doc.sents)) == 3
    expected = doc._.trf_last_hidden_state.mean(axis=0)
    assert_close(embed(doc, normalize=False), expected)
    lengths = [len(span._.trf_word_pieces) for span in doc.sents]
    classes = [span._.trf_last_hidden_state[0] for span in doc.sents]
    expected = numpy.average(classes, axis=0, weights=lengths)
    assert_close(embed(doc, pooling="cls", normalize=False), expected)


def test_sentence_has_the_vector_of_its_text(pipeline, checkpoint):
    doc = pipeline("bert")(TEXTS[0])
    expected = FORMULAS["mean"](
        *plain_states(checkpoint("bert"), [sent.text for sent in doc.sents])
    )
    assert_close(embed(doc.sents, normalize=False), expected)


def test_part_of_a_sentence(whole):
    doc = whole(TEXTS[1])
    span = doc[1:3]
    assert_close(embed(span, normalize=False), span._.trf_last_hidden_state.mean(axis=0))
    with pytest.raises(ValueError, match=r"\[TB069\] A Span of 2 tokens"):
        embed(span, pooling="cls")


def test_model_without_a_class_token(pipeline):
    doc = pipeline("gpt2")(TEXTS[1])
    assert embed(doc).shape == doc._.trf_last_hidden_state.shape[1:]
    with pytest.raises(ValueError, match=r"\[TB069\] A Doc of"):
        embed(doc, pooling="cls")


def test_texts_that_are_read_otherwise_warn(with_files):
    folder = with_files(limits={"max_seq_length": 12, "do_lower_case": False})
    nlp = trf_bridge.from_pretrained(folder)
    with pytest.warns(UserWarning, match=r"\[TB113\] 2 of 3 .* at most 12 .*max_length = 12"):
        embed(nlp.pipe(TEXTS), pooling="model")
    short = trf_bridge.from_pretrained(folder, sentences="doc", max_length=12)
    with pytest.warns(UserWarning, match="TB101"):
        docs = list(short.pipe(TEXTS))
    expected = FORMULAS["mean"](*plain_states(folder, TEXTS, truncation=True, max_length=12))
    assert_close(embed(docs, pooling="model", normalize=False), expected)


def test_empty_texts_and_no_texts(whole):
    found = embed([whole(""), whole("a"), whole("a")[0:0]])
    assert found.shape == (3, WIDTH)
    assert not found[[0, 2]].any()
    assert numpy.linalg.norm(found[1]) == pytest.approx(1.0, abs=1e-5)
    assert embed([]).shape == (0, 0)


def test_wrong_arguments(whole):
    doc = whole("One.")
    for wrong in (doc[0], "One.", [doc, doc[0]], 1):
        with pytest.raises(TypeError, match=r"\[TB053\] trf_bridge.embed takes"):
            embed(wrong)
    with pytest.raises(ValueError, match=r"\[TB008\] Unknown pooling"):
        embed(doc, pooling="max")
    with pytest.raises(ValueError, match=r"\[TB052\] .*trf_tok2vec"):
        embed(Doc(doc.vocab, words=["a"]))
    with pytest.raises(ValueError, match=r"\[TB068\] .*modules.json"):
        embed(doc, pooling="model")


DENSE = {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"}


@pytest.mark.parametrize(
    ("modules", "pooling", "reason"),
    [
        ([*MODULES, DENSE], None, "the module Dense"),
        (MODULES[:1], None, "no pooling"),
        (MODULES, {"pooling_mode": "attention"}, "the pooling attention"),
        ([MODULES[0], "?"], None, "can't be read"),
        ({"not": "a list"}, None, "can't be read"),
    ],
)
def test_poolings_that_are_not_computed(with_files, modules, pooling, reason):
    """The pipeline can be used, and only the vectors of the model can't."""
    nlp = trf_bridge.from_pretrained(with_files(modules, pooling=pooling), sentences="doc")
    doc = nlp("One.")
    assert embed(doc).shape == (WIDTH,)
    with pytest.raises(ValueError, match=rf"\[TB068\] .*{reason}"):
        embed(doc, pooling="model")


def test_another_pipeline_replaces_the_settings_of_a_doc(with_files, whole):
    doc = trf_bridge.from_pretrained(with_files(), sentences="doc")("One.")
    embed(doc, pooling="model")
    for name in ("trf_wordpiecer", "trf_tok2vec"):
        doc = whole.get_pipe(name)(doc)
    with pytest.raises(ValueError, match="TB068"):
        embed(doc, pooling="model")
