"""The PyTorch side of the transformer layer: weights, gradients, steps, serialization."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import srsly
import torch
from thinc.api import (
    Optimizer,
    PyTorchGradScaler,
    PyTorchShim,
    Shim,
    get_torch_default_device,
    xp2torch,
)

from ... import errors
from ...settings import TransformerSettings
from ..engine import Engine, make_engine, training_mode
from ..files import FORMAT, check_format, files_from_bytes, files_to_bytes, save_files
from ..sentence_pooling import read_pooling, read_saved_pooling, saved_pooling
from ..training.dropout import set_dropout, use_fast_dropout
from ..training.freezing import freeze_weights, learn_rate_scales
from ..training.optimizer import step
from ..training.precision import resolve_precision
from ..training.sparse import SparseGradients
from ..traits import Traits, find_traits
from .loading import load_model

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class TransformerShim(PyTorchShim):
    """Holds a Hugging Face model for a thinc layer.

    Unlike its parent, it leaves the model in evaluation mode whenever it is not training, so that
    several threads can predict at once; it serializes to the Hugging Face files, not to a pickle;
    and it can be empty until the weights are loaded.
    """

    def __init__(
        self, settings: TransformerSettings | None = None, model: PreTrainedModel | None = None
    ) -> None:
        """Create a shim, empty or around a model.

        settings (TransformerSettings): How the model is loaded, run and trained; None for the
            defaults.
        model (PreTrainedModel): The model, or None.
        RAISES (ValueError): TB012, TB019, TB030.
        """
        self.settings = settings or TransformerSettings()
        self._lr_scales: dict[str, float] = {}
        self._sparse_gradients: SparseGradients | None = None
        self._engine: Engine | None = None
        self.traits: Traits | None = None
        # How sentence-transformers pools the rows of a text; None if the checkpoint has no files
        # of it.
        self.pooling: dict[str, Any] | None = None
        scaler = PyTorchGradScaler(enabled=self.settings.precision == "fp16")
        super().__init__(None, grad_scaler=scaler)
        if model is not None:
            self.set_model(model)

    @property
    def loaded(self) -> bool:
        """Return whether the weights are loaded."""
        return self._model is not None

    @property
    def engine(self) -> Engine:
        """Return what runs the model.

        RETURNS (Engine): The engine.
        RAISES (ValueError): TB010 if the weights are not loaded.
        """
        if self._engine is None:
            raise ValueError(errors.TB010.format(name="transformer", what="weights"))
        return self._engine

    @property
    def trainable(self) -> bool:
        """Return whether any weights are updated in training."""
        return self.settings.freeze != "all"

    @property
    def has_pooler(self) -> bool:
        """Return whether the model has a pooler with weights of its own."""
        return getattr(self._model, "pooler", None) is not None

    def load(self, trf_name: str, revision: str | None = None) -> None:
        """Load the weights of a checkpoint.

        trf_name (str): A folder, or a name on the Hugging Face hub.
        revision (str): Branch, tag or commit on the hub.
        RAISES (ValueError): TB002, TB003, TB012, TB016.
        """
        self.set_model(load_model(trf_name, revision=revision, **self._loading_options()))
        self.pooling = read_pooling(trf_name, revision)

    def set_model(self, model: PreTrainedModel) -> None:
        """Use a model, on the device of the current thinc ops.

        model (PreTrainedModel): The model; changed.
        RAISES (ValueError): TB012, TB019, TB030.
        """
        settings = self.settings
        if settings.gradient_checkpointing:
            _check_checkpointing(model)
        device = get_torch_default_device()
        precision = resolve_precision(settings.precision, device)
        model.to(device)  # type: ignore[arg-type]  # transformers' stub expects the model itself
        model.eval()
        traits = find_traits(model)
        freeze_weights(model, settings.freeze)
        self._lr_scales = learn_rate_scales(model, settings.layer_lr_decay)
        if settings.gradient_checkpointing:
            # The reentrant kind needs inputs with gradients, and wordpieces have none.
            enable = getattr(
                model, "activation_checkpointing_enable", model.gradient_checkpointing_enable
            )
            enable({"use_reentrant": False})
        use_fast_dropout(model)
        self._engine = make_engine(model, traits, settings, precision=precision)
        self._sparse_gradients = SparseGradients(model)
        self._model, self.traits = model, traits
        self._grad_scaler.to_(device)

    def set_dropout(self, rate: float) -> None:
        """Set the rate of all of the model's dropout. Call it once for an update.

        rate (float): From 0 to 1.
        """
        set_dropout(self._model, rate)

    def backprop(self, tensors: Sequence[torch.Tensor], gradients: Sequence[torch.Tensor]) -> None:
        """Add to the gradients of the weights.

        tensors (sequence of Tensor): Outputs of the engine's `update`.
        gradients (sequence of Tensor): The gradient of each.
        """
        # With all layers frozen but not the pooler, only the pooler output leads to weights.
        pairs = [
            (tensor, gradient)
            for tensor, gradient in zip(tensors, gradients, strict=True)
            if tensor.requires_grad
        ]
        if not pairs:
            return
        # Not in place: through DLPack these may be the arrays that the Docs hold.
        scaled = self._grad_scaler.scale([gradient for _, gradient in pairs], inplace=False)
        # Checkpointed layers run once more here, and must draw the same dropout.
        with training_mode(self._model):
            torch.autograd.backward([tensor for tensor, _ in pairs], list(scaled))

    def finish_backprop(self) -> None:
        """Convert the gradients of embeddings once those of all subbatches have been added up."""
        if self._sparse_gradients is not None:
            self._sparse_gradients.make_dense()

    def finish_update(self, optimizer: Optimizer) -> None:
        """Update the weights with the gradients that were added up since the last update.

        optimizer (Optimizer): thinc's optimizer.
        """
        gradients = [p.grad for p in self._model.parameters() if p.grad is not None]
        # Once per step: the gradients of several subbatches were added up under one scale.
        overflow = self._grad_scaler.unscale(gradients)
        if overflow:
            self._model.zero_grad(set_to_none=True)
        else:
            step(optimizer, self.id, self._model, self._lr_scales)
        self._grad_scaler.update()

    @contextlib.contextmanager
    def use_params(self, params: Any) -> Iterator[None]:
        """Use other weights, such as the averages of an optimizer, until the block ends.

        params (dict): Weights by key, as thinc's optimizer stores them.
        """
        backup = {}
        if self.loaded:
            own = {name: params[key] for key in params for name in _own_name(key, self.id)}
            backup = {
                name: (weights.data, xp2torch(own[name], device=weights.device))
                for name, weights in self._model.named_parameters()
                if name in own
            }
        named = dict(self._model.named_parameters()) if backup else {}
        with torch.no_grad():
            for name, (original, other) in backup.items():
                named[name].data = other.view_as(original).clone()
        try:
            yield
        finally:
            for name, (original, _) in backup.items():
                named[name].data = original
                # The next weights that are put in may lie at the same address.
                torch.autograd.graph.increment_version(named[name])

    def copy(self) -> TransformerShim:
        """Copy the shim with its weights.

        RETURNS (TransformerShim): The copy, which has an id of its own for optimizers.
        """
        copied: TransformerShim = copy.deepcopy(self)
        with Shim.global_id_lock:
            Shim.global_id += 1
            copied.id = Shim.global_id
        return copied

    def to_disk(self, path: str | Path) -> None:
        """Write config.json, model.safetensors and the settings of the pooling into a folder.

        path (str, Path): An existing folder.
        """
        save_files(self._model, Path(path))
        for name, content in saved_pooling(self.pooling).items():
            (Path(path) / name).write_bytes(content)

    def from_disk(self, path: str | Path, *, has_pooler: bool = False) -> TransformerShim:
        """Read what `to_disk` wrote.

        path (str, Path): The folder.
        has_pooler (bool): Whether the model had a pooler, whose weights are then required.
        RETURNS (TransformerShim): Itself.
        RAISES (ValueError): TB002, TB003, TB006.
        """
        options = {**self._loading_options(), "has_pooler": has_pooler}
        self.set_model(load_model(str(path), saved=True, **options))
        self.pooling = read_saved_pooling(Path(path))
        return self

    def to_bytes(self) -> bytes:
        """Serialize the same files to bytes.

        RETURNS (bytes): The files, or a note that the weights are not loaded.
        """
        files = None
        if self.loaded:
            files = {**files_to_bytes(self._model), **saved_pooling(self.pooling)}
        message = {"format": FORMAT, "files": files, "has_pooler": self.has_pooler}
        serialized: bytes = srsly.msgpack_dumps(message)
        return serialized

    def from_bytes(self, bytes_data: bytes) -> TransformerShim:
        """Read what `to_bytes` wrote.

        bytes_data (bytes): The serialized shim.
        RETURNS (TransformerShim): Itself.
        RAISES (ValueError): TB003, TB005.
        """
        message = srsly.msgpack_loads(bytes_data)
        check_format(message["format"], "the serialized transformer")
        if message["files"] is not None:
            with files_from_bytes(message["files"]) as folder:
                self.from_disk(folder, has_pooler=message.get("has_pooler", False))
        return self

    def __getstate__(self) -> dict[str, Any]:
        # Through the files, as everywhere: a pickled module would tie the pickle to the version of
        # transformers that wrote it.
        empty = dict.fromkeys(["_model", "traits", "_sparse_gradients", "_engine"])
        state = {**self.__dict__, **empty}
        return {"attributes": state, "bytes": self.to_bytes()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state["attributes"])
        self.from_bytes(state["bytes"])

    def _loading_options(self) -> dict[str, Any]:
        return {
            "output_attentions": self.settings.output_attentions,
            "trust_remote_code": self.settings.trust_remote_code,
        }


def _own_name(key: Any, shim_id: int) -> list[str]:
    """Return the name of weights of this shim, if the key belongs to one."""
    is_own = isinstance(key, tuple) and len(key) == 2 and key[0] == shim_id
    return [key[1]] if is_own else []


def _check_checkpointing(model: PreTrainedModel) -> None:
    if not model.supports_gradient_checkpointing:
        from transformers import __version__ as version

        architecture = type(model).__name__
        raise ValueError(errors.TB030.format(architecture=architecture, version=version))
