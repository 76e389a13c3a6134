"""The parts of the benchmark. Each sends requests to the workers in turns and computes medians."""

from __future__ import annotations

import statistics
from argparse import Namespace
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy

from ablation import ALL, TRICKS
from systems import PEERS, RUNTIMES, SYSTEMS, plain_of
from targets import SHORT
from texts import (
    growing_documents,
    growing_numbers,
    long_document,
    short_texts,
    streamed_documents,
    take,
)
from turns import BRIDGE, PLAIN, Run, against, median_ratio, rotated
from workers import Worker

OWN = ("bridge", "plain")
BATCH_SIZES = [4, 16, 64, 256]
# Docs whose rows are compared, and steps of fine-tuning per turn.
COMPARED = 50
BLOCK = 5


def speed(run: Run, name: str, texts: Sequence[str]) -> dict[str, Any]:
    """Measure the time of each system from text to vectors, and compare the outputs.

    The short documents have no target for other libraries, which are left out there to save time.
    """
    own = [system for system in run.whole if SYSTEMS[system].kind in OWN]
    systems = own if name == SHORT else run.whole
    key = run.add(name, texts)
    run.warm_up(key, systems)
    counts = run.workers[BRIDGE].call("statistics", name=key)
    n_tokens = counts["tokens"]
    answers = run.turns(systems, "run", name=key, batch_size=run.args.batch_size)
    for system, found in answers.items():
        if not system.startswith("plain") and found[0]["n"] != n_tokens:
            raise SystemExit(f"{system} read {found[0]['n']} tokens of {name}, not {n_tokens}.")
    seconds = {system: [turn["seconds"] for turn in found] for system, found in answers.items()}
    return {
        "wordpieces_per_token": counts["wordpieces"] / n_tokens,
        "tokens_per_second": {
            system: n_tokens / statistics.median(found) for system, found in seconds.items()
        },
        "times_as_fast": against(seconds),
        "seconds": seconds,
        "outputs": compare(run, own, "outputs", run.add("compared", texts[:COMPARED])),
    }


def model(run: Run, name: str, texts: Sequence[str]) -> dict[str, Any]:
    """Measure the model alone, from wordpiece ids to rows, and compare the rows."""
    key = run.add(name, texts)
    run.add_batches(key)
    systems = run.models
    n_wordpieces = run.workers[BRIDGE].call("statistics", name=key)["wordpieces"]
    outputs = compare(run, systems, "model outputs", key)  # also the warm-up
    answers = run.turns(systems, "model", name=key)
    for system, found in answers.items():
        if found[0]["n"] != n_wordpieces:
            raise SystemExit(f"{system} returned {found[0]['n']} rows of {name}.")
    seconds = {system: [turn["seconds"] for turn in found] for system, found in answers.items()}
    return {
        "wordpieces_per_second": {
            system: n_wordpieces / statistics.median(found) for system, found in seconds.items()
        },
        "times_as_fast": against(seconds),
        "seconds": seconds,
        "outputs": outputs,
    }


def compare(run: Run, systems: Sequence[str], do: str, key: str) -> dict[str, dict[str, float]]:
    """Compare the rows of wordpieces with those of plain transformers in fp32.

    run (Run): The workers.
    systems (sequence of str): The systems.
    do (str): The request that writes the rows of a set.
    key (str): The set.
    RETURNS (dict): The response of each system, with the largest difference and the cosines.
    """
    found, rows = {}, {}
    for system in systems:
        path = run.folder / "outputs.npy"
        found[system] = run.workers[system].call(do, name=key, path=str(path))
        rows[system] = numpy.load(path).astype("float64")
    plain = rows[PLAIN]
    for system, own in rows.items():
        lengths = numpy.linalg.norm(own, axis=1) * numpy.linalg.norm(plain, axis=1)
        cosines = (own * plain).sum(1) / lengths
        found[system] |= {
            "largest_difference": float(numpy.abs(own - plain).max()),
            "lowest_cosine": float(cosines.min()),
            "mean_cosine": float(cosines.mean()),
        }
    return found


def base_shape(run: Run, texts: Sequence[str]) -> dict[str, Any]:
    """Measure a model of the shape of BERT-base with random weights, alone and from end to end."""
    checkpoint = save_base_shape(run.args.checkpoint, run.folder / "base")
    args = Namespace(**{**vars(run.args), "checkpoint": checkpoint})
    own = {system: run.pythons[system] for system in run.pythons if SYSTEMS[system].kind in OWN}
    folder = run.folder / "base texts"
    folder.mkdir()
    with Run(args, own, folder) as other:
        parts = {
            name: function(other, "base", take(texts, args.base_chars))
            for name, function in [("model", model), ("speed", speed)]
        }
        versions = {system: worker.ready["versions"] for system, worker in other.workers.items()}
    return {**parts, "versions": versions}


