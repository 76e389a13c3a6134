"""The numbers as tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from stages import STAGES


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """RETURNS (str): A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def report(results: dict[str, Any]) -> str:
    """Write all that was measured.

    results (dict): What `bench.py` measured.
    RETURNS (str): Markdown.
    """
    parts = [head(results), "### Targets", targets(results["targets"])]
    if "ceiling" in results:
        parts.append(ceiling(results["ceiling"], results["speed"]))
    for name, write in [
        ("speed", speed),
        ("latency", latency),
        ("stages", stages),
        ("growth", growth),
        ("memory", memory),
        ("finetune", finetune),
    ]:
        if name in results:
            parts.append(write(results[name]))
    return "\n\n".join(parts) + "\n"


def head(results: dict[str, Any]) -> str:
    """RETURNS (str): Machine, settings, versions and texts."""
    machine, settings = results["machine"], results["settings"]
    has = ", ".join(
        f"{'with' if there else 'without'} {name}"
        for name, there in machine["instructions"].items()
    )
    load = machine["load_before"]
    lines = [
        f"{machine['processor']} ({has}), cores: {machine['cores']}, threads of each system: "
        f"{machine['threads']}, {machine['system']}, Python {machine['python']}, "
        f"{results['date']}. "
        f"Load before the run: {'unknown' if load is None else f'{load:.1f}'}. "
        f"Medians of {settings['rounds']} rounds in which the systems took turns; a ratio is the "
        f"median of the ratios of the rounds. nlp.pipe in batches of "
        f"{settings['batch_size'] or '1000 (spaCy default)'} documents; at most "
        f"{settings['words_per_batch']} cells in a batch of the model.",
    ]
    if settings["quick"]:
        lines.append("**A quick run: it shows that everything works. Do not use its numbers.**")
    versions = [
        [system, ", ".join(f"{name} {version}" for name, version in found.items())]
        for system, found in results["versions"].items()
    ]
    lines.append(table(["system", "versions"], versions))
    names = list(next(iter(results["texts"].values())))
    counts = [
        [name, *(f"{found[what]:,.1f}".removesuffix(".0") for what in names)]
        for name, found in results["texts"].items()
    ]
    lines.append(table(["texts", *names], counts))
    return "\n\n".join(lines)


def targets(lines: list[dict[str, Any]]) -> str:
    """RETURNS (str): Each target, what was measured and whether it was reached."""
    columns = ["what", "measured", "target", "reached"]
    return table(columns, ([line[column] for column in columns] for line in lines))


def ceiling(found: dict[str, Any], sets: dict[str, Any]) -> str:
    """RETURNS (str): What the machine's products allow, and how near each system comes to it."""
    million = found["operations"] / 1e6
    rows = []
    for name, rate in found["rates"].items():
        most = rate / found["operations"]
        line = [name, f"{rate / 1e9:.0f}", f"{most:,.0f}"]
        for one in sets.values():
            of_system = {
                system: tokens * one["wordpieces_per_token"] / most
                for system, tokens in one["tokens_per_second"].items()
                if system.startswith(("bridge", "plain")) and system.endswith(name.split()[1])
            }
            line.append(", ".join(f"{system} {share:.0%}" for system, share in of_system.items()))
        rows.append(line)
    columns = ["products by", "GFLOP/s", "wordpieces/s", *sets]
    return (
        "### What this machine allows\n\n"
        f"The matrix products of the model are {million:.1f} million operations for a wordpiece. "
        "So many wordpieces could be read if nothing else took time, and so near to that systems "
        f"come:\n\n{table(columns, rows)}"
    )


def speed(sets: dict[str, Any]) -> str:
    """RETURNS (str): Tokens per second of each system on each set, and how outputs differ."""
    parts = ["### Speed from end to end"]
    for name, found in sets.items():
        references = list(found["times_as_fast"])
        rows = [
            [
                system,
                f"{tokens:,.0f}",
                *(f"{found['times_as_fast'][one][system]:.2f}" for one in references),
            ]
            for system, tokens in found["tokens_per_second"].items()
        ]
        columns = [f"times {reference}" for reference in references]
        parts.append(table([name, "tokens/s", *columns], rows))
    parts.append("### Outputs against plain transformers in fp32")
    columns = ["largest difference", "lowest cosine", "mean cosine", "tokens against wordpieces"]
    rows = [
        [
            f"{system}, {name}",
            f"{one['largest_difference']:.1e}",
            f"{one['lowest_cosine']:.6f}",
            f"{one['mean_cosine']:.6f}",
            f"{one['lost']:.1e}" if system.startswith("bridge") else "",
        ]
        for name, found in sets.items()
        for system, one in found["outputs"].items()
    ]
    parts.append(table(["system", *columns], rows))
    return "\n\n".join(parts)


