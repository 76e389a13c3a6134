"""The figure: bars of tokens per second, and curves of growth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

COLORS = {
    "bridge fp32": "#1f5fa8",
    "bridge bf16": "#6aaed6",
    "plain fp32": "#555555",
    "plain bf16": "#aaaaaa",
    "openvino fp32": "#3f7f5f",
    "openvino bf16": "#8fbf9f",
    "onnxruntime fp32": "#8c6bb1",
    "spacy-transformers": "#d9822b",
    "spacy-curated-transformers": "#b5446e",
}


def draw(results: dict[str, Any], path: Path) -> None:
    """Plot speed and growth. Without either of them, no file is written.

    results (dict): The results of `bench.py`.
    path (Path): The file; its suffix determines the format.
    """
    import matplotlib

    matplotlib.use("svg")
    # The file depends on the numbers only, and its text is stored as text.
    matplotlib.rcParams.update({"svg.hashsalt": "bench", "svg.fonttype": "none"})
    from matplotlib.figure import Figure

    speed, growth = results.get("speed", {}), results.get("growth", {})
    n_panels = len(speed) + len(growth)
    if not n_panels:
        return
    n_rows = (n_panels + 1) // 2
    figure = Figure(figsize=(11, 3.2 * n_rows), layout="constrained")
    panels = figure.subplots(n_rows, 2, squeeze=False).flatten().tolist()
    for name, found in speed.items():
        _bars(panels.pop(0), name, found["tokens_per_second"])
    for what, curve in growth.items():
        _curves(panels.pop(0), what, curve)
    for panel in panels:
        panel.set_axis_off()
    figure.savefig(path, metadata={"Date": None})


def _bars(panel: Any, name: str, tokens_per_second: dict[str, float]) -> None:
    systems = list(tokens_per_second)[::-1]
    values = [tokens_per_second[system] for system in systems]
    bars = panel.barh(systems, values, color=[COLORS[system] for system in systems])
    panel.bar_label(bars, labels=[f"{value:,.0f}" for value in values], padding=3)
    panel.set_xlim(0, 1.18 * max(values))
    panel.set_title(f"tokens per second: {name}")
    panel.spines[["top", "right"]].set_visible(False)


def _curves(panel: Any, what: str, curve: dict[str, Any]) -> None:
    for system, seconds in curve["seconds"].items():
        panel.plot(curve["x"], seconds, marker="o", label=system, color=COLORS[system])
    panel.set_title(f"seconds: {what}")
    if what == "batch size":
        panel.set_xscale("log", base=2)
        panel.set_xticks(curve["x"], labels=map(str, curve["x"]))
        panel.set_xlabel("documents in a batch")
    else:
        panel.set_xlabel("tokens")
    panel.set_ylim(bottom=0)
    panel.legend(fontsize="small", frameon=False)
    panel.spines[["top", "right"]].set_visible(False)
