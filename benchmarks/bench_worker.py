"""One system of `bench.py` in a process of its own: measures what it is asked to.

Reads a line of JSON for each request and answers with another. Runs in the environments of other
projects too, so it imports nothing of this one before it knows which system it is.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import ceiling
import stages
import worker_measures
from systems import CLASSES, SYSTEMS, versions


class Texts:
    """What the system reads, by the names of the sets: texts, or lists of their sentences."""

    def __init__(self, folder: Path, plain: bool) -> None:
        """Read a set when it is needed.

        folder (Path): Where bench.py writes the sets.
        plain (bool): Whether to read the sentences.
        """
        self.folder = folder
        self.kind = "sentences" if plain else "texts"

    def __getitem__(self, name: str) -> Any:
        path = self.folder / f"{name}.{self.kind}.json"
        return json.loads(path.read_text(encoding="utf8"))


def answers(system: Any, texts: Texts) -> dict[str, Callable[..., dict[str, Any]]]:
    """RETURNS (dict): What can be asked of a worker, by name."""
    return {
        "run": lambda name, batch_size: worker_measures.timed_run(system, texts[name], batch_size),
        "latency": lambda name, first, last: worker_measures.latencies(
            system, texts[name][first:last]
        ),
        "peak": lambda name, batch_size: worker_measures.peak_of_run(
            system, texts[name], batch_size
        ),
        "stays": lambda name, marks, batch_size: worker_measures.stays_after(
            system, texts[name], marks, batch_size
        ),
        "long": lambda name: worker_measures.long_run(system, texts[name][0]),
        "outputs": lambda name, path: worker_measures.save_outputs(system, texts[name], path),
        "statistics": lambda name: worker_measures.statistics_of(system, texts[name]),
        "sentences": lambda name: {"sentences": system.sentences(texts[name])},
        "stages": lambda name, batch_size: stages.stage_seconds(system, texts[name], batch_size),
        "products": lambda: ceiling.product_rates(system),
        "alignment": lambda name: stages.alignment_seconds(system, texts[name]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("system", choices=list(SYSTEMS))
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--words-per-batch", type=int, required=True)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    warnings.filterwarnings("ignore", category=FutureWarning)
    kind, precision = SYSTEMS[args.system]
    system = CLASSES[kind](args.checkpoint, precision, args.words_per_batch)
    requests = answers(system, Texts(args.texts, plain=kind == "plain"))
    print(json.dumps({"versions": versions(system), "threads": torch.get_num_threads()}))
    sys.stdout.flush()
    for line in sys.stdin:
        request = json.loads(line)
        answer = requests[request.pop("do")](**request)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
