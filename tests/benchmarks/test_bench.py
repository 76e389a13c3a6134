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

ablation, bench, gpu, machine, measures, plain = map(
    importlib.import_module, ["ablation", "bench", "gpu", "machine", "worker_measures", "plain"]
)
parts, report, stages, systems, targets, texts, turns = map(
    importlib.import_module,
    ["parts", "report", "stages", "systems", "targets", "texts", "turns"],
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


def test_a_trick_is_compared_with_the_measurement_that_lacks_the_same() -> None:
    seconds = {"all": [1.0] * 3, "encoder": [2.0] * 3, "tiles": [3.0] * 3, "oneDNN": [4.0] * 3}
    assert parts.to_all(seconds) == {"encoder": 2.0, "tiles": 1.5, "oneDNN": 4.0}
    del seconds["encoder"]
    assert parts.to_all(seconds)["tiles"] == 3.0


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


def test_commands_of_snips(tmp_path: Path) -> None:
    folder = tmp_path / texts.SNIPS
    folder.mkdir(parents=True)
    entries = [{"data": [{"text": "play "}, {"text": f"song {i}"}]} for i in range(5)]
    for name in ("train_PlayMusic_full", "validate_PlayMusic"):
        content = json.dumps({"PlayMusic": entries})
        (folder / f"{name}.json").write_text(content, encoding="utf8")
    found = texts.snips(tmp_path)
    assert (
        found["train"] == found["validate"] == [(f"play song {i}", "PlayMusic") for i in range(5)]
    )
    assert len(texts.short_documents(tmp_path, 10)) == 5
    assert texts.short_documents(tmp_path, 3) == texts.short_documents(tmp_path, 3)


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


def test_the_model_alone_gives_the_same_rows(checkpoint: str, tmp_path: Path) -> None:
    bridge = systems.Bridge(checkpoint, "fp32", 3000)
    other = systems.Plain(checkpoint, "fp32", 3000)
    sentences = [sentence for doc in bridge.sentences(TEXTS) for sentence in doc]
    planned = json.loads(json.dumps(other.plan(sentences)))
    found = {}
    for name, system, content in [("bridge", bridge, TEXTS), ("plain", other, planned)]:
        path = tmp_path / f"{name}.npy"
        measures.save_model_rows(system, content, str(path))
        found[name] = numpy.load(path)
        assert measures.timed_model(system, content)["n"] == len(found[name])
    numpy.testing.assert_allclose(found["bridge"], found["plain"], atol=1e-5)


def test_padding_is_masked() -> None:
    ids, mask = plain.pad([[5, 6, 7], [8]], 9)
    assert ids.tolist() == [[5, 6, 7], [8, 9, 9]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]


@pytest.mark.parametrize("name", ablation.TRICKS)
def test_outputs_stay_the_same_without_a_trick(name: str, checkpoint: str) -> None:
    rows = []
    for trick in (ablation.ALL, name):
        with ablation.switched_off(trick) as settings:
            system = systems.Bridge(checkpoint, "fp32", 3000, **settings)
            rows.append(numpy.concatenate(system.model_rows(system.read_inputs(TEXTS))))
    numpy.testing.assert_allclose(*rows, atol=1e-5)


def test_the_same_weights_are_rounded_without_the_copy(checkpoint: str) -> None:
    with ablation.switched_off("bf16 copy") as settings:
        mixed = systems.Bridge(checkpoint, "bf16", 3000, **settings)
        copied = systems.Bridge(checkpoint, "fp32", 3000)
        rows, exact = (
            numpy.concatenate(system.model_rows(system.read_inputs(TEXTS)))
            for system in (mixed, copied)
        )
    assert 0 < numpy.abs(rows - exact).max() < 0.1


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
    results: dict[str, Any] = {"machine": {"instructions": {}}}
    limits = targets.Limits(amx=3.0, avx512=None, other=2.0)
    target = targets.Target("speed", lambda r: r["speed"], limits, form="{:.1f}")
    assert targets.check(target, results)["measured"] == "not measured"
    assert targets.check(target, results | {"speed": {}})["measured"] == "not measured"
    for values, answer in [({"a": 2.0, "b": 3.0}, "yes"), ({"a": 1.9, "b": 3.0}, "no")]:
        line = targets.check(target, results | {"speed": values})
        assert line["reached"] == answer
        assert line["target"] == "at least 2.0"
    most = target._replace(least=False)
    assert targets.check(most, results | {"speed": {"": 2.0}}) == {
        "what": "speed",
        "target": "at most 2.0",
        "measured": "2.0",
        "reached": "yes",
    }


def test_limits_depend_on_the_processor() -> None:
    limits = targets.Limits(amx=3.0, avx512=None, other=2.0)
    target = targets.Target("speed", lambda r: r["speed"], limits, form="{:.1f}")
    for instructions, limit, answer in [
        ({"amx_bf16": True, "avx512_bf16": True}, "at least 3.0", "no"),
        ({"amx_bf16": False, "avx512_bf16": True}, "none for this processor", ""),
        ({"avx2": True}, "at least 2.0", "yes"),
    ]:
        results = {"machine": {"instructions": instructions}, "speed": {"a": 2.5}}
        line = targets.check(target, results)
        assert (line["target"], line["reached"], line["measured"]) == (limit, answer, "2.5 a")


def test_a_run_replaces_its_own_parts_only() -> None:
    machine_now = {"instructions": {}}
    first = {"machine": machine_now, "versions": {"a": 1, "b": 1}, "texts": {}}
    first |= {"runs": {"growth": 1, "ceiling": 1}, "growth": {}, "ceiling": {"old": True}}
    second = {"machine": machine_now, "versions": {"b": 2}, "texts": {}, "runs": {"growth": 2}}
    merged = bench.update(bench.update({}, first), second | {"growth": {"new": True}})
    assert merged["versions"] == {"a": 1, "b": 2}
    assert merged["runs"] == {"growth": 2, "ceiling": 1}
    assert merged["growth"] == {"new": True}
    assert merged["ceiling"] == {"old": True}
    assert len(merged["targets"]) == len(targets.TARGETS)


def test_tables_of_the_base_shape_and_of_the_ablation() -> None:
    systems_of = ("bridge fp32", "plain fp32")
    measured = {
        "seconds": {system: [1.0] for system in systems_of},
        "wordpieces_per_second": dict.fromkeys(systems_of, 1000.0),
        "tokens_per_second": dict.fromkeys(systems_of, 900.0),
        "times_as_fast": {"plain fp32": {"bridge fp32": 1.25, "plain fp32": 1.0}},
    }
    versions = {"bridge fp32": {"engine": "encoder"}, "plain fp32": {}}
    table = report.base({"model": measured, "speed": measured, "versions": versions})
    assert "| bridge fp32 | encoder | 1,000 | 1.25 | 900 | 1.25 |" in table
    ratios = dict.fromkeys(ablation.TRICKS, 1.5)
    table = report.ablation({"prediction fp32": ratios})
    assert f"| encoder | {ablation.TRICKS['encoder'].description} | 1.50 |" in table
    assert f"| fast dropout | {ablation.TRICKS['fast dropout'].description} |  |" in table


def test_every_part_has_a_function() -> None:
    run = SimpleNamespace(args=None)
    assert list(bench.part_functions(run, {"a": ["text"]}, {})) == bench.PARTS


def test_names_of_processors() -> None:
    name, folder = machine.processor_name, machine.folder_name
    exact = {"model name": "Intel(R) Xeon(R) Platinum 8488C CPU @ 2.40GHz", "cpu family": "6"}
    assert name(exact) == "Intel Xeon Platinum 8488C"
    vague = {"model name": "AMD EPYC", "cpu family": "25", "model": "17"}
    assert name(vague | {"flags": "avx2 avx512f"}) == "AMD EPYC, family 25, model 17, avx512f"
    assert folder(name(vague)) == "amd-epyc-family-25-model-17"


def test_results_of_a_busy_machine_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "available_cores", lambda: 4)
    for load in (None, 0.0, 1.2):
        monkeypatch.setattr(machine, "current_load", lambda load=load: load)
        machine.check_idle()
    monkeypatch.setattr(machine, "current_load", lambda: 1.3)
    with pytest.raises(SystemExit, match=r"at most 1\.2 .* got 1\.30.*--force"):
        machine.check_idle()
    with pytest.raises(SystemExit, match="--force"):
        bench.main([])


