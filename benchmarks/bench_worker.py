"""Run one system of `bench.py` in a separate process and measure it on request.

Each request is a line of JSON on standard input, each response a line of JSON on standard output.
The process may run in the environment of another project, so trf_bridge is imported only where it
is the measured system.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import torch

import ceiling
import stages
import worker_measures
from ablation import ALL, TRICKS, switched_off
from plain import Plain
from systems import CLASSES, SYSTEMS, versions


class Texts:
    """Load text sets by name: texts for pipelines, lists of sentences for plain models."""

    def __init__(self, folder: Path, plain: bool) -> None:
        """Store the location; sets are read on access.

        folder (Path): The folder that bench.py writes the sets to.
        plain (bool): Whether to read sentences.
        """
        self.folder, self.plain = folder, plain

    def __getitem__(self, name: str) -> Any:
        return self._read(name, "sentences" if self.plain else "texts")

    def model_inputs(self, name: str) -> Any:
        """Return what the inputs of the model are computed from: texts, or planned batches."""
        return self._read(name, "batches" if self.plain else "texts")

    def _read(self, name: str, kind: str) -> Any:
        return json.loads((self.folder / f"{name}.{kind}.json").read_text(encoding="utf8"))


def make_handlers(system: Any, texts: Texts) -> dict[str, Callable[..., dict[str, Any]]]:
    """Return the functions that handle requests.

    system (any of `systems.CLASSES`): The system.
    texts (Texts): The text sets.
    RETURNS (dict): Functions by the names of the requests.
    """
    return {
        "run": lambda name, batch_size: worker_measures.timed_run(system, texts[name], batch_size),
        "model": lambda name: worker_measures.timed_model(system, texts.model_inputs(name)),
        "model outputs": lambda name, path: worker_measures.save_model_rows(
            system, texts.model_inputs(name), path
        ),
        "plan": lambda name: {"batches": system.plan(list(chain.from_iterable(texts[name])))},
        "latency": lambda name, first, last: worker_measures.latencies(
            system, texts[name][first:last]
        ),
        "peak": lambda name, batch_size: worker_measures.peak_of_run(
            system, texts[name], batch_size
        ),
        "growth": lambda name, marks, batch_size: worker_measures.memory_growth(
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
    """Load the system and handle requests until standard input is closed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("system", choices=list(SYSTEMS))
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--words-per-batch", type=int, required=True)
    parser.add_argument("--without", choices=[ALL, *TRICKS], default=ALL)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    warnings.filterwarnings("ignore", category=FutureWarning)
    kind, precision = SYSTEMS[args.system]
    with switched_off(args.without) as settings:
        system = CLASSES[kind](args.checkpoint, precision, args.words_per_batch, **settings)
        handlers = make_handlers(system, Texts(args.texts, plain=isinstance(system, Plain)))
        print(json.dumps({"versions": versions(system), "threads": torch.get_num_threads()}))
        sys.stdout.flush()
        for line in sys.stdin:
            request = json.loads(line)
            response = handlers[request.pop("do")](**request)
            print(json.dumps(response), flush=True)


if __name__ == "__main__":
    main()
