"""The workers of a run, what they read, and how their answers are put side by side."""

from __future__ import annotations

import json
import statistics
from argparse import Namespace
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from systems import PEERS
from workers import Worker

BRIDGE, PLAIN = "bridge fp32", "plain fp32"
REFERENCES = [PLAIN, *PEERS]


class Run:
    """The workers, and the sets of texts that all of them read."""

    def __init__(self, args: Namespace, pythons: dict[str, str], folder: Path) -> None:
        """Start nothing yet.

        args (Namespace): The options of the command.
        pythons (dict): The interpreter of each system.
        folder (Path): An empty one, for the texts and the outputs.
        """
        self.args, self.pythons, self.folder = args, pythons, folder
        self.workers: dict[str, Worker] = {}
        self.numbers: dict[str, int] = {}

    def new_worker(self, system: str) -> Worker:
        """RETURNS (Worker): A process with a system that has done nothing but load."""
        return Worker(
            self.pythons[system],
            "bench_worker.py",
            system,
            *("--checkpoint", str(self.args.checkpoint), "--texts", str(self.folder)),
            *("--threads", str(self.args.threads)),
            *("--words-per-batch", str(self.args.words_per_batch)),
            threads=self.args.threads,
        )

    def start(self) -> None:
        """Start a worker for each system."""
        for system in self.pythons:
            self.workers[system] = self.new_worker(system)

    def stop(self) -> None:
        """Let the workers end."""
        for worker in self.workers.values():
            worker.close()
        self.workers = {}

    def add(self, name: str, texts: Sequence[str]) -> str:
        """Write a set of texts, and the sentences that this project cuts them into.

        name (str): Any name.
        texts (sequence of str): The documents.
        RETURNS (str): The name that workers know it by.
        """
        key = f"{self.numbers.setdefault(name, len(self.numbers))}"
        self._write(f"{key}.texts.json", list(texts))
        self._write(f"{key}.sentences.json", self.sentences(key))
        return key

    def sentences(self, key: str) -> list[list[str]]:
        """RETURNS (list of list of str): The sentences of each document of a set."""
        found: list[list[str]] = self.workers[BRIDGE].call("sentences", name=key)["sentences"]
        return found

    def warm_up(self, key: str) -> None:
        """Let every system run a set once: this project has seen its words, for the sentences."""
        for worker in self.workers.values():
            worker.call("run", name=key, batch_size=self.args.batch_size)

    def turns(self, systems: Iterable[str], do: str, **arguments: Any) -> dict[str, list[Any]]:
        """Ask the systems in turns, as often as there are rounds; another one begins each.

        systems (iterable of str): Which.
        do (str): What is to be done.
        **arguments: With what.
        RETURNS (dict): The answers of each system, round by round.
        """
        answers: dict[str, list[Any]] = {system: [] for system in systems}
        for i in range(self.args.rounds):
            for system in rotated(list(answers), i):
                answers[system].append(self.workers[system].call(do, **arguments))
        return answers

    def _write(self, name: str, content: Any) -> None:
        (self.folder / name).write_text(json.dumps(content), encoding="utf8")


def rotated(items: list[str], by: int) -> list[str]:
    """RETURNS (list of str): The same, beginning with another one."""
    by %= len(items)
    return items[by:] + items[:by]


def median_ratio(ones: Sequence[float], others: Sequence[float]) -> float:
    """RETURNS (float): The median over rounds of one number divided by another."""
    return statistics.median(one / other for one, other in zip(ones, others, strict=True))


def against(seconds: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """RETURNS (dict): How many times as fast as each reference each system is."""
    return {
        reference: {
            system: median_ratio(seconds[reference], own) for system, own in seconds.items()
        }
        for reference in REFERENCES
        if reference in seconds
    }