def test_the_gpu_benchmark_needs_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = importlib.import_module("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="Expected a GPU"):
        gpu.main([])
    assert gpu.report({}).count(gpu.UNMEASURED) == len(gpu.LINES)


def test_the_gpu_benchmark_runs_on_any_device(checkpoint: str) -> None:
    args = SimpleNamespace(words_per_batch=3000, batch=4, rounds=3)
    found = gpu.measure(checkpoint, TEXTS, args, "cpu")
    assert found["shared"] is True
    assert found["alignment"] is True
    assert found["prediction"]["times"] > 0
    assert found["training"]["times"] > 0
    table = gpu.report({"gpu": "A GPU", "date": "2026-11-21", **found})
    assert table.startswith("A GPU, 2026-11-21.")
    assert gpu.UNMEASURED not in table


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
    own = {name for name, system in systems.SYSTEMS.items() if system.kind in parts.OWN}
    assert set(bench.find_pythons(bench.parse([]))) == own
    with pytest.raises(SystemExit, match="PEERS=1"):
        bench.find_pythons(bench.parse(["--peers", str(tmp_path)]))


@pytest.mark.slow
def test_a_quick_run_writes_numbers_a_table_and_a_figure(checkpoint: str, tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARKS / "bench.py"), "--quick", "--threads", "1"]
    command += ["--checkpoint", checkpoint, "--systems", "bridge fp32,plain fp32"]
    command += ["--parts", "model,speed,latency,stages,growth,memory"]
    command += ["--output", str(tmp_path), "--force"]
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
    (model,) = results["model"].values()
    assert model["outputs"]["bridge fp32"]["largest_difference"] < 1e-5
    (stage,) = results["stages"].values()
    assert sum(stage["shares"]["bridge fp32"].values()) == pytest.approx(1)
    assert len(results["growth"]["document length"]["per_doubling"]["bridge fp32"]) == 3
    assert results["memory"]["peaks"]["bridge fp32"]["loaded"] > 10
    assert results["memory"]["stream"]["documents"] == [20, 100]
    picture = (tmp_path / "bench.svg").read_text(encoding="utf8")
    assert ">bridge fp32<" in picture
    assert ">seconds: document length<" in picture
