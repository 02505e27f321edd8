"""A BERT-structured classifier by its own modules: one layer at a time, and only the rows that are
asked for.

What is called are Hugging Face's submodules with their weights and functions; what is added is the
order of calls. Whether that order is the model's own is checked on the data at hand, by
`stacked.difference_from_model`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from headscope.errors import InterventionError
from headscope.model.attention import ScoredCall
from headscope.model.families import family_of
from headscope.model.model import Model
from headscope.model.projections import split
from headscope.model.tap import Edit, Mode


def _has(module: Any, path: str) -> bool:
    for name in path.split("."):
        module = getattr(module, name, None)
    return module is not None


@dataclass(frozen=True)
class HeadOutputs:
    """What the heads of a layer put out, and what each would put out if it were disabled.

    Attributes:
        output: [batch, query, head, d].
        disabled: Computes the same when it is called, each head disabled by itself.
    """

    output: Tensor
    disabled: Callable[[], Tensor]


class BertLayers:
    """The layers of a model for which `fits` holds, and its classification head.

    Layers count from 0.
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
        columns = {name: column for name, column in inputs.items() if name != "attention_mask"}
        states = self.base.embeddings(**columns)
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
        first_token: bool = False,
    ) -> HeadOutputs:
        """The attention of a layer: for all tokens, or for the first one as the only query."""
        if first_token:
            return self._first_token(layer, states, real, mode)
        module = self.layers[layer].attention.self
        query = self._by_head(module.query(states))
        key = self._by_head(module.key(states))
        value = self._by_head(module.value(states))
        mask = None if bool(real.all()) else real[:, None, None]
        # Without a mask transformers' SDPA takes a module that does not say otherwise as causal.
        options = {"scaling": module.scaling, "dropout": 0.0, "is_causal": False}
        call = ScoredCall(module, layer, query, key, value, mask, real, options)
        edit = Edit({}, mode, self.model.means)

        def disabled() -> Tensor:
            return edit.replacement(call, self.all_heads).expand_as(call.output)

        return HeadOutputs(call.output, disabled)

    def _by_head(self, projected: Tensor) -> Float[Tensor, "batch head token d"]:
        by_head = projected.view(*projected.shape[:-1], self.model.heads, -1)
        return by_head.transpose(1, 2)

    def _first_token(
        self,
        layer: int,
        states: Float[Tensor, "batch token hidden"],
        real: Bool[Tensor, "batch token"],
        mode: Mode,
    ) -> HeadOutputs:
        """The attention of the first token, without keys and values of the others.

        One query meets all tokens, so its projections are moved: q (K x + b) is (q K) x + qb, with
        qb the same for all keys, and a sum of values with weights that sum to 1 is the value of the
        sum.
        """
        module = self.layers[layer].attention.self
        by_head = (self.model.heads, -1)
        query = module.query(states[:, 0]).unflatten(-1, by_head).transpose(0, 1)
        key = module.key.weight.unflatten(0, by_head)  # [head, d, hidden]
        value = module.value.weight.unflatten(0, by_head)
        bias = module.value.bias
        added = 0.0 if bias is None else bias.unflatten(0, by_head)  # [head, d]
        scores = (query @ key).transpose(0, 1) @ states.mT * module.scaling  # [batch, head, token]
        weights = scores.masked_fill(~real[:, None], -torch.inf).softmax(-1)
        attended = weights @ states  # [batch, head, hidden]
        output = (attended.transpose(0, 1) @ value.mT).transpose(0, 1) + added  # [batch, head, d]

        def disabled() -> Tensor:
            if mode == "zero":
                return torch.zeros_like(output)[:, None]
            if mode == "mean":
                if self.model.means is None:
                    raise InterventionError(
                        "the mode mean needs the heads' mean outputs: call model.measure_means"
                    )
                return self.model.means[layer].to(output).expand_as(output)[:, None]
            # Uniform attention puts out the mean of the values, which is the value of the mean.
            share = real.to(states.dtype) / real.sum(1, keepdim=True)
            mean: Tensor = module.value((share[:, None] @ states)[:, 0])
            return mean.view(len(mean), self.model.heads, -1)[:, None]

        return HeadOutputs(output[:, None], disabled)

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
        """What comes after attention: its normalisation and the feed-forward network."""
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
