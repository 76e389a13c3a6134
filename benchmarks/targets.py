"""The performance targets of the project as data, and the check against the results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from systems import plain_of

FP32, BF16, PLAIN = "bridge fp32", "bridge bf16", "plain fp32"
PEER = "spacy-transformers"
# The text set of short documents; the other sets have long ones.
SHORT = "snips"

Values = dict[str, float]


class Limits(NamedTuple):
    """Store the limit by class of processor; None where the target does not apply.

    amx: Processors with matrix instructions for bf16.
    avx512: Processors with vector instructions for bf16.
    other: All other processors.
    """

    amx: float | None
    avx512: float | None
    other: float | None


class Target(NamedTuple):
    """Store a line of the table.

    what (str): The measurement.
    find (callable): All results -> the values by text set; KeyError if they were not measured.
    limits (Limits): The limit of all values.
    least (bool): Whether the limit is a minimum; it is a maximum otherwise.
    form (str): Format of a value.
    """

    what: str
    find: Callable[[dict[str, Any]], Values]
    limits: Limits
    least: bool = True
    form: str = "{:.2f}"


def everywhere(limit: float) -> Limits:
    """Return a limit that holds for all processors."""
    return Limits(limit, limit, limit)


def times(
    part: str, system: str, reference: str, short: bool = False
) -> Callable[[dict[str, Any]], Values]:
    """Return a function that finds the speed of a system relative to another one.

    part (str): "model" or "speed".
    system (str): The system.
    reference (str): The other one.
    short (bool): Whether to use the short documents, or all other sets.
    RETURNS (callable): Results -> values.
    """
    return lambda results: {
        name: found["times_as_fast"][reference][system]
        for name, found in results[part].items()
        if (name == SHORT) == short
    }


def base_times(system: str) -> Callable[[dict[str, Any]], Values]:
    """Return a function that finds the speed in the shape of BERT-base, relative to plain."""
    return lambda results: {
        name: results["base"][part]["times_as_fast"][plain_of(system)][system]
        for part, name in [("model", "model alone"), ("speed", "whole pipeline")]
    }


def output(system: str, number: str) -> Callable[[dict[str, Any]], Values]:
    """Return a function that finds a measure of the outputs of a system."""
    return lambda results: {
        name: found["outputs"][system][number] for name, found in results["speed"].items()
    }


def around_model(system: str) -> Callable[[dict[str, Any]], Values]:
    """Return a function that finds the share of the time outside of the model."""
    return lambda results: {
        name: 1 - found["shares"][system]["model"] for name, found in results["stages"].items()
    }


def _alignment(results: dict[str, Any]) -> Values:
    return {name: found["alignment_microseconds"] for name, found in results["stages"].items()}


def _latency(system: str) -> Callable[[dict[str, Any]], Values]:
    return lambda results: {"": results["latency"]["of_plain"][system]}


def _peaks(results: dict[str, Any]) -> Values:
    peaks = results["memory"]["peaks"]
    return {
        system.split()[1]: peaks[system]["peak"] / peaks[plain_of(system)]["peak"]
        for system in (FP32, BF16)
        if system in peaks and plain_of(system) in peaks
    }


def _long_document(results: dict[str, Any]) -> Values:
    found = results["memory"]["long_document"]
    return {"": found["peak"] if found["works"] else float("inf")}


def _lost_score(results: dict[str, Any]) -> Values:
    scores = results["finetune"]["scores"]
    return {"": 100 * (scores["fp32"] - scores["bf16"])}


TARGETS = [
    Target(
        "model alone, fp32, to plain transformers fp32",
        times("model", FP32, PLAIN),
        Limits(1.3, 1.25, 1.2),
    ),
    Target(
        "model alone, bf16, to plain transformers bf16",
        times("model", BF16, plain_of(BF16)),
        Limits(1.45, 1.3, None),
    ),
    Target(
        "whole pipeline, fp32, to plain transformers fp32",
        times("speed", FP32, PLAIN),
        Limits(1.2, 1.2, 1.15),
    ),
    Target(
        "whole pipeline, bf16, to plain transformers bf16",
        times("speed", BF16, plain_of(BF16)),
        Limits(1.25, 1.2, None),
    ),
    Target("shape of BERT-base, fp32, to plain fp32", base_times(FP32), Limits(1.4, 1.3, 1.2)),
    Target("shape of BERT-base, bf16, to plain bf16", base_times(BF16), Limits(1.35, 1.25, None)),
    Target(
        "short documents, whole pipeline, fp32, to plain fp32",
        times("speed", FP32, PLAIN, short=True),
        Limits(1.1, 1.1, 1.05),
    ),
    Target(
        "short documents, whole pipeline, bf16, to plain bf16",
        times("speed", BF16, plain_of(BF16), short=True),
        Limits(1.05, 1.05, None),
    ),
    Target(
        "model alone, fp32, to OpenVINO fp32",
        times("model", FP32, "openvino fp32"),
        Limits(1.2, 1.05, 1.0),
    ),
    Target(
        "model alone, bf16, to OpenVINO bf16",
        times("model", BF16, "openvino bf16"),
        Limits(1.2, 1.05, None),
    ),
    Target(
        "whole pipeline, bf16, to spacy-transformers",
        times("speed", BF16, PEER),
        Limits(6, 3.5, None),
    ),
    Target(
        "time of one short text, fp32, relative to plain fp32",
        _latency(FP32),
        Limits(0.8, 0.8, 0.85),
        least=False,
    ),
    Target(
        "time of one short text, bf16, relative to plain bf16",
        _latency(BF16),
        Limits(0.8, 0.8, None),
        least=False,
    ),
    Target(
        "a fine-tuning step, to spacy-transformers",
        lambda results: {"": results["finetune"]["times_as_fast"][PEER][FP32]},
        Limits(2.2, 2.2, 2.0),
    ),
    Target(
        "time outside of the model, fp32",
        around_model(FP32),
        everywhere(0.06),
        least=False,
        form="{:.1%}",
    ),
    Target(
        "time outside of the model, bf16",
        around_model(BF16),
        Limits(0.12, 0.12, None),
        least=False,
        form="{:.1%}",
    ),
    Target(
        "alignment and weighted sum, µs per wordpiece", _alignment, everywhere(0.5), least=False
    ),
    Target(
        "peak of memory above the model, relative to plain in the same precision",
        _peaks,
        everywhere(0.6),
        least=False,
    ),
    Target(
        "memory growth between a fifth and all of the streamed documents",
        lambda results: {"": results["memory"]["stream"]["growth"]},
        everywhere(0.05),
        least=False,
        form="{:.1%}",
    ),
    Target(
        "a long document, peak above the model, MB",
        _long_document,
        everywhere(1500),
        least=False,
        form="{:.0f}",
    ),
    Target(
        "fp32: largest difference from plain transformers",
        output(FP32, "largest_difference"),
        everywhere(1e-5),
        least=False,
        form="{:.1e}",
    ),
    Target(
        "bf16: lowest cosine of a wordpiece with fp32",
        output(BF16, "lowest_cosine"),
        everywhere(0.999),
        form="{:.5f}",
    ),
    Target(
        "bf16: points of a text classifier's score lost", _lost_score, everywhere(0.2), least=False
    ),
]


def limit_of(target: Target, instructions: dict[str, bool]) -> float | None:
    """Return the limit of a target for a processor.

    target (Target): The target.
    instructions (dict): Whether the processor has an instruction set, by name.
    RETURNS (float): The limit; None where the target does not apply.
    """
    if instructions.get("amx_bf16"):
        return target.limits.amx
    return target.limits.avx512 if instructions.get("avx512_bf16") else target.limits.other


def check(target: Target, results: dict[str, Any]) -> dict[str, Any]:
    """Check a target on every text set.

    target (Target): The target.
    results (dict): All results.
    RETURNS (dict): The line of the table: the measurement, the limit and whether it is reached.
    """
    limit = limit_of(target, results["machine"]["instructions"])
    written_limit = "none for this processor"
    if limit is not None:
        sign = "at least" if target.least else "at most"
        written_limit = f"{sign} {target.form.format(limit)}"
    line: dict[str, Any] = {"what": target.what, "target": written_limit}
    try:
        values = target.find(results)
    except KeyError:
        values = {}
    if not values:
        return {**line, "measured": "not measured", "reached": ""}
    written = [f"{target.form.format(value)} {name}".strip() for name, value in values.items()]
    verdict = ""
    if limit is not None:
        reached = all(
            value >= limit if target.least else value <= limit for value in values.values()
        )
        verdict = "yes" if reached else "no"
    return {**line, "measured": ", ".join(written), "reached": verdict}
