"""The examples run on tiny checkpoints, and the configs are complete."""

from __future__ import annotations

import importlib
import inspect
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy
import oracles
import pytest
import spacy
from spacy.cli import app
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from thinc.api import Config
from typer.testing import CliRunner

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
CONFIGS = sorted(path.stem for path in (EXAMPLES / "configs").glob("*.cfg"))
TRAINED = {
    "textcat": ("textcat", "cats_score"),
    "textcat_multilabel": ("textcat_multilabel", "cats_score"),
    "ner": ("news", "ents_f"),
    "tagger_parser_ner": ("news", "dep_las"),
    "intent": ("intent", "dep_las"),
    "entity_linker": ("entity_linker", "nel_micro_f"),
}


def invoke(*args: object) -> str:
    """Run `spacy ...` in this process, and return its output."""
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result.output


@pytest.fixture(scope="module", autouse=True)
def examples_can_be_imported() -> Iterator[None]:
    sys.path.insert(0, str(EXAMPLES))
    yield
    sys.path.remove(str(EXAMPLES))


def example(name: str) -> ModuleType:
    return importlib.import_module(name)


@pytest.fixture(scope="module")
def source(pipeline: Callable[..., Language], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a pipeline with a transformer and no heads."""
    folder = tmp_path_factory.mktemp("source") / "pipeline"
    pipeline("bert").to_disk(folder)
    return folder


@pytest.fixture(scope="module")
def data(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    example("make_data").main(["--output", str(folder), "--pipeline", str(source)])
    return folder


def read(path: Path) -> list[Doc]:
    return list(DocBin().from_disk(path).get_docs(spacy.blank("en").vocab))


def paths(name: str, source: Path, data: Path) -> list[object]:
    """Return the options with the paths of a config."""
    folder = data / TRAINED[name][0]
    options: list[object] = ["--paths.source", source]
    options += ["--paths.train", folder / "train.spacy", "--paths.dev", folder / "dev.spacy"]
    if name == "entity_linker":
        options += ["--paths.kb", folder / "kb", "--paths.patterns", folder / "patterns.json"]
    return options


def test_all_configs_are_tested() -> None:
    assert set(CONFIGS) == {*TRAINED, "thinc_tagger"}


def test_data_is_reproducible(source: Path, data: Path, tmp_path: Path) -> None:
    example("make_data").main(["--output", str(tmp_path), "--pipeline", str(source)])
    files = sorted(path.relative_to(data) for path in data.rglob("*.spacy"))
    assert len(files) == 10
    for file in files:
        assert (tmp_path / file).read_bytes() == (data / file).read_bytes(), file


def test_data_has_the_annotations_of_each_task(data: Path) -> None:
    assert {sum(doc.cats.values()) for doc in read(data / "textcat" / "train.spacy")} == {1.0}
    reviews = read(data / "textcat_multilabel" / "train.spacy")
    assert {sum(doc.cats.values()) for doc in reviews} == {1.0, 2.0, 3.0}
    for doc in read(data / "news" / "train.spacy"):
        assert doc.has_annotation("TAG")
        assert doc.has_annotation("DEP")
        assert len(list(doc.sents)) == 2
    assert all(doc.ents for doc in read(data / "entity_linker" / "dev.spacy"))
    labels = {token.dep_ for doc in read(data / "intent" / "train.spacy") for token in doc}
    assert {"ROOT", "PLACE", "QUALITY", "ATTRIBUTE", "-"} <= labels


@pytest.mark.parametrize("name", TRAINED)
def test_config_is_complete(name: str, source: Path, tmp_path: Path) -> None:
    """`spacy init fill-config` adds fields to the heads only."""
    given = Config().from_disk(EXAMPLES / "configs" / f"{name}.cfg", interpolate=False)
    given["paths"]["source"] = str(source)
    given.to_disk(tmp_path / "given.cfg")
    invoke("init", "fill-config", tmp_path / "given.cfg", tmp_path / "filled.cfg")
    filled = Config().from_disk(tmp_path / "filled.cfg", interpolate=False)
    for section in given:
        if section not in ("components", "paths"):
            assert set(filled[section]) - set(given[section]) <= {"vectors"}, section


@pytest.mark.parametrize("name", TRAINED)
def test_config_trains(name: str, source: Path, data: Path, tmp_path: Path) -> None:
    options = [*paths(name, source, data), "--training.max_steps", 2]
    options += ["--training.eval_frequency", 1, "--output", tmp_path]
    file = EXAMPLES / "configs" / f"{name}.cfg"
    invoke("train", file, *options)
    score = TRAINED[name][1]
    nlp = spacy.load(tmp_path / "model-last")
    reported = nlp.meta["performance"][score]
    dev = data / TRAINED[name][0] / "dev.spacy"
    invoke("evaluate", tmp_path / "model-last", dev, "--output", tmp_path / "scores.json")
    assert json.loads((tmp_path / "scores.json").read_text())[score] == pytest.approx(reported)


@pytest.mark.parametrize("name", ["textcat", "tagger_parser_ner", "entity_linker"])
def test_debug_data(name: str, source: Path, data: Path) -> None:
    file = EXAMPLES / "configs" / f"{name}.cfg"
    printed = invoke("debug", "data", file, *paths(name, source, data), "--no-format")
    assert "Pipeline can be initialized with data" in printed


def test_convert_cats(tmp_path: Path) -> None:
    lines = [
        {"text": "Where is my parcel?", "label": "delivery"},
        {"text": "I paid twice.", "label": "payment"},
    ]
    (tmp_path / "texts.jsonl").write_text("\n".join(map(json.dumps, lines)))
    output = tmp_path / "new" / "texts.spacy"
    example("convert_data").main(["cats", str(tmp_path / "texts.jsonl"), str(output)])
    first, second = read(output)
    assert first.cats == {"delivery": 1.0, "payment": 0.0}
    assert second.cats == {"delivery": 0.0, "payment": 1.0}


def test_convert_ents(tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = [
        {
            "text": "Anna Lee moved to Berlin.",
            "spans": [
                {"start": 0, "end": 8, "label": "PERSON"},
                {"start": 5, "end": 8, "label": "NAME"},
                {"start": 18, "end": 21, "label": "CITY"},
            ],
        },
        {"text": "It rained.", "spans": []},
    ]
    (tmp_path / "texts.jsonl").write_text("\n".join(map(json.dumps, lines)))
    output = tmp_path / "texts.spacy"
    example("convert_data").main(["ents", str(tmp_path / "texts.jsonl"), str(output)])
    first, second = read(output)
    found = [(ent.text, ent.label_) for ent in first.ents]
    assert found == [("Anna Lee", "PERSON"), ("Berlin", "CITY")]
    assert not second.ents


def test_convert_snips(tmp_path: Path) -> None:
    parts = [
        {"text": "Play "},
        {"text": "Blue Harbour", "entity": "artist"},
        {"text": " for caf\xe9"},
    ]
    content = json.dumps({"PlayMusic": [{"data": parts}]}, ensure_ascii=False)
    (tmp_path / "play.json").write_bytes(content.encode("latin-1"))
    output = tmp_path / "intents.spacy"
    example("convert_data").main(["snips", str(tmp_path / "play.json"), str(output)])
    (doc,) = read(output)
    assert doc.cats == {"PlayMusic": 1.0}
    assert [(token.text, token.dep_, token.head.text) for token in doc] == [
        ("Play", "ROOT", "Play"),
        ("Blue", "ARTIST", "Play"),
        ("Harbour", "ARTIST", "Blue"),
        ("for", "-", "Play"),
        ("caf\xe9", "-", "Play"),
    ]


def test_convert_mentions(source: Path, tmp_path: Path) -> None:
    line = {
        "text": "Java is hot.",
        "spans": [{"start": 0, "end": 4}],
        "accept": ["island"],
        "answer": "accept",
    }
    lines = [line] * 5 + [{**line, "accept": ["NIL_other"]}, {**line, "answer": "reject"}]
    (tmp_path / "chosen.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (tmp_path / "entities.csv").write_text(
        '"island","Java","an island"\n"code","Java","a language"\n'
    )
    files = [str(tmp_path / name) for name in ("chosen.jsonl", "entities.csv", "out")]
    example("convert_data").main(["mentions", *files, "--pipeline", str(source)])
    assert [len(read(tmp_path / "out" / f"{name}.spacy")) for name in ("train", "dev")] == [4, 1]
    assert json.loads((tmp_path / "out" / "patterns.json").read_text())[0]["pattern"] == "Java"


@pytest.fixture
def pair_pipeline(source: Path, capsys: pytest.CaptureFixture[str]) -> Language:
    """Train the pipeline of examples/custom_component.py."""
    arguments = ["--pipeline", str(source), "--epochs", "30", "--learn-rate", "0.01"]
    nlp: Language = example("custom_component").main(arguments)
    losses = [float(line.split()[-1]) for line in capsys.readouterr().out.splitlines()[:30]]
    assert losses[-1] < 0.5 * losses[0]
    return nlp


def test_custom_component_learns(pair_pipeline: Language, source: Path) -> None:
    for text, similarity in example("custom_component").PAIRS:
        assert abs(pair_pipeline(text)._.pair_similarity - similarity) < 0.5
    before = spacy.load(source).get_pipe("trf_tok2vec").model.shims[0]._model
    after = pair_pipeline.get_pipe("trf_tok2vec").model.shims[0]._model
    pairs = zip(before.parameters(), after.parameters(), strict=True)
    assert any(bool((old != new).any()) for old, new in pairs)


def test_custom_component_can_be_saved(pair_pipeline: Language, tmp_path: Path) -> None:
    text = "The train is late. The train has a delay."
    expected = pair_pipeline(text)._.pair_similarity
    pair_pipeline.to_disk(tmp_path / "pipeline")
    assert spacy.load(tmp_path / "pipeline")(text)._.pair_similarity == expected
    restored = spacy.blank("en").from_config(pair_pipeline.config)
    restored.from_bytes(pair_pipeline.to_bytes())
    assert restored(text)._.pair_similarity == expected


def test_custom_component_sends_the_right_gradient(source: Path) -> None:
    """The gradient equals finite differences of the loss."""
    nlp = spacy.load(source)
    pipe = nlp.add_pipe("pair_similarity", config={"model": {"width": 16}})
    text, similarity = example("custom_component").PAIRS[0]
    doc = nlp.get_pipe("sentencizer")(nlp.make_doc(text))
    gold = Example(doc, nlp.make_doc(text))
    gold.reference._.pair_similarity = similarity
    for name in ("trf_wordpiecer", "trf_tok2vec", "pair_similarity"):
        nlp.get_pipe(name).update([gold])
    gradient = doc._.trf_d_last_hidden_state

    def loss(row: int, column: int, step: float) -> float:
        doc._.trf_last_hidden_state[row, column] += step
        (score,) = pipe.predict([doc])
        doc._.trf_last_hidden_state[row, column] -= step
        return -float(numpy.log(score))

    for row, column in [(0, 0), (3, 5), (7, 15), (len(gradient) - 1, 2)]:
        slope = (loss(row, column, 0.01) - loss(row, column, -0.01)) / 0.02
        assert gradient[row, column] == pytest.approx(slope, rel=0.02, abs=1e-4)


def test_custom_component_is_short() -> None:
    assert len((EXAMPLES / "custom_component.py").read_text().splitlines()) < 120


def test_fewshot(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = {"thanks": ["Thank you!", "Many thanks."], "time": ["Is it nine?", "It is six."]}
    lines = [{"text": text, "label": label} for label in texts for text in texts[label]]
    (tmp_path / "texts.jsonl").write_text("\n".join(map(json.dumps, lines)))
    files = [str(tmp_path / "texts.jsonl")] * 2
    options = ["--pipeline", str(source), "--epochs", "30", "--learn-rate", "0.01"]
    options += ["--output", str(tmp_path / "out")]
    example("textcat_fewshot").main([*files, *options])
    assert "accuracy 100.0% on 4 texts" in capsys.readouterr().out
    cats = spacy.load(tmp_path / "out")("Thank you!").cats
    assert max(cats, key=cats.__getitem__) == "thanks"


def test_fewshot_without_files(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example("textcat_fewshot").main(["--pipeline", str(source), "--epochs", "1"])
    assert "on 100 texts" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        example("textcat_fewshot").main(["train.jsonl"])


def test_pairs(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["tide", "news"]
    lines = [
        {"first": first, "second": second, "label": "same" if first == second else "other"}
        for first in words
        for second in words
    ]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, lines)))
    files = [str(tmp_path / "pairs.jsonl")] * 2
    options = ["--pipeline", str(source), "--epochs", "60", "--learn-rate", "0.01"]
    options += ["--output", str(tmp_path / "out")]
    example("textcat_pairs").main([*files, *options])
    assert "accuracy 100.0% on 4 pairs" in capsys.readouterr().out
    nlp = spacy.load(tmp_path / "out")
    for line in lines:
        cats = nlp(f"{line['first']} ||| {line['second']}").cats
        assert max(cats, key=cats.__getitem__) == line["label"]


def test_pairs_without_files(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = example("textcat_pairs")
    generated = pairs.make_pairs(200, 0, pairs.NAMES)
    for label, same in [("same", True), ("other", False)]:
        texts = [text.split(" ||| ") for text, given in generated if given == label]
        assert len(texts) == 100
        synonyms = dict([*pairs.ACTIONS, *pairs.THINGS])
        for first, second in texts:
            name, action, _, thing = first.rstrip(".").split()
            paraphrase = f"The {synonyms[thing]} was {synonyms[action]} by {name}."
            assert (second == paraphrase) == same
    pairs.main(["--pipeline", str(source), "--epochs", "1"])
    assert "on 100 pairs" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        pairs.main(["train.jsonl"])


def thinc_settings(data: Path, checkpoint: Callable[[str], Path], name: str) -> list[str]:
    files = {part: data / "news" / f"{part}.conllu" for part in ("train", "dev")}
    settings: dict[str, Any] = {f"data.{part}": path for part, path in files.items()}
    settings["model.transformer.trf_name"] = checkpoint(name)
    settings["optimizer.learn_rate.initial_rate"] = 0.01
    return [
        str(EXAMPLES / "configs" / "thinc_tagger.cfg"),
        *(f"{field}={value}" for field, value in settings.items()),
    ]


@pytest.mark.parametrize("name", ["bert", "roberta"])
def test_thinc_tagger(
    name: str,
    checkpoint: Callable[[str], Path],
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tagger = example("thinc_tagger")
    model = tagger.main(thinc_settings(data, checkpoint, name))
    assert float(capsys.readouterr().out.split()[-1].rstrip("%")) > 80
    sentences = list(tagger.read_conllu(data / "news" / "dev.conllu", 5, 3))
    rows = model.predict(sentences)
    assert [len(row) for row in rows] == [len(sentence.tags) for sentence in sentences]
    numpy.testing.assert_allclose(rows[0].sum(axis=1), 1.0, rtol=1e-5)


def test_thinc_tagger_needs_no_spacy_pipeline() -> None:
    code = (EXAMPLES / "thinc_tagger.py").read_text()
    assert "spacy" not in code.replace("spaCy", "")


@pytest.mark.slow
def test_thinc_tagger_is_typed() -> None:
    pytest.importorskip("mypy")
    command = [sys.executable, "-m", "mypy", "examples/thinc_tagger.py"]
    completed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stdout + completed.stderr


def compare(*args: object) -> None:
    example("compare_wordpieces").main([str(arg) for arg in args])


def cells_of(table: str) -> list[list[str]]:
    """Split a printed table into cells at the columns of its divider."""
    # Afterwards every character is one column wide.
    even = table.replace("北", "北_").replace("京", "京_").replace("e\u0301", "é")
    header, divider, *lines = even.splitlines()
    edges = [0, *(i + 1 for i, char in enumerate(divider[:-1]) if divider[i : i + 2] == " -")]
    ends = [*edges[1:], None]
    return [
        [line[a:b].replace("_", "").strip() for a, b in zip(edges, ends, strict=True)]
        for line in [header, *lines]
    ]


def test_semantic_search(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The best text for a query is the same text, whatever the model."""
    lines = ["Anna saw Berlin.", "", "It is nine. The train is late!"]
    file = tmp_path / "texts.txt"
    file.write_text("\n".join(lines))
    search = example("semantic_search")
    search.main([lines[2], "--texts", str(file), "--pipeline", str(source), "--n-best", "1"])
    assert capsys.readouterr().out.splitlines()[-1] == f"1.000  {lines[2]}"
    search.main([search.TEXTS[3], "--pipeline", str(source)])
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("10 texts in")
    assert printed[2] == f"1.000  {search.TEXTS[3]}"
    scores = [float(line.split()[0]) for line in printed[2:]]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == 5


class Service:
    """Imitates the part of FastAPI that the example uses."""

    def __init__(self) -> None:
        self.routes: dict[str, Callable[..., Any]] = {}

    def post(self, path: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        return lambda function: self.routes.setdefault(path, function)


def test_serve(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests in several threads get the results of one thread."""
    module = ModuleType("fastapi")
    vars(module).update(FastAPI=Service, Body=lambda **options: options)
    monkeypatch.setitem(sys.modules, "fastapi", module)
    monkeypatch.setenv("PIPELINE", str(source))
    analyze = example("serve").make_app().routes["/analyze"]
    assert inspect.signature(analyze).parameters["text"].default["embed"] is True
    nlp = spacy.load(source)
    texts = [f"Anna saw Berlin {n} times. It rained." for n in range(24)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(analyze, texts))
    for text, result in zip(texts, found, strict=True):
        assert json.loads(json.dumps(result)) == result
        numpy.testing.assert_allclose(result["vector"], nlp(text).vector, atol=1e-5)


def test_compare_wordpieces(
    checkpoint: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["bert", "roberta", "xlnet"]
    text = "Anna  isn't\n 北京 cafe\u0301 a"
    compare(*map(checkpoint, names), "--text", text)
    table, legend, *_ = capsys.readouterr().out.split("\n\n")
    header, *tokens, _, boundary, totals = cells_of(table)
    assert header == ["token", *(checkpoint(name).name for name in names)]
    words = ["Anna", "␣", "is", "n't", "\\n", "北京", "café", "a"]
    assert [line[0] for line in tokens] == words
    assert boundary == ["boundary", "[CLS] [SEP]", "<s> </s>", "<sep> <cls>"]
    for column, name in enumerate(names, start=1):
        plain = oracles.load_plain_tokenizer(checkpoint(name))
        pieces = plain.convert_ids_to_tokens(plain(text, add_special_tokens=False)["input_ids"])
        printed = [piece for line in tokens for piece in line[column].split()]
        shared = {piece for piece in printed if piece.endswith("*")}
        assert [p for i, p in enumerate(printed) if p not in shared or p not in printed[:i]] == [
            f"{piece}*" if f"{piece}*" in shared else piece for piece in pieces
        ]
        assert totals[column] == str(len(plain(text)["input_ids"]))
    assert legend.startswith("*") == ("*" in table)


def test_compare_wordpieces_marks_shared_wordpieces(
    checkpoint: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compare(checkpoint("bert"), "--text", "👍🏽")  # two tokens and one unknown wordpiece
    printed = capsys.readouterr().out
    assert printed.count("[UNK]*") == 2
    assert "* shared by several tokens" in printed
    compare(checkpoint("bert"), "--text", "a b")
    assert "*" not in capsys.readouterr().out


def test_compare_wordpieces_fits_the_terminal(
    checkpoint: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    names = ["bert", "roberta", "xlnet", "gpt2", "t5"]
    compare(*map(checkpoint, names), "--text", "Laced with dreams.")
    printed = capsys.readouterr().out
    assert printed.count("token  ") > 1
    assert printed.count("wordpieces  ") == printed.count("token  ")
    assert all(len(line) <= 60 for line in printed.splitlines())


def test_compare_wordpieces_does_not_read_weights(
    checkpoint: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in checkpoint("gpt2").iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    compare(tmp_path, "--text", "a")
    assert tmp_path.name in capsys.readouterr().out


def test_compare_wordpieces_uses_the_hub_by_default() -> None:
    with pytest.raises(SystemExit, match=r"\[TB002\] .*google-bert/bert-base-uncased") as error:
        compare()
    assert "\n" not in str(error.value)


def test_compare_wordpieces_of_a_text_without_tokens(
    checkpoint: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    compare(checkpoint("gpt2"), "--text", "")
    assert cells_of(capsys.readouterr().out.strip())[-1] == ["wordpieces", "0"]


def test_quickstart(
    pipeline: Callable[..., Language],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(spacy, "load", lambda name: pipeline("bert"))
    example("quickstart").main()
    assert "[CLS]" in capsys.readouterr().out
