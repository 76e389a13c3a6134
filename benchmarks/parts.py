"""The parts of the benchmark. Each sends requests to the workers in turns and computes medians."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy

from systems import PEERS
from texts import (
    growing_documents,
    growing_numbers,
    long_document,
    short_texts,
    streamed_documents,
)
from turns import BRIDGE, PLAIN, Run, against, median_ratio, rotated
from workers import Worker

BATCH_SIZES = [4, 16, 64, 256]
# Calls before latencies are measured.
WARM_UP = 20
# Docs whose rows are compared, and steps of fine-tuning per turn.
COMPARED = 50
BLOCK = 5


def speed(run: Run, name: str, texts: Sequence[str]) -> dict[str, Any]:
    """Measure the time of each system from text to vectors, and compare the outputs."""
    key = run.add(name, texts)
    run.warm_up(key)
    n_tokens = run.workers[BRIDGE].call("statistics", name=key)["tokens"]
    answers = run.turns(run.workers, "run", name=key, batch_size=run.args.batch_size)
    for system, found in answers.items():
        if not system.startswith("plain") and found[0]["n"] != n_tokens:
            raise SystemExit(f"{system} read {found[0]['n']} tokens of {name}, not {n_tokens}.")
    seconds = {system: [turn["seconds"] for turn in found] for system, found in answers.items()}
    n_wordpieces = run.workers[BRIDGE].call("statistics", name=key)["wordpieces"]
    return {
        "wordpieces_per_token": n_wordpieces / n_tokens,
        "tokens_per_second": {
            system: n_tokens / statistics.median(found) for system, found in seconds.items()
        },
        "times_as_fast": against(seconds),
        "seconds": seconds,
        "outputs": compare_outputs(run, texts[:COMPARED]),
    }


def compare_outputs(run: Run, texts: Sequence[str]) -> dict[str, dict[str, float]]:
    """Compare the rows of wordpieces with those of plain transformers in fp32."""
    key, found, rows = run.add("compared", texts), {}, {}
    for system in run.workers:
        if system not in PEERS:
            path = run.folder / "outputs.npy"
            found[system] = run.workers[system].call("outputs", name=key, path=str(path))
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


def latency(run: Run, texts: Sequence[str]) -> dict[str, Any]:
    """Measure single short texts, in blocks that alternate between the systems."""
    sentences = run.sentences(run.add("latency source", texts))
    n_calls = run.args.latency_calls
    short = short_texts(sentences, n_calls)
    key = run.add("short", short)
    blocks = numpy.linspace(0, n_calls, num=11, dtype=int).tolist()
    seconds: dict[str, list[list[float]]] = {system: [] for system in run.workers}
    run.warm_up(key)
    for worker in run.workers.values():
        worker.call("latency", name=key, first=0, last=WARM_UP)
    for i in range(len(blocks) - 1):
        for system in rotated(list(seconds), i):
            answer = run.workers[system].call(
                "latency", name=key, first=blocks[i], last=blocks[i + 1]
            )
            seconds[system].append(answer["seconds"])
    medians = {
        system: [statistics.median(block) for block in found] for system, found in seconds.items()
    }
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
            system: median_ratio(found, medians[PLAIN]) for system, found in medians.items()
        },
    }


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
                run.warm_up(key)  # the larger sets have the same words
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
    answers = run.turns(run.workers, "run", name=key, batch_size=batch_size)
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
    with run.new_worker(BRIDGE) as worker:
        run.workers = {BRIDGE: worker}
        key = run.add(longest, sets[longest])
        streamed = run.add("streamed", streamed_documents(texts, args.stream))
        long = run.add("long", [long_document(texts, args.long_chars)])
    run.workers = {}
    peaks: dict[str, Any] = {}
    for system in run.pythons:
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
    args = run.args
    options = ["--data", str(args.data), "--checkpoint", str(args.checkpoint), "--seed", "0"]
    options += ["--steps", str(args.finetune_steps), "--learn-rate", "1e-4"]
    pythons = {"bridge": run.pythons[BRIDGE], "plain": run.pythons[PLAIN]}
    if PEERS[0] in run.pythons:
        pythons["peer"] = run.pythons[PEERS[0]]
    names = {"bridge": BRIDGE, "plain": PLAIN, "peer": PEERS[0]}
    script, threads = "finetune_worker.py", args.threads
    workers = {
        names[system]: Worker(python, script, system, "snips", *options, threads=threads)
        for system, python in pythons.items()
    }
    seconds: dict[str, list[float]] = {system: [] for system in workers}
    for i in range(args.rounds + 1):
        for system in rotated(list(workers), i):
            seconds[system].append(workers[system].send(f"train {BLOCK}")["seconds"] / BLOCK)
    # The first block is a warm-up.
    seconds = {system: found[1:] for system, found in seconds.items()}
    bridge = workers[BRIDGE]
    bridge.send(f"train {args.finetune_steps - BLOCK * (args.rounds + 1)}")
    scores = {name: bridge.send(f"score {name}")["score"] for name in ("fp32", "bf16")}
    for worker in workers.values():
        worker.close()
    return {
        "seconds_per_step": {system: statistics.median(own) for system, own in seconds.items()},
        "times_as_fast": against(seconds),
        "steps": args.finetune_steps,
        "scores": scores,
    }
