"""A model in which heads are missing: its layers have fewer heads, each layer another number, and
what stands for the removed ones costs a layer a constant or one product a text.

A family keeps its own code for the heads that stay: it takes their number from the size of its
projections. Only a layer of which heads are removed is changed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional
from transformers import PretrainedConfig, PreTrainedModel

from headscope.errors import HeadscopeError, refusing
from headscope.model.classes import encoder_class, text_config
from headscope.model.heads import head_claimed
from headscope.model.tap import Mode

Kept = Sequence[Sequence[int]]
"""The heads that every layer keeps, counted from 0."""


@dataclass(frozen=True)
class AttentionParts:
    """Where a layer has the parts of its attention.

    Attributes:
        attention: The path, in a layer, of the module that gets the layer's states.
        projections: The names, in that module, of the layers of queries, keys and values; one name
            where one layer makes all three.
        output: The path, in a layer, of the linear layer that reads the concatenated heads.
    """

    attention: str
    projections: tuple[str, ...]
    output: str

    @property
    def own_output(self) -> str:
        """The name of the output projection in the attention module; "" if it stands outside."""
        inside = self.output.startswith(f"{self.attention}.")
        return self.output.removeprefix(f"{self.attention}.") if inside else ""


_OF_BERT = AttentionParts("attention.self", ("query", "key", "value"), "attention.output.dense")
PARTS: dict[str, AttentionParts] = {
    **dict.fromkeys(("bert", "roberta", "xlm-roberta", "camembert", "electra", "ernie"), _OF_BERT),
    "distilbert": AttentionParts("attention", ("q_lin", "k_lin", "v_lin"), "attention.out_lin"),
    "mpnet": AttentionParts("attention.attn", ("q", "k", "v"), "attention.attn.o"),
    "modernbert": AttentionParts("attn", ("Wqkv",), "attn.Wo"),
}
"""The families of which heads can be removed, by transformers' `model_type`."""


def parts_of(config: PretrainedConfig, name: str) -> AttentionParts:
    """Where layers of a family have the parts of their attention.

    Raises:
        HeadscopeError: Heads of this family are not removed.
    """
    family = str(config.model_type)
    if family not in PARTS:
        raise HeadscopeError(
            f"heads of {name} ({family}) cannot be removed so that the model is smaller: write the "
            "checkpoint full, which has the same outputs, or use a model of one of these "
            f"families: {', '.join(sorted(PARTS))}"
        )
    return PARTS[family]


def encoder_layers(hf: PreTrainedModel) -> nn.ModuleList:
    """The layers of an encoder of one of the families in `PARTS`."""
    count = int(text_config(hf.config).num_hidden_layers)
    for module in hf.base_model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return module
    raise HeadscopeError(f"the {count} layers of this model ({hf.config.model_type}) are not found")


def real_tokens(mask: Tensor) -> Bool[Tensor, "batch token"]:
    """Which tokens are not padding, from the mask that a layer gets: [batch, token], or [batch, 1,
    query, key], where a token that is not padding sees itself, in layers with a window too.
    """
    if mask.dim() == 4:
        own = mask[:, 0]
        mask = own.diagonal(dim1=-2, dim2=-1) if own.shape[-2] > 1 else own[:, 0]
    if mask.is_floating_point():
        # What is added to the scores: 0, or a most negative number.
        return mask > torch.finfo(mask.dtype).min / 2
    return mask.bool()


class ReducedAttention(nn.Module):
    """The attention of a layer of which heads are removed: what it adds to the layer's states.

    Args:
        attention: The family's own module, of which the heads that stay are made.
        output: The family's own output projection.
        parts: Where the family has its parts.
        kept: The heads that stay, counted from 0.
        heads: How many heads the layer had.
        mode: What stands for the removed heads.

    Attributes:
        heads: The family's module with the heads that stay; None if none does.
        output: The output projection, where the family has it outside of that module.
        constant: What a layer without heads puts out, [hidden]; else it is in the output's bias.
        uniform: What makes of the mean of the layer's states the output of all heads that attend
            uniformly.
    """

    def __init__(
        self,
        attention: nn.Module,
        output: nn.Linear,
        parts: AttentionParts,
        kept: Sequence[int],
        heads: int,
        mode: Mode,
    ) -> None:
        super().__init__()
        hidden, size = output.out_features, output.in_features // heads
        self.kept = list(kept)
        self.heads: nn.Module | None = None
        self.output: nn.Linear | None = None
        self.uniform: nn.Module | None = None
        if kept:
            projection = nn.Linear(len(kept) * size, hidden)
            self.heads = _with_fewer_heads(attention, parts, len(kept))
            if parts.own_output:
                self.heads.set_submodule(parts.own_output, projection)
            else:
                self.output = projection
        else:
            self.constant = nn.Parameter(torch.zeros(hidden))
        if mode == "uniform":
            self.uniform = _uniform(hidden, (heads - len(kept)) * size)

    def forward(
        self,
        hidden_states: Float[Tensor, "batch token hidden"],
        attention_mask: Tensor | None = None,
        position_bias: Tensor | None = None,
        **options: Any,
    ) -> tuple[Tensor, Tensor | None]:
        """The layer's attention, projected, and the maps where the family returns them."""
        maps = None
        if self.heads is None:
            output = self.constant.expand_as(hidden_states)
        else:
            if position_bias is not None:
                # The same for every text; [1, kept head, query, key].
                options["position_bias"] = position_bias[:1, self.kept]
            output, maps = self.heads(hidden_states, attention_mask=attention_mask, **options)
            if self.output is not None:
                output = self.output(output)
        if self.uniform is not None:
            output = output + self.uniform(_mean(hidden_states, attention_mask))[:, None]
        return output, maps


