"""A copy of a model without some of its heads: the weights of those that stay, and what stands for
the others.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel

from headscope.model.model import Model
from headscope.model.reduced import (
    AttentionParts,
    ReducedAttention,
    build,
    encoder_layers,
    parts_of,
)
from headscope.model.removal import Removal


def plain_config(hf: PreTrainedModel) -> PretrainedConfig:
    """A copy of a model's configuration that says nothing of how the model is run."""
    config = type(hf.config).from_dict(hf.config.to_dict())
    config.architectures = [type(hf).__name__]
    return config


def reduced_copy(model: Model, removal: Removal) -> PreTrainedModel:
    """A model without the heads of `removal` and with the outputs of `removal.applied`.

    Args:
        model: The whole model; its weights as they are now are taken.
        removal: What is removed.

    Raises:
        HeadscopeError: Heads of this family are not removed.
    """
    parts = parts_of(model.hf.config, model.name)
    kept = removal.kept(model.layers, model.heads)
    config = plain_config(model.hf)
    reduced = build(config, kept, removal.mode, model.name)
    whole = {name: tensor.detach().cpu() for name, tensor in model.hf.state_dict().items()}
    missing, _ = reduced.load_state_dict(whole, strict=False)
    layers = zip(encoder_layers(model.hf), encoder_layers(reduced), strict=True)
    filled: set[int] = set()
    for index, (layer, small) in enumerate(layers):
        target = small.get_submodule(parts.attention)
        if isinstance(target, ReducedAttention):
            source = _Source(layer, parts, model.heads)
            _fill(target, source, parts, removal, index)
            filled |= {id(tensor) for tensor in target.state_dict(keep_vars=True).values()}
    own = reduced.state_dict(keep_vars=True)
    lacking = [name for name in missing if id(own[name]) not in filled]
    # The encoder of a classifier may have no pooler, and its states need none: this one puts out
    # zeros, as in the checkpoint full.
    for name in [name for name in lacking if name.startswith("pooler.")]:
        nn.init.zeros_(own[name])
        lacking.remove(name)
    if lacking:
        raise RuntimeError(f"no weights were given to {', '.join(lacking)}")
    nn.Module.to(reduced, model.hf.device)
    return reduced


class _Source:
    """The weights of a whole layer's attention, by head, in double precision.

    Attributes:
        weights: Those of queries, keys and values, [3, head, d, hidden].
        biases: Their biases, [3, head, d]; None if there are none.
        output: The output projection, [hidden, head, d].
        bias: Its bias, [hidden]; zeros if it has none.
    """

    def __init__(self, layer: nn.Module, parts: AttentionParts, heads: int) -> None:
        attention = layer.get_submodule(parts.attention)
        linears = [attention.get_submodule(name) for name in parts.projections]
        weights = torch.cat([_double(linear.weight) for linear in linears])
        self.weights = weights.view(3, heads, -1, weights.shape[-1])
        self.biases: Tensor | None = None
        if linears[0].bias is not None:
            biases = torch.cat([_double(linear.bias) for linear in linears])
            self.biases = biases.view(3, heads, -1)
        output = layer.get_submodule(parts.output)
        weight = _double(output.weight)
        self.output = weight.view(len(weight), heads, -1)
        bias = output.bias
        self.bias = torch.zeros_like(weight[:, 0]) if bias is None else _double(bias)


def _double(tensor: object) -> Tensor:
    assert isinstance(tensor, Tensor)  # noqa: S101 - for the types: modules have untyped members
    return tensor.detach().cpu().double()


def replacement(source: _Source, removal: Removal, layer: int) -> Float[Tensor, " hidden"]:
    """The constant that the removed heads of a layer add to its output."""
    removed = [head.index[1] for head in sorted(removal.heads) if head.index[0] == layer]
    output = source.output[:, removed]  # [hidden, removed, d]
    if removal.mode == "mean" and removal.means is not None:
        means = _double(removal.means[layer, removed])
        return torch.einsum("ohd,hd->o", output, means)
    if removal.mode == "uniform" and source.biases is not None:
        return torch.einsum("ohd,hd->o", output, source.biases[2, removed])
    return torch.zeros_like(source.bias)


@torch.no_grad()
def _fill(
    target: ReducedAttention, source: _Source, parts: AttentionParts, removal: Removal, layer: int
) -> None:
    """Give a reduced attention its weights."""
    kept = target.kept
    constant = source.bias + replacement(source, removal, layer)
    if target.heads is None:
        target.constant.copy_(constant)
    else:
        linears: list[Any] = [target.heads.get_submodule(name) for name in parts.projections]
        weights = source.weights[:, kept].flatten(0, 2).chunk(len(linears))
        for linear, weight in zip(linears, weights, strict=True):
            linear.weight.copy_(weight)
        if source.biases is not None:
            biases = source.biases[:, kept].flatten().chunk(len(linears))
            for linear, bias in zip(linears, biases, strict=True):
                linear.bias.copy_(bias)
        output: Any = target.output or target.heads.get_submodule(parts.own_output)
        output.weight.copy_(source.output[:, kept].flatten(1))
        output.bias.copy_(constant)
    if target.uniform is not None:
        removed = [head.index[1] for head in sorted(removal.heads) if head.index[0] == layer]
        values = source.weights[2, removed].flatten(0, 1)  # [removed * d, hidden]
        projection = source.output[:, removed].flatten(1)  # [hidden, removed * d]
        # One matrix, or two.
        factors = [projection @ values]
        if isinstance(target.uniform, nn.Sequential):
            factors = [values, projection]
        for weight, factor in zip(target.uniform.parameters(), factors, strict=True):
            weight.copy_(factor)
