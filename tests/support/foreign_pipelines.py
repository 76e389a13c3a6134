"""Pipelines in the files of spacy-transformers, made without it, and the rows that it computes."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import oracles
import srsly
import torch
from spacy.tokens import Doc
from spacy.util import replace_model_node
from spacy_heads import add_head, initialize_heads, randomize_heads
from thinc.api import Config, Model, Shim, chain, reduce_first, reduce_last, reduce_mean
from token_loss import LISTENER

from trf_bridge.pipes.heads.listener import Listener

HEADS = ["tagger", "morphologizer", "trainable_lemmatizer", "parser", "ner", "spancat", "textcat"]
WINDOW, STRIDE = 6, 4
LAYERS = {"mean": reduce_mean, "first": reduce_first, "last": reduce_last}
THEIR_LISTENER = "spacy-transformers.TransformerListener.v1"


def build_heads(nlp: Any, names: list[str] = HEADS, listener: Any = LISTENER) -> None:
    """Add heads with random weights."""
    for name in names:
        add_head(nlp, name, listener)
    initialize_heads(nlp, *names)
    randomize_heads(nlp, *names)


def their_listener(pooling: str) -> Model[Any, Any]:
    """Build the layers of a listener of spacy-transformers."""
    listener: Model[Any, Any] = Model("transformer-listener", forbidden, dims={"nO": 16})
    pooled: Model[Any, Any] = Model(
        "trfs2arrays", forbidden, layers=[LAYERS[pooling]()], attrs={"grad_factor": 1.0}
    )
    layers: Model[Any, Any] = chain(listener, pooled)
    layers.set_ref("listener", listener)
    return layers


def given_rows(rows: Callable[[Doc], Any]) -> Model[Any, Any]:
    """Build a layer that returns rows computed elsewhere."""

    def forward(model: Any, docs: Any, is_train: bool) -> Any:
        return [rows(doc) for doc in docs], lambda d_rows: []

    return Model("given-rows", forward, dims={"nO": 16})


def forbidden(model: Any, X: Any, is_train: bool) -> Any:
    """Fail: the layers of the other library are never run."""
    raise AssertionError(model.name)


class WholeModel(Shim):
    """A shim that serializes to given bytes."""

    content: bytes = b""

    def to_bytes(self) -> bytes:
        """Return the bytes."""
        return self.content


def their_own_transformer(content: dict[str, Any]) -> Model[Any, Any]:
    """Build the layers that replace a listener in spacy-transformers."""
    shim = WholeModel(None)
    shim.content = srsly.msgpack_dumps(content)
    torch_model: Model[Any, Any] = Model(
        "hf-pytorch", forbidden, dims={"nI": None, "nO": None}, shims=[shim]
    )
    transformer: Model[Any, Any] = Model(
        "transformer", forbidden, dims={"nO": 16}, layers=[torch_model], attrs={"name": "tiny"}
    )
    split: Model[Any, Any] = Model("split-trf-batch", forbidden)
    pooled: Model[Any, Any] = Model(
        "trfs2arrays", forbidden, layers=[reduce_mean()], attrs={"grad_factor": 1.0}
    )
    layers: Model[Any, Any] = chain(chain(transformer, split), pooled)
    return layers


def replace_listeners(
    nlp: Any, build: Callable[[], Model[Any, Any]], names: list[str] | None = None
) -> None:
    """Replace the listeners of heads, by default of all, by other layers."""
    for name, component in nlp.components:
        if names is not None and name not in names:
            continue
        model = getattr(component, "model", None)
        for node in list(model.walk()) if isinstance(model, Model) else []:
            if isinstance(node, Listener):
                replace_model_node(model, node, build())


def save_foreign(
    nlp: Any, checkpoint: Path, folder: Path, *, pooling: str = "mean", family: str = "bert"
) -> Path:
    """Save heads with a checkpoint as a pipeline of spacy-transformers; the heads change."""
    replace_listeners(nlp, lambda: their_listener(pooling))
    nlp.to_disk(folder)
    shutil.rmtree(folder / "trf_wordpiecer")
    shutil.rmtree(folder / "trf_tok2vec")
    config = Config().from_disk(folder / "config.cfg", interpolate=False)
    names = [name for name in config["nlp"]["pipeline"] if not name.startswith("trf_")]
    config["nlp"]["pipeline"] = ["transformer", *names]
    components = {k: v for k, v in config["components"].items() if not k.startswith("trf_")}
    listener = {
        "@architectures": THEIR_LISTENER,
        "grad_factor": 1.0,
        "upstream": "*",
        "pooling": {"@layers": f"reduce_{pooling}.v1"},
    }
    config["components"] = {
        "transformer": transformer_block(),
        **{name: with_listener(block, listener) for name, block in components.items()},
    }
    config.to_disk(folder / "config.cfg")
    (folder / "transformer").mkdir()
    srsly.write_json(folder / "transformer" / "cfg", {"max_batch_items": 4096})
    content = model_bytes(shim_of(checkpoint, family))
    (folder / "transformer" / "model").write_bytes(content)
    return folder


def transformer_block() -> dict[str, Any]:
    """Return the block of a component of spacy-transformers in a config."""
    return {
        "factory": "transformer",
        "max_batch_items": 4096,
        "set_extra_annotations": {
            "@annotation_setters": "spacy-transformers.null_annotation_setter.v1"
        },
        "model": {
            "@architectures": "spacy-transformers.TransformerModel.v3",
            "name": "tiny/model",
            "mixed_precision": False,
            "tokenizer_config": {"use_fast": True},
            "transformer_config": {},
            "grad_scaler_config": {},
            "get_spans": {
                "@span_getters": "spacy-transformers.strided_spans.v1",
                "window": WINDOW,
                "stride": STRIDE,
            },
        },
    }


def shim_of(checkpoint: Path, family: str = "bert") -> dict[str, Any]:
    """Return what spacy-transformers saves of a checkpoint."""
    model = oracles.load_plain(family, checkpoint)
    files = {path.name: path.read_bytes() for path in checkpoint.glob("*") if "token" in path.name}
    files.update({path.name: path.read_bytes() for path in checkpoint.glob("vocab*")})
    return {
        "config": srsly.read_json(checkpoint / "config.json"),
        "state": torch_bytes(model.state_dict()),
        "tokenizer": {"kwargs": {"use_fast": True}, **files},
        "_init_tokenizer_config": {},
        "_init_transformer_config": {},
    }


def torch_bytes(state: Any) -> bytes:
    """Serialize weights, or anything else, as torch does."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def model_bytes(shim: dict[str, Any]) -> bytes:
    """Serialize the model of a transformer as thinc does."""
    nodes = [
        {"index": 0, "name": "transformer", "dims": {"nO": 16}, "refs": {}},
        {"index": 1, "name": "hf-pytorch", "dims": {"nI": None, "nO": None}, "refs": {}},
    ]
    content: bytes = srsly.msgpack_dumps(
        {
            "nodes": nodes,
            "attrs": [{}, {}],
            "params": [{}, {}],
            "shims": [[], [srsly.msgpack_dumps(shim)]],
        }
    )
    return content


