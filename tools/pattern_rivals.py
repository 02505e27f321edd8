"""What the classifier of patterns has to beat: a rule of thumb, gradient boosting on its features,
the paper's CNN.
"""

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import nn

from headscope.annotation.records import AnnotatedMap
from headscope.model.precision import training_autocast
from headscope.names import CLASSES
from patterns.evaluation import Predict, confusion_counts, f1_scores

LARGEST = 128
Features = Float[np.ndarray, "map feature"]


def features(maps: Sequence[AnnotatedMap]) -> Features:
    """What people go by, as numbers: the mass in special and in the strongest columns, in the
    diagonal band, on words of the own text, and how even each is over the rows.
    """
    return np.stack([_features(one) for one in maps])


def _features(one: AnnotatedMap) -> npt.NDArray[np.float64]:
    weights = one.weights.astype(np.float64)
    n = len(weights)
    special, text = np.array(one.special), np.array(one.segments)
    offset = np.arange(n)[None] - np.arange(n)[:, None]
    band = np.where(np.abs(offset) <= 1, weights, 0).sum(1)
    columns = np.sort(weights.mean(0))[::-1]
    top = np.argsort(-weights.mean(0))[: max(1, min(4, round(n / 5)))]
    stripes = weights[:, top].sum(1)
    word = ~special
    both = weights[np.ix_(word, word)]
    inside = np.where(np.equal.outer(text[word], text[word]), both, 0).sum()
    crest = np.abs(weights.argmax(1) - np.arange(n)) <= 1
    best = max(float(np.diagonal(weights, o).sum()) / n for o in (-1, 0, 1))
    entropy = -(weights * np.log(np.maximum(weights, 1e-12))).sum(1)
    return np.array(
        [
            weights[:, special].sum() / n,
            stripes.mean(),
            np.quantile(stripes, 0.25),
            band.mean(),
            np.quantile(band, 0.25),
            crest.mean(),
            best,
            inside / max(both.sum(), 1e-9) if len(set(one.segments)) > 1 else 0.0,
            inside / n if len(set(one.segments)) > 1 else 0.0,
            *columns[:4],
            weights.max(1).mean(),
            entropy.mean() / np.log(n),
            np.log(n),
            float(len(set(one.segments)) > 1),
        ]
    )


SPECIAL, STRIPES, BAND, BEST, INSIDE, INSIDE_MASS = 0, 1, 3, 6, 7, 8


def by_rule(
    x: Features, stripe: float, band: float, both: float, block: float, column: int
) -> npt.NDArray[np.int64]:
    """The rule of thumb: the mass in columns, in the band and inside the own text, each against a
    threshold.
    """
    out = np.full(len(x), CLASSES.index("heterogeneous"))
    out[(x[:, INSIDE] >= block) & (x[:, INSIDE_MASS] >= 0.5)] = CLASSES.index("block")
    out[x[:, column] >= stripe] = CLASSES.index("vertical")
    out[x[:, BAND] >= band] = CLASSES.index("diagonal")
    mixed = (x[:, BAND] >= both) & (x[:, column] >= both) & (x[:, BAND] + x[:, column] >= stripe)
    out[mixed] = CLASSES.index("vertical+diagonal")
    return out


def rule(x: Features, labels: npt.NDArray[np.int64]) -> Predict:
    """The rule of thumb, its thresholds the best on the rows that it may learn from."""
    grid = list(
        itertools.product((0.35, 0.4, 0.45, 0.5, 0.6), (0.3, 0.4, 0.5), (0.15, 0.2, 0.25, 0.3), (0.7, 0.8, 0.9),
                          (SPECIAL, STRIPES))
    )  # fmt: skip

    def predict(learn: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        scores = [
            np.nanmean(f1_scores(confusion_counts(labels[learn], by_rule(x[learn], *g))))
            for g in grid
        ]
        return by_rule(x[rows], *grid[int(np.argmax(scores))])

    return predict


def boosting(x: Features, labels: npt.NDArray[np.int64]) -> Predict:
    """Gradient boosting on the same numbers."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    def predict(learn: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        model = HistGradientBoostingClassifier(
            max_iter=150, learning_rate=0.06, max_leaf_nodes=8, min_samples_leaf=8, class_weight="balanced",
            random_state=0,
        )  # fmt: skip
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


def published(maps: Sequence[AnnotatedMap], labels: npt.NDArray[np.int64], epochs: int) -> Predict:
    """That network as published: raw maps, zero-padded centred, Adam 1e-3, batches of 64, no choice
    of epoch.

    Channels last and bfloat16 where the processor has it: about four times faster than the plain
    form.
    """
    x = torch.zeros(len(maps), 1, LARGEST, LARGEST).contiguous(memory_format=torch.channels_last)
    for i, one in enumerate(maps):
        n = len(one.segments)
        at = (LARGEST - n) // 2
        x[i, 0, at : at + n, at : at + n] = torch.from_numpy(np.array(one.weights))
    y = torch.from_numpy(labels)

    def predict(learn: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        torch.manual_seed(0)
        net = PublishedNet().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimiser = torch.optim.Adam(net.parameters(), 1e-3)
        rng = np.random.default_rng(0)
        for _ in range(epochs):
            order = rng.permutation(learn)
            for start in range(0, len(order), 64):
                at = order[start : start + 64]
                with training_autocast("auto", x.device):
                    logits = net(x[at])
                loss = nn.functional.cross_entropy(logits.float(), y[at])
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
        with torch.inference_mode():
            parts = [net(x[rows[s : s + 64]]).argmax(-1).numpy() for s in range(0, len(rows), 64)]
        return np.concatenate(parts)

    return predict
