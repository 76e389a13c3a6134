"""The model of a transformer component: from the file that thinc writes to a checkpoint.

The weights in it are a checkpoint of torch, which can contain a pickle. Only tensors are read from
it, and no code in it is executed.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import srsly
import torch

from ... import errors

State: TypeAlias = dict[str, torch.Tensor]


def read_model(path: Path) -> dict[str, Any]:
    """Read the file that thinc writes for a model.

    path (Path): The file.
    RETURNS (dict): "nodes", "attrs", "params" and "shims": a list of each, with one entry for each
        layer.
    RAISES (ValueError): TB070.
    """
    try:
        message = srsly.msgpack_loads(path.read_bytes())
    except Exception as error:  # a broken file can raise any error
        raise ValueError(errors.TB070.format(path=path, reason=_short(error))) from error
    parts = ("nodes", "attrs", "params", "shims")
    if not isinstance(message, dict) or not all(isinstance(message.get(p), list) for p in parts):
        reason = f"expected an object with {', '.join(parts)}"
        raise ValueError(errors.TB070.format(path=path, reason=reason))
    return message


def find_shim(message: dict[str, Any], path: Path) -> bytes:
    """Return the only shim of a model, which contains its weights.

    message (dict): The model, from `read_model`.
    path (Path): Its file, for errors.
    RETURNS (bytes): The shim.
    RAISES (ValueError): TB070.
    """
    shims = [shim for of_layer in message["shims"] for shim in of_layer]
    if len(shims) != 1 or not isinstance(shims[0], bytes):
        reason = f"expected the weights of one model, found {len(shims)}"
        raise ValueError(errors.TB070.format(path=path, reason=reason))
    return shims[0]


def read_state(content: bytes, path: Path) -> State:
    """Read the weights of a model from the bytes of `torch.save`, without executing a pickle.

    content (bytes): The bytes.
    path (Path): The file that they are part of, for errors.
    RETURNS (dict): The weights by name.
    RAISES (ValueError): TB070 if they are damaged; TB071 if they contain anything but tensors.
    """
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(errors.TB071.format(path=path, reason=_short(error))) from error
    except Exception as error:  # a broken file can raise any error
        raise ValueError(errors.TB070.format(path=path, reason=_short(error))) from error
    if not isinstance(state, dict):
        reason = f"expected weights by name, found {type(state).__name__}"
        raise ValueError(errors.TB071.format(path=path, reason=reason))
    others = {type(value).__name__ for value in state.values() if not torch.is_tensor(value)}
    if others:
        reason = f"it contains {', '.join(sorted(others))}"
        raise ValueError(errors.TB071.format(path=path, reason=reason))
    return dict(state)


def write_checkpoint(
    folder: Path, config: dict[str, Any], state: State, files: Mapping[str, bytes]
) -> None:
    """Write a checkpoint.

    folder (Path): An existing folder.
    config (dict): The config of the model.
    state (dict): Its weights by name.
    files (mapping): The content of the tokenizer's files, by name.
    """
    from safetensors.torch import save_file

    for name, content in files.items():
        (folder / Path(name).name).write_bytes(content)
    srsly.write_json(folder / "config.json", config)
    # Copies: safetensors refuses weights that share their memory.
    weights = {name: tensor.contiguous().clone() for name, tensor in state.items()}
    save_file(weights, str(folder / "model.safetensors"), metadata={"format": "pt"})


def _short(error: Exception) -> str:
    """Return the first line of an error; those of torch explain how to execute the pickle."""
    return f"{type(error).__name__}: {error}".splitlines()[0]