def save_base_shape(checkpoint: Path, folder: Path) -> Path:
    """Save a BERT of the default shape, with random weights and the vocabulary of a checkpoint.

    checkpoint (Path): The folder with the tokenizer.
    folder (Path): The folder to create.
    RETURNS (Path): The folder.
    """
    import torch
    from transformers import AutoTokenizer, BertConfig, BertModel

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    config = BertConfig(vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id)
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def latency(run: Run, texts: Sequence[str]) -> dict[str, Any]:
    """Measure single short texts."""
    n_calls = run.args.latency_calls
    key, short = add_short_texts(run, texts)
    run.warm_up(key, run.whole)
    seconds = run.blocks(key, n_calls)
    medians = {system: [*map(statistics.median, found)] for system, found in seconds.items()}
    return {
        "calls": n_calls,
        "words": statistics.median(len(text.split()) for text in short),
        "milliseconds": {
            system: {
                "median": 1000 * float(numpy.median(numpy.concatenate(found))),
                "95th percentile": 1000 * float(numpy.quantile(numpy.concatenate(found), 0.95)),
            }
            for system, found in seconds.items()
        },
        "of_plain": {
            system: median_ratio(found, medians[plain_of(system)])
            for system, found in medians.items()
            if plain_of(system) in medians
        },
    }


def add_short_texts(run: Run, texts: Sequence[str]) -> tuple[str, list[str]]:
    """Add a set of one sentence for each call, and return its name and the sentences."""
    sentences = run.sentences(run.add("latency source", texts))
    short = short_texts(sentences, run.args.latency_calls)
    return run.add("short", short), short


