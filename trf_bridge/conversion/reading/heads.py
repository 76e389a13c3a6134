"""The weights of heads: saved with the listeners of another library, loaded with those of this one.

A file of a head lists its layers in the order of a walk. The listener of another library has more
layers than a `Listener`, so for the time of reading, layers with the same structure replace it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from spacy.language import Language
from spacy.util import replace_model_node
from thinc.api import Model

from ... import errors
from ...pipes.heads.listener import Listener
from ...pipes.heads.sample import SampledLayer
from ...wrappers.models.layer import get_shim, sync_dims


def load_heads(nlp: Language, source: Path, exclude: set[str], library: Any) -> list[str]:
    """Load the vocab, the tokenizer and every component but those of the transformer.

    nlp (Language): The converted pipeline; changed.
    source (Path): The folder of the pipeline that is converted.
    exclude (set of str): Names of the components that are not loaded.
    library (module): The other library, `spacy_transformers` or `curated`.
    RETURNS (list of str): Names of the components that were loaded.
    RAISES (ValueError): TB070, TB071 for a head's own transformer; TB072.
    """
    nlp.from_disk(source, exclude=list(nlp.component_names))
    loaded = []
    for name, component in nlp.components:
        if name in exclude or not hasattr(component, "from_disk"):
            continue
        with _as_saved(component, library) as shims, _coded(source / name):
            component.from_disk(source / name, exclude=["vocab"])
        for layer, shim in shims:
            _load_own(layer, shim.content, source / name / "model", library)
        loaded.append(name)
    return loaded


def own_transformers(component: Any) -> list[Model[Any, Any]]:
    """Return the layers of a component that contain a transformer of its own.

    component (callable): A component.
    RETURNS (list of Model): The layers that replace a listener.
    """
    model = getattr(component, "model", None)
    nodes = model.walk() if isinstance(model, Model) else []
    return [node for node in nodes if isinstance(node, SampledLayer) and node.layers]


@contextlib.contextmanager
def _as_saved(component: Any, library: Any) -> Iterator[list[tuple[Model[Any, Any], Any]]]:
    """Replace the listeners of a component by substitutes until the block ends.

    component (callable): The component; changed.
    library (module): The library whose layers the substitutes have.
    YIELDS (list of tuple): The layers with a transformer of their own, and the shim of the
        substitute of each.
    """
    model = getattr(component, "model", None)
    nodes = list(model.walk()) if isinstance(model, Model) else []
    # The names are read from the file too, and contain those of the substitutes.
    names = [(node, node.name) for node in nodes]
    pairs: list[tuple[Model[Any, Any], Any]] = [
        (node, library.make_substitute()) for node in nodes if isinstance(node, Listener)
    ]
    shims = []
    for layer in own_transformers(component):
        substitute, shim = library.make_own_substitute()
        pairs.append((layer, substitute))
        shims.append((layer, shim))
    for layer, substitute in pairs:
        replace_model_node(component.model, layer, substitute)
    try:
        yield shims
    finally:
        for layer, substitute in pairs:
            replace_model_node(component.model, substitute, layer)
        for node, name in names:
            node.name = name


def _load_own(layer: Model[Any, Any], content: bytes, path: Path, library: Any) -> None:
    """Load the transformer of a layer from a serialized shim.

    layer (Model): The layer; changed.
    content (bytes): The shim.
    path (Path): The file of the component, for errors.
    library (module): The library that wrote it.
    """
    transformer = layer.layers[0]
    with TemporaryDirectory() as folder:
        library.read_shim(content, path, Path(folder))
        get_shim(transformer).load(folder)
    sync_dims(transformer)
    layer.set_dim("nO", transformer.get_dim("nO"), force=True)


@contextlib.contextmanager
def _coded(folder: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # components of other packages can raise any error
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(errors.TB072.format(path=folder, reason=reason)) from error
