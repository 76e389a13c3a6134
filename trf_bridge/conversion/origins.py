"""Which library the components and layers of a config belong to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..wrappers.spacy_pipelines import OTHER_FACTORIES

OWN = ("trf_wordpiecer", "trf_tok2vec")


def find_library(factories: Mapping[str, str]) -> str:
    """Find the library that a pipeline's transformer belongs to.

    factories (dict): Factory of each component, by its name.
    RETURNS (str): "spacy-transformers", "spacy-curated-transformers", or "" for neither.
    """
    return next((OTHER_FACTORIES[f] for f in factories.values() if f in OTHER_FACTORIES), "")


def library_of_config(config: Mapping[str, Any]) -> str:
    """Find the library that a config needs.

    config (dict): The config of a pipeline.
    RETURNS (str): "spacy-transformers", "spacy-curated-transformers", or "" for neither.
    """
    blocks = config.get("components", {}).values()
    factories = {str(i): b.get("factory", "") for i, b in enumerate(blocks) if isinstance(b, dict)}
    _, layer = next(find_foreign(config), ("", ""))
    return find_library(factories) or library_of(layer)


def library_of(registered: object) -> str:
    """Find the library of a registered function.

    registered (str): Its name, such as "spacy-transformers.TransformerListener.v1".
    RETURNS (str): "spacy-transformers", "spacy-curated-transformers", or "" for others.
    """
    prefix = str(registered).partition(".")[0]
    return prefix if prefix in OTHER_FACTORIES.values() else ""


def find_foreign(block: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Find the functions of the other libraries in a block of a config, at any depth.

    block: The block, or a value in it.
    where (str): Its path in the config.
    YIELDS (tuple of str): The path of a block, and the name of the function that it calls.
    """
    if isinstance(block, dict):
        for name, value in block.items():
            if name.startswith("@") and library_of(value):
                yield where, value
            yield from find_foreign(value, f"{where}.{name}" if where else name)
    elif isinstance(block, list):
        for value in block:
            yield from find_foreign(value, where)
