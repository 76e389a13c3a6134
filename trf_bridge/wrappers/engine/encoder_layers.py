"""The forward pass of post-norm encoders: BERT and models with the same layers.

The rows of all inputs lie one after another. Query, key and value are one product, and residuals
are added by the product before them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import nn

from ...types import Array
from .architectures import EncoderModules, LayerModules
from .linear import pack
from .planning import count_positions

# Widest tiles whose attention is computed by products of all heads at once in bf16. These are
# faster than torch's fused attention there, by 5% to 8% of a whole run; in float32 they are not.
MAX_PRODUCT_WIDTH = 128


class Group(NamedTuple):
    """Tiles of one width, next to each other, that attend in one call.

    start, end (int): Their rows.
    width (int): Columns of each tile.
    mask (Tensor, (n_tiles, 1, width, width)): Numbers to add to the scores; None where one input
        fills each tile.
    """

    start: int
    end: int
    width: int
    mask: torch.Tensor | None


class Linear:
    """The weights of a product, in the layout and precision in which it is computed."""

    def __init__(self, layers: list[nn.Linear], dtype: torch.dtype, *, packed: bool) -> None:
        """Join the weights of layers with the same input.

        layers (list of nn.Linear): The layers. Their outputs will lie side by side.
        dtype (torch.dtype): The precision.
        packed (bool): Whether oneDNN computes the product.
        """
        self._packed = packed
        weight = _join([layer.weight for layer in layers]).to(dtype).contiguous()
        self._weight = pack(weight) if packed else weight
        biases = [
            weight.new_zeros(layer.out_features) if layer.bias is None else layer.bias.to(dtype)
            for layer in layers
        ]
        has_bias = any(layer.bias is not None for layer in layers)
        self._bias = _join(biases) if has_bias else None

    def __call__(self, x: torch.Tensor, residual: torch.Tensor | None = None) -> torch.Tensor:
        """Compute x W^T + b, plus a residual.

        x (Tensor, (n_rows, n_in)): The input.
        residual (Tensor, (n_rows, n_out)): Added to the product, or None.
        RETURNS (Tensor, (n_rows, n_out)): The output.
        """
        product: torch.Tensor
        if not self._packed:
            product = nn.functional.linear(x, self._weight, self._bias)
            return product if residual is None else product.add_(residual)
        # By overload: through the packet, torch first tries to read the bias as a list of numbers.
        if residual is None:
            pointwise = torch.ops.mkldnn._linear_pointwise.default
            product = pointwise(x, self._weight, self._bias, "none", [], "")
        else:
            pointwise = torch.ops.mkldnn._linear_pointwise.binary
            product = pointwise(x, residual, self._weight, self._bias, "add")
        return product


def _join(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """Concatenate weights; a single one is not copied."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


class Norm:
    """The weights of a norm, in the precision in which it is computed."""

    def __init__(self, layer: nn.LayerNorm, dtype: torch.dtype) -> None:
        """Convert the weights.

        layer (nn.LayerNorm): The norm.
        dtype (torch.dtype): The precision.
        """
        self._layer = layer
        self._weight, self._bias = layer.weight.to(dtype), layer.bias.to(dtype)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Normalize rows: (n_rows, width)."""
        shape, eps = self._layer.normalized_shape, self._layer.eps
        return nn.functional.layer_norm(x, shape, self._weight, self._bias, eps)


class Layer:
    """A layer: attention and a feed-forward part, each followed by a residual sum and a norm.

    SOURCE: Vaswani et al. (2017), Attention Is All You Need, section 3.
    """

    def __init__(
        self, modules: LayerModules, n_heads: int, dtype: torch.dtype, *, packed: bool
    ) -> None:
        """Read the weights.

        modules (LayerModules): The modules of the layer.
        n_heads (int): Number of attention heads.
        dtype (torch.dtype): The precision.
        packed (bool): Whether oneDNN computes the products.
        """
        self._n_heads = n_heads
        self._head_width = modules.query.out_features // n_heads
        self._uses_products = packed and dtype == torch.bfloat16
        joined = [modules.query, modules.key, modules.value]
        self._qkv = Linear(joined, dtype, packed=packed)
        self._attention_output = Linear([modules.attention_output], dtype, packed=packed)
        self._attention_norm = Norm(modules.attention_norm, dtype)
        self._inner = Linear([modules.inner], dtype, packed=packed)
        self._activation = modules.activation
        self._output = Linear([modules.output], dtype, packed=packed)
        self._output_norm = Norm(modules.output_norm, dtype)

    def __call__(self, x: torch.Tensor, groups: list[Group]) -> torch.Tensor:
        """Compute the layer.

        x (Tensor, (n_rows, width)): States of the layer below.
        groups (list of Group): The tiles. Rows after them are padding.
        RETURNS (Tensor, (n_rows, width)): The states.
        """
        attended = self._attend(self._qkv(x), groups)
        x = self._attention_norm(self._attention_output(attended, x))
        return self._output_norm(self._output(self._activation(self._inner(x)), x))

    def _attend(self, qkv: torch.Tensor, groups: list[Group]) -> torch.Tensor:
        """Attend within each tile: (n_rows, 3 * width) to (n_rows, width)."""
        parts = []
        for start, end, width, mask in groups:
            states = qkv[start:end].view(-1, width, 3, self._n_heads, self._head_width)
            if self._uses_products and width <= MAX_PRODUCT_WIDTH:
                attended = _attend_by_products(states, mask)
            else:
                query, key, value = (states[:, :, i].transpose(1, 2) for i in range(3))
                attended = nn.functional.scaled_dot_product_attention(query, key, value, mask)
            parts.append(attended.transpose(1, 2).reshape(end - start, -1))
        n_padding = len(qkv) - groups[-1].end
        if n_padding:
            parts.append(parts[0].new_zeros((n_padding, parts[0].shape[1])))
        return parts[0] if len(parts) == 1 else torch.cat(parts)


def _attend_by_products(states: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Attend within tiles of one width.

    states (Tensor, (n_tiles, width, 3, n_heads, head_width)): Query, key and value of each row.
    mask (Tensor, (n_tiles, 1, width, width)): Numbers to add to the scores, or None.
    RETURNS (Tensor, (n_tiles, n_heads, width, head_width)): The attended values.
    SOURCE: Vaswani et al. (2017), Attention Is All You Need, section 3.2.1.
    """
    n_tiles, width, _, n_heads, head_width = states.shape
    by_head = states.permute(2, 0, 3, 1, 4).reshape(3, n_tiles * n_heads, width, head_width)
    query, key, value = by_head
    scores = torch.bmm(query * head_width**-0.5, key.transpose(1, 2))
    scores = scores.view(n_tiles, n_heads, width, width)
    if mask is not None:
        scores += mask
    weights = scores.softmax(-1).view(-1, width, width)
    return torch.bmm(weights, value).view(n_tiles, n_heads, width, head_width)


