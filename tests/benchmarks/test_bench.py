"""The results and the report of the benchmark; speed itself is not tested."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy
import pytest
from tiny import save_checkpoint

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.append(str(BENCHMARKS))

bench, texts, machine, measures = map(
    importlib.import_module, ["bench", "texts", "machine", "worker_measures"]
)
report, stages, systems, targets, turns = map(
    importlib.import_module, ["report", "stages", "systems", "targets", "turns"]
)

TEXTS = ["She isn't home. He is.", "A pie. A cake!"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_checkpoint("bert", tmp_path_factory.mktemp("bert")))


def test_ratios_are_medians_over_rounds() -> None:
    # The ratio of the medians would be 2 / 3.
    assert turns.median_ratio([1, 2, 10], [4, 3, 2]) == 2 / 3
    assert turns.median_ratio([1.0, 2.0, 9.0], [1.0, 4.0, 3.0]) == 1.0
    seconds = {"plain fp32": [4.0, 4.0, 8.0], "bridge fp32": [2.0, 1.0, 1.0]}
    assert turns.against(seconds) == {"plain fp32": {"plain fp32": 1.0, "bridge fp32": 4.0}}


def test_each_round_starts_with_another_system() -> None:
    assert [turns.rotated(["a", "b", "c"], i)[0] for i in range(4)] == ["a", "b", "c", "a"]


def test_formats_of_texts(tmp_path: Path) -> None:
    contents = {
        "lines.jsonl": '{"text": "One\\u2028line."}\n{"text": "Two."}\n',
        "bank.conllu": "# newdoc id = a\n# text = A b.\n1\tA\n\n# text = C.\n\n"
        "# newdoc\n# text = D.\n",
        "plain.txt": "First\nparagraph.\n\n\nSecond.\n",
    }
    found = {}
    for name, content in contents.items():
        (tmp_path / name).write_text(content, encoding="utf8")
        found[name] = list(texts.read_texts(tmp_path / name))
    assert found == {
        "lines.jsonl": ["One\u2028line.", "Two."],
        "bank.conllu": ["A b. C.", "D."],
        "plain.txt": ["First\nparagraph.", "Second."],
    }
    paths = [tmp_path / name for name in contents]
    sets = texts.text_sets(None, paths, limit=1)
    assert list(sets) == ["lines", "bank", "plain"]
    assert [len(documents) for documents in sets.values()] == [1, 1, 1]
    assert texts.text_sets(None, paths, limit=1) == sets
    assert list(texts.text_sets(None, paths[:1] * 2, limit=1)) == ["lines", str(paths[0])]
    with pytest.raises(SystemExit, match="does not exist"):
        texts.text_sets(None, [tmp_path / "other.txt"], limit=1)


def test_own_pages_are_the_default_text() -> None:
    (pages,) = texts.text_sets(None, [], limit=1000).values()
    assert len(pages) > 50
    assert sum(map(len, pages)) > 15_000
    assert not any("```" in text or "\n" in text for text in pages)


def test_growing_texts_repeat_their_sentences() -> None:
    given = ["One sentence. ", "Another one."]
    documents = texts.growing_documents(given, 20)
    assert {times: document.count("One") for times, (document,) in documents.items()} == {
        1: 1,
        2: 2,
        4: 4,
        8: 8,
    }
    numbers = texts.growing_numbers(given, 20)
    assert [len(found) for found in numbers.values()] == [2, 4, 8, 16]
    assert sum(map(len, numbers[1])) == 20
    assert len(texts.long_document(given, 1000)) == 1000
    assert texts.streamed_documents(given, 3) == [given[0], given[1], given[0]]


def test_short_texts_have_8_to_20_words() -> None:
    good = " ".join("abcdefghij")
    assert texts.short_texts([["a b", good], ["c"]], 3) == [good] * 3
    assert set(texts.short_texts([["a b"], ["c"]], 4)) == {"a b", "c"}


def test_clocks_exclude_inner_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(stages.time, "perf_counter", lambda: clock.now)

    def work(seconds: float) -> None:
        clock.now += seconds

    clocks = stages.Clocks()
    inner = clocks.wrap("inner", work)

    def outer() -> None:
        work(1.0)
        inner(2.0)
        inner(4.0)
        work(8.0)

    clocks.wrap("outer", outer)()
    assert clocks.seconds == {"outer": 9.0, "inner": 6.0}


def test_every_stage_has_a_time_and_methods_are_restored(checkpoint: str) -> None:
    system = systems.Bridge(checkpoint, "fp32", 3000)
    pipes, layer = list(system.nlp._components), system.nlp.get_pipe("trf_tok2vec").model
    before = dict(vars(layer.shims[0])), layer._func, vars(system.nlp).get("make_doc")
    found = stages.stage_seconds(system, TEXTS, 1)["stages"]
    assert list(found) == stages.STAGES
    assert all(seconds > 0 for seconds in found.values())
    assert system.nlp._components == pipes
    after = dict(vars(layer.shims[0])), layer._func, vars(system.nlp).get("make_doc")
    assert before[0].keys() == after[0].keys()
    assert before[1:] == after[1:]
    assert stages.alignment_seconds(system, TEXTS)["seconds"] > 0


def test_both_systems_give_the_same_rows(checkpoint: str, tmp_path: Path) -> None:
    bridge = systems.Bridge(checkpoint, "fp32", 3000)
    plain = systems.Plain(checkpoint, "fp32", 3000)
    sentences = bridge.sentences(TEXTS)
    assert sentences == [["She isn't home.", "He is."], ["A pie.", "A cake!"]]
    lost = measures.save_outputs(bridge, TEXTS, str(tmp_path / "bridge.npy"))["lost"]
    measures.save_outputs(plain, sentences, str(tmp_path / "plain.npy"))
    ours, theirs = (numpy.load(tmp_path / f"{name}.npy") for name in ("bridge", "plain"))
    numpy.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert lost < 1e-5
    first = plain.run_one(sentences[0][:1])
    numpy.testing.assert_allclose(first, ours[: len(first)], atol=1e-5)
    counts = measures.statistics_of(bridge, TEXTS)
    assert counts["wordpieces"] == len(ours) == plain.run(sentences, 1)
    assert counts["tokens"] == bridge.run(TEXTS, 1) == 14
    assert counts["sentences"] == 4


def test_a_trained_pipeline_is_loaded_in_another_precision(checkpoint: str) -> None:
    worker = importlib.import_module("finetune_worker")
    nlp = worker.bridge_pipeline(checkpoint, "snips")
    nlp.get_pipe("trf_textcat").add_label("a")
    nlp.get_pipe("trf_textcat").add_label("b")
    nlp.initialize()
    same, lower = (worker.in_precision(nlp, name)(TEXTS[0]).tensor for name in ("fp32", "bf16"))
    numpy.testing.assert_array_equal(same, nlp(TEXTS[0]).tensor)
    assert 0 < numpy.abs(same - lower).max() < 0.1


def test_memory_is_measured(checkpoint: str) -> None:
    system = systems.Bridge(checkpoint, "fp32", 3000)
    assert measures.peak_of_run(system, TEXTS, None)["loaded"] > 10
    assert len(measures.memory_growth(system, TEXTS * 2, [1, 4], None)["megabytes"]) == 2
    found = measures.long_run(system, texts.long_document(TEXTS, 2000))
    assert found["works"] is True
    assert found["tokens"] > 100


def test_a_target_must_be_reached_on_every_set() -> None:
    results: dict[str, Any] = {"machine": {"instructions": {"fast": False}}}
    target = targets.Target("speed", lambda r: r["speed"], 2.0, True, "{:.1f}")
    assert targets.check(target, results)["measured"] == "not measured"
    for values, answer in [({"a": 2.0, "b": 3.0}, "yes"), ({"a": 1.9, "b": 3.0}, "no")]:
        line = targets.check(target, results | {"speed": values})
        assert line["reached"] == answer
        assert line["target"] == "at least 2.0"
    most = target._replace(least=False, note="goal 1")
    assert targets.check(most, results | {"speed": {"": 2.0}}) == {
        "what": "speed",
        "target": "at most 2.0, goal 1",
        "measured": "2.0",
        "reached": "yes",
    }
    line = targets.check(target._replace(needs="fast"), results | {"speed": {"": 1.0}})
    assert line["reached"] == "does not apply: no fast"


def test_fields_of_the_first_core(tmp_path: Path) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text("model name\t: A: fast one\nflags\t\t: avx2 amx_bf16\n\nmodel name\t: B\n")
    assert machine.read_cpuinfo(path) == {"model name": "A: fast one", "flags": "avx2 amx_bf16"}
    assert machine.read_cpuinfo(tmp_path / "none") == {}


def test_files_of_the_installed_pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "a_pipeline"
    for name in ("trf_tok2vec/config.json", "trf_tok2vec/model.safetensors", "trf_wordpiecer/a"):
        path = package / "a_pipeline-0.1.0" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    tokenizer = package / "a_pipeline-0.1.0" / "trf_wordpiecer" / "tokenizer"
    tokenizer.mkdir()
    (tokenizer / "tokenizer.json").write_text("{}")
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(bench, "PIPELINE", "a_pipeline")
    found = bench.find_checkpoint(tmp_path / "checkpoint")
    names = {path.name for path in found.iterdir()}
    assert names == {"config.json", "model.safetensors", "tokenizer.json"}
    monkeypatch.setattr(bench, "PIPELINE", "no_such_pipeline")
    with pytest.raises(SystemExit, match="make demo"):
        bench.find_checkpoint(tmp_path / "other")


@pytest.mark.parametrize(
    "arguments", [["--rounds", "2"], ["--parts", "sped"], ["--systems", "bridge fp8"]]
)
def test_options_are_checked(arguments: list[str]) -> None:
    with pytest.raises(SystemExit):
        bench.parse(arguments)


def test_peers_need_their_environments(tmp_path: Path) -> None:
    assert set(bench.find_pythons(bench.parse([]))) == set(systems.SYSTEMS) - set(systems.PEERS)
    with pytest.raises(SystemExit, match="PEERS=1"):
        bench.find_pythons(bench.parse(["--peers", str(tmp_path)]))


@pytest.mark.slow
def test_a_quick_run_writes_numbers_a_table_and_a_figure(checkpoint: str, tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARKS / "bench.py"), "--quick", "--threads", "1"]
    command += ["--checkpoint", checkpoint, "--systems", "bridge fp32,plain fp32"]
    command += ["--parts", "speed,latency,stages,growth,memory", "--output", str(tmp_path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, encoding="utf8")
    results = json.loads((tmp_path / "bench.json").read_text(encoding="utf8"))
    table = (tmp_path / "bench.md").read_text(encoding="utf8")
    assert report.report(results) == table
    assert table in done.stdout
    assert "Do not use its numbers" in table
    for target in targets.TARGETS:
        assert f"| {target.what} |" in table
    (speed,) = results["speed"].values()
    assert {system: len(found) for system, found in speed["seconds"].items()} == {
        "bridge fp32": 3,
        "plain fp32": 3,
    }
    assert speed["outputs"]["bridge fp32"]["largest_difference"] < 1e-5
    (stage,) = results["stages"].values()
    assert sum(stage["shares"]["bridge fp32"].values()) == pytest.approx(1)
    assert len(results["growth"]["document length"]["per_doubling"]["bridge fp32"]) == 3
    assert results["memory"]["peaks"]["bridge fp32"]["loaded"] > 10
    assert results["memory"]["stream"]["documents"] == [20, 100]
    picture = (tmp_path / "bench.svg").read_text(encoding="utf8")
    assert ">bridge fp32<" in picture
    assert ">seconds: document length<" in picture
