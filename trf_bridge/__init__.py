"""A bridge from Hugging Face transformers to spaCy pipelines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .about import __version__

if TYPE_CHECKING:
    from .align import Alignment, apply_alignment
    from .pictures.render import render
    from .pipes.doc.attributes import install_extensions
    from .pipes.doc.embedding import embed
    from .pipes.doc.hooks import install_hooks
    from .pipes.heads.listener import Tok2VecListener
    from .pipes.pretrained import from_pretrained
    from .types import Activations, Wordpieces
    from .wrappers.models.layer import TransformerModel
    from .wrappers.tokenizers.tokenizer import WordpieceTokenizer

__all__ = [
    "Activations",
    "Alignment",
    "Tok2VecListener",
    "TransformerModel",
    "WordpieceTokenizer",
    "Wordpieces",
    "__version__",
    "apply_alignment",
    "embed",
    "from_pretrained",
    "install_extensions",
    "install_hooks",
    "render",
]

# The module of each public name. A name is imported when it is first used: importing spaCy, torch
# and transformers takes seconds, and `import trf_bridge` should not. The function `align` is not
# here: `trf_bridge.align` is the package that it is in.
_HOMES = {
    "Activations": "types",
    "Alignment": "align",
    "Tok2VecListener": "pipes.heads.listener",
    "TransformerModel": "wrappers.models.layer",
    "WordpieceTokenizer": "wrappers.tokenizers.tokenizer",
    "Wordpieces": "types",
    "apply_alignment": "align",
    "embed": "pipes.doc.embedding",
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
