"""What the transformer computes for Docs: run it, store its output, and read it back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

from spacy.tokens import Doc
from thinc.api import Model

from .. import errors
from ..align import Alignment, align, apply_alignment
from ..types import Activations, Array, Wordpieces
from ..wrappers.models.layer import get_shim, get_traits
from .doc.hooks import add_hooks
from .doc.records import (
    get_alignment,
    get_outputs,
    get_wordpieces,
    set_alignment,
    set_outputs,
    set_pooling,
    token_spans,
)
from .wordpiecer import TrfWordpiecer

TransformerLayer: TypeAlias = Model[Sequence[Wordpieces], list[Activations]]
# The activations, the token rows, the alignments, and the token offsets that they were computed
# for.
Predictions: TypeAlias = tuple[list[Activations], list[Array], list[Alignment], list[Array]]


def check_loaded(layer: TransformerLayer, name: str) -> None:
    """Check that the weights of a component are loaded.

    layer (Model): The transformer.
    name (str): Name of the component.
    RAISES (ValueError): TB010.
    """
    if not get_shim(layer).loaded:
        raise ValueError(errors.TB010.format(name=name, what="weights"))


def check_vocabulary(layer: TransformerLayer, wordpiecer: TrfWordpiecer) -> None:
    """Check that the embedding table has a row for each wordpiece of the tokenizer.

    layer (Model): The transformer, with weights.
    wordpiecer (TrfWordpiecer): A component with a tokenizer.
    RAISES (ValueError): TB007.
    """
    n_vocab, n_rows = len(wordpiecer.tokenizer.tokenizer), get_traits(layer).n_rows
    if n_vocab > n_rows:
        message = errors.TB007.format(
            tokenizer_name=wordpiecer.trf_name,
            model_name=layer.attrs["trf_name"],
            n_vocab=n_vocab,
            n_rows=n_rows,
        )
        raise ValueError(message)


def run_transformer(
    layer: TransformerLayer,
    docs: Sequence[Doc],
    name: str,
    *,
    is_train: bool,
) -> tuple[Predictions, Callable[[Sequence[Activations]], Any]]:
    """Run the transformer over Docs and align its output to their tokens.

    layer (Model): The transformer.
    docs (sequence of Doc, (n_docs,)): Docs with wordpieces; not changed.
    name (str): Name of the component, for errors.
    is_train (bool): Whether to keep the way back through the model.
    RETURNS (tuple): The predictions, and a callback that takes the gradient of each Doc's outputs.
    RAISES (ValueError): TB010, TB011, TB015.
    """
    check_loaded(layer, name)
    wordpieces = []
    for doc in docs:
        pieces = get_wordpieces(doc)
        if pieces is None:
            raise ValueError(errors.TB011.format(component=f"'{name}'", n_tokens=len(doc)))
        wordpieces.append(pieces)
    activations, backprop = layer(wordpieces, is_train=is_train)
    spans = [token_spans(doc) for doc in docs]
    alignment = align([doc.text for doc in docs], spans, wordpieces)
    hidden = [activation.last_hidden_state for activation in activations]
    tensors, _ = apply_alignment(layer.ops, alignment, hidden)
    if len(docs) > 1:  # one Doc must not keep the arrays of the whole batch in memory
        activations = [activation.copy() for activation in activations]
    return (activations, tensors, alignment.split(), spans), backprop


def store_predictions(
    docs: Iterable[Doc], predictions: Predictions, pooling: dict[str, Any] | None = None
) -> None:
    """Store predictions on Docs: `doc.tensor`, the extension attributes and the hooks.

    docs (iterable of Doc): The Docs; changed.
    predictions (Predictions): The predictions of each.
    pooling (dict): How sentence-transformers pools the rows of a text; None if it is not known.
    """
    for doc, activations, tensor, alignment, spans in zip(docs, *predictions, strict=True):
        doc.tensor = tensor
        set_outputs(doc, activations)
        set_alignment(doc, alignment, spans)
        set_pooling(doc, pooling)
        add_hooks(doc)


def read_predictions(docs: Sequence[Doc]) -> Predictions:
    """Return the predictions that are stored on Docs.

    docs (sequence of Doc, (n_docs,)): Docs that have been through the transformer.
    RETURNS (Predictions): The predictions of each.
    """
    outputs = [get_outputs(doc) or Activations(None) for doc in docs]
    alignments = [alignment for doc in docs if (alignment := get_alignment(doc)) is not None]
    return outputs, [doc.tensor for doc in docs], alignments, [token_spans(doc) for doc in docs]
