"""Compare fine-tuning with spacy-transformers: same checkpoint, data, batches, rates and steps.

    python benchmarks/finetune.py --data DATA --checkpoint FOLDER --peer-python PEER/bin/python

PEER is a virtual environment with spacy-transformers 1.4.0. DATA has the folders intent/snips,
textcat/cooking_multilabel, ud/en_ewt and ner/wnut17. The two systems take turns of a few steps, so
a busy machine slows down both. Adds rows to finetune.json in the folder of the processor in
benchmarks/results, and writes all rows as a table to finetune.md beside it.
"""

import argparse
import json
import platform
import statistics
import sys
from pathlib import Path

from machine import folder_name, processor_name, read_cpuinfo
from workers import Worker

HERE = Path(__file__).resolve().parent
SCRIPT = "finetune_worker.py"
TASKS = ["snips", "cooking", "tagger", "ner"]
BLOCK = 5
# A new row replaces an older one with the same values of these.
KEY = ["task", "seed", "steps", "batch", "learn_rate", "threads"]


def compare(task: str, seed: int, args: argparse.Namespace) -> dict:
    """Fine-tune both systems on a task and return a row of results."""
    options = ["--data", args.data, "--checkpoint", args.checkpoint, "--seed", str(seed)]
    options += ["--steps", str(args.steps), "--learn-rate", str(args.learn_rate)]
    options += ["--batch", str(args.batch)]
    workers = {
        "bridge": Worker(sys.executable, SCRIPT, "bridge", task, *options),
        "peer": Worker(args.peer_python, SCRIPT, "peer", task, *options),
    }
    seconds: dict[str, list[float]] = {name: [] for name in workers}
    for _ in range(args.steps // BLOCK):
        for name, worker in workers.items():
            seconds[name].append(worker.send(f"train {BLOCK}")["seconds"] / BLOCK)
    row = {"task": task, "seed": seed, "steps": args.steps, "learn_rate": args.learn_rate}
    row["batch"] = args.batch
    row["threads"] = workers["bridge"].ready["threads"]
    for name, worker in workers.items():
        # The first block is a warm-up.
        row[f"{name}_step"] = statistics.median(seconds[name][1:])
        row[f"{name}_total"] = sum(seconds[name]) * BLOCK
        row[f"{name}_score"] = worker.send("score")["score"]
        worker.close()
    pairs = zip(seconds["peer"][1:], seconds["bridge"][1:], strict=True)
    row["ratio"] = statistics.median(peer / bridge for peer, bridge in pairs)
    return row


def table(rows: list[dict], args: argparse.Namespace) -> str:
    """Format all rows as Markdown."""
    system = f"{platform.machine()}, Python {platform.python_version()}"
    lines = [
        "fp32, dropout 0.1, warm-up for a tenth of the steps, then linear decay of the rate to 0; "
        f"{system}; the peer is spacy-transformers 1.4.0; turns of {BLOCK} steps. Step: median "
        "seconds. Ratio: median over the turns.",
        "",
        "| task | seed | steps | batch | rate | threads "
        "| score | step | peer's score | peer's step | ratio |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines.extend(
        f"| {row['task']} | {row['seed']} | {row['steps']} | {row['batch']} | {row['learn_rate']} "
        f"| {row['threads']} | {100 * row['bridge_score']:.1f} | {row['bridge_step']:.3f} "
        f"| {100 * row['peer_score']:.1f} | {row['peer_step']:.3f} | {row['ratio']:.2f} |"
        for row in rows
    )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the comparison for all tasks and seeds."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--peer-python", required=True)
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--batch", type=int, default=32, help="examples per batch")
    parser.add_argument("--learn-rate", type=float, default=1e-4)
    folder = HERE / "results" / folder_name(processor_name(read_cpuinfo()))
    parser.add_argument("--output", type=Path, default=folder / "finetune.json")
    args = parser.parse_args()
    rows = json.loads(args.output.read_text("utf8")) if args.output.exists() else []
    for task in args.tasks.split(","):
        for seed in range(args.seeds):
            row = compare(task, seed, args)
            rows = [other for other in rows if any(other[name] != row[name] for name in KEY)]
            rows.append(row)
            print(json.dumps(rows[-1]), flush=True)
            args.output.parent.mkdir(parents=True, exist_ok=True)
            args.output.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf8")
            args.output.with_suffix(".md").write_text(table(rows, args), encoding="utf8")
    print(table(rows, args))


if __name__ == "__main__":
    main()
