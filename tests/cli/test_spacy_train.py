"""spaCy's own commands on pipelines with the transformer."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import spacy
from made_docs import make_doc
from spacy.cli import app
from spacy.language import Language
from spacy.tokens import DocBin
from thinc.api import Config
from typer.testing import CliRunner

LISTENER = {"@architectures": "trf_bridge.Tok2VecListener.v1"}


def invoke(*args: object) -> str:
    """Run `spacy ...` in this process, and return its output."""
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result.output


def options(overrides: dict[str, Any]) -> list[str]:
    """Return overrides of config fields as arguments of a command."""
    return [
        part
        for field, value in overrides.items()
        for part in (f"--{field}", value if isinstance(value, str) else json.dumps(value))
    ]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train.spacy and dev.spacy."""
    folder, nlp, rng = tmp_path_factory.mktemp("data"), spacy.blank("en"), random.Random(0)
    for name, n in [("train", 24), ("dev", 8)]:
        docs = [make_doc(nlp, rng) for _ in range(n)]
        DocBin(docs=docs).to_disk(folder / f"{name}.spacy")
    return folder


@pytest.fixture
def write_config(source: Path, data: Path, tmp_path: Path) -> Callable[..., Path]:
    """Write a config that trains heads on the transformer, by their names and settings."""

    def write(*heads: str, **training: Any) -> Path:
        sourced = {name: {"source": str(source)} for name in ("trf_wordpiecer", "trf_tok2vec")}
        components: dict[str, Any] = {"sentencizer": {"factory": "sentencizer"}, **sourced}
        for head in heads:
            components[head] = {"factory": head}
            if head != "trf_textcat":
                components[head]["model"] = {"tok2vec": LISTENER, **ARCHITECTURES[head]}
            if head == "parser":
                components[head]["min_action_freq"] = 1
        config = {
            "paths": {"train": str(data / "train.spacy"), "dev": str(data / "dev.spacy")},
            "nlp": {"lang": "en", "pipeline": list(components)},
            "components": components,
            "corpora": {
                name: {"@readers": "spacy.Corpus.v1", "path": f"${{paths.{name}}}"}
                for name in ("train", "dev")
            },
            "training": {
                "seed": 0,
                "gpu_allocator": None,
                "dropout": 0.0,
                "max_steps": 4,
                "eval_frequency": 2,
                "batcher": {"@batchers": "spacy.batch_by_sequence.v1", "size": 8},
                "optimizer": {"@optimizers": "Adam.v1", "learn_rate": 0.005},
                **training,
            },
        }
        file = tmp_path / "config.cfg"
        Config(config).to_disk(file)
        return file

    return write


TRANSITIONS = {
    "@architectures": "spacy.TransitionBasedParser.v2",
    "extra_state_tokens": False,
    "hidden_width": 8,
    "maxout_pieces": 2,
    "use_upper": False,
}
ARCHITECTURES = {
    "tagger": {"@architectures": "spacy.Tagger.v2"},
    "parser": {**TRANSITIONS, "state_type": "parser"},
    "ner": {**TRANSITIONS, "state_type": "ner"},
}
HEADS = ("tagger", "parser", "ner", "trf_textcat")


