"""The results as Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from stages import STAGES


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Format a table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def report(results: dict[str, Any]) -> str:
    """Format all results.

    results (dict): The results of `bench.py`.
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
    """Format the machine, the settings, the versions and the texts."""
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
        f"median of the ratios of the rounds. nlp.pipe with batches of "
        f"{settings['batch_size'] or '1000 (spaCy default)'} documents; at most "
        f"{settings['words_per_batch']} cells in a batch of the model.",
    ]
    if settings["quick"]:
        lines.append("**A quick run, to check that everything works. Do not use its numbers.**")
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
    """Format the targets."""
    columns = ["what", "measured", "target", "reached"]
    return table(columns, ([line[column] for column in columns] for line in lines))


def ceiling(found: dict[str, Any], sets: dict[str, Any]) -> str:
    """Format the upper bound by the machine's matrix products, and the share of each system."""
    million = found["operations"] / 1e6
    rows = []
    for name, rate in found["rates"].items():
        most = rate / found["operations"]
        line = [name, f"{rate / 1e9:.0f}", f"{most:,.0f}"]
        for measured in sets.values():
            of_system = {
                system: tokens * measured["wordpieces_per_token"] / most
                for system, tokens in measured["tokens_per_second"].items()
                if system.startswith(("bridge", "plain")) and system.endswith(name.split()[1])
            }
            line.append(", ".join(f"{system} {share:.0%}" for system, share in of_system.items()))
        rows.append(line)
    columns = ["products by", "GFLOP/s", "wordpieces/s", *sets]
    return (
        "### Upper bound of this machine\n\n"
        f"The matrix products of the model are {million:.1f} million operations per wordpiece. The "
        "table lists the wordpieces per second if nothing else took time, and the share of it that "
        f"each system reaches:\n\n{table(columns, rows)}"
    )


def speed(sets: dict[str, Any]) -> str:
    """Format tokens per second of each system on each set, and the differences of outputs."""
    parts = ["### Speed from end to end"]
    for name, found in sets.items():
        references = list(found["times_as_fast"])
        rows = [
            [
                system,
                f"{tokens:,.0f}",
                *(f"{found['times_as_fast'][name][system]:.2f}" for name in references),
            ]
            for system, tokens in found["tokens_per_second"].items()
        ]
        columns = [f"times {reference}" for reference in references]
        parts.append(table([name, "tokens/s", *columns], rows))
    parts.append("### Outputs compared with plain transformers in fp32")
    columns = [
        "largest difference",
        "lowest cosine",
        "mean cosine",
        "sum over tokens minus sum over wordpieces",
    ]
    rows = [
        [
            f"{system}, {name}",
            f"{output['largest_difference']:.1e}",
            f"{output['lowest_cosine']:.6f}",
            f"{output['mean_cosine']:.6f}",
            f"{output['lost']:.1e}" if system.startswith("bridge") else "",
        ]
        for name, found in sets.items()
        for system, output in found["outputs"].items()
    ]
    parts.append(table(["system", *columns], rows))
    return "\n\n".join(parts)


def latency(found: dict[str, Any]) -> str:
    """Format the latency of one short text."""
    rows = [
        [
            system,
            *(f"{times[which]:.2f}" for which in ("median", "95th percentile")),
            f"{found['of_plain'][system]:.2f}",
        ]
        for system, times in found["milliseconds"].items()
    ]
    title = f"### One text of {found['words']:.0f} words, {found['calls']} calls"
    columns = ["system", "median, ms", "95th percentile, ms", "of plain fp32"]
    return f"{title}\n\n{table(columns, rows)}"


def stages(sets: dict[str, Any]) -> str:
    """Format the share of each stage."""
    columns = [(name, system) for name, found in sets.items() for system in found["shares"]]
    rows = [
        [stage, *(f"{sets[name]['shares'][system][stage]:.1%}" for name, system in columns)]
        for stage in STAGES
    ]
    costs = ", ".join(f"{found['alignment_microseconds']:.2f} ({n})" for n, found in sets.items())
    return "\n\n".join(
        [
            "### Time by stage",
            table(["share of the time", *(f"{system}, {name}" for name, system in columns)], rows),
            f"Alignment and weighted sum alone, µs per wordpiece: {costs}.",
        ]
    )


def growth(curves: dict[str, Any]) -> str:
    """Format the seconds by size."""
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
    """Format the memory."""
    peaks, stream, long = found["peaks"], found["stream"], found["long_document"]
    rows = [
        [system, f"{peak['loaded']:.0f}", f"{peak['peak']:.0f}"] for system, peak in peaks.items()
    ]
    columns = ["system", "with the model loaded", f"peak above that, {found['texts']}"]
    (few, many), (before, after) = stream["documents"], stream["megabytes"]
    return "\n\n".join(
        [
            "### Memory, in MB",
            table(columns, rows),
            f"Stream: {before:.0f} MB after {few:,} documents, {after:.0f} after "
            f"{many:,} ({stream['growth']:+.1%}).",
            f"A document of {long['characters']:,} characters ({long['tokens']:,} tokens): "
            f"{'works' if long['works'] else 'FAILS'}, {long['seconds']:.1f} s, peak "
            f"{long['peak']:.0f} MB above the model.",
        ]
    )


def finetune(found: dict[str, Any]) -> str:
    """Format the seconds of a training step."""
    references = list(found["times_as_fast"])
    rows = [
        [
            system,
            f"{seconds:.3f}",
            *(f"{found['times_as_fast'][name][system]:.2f}" for name in references),
        ]
        for system, seconds in found["seconds_per_step"].items()
    ]
    scores = ", ".join(f"{100 * score:.2f} in {name}" for name, score in found["scores"].items())
    return "\n\n".join(
        [
            "### A fine-tuning step: 32 short texts, fp32",
            table(["system", "s per step", *(f"times {name}" for name in references)], rows),
            f"Macro F after {found['steps']} steps of bridge fp32: {scores}.",
        ]
    )
