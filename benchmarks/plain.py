"""Plain transformers, and the same model run by OpenVINO and by ONNX Runtime, without spaCy.

All three sort inputs by length, pad them, run the model and remove the padding. They differ in
`forward` alone.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy


class Padded(NamedTuple):
    """Store inputs of similar length that run together.

    indices (list of int, (n,)): Which inputs.
    ids (list of list of int, (n,)): The wordpieces of each, the longest input first.
    """

    indices: list[int]
    ids: list[list[int]]


class Plain:
    """Store plain transformers: `AutoModel` in inference mode, with torch's fused attention.

    The input is split into sentences already. The batches are planned by this project, because they
    are faster than batches of a fixed number of sentences: each ends before padding would cost more
    than another run of the model.
    """

    packages: tuple[str, ...] = ("torch", "transformers")

    def __init__(self, checkpoint: str, precision: str, words_per_batch: int) -> None:
        import torch
        from transformers import AutoTokenizer

        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
        self.tokenizer = AutoTokenizer.from_pretrained(checkpoint)
        self.model = load_model(checkpoint, dtype=dtype, attn_implementation="sdpa")
        self.pad_id = self.tokenizer.pad_token_id
        self.words_per_batch = words_per_batch

    def notes(self) -> dict[str, str]:
        """Return no notes."""
        return {}

    def forward(self, ids: numpy.ndarray, mask: numpy.ndarray) -> numpy.ndarray:
        """Run the model over one padded batch.

        ids (int64, (n, length)): Wordpieces.
        mask (int64, (n, length)): 0 for padding, and 1 elsewhere.
        RETURNS (float32, (n, length, width)): The last hidden state.
        """
        import torch

        inputs = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
        with torch.inference_mode():
            rows: numpy.ndarray = self.model(**inputs).last_hidden_state.float().numpy()
        return rows

    def forward_all(
        self, batches: Iterable[tuple[numpy.ndarray, numpy.ndarray]]
    ) -> Iterator[numpy.ndarray]:
        """Run the model over batches, and yield the states of each; see `forward`."""
        return (self.forward(ids, mask) for ids, mask in batches)

    def plan(self, sentences: Sequence[str]) -> list[Padded]:
        """Split sentences into wordpieces and plan the batches.

        sentences (sequence of str): The sentences.
        RETURNS (list of Padded): The batches.
        """
        from trf_bridge.wrappers.engine.planning import plan_padded

        encoded = self.tokenizer(
            list(sentences),
            truncation=True,
            return_token_type_ids=False,
            return_attention_mask=False,
        )["input_ids"]
        lengths = numpy.asarray([len(ids) for ids in encoded])
        return [
            Padded(subbatch.indices.tolist(), [encoded[i] for i in subbatch.indices])
            for subbatch in plan_padded(lengths, self.words_per_batch)
        ]

    def input_rows(self, batches: Sequence[Padded]) -> list[numpy.ndarray]:
        """Run batches and return the rows of each input.

        batches (sequence of Padded): The batches.
        RETURNS (list of float32, each (n_wp, width)): The rows, in the order of the indices.
        """
        outputs: dict[int, numpy.ndarray] = {}
        states = self.forward_all(pad(batch.ids, self.pad_id) for batch in batches)
        for batch, hidden in zip(batches, states, strict=True):
            for i, ids, rows in zip(batch.indices, batch.ids, hidden, strict=True):
                outputs[i] = rows[: len(ids)].copy()
        return [outputs[i] for i in range(len(outputs))]

    def run(self, texts: Sequence[Sequence[str]], batch_size: int | None) -> int:
        """Run the sentences of the texts in batches.

        texts (sequence of sequence of str): The sentences of each text.
        batch_size (int): Texts per batch; None for spaCy's default.
        RETURNS (int): Rows of all sentences.
        """
        size = batch_size or 1000
        batches = (texts[i : i + size] for i in range(0, len(texts), size))
        return sum(
            len(rows)
            for batch in batches
            for rows in self.input_rows(self.plan(list(chain.from_iterable(batch))))
        )

    def run_one(self, text: Sequence[str]) -> numpy.ndarray:
        """Run one text and return its rows (n_wp, width)."""
        if len(text) > 1:
            return numpy.concatenate(self.input_rows(self.plan(text)))
        ids = numpy.asarray([self.tokenizer(text[0], truncation=True)["input_ids"]])
        return self.forward(ids, numpy.ones_like(ids))[0]

    def outputs(self, texts: Sequence[Sequence[str]]) -> Iterator[tuple[numpy.ndarray, float]]:
        """Yield the rows of each text (n_wp, width), and 0.0, since there is no sum over tokens."""
        for text in texts:
            yield numpy.concatenate(self.input_rows(self.plan(text))), 0.0

    def read_inputs(self, content: Any) -> list[Padded]:
        """Return the inputs of `model_rows` from what `plan` returned, read from JSON."""
        return [Padded(*batch) for batch in content]

    def model_rows(self, inputs: list[Padded]) -> list[numpy.ndarray]:
        """Run the model alone: wordpiece ids to rows, input after input."""
        return self.input_rows(inputs)


class OpenVino(Plain):
    """Store the model converted to OpenVINO, with the hint for the kind of work.

    Batches run with the hint for throughput, which computes several of them at once, and a single
    text with the hint for latency.
    """

    packages = ("openvino", *Plain.packages)

    def __init__(self, checkpoint: str, precision: str, words_per_batch: int) -> None:
        super().__init__(checkpoint, "fp32", words_per_batch)
        import openvino
        import torch

        ones = torch.ones(2, 8, dtype=torch.int64)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # from the tracing of the model
            converted = openvino.convert_model(
                self.model, example_input={"input_ids": ones, "attention_mask": ones}
            )
        options = {
            "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision],
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        }
        self.one_text, self.batches = (
            openvino.compile_model(converted, "CPU", {**options, "PERFORMANCE_HINT": hint})
            for hint in ("LATENCY", "THROUGHPUT")
        )
        self.queue = openvino.AsyncInferQueue(self.batches)
        del self.model

    def notes(self) -> dict[str, str]:
        """Return the precision and the number of streams that OpenVINO chose."""
        precision = self.batches.get_property("INFERENCE_PRECISION_HINT").to_string()
        return {"precision": precision, "streams": str(self.batches.get_property("NUM_STREAMS"))}

    def forward(self, ids: numpy.ndarray, mask: numpy.ndarray) -> numpy.ndarray:
        """Run the model over one batch; see `Plain.forward`."""
        rows: numpy.ndarray = self.one_text({"input_ids": ids, "attention_mask": mask})[0]
        return rows

    def forward_all(
        self, batches: Iterable[tuple[numpy.ndarray, numpy.ndarray]]
    ) -> Iterator[numpy.ndarray]:
        """Run the model over batches, several at once; see `Plain.forward_all`."""
        found: dict[int, numpy.ndarray] = {}
        self.queue.set_callback(
            lambda request, i: found.update({i: request.get_output_tensor(0).data.copy()})
        )
        for i, (ids, mask) in enumerate(batches):
            self.queue.start_async({"input_ids": ids, "attention_mask": mask}, i)
        self.queue.wait_all()
        return (found[i] for i in range(len(found)))


class OnnxRuntime(Plain):
    """Store the model exported to ONNX, with all optimizations of ONNX Runtime.

    The optimizer for transformers fuses the attention of BERT models, which it recognizes in the
    graph of unfused ("eager") attention only.
    """

    packages = ("onnxruntime", "onnx", *Plain.packages)

    def __init__(self, checkpoint: str, precision: str, words_per_batch: int) -> None:
        super().__init__(checkpoint, "fp32", words_per_batch)
        import onnxruntime
        import torch

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            self.fused = export(load_model(checkpoint, attn_implementation="eager"), path)
            self.session = onnxruntime.InferenceSession(
                path, options, providers=["CPUExecutionProvider"]
            )
        del self.model

    def notes(self) -> dict[str, str]:
        """Return the number of layers whose attention is fused."""
        return {"fused attention": str(self.fused)}

    def forward(self, ids: numpy.ndarray, mask: numpy.ndarray) -> numpy.ndarray:
        """Run the model over one batch; see `Plain.forward`."""
        inputs = {"input_ids": ids, "attention_mask": mask}
        rows: numpy.ndarray = self.session.run(["last_hidden_state"], inputs)[0]
        return rows


def load_model(checkpoint: str, **options: Any) -> Any:
    """Load the model of a checkpoint in evaluation mode; the options are those of transformers."""
    from transformers import AutoModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    return AutoModel.from_pretrained(checkpoint, **options).eval()


def pad(inputs: Sequence[Sequence[int]], pad_id: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Pad the wordpieces of inputs to the longest of them.

    inputs (sequence of sequence of int, (n,)): The wordpieces of each input.
    pad_id (int): The wordpiece for padding.
    RETURNS (tuple of int64, (n, longest)): The ids, and a mask that is 0 for padding.
    """
    lengths = numpy.asarray([len(ids) for ids in inputs])
    real = numpy.arange(lengths.max()) < lengths[:, None]
    padded = numpy.full(real.shape, pad_id, dtype="int64")
    padded[real] = numpy.fromiter(chain.from_iterable(inputs), dtype="int64")
    return padded, real.astype("int64")


