"""The classifier: a committee of small networks over what is known of a map's rows."""

import math
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headscope.names import CLASSES
from headscope.patterns.map_features import FEATURES

MEMBERS = 5
SIZES = (FEATURES, 64, 32, len(CLASSES))
_DROPOUT = 0.5


class PatternNet(nn.Module):
    """Features of maps -> log-probabilities of the classes.

    The mean probability of five networks with two hidden layers and ReLU that differ in their first
    weights and their dropout. They run side by side as one product.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(FEATURES))
        self.register_buffer("scale", torch.ones(FEATURES))
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        # Drawn as by nn.Linear; all weights first, which the shipped training depends on.
        for inputs, outputs in pairwise(SIZES):
            self.weights.append(_uniform(inputs, MEMBERS, inputs, outputs))
        for inputs, outputs in pairwise(SIZES):
            self.biases.append(_uniform(inputs, MEMBERS, 1, outputs))

    def members(self, features: Float[Tensor, "map feature"]) -> Float[Tensor, "member map class"]:
        """The logits of every member."""
        x = ((features - self.mean) / self.scale).expand(MEMBERS, *features.shape)
        last = len(SIZES) - 2
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias, x, weight)
            if layer < last:
                rate = _DROPOUT if layer == 0 else 0.0
                x = nn.functional.dropout(torch.relu(x), rate, self.training)
        return x

    def forward(self, features: Float[Tensor, "map feature"]) -> Float[Tensor, "map class"]:
        """The log-probabilities of the classes."""
        return self.members(features).softmax(-1).mean(0).clamp_min(1e-9).log()


def _uniform(inputs: int, *shape: int) -> Tensor:
    bound = 1 / math.sqrt(inputs)
    return torch.empty(*shape).uniform_(-bound, bound)
