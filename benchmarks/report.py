"""The results as Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ablation import PREDICTION, TRAINING, TRICKS
from stages import STAGES
from systems import SYSTEMS, plain_of


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
    for name, write in [
        ("model", model),
        ("speed", speed),
        ("base", base),
        ("ablation", ablation),
        ("latency", latency),
        ("stages", stages),
        ("growth", growth),
        ("memory", memory),
        ("finetune", finetune),
    ]:
        if name in results:
            parts.append(write(results[name]))
    if "ceiling" in results and "speed" in results:
        parts.append(ceiling(results["ceiling"], results["speed"]))
    return "\n\n".join(parts) + "\n"


def head(results: dict[str, Any]) -> str:
    """Format the machine, the settings, the versions and the texts."""
    machine, runs = results["machine"], results["runs"]
    has = ", ".join(
        f"{'with' if there else 'without'} {name}"
        for name, there in machine["instructions"].items()
    )
    lines = [
        f"{machine['processor']} ({has}), cores: {machine['cores']}, "
        f"{machine['system']}, Python {machine['python']}. Medians of "
        "rounds in which the systems took turns; a ratio is the median of the ratios of the "
        "rounds.",
    ]
    if any(run["quick"] for run in runs.values()):
        lines.append("**A quick run, to check that everything works. Do not use its numbers.**")
    columns = [
        *("date", "load before", "rounds", "threads", "documents of a set"),
        *("documents of a batch", "wordpieces of a batch of the model"),
    ]
    settings = [
        [
            part,
            run["date"],
            "unknown" if run["load_before"] is None else f"{run['load_before']:.2f}",
            run["rounds"],
            run["threads"],
            run["limit"],
            run["batch_size"] or "1000 (spaCy default)",
            run["words_per_batch"],
        ]
        for part, run in runs.items()
    ]
    lines.append(table(["part", *columns], settings))
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


def model(sets: dict[str, Any]) -> str:
    """Format the speed of the model alone, against other systems in the same precision."""
    parts = [
        "### The model alone: wordpiece ids to rows",
        "Ratios compare systems of the same precision. Outputs are compared with plain "
        "transformers in fp32.",
    ]
    return "\n\n".join([*parts, *(_model_table(name, found) for name, found in sets.items())])


def _model_table(name: str, found: dict[str, Any]) -> str:
    """Format the model alone on one set of texts."""
    kinds = list(dict.fromkeys(SYSTEMS[reference].kind for reference in found["times_as_fast"]))
    rows = []
    for system, speed in found["wordpieces_per_second"].items():
        references = [f"{kind} {SYSTEMS[system].precision}" for kind in kinds]
        output = found["outputs"][system]
        rows.append(
            [
                system,
                f"{speed:,.0f}",
                *(_ratio(found, reference, system) for reference in references),
                f"{output['largest_difference']:.1e}",
                f"{output['lowest_cosine']:.6f}",
            ]
        )
    columns = [f"times {kind}" for kind in kinds]
    outputs = ["largest difference", "lowest cosine"]
    return table([name, "wordpieces/s", *columns, *outputs], rows)


def _ratio(found: dict[str, Any], reference: str, system: str) -> str:
    """Format the speed relative to a reference; empty if the reference was not measured."""
    ratios = found["times_as_fast"].get(reference)
    return "" if ratios is None else f"{ratios[system]:.2f}"


def base(found: dict[str, Any]) -> str:
    """Format the speed of a model of the shape of BERT-base."""
    rows = [
        [
            system,
            found["versions"][system].get("engine", ""),
            f"{found['model']['wordpieces_per_second'][system]:,.0f}",
            _ratio(found["model"], plain_of(system), system),
            f"{found['speed']['tokens_per_second'][system]:,.0f}",
            _ratio(found["speed"], plain_of(system), system),
        ]
        for system in found["model"]["seconds"]
    ]
    columns = [
        *("system", "engine", "model alone, wordpieces/s", "times plain"),
        *("whole pipeline, tokens/s", "times plain"),
    ]
    title = "### The shape of BERT-base: 12 layers of width 768, random weights"
    return f"{title}\n\n{table(columns, rows)}"


def ablation(found: dict[str, dict[str, float]]) -> str:
    """Format what each trick is worth."""
    columns = [column for column in (*PREDICTION, *TRAINING) if column in found]
    rows = [
        [
            name,
            trick.description,
            *(
                f"{found[column][name]:.2f}" if column in trick.columns else ""
                for column in columns
            ),
        ]
        for name, trick in TRICKS.items()
    ]
    text = (
        "Each line switches one thing off. The numbers are the time without it, relative to the "
        "time with it: 1.2 means that everything takes a fifth longer without it. Empty cells are "
        "measurements that it does not affect."
    )
    title = "### What each part of the engine is worth"
    return f"{title}\n\n{text}\n\n{table(['part', 'what it is', *columns], rows)}"


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
            f"{found['of_plain'][system]:.2f}" if system in found["of_plain"] else "",
        ]
        for system, times in found["milliseconds"].items()
    ]
    title = f"### One text of {found['words']:.0f} words, {found['calls']} calls"
    columns = ["system", "median, ms", "95th percentile, ms", "of plain in the same precision"]
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
