"""The parts of a layer that is built like BERT's: attention, its normalisation, a feed-forward
network, its normalisation.

`families.LayerParts` says where a family has them. `BertLayer` calls the model's own modules;
`HalvedLayer` holds their weights in half precision.
"""

import copy
from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers.activations import GELUActivation

from headscope.model.layer_parts import LayerParts
from headscope.model.projections import split


class BertLayer:
    """A layer by the model's own modules.

    Args:
        module: The layer.
        parts: Where it has its parts.
        heads: How many heads it has.
    """

    def __init__(self, module: nn.Module, parts: LayerParts, heads: int) -> None:
        self.heads = heads
        find = module.get_submodule
        self.query: Any = find(parts.query)
        self.key: Any = find(parts.key)
        self.value: Any = find(parts.value)
        self.output: Any = find(parts.output)
        self.attention_norm: Any = find(parts.attention_norm)
        self.first: Any = find(parts.first)
        self.activation: Any = find(parts.activation)
        self.second: Any = find(parts.second)
        self.norm: Any = find(parts.norm)
        weight: Any = self.query.weight
        self.dtype: torch.dtype = weight.dtype
        self.stream: torch.dtype = weight.dtype

    @staticmethod
    def fits(module: nn.Module, parts: LayerParts) -> bool:
        """Whether a layer has these parts, linear layers where they are expected."""
        modules = dict(module.named_modules())
        linear = (parts.query, parts.key, parts.value, parts.output, parts.first, parts.second)
        others = (parts.attention_norm, parts.activation, parts.norm)
        return all(isinstance(modules.get(part), nn.Linear) for part in linear) and all(
            part in modules for part in others
        )

    def by_head(self, projected: Float[Tensor, "*rows size"]) -> Float[Tensor, "*rows head d"]:
        """Split by head."""
        return projected.view(*projected.shape[:-1], self.heads, -1)

    def query_key_value(
        self, states: Float[Tensor, "row token hidden"]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each [row, head, token, d]."""
        query, key, value = (
            self.by_head(linear(states)).transpose(1, 2)
            for linear in (self.query, self.key, self.value)
        )
        return query, key, value

    def one_query(self, states: Float[Tensor, "row hidden"]) -> Float[Tensor, "row head d"]:
        """The queries of one token a row."""
        return self.by_head(self.query(states))

    def values_of(self, states: Float[Tensor, "row hidden"]) -> Float[Tensor, "row head d"]:
        """The values of one token a row."""
        return self.by_head(self.value(states))

    @cached_property
    def key_weight(self) -> Float[Tensor, "head d hidden"]:
        """The weight of the keys, by head."""
        weight: Tensor = self.key.weight.detach()
        return weight.view(self.heads, -1, weight.shape[1])

    @cached_property
    def value_weight(self) -> Float[Tensor, "head d hidden"]:
        """The weight of the values, by head."""
        weight: Tensor = self.value.weight.detach()
        return weight.view(self.heads, -1, weight.shape[1])

    @cached_property
    def value_bias(self) -> Tensor | float:
        """The bias of the values, [head, d]; 0 where there is none."""
        bias: Tensor | None = self.value.bias
        return 0.0 if bias is None else bias.detach().view(self.heads, -1)

    @cached_property
    def projections(self) -> Float[Tensor, "head d hidden"]:
        """The output projection by head."""
        return split(self.output, self.heads).permute(1, 2, 0)

    def project(
        self,
        output: Float[Tensor, "row query head d"],
        states: Float[Tensor, "row token hidden"],
    ) -> Float[Tensor, "row query hidden"]:
        """The heads' outputs, projected and added to what entered the layer."""
        projected: Tensor = self.output(output.flatten(-2))
        return projected + states[:, : output.shape[1]]

    def add(
        self,
        attended: Float[Tensor, "row hidden"],
        moved: Float[Tensor, "set row size"],
        weights: Float[Tensor, "set size hidden"],
    ) -> Float[Tensor, "set row hidden"]:
        """`attended` for every set, plus what moved, projected."""
        return torch.baddbmm(attended.expand(len(moved), -1, -1), moved, weights)

    def close(
        self, attended: Float[Tensor, "row query hidden"]
    ) -> Float[Tensor, "row query hidden"]:
        """What comes after attention: its normalisation and the feed-forward network."""
        normed: Tensor = self.attention_norm(attended)
        closed: Tensor = self.norm(self.second(self.activation(self.first(normed))) + normed)
        return closed


class HalvedLayer(BertLayer):
    """A layer whose products are in half precision.

    Args:
        layer: The layer in float32.
        dtype: The format of its products.
        stream: The format of what is added up from layer to layer.
    """

    def __init__(self, layer: BertLayer, dtype: torch.dtype, stream: torch.dtype) -> None:
        self.heads, self.dtype, self.stream = layer.heads, dtype, stream
        whole = (layer.query, layer.key, layer.value)
        weights = torch.cat([linear.weight.detach() for linear in whole])
        biases = torch.cat([_bias(linear) for linear in whole])
        self._together = _linear(weights.to(dtype), biases.to(dtype))
        parts = zip(self._together.weight.chunk(3), self._together.bias.chunk(3), strict=True)
        self.query, self.key, self.value = (_linear(*part) for part in parts)
        self.output, self.first, self.second = (
            _linear(linear.weight.detach().to(dtype), _bias(linear).to(dtype))
            for linear in (layer.output, layer.first, layer.second)
        )
        self.attention_norm, self.norm = (
            _norm_in(norm, stream) for norm in (layer.attention_norm, layer.norm)
        )
        self.activation = layer.activation

    def query_key_value(
        self, states: Float[Tensor, "row token hidden"]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values by one product, each [row, head, token, d]."""
        together = self._together(states.to(self.dtype))
        rows, tokens, _ = states.shape
        by_head = together.view(rows, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = by_head
        return query, key, value

    def one_query(self, states: Float[Tensor, "row hidden"]) -> Float[Tensor, "row head d"]:
        """The queries of one token a row."""
        return super().one_query(states.to(self.dtype))

    def values_of(self, states: Float[Tensor, "row hidden"]) -> Float[Tensor, "row head d"]:
        """The values of one token a row."""
        return super().values_of(states.to(self.dtype))

    def add(
        self,
        attended: Float[Tensor, "row hidden"],
        moved: Float[Tensor, "set row size"],
        weights: Float[Tensor, "set size hidden"],
    ) -> Float[Tensor, "set row hidden"]:
        """`attended` for every set, plus what moved, projected."""
        return attended + torch.bmm(moved, weights)

    def close(
        self, attended: Float[Tensor, "row query hidden"]
    ) -> Float[Tensor, "row query hidden"]:
        """What comes after attention: its normalisation and the feed-forward network."""
        normed: Tensor = self.attention_norm(attended)
        inner = self._activated(normed.to(self.dtype))
        closed: Tensor = self.norm(self.second(inner) + normed)
        return closed

    @cached_property
    def _activated(self) -> Callable[[Tensor], Tensor]:
        """The first product of the feed-forward network with its activation."""

        def plain(states: Tensor) -> Tensor:
            activated: Tensor = self.activation(self.first(states))
            return activated

        is_gelu = isinstance(self.activation, GELUActivation | nn.GELU)
        on_cpu = self.first.weight.device.type == "cpu"
        if not (is_gelu and on_cpu):
            return plain
        return fused_with_gelu(self.first, plain)


def stream_format(device: torch.device, dtype: torch.dtype) -> torch.dtype:
    """The format of what is added up from layer to layer where products are in half precision.

    On a processor float32, which halves the error and costs little; on a GPU half precision as
    well.
    """
    return torch.float32 if device.type == "cpu" else dtype


def fused_with_gelu(
    linear: nn.Linear, plain: Callable[[Tensor], Tensor]
) -> Callable[[Tensor], Tensor]:
    """A linear layer and GELU as one product of oneDNN, which writes the large states between them
    once; `plain` where this torch does not have it, or where it gives something else.
    """

    def fused(states: Tensor) -> Tensor:
        product: Tensor = torch.ops.mkldnn._linear_pointwise(
            states, linear.weight, linear.bias, "gelu", [], "none"
        )
        return product

    probe = torch.linspace(-1, 1, 4 * linear.in_features).view(1, 4, -1).to(linear.weight.dtype)
    try:
        difference = float((fused(probe).float() - plain(probe).float()).abs().max())
    except (AttributeError, NotImplementedError, RuntimeError, TypeError):
        return plain
    largest = float(plain(probe).float().abs().max())
    # Both round once or twice to the format; another function would lie further apart.
    return fused if difference <= 0.02 * max(1.0, largest) else plain


def _bias(linear: nn.Linear) -> Tensor:
    bias: Tensor | None = linear.bias
    return linear.weight.new_zeros(len(linear.weight)) if bias is None else bias.detach()


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    """A linear layer that holds these tensors."""
    linear = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    linear.weight = nn.Parameter(weight, requires_grad=False)
    linear.bias = nn.Parameter(bias, requires_grad=False)
    return linear


def _norm_in(norm: nn.Module, stream: torch.dtype) -> Callable[[Tensor], Tensor]:
    """A normalisation whose input and output have the format of the stream."""
    if stream == torch.float32:
        return norm
    copied = copy.deepcopy(norm)
    for parameter in copied.parameters():
        parameter.requires_grad_(False)
        parameter.data = parameter.data.to(stream)
    return copied
