"""The transformer component of spacy-curated-transformers, and the layers of its listeners."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import srsly
import torch
from thinc.api import Model, deserialize_attr

from ... import errors
from .layers import make_empty
from .piece_encoders import write_tokenizer
from .saved_models import State, find_shim, read_model, read_state, write_checkpoint

FACTORY = "curated_transformer"
PACKAGE = "spacy-curated-transformers"

# Settings of the wordpiecer beside those that the config is translated to. There, a piece encoder
# receives tokens instead of a text, and windows are cut from the wordpieces of a whole Doc.
WORDPIECER: dict[str, Any] = {"by_token": True, "overflow": "strided", "window_rows": "mean"}

# Settings of the listeners beside those that the config is translated to.
LISTENER: dict[str, Any] = {}

# Architecture -> the type of the model in transformers, and the defaults that differ.
ROBERTA = {
    "layer_norm_eps": 1e-5,
    "max_position_embeddings": 514,
    "padding_idx": 1,
    "type_vocab_size": 1,
}
NO_DROPOUT = {"attention_probs_dropout_prob": 0.0, "hidden_dropout_prob": 0.0}
ARCHITECTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "AlbertTransformer": ("albert", {"hidden_act": "gelu_new", **NO_DROPOUT}),
    "BertTransformer": ("bert", {}),
    "CamembertTransformer": ("camembert", ROBERTA),
    "RobertaTransformer": ("roberta", ROBERTA),
    "XlmrTransformer": ("xlm-roberta", ROBERTA),
}
# Setting -> its name in the config of transformers, and the default of all architectures.
SETTINGS: dict[str, tuple[str, Any]] = {
    "vocab_size": ("vocab_size", None),
    "hidden_width": ("hidden_size", 768),
    "intermediate_width": ("intermediate_size", 3072),
    "num_hidden_layers": ("num_hidden_layers", 12),
    "num_attention_heads": ("num_attention_heads", 12),
    "hidden_act": ("hidden_act", "gelu"),
    "layer_norm_eps": ("layer_norm_eps", 1e-12),
    "max_position_embeddings": ("max_position_embeddings", 512),
    "type_vocab_size": ("type_vocab_size", 2),
    "padding_idx": ("pad_token_id", 0),
    "attention_probs_dropout_prob": ("attention_probs_dropout_prob", 0.1),
    "hidden_dropout_prob": ("hidden_dropout_prob", 0.1),
}
ALBERT_SETTINGS: dict[str, tuple[str, Any]] = {
    "embedding_width": ("embedding_size", 128),
    "num_hidden_groups": ("num_hidden_groups", 1),
}

# Start of the name of weights -> its start in transformers.
EMBEDDINGS = {"inner.": "", "layer_norm": "LayerNorm"}
LAYERS = {
    "mha.output": "attention.output.dense",
    "attn_output_layernorm": "attention.output.LayerNorm",
    "ffn.intermediate": "intermediate.dense",
    "ffn.output": "output.dense",
    "ffn_output_layernorm": "output.LayerNorm",
}
ALBERT_LAYERS = {
    "mha.output": "attention.dense",
    "attn_output_layernorm": "attention.LayerNorm",
    "ffn.intermediate": "ffn",
    "ffn.output": "ffn_output",
    "ffn_output_layernorm": "full_layer_layer_norm",
}


def read_transformer(path: Path, folder: Path, block: dict[str, Any]) -> None:
    """Write the transformer of a component as a checkpoint.

    path (Path): The file of the component's model.
    folder (Path): An existing folder for the checkpoint.
    block (dict): The block of the model in the config, without variables.
    RAISES (ValueError): TB070, TB071; TB073 for TorchScript and other models.
    """
    message = read_model(path)
    registered = str(block.get("@architectures", ""))
    kind = registered.removeprefix(f"{PACKAGE}.").partition(".")[0]
    if kind not in ARCHITECTURES or block.get("torchscript"):
        what = "TorchScript" if block.get("torchscript") else f"'{registered}'"
        raise ValueError(errors.TB073.format(path=path, reason=f"its model is {what}"))
    model_type, defaults = ARCHITECTURES[kind]
    try:
        saved: Any = srsly.msgpack_loads(find_shim(message, path))
        content = saved["state"]
    except (KeyError, TypeError, ValueError) as error:
        reason = f"expected weights under 'state' ({type(error).__name__}: {error})"
        raise ValueError(errors.TB070.format(path=path, reason=reason)) from error
    state = rename_weights(read_state(content, path))
    if not state:
        reason = "it contains no weights of an encoder"
        raise ValueError(errors.TB070.format(path=path, reason=reason))
    write_checkpoint(folder, make_config(block, model_type, defaults), state, {})
    write_tokenizer(folder, message, block, path)


def make_config(block: dict[str, Any], model_type: str, defaults: dict[str, Any]) -> dict[str, Any]:
    """Convert the settings of a model to a config of transformers.

    block (dict): The block of the model in the config.
    model_type (str): Its type in transformers.
    defaults (dict): Defaults of the architecture.
    RETURNS (dict): The content of config.json.
    """
    names = SETTINGS | (ALBERT_SETTINGS if model_type == "albert" else {})
    settings = {
        name: block.get(setting, defaults.get(setting, default))
        for setting, (name, default) in names.items()
    }
    return {"model_type": model_type, **settings}


def rename_weights(state: State) -> State:
    """Rename the weights of an encoder as transformers names them.

    state (dict): The weights by their names in curated-transformers.
    RETURNS (dict): The weights by their names in transformers; others are dropped.
    """
    renamed: State = {}
    for name, weights in state.items():
        own = name.removeprefix("curated_encoder.")
        if own.startswith("embeddings.projection."):
            last = own.rpartition(".")[2]
            renamed[f"encoder.embedding_hidden_mapping_in.{last}"] = weights
        elif own.startswith("embeddings."):
            rest = own.removeprefix("embeddings.")
            for start, other in EMBEDDINGS.items():
                rest = other + rest.removeprefix(start) if rest.startswith(start) else rest
            renamed[f"embeddings.{rest}"] = weights
        elif match := re.fullmatch(r"layers\.(\d+)\.(.*)\.(weight|bias)", own):
            number, part, kind = match.groups()
            prefix = f"encoder.layer.{number}."
            renamed.update(_rename_part(prefix, "attention.self.", LAYERS, part, kind, weights))
        elif match := re.fullmatch(r"groups\.(\d+)\.group_layers\.(\d+)\.(.*)\.(weight|bias)", own):
            group, number, part, kind = match.groups()
            prefix = f"encoder.albert_layer_groups.{group}.albert_layers.{number}."
            renamed.update(_rename_part(prefix, "attention.", ALBERT_LAYERS, part, kind, weights))
    return renamed


def make_substitute() -> Model[Any, Any]:
    """Build layers without a function, in the structure of a listener, to read its file.

    RETURNS (Model): The layers.
    """
    pooling = make_empty("pooling")
    ragged = make_empty("with_ragged_last_layer", layers=[pooling])
    return make_empty(
        "last_transformer_layer_listener",
        dims={"nO": None},
        layers=[ragged],
        attrs={"_state": _ListenerState()},
        refs={"pooling": pooling},
    )


class _ListenerState:
    """What a listener stores between calls, which is saved as nothing."""


@deserialize_attr.register(_ListenerState)
def _read_state(_: Any, value: bytes, name: str, model: Model[Any, Any]) -> _ListenerState:
    return _ListenerState()


def _rename_part(
    prefix: str,
    attention: str,
    names: dict[str, str],
    part: str,
    kind: str,
    weights: torch.Tensor,
) -> State:
    """Rename the weights of a part of a layer, and split those of the attention's inputs."""
    if part == "mha.input":
        thirds = zip(("query", "key", "value"), weights.chunk(3), strict=True)
        return {f"{prefix}{attention}{role}.{kind}": third for role, third in thirds}
    return {f"{prefix}{names[part]}.{kind}": weights} if part in names else {}
