"""Layers at the bottom of a head: they read what the transformer wrote, and write its gradient."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from spacy.tokens import Doc
from thinc.api import Model

from ... import errors
from ...align import apply_alignment
from ...types import Array
from ..doc.records import add_gradient, get_alignment, get_outputs
from .pending import PendingBatch

if TYPE_CHECKING:
    from ...wrappers.traits import Traits

InT = Sequence[Doc]


class Listener(Model[Any, Any]):
    """A layer that is connected to the transformer before it in the pipeline.

    The transformer finds it by walking through the models of the components that come after, tells
    it the width, and in training hands it each batch.
    """

    def __init__(
        self,
        name: str,
        forward: Callable[..., Any],
        *,
        upstream: str = "*",
        width: int | None = None,
        attrs: dict[str, Any] | None = None,
    ) -> None:
        """Make the layer.

        name (str): Name of the layer.
        forward (callable): Its forward.
        upstream (str): Name of the component to listen to; "*" for whichever comes before.
        width (int): What the width is expected to be; None to take it as it comes.
        attrs (dict): Attributes of the layer.
        """
        super().__init__(name, forward, init=_init, dims={"nO": width}, attrs=attrs or {})
        self.upstream = upstream
        self.given_width = width
        self.component = ""
        self.batch: PendingBatch | None = None

    def connect(self, component: str, traits: Traits | None) -> None:
        """Take the width from the transformer.

        component (str): Name of the component that the layer is part of.
        traits (Traits): What the transformer gives; None while it has no weights.
        RAISES (ValueError): TB027.
        """
        self.component = component
        if traits is None:
            return
        width = self.width(traits)
        if self.given_width not in (None, width):
            message = errors.TB027.format(name=component, got=self.given_width, expected=width)
            raise ValueError(message)
        self.set_dim("nO", width, force=True)

    def width(self, traits: Traits) -> int:
        """RETURNS (int): Width of what the layer reads."""
        return traits.width

    def receiver(self, doc: Doc) -> Doc:
        """RETURNS (Doc): The Doc that is to get the gradient of what was read from this one."""
        return doc if self.batch is None else self.batch.receiver(doc)

    def contribute(self) -> None:
        """Note that the head has sent a gradient, be it zeros."""
        if self.batch is not None:
            self.batch.contributors.add(self.component)


def being_initialized() -> bool:
    """Tell whether a head is working out its dimensions.

    To do so it asks for a prediction of sample Docs, which have not been through the pipeline. The
    same Docs may well come back later, and then have to be read like any other; who is calling is
    the only difference.

    RETURNS (bool): Whether the `initialize` of a model is running.
    """
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_code is Model.initialize.__code__:
            return True
    return False


def _init(model: Model[Any, Any], X: InT | None = None, Y: Any = None) -> None:
    """Check the connection.

    RAISES (ValueError): TB020.
    """
    assert isinstance(model, Listener)
    if not model.component or not model.has_dim("nO"):
        name = model.component or model.name
        upstream = "" if model.upstream == "*" else f" under the name '{model.upstream}'"
        raise ValueError(errors.TB020.format(name=name, upstream=upstream))


def Tok2VecListener(
    *, grad_factor: float = 1.0, upstream: str = "*", width: int | None = None
) -> Model[InT, list[Array]]:
    """Build the token-to-vector layer of a head that works on the rows of `doc.tensor`.

    It goes where spaCy's own components have their `tok2vec`, and its gradient goes back to the
    wordpieces by the transpose of the alignment.

    grad_factor (float): What to multiply the gradient by, to weigh heads against each other; 0
        keeps this head from changing the transformer.
    upstream (str): Name of the component to listen to; "*" for whichever comes before.
    width (int): Width of the transformer, for the few architectures that ask for it when they are
        built, such as spaCy's entity linker; None to take it from the transformer.
    RETURNS (Model): Sequence of Doc -> list of float32, each (n_tokens, width).
    """
    return Listener(
        "trf-listener",
        forward,
        upstream=upstream,
        width=width,
        attrs={"grad_factor": grad_factor},
    )


def forward(
    model: Model[InT, list[Array]], docs: InT, is_train: bool
) -> tuple[list[Array], Callable[[Sequence[Array]], list[Any]]]:
    """Read `doc.tensor`.

    docs (sequence of Doc, (n_docs,)): Docs that have been through the transformer.
    RETURNS (list of float32, each (n_tokens, width)): Their rows, and a callback that adds the
        gradient of the rows to that of the wordpieces. It returns an empty list.
    RAISES (ValueError): TB021 for a Doc that has no rows of the transformer.
    """
    assert isinstance(model, Listener)
    tensors = [_tensor(model, doc) for doc in docs]
    receivers = [model.receiver(doc) for doc in docs]

    def backprop(d_tensors: Sequence[Array]) -> list[Any]:
        factor = model.attrs["grad_factor"]
        for doc, d_tensor in zip(receivers, d_tensors, strict=True):
            alignment, outputs = get_alignment(doc), get_outputs(doc)
            if alignment is None or outputs is None or not len(doc):
                continue
            _, transpose = apply_alignment(model.ops, alignment, [outputs.last_hidden_state])
            if factor:
                d_hidden = transpose([d_tensor])[0]
                add_gradient(doc, "last_hidden_state", factor * d_hidden)
        model.contribute()
        return []

    return tensors, backprop


def _tensor(model: Listener, doc: Doc) -> Array:
    width = model.get_dim("nO")
    if len(doc) and doc.tensor.shape == (len(doc), width):
        return doc.tensor
    if not len(doc) or being_initialized():
        return model.ops.alloc2f(len(doc), width)
    shape = " x ".join(map(str, doc.tensor.shape))
    found = f"a tensor of {shape} numbers" if doc.tensor.size else "no tensor"
    name = model.component or model.name
    raise ValueError(errors.TB021.format(n_tokens=len(doc), name=name, found=found))
