"""The measurements of a worker process: time and memory of its system."""

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

    system (any with `run`): The system.
    texts (sequence): The texts, or lists of sentences.
    batch_size (int): Texts per batch; None for spaCy's default.
    RETURNS (dict): The seconds, and the number of tokens.
    """
    start = time.perf_counter()
    n = system.run(texts, batch_size)
    return {"seconds": time.perf_counter() - start, "n": n}


def timed_model(system: Any, content: Any) -> dict[str, Any]:
    """Run the model alone once: wordpiece ids to rows.

    system (any with `read_inputs` and `model_rows`): The system.
    content (list): What its inputs are computed from, which is not timed.
    RETURNS (dict): The seconds, and the number of rows.
    """
    inputs = system.read_inputs(content)
    start = time.perf_counter()
    rows = system.model_rows(inputs)
    return {"seconds": time.perf_counter() - start, "n": sum(map(len, rows))}


def latencies(system: Any, texts: Sequence[Any]) -> dict[str, Any]:
    """Run texts one by one.

    system (any with `run_one`): The system.
    texts (sequence): The texts, or lists of sentences.
    RETURNS (dict): The seconds of each.
    """
    seconds = []
    for text in texts:
        start = time.perf_counter()
        system.run_one(text)
        seconds.append(time.perf_counter() - start)
    return {"seconds": seconds}


def memory(name: str) -> float:
    """Read the memory of this process from the operating system.

    name (str): "VmRSS" for the current memory, "VmHWM" for the peak.
    RETURNS (float): Bytes.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        # The standard library has the peak only, so it is used for both.
        import resource
        import sys

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return float(peak if sys.platform == "darwin" else peak * 1024)
    for line in status.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return float(line.split()[1]) * 1024
    raise SystemExit(f"/proc/self/status has no line {name}.")


def start_peak() -> float:
    """Reset the peak, which was reached while the model was loaded, if the system supports it.

    RETURNS (float): Bytes of this process at the moment.
    """
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return memory("VmRSS")


def peak_of_run(system: Any, texts: Sequence[Any], batch_size: int | None) -> dict[str, Any]:
    """Run texts once, in a process that has only loaded the system.

    The arguments are those of `timed_run`.
    RETURNS (dict): MB of the loaded system, and of the peak above it.
    """
    loaded = start_peak()
    n = system.run(texts, batch_size)
    return {"loaded": loaded / MB, "peak": (memory("VmHWM") - loaded) / MB, "n": n}


def memory_growth(
    system: Any, texts: Sequence[str], marks: Sequence[int], batch_size: int | None
) -> dict[str, Any]:
    """Measure the memory of the process while documents are streamed.

    system (Pipeline): The pipeline.
    texts (sequence of str): The documents.
    marks (sequence of int): Numbers of documents after which memory is measured, ascending.
    batch_size (int): Documents per batch; None for spaCy's default.
    RETURNS (dict): MB of the process at each mark.
    """
    megabytes = []
    for first, last in pairwise([0, *marks]):
        system.run(texts[first:last], batch_size)
        megabytes.append(memory("VmRSS") / MB)
    return {"megabytes": megabytes}


def long_run(system: Any, text: str) -> dict[str, Any]:
    """Run one long document.

    system (Bridge): The pipeline.
    text (str): The document.
    RETURNS (dict): MB of the peak above the loaded system, seconds, tokens, and whether every token
        has a row.
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
    """Write the rows of all wordpieces to a file.

    system (any with `outputs`): The system.
    texts (sequence): The texts, or lists of sentences.
    path (str): The file.
    RETURNS (dict): The largest difference between sums over tokens and over wordpieces.
    """
    rows, lost = zip(*system.outputs(texts), strict=True)
    numpy.save(path, numpy.concatenate(rows))
    return {"lost": max(lost)}


def save_model_rows(system: Any, content: Any, path: str) -> dict[str, Any]:
    """Write the rows of the model alone to a file; the arguments are those above."""
    numpy.save(path, numpy.concatenate(system.model_rows(system.read_inputs(content))))
    return {}


def statistics_of(system: Any, texts: Sequence[str]) -> dict[str, Any]:
    """Count documents, tokens, sentences and wordpieces.

    system (Bridge): The pipeline; its model is not run.
    texts (sequence of str): The documents.
    RETURNS (dict): Documents, characters, tokens, sentences, wordpieces, and mean wordpieces per
        sentence, including boundary pieces.
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
