"""Training on pairs of texts: gradients, separators of examples, text classification."""

from __future__ import annotations

import random
import warnings
from itertools import product
from pathlib import Path

import numpy
import pytest
import spacy
from pair_checks import LONG, MIXED, SEP, TEXT, PlainPairs
from spacy.cli import app
from spacy.tokens import DocBin
from spacy.training import Example
from thinc.api import Adam
from torch_oracle import add_writer, assert_near, get_gradients, plain_backward
from typer.testing import CliRunner

from trf_bridge.pipes.doc.records import get_wordpieces

CONFIG = Path(__file__).resolve().parents[3] / "examples" / "configs" / "textcat.cfg"


@pytest.mark.filterwarnings("ignore:.*TB101")
def test_gradients_of_pairs_equal_torch(family, fresh, checkpoint):
    nlp = fresh(family, separator=SEP)
    add_writer(nlp)
    given_texts = [*MIXED, LONG]
    plain = PlainPairs(family, checkpoint(family))
    plain.max_length = nlp.get_pipe("trf_wordpiecer").tokenizer.max_length
    docs = [nlp(text) for text in given_texts]
    plain_backward(plain, docs, ("last_hidden_state",), 1.0)
    expected = plain.gradients()
    assert max(abs(g).max() for g in expected.values()) > 0.1
    nlp.update([Example(nlp.make_doc(t), nlp.make_doc(t)) for t in given_texts], sgd=False)
    assert_near(get_gradients(nlp), expected)


def segments_of_update(nlp, examples):
    """Update the pipeline, and return the segments of the predicted Docs."""
    seen = []
    wordpiecer = nlp.get_pipe("trf_wordpiecer")
    set_annotations = wordpiecer.set_annotations

    def spy(docs, wordpieces):
        wordpieces = list(wordpieces)
        seen.extend(None if p.segments is None else p.segments.tolist() for p in wordpieces)
        set_annotations(docs, wordpieces)

    wordpiecer.set_annotations = spy
    nlp.update(examples, annotates=["trf_wordpiecer"])
    assert seen[: len(examples)] == seen[len(examples) :]
    return seen[: len(examples)]


def test_update_uses_the_pairs_of_prediction(fresh):
    nlp = fresh("bert", separator=SEP)
    expected = get_wordpieces(nlp(TEXT)).segments.tolist()
    marked = nlp.make_doc(f"a || {SEP} b")
    marked._.trf_separator = "||"
    off = nlp.make_doc(TEXT)
    off._.trf_separator = ""
    examples = [
        Example(nlp.make_doc(TEXT), nlp.make_doc(TEXT)),
        Example(marked, nlp.make_doc(marked.text)),
        Example(off, nlp.make_doc(TEXT)),
        Example(nlp.make_doc("a"), nlp.make_doc("a")),
    ]
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*TB106")
        seen = segments_of_update(nlp, examples)
    assert seen == [expected, [[[0, 1], [2, 4], [5, 10]]], None, None]


def test_separator_of_the_reference_is_used_with_a_warning(fresh):
    nlp = fresh("bert")
    reference = nlp.make_doc(TEXT)
    reference._.trf_separator = SEP
    with pytest.warns(UserWarning, match=r"\[TB106\] .* 1 Docs is set on the reference alone"):
        seen = segments_of_update(nlp, [Example(nlp.make_doc(TEXT), reference)])
    assert seen[0] is not None
    both = nlp.make_doc(TEXT)
    both._.trf_separator = SEP
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*TB106")
        assert segments_of_update(nlp, [Example(both, reference)]) == seen
        nlp.get_pipe("trf_wordpiecer").separator = SEP
        assert segments_of_update(nlp, [Example(nlp.make_doc(TEXT), reference)]) == seen


WORDS = ["boats", "cream", "news", "tide"]