def latency(found: dict[str, Any]) -> str:
    """RETURNS (str): Milliseconds of one short text."""
    rows = [
        [
            system,
            *(f"{one[which]:.2f}" for which in ("median", "95th percentile")),
            f"{found['of_plain'][system]:.2f}",
        ]
        for system, one in found["milliseconds"].items()
    ]
    title = f"### One text of {found['words']:.0f} words, {found['calls']} calls"
    columns = ["system", "median, ms", "95th percentile, ms", "of plain fp32"]
    return f"{title}\n\n{table(columns, rows)}"


def stages(sets: dict[str, Any]) -> str:
    """RETURNS (str): Where the time goes."""
    columns = [(name, system) for name, found in sets.items() for system in found["shares"]]
    rows = [
        [stage, *(f"{sets[name]['shares'][system][stage]:.1%}" for name, system in columns)]
        for stage in STAGES
    ]
    costs = ", ".join(f"{one['alignment_microseconds']:.2f} ({n})" for n, one in sets.items())
    return "\n\n".join(
        [
            "### Where the time goes",
            table(["share of the time", *(f"{system}, {name}" for name, system in columns)], rows),
            f"Alignment and weighted sum by themselves, µs per wordpiece: {costs}.",
        ]
    )


def growth(curves: dict[str, Any]) -> str:
    """RETURNS (str): Seconds as texts grow."""
    parts = ["### Growth, in seconds"]
    for what, curve in curves.items():
        unit = "" if what == "batch size" else " tokens"
        slopes = curve.get("per_doubling", {})
        rows = [
            [
                system,
                *(f"{point:.3f}" for point in line),
                *([", ".join(f"{ratio:.2f}" for ratio in slopes[system])] if slopes else []),
            ]
            for system, line in curve["seconds"].items()
        ]
        last = ["times per doubling"] if slopes else []
        parts.append(table([what, *(f"{x:,}{unit}" for x in curve["x"]), *last], rows))
    return "\n\n".join(parts)


def memory(found: dict[str, Any]) -> str:
    """RETURNS (str): Megabytes."""
    peaks, stream, long = found["peaks"], found["stream"], found["long_document"]
    rows = [[system, f"{one['loaded']:.0f}", f"{one['peak']:.0f}"] for system, one in peaks.items()]
    columns = ["system", "with the model loaded", f"peak above that, {found['texts']}"]
    (few, many), (before, after) = stream["documents"], stream["megabytes"]
    return "\n\n".join(
        [
            "### Memory, in MB",
            table(columns, rows),
            f"Streamed and dropped: {before:.0f} MB after {few:,} documents, {after:.0f} after "
            f"{many:,} ({stream['growth']:+.1%}).",
            f"A document of {long['characters']:,} characters ({long['tokens']:,} tokens): "
            f"{'works' if long['works'] else 'FAILS'}, {long['seconds']:.1f} s, peak "
            f"{long['peak']:.0f} MB above the model.",
        ]
    )


def finetune(found: dict[str, Any]) -> str:
    """RETURNS (str): Seconds of a step."""
    references = list(found["times_as_fast"])
    rows = [
        [
            system,
            f"{seconds:.3f}",
            *(f"{found['times_as_fast'][one][system]:.2f}" for one in references),
        ]
        for system, seconds in found["seconds_per_step"].items()
    ]
    scores = ", ".join(f"{100 * score:.2f} in {name}" for name, score in found["scores"].items())
    return "\n\n".join(
        [
            "### A fine-tuning step: 32 short texts, fp32",
            table(["system", "s per step", *(f"times {one}" for one in references)], rows),
            f"Macro F after {found['steps']} steps of bridge fp32: {scores}.",
        ]
    )
