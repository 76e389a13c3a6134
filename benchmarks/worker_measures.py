"""What a worker process measures of its system, and of the process itself."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy

MB = 1e6


def timed_run(system: Any, texts: Sequence[Any], batch_size: int | None) -> dict[str, Any]:
    """Run texts once.

    system: Has `run`.
    texts (sequence): What it reads.
    batch_size (int): Texts of a batch; None for spaCy's default.
    RETURNS (dict): The seconds.
    """
    start = time.perf_counter()
    n = system.run(texts, batch_size)
    return {"seconds": time.perf_counter() - start, "n": n}


def latencies(system: Any, texts: Sequence[Any]) -> dict[str, Any]:
    """Run texts one by one.

    system: Has `one`.
    texts (sequence): What it reads.
    RETURNS (dict): The seconds of each.
    """
    seconds = []
    for text in texts:
        start = time.perf_counter()
        system.one(text)
        seconds.append(time.perf_counter() - start)
    return {"seconds": seconds}


def memory(name: str) -> float:
    """What the operating system says of this process.

    name (str): "VmRSS" for its memory now, "VmHWM" for the most that it had.
    RETURNS (float): Bytes.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        # There is no memory of now in the standard library, so the most so far stands for both.
        import resource
        import sys

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return float(peak if sys.platform == "darwin" else peak * 1024)
    for line in status.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return float(line.split()[1]) * 1024
    raise SystemExit(f"/proc/self/status does not say {name}.")


def start_peak() -> float:
    """Forget the peak so far, which is that of loading the model, where the system can.

    RETURNS (float): Bytes of this process now.
    """
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return memory("VmRSS")


def peak_of_run(system: Any, texts: Sequence[Any], batch_size: int | None) -> dict[str, Any]:
    """Run texts once, in a process that did nothing but load the system.

    The arguments are those of `timed_run`.
    RETURNS (dict): MB of the loaded system, and of the peak above that.
    """
    loaded = start_peak()
    n = system.run(texts, batch_size)
    return {"loaded": loaded / MB, "peak": (memory("VmHWM") - loaded) / MB, "n": n}


def stays_after(
    system: Any, texts: Sequence[str], marks: Sequence[int], batch_size: int | None
) -> dict[str, Any]:
    """Stream documents and drop each.

    system (Pipeline): The pipeline.
    texts (sequence of str): The documents.
    marks (sequence of int): After how many of them to stop and look, ascending.
    batch_size (int): Documents of a batch; None for spaCy's default.
    RETURNS (dict): MB of the process at each mark.
    """
    found = []
    for first, last in pairwise([0, *marks]):
        system.run(texts[first:last], batch_size)
        found.append(memory("VmRSS") / MB)
    return {"stays": found}


def long_run(system: Any, text: str) -> dict[str, Any]:
    """Run one long document.

    system (Bridge): The pipeline.
    text (str): The document.
    RETURNS (dict): MB of the peak above the loaded system, seconds, tokens, and whether every token
        has its row.
    """
    loaded = start_peak()
    start = time.perf_counter()
    doc = system.nlp(text)
    seconds = time.perf_counter() - start
    works = doc.text == text and len(doc.tensor) == len(doc)
    works = works and bool(numpy.isfinite(doc.tensor).all()) and bool(doc.tensor.any(axis=1).all())
    peak = (memory("VmHWM") - loaded) / MB
    return {"peak": peak, "seconds": seconds, "tokens": len(doc), "works": works}


def save_outputs(system: Any, texts: Sequence[Any], path: str) -> dict[str, Any]:
    """Write the rows of all wordpieces into a file, for comparison.

    system: Has `outputs`.
    texts (sequence): What it reads.
    path (str): Where to write them.
    RETURNS (dict): How far sums over tokens are from those over wordpieces.
    """
    rows, lost = zip(*system.outputs(texts), strict=True)
    numpy.save(path, numpy.concatenate(rows))
    return {"lost": max(lost)}


def statistics_of(system: Any, texts: Sequence[str]) -> dict[str, Any]:
    """Count.

    system (Bridge): The pipeline; its model is not run.
    texts (sequence of str): The documents.
    RETURNS (dict): Documents, characters, tokens, sentences, wordpieces, and the mean wordpieces of
        a sentence, boundary pieces included.
    """
    counts = {"documents": 0, "characters": 0, "tokens": 0, "sentences": 0, "wordpieces": 0}
    with system.nlp.select_pipes(disable=["trf_tok2vec"]):
        for doc in system.nlp.pipe(texts):
            counts["documents"] += 1
            counts["characters"] += len(doc.text)
            counts["tokens"] += len(doc)
            counts["sentences"] += len(doc._.trf_segments)
            counts["wordpieces"] += len(doc._.trf_word_pieces)
    return {**counts, "wordpieces per sentence": counts["wordpieces"] / counts["sentences"]}
