"""The test of a smaller model that should be as good: how often does it call a fall by the margin
less than that, and how often does "not significant" do so?
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from headscope.stats.noninferiority import LEVEL, noninferiority
from simulations.base import Rate, Section

Values = npt.NDArray[Any]
Drawn = tuple[Values, Values, Values]
"""True labels, predictions of the whole model, predictions of the smaller one."""

ACCURACY, POSITIVE, CHURN = 0.86, 0.68, 0.04
"""Of the whole model; of the labels; of examples that only the smaller model gets right."""
CORRELATION, SHARED = 0.88, 0.9
"""Of the whole model's scores with the true ones; of its errors with the smaller model's."""
RESAMPLES = 500
DRAWS = {"accuracy": 2000, "f1": 400, "spearman": 200}


@dataclass(frozen=True)
class World:
    """A metric, and how examples are drawn on which the score falls by a share of itself.

    Attributes:
        metric: The metric.
        score: The true score of the whole model, as a fraction.
        draw: Draws n examples with a given true score of the smaller model.
    """

    metric: str
    score: float
    draw: Callable[[np.random.Generator, int, float], Drawn]


def classes(rng: np.random.Generator, n: int, accuracy: float) -> Drawn:
    """Two classes, of which the smaller model gets other examples right than the whole one."""
    labels = (rng.random(n) < POSITIVE).astype(np.int64)
    lost = ACCURACY - accuracy + CHURN
    draw = rng.random(n)
    was_right = draw < ACCURACY
    is_right = (was_right & (draw >= lost)) | (draw > 1 - CHURN)
    return labels, np.where(was_right, labels, 1 - labels), np.where(is_right, labels, 1 - labels)


def by_f1(rng: np.random.Generator, n: int, f1: float) -> Drawn:
    """The same, with an accuracy that gives this F1."""
    # F1 = 2 TP / (2 TP + errors), with errors alike in both classes, solved for the accuracy.
    return classes(rng, n, f1 / (f1 + 2 * POSITIVE * (1 - f1)))


def scores(rng: np.random.Generator, n: int, spearman: float) -> Drawn:
    """Normal scores, which either model gives with errors that are mostly the same."""
    labels, error, other = rng.standard_normal((3, n))
    mixed = np.sqrt(SHARED) * error + np.sqrt(1 - SHARED) * other
    smaller = 2 * np.sin(np.pi * spearman / 6)
    return labels, _with_error(labels, error, CORRELATION), _with_error(labels, mixed, smaller)


def _with_error(labels: Values, error: Values, correlation: float) -> Values:
    return np.asarray(correlation * labels + np.sqrt(1 - correlation**2) * error)


WORLDS = (
    World("accuracy", ACCURACY, classes),
    World("f1", 2 * POSITIVE * ACCURACY / (2 * POSITIVE * ACCURACY + 1 - ACCURACY), by_f1),
    World("spearman", 6 / np.pi * float(np.arcsin(CORRELATION / 2)), scores),
)


@dataclass(frozen=True)
class Rates:
    """What became of the draws: a fall by the margin is called less than that by the test, and by
    "the fall is not significant"; and no fall is shown to be less than the margin.
    """

    wrong: Rate
    wrong_by_silence: Rate
    found: Rate


def simulate(world: World, n: int, within: float, draws: int) -> Rates:
    """What becomes of draws of a world.

    Args:
        world: The world.
        n: How many examples.
        within: By which share of itself the score may fall.
        draws: How many times.
    """
    rng = np.random.default_rng(n)
    margin = within * world.score
    hits = dict.fromkeys(("wrong", "wrong_by_silence", "found"), 0)
    for number in range(draws):
        fallen = world.draw(rng, n, world.score - margin)
        hits["wrong"] += _p(world, fallen, 100 * margin, number) < LEVEL
        # A fall is significant where a fall by nothing or less is as rare.
        hits["wrong_by_silence"] += 1 - _p(world, fallen, 1e-9, number) >= LEVEL
        same = world.draw(rng, n, world.score)
        hits["found"] += _p(world, same, 100 * margin, number) < LEVEL
    return Rates(**{name: Rate(int(count), draws) for name, count in hits.items()})


def _p(world: World, drawn: Drawn, margin: float, seed: int) -> float:
    labels, before, after = drawn
    p = noninferiority(world.metric, labels, before, after[None], margin, seed, RESAMPLES)
    return float(p[0])


def section() -> Section:
    """The section of the page."""
    rows = []
    for world in WORLDS:
        draws = DRAWS[world.metric]
        for within in (0.01, 0.05):
            for n in (50, 277, 408, 872):
                found = simulate(world, n, within, draws)
                margin = f"{100 * within * world.score:.2f} ({within:.0%})"
                rows.append((world.metric, margin, str(n), *map(str, vars(found).values())))
    text = (
        "`prune` asks whether a score falls by less than a margin, a share of itself, and tests "
        "the null hypothesis that it falls by the margin or more (one-sided, 0.025). The whole "
        f"model has an accuracy of {ACCURACY}, and {CHURN:.0%} of the examples are right only "
        "without the removed heads. *Wrong*: the true fall is the margin, and the test says that "
        "it is less (0.025 at most is wanted). *Wrong by silence*: the same where one says so "
        "because the fall is not significant. *Found*: there is no fall, and the test shows that "
        f"it is less than the margin. {RESAMPLES} resamples in place of 2,000."
    )
    header = ("metric", "margin, points", "n", "wrong", "wrong by silence", "found")
    return Section("Whether a smaller model is as good", text, header, rows)
