"""`spacy trf config`: the printed config is complete, and a pipeline can be trained with it."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import spacy
import srsly
from command_line import refused, run, trf
from made_docs import CITIES, NAMES, make_doc
from spacy.kb import InMemoryLookupKB
from spacy.language import Language
from spacy.tokens import DocBin, Span
from thinc.api import Config

from trf_bridge.cli.training_config import HEADS, make_config, write_config

SCORES = {
    "tagger": "tag_acc",
    "morphologizer": "pos_acc",
    "trainable_lemmatizer": "lemma_acc",
    "parser": "dep_las",
    "senter": "sents_f",
    "ner": "ents_f",
    "span_finder": "spans_sc_f",
    "spancat": "spans_sc_f",
    "spancat_singlelabel": "spans_sc_f",
    "textcat": "cats_score",
    "textcat_multilabel": "cats_score",
    "entity_linker": "nel_micro_f",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train.spacy, dev.spacy and kb, with annotations for every head."""
    folder, nlp, rng = tmp_path_factory.mktemp("data"), spacy.blank("en"), random.Random(0)
    for name, n in [("train", 24), ("dev", 8)]:
        docs = [make_doc(nlp, rng) for _ in range(n)]
        for doc in docs:
            for token in doc:
                token.lemma_ = token.lower_
                token.pos_ = "VERB" if token.tag_ == "VBD" else "PROPN"
                token.set_morph("Tense=Past" if token.tag_ == "VBD" else "Number=Sing")
            doc.spans["sc"] = [Span(doc, e.start, e.end, e.label_) for e in doc.ents]
            doc.ents = [Span(doc, e.start, e.end, e.label_, kb_id=e.label_) for e in doc.ents]
        DocBin(docs=docs).to_disk(folder / f"{name}.spacy")
    kb = InMemoryLookupKB(nlp.vocab, entity_vector_length=4)
    kb.set_entities(["PERSON", "GPE"], [1, 1], [[1.0, 0, 0, 0], [0, 1.0, 0, 0]])
    for alias in (*NAMES, *CITIES):
        kb.add_alias(alias, ["PERSON", "GPE"], [0.5, 0.5])
    kb.to_disk(folder / "kb")
    return folder


def print_config(folder: Path, *options: object) -> Path:
    """Write the output of the command to a file, as `> config.cfg` does."""
    file = folder / "config.cfg"
    file.write_text(trf("config", *options), encoding="utf8")
    return file


def paths(config: Path, data: Path) -> list[object]:
    """Return options for the files that the comment at the top of a config lists."""
    named = re.findall(r"--paths\.(\w+) (\S+)", config.read_text(encoding="utf8"))
    return [part for name, file in named for part in (f"--paths.{name}", data / file)]


def check(config: Path, data: Path, *options: object) -> str:
    """Run a command of spaCy on a config and the data, and return its output."""
    result = run(*options, config, *paths(config, data))
    assert result.exit_code == 0, result.output + repr(result.exception)
    output: str = result.output
    return output


def train(config: Path, data: Path, output: Path, *overrides: object) -> Language:
    """Train for four steps and load the last pipeline."""
    steps = ["--training.max_steps", 4, "--training.eval_frequency", 2]
    result = run("train", config, "--output", output, *steps, *paths(config, data), *overrides)
    assert result.exit_code == 0, result.output + repr(result.exception)
    return spacy.load(output / "model-last")


@pytest.mark.parametrize("optimize", ["efficiency", "accuracy"])
@pytest.mark.parametrize("kind", ["checkpoint", "pipeline"])
def test_config_is_complete_and_trains(
    checkpoint: Callable[[str], Path],
    source: Path,
    data: Path,
    tmp_path: Path,
    optimize: str,
    kind: str,
) -> None:
    transformer = checkpoint("bert") if kind == "checkpoint" else source
    options = ["--pipeline", "textcat,ner", "--trf", transformer, "--optimize", optimize]
    config = print_config(tmp_path, *options)
    check(config, data, "debug", "config")
    # fill-config has nothing to add.
    filled = tmp_path / "filled.cfg"
    assert run("init", "fill-config", config, filled).exit_code == 0
    read = Config().from_disk(config, interpolate=False)
    assert Config().from_disk(filled, interpolate=False) == read
    nlp = train(config, data, tmp_path / "trained")
    names = ["sentencizer", "trf_wordpiecer", "trf_tok2vec", "trf_textcat", "ner"]
    assert nlp.pipe_names == names
    assert nlp.pipe_factories["sentencizer"] == "trf_sentencizer"
    performance = nlp.meta["performance"]
    assert {"cats_score", "ents_f"} <= set(performance)
    assert "sents_f" not in {
        name for name, weight in nlp.config["training"]["score_weights"].items() if weight
    }


def test_every_head_trains_at_once(
    checkpoint: Callable[[str], Path], data: Path, tmp_path: Path
) -> None:
    assert set(SCORES) == set(HEADS)
    config = print_config(tmp_path, "-p", ",".join(HEADS), "-t", checkpoint("roberta"))
    nlp = train(config, data, tmp_path / "trained")
    assert nlp.pipe_names[3:] == [name for name, _ in HEADS.values()]
    assert set(SCORES.values()) <= set(nlp.meta["performance"])
    listeners = nlp.get_pipe("trf_tok2vec").listening_components
    assert set(listeners) == {name for name, _ in HEADS.values()}


