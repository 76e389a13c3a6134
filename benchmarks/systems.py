"""The systems that `bench.py` compares, each used as its documentation recommends.

Environments have one system only, so each class imports its own libraries.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

import numpy

# Pipelines read texts; the plain models read lists of sentences.
SYSTEMS = {
    "bridge fp32": ("bridge", "fp32"),
    "bridge bf16": ("bridge", "bf16"),
    "plain fp32": ("plain", "fp32"),
    "plain bf16": ("plain", "bf16"),
    "spacy-transformers": ("spacy-transformers", "fp32"),
    "spacy-curated-transformers": ("spacy-curated-transformers", "fp32"),
}
PEERS = ("spacy-transformers", "spacy-curated-transformers")
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

    def __init__(self, checkpoint: str, precision: str, words_per_batch: int) -> None:
        import trf_bridge

        self.nlp = trf_bridge.from_pretrained(
            checkpoint, precision=precision, words_per_batch=words_per_batch
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


class Plain:
    """Store plain transformers without spaCy: sort by length, pad, run, remove the padding.

    The input is split into sentences already. The batches are planned by this project, because they
    are faster than batches of a fixed number of sentences: each ends before padding would cost more
    than another run of the model.
    """

    packages = ("torch", "transformers")

    def notes(self) -> dict[str, str]:
        """Return no notes."""
        return {}

    def __init__(self, checkpoint: str, precision: str, words_per_batch: int) -> None:
        import torch
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()
        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
        self.tokenizer = AutoTokenizer.from_pretrained(checkpoint)
        self.model = AutoModel.from_pretrained(checkpoint, dtype=dtype).eval()
        self.words_per_batch = words_per_batch

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
            for rows in self.sentence_rows(list(chain.from_iterable(batch)))
        )

    def run_one(self, text: Sequence[str]) -> numpy.ndarray:
        """Run one text and return its rows (n_wp, width)."""
        import torch

        if len(text) > 1:
            return numpy.concatenate(self.sentence_rows(text))
        inputs = self.tokenizer(text[0], truncation=True, return_tensors="pt")
        with torch.inference_mode():
            rows: numpy.ndarray = self.model(**inputs).last_hidden_state[0].float().numpy()
        return rows

    def outputs(self, texts: Sequence[Sequence[str]]) -> Iterator[tuple[numpy.ndarray, float]]:
        """Yield the rows of each text (n_wp, width), and 0.0, since there is no sum over tokens."""
        for text in texts:
            yield numpy.concatenate(self.sentence_rows(text)), 0.0

    def sentence_rows(self, sentences: Sequence[str]) -> list[numpy.ndarray]:
        """Run sentences and return their rows.

        sentences (sequence of str, (n,)): The sentences.
        RETURNS (list of float32, each (n_wp, width)): Their rows.
        """
        import torch

        from trf_bridge.wrappers.engine.planning import plan_padded

        encoded = self.tokenizer(list(sentences), truncation=True)
        lengths = numpy.asarray([len(ids) for ids in encoded["input_ids"]])
        outputs: list[numpy.ndarray] = [numpy.empty(0)] * len(sentences)
        for indices in plan_padded(lengths, self.words_per_batch):
            picked = {name: [values[i] for i in indices] for name, values in encoded.items()}
            batch = self.tokenizer.pad(picked, return_tensors="pt")
            with torch.inference_mode():
                hidden = self.model(**batch).last_hidden_state.float()
            for row, i in zip(hidden, indices, strict=True):
                outputs[i] = row[: lengths[i]].numpy().copy()
        return outputs


CLASSES: dict[str, Any] = {
    "bridge": Bridge,
    "plain": Plain,
    "spacy-transformers": SpacyTransformers,
    "spacy-curated-transformers": CuratedTransformers,
}


def versions(system: Any) -> dict[str, str]:
    """Return the versions of the packages of a system, and its notes."""
    return {package: version(package) for package in system.packages} | system.notes()
