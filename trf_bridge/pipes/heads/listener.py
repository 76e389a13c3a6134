"""The layer at the bottom of a head: it reads the rows of tokens and sends gradients to the
transformer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from spacy.tokens import Doc
from thinc.api import Model

from ... import errors
from ...align import (
    POOLINGS,
    Alignment,
    apply_alignment,
    join_alignments,
    link_characters,
    pool_links,
)
from ...settings import check_choice
from ...types import Array, Wordpieces
from ..doc.records import (
    add_gradient,
    get_alignment,
    get_outputs,
    get_wordpieces,
    token_rows,
    token_spans,
)
from .pending import PendingSlot
from .sample import SampledLayer

if TYPE_CHECKING:
    from ...wrappers.traits import Traits
    from .pending import PendingBatch

InT = Sequence[Doc]


class Listener(SampledLayer):
    """A layer that is connected to the transformer before it in the pipeline.

    The transformer finds its listeners in the models of the components after it, sets their width,
    and shares its pending batch with them.

    upstream (str): Name of the component to listen to; "*" for the nearest one.
    component (str): Name of the component that the layer belongs to; "" until it is known.
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
        """Create the layer.

        name (str): Name of the layer.
        forward (callable): Its forward.
        upstream (str): Name of the component to listen to; "*" for the nearest one.
        width (int): The expected width; None to take it from the transformer.
        attrs (dict): Attributes of the layer.
        """
        super().__init__(name, forward, init=_init, dims={"nO": width}, attrs=attrs or {})
        self.upstream = upstream
        self.component = ""
        self._given_width = width
        self._slot = PendingSlot()

    @property
    def batch(self) -> PendingBatch | None:
        """Return the pending batch of the transformer; None if nothing is pending."""
        return self._slot.batch

    def connect(self, component: str, traits: Traits | None, slot: PendingSlot) -> None:
        """Connect the layer to a transformer.

        component (str): Name of the component that the layer belongs to.
        traits (Traits): What the transformer returns; None while its weights are not loaded.
        slot (PendingSlot): The place of the transformer's pending batch.
        RAISES (ValueError): TB027.
        """
        self.component = component
        self._slot = slot
        self.end_sample()
        if traits is None:
            return
        width = self.width(traits)
        if self._given_width not in (None, width):
            message = errors.TB027.format(name=component, got=self._given_width, expected=width)
            raise ValueError(message)
        self.set_dim("nO", width, force=True)

    def disconnect(self) -> None:
        """Disconnect the layer from its transformer."""
        self._slot = PendingSlot()

    def width(self, traits: Traits) -> int:
        """Return the width of the output that the layer reads."""
        return traits.width

    def receiver(self, doc: Doc) -> Doc:
        """Return the Doc that receives the gradient of what was read from a Doc."""
        return doc if self.batch is None else self.batch.receiver(doc)

    def contribute(self) -> None:
        """Record that the head has sent a gradient, zeros included."""
        if self.batch is not None:
            self.batch.contributors.add(self.component)

    def describe(self) -> str:
        """Return the start of an error about this layer: the component that it belongs to."""
        return f"'{self.component}'" if self.component else "A component with a listener"


def _init(model: Model[Any, Any], X: InT | None = None, Y: Any = None) -> None:
    """Check the connection.

    X (sequence of Doc): The sample.
    RAISES (ValueError): TB020.
    """
    assert isinstance(model, Listener)
    if not model.component or not model.has_dim("nO"):
        upstream = "" if model.upstream == "*" else f" with the name '{model.upstream}'"
        raise ValueError(errors.TB020.format(component=model.describe(), upstream=upstream))
    model.start_sample(X)


def Tok2VecListener(
    *,
    pooling: str = "sum",
    boundary: bool = True,
    space_after: bool = False,
    grad_factor: float = 1.0,
    upstream: str = "*",
    width: int | None = None,
) -> Model[InT, list[Array]]:
    """Build the token-to-vector layer of a head that reads the rows of tokens.

    It replaces the `tok2vec` of spaCy's own components. By default it reads `doc.tensor`. Its
    gradient goes back to the wordpieces through the transpose of the alignment.

    pooling (str): How the row of a token is computed: "sum" for the weighted sum of the alignment;
        "mean" for the mean of the token's own wordpieces, without boundary pieces such as `[CLS]`;
        "first" or "last" for the row of one of them. A token without wordpieces of its own, such as
        white space, has a zero row.
    boundary (bool): Whether a sum contains the token's share of the boundary pieces. Not used by
        the other poolings.
    space_after (bool): Whether the space after a token counts as part of it, as in
        spacy-transformers. A wordpiece that starts with the space, as of some tokenizers, then
        belongs to both tokens around it, and no sum contains boundary pieces.
    grad_factor (float): Factor of the gradient, to weight heads against each other; 0 if this head
        must not change the transformer.
    upstream (str): Name of the component to listen to; "*" for the nearest one.
    width (int): Width of the transformer, for architectures that need it when they are built, such
        as spaCy's entity linker; None to take it from the transformer.
    RETURNS (Model): Sequence of Doc -> list of float32, each (n_tokens, width).
    RAISES (ValueError): TB008 for an unknown pooling.
    """
    check_choice("pooling", pooling, POOLINGS)
    return Listener(
        "trf-listener",
        forward,
        upstream=upstream,
        width=width,
        attrs={
            "grad_factor": grad_factor,
            "pooling": pooling,
            "boundary": boundary,
            "space_after": space_after,
        },
    )


