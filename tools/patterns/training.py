"""Train the classifier on annotated maps. Deterministic: the same maps, labels and seed give the
same weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from headscope.names import CLASSES
from headscope.patterns.map_features import Frame, features
from headscope.patterns.network import MEMBERS, PatternNet
from headscope.progress import Advance, silent
from patterns.synthetic import synthetic_set

EPOCHS, BATCH, RATE = 60, 64, 3e-3
SYNTHETIC_PER_CLASS, SYNTHETIC_WEIGHT, SYNTHETIC_LENGTHS = 300, 0.3, (5, 512)


@dataclass(frozen=True)
class Examples:
    """Maps as features, as they are and read backwards, with their classes (indices) and weights in
    the loss.
    """

    features: Float[Tensor, "map feature"]
    mirrored: Float[Tensor, "map feature"]
    labels: Int[Tensor, "map"]
    weights: Float[Tensor, "map"]

    def take(self, rows: npt.NDArray[np.int64]) -> "Examples":
        """The examples with these indices."""
        at = torch.from_numpy(rows)
        return Examples(self.features[at], self.mirrored[at], self.labels[at], self.weights[at])

    def __add__(self, other: "Examples") -> "Examples":
        return Examples(
            *(torch.cat([getattr(self, f.name), getattr(other, f.name)]) for f in fields(self))
        )


Map = tuple[Float[np.ndarray, "_ _"], Sequence[bool], Sequence[int], str]
"""Weights, which tokens are special, which text they belong to, and the class."""


def features_of(
    weights: Float[np.ndarray, "query key"], special: Sequence[bool], segments: Sequence[int]
) -> Float[Tensor, "feature"]:
    """The features of one map."""
    real = torch.ones(1, len(segments), dtype=torch.bool)
    frame = Frame.of(real, torch.tensor([list(special)]), torch.tensor([list(segments)]))
    return features(torch.from_numpy(np.array(weights, np.float32))[None, None], frame)[0, 0]


def examples_of(maps: Sequence[Map], weight: float = 1.0) -> Examples:
    """What is trained on. A map read backwards, last token first, keeps its class, and helps as a
    second view.
    """
    mirrored = [
        features_of(w[::-1, ::-1], list(special)[::-1], [max(segments) - s for s in segments][::-1])
        for w, special, segments, _ in maps
    ]
    return Examples(
        torch.stack([features_of(w, special, segments) for w, special, segments, _ in maps]),
        torch.stack(mirrored),
        torch.tensor([CLASSES.index(label) for *_, label in maps]),
        torch.full((len(maps),), weight),
    )


def synthetic_examples(seed: int, per_class: int = SYNTHETIC_PER_CLASS) -> Examples:
    """Synthetic maps to train on beside the real ones."""
    made = synthetic_set(per_class, SYNTHETIC_LENGTHS, seed)
    return examples_of(
        [(m.weights, m.special, m.segments, m.label) for m in made], SYNTHETIC_WEIGHT
    )


def train(
    examples: Examples, seed: int, *, epochs: int = EPOCHS, advance: Advance = silent
) -> PatternNet:
    """A classifier trained on the examples: cross entropy with rare classes weighted up, AdamW, one
    cycle of the rate.

    The number of epochs is fixed beforehand: no score chooses it.
    """
    torch.manual_seed(seed)
    net = PatternNet()
    with torch.no_grad():
        net.mean.copy_(examples.features.mean(0))
        net.scale.copy_(examples.features.std(0) + 0.02)
    counts = (
        torch.bincount(examples.labels[examples.weights == 1.0], minlength=len(CLASSES))
        .clamp_min(1)
        .float()
    )
    weights = examples.weights * ((counts.mean() / counts) ** 0.5)[examples.labels]
    rng = np.random.default_rng(seed)
    count = len(examples.labels)
    steps = epochs * -(-count // BATCH)
    optimiser = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, RATE, total_steps=steps, pct_start=0.2
    )
    net.train()
    for _ in range(epochs):
        order = rng.permutation(count)
        for start in range(0, count, BATCH):
            at = torch.from_numpy(order[start : start + BATCH])
            flip = torch.from_numpy(rng.random(len(at)) < 0.5)[:, None]
            logits = net.members(torch.where(flip, examples.mirrored[at], examples.features[at]))
            losses = nn.functional.cross_entropy(
                logits.flatten(0, 1),
                examples.labels[at].repeat(MEMBERS),
                reduction="none",
                label_smoothing=0.05,
            )
            optimiser.zero_grad()
            (losses.view(MEMBERS, -1) * weights[at]).mean(1).sum().backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
        advance(1)
    return net.eval()
