"""The systems that `bench.py` compares, each used as its documentation recommends.

Environments have one system only, so each class imports its own libraries. Systems without spaCy
are in `plain.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy

from plain import OnnxRuntime, OpenVino, Plain


class System(NamedTuple):
    """Store the kind of a system, which is one of `CLASSES`, and its precision."""

    kind: str
    precision: str


# ONNX Runtime computes in bf16 on processors of Arm only.
SYSTEMS = {
    "bridge fp32": System("bridge", "fp32"),
    "bridge bf16": System("bridge", "bf16"),
    "plain fp32": System("plain", "fp32"),
    "plain bf16": System("plain", "bf16"),
    "openvino fp32": System("openvino", "fp32"),
    "openvino bf16": System("openvino", "bf16"),
    "onnxruntime fp32": System("onnxruntime", "fp32"),
    "spacy-transformers": System("spacy-transformers", "fp32"),
    "spacy-curated-transformers": System("spacy-curated-transformers", "fp32"),
}
# Kinds that run a model on lists of sentences; the others are pipelines, which read texts.
RUNTIMES = ("openvino", "onnxruntime")
# Kinds with an environment of the same name.
PEERS = ("spacy-transformers", "spacy-curated-transformers", *RUNTIMES)
CURATED_FIELDS = {
    "vocab_size": "vocab_size",
    "hidden_width": "hidden_size",
    "intermediate_width": "intermediate_size",
    "num_attention_heads": "num_attention_heads",
    "num_hidden_layers": "num_hidden_layers",
    "max_position_embeddings": "max_position_embeddings",
    "type_vocab_size": "type_vocab_size",
    "layer_norm_eps": "layer_norm_eps",
    "hidden_act": "hidden_act",
    "padding_idx": "pad_token_id",
}


class Pipeline:
    """Store a spaCy pipeline as a system."""

    packages: tuple[str, ...] = ("spacy", "thinc", "torch", "transformers")
    nlp: Any

    def notes(self) -> dict[str, str]:
        """Return notes for the version line."""
        return {}

    def run(self, texts: Sequence[str], batch_size: int | None) -> int:
        """Run the texts through `nlp.pipe` and drop each Doc.

        texts (sequence of str): The texts.
        batch_size (int): Docs per batch; None for spaCy's default.
        RETURNS (int): Tokens of all Docs.
        """
        return sum(len(doc) for doc in self.nlp.pipe(texts, batch_size=batch_size))

    def run_one(self, text: str) -> Any:
        """Run one text and return its Doc."""
        return self.nlp(text)


class Bridge(Pipeline):
    """Store a pipeline of this project with its default settings."""

    packages = ("trf_bridge", *Pipeline.packages)

    def __init__(
        self, checkpoint: str, precision: str, words_per_batch: int, **settings: Any
    ) -> None:
        import trf_bridge

        self.nlp = trf_bridge.from_pretrained(
            checkpoint, precision=precision, words_per_batch=words_per_batch, **settings
        )

    def notes(self) -> dict[str, str]:
        """Return the engine and the number of layers that use oneDNN."""
        engine = self.nlp.get_pipe("trf_tok2vec").engine
        counts = engine.count_products()
        return {"engine": engine.name, "layers with oneDNN": f"{counts['onednn']}"}

    def outputs(self, texts: Sequence[str]) -> Iterator[tuple[numpy.ndarray, float]]:
        """Run the texts and yield the rows of their wordpieces.

        texts (sequence of str): The texts.
        YIELDS (tuple): The rows of a document (n_wp, width), and the difference between the sums
            over its tokens and over its wordpieces, relative to the largest sum.
        """
        for doc in self.nlp.pipe(texts):
            rows = doc._.trf_last_hidden_state
            sums = doc.tensor.sum(0, dtype="float64"), rows.sum(0, dtype="float64")
            yield rows, float(numpy.abs(sums[0] - sums[1]).max() / numpy.abs(sums[1]).max())

    def sentences(self, texts: Sequence[str]) -> list[list[str]]:
        """Return the inputs of the model for each text: its sentences."""
        with self.nlp.select_pipes(disable=["trf_tok2vec"]):
            docs = self.nlp.pipe(texts)
            return [[span.text for span in doc._.trf_segments] for doc in docs]

    def read_inputs(self, texts: Sequence[str]) -> list[Any]:
        """Return the inputs of `model_rows`: the wordpieces of each text."""
        from trf_bridge.pipes.doc.records import get_wordpieces

        with self.nlp.select_pipes(disable=["trf_tok2vec"]):
            return [get_wordpieces(doc) for doc in self.nlp.pipe(texts)]

    def model_rows(self, inputs: list[Any]) -> list[numpy.ndarray]:
        """Run the model alone: wordpieces to rows, text after text."""
        outputs = self.nlp.get_pipe("trf_tok2vec").model.predict(inputs)
        return [activations.last_hidden_state for activations in outputs]


class SpacyTransformers(Pipeline):
    """Store a pipeline of spacy-transformers with default settings: strided spans of 128 tokens."""

    packages = ("spacy-transformers", *Pipeline.packages)

    def __init__(self, checkpoint: str, precision: str, words_per_batch: int) -> None:
        import spacy

        model = {
            "@architectures": "spacy-transformers.TransformerModel.v3",
            "name": checkpoint,
        }
        self.nlp = spacy.blank("en")
        self.nlp.add_pipe("transformer", config={"model": model})
        self.nlp.initialize()


class CuratedTransformers(Pipeline):
    """Store a default pipeline of spacy-curated-transformers: strided spans of 128 wordpieces."""

    packages = ("spacy-curated-transformers", "curated-transformers", *Pipeline.packages)

    def __init__(self, checkpoint: str, precision: str, words_per_batch: int) -> None:
        import spacy

        prefix = "spacy-curated-transformers"
        config = json.loads((Path(checkpoint) / "config.json").read_text(encoding="utf8"))
        if config["model_type"] != "bert":
            raise SystemExit(f"{prefix}: this benchmark supports BERT checkpoints only.")
        model = {
            "@architectures": f"{prefix}.BertTransformer.v1",
            "piece_encoder": {"@architectures": f"{prefix}.BertWordpieceEncoder.v1"},
            "with_spans": {"@architectures": f"{prefix}.WithStridedSpans.v1"},
            **{name: config[field] for name, field in CURATED_FIELDS.items()},
        }
        self.nlp = spacy.blank("en")
        self.nlp.add_pipe("curated_transformer", config={"model": model})
        # Its loaders for models on the Hugging Face hub accept a folder, too.
        self.nlp.config["initialize"]["components"]["curated_transformer"] = {
            name: {"@model_loaders": f"{prefix}.{loader}.v1", "name": checkpoint}
            for name, loader in [
                ("encoder_loader", "HFTransformerEncoderLoader"),
                ("piecer_loader", "HFPieceEncoderLoader"),
            ]
        }
        self.nlp.initialize()


CLASSES: dict[str, Any] = {
    "bridge": Bridge,
    "plain": Plain,
    "openvino": OpenVino,
    "onnxruntime": OnnxRuntime,
    "spacy-transformers": SpacyTransformers,
    "spacy-curated-transformers": CuratedTransformers,
}


def plain_of(system: str) -> str:
    """Return the name of plain transformers in the precision of a system."""
    return f"plain {SYSTEMS[system].precision}"


def versions(system: Any) -> dict[str, str]:
    """Return the versions of the packages of a system, and its notes."""
    return {package: version(package) for package in system.packages} | system.notes()
