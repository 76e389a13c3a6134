"""The workers of a run, their texts, and ratios of their measurements."""

from __future__ import annotations

import json
import statistics
from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from systems import RUNTIMES, SYSTEMS
from workers import Worker

BRIDGE, PLAIN = "bridge fp32", "plain fp32"
# Calls before latencies are measured, and blocks of calls.
WARM_UP, N_BLOCKS = 20, 10


class Run:
    """Store the workers, and the text sets that all of them read."""

    def __init__(self, args: Namespace, pythons: dict[str, str], folder: Path) -> None:
        """Store the options; no worker is started.

        args (Namespace): The options of the command.
        pythons (dict): The Python interpreter of each system.
        folder (Path): An empty folder for texts and outputs.
        """
        self.args, self.pythons, self.folder = args, pythons, folder
        self.workers: dict[str, Worker] = {}
        self.numbers: dict[str, int] = {}

    def __enter__(self) -> Run:
        self.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self.stop()

    def new_worker(self, system: str, *options: str) -> Worker:
        """Start a process that only loads a system.

        system (str): The system.
        *options (str): Further options of the worker.
        RETURNS (Worker): The worker.
        """
        return Worker(
            self.pythons[system],
            "bench_worker.py",
            system,
            *("--checkpoint", str(self.args.checkpoint), "--texts", str(self.folder)),
            *("--threads", str(self.args.threads)),
            *("--words-per-batch", str(self.args.words_per_batch)),
            *options,
            threads=self.args.threads,
        )

    def start(self) -> None:
        """Start a worker for each system."""
        for system in self.pythons:
            self.workers[system] = self.new_worker(system)

    def stop(self) -> None:
        """Stop all workers."""
        for worker in self.workers.values():
            worker.close()
        self.workers = {}

    @contextmanager
    def adding(self) -> Iterator[None]:
        """Run this project alone inside of a block, which can add sets."""
        with self.new_worker(BRIDGE) as worker:
            self.workers = {BRIDGE: worker}
            yield
        self.workers = {}

    def add(self, name: str, texts: Sequence[str]) -> str:
        """Write a set of texts, and the same texts split into sentences by this project.

        name (str): Any name.
        texts (sequence of str): The documents.
        RETURNS (str): The name of the set in requests.
        """
        key = f"{self.numbers.setdefault(name, len(self.numbers))}"
        self._write(f"{key}.texts.json", list(texts))
        self._write(f"{key}.sentences.json", self.sentences(key))
        return key

    def sentences(self, key: str) -> list[list[str]]:
        """Return the sentences of each document of a set."""
        found: list[list[str]] = self.workers[BRIDGE].call("sentences", name=key)["sentences"]
        return found

    def add_batches(self, key: str) -> None:
        """Write the batches of a set, as planned by plain transformers, for the model alone."""
        planned = self.workers[PLAIN].call("plan", name=key)["batches"]
        self._write(f"{key}.batches.json", planned)

    @property
    def whole(self) -> list[str]:
        """Return the running systems that read text, without those that only run the model."""
        return [name for name in self.workers if SYSTEMS[name].kind not in RUNTIMES]

    @property
    def models(self) -> list[str]:
        """Return the running systems whose model can run alone."""
        kinds = ("bridge", "plain", *RUNTIMES)
        return [name for name in self.workers if SYSTEMS[name].kind in kinds]

    def warm_up(self, key: str, systems: Iterable[str]) -> None:
        """Run a set once in some systems. This project has its words cached from splitting."""
        for system in systems:
            self.workers[system].call("run", name=key, batch_size=self.args.batch_size)

    def turns(self, systems: Iterable[str], do: str, **arguments: Any) -> dict[str, list[Any]]:
        """Send a request to the systems in turns, once per round; each round starts with another.

        systems (iterable of str): The systems.
        do (str): Name of the request.
        **arguments: Its arguments.
        RETURNS (dict): The responses of each system, by round.
        """
        answers: dict[str, list[Any]] = {system: [] for system in systems}
        for i in range(self.args.rounds):
            for system in rotated(list(answers), i):
                answers[system].append(self.workers[system].call(do, **arguments))
        return answers

    def blocks(self, key: str, n_calls: int) -> dict[str, list[list[float]]]:
        """Run the texts of a set one by one, in blocks that alternate between the systems.

        key (str): The set.
        n_calls (int): Number of texts, at least `WARM_UP`, which run once before.
        RETURNS (dict): The seconds of each text in each block, by system.
        """
        seconds: dict[str, list[list[float]]] = {system: [] for system in self.workers}
        for worker in self.workers.values():
            worker.call("latency", name=key, first=0, last=WARM_UP)
        bounds = pairwise(n_calls * i // N_BLOCKS for i in range(N_BLOCKS + 1))
        for i, (first, last) in enumerate(bounds):
            for system in rotated(list(seconds), i):
                answer = self.workers[system].call("latency", name=key, first=first, last=last)
                seconds[system].append(answer["seconds"])
        return seconds

    def _write(self, name: str, content: Any) -> None:
        (self.folder / name).write_text(json.dumps(content), encoding="utf8")


def rotated(items: list[str], by: int) -> list[str]:
    """Return the items, starting at another one."""
    by %= len(items)
    return items[by:] + items[:by]


def median_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    """Return the median over rounds of the ratio of two measurements."""
    return statistics.median(a / b for a, b in zip(numerators, denominators, strict=True))


def against(seconds: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Return the speed of each system relative to each system of other projects."""
    return {
        reference: {
            system: median_ratio(seconds[reference], own) for system, own in seconds.items()
        }
        for reference in seconds
        if SYSTEMS[reference].kind != "bridge"
    }
