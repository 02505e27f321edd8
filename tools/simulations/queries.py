"""MAP and nDCG@10 over queries: do the tests of a change hold their level, and the intervals the
truth?
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import numpy.typing as npt

from headscope.names import SIGNIFICANT
from headscope.stats.changes import change_intervals
from headscope.stats.exchange import permutation
from headscope.stats.groups import Groups
from headscope.stats.metrics import METRICS
from headscope.tasks.scores import score_interval
from simulations.base import Rate, Section

Numbers = npt.NDArray[np.float64]
EXCHANGES = 199
_MANY = 40_000
"""Queries by which the truth is known."""
_RELEVANT = 0.4
"""The share of documents that are relevant."""


@dataclass(frozen=True)
class World:
    """Queries with documents whose scores are normal, some queries harder than others.

    Attributes:
        metric: A mean over queries.
        queries: How many there are.
        largest: Of how many documents, at most: numbers are drawn evenly from 2 on.
        distance: Of the mean scores of relevant and of other documents.
        moved: The share of a score's spread that is another one after disabling.
        loss: By how much disabling shrinks the distance.
    """

    metric: str
    queries: int
    largest: int
    distance: float
    moved: float
    loss: float

    def drawn(self, rng: np.random.Generator) -> tuple[Numbers, Numbers, Numbers, Groups]:
        """Labels, scores before, scores [1, document] after, and queries."""
        sizes = rng.integers(2, self.largest + 1, self.queries)
        groups = Groups(np.repeat(np.arange(self.queries), sizes))
        count = len(groups.number)
        labels = (rng.random(count) < _RELEVANT).astype(np.float64)
        apart = self.distance - 0.7 * rng.normal(size=self.queries)[groups.number]
        error, own = rng.normal(size=(2, count))
        before = labels * apart + error
        kept = np.sqrt(1 - self.moved**2)
        after = labels * (apart - self.loss) + kept * error + self.moved * own
        return labels, before, after[None], groups


@dataclass(frozen=True)
class Found:
    """How often it happened.

    Attributes:
        rejected: The test rejects where nothing is lost.
        held: The interval of the change holds the true change, of the draws in which it is known.
        score: The interval of the score holds the true score, as well.
        unknown: No query changed, so that there is no interval of the change.
    """

    rejected: Rate
    held: Rate
    score: Rate
    unknown: Rate


def simulate(world: World, times: int) -> Found:
    """Draw a world so many times; draws with fewer than ten queries to rank have no interval."""
    rng = np.random.default_rng(11)
    change, score = truth(world)
    rejected = held = scored = 0
    changes = scores = 0
    for seed in range(times):
        labels, before, after, groups = replace(world, loss=0.0).drawn(rng)
        p = permutation(world.metric, labels, before, after[0], seed, EXCHANGES, groups)
        rejected += p < SIGNIFICANT
        labels, before, after, groups = world.drawn(rng)
        ((low, high),) = change_intervals(world.metric, labels, before, after, seed, groups)
        if not np.isnan(low):
            changes += 1
            held += low <= change <= high
        low, high = score_interval(world.metric, labels, before, seed, groups)
        if not np.isnan(low):
            scores += 1
            scored += low <= score <= high
    return Found(
        rejected=Rate(rejected, times),
        held=Rate(held, changes),
        score=Rate(scored, scores),
        unknown=Rate(times - changes, times),
    )


@cache
def truth(world: World) -> tuple[float, float]:
    """The change and the score in points of a great many queries."""
    large = replace(world, queries=_MANY)
    labels, before, after, groups = large.drawn(np.random.default_rng(0))
    score = METRICS[world.metric].score
    first = score(labels, before, groups)
    return score(labels, after[0], groups) - first, first


def _worlds() -> Iterator[World]:
    """What is simulated."""
    for metric in ("mean_average_precision", "ndcg_at_10"):
        for queries, largest in ((20, 20), (80, 2), (80, 20), (300, 20)):
            for distance in (1.0, 3.0):
                yield World(metric, queries, largest, distance, 0.5, 0.3)
        yield World(metric, 80, 20, 3.0, 0.1, 0.02)


def section() -> Section:
    """The section of docs/statistics.md."""
    rows = []
    for world in _worlds():
        found = simulate(world, 400)
        change, score = truth(world)
        rows.append(
            (
                METRICS[world.metric].title,
                str(world.queries),
                f"2 to {world.largest}",
                f"{score:.0f}",
                f"{-change:.1f}",
                str(found.rejected),
                str(found.held),
                str(found.score),
                f"{found.unknown.value:.3f}",
            )
        )
    return Section(
        title="Queries: MAP and nDCG@10",
        text=TEXT,
        header=(
            "metric",
            "queries",
            "documents of one",
            "score",
            "loss",
            "rejects",
            "interval of the change",
            "interval of the score",
            "no interval of the change",
        ),
        rows=rows,
    )


TEXT = """Documents of which 40% are relevant, with normal scores; some queries are harder than
others, and those whose documents are all of one class do not count. A change is resampled query by
query, with four queries added that change, two each way, by as much as the one that changes
most: without them, where one query of sixty changed, the interval ended at 0. Where none
changed there is no interval. A score has Wilson's interval with the effective number of
queries, whose spread is known as if one query more had been missed and one found whole.
*Rejects*: the test, where nothing is lost; it exchanges queries."""
