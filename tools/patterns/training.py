"""Train the classifier on annotated maps. Deterministic: the same maps, labels and seed give the
same weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from headscope.names import CLASSES
from headscope.patterns.map_features import Frame, features
from headscope.patterns.network import MEMBERS, PatternNet
from headscope.progress import Advance, silent
from patterns.synthetic import LabelledMap, synthetic_set

EPOCHS, BATCH, RATE, NOISE = 30, 64, 3e-3, 0.2
"""The noise is normal and added to the standardised features of every batch."""
SYNTHETIC_PER_CLASS, SYNTHETIC_WEIGHT, SYNTHETIC_LENGTHS = 300, 0.2, (5, 512)
VOTES = 0.6
"""How much of what is learned is what the blind passes said; the rest is the settled label."""


@dataclass(frozen=True)
class Examples:
    """Maps to learn from.

    Attributes:
        features: The maps' features.
        mirrored: Those of the maps read backwards.
        targets: The probability of each class that is to be learned.
        weights: Their weights in the loss.
    """

    features: Float[Tensor, "map feature"]
    mirrored: Float[Tensor, "map feature"]
    targets: Float[Tensor, "map class"]
    weights: Float[Tensor, "map"]

    def take(self, rows: npt.NDArray[np.int64]) -> "Examples":
        """The examples with these row numbers."""
        index = torch.from_numpy(rows)
        return Examples(
            self.features[index], self.mirrored[index], self.targets[index], self.weights[index]
        )

    def __add__(self, other: "Examples") -> "Examples":
        return Examples(
            torch.cat([self.features, other.features]),
            torch.cat([self.mirrored, other.mirrored]),
            torch.cat([self.targets, other.targets]),
            torch.cat([self.weights, other.weights]),
        )


def features_of(labelled: LabelledMap) -> Float[Tensor, " feature"]:
    """What the classifier sees of a map."""
    real = torch.ones(1, len(labelled.segments), dtype=torch.bool)
    frame = Frame.of(real, torch.tensor([labelled.special]), torch.tensor([labelled.segments]))
    maps = torch.from_numpy(np.array(labelled.weights, np.float32))[None, None]
    return features(maps, frame)[0, 0]


def backwards(labelled: LabelledMap) -> LabelledMap:
    """The map read last token first, which keeps its class."""
    last = max(labelled.segments)
    segments = tuple(last - segment for segment in reversed(labelled.segments))
    return LabelledMap(
        labelled.weights[::-1, ::-1], labelled.special[::-1], segments, labelled.label
    )


def targets_of(
    labels: Int[np.ndarray, "map"], votes: Float[np.ndarray, "map class"]
) -> Float[Tensor, "map class"]:
    """What is learned of maps: the settled label and the shares of the votes, so that a threshold
    between two classes is as soft as the annotators' own.

    Args:
        labels: The settled classes, as indices in `CLASSES`.
        votes: How often each class was said of every map in the blind passes.
    """
    shares = votes / votes.sum(1, keepdims=True)
    settled = np.eye(len(CLASSES))[labels]
    return torch.from_numpy((1 - VOTES) * settled + VOTES * shares).float()


def examples_of(
    maps: Sequence[LabelledMap],
    weight: float = 1.0,
    targets: Float[Tensor, "map class"] | None = None,
) -> Examples:
    """The features of maps, all with the same weight in the loss.

    Args:
        maps: The maps.
        weight: The weight of each.
        targets: The probabilities of their classes; 1 for the label where it is not given.
    """
    labels = torch.tensor([CLASSES.index(labelled.label) for labelled in maps])
    return Examples(
        features=torch.stack([features_of(labelled) for labelled in maps]),
        mirrored=torch.stack([features_of(backwards(labelled)) for labelled in maps]),
        targets=torch.eye(len(CLASSES))[labels] if targets is None else targets,
        weights=torch.full((len(maps),), weight),
    )


def synthetic_examples(seed: int, per_class: int = SYNTHETIC_PER_CLASS) -> Examples:
    """Synthetic maps to train on beside the real ones."""
    made = synthetic_set(per_class, SYNTHETIC_LENGTHS, seed)
    return examples_of(made, SYNTHETIC_WEIGHT)


def train(
    examples: Examples, seed: int, *, epochs: int = EPOCHS, advance: Advance = silent
) -> PatternNet:
    """A classifier trained on the examples: cross entropy, AdamW, one cycle of the rate.

    Classes are not weighted: the probabilities are to be those of maps like these.
    """
    torch.manual_seed(seed)
    net = PatternNet()
    with torch.no_grad():
        net.mean.copy_(examples.features.mean(0))
        net.scale.copy_(examples.features.std(0) + 0.02)
    rng = np.random.default_rng(seed)
    count = len(examples.targets)
    steps = epochs * -(-count // BATCH)
    optimiser = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, RATE, total_steps=steps, pct_start=0.2
    )
    net.train()
    for _ in range(epochs):
        order = rng.permutation(count)
        for start in range(0, count, BATCH):
            rows = torch.from_numpy(order[start : start + BATCH])
            flip = torch.from_numpy(rng.random(len(rows)) < 0.5)[:, None]
            batch = torch.where(flip, examples.mirrored[rows], examples.features[rows])
            batch = batch + NOISE * net.scale * torch.randn_like(batch)
            # [member, map, class]
            logits = net.members(batch)
            losses = nn.functional.cross_entropy(
                logits.flatten(0, 1),
                examples.targets[rows].repeat(MEMBERS, 1),
                reduction="none",
                label_smoothing=0.05,
            )
            loss = (losses.view(MEMBERS, -1) * examples.weights[rows]).mean(1).sum()
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
        advance(1)
    return net.eval()