def _mean(
    states: Float[Tensor, "batch token hidden"], mask: Tensor | None
) -> Float[Tensor, "batch hidden"]:
    """The mean of a layer's states over the real tokens of every text."""
    if mask is None:
        return states.mean(1)
    real = real_tokens(mask)[..., None].to(states.dtype)
    return (states * real).sum(1) / real.sum(1)


def _uniform(hidden: int, size: int) -> nn.Module:
    """The matrix of all heads that attend uniformly; as two where these have fewer weights."""
    if 2 * size < hidden:
        return nn.Sequential(
            nn.Linear(hidden, size, bias=False), nn.Linear(size, hidden, bias=False)
        )
    return nn.Linear(hidden, hidden, bias=False)


def _with_fewer_heads(attention: nn.Module, parts: AttentionParts, kept: int) -> nn.Module:
    """A family's module with room for the weights of `kept` heads."""
    reduced = (
        _MPNetHeads(attention) if type(attention).__name__ == "MPNetSelfAttention" else attention
    )
    for name in parts.projections:
        own: Any = reduced.get_submodule(name)
        size = kept * _head_size(attention)
        rows = size * 3 // len(parts.projections)
        linear = nn.Linear(own.in_features, rows, bias=own.bias is not None)
        reduced.set_submodule(name, linear)
    return reduced


def _head_size(attention: Any) -> int:
    return int(getattr(attention, "attention_head_size", None) or attention.head_dim)


class _MPNetHeads(nn.Module):
    """MPNet's attention for any number of heads, by the fused kernel; the family's own code needs
    all heads of its configuration.
    """

    def __init__(self, attention: Any) -> None:
        super().__init__()
        self.size = int(attention.attention_head_size)
        self.q, self.k, self.v, self.o = attention.q, attention.k, attention.v, attention.o
        self.dropout = attention.dropout

    def forward(
        self,
        hidden_states: Float[Tensor, "batch token hidden"],
        attention_mask: Tensor | None = None,
        position_bias: Float[Tensor, "1 head query key"] | None = None,
        **_options: Any,
    ) -> tuple[Tensor, None]:
        """The projected outputs of the heads, and None in place of the maps."""
        query, key, value = (
            linear(hidden_states).unflatten(-1, (-1, self.size)).transpose(1, 2)
            for linear in (self.q, self.k, self.v)
        )
        bias = position_bias
        if attention_mask is not None and bias is not None:
            lowest = torch.finfo(bias.dtype).min
            if attention_mask.dtype == torch.bool:
                bias = torch.where(attention_mask, bias, lowest)
            else:
                bias = bias + attention_mask
        elif bias is None:
            bias = attention_mask
        bias = None if bias is None else bias.to(query.dtype)
        dropout = self.dropout.p if self.training else 0.0
        output = functional.scaled_dot_product_attention(query, key, value, bias, dropout)
        return self.o(output.transpose(1, 2).flatten(-2)), None


def build(config: PretrainedConfig, kept: Kept, mode: Mode, name: str) -> PreTrainedModel:
    """A model with fewer heads and weights that mean nothing yet.

    Args:
        config: The configuration of the whole model.
        kept: The heads that stay.
        mode: What stands for the removed ones.
        name: The model as the user named it.

    Raises:
        HeadscopeError: Heads of this family are not removed.
    """
    parts = parts_of(config, name)
    head = head_claimed(config)
    auto: Any = encoder_class(config) if head is None else head.auto
    with (
        refusing(f"no model can be built from the config.json of {name!r}", "correct it"),
        torch.random.fork_rng(devices=[]),
    ):
        hf: Any = auto.from_config(config, dtype=torch.float32, trust_remote_code=False)
    heads = int(text_config(config).num_attention_heads)
    for layer, stay in zip(encoder_layers(hf), kept, strict=True):
        if len(stay) == heads:
            continue
        attention = layer.get_submodule(parts.attention)
        output: Any = layer.get_submodule(parts.output)
        reduced = ReducedAttention(attention, output, parts, stay, heads, mode)
        layer.set_submodule(parts.attention, reduced)
        if not parts.own_output:
            # The reduced attention has projected already.
            layer.set_submodule(parts.output, nn.Identity())
    hf.eval()
    built: PreTrainedModel = hf
    return built
