"""Measure this project on a GPU against plain transformers, and check that arrays stay there.

    make bench-gpu
    python benchmarks/gpu.py --checkpoint FOLDER --texts reviews.jsonl

Predicts and trains in bf16 on the same texts as plain transformers, in turns. Checks that cupy and
torch share memory, that the rows of a Doc are on the GPU, and that the alignment is computed there.
Writes the results to the folder of the GPU in benchmarks/results. Without a GPU, exits with a
message.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import texts
from bench import RESULTS, find_checkpoint
from machine import folder_name
from report import table
from turns import median_ratio, rotated

# The lines of the table: the measurement, and how it is written.
LINES = {
    "prediction": "prediction, bf16, whole pipeline: times plain transformers bf16",
    "training": "a training step, bf16: times plain transformers bf16",
    "shared": "cupy and torch use the same memory, in both directions",
    "alignment": "the alignment and its gradient are computed on the GPU",
}
UNMEASURED = "not measured"
RATE = 1e-5


def main(arguments: list[str] | None = None) -> None:
    """Run all measurements on the GPU and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--checkpoint", type=Path, help="a folder; default: that of the pipeline")
    parser.add_argument("--data", type=Path, help="as for bench.py")
    parser.add_argument("--texts", type=Path, action="append", default=[])
    parser.add_argument("--limit", type=int, default=500, help="documents per text set")
    parser.add_argument("--words-per-batch", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=32, help="texts of a training step")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--output", type=Path, help="default: a folder in benchmarks/results")
    args = parser.parse_args(arguments)
    name = require_gpu()
    (documents, *_) = texts.text_sets(args.data, args.texts, args.limit).values()
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = args.checkpoint or find_checkpoint(Path(folder) / "checkpoint")
        results = measure(str(checkpoint), documents, args, "cuda")
    results = {"gpu": name, "date": date.today().isoformat(), **results}
    output = args.output or RESULTS / folder_name(name)
    output.mkdir(parents=True, exist_ok=True)
    (output / "gpu.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf8")
    (output / "gpu.md").write_text(report(results), encoding="utf8")
    print(report(results))


def require_gpu() -> str:
    """Let spaCy use the GPU, or exit.

    RETURNS (str): The name of the GPU.
    """
    import spacy
    import torch

    if not torch.cuda.is_available():
        sys.exit("Expected a GPU that torch supports, got none. Run this on a machine with one.")
    if not spacy.prefer_gpu():
        sys.exit("torch has a GPU, and cupy has none. Install it: pip install 'spacy[cuda12x]'.")
    name: str = torch.cuda.get_device_name()
    return name


def measure(
    checkpoint: str, documents: Sequence[str], args: argparse.Namespace, device: str
) -> dict[str, Any]:
    """Run all measurements.

    checkpoint (str): A folder.
    documents (sequence of str): The texts.
    args (Namespace): The options.
    device (str): The device of torch.
    RETURNS (dict): The results, with the keys of `LINES`.
    """
    from systems import Bridge, versions

    bridge = Bridge(checkpoint, "bf16", args.words_per_batch)
    plain = DevicePlain(checkpoint, args.words_per_batch, device)
    sentences = [sentence for doc in bridge.sentences(documents) for sentence in doc]
    predictions: dict[str, Callable[[], Any]] = {
        "bridge": lambda: bridge.run(documents, None),
        "plain": lambda: plain.predict(sentences),
    }
    # A step on the same short texts, each of which is one input.
    batch = sentences[: args.batch]
    trainer = BridgeTrainer(bridge, batch)
    steps = {"bridge": trainer.step, "plain": lambda: plain.step(batch)}
    return {
        "versions": versions(bridge),
        "prediction": ratio_in_turns(predictions, args.rounds, device),
        "training": ratio_in_turns(steps, args.rounds, device),
        "shared": shares_memory(bridge.nlp, device),
        "alignment": aligns_on_device(bridge.nlp, documents[0]),
    }


def ratio_in_turns(
    systems: dict[str, Callable[[], Any]], rounds: int, device: str
) -> dict[str, Any]:
    """Run functions in turns, after a warm-up.

    systems (dict): A function for "bridge" and one for "plain".
    rounds (int): Number of rounds.
    device (str): The device, which must be idle when a clock is read.
    RETURNS (dict): The seconds of each, and how many times as fast the first one is.
    """
    import torch

    seconds: dict[str, list[float]] = {name: [] for name in systems}
    for i in range(rounds + 1):
        for name in rotated(list(systems), i):
            start = time.perf_counter()
            systems[name]()
            if device == "cuda":
                torch.cuda.synchronize()
            seconds[name].append(time.perf_counter() - start)
    seconds = {name: found[1:] for name, found in seconds.items()}
    return {
        "seconds": {name: statistics.median(found) for name, found in seconds.items()},
        "times": median_ratio(seconds["plain"], seconds["bridge"]),
    }


