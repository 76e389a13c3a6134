"""`spacy trf init` and `spacy train` on checkpoints with a trained head."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import spacy
from command_line import run, trf
from made_docs import make_doc
from spacy.tokens import DocBin
from thinc.api import Config
from trained import IOB2, TEXTS, TOKENS, TOPICS, save_trained

TEXT = "Anna saw Berlin. It rained."
NAMES = ["sentencizer", "trf_wordpiecer", "trf_tok2vec"]
HEADS = {
    "trf_token_classifier": (TOKENS, IOB2, "token_classifier_score"),
    "trf_textcat": (TEXTS, TOPICS, "cats_score"),
}


@pytest.fixture
def trained(checkpoint: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    """Return a function: name of a component -> folder of the pipeline that `init` creates."""

    def create(name: str) -> Path:
        task, labels, _ = HEADS[name]
        save_trained(checkpoint("bert"), tmp_path / "model", task, labels)
        trf("init", tmp_path / "model", tmp_path / "pipeline")
        return tmp_path / "pipeline"

    return create


def save_data(folder: Path, nlp: Any) -> None:
    """Save Docs with entities and topics."""
    import random

    rng = random.Random(0)
    docs = [make_doc(nlp, rng) for _ in range(12)]
    for i, doc in enumerate(docs):
        doc.set_ents([spacy.tokens.Span(doc, 0, 1, label="LOC")])
        doc.cats = {topic: float(topic == TOPICS[i % 3]) for topic in TOPICS}
    DocBin(docs=docs).to_disk(folder / "data.spacy")


@pytest.mark.parametrize("name", HEADS)
def test_init_creates_the_component(trained: Callable[[str], Path], name: str) -> None:
    nlp = spacy.load(trained(name))
    assert nlp.pipe_names == [*NAMES, name]
    assert nlp.get_pipe(name).labels == tuple(HEADS[name][1])
    sentences = {"trf_textcat": "doc", "trf_token_classifier": "sents"}[name]
    assert nlp.get_pipe("trf_wordpiecer").sentences == sentences


def test_init_can_leave_the_head_out(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    folder = save_trained(checkpoint("bert"), tmp_path / "model", TOKENS, IOB2)
    trf("init", folder, tmp_path / "pipeline", "--no-head")
    assert spacy.load(tmp_path / "pipeline").pipe_names == NAMES


@pytest.mark.parametrize("name", HEADS)
def test_spacy_train_continues_from_the_head(
    trained: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    folder = trained(name)
    before = spacy.load(folder)
    save_data(tmp_path, before)
    corpus = {"@readers": "spacy.Corpus.v1", "path": str(tmp_path / "data.spacy")}
    config = {
        "nlp": {"lang": "en", "pipeline": [*NAMES, name]},
        "components": {part: {"source": str(folder)} for part in [*NAMES, name]},
        "corpora": {"train": corpus, "dev": corpus},
        "training": {
            "seed": 0,
            "gpu_allocator": None,
            "dropout": 0.0,
            "max_steps": 12,
            "eval_frequency": 6,
            "batcher": {"@batchers": "spacy.batch_by_sequence.v1", "size": 12},
            "optimizer": {"@optimizers": "Adam.v1", "learn_rate": 0.01},
            "score_weights": {HEADS[name][2]: 1.0},
        },
    }
    Config(config).to_disk(tmp_path / "config.cfg")
    result = run("train", tmp_path / "config.cfg", "--output", tmp_path / "trained")
    assert result.exit_code == 0, result.output + repr(result.exception)
    after = spacy.load(tmp_path / "trained" / "model-last")
    assert after.get_pipe(name).labels == before.get_pipe(name).labels
    examples = [
        spacy.training.Example(before.make_doc(doc.text), doc)
        for doc in DocBin().from_disk(tmp_path / "data.spacy").get_docs(before.vocab)
    ]
    score = HEADS[name][2]
    assert after.evaluate(examples)[score] > before.evaluate(examples)[score]
    assert not numpy.array_equal(before(TEXT).tensor, after(TEXT).tensor)