def stage_shares(run: Run, name: str, texts: Sequence[str]) -> dict[str, Any]:
    """Measure the share of each stage of this project, and the alignment without anything else."""
    key = run.add(name, texts)
    bridges = [system for system in run.workers if system.startswith("bridge")]
    answers = run.turns(bridges, "stages", name=key, batch_size=run.args.batch_size)
    shares = {}
    for system, found in answers.items():
        # The stages of the median round, so that their shares add up to one.
        rounds = sorted((turn["stages"] for turn in found), key=lambda stages: sum(stages.values()))
        middle = rounds[len(rounds) // 2]
        total = sum(middle.values())
        shares[system] = {stage: seconds / total for stage, seconds in middle.items()}
    alignment = run.turns([BRIDGE], "alignment", name=key)[BRIDGE]
    return {
        "shares": shares,
        "alignment_microseconds": 1e6 * statistics.median(turn["seconds"] for turn in alignment),
    }


def growth(run: Run, texts: Sequence[str]) -> dict[str, Any]:
    """Measure seconds by document length, number of documents and batch size."""
    n_chars = run.args.growth_chars
    curves: dict[str, Any] = {}
    for what, sets in [
        ("document length", growing_documents(texts, n_chars)),
        ("number of documents", growing_numbers(texts, n_chars)),
    ]:
        points, n_tokens = {}, {}
        for times, documents in sets.items():
            key = run.add(f"{what} {times}", documents)
            n_tokens[times] = run.workers[BRIDGE].call("statistics", name=key)["tokens"]
            if not points:
                run.warm_up(key, run.whole)  # the larger sets have the same words
            points[times] = _seconds(run, key, run.args.batch_size)
        curves[what] = _curve([n_tokens[times] for times in points], list(points.values()))
        curves[what]["per_doubling"] = {
            system: [after / before for before, after in pairwise(line)]
            for system, line in curves[what]["seconds"].items()
        }
    most = growing_numbers(texts, n_chars)[8]
    key = run.add("batch size", most)
    sizes = [size for size in BATCH_SIZES if size // 4 < len(most)]
    curves["batch size"] = _curve(sizes, [_seconds(run, key, size) for size in sizes])
    return curves


def _seconds(run: Run, key: str, batch_size: int | None) -> dict[str, float]:
    answers = run.turns(run.whole, "run", name=key, batch_size=batch_size)
    return {
        system: statistics.median(turn["seconds"] for turn in found)
        for system, found in answers.items()
    }


def _curve(x: Sequence[int], points: Sequence[dict[str, float]]) -> dict[str, Any]:
    seconds = {system: [point[system] for point in points] for system in points[0]}
    return {"x": list(x), "seconds": seconds}


def memory(run: Run, sets: dict[str, list[str]]) -> dict[str, Any]:
    """Measure peaks and growth of memory, each in a new process."""
    args, texts = run.args, [text for texts in sets.values() for text in texts]
    longest = max(sets, key=lambda name: statistics.mean(map(len, sets[name])))
    with run.adding():
        key = run.add(f"{longest} for memory", sets[longest])
        streamed = run.add("streamed", streamed_documents(texts, args.stream))
        long = run.add("long", [long_document(texts, args.long_chars)])
    peaks: dict[str, Any] = {}
    for system in run.pythons:
        if SYSTEMS[system].kind in RUNTIMES:
            continue
        with run.new_worker(system) as worker:
            peaks[system] = worker.call("peak", name=key, batch_size=args.batch_size)
    with run.new_worker(BRIDGE) as worker:
        marks = [args.stream // 5, args.stream]
        growth = worker.call("growth", name=streamed, marks=marks, batch_size=args.batch_size)
    with run.new_worker(BRIDGE) as worker:
        document = worker.call("long", name=long)
    before, after = growth["megabytes"]
    return {
        "texts": longest,
        "peaks": peaks,
        "stream": {"documents": marks, "megabytes": [before, after], "growth": after / before - 1},
        "long_document": {"characters": args.long_chars, **document},
    }


def finetune(run: Run) -> dict[str, Any]:
    """Measure training steps of a text classifier, and its score in fp32 and bf16."""
    n_steps = run.args.finetune_steps
    kinds = {BRIDGE: "bridge", PLAIN: "plain", PEERS[0]: "peer"}
    with ExitStack() as stack:
        workers = {
            system: stack.enter_context(trainer(run, run.pythons[system], kind))
            for system, kind in kinds.items()
            if system in run.pythons
        }
        seconds = train_in_turns(run, workers)
        bridge = workers[BRIDGE]
        bridge.send(f"train {n_steps - BLOCK * (run.args.rounds + 1)}")
        scores = {name: bridge.send(f"score {name}")["score"] for name in ("fp32", "bf16")}
    return {
        "seconds_per_step": {system: statistics.median(own) for system, own in seconds.items()},
        "times_as_fast": against(seconds),
        "steps": n_steps,
        "scores": scores,
    }


def trainer(run: Run, python: str, kind: str, *options: str) -> Worker:
    """Start a process that trains a text classifier.

    run (Run): The options.
    python (str): The Python interpreter.
    kind (str): "bridge", "plain" or "peer".
    *options (str): Further options of the worker.
    RETURNS (Worker): The worker.
    """
    args = run.args
    files = ["--data", str(args.data), "--checkpoint", str(args.checkpoint), "--seed", "0"]
    steps = ["--steps", str(args.finetune_steps), "--learn-rate", "1e-4"]
    return Worker(
        python,
        "finetune_worker.py",
        kind,
        "snips",
        *files,
        *steps,
        *options,
        threads=args.threads,
    )


def train_in_turns(run: Run, workers: dict[str, Worker]) -> dict[str, list[float]]:
    """Train in turns of some steps, the first of which is a warm-up.

    run (Run): The options.
    workers (dict): The workers by name.
    RETURNS (dict): The seconds per step in each round, by name.
    """
    seconds: dict[str, list[float]] = {name: [] for name in workers}
    for i in range(run.args.rounds + 1):
        for name in rotated(list(workers), i):
            seconds[name].append(workers[name].send(f"train {BLOCK}")["seconds"] / BLOCK)
    return {name: found[1:] for name, found in seconds.items()}


def ablation(run: Run, texts: Sequence[str], trains: bool) -> dict[str, Any]:
    """Measure the time without each trick, relative to the time with all of them.

    run (Run): The options; no worker runs.
    texts (sequence of str): The texts of the predictions.
    trains (bool): Whether there is data for training.
    RETURNS (dict): The ratios of each measurement, by trick.
    """
    with run.adding():
        long = run.add("ablation", take(texts, run.args.ablation_chars))
        short, _ = add_short_texts(run, texts)
    ratios: dict[str, Any] = {}
    for system in [name for name in run.pythons if SYSTEMS[name].kind == "bridge"]:
        precision = SYSTEMS[system].precision
        column = f"prediction {precision}"
        run.workers = {
            name: run.new_worker(system, "--without", name) for name in tricks_of(column)
        }
        run.warm_up(long, run.workers)
        answers = run.turns(run.workers, "run", name=long, batch_size=run.args.batch_size)
        seconds = {name: [turn["seconds"] for turn in turns] for name, turns in answers.items()}
        ratios[column] = to_all(seconds)
        run.warm_up(short, run.workers)
        blocks = run.blocks(short, run.args.latency_calls // 2)
        medians = {name: [*map(statistics.median, found)] for name, found in blocks.items()}
        ratios[f"latency {precision}"] = to_all(medians)
        run.stop()
    if trains:
        with ExitStack() as stack:
            workers = {
                name: stack.enter_context(
                    trainer(run, run.pythons[BRIDGE], "bridge", "--without", name)
                )
                for name in tricks_of("training fp32")
            }
            ratios["training fp32"] = to_all(train_in_turns(run, workers))
    return ratios


def tricks_of(column: str) -> list[str]:
    """Return the measurement with all tricks, and the tricks that affect a measurement."""
    return [ALL, *(name for name, trick in TRICKS.items() if column in trick.columns)]


def to_all(seconds: dict[str, list[float]]) -> dict[str, float]:
    """Return the seconds without each trick, relative to those with all of them.

    A trick that is measured while another one is off is compared with the time without that one,
    if it was measured.
    """
    ratios = {}
    for name in seconds.keys() - {ALL}:
        other = TRICKS[name].against
        ratios[name] = median_ratio(seconds[name], seconds[other if other in seconds else ALL])
    return ratios
