"""The transformer as a thinc layer: wordpieces in, activations out, gradients back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

from thinc.api import Model, xp2torch

from ... import errors
from ...types import Activations, Wordpieces
from ..engine.planning import (
    MAX_PADDING,
    even_subbatches,
    make_subbatches,
    validate_words_per_batch,
)
from ..traits import Traits, quiet_flags
from .batch import Batch, Subbatch, make_batch
from .outputs import GradientBuffer, OutputBuffer, SubbatchTensors
from .shim import TransformerShim

InT = Sequence[Wordpieces]
OutT = list[Activations]


def TransformerModel(
    trf_name: str = "",
    *,
    revision: str | None = None,
    words_per_batch: int = 3000,
    output_hidden_states: bool = False,
    output_attentions: bool = False,
    precision: str = "fp32",
    freeze: str | int = "none",
    layer_lr_decay: float = 1.0,
    gradient_checkpointing: bool = False,
    trust_remote_code: bool = False,
) -> Model[InT, OutT]:
    """Build a layer that runs a Hugging Face model over the wordpieces of Docs.

    The layer is empty until `initialize` loads the checkpoint, or until it is deserialized. The
    inputs of all Docs are sorted together by length and cut into subbatches; what comes out does
    not depend on how.

    trf_name (str): A folder, or a name on the Hugging Face hub.
    revision (str): Branch, tag or commit on the hub; None for the main branch.
    words_per_batch (int): The largest padded size of a subbatch, in wordpieces; on a CPU those of
        wide models are smaller, which is faster. 0 for one subbatch.
    output_hidden_states (bool): Keep the output of every layer.
    output_attentions (bool): Keep the attention weights of every layer.
    precision (str): "fp32", "bf16", "fp16" (GPU only), or "auto" for "bf16" where it is faster;
        what comes out is float32 in any case.
    freeze (str, int): What training leaves as it is: "none", "all", or n for the embeddings and the
        lowest n layers.
    layer_lr_decay (float): Learning rate of a layer, as a part of that of the layer above; 1 for
        one rate everywhere.
    gradient_checkpointing (bool): Save memory in training, at the cost of a second forward.
    trust_remote_code (bool): Run code that the checkpoint brings with it.
    RETURNS (Model): Sequence of Wordpieces -> list of Activations, one per Doc.
    RAISES (ValueError, TypeError): TB008, TB009, TB025.
    WARNS: TB107 when the weights are loaded.
    """
    validate_words_per_batch(words_per_batch)
    shim = TransformerShim(
        precision=precision,
        freeze=freeze,
        layer_lr_decay=layer_lr_decay,
        gradient_checkpointing=gradient_checkpointing,
        output_attentions=output_attentions,
        trust_remote_code=trust_remote_code,
    )
    return Model(
        "transformer",
        forward,
        init=init,
        attrs={
            "trf_name": trf_name,
            "revision": revision,
            "words_per_batch": words_per_batch,
            "output_hidden_states": output_hidden_states,
            "output_attentions": output_attentions,
            # Set by update. What the checkpoint's config says of dropout is not used.
            "dropout_rate": 0.0,
        },
        dims={"nO": None},
        shims=[shim],
    )


def init(model: Model[InT, OutT], X: InT | None = None, Y: Any = None) -> None:
    """Load the weights of the checkpoint, unless there are weights already.

    X, Y: Not needed.
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
    """Take the width from the weights, and check that they give what the options ask for.

    model (Model): The layer, with weights.
    RAISES (ValueError): TB013.
    """
    traits = get_traits(model)
    for output, given in [
        ("hidden_states", traits.n_hidden_states > 0),
        ("attentions", traits.has_attentions),
    ]:
        if model.attrs[f"output_{output}"] and not given:
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
    """Run the model over the subbatches of all Docs.

    X (sequence of Wordpieces, (n_docs,)): The wordpieces.
    RETURNS (list of Activations, (n_docs,)): Views of arrays of the whole batch, and a callback
        that takes the gradients of those outputs that have one and adds to the gradients of the
        weights. It returns an empty list: there is nothing below wordpieces.
    """
    traits = get_traits(model)
    batch = make_batch(X)
    if batch.ids.size and int(batch.ids.max()) >= traits.n_rows:
        raise ValueError(errors.TB015.format(got=int(batch.ids.max()), n_rows=traits.n_rows))
    shim = get_shim(model)
    kept = {name: model.attrs[f"output_{name}"] for name in ("hidden_states", "attentions")}
    outputs = OutputBuffer(batch, traits, shim.device, **kept)
    steps = []
    for subbatch in _subbatches(model, batch):
        inputs = _model_inputs(model, subbatch, traits)
        if is_train and shim.trainable:
            given, backprop_subbatch = shim.begin_update(inputs, model.attrs["dropout_rate"])
            tensors = SubbatchTensors(given, subbatch, **kept)
            steps.append((subbatch, tensors, backprop_subbatch))
        else:
            tensors = SubbatchTensors(shim.predict(inputs), subbatch, **kept)
        outputs.write(subbatch, tensors)

    def backprop(d_outputs: Sequence[Activations]) -> list[Any]:
        gradients = GradientBuffer(batch, d_outputs, shim.device)
        while steps:  # the graph of each subbatch is freed as soon as it has been used
            subbatch, tensors, backprop_subbatch = steps.pop()
            pairs = gradients.pairs(subbatch, tensors)
            if pairs[0]:
                backprop_subbatch(*pairs)
        shim.finish_backprop()
        return []

    return outputs.split(), backprop


