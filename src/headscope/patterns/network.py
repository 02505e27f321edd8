"""The classifier: a committee of small networks over what is known of a map's rows (`profiles`)."""

import math
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headscope.names import CLASSES
from headscope.patterns.map_features import FEATURES

MEMBERS, SIZES = 5, (FEATURES, 64, 32, len(CLASSES))
_DROPOUT = 0.3


class PatternNet(nn.Module):
    """Features of maps -> log-probabilities of the classes: the mean probability of five networks
    with two hidden layers and ReLU that differ in their first weights and their dropout. They run
    side by side as one product.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(FEATURES))
        self.register_buffer("scale", torch.ones(FEATURES))
        pairs = list(pairwise(SIZES))
        bounds = [1 / math.sqrt(a) for a, _ in pairs]
        self.weights = nn.ParameterList(
            torch.empty(MEMBERS, a, b).uniform_(-k, k)
            for (a, b), k in zip(pairs, bounds, strict=True)
        )
        self.biases = nn.ParameterList(
            torch.empty(MEMBERS, 1, b).uniform_(-k, k)
            for (_, b), k in zip(pairs, bounds, strict=True)
        )

    def members(self, features: Float[Tensor, "map feature"]) -> Float[Tensor, "member map class"]:
        """The logits of every member."""
        x = ((features - self.mean) / self.scale).expand(MEMBERS, *features.shape)
        for at, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias, x, weight)
            if at < len(SIZES) - 2:
                x = nn.functional.dropout(
                    torch.relu(x), _DROPOUT if at == 0 else 0.0, self.training
                )
        return x

    def forward(self, features: Float[Tensor, "map feature"]) -> Float[Tensor, "map class"]:
        """The log-probabilities of the classes."""
        return self.members(features).softmax(-1).mean(0).clamp_min(1e-9).log()
