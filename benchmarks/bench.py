"""Compare this project with plain transformers and with similar libraries (peers) in one run.

    make bench
    make bench PEERS=1
    python benchmarks/bench.py --data DATA --peers .cache/peers

Prints a table and writes it to benchmarks/results, with all numbers and a figure. Each system runs
in a separate process, and the systems take turns in every round. Without --data and --texts, the
texts are the pages of this project: enough for a check that the benchmark works, but too little
for a comparison.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import parts
import texts
from machine import available_cores, describe_machine
from plot import draw
from report import report
from systems import PEERS, SYSTEMS
from targets import TARGETS, check
from turns import BRIDGE, PLAIN, Run

HERE = Path(__file__).resolve().parent
PEERS_FOLDER = HERE.parent / ".cache" / "peers"
PIPELINE = "en_trf_bert"
PARTS = ["speed", "latency", "stages", "growth", "memory", "finetune"]
# About a minute without peers: a check that everything works, not a measurement.
QUICK = {
    "limit": 5,
    "latency_calls": 30,
    "growth_chars": 500,
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
    add("--data", type=Path, help="a folder with " + " and ".join(texts.DATA.values()))
    add("--texts", type=Path, action="append", default=[], help=".jsonl, .conllu or .txt")
    add("--limit", type=int, default=100, help="documents per text set")
    add(
        "--peers",
        type=Path,
        nargs="?",
        const=PEERS_FOLDER,
        help=f"a folder with the environments {' and '.join(PEERS)}; make bench PEERS=1 creates it",
    )
    add("--systems", default=",".join(SYSTEMS), help="separated by commas; default: all")
    add("--parts", default=",".join(PARTS), help="separated by commas; default: all")
    add("--rounds", type=int, default=3)
    add("--threads", type=int, default=available_cores())
    add("--batch-size", type=int, help="documents per batch; default: 1000, as in spaCy")
    add("--words-per-batch", type=int, default=3000)
    add("--latency-calls", type=int, default=200)
    add(
        "--growth-chars",
        type=int,
        default=3000,
        help="characters of the smallest texts",
    )
    add(
        "--stream",
        type=int,
        default=5000,
        help="documents of the memory test",
    )
    add("--long-chars", type=int, default=texts.LONG_DOCUMENT)
    add("--finetune-steps", type=int, default=150)
    add("--quick", action="store_true", help="small sizes, to check that everything works")
    add("--output", type=Path, default=HERE / "results", help="a folder")
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
    pythons = {name: sys.executable for name in SYSTEMS if name not in PEERS}
    if args.peers is not None:
        for name in PEERS:
            python = args.peers / name / "bin" / "python"
            if not python.exists():
                sys.exit(f"{python} is missing. Run make bench PEERS=1 to create it.")
            pythons[name] = str(python)
    needed = {BRIDGE, PLAIN, *args.systems}
    return {name: python for name, python in pythons.items() if name in needed}


def measure(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run all parts of the benchmark.

    args (Namespace): The options, with a checkpoint.
    folder (Path): An empty folder for the files of the workers.
    RETURNS (dict): The results.
    """
    sets = texts.text_sets(args.data, args.texts, args.limit)
    first = next(iter(sets.values()))
    settings = ("rounds", "limit", "batch_size", "words_per_batch", "quick")
    results: dict[str, Any] = {
        "date": date.today().isoformat(),
        "machine": describe_machine(args.threads),
        "settings": {name: getattr(args, name) for name in settings},
    }
    run = Run(args, find_pythons(args), folder)
    run.start()
    results["versions"] = {name: worker.ready["versions"] for name, worker in run.workers.items()}
    keys = {name: run.add(name, texts) for name, texts in sets.items()}
    bridge = run.workers[BRIDGE]
    results["texts"] = {name: bridge.call("statistics", name=key) for name, key in keys.items()}
    for part in [part for part in PARTS if part in args.parts]:
        print(f"{part} …", file=sys.stderr, flush=True)
        if part in ("speed", "stages"):
            function = {"speed": parts.speed, "stages": parts.stage_shares}[part]
            results[part] = {name: function(run, name, texts) for name, texts in sets.items()}
            if part == "speed":
                results["ceiling"] = bridge.call("products")
        elif part == "latency":
            results[part] = parts.latency(run, first)
        elif part == "growth":
            results[part] = parts.growth(run, first)
        else:
            # The remaining parts start separate processes for each measurement.
            run.stop()
            if part == "memory":
                results[part] = parts.memory(run, sets)
            elif args.data is not None and (args.data / "intent" / "snips").is_dir():
                results[part] = parts.finetune(run)
            else:
                print("finetune skipped: --data has no folder intent/snips", file=sys.stderr)
    run.stop()
    return results


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark and write its results."""
    args = parse(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        args.checkpoint = args.checkpoint or find_checkpoint(folder / "checkpoint")
        results = measure(args, folder)
    results["targets"] = [check(target, results) for target in TARGETS]
    table = report(results)
    args.output.mkdir(parents=True, exist_ok=True)
    numbers = json.dumps(results, indent=2, ensure_ascii=False)
    (args.output / "bench.json").write_text(numbers + "\n", encoding="utf8")
    (args.output / "bench.md").write_text(table, encoding="utf8")
    picture = args.output / "bench.svg"
    picture.unlink(missing_ok=True)  # a figure of an earlier run, if this one has nothing to plot
    draw(results, picture)
    print(table)


if __name__ == "__main__":
    main()