@pytest.fixture
def train(write_config: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """Train heads, and return the folder with model-best and model-last."""

    def run(*heads: str, overrides: dict[str, Any] | None = None, **training: Any) -> Path:
        config, output = write_config(*heads, **training), tmp_path / "trained"
        invoke("train", config, "--output", output, *options(overrides or {}))
        return output

    return run


def transformer_weights(nlp: Language) -> dict[str, Any]:
    model = nlp.get_pipe("trf_tok2vec").model.shims[0]._model
    return {name: weights.detach().numpy().copy() for name, weights in model.named_parameters()}


def same_weights(one: Language, two: Language) -> bool:
    first, second = transformer_weights(one), transformer_weights(two)
    return all(numpy.array_equal(first[name], second[name]) for name in first)


def scores_of(folder: Path, data: Path, output: Path) -> dict[str, Any]:
    invoke("evaluate", folder, data / "dev.spacy", "--output", output)
    scores: dict[str, Any] = json.loads(output.read_text())
    return scores


def test_fill_config_completes_a_config(write_config: Callable[..., Path], tmp_path: Path) -> None:
    file = write_config(*HEADS)
    filled = tmp_path / "filled.cfg"
    invoke("init", "fill-config", file, filled)
    config = Config().from_disk(filled, interpolate=False)
    assert config["components"]["ner"]["model"]["tok2vec"]["grad_factor"] == 1.0
    assert config["components"]["trf_textcat"]["model"]["exclusive_classes"] is True
    assert set(config["components"]["trf_tok2vec"]) == {"source"}
    invoke("init", "fill-config", filled, tmp_path / "again.cfg")
    assert Config().from_disk(tmp_path / "again.cfg", interpolate=False) == config
    invoke("debug", "config", filled)


def test_fill_config_adds_the_settings_of_the_transformer(
    checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    file = tmp_path / "config.cfg"
    names = ["trf_wordpiecer", "trf_tok2vec"]
    Config(
        {
            "nlp": {"lang": "en", "pipeline": names},
            "components": {name: {"factory": name} for name in names},
        }
    ).to_disk(file)
    invoke("init", "fill-config", file, tmp_path / "filled.cfg")
    model = Config().from_disk(tmp_path / "filled.cfg", interpolate=False)["components"][
        "trf_tok2vec"
    ]["model"]
    assert model["@architectures"] == "trf_bridge.TransformerModel.v1"
    assert model["freeze"] == "none"
    assert model["words_per_batch"] == 3000


def test_debug_data(write_config: Callable[..., Path], tmp_path: Path) -> None:
    filled = tmp_path / "filled.cfg"
    invoke("init", "fill-config", write_config(*HEADS), filled)
    printed = invoke("debug", "data", filled, "--no-format")
    assert "24 training docs" in printed
    assert "GPE" in printed


def test_train_then_evaluate(train: Callable[..., Path], source: Path, data: Path) -> None:
    output = train(*HEADS)
    for name in ("model-best", "model-last"):
        nlp = spacy.load(output / name)
        assert not same_weights(nlp, spacy.load(source))
        reported = nlp.meta["performance"]
        scores = scores_of(output / name, data, output / "scores.json")
        for score in ("tag_acc", "dep_las", "ents_f", "cats_score"):
            assert scores[score] == pytest.approx(reported[score], abs=1e-6), score


def test_training_learns(train: Callable[..., Path], data: Path) -> None:
    output = train(*HEADS, max_steps=100, eval_frequency=50)
    scores = spacy.load(output / "model-best").meta["performance"]
    assert scores["tag_acc"] > 0.95
    assert scores["dep_las"] > 0.9
    assert scores["ents_f"] > 0.9
    assert scores["cats_score"] > 0.95


def test_averages_reach_the_transformer(
    train: Callable[..., Path], source: Path, data: Path
) -> None:
    optimizer = {"@optimizers": "Adam.v1", "learn_rate": 0.005, "use_averages": True}
    averaged = train("ner", optimizer=optimizer)
    weights = transformer_weights(spacy.load(averaged / "model-last"))
    reported = spacy.load(averaged / "model-last").meta["performance"]["ents_f"]
    found = scores_of(averaged / "model-last", data, averaged / "scores.json")["ents_f"]
    assert found == pytest.approx(reported)
    last = transformer_weights(spacy.load(train("ner") / "model-last"))
    before = transformer_weights(spacy.load(source))
    moved = {name for name in last if not numpy.array_equal(last[name], before[name])}
    assert moved
    # An average over few steps lies between the first weights and the last.
    assert all(not numpy.array_equal(weights[name], last[name]) for name in moved)
    assert all(not numpy.array_equal(weights[name], before[name]) for name in moved)


def test_accumulated_gradient_equals_one_batch(train: Callable[..., Path], source: Path) -> None:
    """One step of gradient descent. Unlike a parser, trf_textcat makes no discrete choices, which
    rounding could change."""
    settings = {
        "optimizer": {"@optimizers": "SGD.v1", "learn_rate": 0.05, "grad_clip": 0.0, "L2": 0.0},
        "batcher": {"@batchers": "spacy.batch_by_sequence.v1", "size": 24},
        "max_epochs": 1,
    }
    before = transformer_weights(spacy.load(source))
    one = transformer_weights(spacy.load(train("trf_textcat", **settings) / "model-last"))
    four = train("trf_textcat", accumulate_gradient=4, **settings)
    two = transformer_weights(spacy.load(four / "model-last"))
    assert max(abs(one[name] - before[name]).max() for name in one) > 1e-3
    for name, weights in one.items():
        numpy.testing.assert_allclose(two[name], weights, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("overridden", [False, True])
def test_frozen_transformer(train: Callable[..., Path], source: Path, *, overridden: bool) -> None:
    names = ["trf_tok2vec"]
    fields = {"frozen_components": names, "annotating_components": ["sentencizer", *names]}
    if overridden:
        overrides = {f"training.{name}": value for name, value in fields.items()}
        output = train("ner", overrides=overrides)
    else:
        output = train("ner", **fields)
    nlp = spacy.load(output / "model-last")
    assert same_weights(nlp, spacy.load(source))
    assert nlp.meta["performance"]["ents_f"] is not None


def test_frozen_wordpiecer_and_transformer(train: Callable[..., Path], source: Path) -> None:
    names = ["trf_wordpiecer", "trf_tok2vec"]
    fields = {"frozen_components": names, "annotating_components": ["sentencizer", *names]}
    nlp = spacy.load(train("ner", **fields) / "model-last")
    assert same_weights(nlp, spacy.load(source))


def test_assemble(
    write_config: Callable[..., Path], train: Callable[..., Path], tmp_path: Path, data: Path
) -> None:
    trained = train("ner") / "model-last"
    names = ["sentencizer", "trf_wordpiecer", "trf_tok2vec", "ner"]
    file = tmp_path / "assemble.cfg"
    Config(
        {
            "nlp": {"lang": "en", "pipeline": names},
            "components": {name: {"source": str(trained)} for name in names},
        }
    ).to_disk(file)
    assembled = tmp_path / "assembled"
    invoke("assemble", file, assembled)
    expected = scores_of(trained, data, tmp_path / "one.json")["ents_f"]
    assert scores_of(assembled, data, tmp_path / "two.json")["ents_f"] == expected


def test_package(train: Callable[..., Path], tmp_path: Path) -> None:
    trained = train("ner") / "model-best"
    output = tmp_path / "packages"
    output.mkdir()
    invoke("package", trained, output, "--name", "tiny", "--version", "1.2.3", "--build", "none")
    package = output / "en_tiny-1.2.3"
    meta = json.loads((package / "meta.json").read_text())
    assert any(line.startswith("trf_bridge") for line in meta["requirements"])
    nlp = spacy.load(package / "en_tiny" / "en_tiny-1.2.3")
    text = "Anna Berger saw Berlin."
    expected = [(e.text, e.label_) for e in spacy.load(trained)(text).ents]
    assert [(e.text, e.label_) for e in nlp(text).ents] == expected


def test_replaced_listeners_give_the_same_entities(
    train: Callable[..., Path], data: Path, tmp_path: Path
) -> None:
    trained = train("tagger", "ner") / "model-last"
    nlp = spacy.load(trained)
    nlp.replace_listeners("trf_tok2vec", "ner", ["model.tok2vec"])
    assert nlp.get_pipe("trf_tok2vec").listening_components == ["tagger"]
    nlp.to_disk(tmp_path / "replaced")
    expected = scores_of(trained, data, tmp_path / "one.json")["ents_f"]
    assert scores_of(tmp_path / "replaced", data, tmp_path / "two.json")["ents_f"] == expected


def test_train_beside_a_frozen_component_with_its_own_transformer(
    write_config: Callable[..., Path], train: Callable[..., Path], data: Path, tmp_path: Path
) -> None:
    """The frozen ner keeps its own weights, and its score."""
    before = tmp_path / "before"
    (train("ner", max_steps=40, eval_frequency=20) / "model-best").rename(before)
    file = write_config("tagger", frozen_components=["ner"], annotating_components=["sentencizer"])
    config = Config().from_disk(file, interpolate=False)
    config["nlp"]["pipeline"].append("ner")
    config["components"]["ner"] = {
        "source": str(before),
        "replace_listeners": ["model.tok2vec"],
    }
    config.to_disk(file)
    after = tmp_path / "after"
    invoke("train", file, "--output", after)
    nlp = spacy.load(after / "model-last")
    assert nlp.get_pipe("trf_tok2vec").listening_components == ["tagger"]
    expected = scores_of(before, data, tmp_path / "one.json")["ents_f"]
    assert expected > 0.5
    assert scores_of(after / "model-last", data, tmp_path / "two.json")["ents_f"] == expected
    assert not same_weights(nlp, spacy.load(before))


def test_continue_a_trained_pipeline(
    train: Callable[..., Path], data: Path, tmp_path: Path
) -> None:
    """Sourced heads listen to the sourced transformer."""
    trained = tmp_path / "first"
    (train("ner") / "model-last").rename(trained)
    names = ["sentencizer", "trf_wordpiecer", "trf_tok2vec", "ner"]
    config = Config().from_disk(trained / "config.cfg", interpolate=False)
    config["components"] = {name: {"source": str(trained)} for name in names}
    config["initialize"] = {}
    config.to_disk(tmp_path / "continue.cfg")
    output = tmp_path / "second"
    invoke("train", tmp_path / "continue.cfg", "--output", output)
    nlp = spacy.load(output / "model-last")
    assert nlp.get_pipe("trf_tok2vec").listening_components == ["ner"]
    assert not same_weights(nlp, spacy.load(trained))
