"""What the classifier of patterns has to beat: a rule of thumb, gradient boosting on its features,
the paper's CNN.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import nn

from headscope.annotation.records import AnnotatedMap
from headscope.model.precision import training_autocast
from headscope.names import (
    BLOCK,
    CLASSES,
    DIAGONAL,
    HETEROGENEOUS,
    VERTICAL,
    VERTICAL_DIAGONAL,
)
from patterns.evaluation import Predict, Rows, macro_f1

LARGEST = 128
Features = Float[np.ndarray, "map feature"]


def features(maps: Sequence[AnnotatedMap]) -> Features:
    """What people go by, as numbers: the mass in special and in the strongest columns, in the
    diagonal band, on words of the own text, and how even each is over the rows.
    """
    return np.stack([_features(annotated) for annotated in maps])


def _features(annotated: AnnotatedMap) -> npt.NDArray[np.float64]:
    weights = annotated.weights.astype(np.float64)
    n = len(weights)
    special, text = np.array(annotated.special), np.array(annotated.segments)
    position = np.arange(n)
    received = weights.mean(0)
    strongest = np.argsort(-received)[: max(1, min(4, round(n / 5)))]
    stripes = weights[:, strongest].sum(1)
    is_near = np.abs(position[None] - position[:, None]) <= 1
    band = np.where(is_near, weights, 0).sum(1)
    on_crest = np.abs(weights.argmax(1) - position) <= 1
    best_offset = max(float(np.diagonal(weights, offset).sum()) / n for offset in (-1, 0, 1))
    on_words = weights[np.ix_(~special, ~special)]
    same_text = np.equal.outer(text[~special], text[~special])
    inside = np.where(same_text, on_words, 0).sum() if annotated.is_pair else 0.0
    entropy = -(weights * np.log(np.maximum(weights, 1e-12))).sum(1)
    numbers = [
        weights[:, special].sum() / n,
        stripes.mean(),
        np.quantile(stripes, 0.25),
        band.mean(),
        np.quantile(band, 0.25),
        on_crest.mean(),
        best_offset,
        inside / max(on_words.sum(), 1e-9),
        inside / n,
        *np.sort(received)[::-1][:4],
        weights.max(1).mean(),
        entropy.mean() / np.log(n),
        np.log(n),
        float(annotated.is_pair),
    ]
    return np.array(numbers)


SPECIAL, STRIPES, BAND, INSIDE, INSIDE_MASS = 0, 1, 3, 7, 8
"""The places of some of the numbers."""


@dataclass(frozen=True)
class Thresholds:
    """The masses at which the rule of thumb sees something, as fractions.

    Attributes:
        stripe: In columns, for vertical.
        band: In the diagonal band, for diagonal.
        both: In columns and in the band, for vertical+diagonal.
        block: On words of the own text, of all mass on words, for block.
        column: Which columns count: `SPECIAL` or `STRIPES`.
    """

    stripe: float
    band: float
    both: float
    block: float
    column: int


_GRID = [
    Thresholds(*values)
    for values in itertools.product(
        (0.35, 0.4, 0.45, 0.5, 0.6),
        (0.3, 0.4, 0.5),
        (0.15, 0.2, 0.25, 0.3),
        (0.7, 0.8, 0.9),
        (SPECIAL, STRIPES),
    )
]


def by_rule(x: Features, at: Thresholds) -> Rows:
    """The rule of thumb: the mass in columns, in the band and inside the own text, each against a
    threshold.
    """
    columns, band = x[:, at.column], x[:, BAND]
    # Later rules win over earlier ones.
    out = np.full(len(x), CLASSES.index(HETEROGENEOUS))
    out[(x[:, INSIDE] >= at.block) & (x[:, INSIDE_MASS] >= 0.5)] = CLASSES.index(BLOCK)
    out[columns >= at.stripe] = CLASSES.index(VERTICAL)
    out[band >= at.band] = CLASSES.index(DIAGONAL)
    has_both = (band >= at.both) & (columns >= at.both) & (band + columns >= at.stripe)
    out[has_both] = CLASSES.index(VERTICAL_DIAGONAL)
    return out


def rule(x: Features, labels: Rows) -> Predict:
    """The rule of thumb, its thresholds the best on the rows that it may learn from."""

    def predict(learn: Rows, rows: Rows) -> Rows:
        best = max(_GRID, key=lambda at: macro_f1(labels[learn], by_rule(x[learn], at)))
        return by_rule(x[rows], best)

    return predict


def boosting(x: Features, labels: Rows) -> Predict:
    """Gradient boosting on the same numbers."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    def predict(learn: Rows, rows: Rows) -> Rows:
        model = HistGradientBoostingClassifier(
            max_iter=150,
            learning_rate=0.06,
            max_leaf_nodes=8,
            min_samples_leaf=8,
            class_weight="balanced",
            random_state=0,
        )
        return np.asarray(model.fit(x[learn], labels[learn]).predict(x[rows]))

    return predict


class PublishedNet(nn.Sequential):
    """The network published with Prasanna et al. (2020): see docs/patterns.md."""

    def __init__(self) -> None:
        layers: list[nn.Module] = []
        for block, (a, b) in enumerate(((1, 16), (16, 32), (32, 64))):
            layers += [
                nn.Conv2d(a, b, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(b, b, 3, padding=1),
                nn.ReLU(),
            ]
            layers += [nn.MaxPool2d(2)] if block < 2 else []
        layers += [
            nn.Conv2d(64, 16, 1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(16, len(CLASSES), 1),
            nn.Flatten(),
        ]
        super().__init__(*layers)


def published(maps: Sequence[AnnotatedMap], labels: Rows, epochs: int) -> Predict:
    """That network as published: raw maps, zero-padded centred, Adam 1e-3, batches of 64, no choice
    of epoch.

    Channels last and bfloat16 where the processor has it: about four times faster than the plain
    form.
    """
    x = torch.zeros(len(maps), 1, LARGEST, LARGEST).contiguous(memory_format=torch.channels_last)
    for row, annotated in enumerate(maps):
        n = len(annotated.segments)
        start = (LARGEST - n) // 2
        inner = slice(start, start + n)
        x[row, 0, inner, inner] = torch.from_numpy(np.array(annotated.weights))
    y = torch.from_numpy(labels)

    def predict(learn: Rows, rows: Rows) -> Rows:
        torch.manual_seed(0)
        net = PublishedNet().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimiser = torch.optim.Adam(net.parameters(), 1e-3)
        rng = np.random.default_rng(0)
        for _ in range(epochs):
            order = rng.permutation(learn)
            for start in range(0, len(order), 64):
                batch = order[start : start + 64]
                with training_autocast("auto", x.device):
                    logits = net(x[batch])
                loss = nn.functional.cross_entropy(logits.float(), y[batch])
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
        with torch.inference_mode():
            classes = [
                net(x[batch]).argmax(-1) for batch in np.split(rows, range(64, len(rows), 64))
            ]
        return np.asarray(torch.cat(classes))

    return predict
