"""The weights of heads: saved with the listeners of another library, loaded with those of this one.

A file of a head lists its layers in the order of a walk. The listener of another library has more
layers than a `Listener`, so for the time of reading, layers with the same structure replace it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from spacy.language import Language
from spacy.util import replace_model_node
from thinc.api import Model

from ... import errors
from ...pipes.heads.listener import Listener


def load_heads(
    nlp: Language, source: Path, exclude: set[str], make_stand_in: Callable[[], Model[Any, Any]]
) -> list[str]:
    """Load the vocab, the tokenizer and every component but those of the transformer.

    nlp (Language): The converted pipeline; changed.
    source (Path): The folder of the pipeline that is converted.
    exclude (set of str): Names of the components that are not loaded.
    make_stand_in (callable): Builds the layers of the other library's listener.
    RETURNS (list of str): Names of the components that were loaded.
    RAISES (ValueError): TB072.
    """
    nlp.from_disk(source, exclude=list(nlp.component_names))
    loaded = []
    for name, component in nlp.components:
        if name in exclude or not hasattr(component, "from_disk"):
            continue
        with _as_saved(component, make_stand_in), _coded(source / name):
            component.from_disk(source / name, exclude=["vocab"])
        loaded.append(name)
    return loaded


@contextlib.contextmanager
def _as_saved(component: Any, make_stand_in: Callable[[], Model[Any, Any]]) -> Iterator[None]:
    """Replace the listeners of a component by stand-ins until the block ends."""
    model = getattr(component, "model", None)
    nodes = list(model.walk()) if isinstance(model, Model) else []
    listeners = [node for node in nodes if isinstance(node, Listener)]
    # The names are read from the file too, and contain those of the stand-ins.
    names = [(node, node.name) for node in nodes]
    stand_ins = [make_stand_in() for _ in listeners]
    for listener, stand_in in zip(listeners, stand_ins, strict=True):
        replace_model_node(component.model, listener, stand_in)
    try:
        yield
    finally:
        for listener, stand_in in zip(listeners, stand_ins, strict=True):
            replace_model_node(component.model, stand_in, listener)
        for node, name in names:
            node.name = name


@contextlib.contextmanager
def _coded(folder: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # components of other packages can raise any error
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(errors.TB072.format(path=folder, reason=reason)) from error
