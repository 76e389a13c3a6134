"""The transformer as a thinc layer: wordpieces in, activations out, gradients back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from thinc.api import Model

from ... import errors
from ...settings import TransformerSettings, takes_settings
from ...types import Activations, Wordpieces
from ..engine import Request
from ..traits import Traits
from .batch import make_batch
from .outputs import GradientBuffer, OutputBuffer
from .shim import TransformerShim

InT = Sequence[Wordpieces]
OutT = list[Activations]


@takes_settings(TransformerSettings)
def TransformerModel(trf_name: str = "", **settings: Any) -> Model[InT, OutT]:
    """Build a layer that runs a Hugging Face model over the wordpieces of Docs.

    The layer is empty until `initialize` loads the checkpoint, or until it is deserialized. The
    inputs of all Docs are sorted by length together and run in subbatches, which do not change the
    outputs.

    trf_name (str): A folder, or a name on the Hugging Face hub.
    **settings: The other fields of `TransformerSettings`.
    RETURNS (Model): Sequence of Wordpieces -> list of Activations, one per Doc.
    RAISES (ValueError, TypeError): TB008, TB009, TB025.
    WARNS: TB108 for freeze = 0.
    """
    checked = TransformerSettings(trf_name=trf_name, **settings)
    return Model(
        "transformer",
        forward,
        init=init,
        attrs={
            "trf_name": trf_name,
            "revision": checked.revision,
            "words_per_batch": checked.words_per_batch,
            "output_hidden_states": checked.output_hidden_states,
            "output_attentions": checked.output_attentions,
            # Set by update. The rates in the checkpoint's config are not used.
            "dropout_rate": 0.0,
        },
        dims={"nO": None},
        shims=[TransformerShim(checked)],
    )


def init(model: Model[InT, OutT], X: InT | None = None, Y: Any = None) -> None:
    """Load the weights of the checkpoint, unless the weights are loaded already.

    X, Y: Not used.
    RAISES (ValueError): TB001, TB002, TB003, TB012, TB013, TB016, TB019, TB030.
    """
    shim = get_shim(model)
    if not shim.loaded:
        trf_name = model.attrs["trf_name"]
        if not trf_name:
            raise ValueError(errors.TB001.format(name=model.name, field="trf_name"))
        shim.load(trf_name, model.attrs["revision"])
    sync_dims(model)


def sync_dims(model: Model[InT, OutT]) -> None:
    """Set the width of the layer, and check that the model returns the requested outputs.

    model (Model): The layer, with weights.
    RAISES (ValueError): TB013.
    """
    traits = get_traits(model)
    for output, available in [
        ("hidden_states", traits.n_hidden_states > 0),
        ("attentions", traits.has_attentions),
    ]:
        if model.attrs[f"output_{output}"] and not available:
            message = errors.TB013.format(
                trf_name=model.attrs["trf_name"],
                output=output,
                model_type=get_shim(model)._model.config.model_type,
                field=f"output_{output}",
            )
            raise ValueError(message)
    model.set_dim("nO", traits.width, force=True)


def forward(
    model: Model[InT, OutT], X: InT, is_train: bool
) -> tuple[OutT, Callable[[Sequence[Activations]], list[Any]]]:
    """Run the model over the inputs of all Docs.

    X (sequence of Wordpieces, (n_docs,)): The wordpieces.
    RETURNS (list of Activations, (n_docs,)): Views of arrays of the whole batch, and a callback
        that takes the gradients of those outputs that have one and adds to the gradients of the
        weights. The callback returns an empty list: wordpieces have no gradient.
    RAISES (ValueError): TB010, TB015.
    """
    shim, traits = get_shim(model), get_traits(model)
    batch = make_batch(X)
    largest = int(batch.inputs.ids.max(initial=0))
    if largest >= traits.n_rows:
        raise ValueError(errors.TB015.format(got=largest, n_rows=traits.n_rows))
    request = Request(model.attrs["output_hidden_states"], model.attrs["output_attentions"])
    collected = OutputBuffer(batch, traits, shim.device, request)
    is_update = is_train and shim.trainable
    if is_update:
        shim.set_dropout(model.attrs["dropout_rate"])
    run = shim.engine.update if is_update else shim.engine.predict
    steps = []
    for outputs in run(batch.inputs, model.attrs["words_per_batch"], request):
        collected.write(outputs)
        if is_update:
            steps.append(outputs)

    def backprop(d_outputs: Sequence[Activations]) -> list[Any]:
        gradients = GradientBuffer(batch, d_outputs, shim.device)
        while steps:  # the graph of each subbatch is freed as soon as it has been used
            shim.backprop(*gradients.pairs(steps.pop()))
        shim.finish_backprop()
        return []

    return collected.split(), backprop


def get_shim(model: Model[InT, OutT]) -> TransformerShim:
    """Return the shim of the layer."""
    return cast(TransformerShim, model.shims[0])


def get_traits(model: Model[InT, OutT]) -> Traits:
    """Return what the layer's model takes and returns.

    model (Model): The layer.
    RETURNS (Traits): The traits.
    RAISES (ValueError): TB010 if the weights are not loaded.
    """
    traits = get_shim(model).traits
    if traits is None:
        raise ValueError(errors.TB010.format(name=model.name, what="weights"))
    return traits
