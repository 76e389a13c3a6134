"""The PyTorch side of the transformer layer: weights, precision, serialization."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Sequence
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
from ..engine.threads import ForkGuard
from ..files import FORMAT, check_format, files_from_bytes, files_to_bytes, save_files
from ..training.dropout import set_dropout
from ..training.freezing import freeze_weights, learn_rate_scales, validate_freeze
from ..training.optimizer import step
from ..training.precision import lower_dtype, mixed, resolve_precision, validate_precision
from ..training.sparse import SparseGradients
from ..traits import Traits, find_traits
from .loading import load_model

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from ..engine.lowered import LoweredCopy


class TransformerShim(PyTorchShim):
    """Holds a Hugging Face model for a thinc layer.

    Unlike its parent it leaves the model in evaluation mode whenever it is not training, so that
    several threads can predict at once; it serializes to the Hugging Face files, not to a pickle;
    and it can be empty until the weights are loaded.
    """

    def __init__(
        self,
        model: PreTrainedModel | None = None,
        *,
        precision: str = "fp32",
        freeze: str | int = "none",
        layer_lr_decay: float = 1.0,
        gradient_checkpointing: bool = False,
        output_attentions: bool = False,
        trust_remote_code: bool = False,
    ) -> None:
        """Make a shim, empty or around a model.

        model (PreTrainedModel): The model, or None.
        precision (str): "fp32", "bf16", "fp16" or "auto".
        freeze (str, int): "none", "all", or n for the embeddings and the lowest n layers.
        layer_lr_decay (float): Learning rate of a layer, as a part of that of the layer above.
        gradient_checkpointing (bool): Save memory in training, at the cost of a second forward.
        output_attentions (bool): Load models so that they can give attention weights.
        trust_remote_code (bool): Load models that bring their own code.
        RAISES (ValueError): TB008, TB012, TB025.
        """
        validate_precision(precision)
        validate_freeze(freeze)
        _validate_decay(layer_lr_decay)
        self.precision = precision
        self.freeze = freeze
        self.layer_lr_decay = layer_lr_decay
        self.gradient_checkpointing = gradient_checkpointing
        self._lr_scales: dict[str, float] = {}
        self._options: dict[str, Any] = {
            "output_attentions": output_attentions,
            "trust_remote_code": trust_remote_code,
        }
        self.traits: Traits | None = None
        # Where the model can be run without padding: see unpadded.py.
        self.first_position: int | None = None
        self._computes_in = "fp32"
        # Where numbers of rows should be few: see products.py.
        self.compiles_products = False
        # Where subbatches should be small: see memory.py.
        self.most_rows: int | None = None
        # Where the model predicts in a lower precision throughout: see lowered.py.
        self._lowered: LoweredCopy | None = None
        self._fork_guard = ForkGuard()
        self._sparse_gradients: SparseGradients | None = None
        super().__init__(None, grad_scaler=PyTorchGradScaler(enabled=precision == "fp16"))
        if model is not None:
            self.set_model(model)

    @property
    def loaded(self) -> bool:
        """RETURNS (bool): Whether there are weights."""
        return self._model is not None

    def load(self, trf_name: str, revision: str | None = None) -> None:
        """Load the weights of a checkpoint.

        trf_name (str): A folder, or a name on the Hugging Face hub.
        revision (str): Branch, tag or commit on the hub.
        RAISES (ValueError): TB002, TB003, TB012, TB016.
        """
        self.set_model(load_model(trf_name, revision=revision, **self._options))

    def set_model(self, model: PreTrainedModel) -> None:
        """Put a model in, on the device of the current thinc ops.

        model (PreTrainedModel): The model.
        RAISES (ValueError): TB012, TB019, TB030.
        WARNS: TB107.
        """

        from ..engine.linear import FastLinear, use_fast_products
        from ..engine.lowered import use_lowered
        from ..engine.memory import keep_freed_memory, most_rows
        from ..engine.packed import use_unpadded
        from ..training.dropout import use_fast_dropout

        if self.gradient_checkpointing:
            _check_checkpointing(model)

        device = get_torch_default_device()
        self._computes_in = resolve_precision(self.precision, device)
        model.to(device)  # type: ignore[arg-type]  # transformers' stub wants the model itself
        model.eval()
        self.traits = find_traits(model)
        self.first_position = use_unpadded(model, self.traits)
        freeze_weights(model, self.freeze)
        self._lr_scales = learn_rate_scales(model, self.layer_lr_decay)
        if self.gradient_checkpointing:
            # The reentrant kind needs inputs with gradients, and wordpieces have none.
            enable = getattr(
                model, "activation_checkpointing_enable", model.gradient_checkpointing_enable
            )
            enable({"use_reentrant": False})
        use_fast_products(model)
        use_fast_dropout(model)
        dtype = lower_dtype(self._computes_in)
        self._lowered = None if dtype is None else use_lowered(model, self.traits, dtype)
        self.compiles_products = device.type == "cpu" and (
            dtype is not None or any(isinstance(module, FastLinear) for module in model.modules())
        )
        self.most_rows = None
        if device.type == "cpu":
            keep_freed_memory()
            self.most_rows = most_rows(model, self.traits.width, dtype or torch.float32)
        self._sparse_gradients = SparseGradients(model)
        self._model = model
        self._grad_scaler.to_(device)

    def predict(self, inputs: Any) -> Any:
        """Run the model without keeping what a backward pass would need.

        inputs (dict): Keyword arguments of the model's forward.
        RETURNS (ModelOutput): What it returns.
        """

        from ..engine.packed import run_model

        self._fork_guard.check()
        with torch.inference_mode():
            if self._lowered is not None:
                return run_model(self._lowered.of(self._model), inputs)
            with mixed(self._computes_in, self.device):
                return run_model(self._model, inputs)

    @property
    def trainable(self) -> bool:
        """RETURNS (bool): Whether any weights are updated in training."""
        return self.freeze != "all"

    def begin_update(
        self, inputs: Any, dropout: float = 0.0
    ) -> tuple[Any, Callable[[Sequence[torch.Tensor], Sequence[torch.Tensor]], None]]:
        """Run the model in training mode.

        inputs (dict): Keyword arguments of the model's forward.
        dropout (float): Rate of all of the model's dropout.
        RETURNS (ModelOutput): What it returns, and a callback that takes some tensors computed from
            it and the gradient of each, and adds to the gradients of the weights.
        """

        from ..engine.packed import run_model

        self._fork_guard.check()
        set_dropout(self._model, dropout)
        with self._training(), mixed(self._computes_in, self.device):
            outputs = run_model(self._model, inputs)

        def backprop(tensors: Sequence[torch.Tensor], gradients: Sequence[torch.Tensor]) -> None:
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
            with self._training():
                torch.autograd.backward([tensor for tensor, _ in pairs], list(scaled))

        return outputs, backprop

    def finish_backprop(self) -> None:
        """Tidy up once the gradients of all subbatches have been added up."""
        if self._sparse_gradients is not None:
            self._sparse_gradients.make_dense()

    def finish_update(self, optimizer: Optimizer) -> None:
        """Update the weights with the gradients that were added up since the last time.

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
        """Put other weights in, such as the averages of an optimizer, until the block ends.

        params (dict): Weights by key, as thinc's optimizer keeps them.
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
                # The next weights that are put in may lie where these did.
                torch.autograd.graph.increment_version(named[name])

    def copy(self) -> TransformerShim:
        """Copy the shim with its weights.

        RETURNS (TransformerShim): The copy, which an optimizer tells from the original.
        """
        copied: TransformerShim = copy.deepcopy(self)
        with Shim.global_id_lock:
            Shim.global_id += 1
            copied.id = Shim.global_id
        return copied

    def to_disk(self, path: str | Path) -> None:
        """Write config.json and model.safetensors into a folder.

        path (str, Path): An existing folder.
        """
        save_files(self._model, Path(path))

    def from_disk(self, path: str | Path) -> TransformerShim:
        """Read what `to_disk` wrote.

        path (str, Path): The folder.
        RETURNS (TransformerShim): Itself.
        RAISES (ValueError): TB002, TB003.
        """
        self.set_model(load_model(str(path), saved=True, **self._options))
        return self

    def to_bytes(self) -> bytes:
        """Serialize the same files to bytes.

        RETURNS (bytes): The files, or a note that there are none yet.
        """
        files = files_to_bytes(self._model) if self.loaded else None
        serialized: bytes = srsly.msgpack_dumps({"format": FORMAT, "files": files})
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
                self.from_disk(folder)
        return self

    def __getstate__(self) -> dict[str, Any]:
        # Through the files, as everywhere: a pickled module would tie the pickle to the version of
        # transformers that wrote it.
        empty = dict.fromkeys(["_model", "traits", "_sparse_gradients", "_lowered"])
        state = {**self.__dict__, **empty}
        return {"attributes": state, "bytes": self.to_bytes()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state["attributes"])
        self.from_bytes(state["bytes"])

    @contextlib.contextmanager
    def _training(self) -> Iterator[None]:
        self._model.train()
        try:
            yield
        finally:
            self._model.eval()


def _own_name(key: Any, shim_id: int) -> list[str]:
    """The name of weights of this shim, if the key is of one."""
    is_own = isinstance(key, tuple) and len(key) == 2 and key[0] == shim_id
    return [key[1]] if is_own else []


def _validate_decay(decay: float) -> None:
    if not isinstance(decay, (int, float)) or not 0.0 < decay <= 1.0:
        raise ValueError(errors.TB025.format(field="layer_lr_decay", least=0, most=1, got=decay))


def _check_checkpointing(model: PreTrainedModel) -> None:
    if not model.supports_gradient_checkpointing:
        from transformers import __version__ as version

        architecture = type(model).__name__
        raise ValueError(errors.TB030.format(architecture=architecture, version=version))
