"""Pipelines in the files of spacy-curated-transformers, made without it, and its rows."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import oracles
import srsly
import torch
from foreign_pipelines import (
    LAYERS,
    forbidden,
    replace_listeners,
    torch_bytes,
    with_listener,
)
from spacy.tokens import Doc
from thinc.api import Config, Model, serialize_attr

PREFIX = "spacy-curated-transformers."
WINDOW, STEP = 12, 8

# Family -> the architectures of its model and of its piece encoder.
KINDS = {
    "bert": ("BertTransformer", "BertWordpieceEncoder"),
    "roberta": ("RobertaTransformer", "ByteBpeEncoder"),
    "albert": ("AlbertTransformer", "BertWordpieceEncoder"),
}
NAMES = {
    "attention.output.dense": "mha.output",
    "attention.output.LayerNorm": "attn_output_layernorm",
    "intermediate.dense": "ffn.intermediate",
    "output.dense": "ffn.output",
    "output.LayerNorm": "ffn_output_layernorm",
}
ALBERT_NAMES = {
    "attention.dense": "mha.output",
    "attention.LayerNorm": "attn_output_layernorm",
    "ffn": "ffn.intermediate",
    "ffn_output": "ffn.output",
    "full_layer_layer_norm": "ffn_output_layernorm",
}


# A vocabulary that is small enough for every checkpoint.
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
LETTERS = [*SPECIALS, *"abcdehinorstu.,!", *(f"##{c}" for c in "abcdehinorstu")]


def letters_tokenizer(folder: Path) -> Any:
    """Build a tokenizer of transformers with the small vocabulary."""
    from transformers import BertTokenizerFast

    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(LETTERS), encoding="utf8")
    (folder / "config.json").write_text('{"model_type": "bert"}', encoding="utf8")
    return BertTokenizerFast.from_pretrained(str(folder))


class State:
    """What a listener stores between calls; saved as nothing."""


@serialize_attr.register(State)
def _save_nothing(_: Any, value: Any, name: str, model: Any) -> bytes:
    return b""


def curated_listener() -> Model[Any, Any]:
    """Build the layers of a listener of spacy-curated-transformers."""
    pooling = LAYERS["mean"]()
    ragged: Model[Any, Any] = Model("with_ragged_last_layer", forbidden, layers=[pooling])
    return Model(
        "last_transformer_layer_listener",
        forbidden,
        dims={"nO": 16},
        layers=[ragged],
        attrs={"grad_factor": 1.0, "_upstream_name": "*", "_state": State()},
        refs={"pooling": pooling},
    )


def save_curated(nlp: Any, family: str, checkpoint: Path, folder: Path) -> Path:
    """Save heads with a checkpoint as a pipeline of spacy-curated-transformers."""
    replace_listeners(nlp, curated_listener)
    nlp.to_disk(folder)
    shutil.rmtree(folder / "trf_wordpiecer")
    shutil.rmtree(folder / "trf_tok2vec")
    config = Config().from_disk(folder / "config.cfg", interpolate=False)
    names = [name for name in config["nlp"]["pipeline"] if not name.startswith("trf_")]
    config["nlp"]["pipeline"] = ["transformer", *names]
    listener = {
        "@architectures": f"{PREFIX}LastTransformerLayerListener.v1",
        "width": 16,
        "upstream": "*",
        "grad_factor": 1.0,
        "pooling": {"@layers": "reduce_mean.v1"},
    }
    kept = {k: v for k, v in config["components"].items() if not k.startswith("trf_")}
    config["components"] = {
        "transformer": {
            "factory": "curated_transformer",
            "frozen": False,
            "all_layer_outputs": False,
            "model": _model_block(family, checkpoint),
        },
        **{name: with_listener(block, listener) for name, block in kept.items()},
    }
    config.to_disk(folder / "config.cfg")
    (folder / "transformer").mkdir()
    (folder / "transformer" / "model").write_bytes(_model_bytes(family, checkpoint))
    return folder


def _model_block(family: str, checkpoint: Path) -> dict[str, Any]:
    settings = srsly.read_json(checkpoint / "config.json")
    model, encoder = KINDS[family]
    block = {
        "@architectures": f"{PREFIX}{model}.v1",
        "vocab_size": settings["vocab_size"],
        "hidden_width": settings["hidden_size"],
        "intermediate_width": settings["intermediate_size"],
        "num_hidden_layers": settings["num_hidden_layers"],
        "num_attention_heads": settings["num_attention_heads"],
        "max_position_embeddings": settings["max_position_embeddings"],
        "type_vocab_size": settings["type_vocab_size"],
        "padding_idx": settings["pad_token_id"],
        "layer_norm_eps": settings["layer_norm_eps"],
        "hidden_act": settings["hidden_act"],
        "model_max_length": 40,
        "piece_encoder": {"@architectures": f"{PREFIX}{encoder}.v1"},
        "with_spans": {
            "@architectures": f"{PREFIX}WithStridedSpans.v1",
            "window": WINDOW,
            "stride": STEP,
        },
    }
    if family == "albert":
        block["embedding_width"] = settings["embedding_size"]
        block["num_hidden_groups"] = settings["num_hidden_groups"]
    return block


def _model_bytes(family: str, checkpoint: Path) -> bytes:
    """Serialize a checkpoint as the model of a curated transformer."""
    state = oracles.load_plain(family, checkpoint).state_dict()
    curated = {f"curated_encoder.{name}": value for name, value in _rename(family, state).items()}
    shim = srsly.msgpack_dumps({"config": {}, "state": torch_bytes(curated)})
    content: bytes = srsly.msgpack_dumps(
        {
            "nodes": [{"index": i, "name": "n", "dims": {}, "refs": {}} for i in range(2)],
            "attrs": [_encoder_attrs(family, checkpoint), {}],
            "params": [{}, {}],
            "shims": [[], [shim]],
        }
    )
    return content


def _encoder_attrs(family: str, checkpoint: Path) -> dict[str, bytes]:
    """Return the attributes of a piece encoder, as they are saved."""
    saved = srsly.read_json(checkpoint / "tokenizer.json")["model"]
    if family == "roberta":
        merges = [m.split(" ") if isinstance(m, str) else list(m) for m in saved["merges"]]
        processor = srsly.msgpack_dumps({"vocab": saved["vocab"], "merges": merges})
        pieces = {"unk_piece": "<unk>", "bos_piece": "<s>", "eos_piece": "</s>"}
        return {
            "byte_bpe_processor": processor,
            **{name: srsly.msgpack_dumps(piece) for name, piece in pieces.items()},
        }
    ordered = LETTERS
    if family == "bert":
        ordered = sorted(saved["vocab"], key=lambda piece: saved["vocab"][piece])
    plain = {"unk_piece": "[UNK]", "bos_piece": "[CLS]", "eos_piece": "[SEP]"}
    flags = {"lowercase": True, "strip_accents": True}
    return {
        "wordpiece_processor": "\n".join(ordered).encode("utf8"),
        **{name: srsly.msgpack_dumps(value) for name, value in {**plain, **flags}.items()},
    }


def _rename(family: str, state: dict[str, Any]) -> dict[str, Any]:
    """Rename weights of transformers as curated-transformers names them."""
    renamed = {}
    inner = "inner." if family == "roberta" else ""
    for name, value in state.items():
        if name.startswith("embeddings.") and "position_ids" not in name:
            rest = name.removeprefix("embeddings.").replace("LayerNorm", "layer_norm")
            renamed[f"embeddings.{inner}{rest}"] = value
        elif name.startswith("encoder.embedding_hidden_mapping_in"):
            renamed[
                name.replace("encoder.embedding_hidden_mapping_in", "embeddings.projection")
            ] = value
        elif name.startswith("encoder.layer.") or "albert_layers" in name:
            renamed.update(_rename_layer(family, name, value, state))
    return renamed


def _rename_layer(family: str, name: str, value: Any, state: dict[str, Any]) -> dict[str, Any]:
    """Rename the weights of a layer; those of query, key and value are joined."""
    if family == "albert":
        prefix, own, names = "encoder.albert_layer_groups.", "groups.", ALBERT_NAMES
        number, rest = name.removeprefix(prefix).split(".albert_layers.")
        layer, rest = rest.split(".", 1)
        start, base = (
            f"{own}{number}.group_layers.{layer}.",
            f"{prefix}{number}.albert_layers.{layer}.",
        )
        attention = "attention."
    else:
        number, rest = name.removeprefix("encoder.layer.").split(".", 1)
        start, base, names = f"layers.{number}.", f"encoder.layer.{number}.", NAMES
        attention = "attention.self."
    part, kind = rest.rsplit(".", 1)
    if part in names:
        return {f"{start}{names[part]}.{kind}": value}
    if part != f"{attention}query":
        return {}
    parts = [state[f"{base}{attention}{role}.{kind}"] for role in ("query", "key", "value")]
    return {f"{start}mha.input.{kind}": torch.cat(parts)}


def curated_rows(family: str, model: Any, tokenizer: Any) -> Callable[[Doc], Any]:
    """Return a function that computes the rows of a Doc as spacy-curated-transformers does.

    Tokens are split one by one. Windows are cut from the wordpieces of the whole Doc, its special
    tokens included; where they overlap, rows are means. A token's row is the mean of its own.
    """

    def rows(doc: Doc) -> Any:
        first, *_, last = tokenizer("a")["input_ids"]
        pieces, owners = [first], [-1]
        for token in doc:
            before = doc[token.i - 1].whitespace_ if token.i and family == "roberta" else ""
            of_token = tokenizer(before + token.text, add_special_tokens=False)["input_ids"]
            of_token = [] if token.is_space else of_token
            pieces += of_token
            owners += [token.i] * len(of_token)
        pieces, owners = [*pieces, last], [*owners, -1]
        width = model.config.hidden_size
        sums, counts = numpy.zeros((len(pieces), width)), numpy.zeros((len(pieces), 1))
        for start in range(0, len(pieces), STEP):
            read = pieces[start : start + WINDOW]
            with torch.no_grad():
                output = oracles.run_plain(model, read, None)
            sums[start : start + WINDOW] += output.last_hidden_state[0].numpy()
            counts[start : start + WINDOW] += 1
        hidden, own = sums / counts, numpy.asarray(owners)
        pooled = [
            hidden[own == i].mean(axis=0) if (own == i).any() else numpy.zeros(width)
            for i in range(len(doc))
        ]
        return numpy.asarray(pooled, dtype="f").reshape(len(doc), width)

    return rows
