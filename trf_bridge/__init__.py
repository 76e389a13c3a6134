"""A bridge from Hugging Face transformers to spaCy pipelines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .about import __version__

if TYPE_CHECKING:
    from .pictures.render import render
    from .pipes.doc.attributes import install_extensions
    from .pipes.doc.hooks import install_hooks
    from .pipes.pretrained import from_pretrained
    from .types import Activations, Wordpieces
    from .wrappers.models.layer import TransformerModel

__all__ = [
    "Activations",
    "TransformerModel",
    "Wordpieces",
    "__version__",
    "from_pretrained",
    "install_extensions",
    "install_hooks",
    "render",
]

# Where each public name lives. They are imported when first asked for: spaCy, torch and
# transformers take seconds, and `import trf_bridge` should not.
_HOMES = {
    "Activations": "types",
    "TransformerModel": "wrappers.models.layer",
    "Wordpieces": "types",
    "from_pretrained": "pipes.pretrained",
    "install_extensions": "pipes.doc.attributes",
    "install_hooks": "pipes.doc.hooks",
    "render": "pictures.render",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
