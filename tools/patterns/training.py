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

EPOCHS, BATCH, RATE = 60, 64, 3e-3
SYNTHETIC_PER_CLASS, SYNTHETIC_WEIGHT, SYNTHETIC_LENGTHS = 300, 0.3, (5, 512)


@dataclass(frozen=True)
class Examples:
    """Maps to learn from.

    Attributes:
        features: The maps' features.
        mirrored: Those of the maps read backwards.
        labels: Their classes, as indices in `CLASSES`.
        weights: Their weights in the loss.
    """

    features: Float[Tensor, "map feature"]
    mirrored: Float[Tensor, "map feature"]
    labels: Int[Tensor, "map"]
    weights: Float[Tensor, "map"]

    def take(self, rows: npt.NDArray[np.int64]) -> "Examples":
        """The examples with these row numbers."""
        index = torch.from_numpy(rows)
        return Examples(
            self.features[index], self.mirrored[index], self.labels[index], self.weights[index]
        )

    def __add__(self, other: "Examples") -> "Examples":
        return Examples(
            torch.cat([self.features, other.features]),
            torch.cat([self.mirrored, other.mirrored]),
            torch.cat([self.labels, other.labels]),
            torch.cat([self.weights, other.weights]),
        )


def features_of(labelled: LabelledMap) -> Float[Tensor, "feature"]:
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


def examples_of(maps: Sequence[LabelledMap], weight: float = 1.0) -> Examples:
    """The features of maps, all with the same weight in the loss."""
    return Examples(
        features=torch.stack([features_of(labelled) for labelled in maps]),
        mirrored=torch.stack([features_of(backwards(labelled)) for labelled in maps]),
        labels=torch.tensor([CLASSES.index(labelled.label) for labelled in maps]),
        weights=torch.full((len(maps),), weight),
    )


def synthetic_examples(seed: int, per_class: int = SYNTHETIC_PER_CLASS) -> Examples:
    """Synthetic maps to train on beside the real ones."""
    made = synthetic_set(per_class, SYNTHETIC_LENGTHS, seed)
    return examples_of(made, SYNTHETIC_WEIGHT)


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
    # How rare a class is, by the annotated maps alone: those of weight 1.
    annotated = examples.labels[examples.weights == 1.0]
    counts = torch.bincount(annotated, minlength=len(CLASSES)).clamp_min(1).float()
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
            rows = torch.from_numpy(order[start : start + BATCH])
            flip = torch.from_numpy(rng.random(len(rows)) < 0.5)[:, None]
            batch = torch.where(flip, examples.mirrored[rows], examples.features[rows])
            # [member, map, class]
            logits = net.members(batch)
            losses = nn.functional.cross_entropy(
                logits.flatten(0, 1),
                examples.labels[rows].repeat(MEMBERS),
                reduction="none",
                label_smoothing=0.05,
            )
            loss = (losses.view(MEMBERS, -1) * weights[rows]).mean(1).sum()
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
        advance(1)
    return net.eval()
