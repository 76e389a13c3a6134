"""Compare this project with plain transformers and with similar libraries (peers) in one run.

    make bench
    make bench PEERS=1
    python benchmarks/bench.py --data DATA --peers .cache/peers
    python benchmarks/bench.py --data DATA --parts ablation

Prints a table and writes it to the folder of the processor in benchmarks/results, with all numbers
and a figure. A run of some parts replaces these parts only. Each system runs in a separate process,
and the systems take turns in every round. Without --data and --texts, the texts are the pages of
this project: enough for a check that the benchmark works, but too little for a comparison.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import parts
import texts
from machine import available_cores, check_idle, describe_machine, folder_name
from plot import draw
from report import report
from systems import PEERS, SYSTEMS
from targets import SHORT, TARGETS, check
from turns import BRIDGE, PLAIN, Run

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
NUMBERS = "bench.json"
PEERS_FOLDER = HERE.parent / ".cache" / "peers"
PIPELINE = "en_trf_bert"
# The settings that are stored with each part.
SETTINGS = ("rounds", "threads", "limit", "batch_size", "words_per_batch", "quick")
# These parts start processes of their own, after those of the systems are stopped.
SEPARATE = ("base", "ablation", "memory", "finetune")
PARTS = ["model", "speed", "latency", "stages", "growth", *SEPARATE]
# A minute or two without peers: a check that everything works, not a measurement.
QUICK = {
    "rounds": 3,
    "limit": 3,
    "short_docs": 50,
    "latency_calls": 40,
    "growth_chars": 500,
    "base_chars": 1000,
    "ablation_chars": 2000,
    "memory_docs": 5,
    "stream": 100,
    "long_chars": 20_000,
    "finetune_steps": 20,
}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line.

    arguments (list of str): The arguments; None for those of the process.
    RETURNS (Namespace): The options.
    """
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add(
        "--checkpoint",
        type=Path,
        help=f"a folder; default: that of {PIPELINE}",
    )
    add("--data", type=Path, help="a folder with " + ", ".join([*texts.DATA.values(), texts.SNIPS]))
    add("--texts", type=Path, action="append", default=[], help=".jsonl, .conllu or .txt")
    add("--limit", type=int, default=25, help="documents per text set")
    add(
        "--peers",
        type=Path,
        nargs="?",
        const=PEERS_FOLDER,
        help=f"a folder with the environments {', '.join(PEERS)}; make bench PEERS=1 creates it",
    )
    add("--systems", default=",".join(SYSTEMS), help="separated by commas; default: all")
    add("--parts", default=",".join(PARTS), help="separated by commas; default: all")
    add("--rounds", type=int, default=5)
    add("--threads", type=int, default=available_cores())
    add("--batch-size", type=int, help="documents per batch; default: 1000, as in spaCy")
    add("--words-per-batch", type=int, default=3000)
    add("--short-docs", type=int, default=3150, help="documents of SNIPS")
    add("--latency-calls", type=int, default=200)
    add("--growth-chars", type=int, default=1500, help="characters of the smallest texts")
    add("--base-chars", type=int, default=24_000, help="characters for the shape of BERT-base")
    add("--ablation-chars", type=int, default=40_000, help="characters for the ablation")
    add("--memory-docs", type=int, default=100, help="documents of the peaks of memory")
    add("--stream", type=int, default=2500, help="documents of the growth of memory")
    add("--long-chars", type=int, default=texts.LONG_DOCUMENT)
    add("--finetune-steps", type=int, default=150)
    add("--quick", action="store_true", help="small sizes, to check that everything works")
    add("--force", action="store_true", help="store the results of a busy machine, too")
    add(
        "--output",
        type=Path,
        help="a folder; default: that of the processor in benchmarks/results, and none with "
        "--quick",
    )
    args = parser.parse_args(arguments)
    if args.quick:
        vars(args).update(QUICK)
    args.parts = args.parts.split(",")
    args.systems = args.systems.split(",")
    for given, known in [(args.parts, PARTS), (args.systems, SYSTEMS)]:
        if unknown := set(given) - set(known):
            names = ", ".join(sorted(unknown))
            parser.error(f"unknown: {names}. Expected some of: {', '.join(known)}")
    if args.rounds < 3:
        parser.error(f"expected at least 3 rounds for a median, got {args.rounds}")
    return args


def find_checkpoint(folder: Path) -> Path:
    """Copy the checkpoint of the installed pipeline into one folder.

    A pipeline stores the files of the model and of the tokenizer in separate folders.

    folder (Path): The folder to create.
    RETURNS (Path): The folder.
    """
    spec = importlib.util.find_spec(PIPELINE)
    if spec is None or spec.origin is None:
        sys.exit(f"{PIPELINE} is not installed. Run make demo, or pass --checkpoint.")
    package = Path(spec.origin).parent
    folder.mkdir()
    patterns = [
        "trf_tok2vec/config.json",
        "trf_tok2vec/*.safetensors",
        "trf_wordpiecer/tokenizer/*",
    ]
    for pattern in patterns:
        for path in package.glob(f"{PIPELINE}-*/{pattern}"):
            shutil.copy(path, folder)
    return folder


