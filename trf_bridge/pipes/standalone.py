"""A head's own transformer, in place of its listener."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from spacy.tokens import Doc
from thinc.api import Model

from .. import errors
from ..align import POOLINGS, align, apply_alignment, join_alignments
from ..settings import TransformerSettings, check_choice, takes_settings
from ..types import Activations, Array
from ..wrappers.models.layer import TransformerModel
from .doc.records import get_wordpieces, token_spans
from .heads.listener import pool_doc, reads_tensor
from .heads.sample import SampledLayer

InT = Sequence[Doc]

ARCHITECTURE = "trf_bridge.Tok2VecTransformer.v1"

# The options of a listener that the layer in its place has too, with their defaults.
LISTENER_OPTIONS = {"grad_factor": 1.0, "pooling": "sum", "boundary": True, "space_after": False}


@takes_settings(TransformerSettings)
def Tok2VecTransformer(
    trf_name: str = "",
    *,
    grad_factor: float = 1.0,
    pooling: str = "sum",
    boundary: bool = True,
    space_after: bool = False,
    **settings: Any,
) -> Model[InT, list[Array]]:
    """Build a token-to-vector layer with a transformer of its own.

    `nlp.replace_listeners` replaces a `Tok2VecListener` with it. It needs a trf_wordpiecer in the
    pipeline, as the shared transformer does.

    trf_name (str): A folder, or a name on the Hugging Face hub.
    grad_factor (float): Factor of the gradient.
    pooling (str): As in `Tok2VecListener`.
    boundary (bool): As in `Tok2VecListener`.
    space_after (bool): As in `Tok2VecListener`.
    **settings: The other fields of `TransformerSettings`.
    RETURNS (Model): Sequence of Doc -> list of float32, each (n_tokens, width).
    RAISES (ValueError, TypeError): TB008, TB009, TB025.
    """
    check_choice("pooling", pooling, POOLINGS)
    options = {
        "grad_factor": grad_factor,
        "pooling": pooling,
        "boundary": boundary,
        "space_after": space_after,
    }
    return wrap_transformer(TransformerModel(trf_name, **settings), options)


def wrap_transformer(
    transformer: Model[Any, list[Activations]], options: dict[str, Any]
) -> Model[InT, list[Array]]:
    """Build the layer around a transformer.

    transformer (Model): Wordpieces of each Doc -> Activations.
    options (dict): The options of the listener that the layer replaces; see `LISTENER_OPTIONS`.
    RETURNS (Model): Sequence of Doc -> list of float32, each (n_tokens, width).
    """
    return SampledLayer(
        "trf-tok2vec",
        forward,
        init=init,
        layers=[transformer],
        dims={"nO": transformer.maybe_get_dim("nO")},
        attrs=options,
    )


def replace_listener(
    model: Model[Any, list[Activations]], listener: Model[Any, Any], tok2vec: Any
) -> Model[InT, list[Array]]:
    """Build the layer that replaces a listener; called by `nlp.replace_listeners`.

    model (Model): A copy of the shared transformer.
    listener (Model): The listener.
    tok2vec (TrfTok2Vec): The component that it listens to.
    RETURNS (Model): The layer.
    """
    return wrap_transformer(model, _listener_options(listener.attrs))


def replace_listener_cfg(
    tok2vec_config: dict[str, Any], listener_config: dict[str, Any]
) -> dict[str, Any]:
    """Build the config of the layer that replaces a listener; called by `nlp.replace_listeners`.

    tok2vec_config (dict): Config of the shared transformer's model.
    listener_config (dict): Config of the listener.
    RETURNS (dict): The config of a `Tok2VecTransformer`.
    """
    return {
        **tok2vec_config,
        "@architectures": ARCHITECTURE,
        **_listener_options(listener_config),
    }


def forward(
    model: Model[InT, list[Array]], docs: InT, is_train: bool
) -> tuple[list[Array], Callable[[Sequence[Array]], list[Any]]]:
    """Run the transformer and align its output to the tokens.

    docs (sequence of Doc, (n_docs,)): Docs with wordpieces.
    RETURNS (list of float32, each (n_tokens, width)): The rows of the tokens, and a callback that
        adds to the gradients of the weights. It returns an empty list.
    RAISES (ValueError): TB011.
    """
    assert isinstance(model, SampledLayer)
    model.check_sample(docs, is_train)
    transformer = model.layers[0]
    wordpieces = []
    for doc in docs:
        pieces = get_wordpieces(doc)
        if pieces is None and model.is_sample(doc):
            return [model.ops.alloc2f(len(doc), model.get_dim("nO")) for doc in docs], _no_gradient
        if pieces is None:
            component = "A component with a transformer of its own"
            raise ValueError(errors.TB011.format(component=component, n_tokens=len(doc)))
        wordpieces.append(pieces)
    activations, backprop_transformer = transformer(wordpieces, is_train)
    tokens = [token_spans(doc) for doc in docs]
    alignment = align([doc.text for doc in docs], tokens, wordpieces)
    hidden = [activation.last_hidden_state for activation in activations]
    if not reads_tensor(model):
        of_docs = zip(alignment.split(), tokens, wordpieces, strict=True)
        alignment = join_alignments([pool_doc(model, *of_doc) for of_doc in of_docs])
    tensors, transpose = apply_alignment(model.ops, alignment, hidden)

    def backprop(d_tensors: Sequence[Array]) -> list[Any]:
        factor = model.attrs["grad_factor"]
        d_hidden = transpose([factor * d_tensor for d_tensor in d_tensors])
        backprop_transformer([Activations(gradient) for gradient in d_hidden])
        return []

    return tensors, backprop


def init(model: Model[InT, list[Array]], X: InT | None = None, Y: Any = None) -> None:
    """Load the weights, unless they are loaded already.

    X (sequence of Doc): The sample.
    """
    assert isinstance(model, SampledLayer)
    model.start_sample(X)
    transformer = model.layers[0]
    transformer.initialize()
    model.set_dim("nO", transformer.get_dim("nO"), force=True)


def _listener_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a listener from its attributes or its config."""
    return {name: given.get(name, default) for name, default in LISTENER_OPTIONS.items()}


def _no_gradient(d_tensors: Sequence[Array]) -> list[Any]:
    return []
