"""Average precision and ROC AUC of pairs of two classes: do the tests of a change hold their level,
and do the intervals hold the truth?
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from headscope.names import SIGNIFICANT
from headscope.stats.best_of_many import honest_gain, set_gains
from headscope.stats.changes import change_intervals
from headscope.stats.exchange import Outcomes, exchange, permutation
from headscope.stats.metrics import METRICS
from headscope.stats.paired import bootstrap, interval
from headscope.tasks.scores import score_interval
from simulations.base import Rate, Section

Numbers = npt.NDArray[np.float64]
EXCHANGES = 199
SPLITS = 40
_KEPT = 0.9
"""The correlation of the errors before and after a head is disabled."""
_MANY = 200_000
"""Examples by which the true score is known."""


@dataclass(frozen=True)
class World:
    """Scores of two classes, normal with variance 1.

    Attributes:
        metric: A ranking.
        n: Examples.
        positive: The share of class 1, which each example is of by chance.
        distance: Of the means of the two classes.
        loss: By how much a disabled head shrinks it.
    """

    metric: str
    n: int
    positive: float
    distance: float
    loss: float = 0.0

    def drawn(self, rng: np.random.Generator, sets: int = 1) -> tuple[Numbers, Numbers, Numbers]:
        """Labels, scores before, and scores [set, example] after; a class has an example."""
        labels = (rng.random(self.n) < self.positive).astype(np.float64)
        labels[:2] = 0, 1
        error, own = rng.normal(size=self.n), rng.normal(size=(sets + 1, self.n))
        errors = _KEPT**0.5 * error + (1 - _KEPT) ** 0.5 * own
        before = self.distance * labels + errors[0]
        # Squeezed and shifted too, which no ranking sees.
        after = 3 + 0.5 * ((self.distance - self.loss) * labels + errors[1:])
        return labels, before, after


@dataclass(frozen=True)
class Found:
    """How often it happened.

    Attributes:
        rejected: The test of one change rejects.
        held: Its interval holds the true change.
        score: The interval of the score holds the true score.
        plain: That of the plain bootstrap does.
    """

    rejected: Rate
    held: Rate
    score: Rate
    plain: Rate


def simulate(world: World, times: int) -> Found:
    """Draw a world so many times."""
    rng = np.random.default_rng(3)
    metric = world.metric
    score, change = true_score(world), true_change(world)
    counts = {"rejected": 0, "held": 0, "score": 0, "plain": 0}
    known = {"held": 0, "score": 0, "plain": 0}
    for seed in range(times):
        labels, before, after = world.drawn(rng)
        p = permutation(metric, labels, before, after[0], seed, EXCHANGES)
        counts["rejected"] += p < SIGNIFICANT
        plain = interval(bootstrap(metric, labels, [before], seed, 500)[0])
        ends = {
            "held": (*change_intervals(metric, labels, before, after, seed)[0], change),
            "score": (*score_interval(metric, labels, before, seed), score),
            "plain": (*plain, score),
        }
        for name, (low, high, truth) in ends.items():
            if not np.isnan(low):
                known[name] += 1
                counts[name] += low <= truth <= high
    return Found(
        rejected=Rate(counts["rejected"], times),
        held=Rate(counts["held"], known["held"]),
        score=Rate(counts["score"], known["score"]),
        plain=Rate(counts["plain"], known["plain"]),
    )


def many(world: World, sets: int, times: int) -> tuple[Rate, Rate]:
    """How often one of many heads without a gain is named, and how often the interval of choosing
    the best holds no gain.
    """
    rng = np.random.default_rng(5)
    named = held = 0
    for seed in range(times):
        outcomes = Outcomes(world.metric, *world.drawn(rng, sets))
        named += len(set_gains(exchange(outcomes, seed, EXCHANGES)).significant) > 0
        honest = honest_gain(outcomes, seed, SPLITS)
        held += honest.low <= 0 <= honest.high
    return Rate(named, times), Rate(held, times)


@cache
def true_score(world: World) -> float:
    """The score in points of a great many examples."""
    labels, before, _ = _large(world)
    return METRICS[world.metric].score(labels, before)


@cache
def true_change(world: World) -> float:
    """The change in points of a great many examples; none without a loss."""
    if not world.loss:
        return 0.0
    labels, before, after = _large(world)
    score = METRICS[world.metric].score
    return score(labels, after[0]) - score(labels, before)


def _large(world: World) -> tuple[Numbers, Numbers, Numbers]:
    large = World(world.metric, _MANY, world.positive, world.distance, world.loss)
    return large.drawn(np.random.default_rng(0))


def _worlds() -> Iterator[World]:
    """What is simulated."""
    for n, positive in ((50, 0.5), (277, 0.1), (277, 0.5), (408, 0.68), (800, 0.03)):
        for distance in (1.0, 2.5):
            yield World("average_precision", n, positive, distance)
    yield World("average_precision", 408, 0.68, 1.0, 0.15)
    for n, positive in ((50, 0.5), (277, 0.1), (408, 0.68)):
        yield World("roc_auc", n, positive, 1.0)
    yield World("roc_auc", 408, 0.68, 1.0, 0.15)


def section() -> Section:
    """The section of docs/statistics.md."""
    rows = []
    for world in _worlds():
        found = simulate(world, 400)
        rows.append(
            (
                METRICS[world.metric].title,
                str(world.n),
                f"{100 * world.positive:g}%",
                f"{true_score(world):.0f}",
                f"{-true_change(world):.1f}" if world.loss else "0",
                str(found.rejected),
                str(found.held),
                str(found.score),
                str(found.plain),
            )
        )
    named, held = many(World("average_precision", 408, 0.68, 1.0), 72, 200)
    return Section(
        title="Pairs of two classes: average precision and ROC AUC",
        text=TEXT.format(named=named, held=held),
        header=(
            "metric",
            "examples",
            "positive",
            "score",
            "loss",
            "rejects",
            "interval of the change",
            "interval of the score",
            "plain bootstrap of the score",
        ),
        rows=rows,
    )


TEXT = """Embeddings of pairs with a label: cosines of two classes, normal with the same variance.
Disabling a head makes other errors, which correlate with the model's at 0.9, and shifts and
squeezes all cosines, which no ranking sees. Without a loss the test of a change should reject in 5%
of the draws (what is exchanged is the share that each pair has in the score, to first order); the
bootstrap interval of the change and the interval of the score should hold the truth in 95%. The
latter is on the scale of the logit, with Student's t by the rarer class; a plain bootstrap covers
too seldom where a class is rare. Where a class has some 25 examples, both cover a little too seldom
in some rows. There is no interval below ten examples of either class: such draws are not counted.
Of 72 heads without a gain on 408 pairs, one is named in a share of {named} of the draws
(at most 0.05 is promised), and the interval of choosing the best holds 0 in {held}.
With 199 exchanges and 40 splits instead of 2,000 and 1,000."""