def test_entity_linker_needs_a_knowledge_base(
    checkpoint: Callable[[str], Path], data: Path, tmp_path: Path
) -> None:
    """It is placed after the components that set entities, and it can be trained alone."""
    config = print_config(tmp_path, "-p", "entity_linker,ner", "-t", checkpoint("bert"))
    read = Config().from_disk(config)
    assert read["nlp"]["pipeline"][-2:] == ["ner", "entity_linker"]
    assert read["paths"]["kb"] is None
    config = print_config(tmp_path, "-p", "entity_linker", "-t", checkpoint("bert"))
    assert "valid" in check(config, data, "debug", "config")
    nlp = train(config, data, tmp_path / "trained")
    assert nlp.meta["performance"]["nel_micro_f"] > 0
    assert set(nlp.get_pipe("entity_linker").kb.get_entity_strings()) == {"PERSON", "GPE"}
    assert "kb" not in Config().from_disk(print_config(tmp_path, "-p", "ner", "-t", "a/b"))["paths"]


def test_training_learns(checkpoint: Callable[[str], Path], data: Path, tmp_path: Path) -> None:
    config = print_config(tmp_path, "-p", "textcat,ner", "-t", checkpoint("bert"))
    rate = ["--training.optimizer.learn_rate.initial_rate", 0.01]
    rate += ["--training.optimizer.learn_rate.warmup_steps", 5]
    nlp = train(config, data, tmp_path / "trained", *rate, "--training.max_steps", 160)
    assert nlp.meta["performance"]["ents_f"] > 0.8
    assert nlp.meta["performance"]["cats_score"] > 0.8


def test_optimize_changes_the_settings(checkpoint: Callable[[str], Path]) -> None:
    configs = {
        optimize: make_config(["ner"], str(checkpoint("bert")), optimize=optimize)
        for optimize in ("efficiency", "accuracy")
    }
    models = {name: c["components"]["trf_tok2vec"]["model"] for name, c in configs.items()}
    assert (models["efficiency"]["precision"], models["efficiency"]["freeze"]) == (
        "auto",
        "embeddings",
    )
    assert (models["accuracy"]["precision"], models["accuracy"]["freeze"]) == ("fp32", "none")
    for config in configs.values():
        training = config["training"]
        assert training["max_steps"] == training["optimizer"]["learn_rate"]["total_steps"]
        assert training["batcher"]["discard_oversize"] is False


def test_names_on_the_hub_are_not_looked_up(tmp_path: Path) -> None:
    """A name on the hub is written to the config, without a network connection."""
    config = Config().from_disk(print_config(tmp_path, "-p", "ner", "-t", "owner/name"))
    assert config["components"]["trf_wordpiecer"]["trf_name"] == "owner/name"
    assert config["components"]["trf_tok2vec"]["model"]["trf_name"] == "owner/name"


def test_transformer_of_a_pipeline_is_sourced(tmp_path: Path) -> None:
    """The config has the names of its components, and its language."""
    nlp = spacy.blank("de")
    nlp.add_pipe("trf_wordpiecer", name="pieces")
    nlp.add_pipe("trf_tok2vec")
    folder = tmp_path / "pipeline"
    folder.mkdir()
    nlp.config.to_disk(folder / "config.cfg")
    srsly.write_json(folder / "meta.json", nlp.meta)
    config = make_config(["tagger"], str(folder))
    assert config["nlp"]["lang"] == "de"
    source = {"source": str(folder)}
    assert config["components"]["trf_wordpiecer"] == {**source, "component": "pieces"}
    assert config["components"]["trf_tok2vec"] == source
    assert make_config(["tagger"], str(folder), lang="en")["nlp"]["lang"] == "en"


def test_components_have_two_names() -> None:
    assert make_config(["trf_textcat"], "a/b") == make_config(["textcat"], "a/b")
    assert list(make_config(["ner", "ner"], "a/b")["components"])[3:] == ["ner"]


def test_blocks_are_followed_by_their_inner_blocks(tmp_path: Path) -> None:
    config = make_config(["parser", "textcat"], "owner/name")
    text = write_config(config)
    assert Config().from_str(text, interpolate=False) == config
    headers = [line[1:-1] for line in text.splitlines() if line.startswith("[")]
    assert headers[:3] == ["paths", "system", "nlp"]
    seen: list[str] = []
    for header in headers:
        parent = header.rpartition(".")[0]
        # After another block has begun, no inner block of an earlier one follows.
        assert not parent or any(h == parent or h.startswith(f"{parent}.") for h in seen[-1:])
        seen.append(header)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--pipeline", "nre", "--trf", "owner/name"], "TB008"),
        (["--pipeline", ",", "--trf", "owner/name"], "TB008"),
        (["--pipeline", "ner", "--trf", "owner/name", "--optimize", "speed"], "TB008"),
        (["--pipeline", "ner", "--trf", "{folder}"], "TB044"),
        (["--pipeline", "ner", "--trf", "./no_such_folder"], "TB044"),
        (["--pipeline", "ner", "--trf", "{folder}/plain"], "TB043"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, options: list[str], code: str) -> None:
    spacy.blank("en").to_disk(tmp_path / "plain")
    assert code in refused("config", *(option.format(folder=tmp_path) for option in options))


def test_unknown_language_is_an_error_of_spacy() -> None:
    result: Any = run("trf", "config", "-p", "ner", "-t", "owner/name", "-l", "qqq")
    assert result.exit_code == 1
    assert result.stderr.startswith("[E048]")