def export(model: Any, path: Path) -> int:
    """Export a model to ONNX and fuse its operations.

    model (PreTrainedModel): The model.
    path (Path): The file to write.
    RETURNS (int): Number of layers whose attention is fused; 0 where the model is no BERT.
    """
    import torch
    from onnxruntime.transformers import optimizer

    class LastHiddenState(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            outputs = self.model(input_ids=input_ids, attention_mask=attention_mask)
            rows: torch.Tensor = outputs.last_hidden_state
            return rows

    names = ["input_ids", "attention_mask", "last_hidden_state"]
    ones = torch.ones(2, 8, dtype=torch.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            LastHiddenState(),
            (ones, ones),
            str(path),
            input_names=names[:2],
            output_names=names[2:],
            dynamic_axes={name: {0: "n", 1: "length"} for name in names},
            dynamo=False,  # the optimizer recognizes the graph of this exporter only
        )
    if model.config.model_type != "bert":
        return 0
    sizes = {
        "num_heads": model.config.num_attention_heads,
        "hidden_size": model.config.hidden_size,
    }
    fused = optimizer.optimize_model(str(path), "bert", opt_level=0, **sizes)
    fused.save_model_to_file(str(path))
    counts: dict[str, int] = fused.get_fused_operator_statistics()
    return counts["Attention"]