def forward(
    model: Model[InT, list[Array]], docs: InT, is_train: bool
) -> tuple[list[Array], Callable[[Sequence[Array]], list[Any]]]:
    """Read the rows of tokens: `doc.tensor`, or rows of another pooling.

    docs (sequence of Doc, (n_docs,)): Docs that have been through the transformer.
    RETURNS (list of float32, each (n_tokens, width)): Their rows, and a callback that adds the
        gradient of the rows to the gradient of the wordpieces. It returns an empty list.
    RAISES (ValueError): TB021 for a Doc without rows of the transformer; TB024 for a gradient that
        comes too late.
    """
    assert isinstance(model, Listener)
    model.check_sample(docs, is_train)
    tensors = [_tensor(model, doc) for doc in docs]
    if not reads_tensor(model):
        tensors = _pool(model, docs, tensors)
    receivers = [model.receiver(doc) for doc in docs]

    def backprop(d_tensors: Sequence[Array]) -> list[Any]:
        factor = model.attrs["grad_factor"]
        for doc, d_tensor in zip(receivers, d_tensors, strict=True):
            links, outputs = _links(model, doc), get_outputs(doc)
            if links is None or outputs is None or not len(doc):
                continue
            _, transpose = apply_alignment(model.ops, links, [outputs.last_hidden_state])
            if factor:
                d_hidden = transpose([d_tensor])[0]
                add_gradient(doc, "last_hidden_state", factor * d_hidden)
        model.contribute()
        return []

    return tensors, backprop


def reads_tensor(model: Model[Any, Any]) -> bool:
    """Return whether the pooling of a layer is that of `doc.tensor`.

    model (Model): A listener, or a layer in its place.
    RETURNS (bool): Whether it is.
    """
    attrs = model.attrs
    return attrs["pooling"] == "sum" and attrs["boundary"] and not attrs["space_after"]


def pool_doc(
    model: Model[Any, Any], alignment: Alignment, tokens: Array, wordpieces: Wordpieces
) -> Alignment:
    """Return the links and weights of the pooling of a layer.

    model (Model): A listener, or a layer in its place.
    alignment (Alignment): The links of one Doc.
    tokens (int32, (n_tokens, 2)): Character start and end of its tokens.
    wordpieces (Wordpieces): Its wordpieces.
    RETURNS (Alignment): The links, for `apply_alignment`.
    """
    pooling, boundary = model.attrs["pooling"], model.attrs["boundary"]
    links = link_characters(tokens, wordpieces) if model.attrs["space_after"] else alignment
    return pool_links(links, wordpieces.boundary, pooling, keep_boundary=boundary)


def _links(model: Listener, doc: Doc) -> Alignment | None:
    """Return the links and weights of the layer's pooling; None for a Doc without wordpieces."""
    alignment, wordpieces = get_alignment(doc), get_wordpieces(doc)
    if alignment is None or wordpieces is None or reads_tensor(model):
        return alignment
    return pool_doc(model, alignment, token_spans(doc), wordpieces)


def _pool(model: Listener, docs: InT, tensors: Sequence[Array]) -> list[Array]:
    """Compute the rows of the layer's pooling.

    docs (sequence of Doc, (n_docs,)): The Docs.
    tensors (sequence of float32, each (n_tokens, width)): The rows of each Doc in `doc.tensor`,
        which are zeros for samples and for Docs without tokens.
    RETURNS (list of float32, each (n_tokens, width)): The rows.
    """
    rows = list(tensors)
    used = [i for i, doc in enumerate(docs) if len(doc) and not model.is_sample(doc)]
    links, hidden = [], []
    for i in used:
        pooled, outputs = _links(model, docs[i]), get_outputs(docs[i])
        if pooled is None or outputs is None:
            raise _missing(model, docs[i], "doc.tensor, but no wordpieces")
        links.append(pooled)
        hidden.append(outputs.last_hidden_state)
    computed, _ = apply_alignment(model.ops, join_alignments(links), hidden)
    for i, of_doc in zip(used, computed, strict=True):
        rows[i] = of_doc
    return rows


def _tensor(model: Listener, doc: Doc) -> Array:
    width = model.get_dim("nO")
    tensor = token_rows(doc)
    if len(doc) and tensor.shape == (len(doc), width):
        return tensor
    if not len(doc) or model.is_sample(doc):
        return model.ops.alloc2f(len(doc), width)
    shape = " x ".join(map(str, tensor.shape))
    raise _missing(model, doc, f"a tensor of shape {shape}" if tensor.size else "no tensor")


def _missing(model: Listener, doc: Doc, found: str) -> ValueError:
    """Create the error for a Doc without rows of the transformer."""
    message = errors.TB021.format(component=model.describe(), n_tokens=len(doc), found=found)
    return ValueError(message)
