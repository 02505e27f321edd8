"""A BERT-structured classifier by its own modules: one layer at a time, and only the rows that are
asked for.

What is called are Hugging Face's submodules with their weights and functions; what is added is the
order of calls. Whether that order is the model's own is checked in `variants.known` on the data at
hand.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from headscope.errors import InterventionError
from headscope.model.attention import Call, Edit, Mode
from headscope.model.families import family_of
from headscope.model.model import Model
from headscope.model.projections import split


def _has(module: Any, path: str) -> bool:
    return all((module := getattr(module, name, None)) is not None for name in path.split("."))


class Heads(NamedTuple):
    """What the heads of a layer put out, [batch, query, head, d], and what each would put out if it
    were disabled.
    """

    output: Tensor
    disabled: Callable[[], Tensor]


class Encoder:
    """The layers of a model for which `fits` holds, and its classification head. Layers count from
    0.
    """

    def __init__(self, model: Model) -> None:
        base: Any = model.hf.base_model
        self.model, self.base = model, base
        self.layers: list[Any] = list(base.encoder.layer)
        self.all_heads = torch.arange(model.heads, device=model.hf.device)

    @staticmethod
    def fits(model: Model) -> bool:
        """Whether the model has the parts of BERT: embeddings, a list of layers with the parts that
        its family names, a classifier.
        """
        parts = family_of(model.family).layer_parts
        base: Any = model.hf.base_model
        layers = getattr(getattr(base, "encoder", None), "layer", None)
        return (
            model.has_head
            and isinstance(layers, nn.ModuleList)
            and len(layers) == model.layers
            and bool(parts)
            and all(_has(layer, part) for layer in layers for part in parts)
            and _has(base, "embeddings")
            and _has(model.hf, "classifier")
        )

    def enter(self, inputs: dict[str, Tensor]) -> Float[Tensor, "batch token hidden"]:
        """What enters the first layer."""
        states = self.base.embeddings(
            **{name: given for name, given in inputs.items() if name != "attention_mask"}
        )
        project = getattr(self.base, "embeddings_project", None)
        entered: Tensor = states if project is None else project(states)
        return entered

    def heads(
        self,
        layer: int,
        states: Float[Tensor, "batch token hidden"],
        real: Bool[Tensor, "batch token"],
        mode: Mode,
        *,
        first: bool = False,
    ) -> Heads:
        """The attention of a layer; with `first` for the first token only, and then without keys
        and values.
        """
        if first:
            return self._first(layer, states, real, mode)
        module = self.layers[layer].attention.self
        query, key, value = (
            linear(states).unflatten(-1, (self.model.heads, -1)).transpose(1, 2)
            for linear in (module.query, module.key, module.value)
        )
        mask = None if bool(real.all()) else real[:, None, None]
        call = Call(
            module,
            layer,
            query,
            key,
            value,
            mask,
            real,
            {"scaling": module.scaling, "dropout": 0.0},
        )
        edit = Edit({}, mode, self.model.means)
        return Heads(
            call.output, lambda: edit.replacement(call, self.all_heads).expand_as(call.output)
        )

    def _first(
        self,
        layer: int,
        states: Float[Tensor, "batch token hidden"],
        real: Bool[Tensor, "batch token"],
        mode: Mode,
    ) -> Heads:
        """One query meets all tokens, so its projections are moved: q (K x + b) is (q K) x + qb,
        with qb the same for all keys, and a sum of values with weights that sum to 1 is the value
        of the sum.
        """
        module = self.layers[layer].attention.self
        query = module.query(states[:, 0]).unflatten(-1, (self.model.heads, -1)).transpose(0, 1)
        key = module.key.weight.unflatten(0, (self.model.heads, -1))
        value = module.value.weight.unflatten(0, (self.model.heads, -1))
        bias = (
            0.0
            if module.value.bias is None
            else module.value.bias.unflatten(0, (self.model.heads, -1))
        )
        scores = (query @ key).transpose(0, 1) @ states.mT * module.scaling
        weights = scores.masked_fill(~real[:, None], -torch.inf).softmax(-1)
        output = ((weights @ states).transpose(0, 1) @ value.mT).transpose(0, 1) + bias

        def disabled() -> Tensor:
            if mode == "zero":
                return torch.zeros_like(output)
            if mode == "mean":
                if self.model.means is None:
                    raise InterventionError(
                        "the mode mean needs the heads' mean outputs: call model.measure_means"
                    )
                return self.model.means[layer].to(output).expand_as(output)
            share = real.to(states.dtype) / real.sum(1, keepdim=True)
            mean: Tensor = module.value((share[:, None] @ states)[:, 0])
            return mean.view(len(mean), self.model.heads, -1)

        return Heads(output[:, None], lambda: disabled()[:, None])

    def project(
        self,
        layer: int,
        output: Float[Tensor, "batch query head d"],
        states: Float[Tensor, "batch token hidden"],
    ) -> Float[Tensor, "batch query hidden"]:
        """The heads' outputs, projected and added to what entered the layer."""
        projected: Tensor = self.layers[layer].attention.output.dense(output.flatten(-2))
        return projected + states[:, : output.shape[1]]

    def projections(self, layer: int) -> Float[Tensor, "head d hidden"]:
        """The output projection of a layer by head."""
        return split(self.layers[layer].attention.output.dense, self.model.heads).permute(1, 2, 0)

    def close(
        self, layer: int, attended: Float[Tensor, "batch query hidden"]
    ) -> Float[Tensor, "batch query hidden"]:
        """What comes after attention: its normalisation and the feed-forward part."""
        module = self.layers[layer]
        closed: Tensor = module.feed_forward_chunk(module.attention.output.LayerNorm(attended))
        return closed

    def run(
        self,
        layer: int,
        states: Float[Tensor, "batch token hidden"],
        real: Bool[Tensor, "batch token"],
    ) -> Float[Tensor, "batch token hidden"]:
        """One whole layer, nothing disabled."""
        output = self.heads(layer, states, real, "zero").output
        return self.close(layer, self.project(layer, output, states))

    def classify(
        self, states: Float[Tensor, "batch query hidden"]
    ) -> Float[Tensor, "batch output"]:
        """The classification head, which reads the first token."""
        hf: Any = self.model.hf
        if getattr(self.base, "pooler", None) is None:
            logits: Tensor = hf.classifier(states)
            return logits
        pooled: Tensor = hf.classifier(hf.dropout(self.base.pooler(states)))
        return pooled