class Encoder:
    """The weights of an encoder, and its forward pass."""

    def __init__(self, modules: EncoderModules, dtype: torch.dtype, *, packed: bool) -> None:
        """Read the weights.

        modules (EncoderModules): The modules of the model.
        dtype (torch.dtype): The precision.
        packed (bool): Whether oneDNN computes the products.
        """
        self.dtype = dtype
        self._words = modules.words.weight.to(dtype)
        positions = modules.positions.weight
        self._n_positions, self._first_position = len(positions), modules.first_position
        # One row for each type and position: their sum is the same in every input.
        types = positions.new_zeros((1, 1)) if modules.types is None else modules.types.weight
        self._has_types = modules.types is not None
        self._places = (types[:, None] + positions).flatten(0, 1).to(dtype)
        self._norm = Norm(modules.norm, dtype)
        self._projection = (
            None
            if modules.projection is None
            else Linear([modules.projection], dtype, packed=packed)
        )
        self._layers = [
            Layer(layer, modules.n_heads, dtype, packed=packed) for layer in modules.layers
        ]
        self._pooler, self._own_dtype = modules.pooler, modules.words.weight.dtype

    def find_places(self, ids: Array, type_ids: Array | None, lengths: Array) -> Array:
        """Find the rows of wordpieces in the table of types and positions.

        ids (int64, (n,)): Wordpiece ids, input after input.
        type_ids (int64, (n,)): Type ids; None for zeros.
        lengths (int64, (n_inputs,)): Wordpieces of each input.
        RETURNS (int64, (n,)): The rows.
        """
        places = count_positions(ids, lengths, self._first_position)
        if type_ids is not None and self._has_types:
            places = places + type_ids * self._n_positions
        return places

    def __call__(
        self, ids: torch.Tensor, places: torch.Tensor, groups: list[Group]
    ) -> Iterator[torch.Tensor]:
        """Compute the states.

        ids (Tensor, int64, (n_rows,)): Wordpiece ids.
        places (Tensor, int64, (n_rows,)): Rows of the table of types and positions.
        groups (list of Group): The tiles. Rows after them are padding.
        YIELDS (Tensor, (n_rows, width)): The states of the embeddings and of each layer.
        """
        embedding = nn.functional.embedding
        x = self._norm(embedding(ids, self._words) + embedding(places, self._places))
        if self._projection is not None:
            x = self._projection(x)
        yield x
        for layer in self._layers:
            x = layer(x, groups)
            yield x

    def pool(self, first: torch.Tensor) -> torch.Tensor | None:
        """Compute the pooler output of inputs.

        first (Tensor, (n, width)): The last state of the first wordpiece of each input.
        RETURNS (Tensor, float32, (n, width)): The output; None for a model without a pooler.
        """
        if self._pooler is None:
            return None
        pooled: torch.Tensor = self._pooler(first[:, None].to(self._own_dtype))
        return pooled.float()