class DevicePlain:
    """Store plain transformers in bf16 on a device, with a loop that trains it.

    Predicts with a model in bf16 and trains one in float32 in mixed precision.
    """

    def __init__(self, checkpoint: str, words_per_batch: int, device: str) -> None:
        """Load the model twice: for prediction, and for training."""
        import torch

        from plain import Plain, load_model

        self.plain = Plain(checkpoint, "bf16", words_per_batch)
        self.plain.model.to(device)
        self.trained = load_model(checkpoint, dtype=torch.float32).to(device).train()
        self.optimizer = torch.optim.AdamW(self.trained.parameters(), lr=RATE, fused=True)
        self.device = device

    def predict(self, sentences: Sequence[str]) -> int:
        """Run sentences and keep their rows on the device.

        sentences (sequence of str): The sentences.
        RETURNS (int): The number of rows.
        """
        import torch

        from plain import pad

        n_rows = 0
        for batch in self.plain.plan(sentences):
            ids, mask = map(torch.from_numpy, pad(batch.ids, self.plain.pad_id))
            inputs = {"input_ids": ids.to(self.device), "attention_mask": mask.to(self.device)}
            with torch.inference_mode():
                states = self.plain.model(**inputs).last_hidden_state
            n_rows += len(states[inputs["attention_mask"].bool()].float())
        return n_rows

    def step(self, batch: Sequence[str]) -> None:
        """Update the weights once: the loss is the mean of the squared rows."""
        import torch

        inputs = self.plain.tokenizer(
            list(batch), truncation=True, padding=True, return_tensors="pt"
        ).to(self.device)
        with torch.autocast(self.device, torch.bfloat16):
            rows = self.trained(**inputs).last_hidden_state.float()
        rows[inputs["attention_mask"].bool()].square().mean().backward()
        torch.nn.utils.clip_grad_norm_(self.trained.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()


class BridgeTrainer:
    """Store the transformer of a pipeline, with the same step as `DevicePlain`."""

    def __init__(self, bridge: Any, batch: Sequence[str]) -> None:
        """Store the layer and the texts, which are tokenized in each step."""
        from thinc.api import Adam

        self.bridge, self.batch = bridge, batch
        self.layer = bridge.nlp.get_pipe("trf_tok2vec").model
        self.optimizer = Adam(RATE, L2=0.01, grad_clip=1.0)

    def step(self) -> None:
        """Update the weights once: the loss is the mean of the squared rows."""
        outputs, backprop = self.layer.begin_update(self.bridge.read_inputs(self.batch))
        n_cells = sum(activations.last_hidden_state.size for activations in outputs)
        gradients = [
            type(activations)(activations.last_hidden_state * (2 / n_cells))
            for activations in outputs
        ]
        backprop(gradients)
        self.layer.finish_update(self.optimizer)


def shares_memory(nlp: Any, device: str) -> bool:
    """Return whether arrays pass between thinc's ops and torch without a copy.

    nlp (Language): The pipeline.
    device (str): The device of torch.
    RETURNS (bool): Whether the addresses are equal in both directions.
    """
    import torch
    from thinc.api import torch2xp, xp2torch

    array = nlp.get_pipe("trf_tok2vec").model.ops.alloc2f(4, 4)
    tensor = torch.zeros(4, 4, device=device)
    return (
        xp2torch(array, device=torch.device(device)).data_ptr() == address(array)
        and address(torch2xp(tensor)) == tensor.data_ptr()
    )


def address(array: Any) -> int:
    """Return the address of an array of cupy or numpy."""
    pointer: int = array.data.ptr if hasattr(array.data, "ptr") else array.ctypes.data
    return pointer


def aligns_on_device(nlp: Any, text: str) -> bool:
    """Return whether the alignment of a text and its gradient are arrays of the pipeline's ops.

    nlp (Language): The pipeline.
    text (str): A text.
    RETURNS (bool): Whether all of them are on the device.
    """
    from trf_bridge.align import align, apply_alignment
    from trf_bridge.pipes.doc.records import get_wordpieces, token_spans

    doc = nlp(text)
    ops = nlp.get_pipe("trf_tok2vec").model.ops
    rows = ops.asarray(doc._.trf_last_hidden_state)
    alignment = align([doc.text], [token_spans(doc)], [get_wordpieces(doc)])
    tensors, backprop = apply_alignment(ops, alignment, [rows])
    gradients = backprop(tensors)
    found = [doc._.trf_last_hidden_state, doc.tensor, *tensors, *gradients]
    return all(isinstance(array, ops.xp.ndarray) for array in found)


def report(results: dict[str, Any]) -> str:
    """Format the results as Markdown; an empty dict gives a table without measurements.

    results (dict): The results of `measure`.
    RETURNS (str): A table.
    """
    rows = []
    for key, what in LINES.items():
        found = results.get(key, UNMEASURED)
        if isinstance(found, dict):
            found = f"{found['times']:.2f}"
        elif isinstance(found, bool):
            found = "yes" if found else "no"
        rows.append([what, found])
    head = [f"{results['gpu']}, {results['date']}.\n\n"] if results else []
    if results:
        listed = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
        head.append(f"Versions: {listed}.\n\n")
    return "".join([*head, table(["what", "measured"], rows), "\n"])


if __name__ == "__main__":
    main()