def paraphrase_examples(nlp):
    """Make examples whose label depends on both texts: a single text does not predict it."""
    texts = []
    for a, b in product(WORDS, WORDS):
        texts += [(f"{a} {SEP} {b}", a == b)] * (len(WORDS) - 1 if a == b else 1)
    for word, side in product(WORDS, (0, 2)):
        answers = [same for text, same in texts if text.split()[side] == word]
        assert sum(answers) * 2 == len(answers)
    return [
        Example.from_dict(
            nlp.make_doc(text), {"cats": {"same": float(same), "other": float(not same)}}
        )
        for text, same in texts
    ]


@pytest.fixture(scope="module")
def trained(checkpoint):
    """Train a pipeline to classify whether both texts of a pair are the same word."""
    import trf_bridge

    spacy.util.fix_random_seed(0)
    nlp = trf_bridge.from_pretrained(checkpoint("bert"), separator=SEP)
    examples = paraphrase_examples(nlp)
    nlp.add_pipe("trf_textcat").initialize(lambda: examples, nlp=nlp)
    optimizer = nlp.resume_training(sgd=Adam(learn_rate=0.005))
    rng = random.Random(0)
    for _ in range(100):
        rng.shuffle(examples)
        for batch in spacy.util.minibatch(examples, size=8):
            nlp.update(batch, sgd=optimizer)
    return nlp


def test_textcat_learns_from_both_texts(trained):
    scores = trained.evaluate(paraphrase_examples(trained))
    assert scores["cats_macro_f"] == 1.0
    assert trained("boats ||| boats").cats["same"] > 0.9
    assert trained("boats ||| news").cats["same"] < 0.1


def test_trained_pipeline_is_saved_with_its_separator(trained, tmp_path):
    given_texts = ["boats ||| boats", "tide ||| cream"]
    expected = [doc.cats for doc in trained.pipe(given_texts)]
    trained.to_disk(tmp_path / "pairs")
    loaded = spacy.load(tmp_path / "pairs")
    assert loaded.get_pipe("trf_wordpiecer").separator == SEP
    assert [doc.cats for doc in loaded.pipe(given_texts)] == expected
    restored = spacy.blank("en").from_config(trained.config).from_bytes(trained.to_bytes())
    assert [doc.cats for doc in restored.pipe(given_texts)] == expected
    assert [doc.cats for doc in trained.pipe(given_texts, n_process=2)] == expected


def test_spacy_train_learns_from_pairs(pipeline, tmp_path):
    pipeline("bert", separator=SEP).to_disk(tmp_path / "source")
    docs = [example.reference for example in paraphrase_examples(spacy.blank("en"))]
    DocBin(docs=docs).to_disk(tmp_path / "pairs.spacy")
    options = {
        "paths.source": tmp_path / "source",
        "paths.train": tmp_path / "pairs.spacy",
        "paths.dev": tmp_path / "pairs.spacy",
        "training.dropout": 0.0,
        "training.max_steps": 240,
        "training.batcher.size": 32,
        "training.optimizer.learn_rate.initial_rate": 0.01,
    }
    arguments = [str(part) for name, value in options.items() for part in (f"--{name}", value)]
    command = ["train", str(CONFIG), *arguments, "--output", str(tmp_path / "trained")]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output + repr(result.exception)
    nlp = spacy.load(tmp_path / "trained" / "model-best")
    assert nlp.meta["performance"]["cats_score"] == 1.0
    for doc in nlp.pipe(doc.text for doc in docs):
        first, second = (span.text for span in doc._.trf_segments)
        assert (doc.cats["same"] > 0.5) == (first == second)


def test_separator_can_be_set_when_a_pipeline_is_loaded(pipeline, tmp_path):
    pipeline("bert").to_disk(tmp_path / "plain")
    config = {"components": {"trf_wordpiecer": {"separator": SEP}}}
    nlp = spacy.load(tmp_path / "plain", config=config)
    assert get_wordpieces(nlp(TEXT)).segments is not None
    nlp.to_disk(tmp_path / "pairs")
    sourced = spacy.blank("en")
    source = spacy.load(tmp_path / "pairs")
    for name in source.pipe_names:
        sourced.add_pipe(name, source=source)
    for again in (source, sourced):
        numpy.testing.assert_array_equal(again(TEXT).tensor, nlp(TEXT).tensor)