def _subbatches(model: Model[InT, OutT], batch: Batch) -> Iterator[Subbatch]:
    """Cut a batch, with padding or, where the model can do without, none."""
    shim, traits = get_shim(model), get_traits(model)
    words_per_batch = model.attrs["words_per_batch"]
    if words_per_batch and shim.most_rows is not None:
        words_per_batch = min(words_per_batch, shim.most_rows)
    if shim.first_position is None:
        max_padding = MAX_PADDING if traits.padded else 0
        for indices in make_subbatches(batch.run_lengths, words_per_batch, max_padding=max_padding):
            yield batch.take(indices, traits.pad_id)
    else:
        for indices in even_subbatches(batch.run_lengths, words_per_batch):
            subbatch = batch.take_unpadded(indices)
            if subbatch.indices.size:
                yield subbatch


def _model_inputs(model: Model[InT, OutT], subbatch: Subbatch, traits: Traits) -> dict[str, Any]:
    """Arguments for the forward of the Hugging Face model, those that it takes."""
    shim = get_shim(model)
    type_ids = subbatch.type_ids if "token_type_ids" in traits.parameters else None
    if subbatch.mask is None:
        from ..engine.linear import round_up
        from ..engine.packed import unpadded_inputs

        n_rows = subbatch.ids.shape[1]
        inputs = unpadded_inputs(
            subbatch.ids,
            type_ids,
            subbatch.lengths,
            shim.first_position or 0,
            shim.device,
            n_filler=round_up(n_rows) - n_rows if shim.compiles_products else 0,
        )
    else:
        inputs = {"input_ids": xp2torch(subbatch.ids, device=shim.device)}
        if "attention_mask" in traits.parameters:
            mask = subbatch.mask.astype("int64")
            inputs["attention_mask"] = xp2torch(mask, device=shim.device)
        if type_ids is not None:
            inputs["token_type_ids"] = xp2torch(type_ids, device=shim.device)
    flags = quiet_flags(
        traits.parameters,
        output_hidden_states=model.attrs["output_hidden_states"],
        output_attentions=model.attrs["output_attentions"],
    )
    return {**inputs, **flags}


def get_shim(model: Model[InT, OutT]) -> TransformerShim:
    """RETURNS (TransformerShim): The shim of the layer."""
    return cast(TransformerShim, model.shims[0])


def get_traits(model: Model[InT, OutT]) -> Traits:
    """Ask what the layer's model takes and gives.

    model (Model): The layer.
    RETURNS (Traits): The traits.
    RAISES (ValueError): TB010 while there are no weights.
    """
    traits = get_shim(model).traits
    if traits is None:
        raise ValueError(errors.TB010.format(name=model.name, what="weights"))
    return traits
