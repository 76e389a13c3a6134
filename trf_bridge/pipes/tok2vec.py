"""The component that runs the transformer and aligns its output to spaCy's tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import srsly
from spacy.language import Language
from spacy.pipeline import TrainablePipe
from spacy.tokens import Doc
from spacy.training import Example, validate_examples
from spacy.vocab import Vocab
from thinc.api import Optimizer, set_dropout_rate

from .. import errors
from ..settings import TransformerSettings, defaults_of
from ..wrappers.engine import Engine
from ..wrappers.files import FORMAT, check_format, read_json
from ..wrappers.models.layer import get_shim, sync_dims
from ..wrappers.models.versions import check_origin, describe_origin
from .doc.attributes import install_extensions
from .heads.listener import Listener
from .heads.pending import EarlyStep, PendingBatch, PendingSlot
from .heads.upstream import Upstream
from .predictions import (
    Predictions,
    TransformerLayer,
    check_loaded,
    check_vocabulary,
    read_predictions,
    run_transformer,
    store_predictions,
)
from .standalone import replace_listener, replace_listener_cfg
from .storage import replacing
from .streams import MAX_TOKENS, annotate_stream
from .wordpiecer import TrfWordpiecer

SETTINGS = "tok2vec.json"

DEFAULT_MODEL = {
    "@architectures": "trf_bridge.TransformerModel.v1",
    **defaults_of(TransformerSettings),
}


@Language.factory(
    "trf_tok2vec",
    assigns=[
        "doc.tensor",
        "doc._.trf_outputs",
        "doc._.trf_last_hidden_state",
        "doc._.trf_pooler_output",
        "doc._.trf_all_hidden_states",
        "doc._.trf_all_attentions",
    ],
    requires=["doc._.trf_word_pieces"],
    default_config={"model": DEFAULT_MODEL},
)
def make_trf_tok2vec(nlp: Language, name: str, model: TransformerLayer) -> TrfTok2Vec:
    """Create the component for a pipeline.

    nlp (Language): The pipeline.
    name (str): Name of the component.
    model (Model): Wordpieces of each Doc -> Activations; see `TransformerModel`.
    RETURNS (TrfTok2Vec): The component.
    """
    return TrfTok2Vec(nlp.vocab, model, name)


class TrfTok2Vec(Upstream, TrainablePipe):
    """Runs the transformer over the wordpieces of Docs, and stores its outputs and `doc.tensor`."""

    def __init__(self, vocab: Vocab, model: TransformerLayer, name: str = "trf_tok2vec") -> None:
        """Create the component.

        vocab (Vocab): The vocab of the pipeline.
        model (Model): Wordpieces of each Doc -> Activations.
        name (str): Name of the component.
        """
        self._slot = PendingSlot()
        self._norm = 0.0
        self._silent_batches = 0
        self._warned = False
        self.vocab = vocab
        self.model = model
        self.name = name
        model.attrs["replace_listener"] = replace_listener
        model.attrs["replace_listener_cfg"] = replace_listener_cfg
        self.cfg: dict[str, Any] = {}
        self.listener_map: dict[str, list[Listener]] = {}
        install_extensions()

    @property
    def model(self) -> TransformerLayer:
        """Return the layer, with the gradient of every batch so far in its weights.

        RETURNS (Model): Wordpieces of each Doc -> Activations.
        """
        # spaCy's loops also read it between the update of the transformer and that of its heads. As
        # long as no head has added a gradient, the weights lack nothing.
        pending = self._slot.batch
        if pending is not None and (pending.step or pending.has_gradient()):
            self.settle()
        return self._layer

    @model.setter
    def model(self, model: TransformerLayer) -> None:
        TrainablePipe.model.__set__(self, model)

    @property
    def engine(self) -> Engine:
        """Return what runs the model. Its `name` and `reason` describe the choice.

        RETURNS (Engine): The engine.
        RAISES (ValueError): TB010 if the weights are not loaded.
        """
        check_loaded(self._layer, self.name)
        return get_shim(self._layer).engine

    def settle(self) -> None:
        """Carry out the pending batch: send its gradient back, and make the step that waits for it.

        Every observation of the weights through this component settles first, so it is only needed
        before the weights are read in another way. Without a pending batch it does nothing.

        RAISES (ValueError): TB023.
        """
        pending, self._slot.batch = self._slot.batch, None
        if pending is None:
            return
        self._norm = pending.carry_out()
        if self._norm:
            self._silent_batches, self._warned = 0, False
        elif pending.has_wordpieces():
            self._silent_batches += 1
            # The output layers of many heads start as zeros, and so does the gradient below them:
            # only further batches without a gradient are worth a warning.
            patience = 1 if pending.contributors else 0
            if self._silent_batches > patience and not self._warned:
                pending.warn_of_silence(self.listening_components)
                self._warned = True
        if pending.step is not None:
            pending.step.run(self._layer.finish_update)

    def __reduce_ex__(self, protocol: Any) -> Any:
        # A copy has no graph, so it is made from the weights that the pending batch leads to.
        self.settle()
        return super().__reduce_ex__(protocol)

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Run the transformer over a stream of Docs. Batches are smaller where Docs are long.

        stream (iterable of Doc): Docs with wordpieces; changed.
        batch_size (int): The maximum number of Docs in a batch.
        YIELDS (Doc): The same Docs, in order.
        """
        # A subbatch has at least about as many wordpieces as there are tokens.
        max_tokens = max(MAX_TOKENS, self._layer.attrs["words_per_batch"])
        return annotate_stream(self, stream, batch_size, max_tokens=max_tokens)

    def predict(self, docs: Iterable[Doc]) -> Predictions:
        """Run the transformer over Docs without changing them.

        docs (iterable of Doc): Docs with wordpieces.
        RETURNS (tuple of four lists, each (n_docs,)): The activations; the token rows, each
            (n_tokens, width); the alignments; the token offsets that they were computed for.
        RAISES (ValueError): TB010, TB011, TB015.
        """
        docs = list(docs)
        pending = self._slot.batch
        if docs and pending is not None and pending.holds(docs):
            # An annotating component predicts the Docs that it was just updated on, and they have
            # its output already.
            return read_predictions(docs)
        self.settle()
        return run_transformer(self._layer, docs, self.name, is_train=False)[0]

    def set_annotations(self, docs: Iterable[Doc], predictions: Predictions) -> None:
        """Store `doc.tensor`, the extension attributes and the hooks.

        docs (iterable of Doc): The Docs; changed.
        predictions: What `predict` returned for them.
        """
        store_predictions(docs, predictions, get_shim(self._layer).pooling)

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Run the transformer over a training batch, whose output heads read and send gradients to.

        The predicted Docs receive what prediction would store, and `doc._.trf_d_last_hidden_state`
        as zeros. The sum of what the components after this one add to the gradients is sent back
        through the transformer in one pass: before the next batch, or as soon as the model is read,
        saved or used.

        examples (iterable of Example): The batch; the predicted Docs are changed.
        drop (float): Rate of the transformer's own dropout.
        sgd (Optimizer): Makes a step with the gradient of this batch.
        losses (dict): The norm of the last gradient that was sent back, that of the batch before,
            is added to it under the name of the component.
        RETURNS (dict): The losses.
        RAISES (ValueError): TB010, TB011, TB015; TB023 of the batch before.
        """
        losses = {} if losses is None else losses
        examples = list(examples)
        validate_examples(examples, "TrfTok2Vec.update")
        self.settle()
        losses[self.name] = losses.get(self.name, 0.0) + self._norm
        docs = [example.predicted for example in examples]
        trainable = get_shim(self._layer).trainable
        set_dropout_rate(self._layer, drop)
        predictions, backprop = run_transformer(self._layer, docs, self.name, is_train=trainable)
        self.set_annotations(docs, predictions)
        if trainable:
            self._slot.batch = PendingBatch(docs, backprop, self.name)
        if sgd:
            self.finish_update(sgd)
        return losses

    def finish_update(self, sgd: Optimizer) -> None:
        """Make a step with the gradients since the last one.

        If no component has added to the gradient of the last batch yet, the step waits for them.

        sgd (Optimizer): The optimizer.
        RAISES (ValueError): TB023.
        """
        pending = self._slot.batch
        if pending is not None and not pending.has_gradient():
            pending.step = EarlyStep(sgd)
            return
        self.settle()
        self._layer.finish_update(sgd)

    def use_params(self, params: Any) -> Iterator[None]:
        """Use other weights, such as averages, until the generator is closed.

        params (dict): Weights by key, as thinc's optimizer stores them.
        YIELDS (None): Once.
        """
        self.settle()
        with self._layer.use_params(params):
            yield

    def get_loss(self, examples: Iterable[Example], scores: Any) -> None:
        """Compute no loss: the gradient comes from the components after this one."""

    def add_label(self, label: str) -> int:
        """Return 0: the component has no labels."""
        return 0

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]] | None = None,
        *,
        nlp: Language | None = None,
    ) -> None:
        """Load the weights of the checkpoint, unless they are loaded already.

        get_examples (callable): Not used.
        nlp (Language): The pipeline.
        RAISES (ValueError): TB001, TB002, TB003, TB007, TB012, TB013, TB016.
        """
        if not self.model.attrs["trf_name"] and not get_shim(self.model).loaded:
            raise ValueError(errors.TB001.format(name=self.name, field="model.trf_name"))
        self.settle()
        self._layer.initialize()
        self.sync_listeners()
        for _, component in nlp.pipeline if nlp is not None else []:
            if isinstance(component, TrfWordpiecer) and component.loaded:
                check_vocabulary(self._layer, component)

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Save config.json, model.safetensors and the settings that belong to them.

        path (str, Path): The folder; replaced as a whole, once everything is written.
        exclude (iterable of str): Not used; the component has no vocab.
        RAISES (ValueError): TB010.
        """
        check_loaded(self.model, self.name)
        with replacing(Path(path)) as folder:
            shim = get_shim(self.model)
            origin = {**describe_origin(shim._model), "has_pooler": shim.has_pooler}
            srsly.write_json(folder / SETTINGS, {"format": FORMAT, **origin})
            shim.to_disk(folder)

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> TrfTok2Vec:
        """Load what `to_disk` saved. A pending batch is dropped.

        path (str, Path): The folder.
        exclude (iterable of str): Not used.
        RETURNS (TrfTok2Vec): Itself.
        RAISES (ValueError): TB003, TB005, TB006, TB012, TB013, TB031.
        """
        folder = Path(path)
        settings = read_json(folder / SETTINGS)
        check_format(settings.get("format"), folder / SETTINGS)
        self._slot.batch = None
        has_pooler = bool(settings.get("has_pooler"))
        get_shim(self._layer).from_disk(folder, has_pooler=has_pooler)
        check_origin(get_shim(self._layer)._model, settings, folder)
        sync_dims(self._layer)
        self.sync_listeners()
        return self

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """Serialize the same files to bytes.

        exclude (iterable of str): Not used.
        RETURNS (bytes): The files, or a note that the weights are not loaded.
        """
        return get_shim(self.model).to_bytes()

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> TrfTok2Vec:
        """Load what `to_bytes` serialized. A pending batch is dropped.

        bytes_data (bytes): The serialized component.
        exclude (iterable of str): Not used.
        RETURNS (TrfTok2Vec): Itself.
        RAISES (ValueError): TB003, TB005, TB012, TB013.
        """
        self._slot.batch = None
        shim = get_shim(self._layer).from_bytes(bytes_data)
        if shim.loaded:
            sync_dims(self._layer)
            self.sync_listeners()
        return self