def their_rows(model: Any, tokenizer: Any, pooling: str) -> Callable[[Doc], Any]:
    """Return a function that computes the rows of a Doc as spacy-transformers does.

    Each span is a plain call of the tokenizer and of the model. A token's row pools the rows of its
    wordpieces in all spans.
    """

    def rows(doc: Doc) -> Any:
        own: list[list[Any]] = [[] for _ in doc]
        start = 0
        while start < len(doc):
            span = doc[start : start + WINDOW]
            _add_span(model, tokenizer, span, own)
            start = len(doc) if start + WINDOW >= len(doc) else start + STRIDE
        pool = {
            "mean": lambda linked: numpy.mean(linked, axis=0),
            "first": lambda linked: linked[0],
            "last": lambda linked: linked[-1],
        }[pooling]
        width = model.config.hidden_size
        pooled = [pool(linked) if linked else numpy.zeros(width) for linked in own]
        return numpy.asarray(pooled, dtype="f").reshape(len(doc), width)

    return rows


def _add_span(model: Any, tokenizer: Any, span: Any, own: list[list[Any]]) -> None:
    """Add the rows of the wordpieces of a span to those of its tokens.

    The character after a token belongs to it, if it is not the first one of the next token.
    """
    encoded = tokenizer(span.text, return_offsets_mapping=True)
    ids = encoded["input_ids"]
    with torch.no_grad():
        output = oracles.run_plain(model, ids, encoded.get("token_type_ids"))
    hidden = output.last_hidden_state[0].numpy()
    owners = {}
    for token in span:
        start = token.idx - span.start_char
        owners.update(dict.fromkeys(range(start, start + len(token) + 1), token.i))
    for (first, last), row in zip(encoded["offset_mapping"], hidden, strict=True):
        for i in {owners[char] for char in range(first, last) if char in owners}:
            own[i].append(row)


def use_own_transformer(folder: Path, name: str) -> None:
    """Change the config of a saved pipeline to a head with a transformer of its own."""
    config = Config().from_disk(folder / "config.cfg", interpolate=False)
    own = {
        **transformer_block()["model"],
        "@architectures": "spacy-transformers.Tok2VecTransformer.v3",
        "grad_factor": 1.0,
        "pooling": {"@layers": "reduce_mean.v1"},
    }
    config["components"][name]["model"]["tok2vec"] = own
    config.to_disk(folder / "config.cfg")


def with_listener(block: Any, listener: dict[str, Any]) -> Any:
    """Replace the listeners in a block of a config."""
    if not isinstance(block, dict):
        return block
    if block.get("@architectures") == LISTENER["@architectures"]:
        return listener
    return {name: with_listener(value, listener) for name, value in block.items()}
