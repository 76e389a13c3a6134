"""The performance targets of the project as data, and the check against the results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

FP32, BF16, PLAIN = "bridge fp32", "bridge bf16", "plain fp32"
PEER = "spacy-transformers"

Values = dict[str, float]


class Target(NamedTuple):
    """Store a line of the table.

    what (str): The measurement.
    find (callable): All results -> the values by text set; KeyError if they were not measured.
    limit (float): The limit of all values.
    least (bool): Whether the limit is a minimum; it is a maximum otherwise.
    form (str): Format of a value.
    needs (str): Instruction set without which the target does not apply.
    note (str): Text after the limit.
    """

    what: str
    find: Callable[[dict[str, Any]], Values]
    limit: float
    least: bool
    form: str
    needs: str = ""
    note: str = ""


def times(system: str, reference: str) -> Callable[[dict[str, Any]], Values]:
    """Return a function that finds the speed of a system relative to another one."""
    return lambda results: {
        name: found["times_as_fast"][reference][system] for name, found in results["speed"].items()
    }


def output(system: str, number: str) -> Callable[[dict[str, Any]], Values]:
    """Return a function that finds a measure of the outputs of a system."""
    return lambda results: {
        name: found["outputs"][system][number] for name, found in results["speed"].items()
    }


def _around_model(results: dict[str, Any]) -> Values:
    return {name: 1 - found["shares"][FP32]["model"] for name, found in results["stages"].items()}


def _alignment(results: dict[str, Any]) -> Values:
    return {name: found["alignment_microseconds"] for name, found in results["stages"].items()}


def _long_document(results: dict[str, Any]) -> Values:
    found = results["memory"]["long_document"]
    return {"": found["peak"] if found["works"] else float("inf")}


def _lost_score(results: dict[str, Any]) -> Values:
    scores = results["finetune"]["scores"]
    return {"": 100 * (scores["fp32"] - scores["bf16"])}


TARGETS = [
    Target("fp32 against plain transformers fp32", times(FP32, PLAIN), 1.6, True, "{:.2f}"),
    Target(
        "bf16 against plain transformers fp32",
        times(BF16, PLAIN),
        2.8,
        True,
        "{:.2f}",
        needs="avx512_bf16",
    ),
    Target("fp32 against spacy-transformers", times(FP32, PEER), 3.2, True, "{:.2f}"),
    Target("bf16 against spacy-transformers", times(BF16, PEER), 5, True, "{:.2f}"),
    Target("time outside of the model's forward pass, fp32", _around_model, 0.08, False, "{:.1%}"),
    Target("alignment and weighted sum, µs per wordpiece", _alignment, 0.5, False, "{:.2f}"),
    Target(
        "latency of a short text against plain transformers fp32",
        lambda results: {"": results["latency"]["of_plain"][FP32]},
        1.05,
        False,
        "{:.2f}",
        note="goal 0.7",
    ),
    Target(
        "memory growth between a fifth and all of the streamed documents",
        lambda results: {"": results["memory"]["stream"]["growth"]},
        0.05,
        False,
        "{:.1%}",
    ),
    Target("a long document, peak above the model, MB", _long_document, 1500, False, "{:.0f}"),
    Target(
        "fp32: largest difference from plain transformers",
        output(FP32, "largest_difference"),
        1e-5,
        False,
        "{:.1e}",
    ),
    Target(
        "bf16: lowest cosine of a wordpiece with fp32",
        output(BF16, "lowest_cosine"),
        0.999,
        True,
        "{:.5f}",
    ),
    Target("bf16: points of a text classifier's score lost", _lost_score, 0.2, False, "{:.2f}"),
]


def check(target: Target, results: dict[str, Any]) -> dict[str, Any]:
    """Check a target on every text set.

    target (Target): The target.
    results (dict): All results.
    RETURNS (dict): The line of the table: the measurement, the limit and whether it is reached.
    """
    sign = "at least" if target.least else "at most"
    limit = f"{sign} {target.form.format(target.limit)}"
    line: dict[str, Any] = {
        "what": target.what,
        "target": f"{limit}, {target.note}" if target.note else limit,
    }
    try:
        values = target.find(results)
    except KeyError:
        return {**line, "measured": "not measured", "reached": ""}
    written = [f"{target.form.format(value)} {name}".strip() for name, value in values.items()]
    reached = all(
        value >= target.limit if target.least else value <= target.limit
        for value in values.values()
    )
    verdict = "yes" if reached else "no"
    if not results["machine"]["instructions"].get(target.needs, True):
        verdict = f"does not apply: no {target.needs}"
    return {**line, "measured": ", ".join(written), "reached": verdict}
