"""The transformer component of spacy-transformers, and the layers of its listeners."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import srsly
from thinc.api import Model, Shim, chain

from ... import errors
from .layers import make_empty
from .saved_models import find_shim, read_model, read_state, write_checkpoint

FACTORY = "transformer"
PACKAGE = "spacy-transformers"

# Settings of the wordpiecer beside those that the config is translated to.
WORDPIECER: dict[str, Any] = {}

# Settings of the listeners beside those that the config is translated to.
LISTENER: dict[str, Any] = {"space_after": True}


class SavedShim(Shim):
    """Keeps the bytes of a transformer that is saved in the model of a head."""

    content: bytes = b""

    def from_bytes(self, bytes_data: bytes) -> SavedShim:
        """Keep the bytes.

        bytes_data (bytes): The serialized transformer.
        RETURNS (SavedShim): Itself.
        """
        self.content = bytes_data
        return self


def read_transformer(path: Path, folder: Path, block: dict[str, Any]) -> None:
    """Write the transformer of a component as a checkpoint.

    path (Path): The model of the component: a file, or a folder as version 1.0 wrote it.
    folder (Path): An existing folder for the checkpoint.
    block (dict): Not used: the file contains the config of the model.
    RAISES (ValueError): TB070, TB071.
    WARNS: TB114 for a tokenizer without character offsets.
    """
    if path.is_dir():
        shutil.copytree(path, folder, dirs_exist_ok=True)
        return
    read_shim(find_shim(read_model(path), path), path, folder)


def read_shim(content: bytes, path: Path, folder: Path) -> None:
    """Write the transformer in a shim as a checkpoint.

    content (bytes): The serialized shim.
    path (Path): The file that it is part of, for errors.
    folder (Path): An existing folder for the checkpoint.
    RAISES (ValueError): TB070, TB071.
    WARNS: TB114 for a tokenizer without character offsets.
    """
    try:
        saved: Any = srsly.msgpack_loads(content)
        config, state, tokenizer = saved["config"], saved["state"], dict(saved["tokenizer"])
    except (KeyError, TypeError, ValueError) as error:
        reason = f"expected 'config', 'state' and 'tokenizer' ({type(error).__name__}: {error})"
        raise ValueError(errors.TB070.format(path=path, reason=reason)) from error
    if not config or not state:
        reason = "the component was saved before it was initialized"
        raise ValueError(errors.TB070.format(path=path, reason=reason))
    if not dict(tokenizer.get("kwargs") or {}).get("use_fast", True):
        warnings.warn(errors.TB114.format(path=path), stacklevel=4)
    files = {name: content for name, content in tokenizer.items() if isinstance(content, bytes)}
    write_checkpoint(folder, config, read_state(state, path), files)


def make_substitute() -> Model[Any, Any]:
    """Build layers without a function, in the structure of a listener, to read its file.

    RETURNS (Model): The layers.
    """
    listener: Model[Any, Any] = make_empty("transformer-listener", dims={"nO": None})
    substitute: Model[Any, Any] = chain(listener, _make_pooling())
    substitute.set_ref("listener", listener)
    return substitute


def make_own_substitute() -> tuple[Model[Any, Any], SavedShim]:
    """Build layers in the structure of a `Tok2VecTransformer`, which replaces a listener.

    RETURNS (Model, SavedShim): The layers, and their shim, which keeps the transformer.
    """
    shim = SavedShim(None)
    torch_model = make_empty("hf-pytorch", dims={"nI": None, "nO": None}, shims=[shim])
    transformer = make_empty("transformer", dims={"nO": None}, layers=[torch_model])
    substitute: Model[Any, Any] = chain(
        chain(transformer, make_empty("split-trf-batch")), _make_pooling()
    )
    return substitute, shim


def _make_pooling() -> Model[Any, Any]:
    return make_empty("trfs2arrays", layers=[make_empty("pooling")], attrs={"grad_factor": 1.0})