def find_pythons(args: argparse.Namespace) -> dict[str, str]:
    """Return the Python interpreter of each system in the run.

    args (Namespace): The options.
    RETURNS (dict): Paths by system.
    """
    pythons = {}
    for name, (kind, _) in SYSTEMS.items():
        if name not in {BRIDGE, PLAIN, *args.systems}:
            continue
        if kind not in PEERS:
            pythons[name] = sys.executable
        elif args.peers is not None:
            python = args.peers / kind / "bin" / "python"
            if not python.exists():
                sys.exit(f"{python} is missing. Run make bench PEERS=1 to create it.")
            pythons[name] = str(python)
    return pythons


def measure(
    args: argparse.Namespace, folder: Path, save: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """Run the chosen parts of the benchmark.

    args (Namespace): The options, with a checkpoint.
    folder (Path): An empty folder for the files of the workers.
    save (callable): Receives the results after each part.
    RETURNS (dict): The results.
    """
    sets = texts.text_sets(args.data, args.texts, args.limit)
    has_snips = args.data is not None and (args.data / texts.SNIPS).is_dir()
    short = {SHORT: texts.short_documents(args.data, args.short_docs)} if has_snips else {}
    machine = describe_machine()
    results: dict[str, Any] = {"machine": machine, "runs": {}}
    run = Run(args, find_pythons(args), folder)
    run.start()
    results["versions"] = {name: worker.ready["versions"] for name, worker in run.workers.items()}
    results["texts"] = {
        name: run.workers[BRIDGE].call("statistics", name=run.add(name, found))
        for name, found in {**sets, **short}.items()
    }
    if "speed" in args.parts:
        results["ceiling"] = run.workers[BRIDGE].call("products")
    functions = part_functions(run, sets, short)
    if not has_snips and "finetune" in args.parts:
        print(f"finetune skipped: --data has no folder {texts.SNIPS}", file=sys.stderr)
        del functions["finetune"]
    for part in [part for part in functions if part in args.parts]:
        print(f"{part} …", file=sys.stderr, flush=True)
        if part in SEPARATE:
            run.stop()
        start = time.perf_counter()
        results[part] = functions[part]()
        results["runs"][part] = {
            "date": date.today().isoformat(),
            "minutes": (time.perf_counter() - start) / 60,
            "load_before": machine["load_before"],
            **{name: getattr(args, name) for name in SETTINGS},
        }
        save(results)
    run.stop()
    return results


def part_functions(
    run: Run, sets: dict[str, list[str]], short: dict[str, list[str]]
) -> dict[str, Callable[[], dict[str, Any]]]:
    """Return a function for each part of the benchmark, in the order of `PARTS`.

    run (Run): The workers.
    sets (dict): Long documents by name of the set.
    short (dict): Short documents by name of the set; empty without them.
    RETURNS (dict): The functions, by name of the part.
    """
    args, first = run.args, next(iter(sets.values()))

    def each(function: Callable[..., Any], of: dict[str, list[str]]) -> Callable[[], Any]:
        return lambda: {name: function(run, name, found) for name, found in of.items()}

    def memory() -> dict[str, Any]:
        return parts.memory(run, texts.text_sets(args.data, args.texts, args.memory_docs))

    return {
        "model": each(parts.model, sets),
        "speed": each(parts.speed, {**sets, **short}),
        "latency": lambda: parts.latency(run, first),
        "stages": each(parts.stage_shares, sets),
        "growth": lambda: parts.growth(run, first),
        "base": lambda: parts.base_shape(run, first),
        "ablation": lambda: parts.ablation(run, first, trains=bool(short)),
        "memory": memory,
        "finetune": lambda: parts.finetune(run),
    }


def update(stored: dict[str, Any], results: dict[str, Any]) -> dict[str, Any]:
    """Replace the parts of earlier results that were measured again.

    stored (dict): Earlier results on the same processor.
    results (dict): New results.
    RETURNS (dict): All results, with the check of the targets.
    """
    merged = {**stored, **results}
    for name in ("versions", "texts", "runs"):
        merged[name] = {**stored.get(name, {}), **results[name]}
    merged["targets"] = [check(target, merged) for target in TARGETS]
    return merged


def store(results: dict[str, Any], folder: Path) -> None:
    """Write the numbers, the tables and the figure to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = json.dumps(results, indent=2, ensure_ascii=False)
    (folder / NUMBERS).write_text(numbers + "\n", encoding="utf8")
    (folder / "bench.md").write_text(report(results), encoding="utf8")
    picture = folder / "bench.svg"
    picture.unlink(missing_ok=True)  # a figure of an earlier run, if this one has nothing to plot
    draw(results, picture)


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark and write its results."""
    args = parse(arguments)
    output = args.output
    if output is None and not args.quick:
        output = RESULTS / folder_name(describe_machine()["processor"])
    if output is not None and not args.force:
        check_idle()
    stored: dict[str, Any] = {}
    if output is not None and (output / NUMBERS).is_file():
        stored = json.loads((output / NUMBERS).read_text(encoding="utf8"))

    def save(results: dict[str, Any]) -> None:
        if output is not None:
            store(update(stored, results), output)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        args.checkpoint = args.checkpoint or find_checkpoint(folder / "checkpoint")
        results = measure(args, folder, save)
    print(report(update(stored, results)))


if __name__ == "__main__":
    main()
