"""Which of many sets gain more than noise? A permutation test for all of them at once (max-T).

With 144 heads disabled in turn, the largest "gain" is a maximum over noise. `exchange` draws the
changes of all sets under the null hypothesis, `max_t` adjusts each set's p-value for the others.
Changes are in points of the metric, after minus before.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import rankdata

from headscope.errors import HeadscopeError
from headscope.stats.groups import Groups, case_count
from headscope.stats.metrics import (
    Labels,
    Points,
    Predictions,
    Sums,
    Tally,
    Weights,
    metric_named,
    weigh,
)
from headscope.stats.paired import RESAMPLES, chunks, mcnemar

TIE = 1e-7
"""Values that differ by less are equal."""


@dataclass(frozen=True)
class Outcomes:
    """Predictions of a model as it is and with each set of heads disabled, and their metric.

    A correlation does not see a shift or another scale of all predictions, which disabling heads
    often brings, and an exchange of such predictions would. So they are standardised first, column
    by column, and for Spearman's correlation ranked. The observed change is still that of the
    metric; ranks of the model's and a set's predictions together would give another. Of a ranking
    of two classes, what is exchanged is the share that an example has in the score before and
    after.

    Attributes:
        metric: The name of the metric.
        labels: Classes or scores.
        before: Predictions of the model as it is.
        after: Predictions with each set disabled.
        groups: Which examples are exchanged together; None where each is by itself.

    Raises:
        HeadscopeError: An unknown metric, or shapes that do not fit.
    """

    metric: str
    labels: Labels
    before: Labels
    after: Predictions
    groups: Groups | None = None

    def __post_init__(self) -> None:
        metric_named(self.metric)
        if not (self.after.size and self.labels.shape == self.before.shape == self.after.shape[1:]):
            raise HeadscopeError(
                "labels [n], before [n] and after [sets, n] are needed, 1 by 1 at least, not "
                f"{self.labels.shape}, {self.before.shape} and {self.after.shape}"
            )

    @property
    def cases(self) -> int:
        """How many independent cases there are: examples, or groups of them."""
        return case_count(len(self.labels), self.groups)

    @cached_property
    def _columns(self) -> tuple[Labels, Labels, Predictions]:
        """Labels and predictions before and after, in which examples may change places."""
        metric = metric_named(self.metric)
        if metric.ranking is not None:
            shares = metric.ranking.shares
            after = np.stack([shares(self.labels, row) for row in self.after])
            return self.labels, shares(self.labels, self.before), after
        # What is exchanged of a query is all of its documents, on one side as ranked as before.
        if not metric.regression or metric.of_queries is not None:
            return self.labels, self.before, self.after
        labels, columns = self.labels, np.concatenate([self.before[None], self.after])
        if metric.ranked:
            labels, columns = rankdata(labels), rankdata(columns, axis=1)
        columns = columns - columns.mean(1, keepdims=True)
        spread = columns.std(1, keepdims=True)
        columns /= np.where(spread > TIE, spread, 1.0)
        return labels, columns[0], columns[1:]

    @cached_property
    def terms(self) -> tuple[Sums, Sums]:
        """What every case adds to the sums of the metric, before and after."""
        labels, before, after = self._columns
        groups = self.groups
        if groups is not None:
            groups = Groups(np.concatenate([groups.number, groups.number + len(groups)]))
        # Both sides at once, so that they share their classes and their mean.
        both = np.concatenate([np.broadcast_to(before, after.shape), after], axis=1)
        twice = np.concatenate([labels, labels])
        terms = metric_named(self.metric).terms(twice, both, groups)
        first = {name: term[..., : self.cases] for name, term in terms.items()}
        second = {name: term[..., self.cases :] for name, term in terms.items()}
        return first, second

    def changes(self, weights: Weights) -> Points:
        """The changes in points where every case counts `weights` times."""
        if metric_named(self.metric).ranking is not None:
            # Shares are those among all examples: on a few, they give another score.
            rows = np.concatenate([self.before[None], self.after])
            tally = Tally(metric_named(self.metric), self.labels, rows, self.groups)
            scores = tally.score(weights)
            return np.asarray(scores[:, 1:] - scores[:, :1])
        before, after = self.terms
        return self._change(weigh(before, weights), weigh(after, weights))

    @cached_property
    def moved(self) -> Int[np.ndarray, "moved"]:
        """The cases in which a prediction changes in any set, as far as the metric sees it."""
        _, before, after = self._columns
        has_moved = (after != before).any(0).reshape(len(before), -1).any(1)
        if self.groups is not None:
            has_moved = self.groups.sums(has_moved.astype(np.int64)) > 0
        return np.flatnonzero(has_moved)

    def exchanged(self, which: Float[np.ndarray, "draw moved"]) -> Points:
        """The changes in points if the predictions of some of the moved cases are exchanged."""
        before, both, gaps = self._sums
        first = {name: before[name] - which @ gap for name, gap in gaps.items()}
        return self._change(first, {name: both[name] - first[name] for name in first})

    def spread(self) -> Float[np.ndarray, "set"]:
        """The standard deviation of the changes under exchange, to first order."""
        _, both, gaps = self._sums
        # The change that each case makes by itself, from halfway between both sides.
        first = {name: (both[name] + gap) / 2 for name, gap in gaps.items()}
        alone = self._change(first, {name: both[name] - first[name] for name in first})
        return np.asarray(np.sqrt((alone**2).sum(0)))

    @cached_property
    def _sums(self) -> tuple[Sums, Sums, Sums]:
        """Sums before, sums of both sides, and what each moved case adds more before than after.

        An exchange takes the last, [moved, set], from one side and gives it to the other.
        """
        before, after = self.terms
        once = np.ones((1, self.cases))
        gaps = {name: (before[name] - after[name])[..., self.moved] for name in before}
        return (
            weigh(before, once),
            weigh({name: before[name] + after[name] for name in before}, once),
            {name: np.swapaxes(gap, -1, -2) for name, gap in gaps.items()},
        )

    def _change(self, before: Sums, after: Sums) -> Points:
        points = metric_named(self.metric).points
        return points(after) - points(before)


def permutation(
    metric: str,
    labels: Labels,
    before: Labels,
    after: Labels,
    seed: int,
    resamples: int = RESAMPLES,
    groups: Groups | None = None,
) -> float:
    """The paired permutation test of a change in score.

    Args:
        metric: The name of the metric.
        labels: Classes or scores.
        before: Predictions.
        after: Predictions.
        seed: Of the draws.
        resamples: How many permutations are drawn.
        groups: Which examples are exchanged together; None where each is by itself.

    Returns:
        The two-sided p-value of the score difference, under the null hypothesis that the two
        predictions of each example (of each group, all at once) are exchangeable. It is never 0,
        since the observed assignment counts as one of the permutations.
    """
    outcomes = Outcomes(metric, labels, before, after[None], groups)
    moved = len(outcomes.moved)
    if not moved:
        return 1.0
    observed = np.abs(outcomes.exchanged(np.zeros((1, moved))))
    rng = np.random.default_rng(seed)
    extreme = 1
    for rows in chunks(resamples, len(labels)):
        which = (rng.random((rows, moved)) < 0.5).astype(np.float64)
        extreme += int((np.abs(outcomes.exchanged(which)) >= observed - TIE).sum())
    return extreme / (resamples + 1)


def changed_by_chance(
    metric: str, labels: Labels, before: Labels, after: Labels, seed: int, groups: Groups | None
) -> float:
    """The two-sided p-value of a change in score: McNemar's exact test of accuracy where every
    example is a case of its own, else the paired permutation test.

    Args:
        metric: The name of the metric.
        labels: Classes or scores.
        before: Predictions.
        after: Predictions.
        seed: Of the permutations.
        groups: Which examples are of one case; None where each is its own.
    """
    if is_exact(metric, groups):
        return mcnemar(labels, before, after)
    return permutation(metric, labels, before, after, seed, groups=groups)


def is_exact(metric: str, groups: Groups | None) -> bool:
    """Whether McNemar's exact test is the test of a change in score."""
    return metric == "accuracy" and groups is None


def name_of_test(metric: str, groups: Groups | None) -> str:
    """What tables call the test."""
    if is_exact(metric, groups):
        return "exact McNemar"
    return "paired permutation" if groups is None else "paired permutation of groups"


@dataclass(frozen=True)
class Exchange:
    """Changes of all sets under the null hypothesis, in points.

    Attributes:
        changes: The first draw is what was observed.
        spread: The standard deviation of a set's changes to first order, which no draw alters.
    """

    changes: Points
    spread: Float[np.ndarray, "set"]


def exchange(outcomes: Outcomes, seed: int, resamples: int = RESAMPLES) -> Exchange:
    """The changes of all sets, under the null hypothesis that predictions are exchangeable.

    A draw exchanges, for a random half of the examples (or of their groups), the model's prediction
    with that of the disabled model, in all sets at once, so that sets which change the same
    predictions stay as dependent as they are. Where there are no more than `resamples` ways to do
    so, all are made.

    Set by set the test is exact for metrics of classes (as is `permutation`). Jointly it is exact
    for accuracy: on an example the model is right or wrong, so the differences of all sets have one
    sign, and an exchange is a new sign. For the other metrics, and where groups are exchanged, no
    exchange of the model's one prediction fits all sets; the draws then have the right means and
    covariances, and the test holds as cases become many (docs/statistics.md has how well, from 277
    examples on, and from 30 groups on).

    The null hypothesis is "no better, no worse". A head that flips predictions at random is worse
    where the model is mostly right.

    Source: Westfall & Young (1993), Resampling-Based Multiple Testing; Dror et al. (2018), ACL,
    section 3.
    """
    draws = _exchanges(len(outcomes.moved), resamples, seed)
    changes = np.concatenate([outcomes.exchanged(which) for which in draws])
    return Exchange(changes, outcomes.spread())


def _exchanges(n: int, resamples: int, seed: int) -> Iterator[Weights]:
    """Which of `n` examples are exchanged (1.0), a chunk of draws at a time; in the first, none."""
    if n < 30 and 2**n <= resamples:
        # The bits of all numbers below 2^n.
        yield (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(np.float64)
        return
    rng = np.random.default_rng(seed)
    for chunk, rows in enumerate(chunks(resamples + 1, n)):
        exchanged = (rng.random((rows, n)) < 0.5).astype(np.float64)
        if chunk == 0:
            exchanged[0] = 0
        yield exchanged


@dataclass(frozen=True)
class MaxT:
    """What `max_t` finds, per set.

    Attributes:
        p: The p-value of its gain, adjusted for all sets.
        threshold: The largest gain, in points, whose p-value would not be below the level.
    """

    p: Float[np.ndarray, "set"]
    threshold: Float[np.ndarray, "set"]


def max_t(drawn: Exchange, level: float, *, scaled: bool) -> MaxT:
    """Westfall and Young's max-T: p-values of all sets, adjusted for having looked at all of them.

    The p-value of a set is the share of the draws in which the largest gain of all sets is as large
    as its own (single step). None is 0, since the observed assignment is one of the draws.

    Args:
        drawn: Changes under the null hypothesis.
        level: A gain is significant if its p-value is below this.
        scaled: Divide the changes of a set by their spread under the null hypothesis, so that a
            head that changes many predictions does not hide one that changes few. Otherwise sets
            compete in points.

    Source: Westfall & Young (1993), algorithm 2.5 with t in place of their p.

    >>> labels, before = np.ones(5, dtype=int), np.zeros(5, dtype=int)
    >>> after = np.array([[1, 1, 1, 1, 1], [1, 0, 0, 0, 0]])
    >>> drawn = exchange(Outcomes("accuracy", labels, before, after), seed=0)
    >>> test = max_t(drawn, 0.05, scaled=False)
    >>> (32 * test.p).tolist()  # of all 32 exchanges
    [1.0, 21.0]
    >>> test.threshold.round(6).tolist()
    [60.0, 60.0]
    """
    scale = np.ones_like(drawn.spread)
    if scaled:
        # The gain of a set that changes nothing is 0 in every draw, whatever it is divided by.
        scale = np.where(drawn.spread > TIE, drawn.spread, 1.0)
    largest = np.sort((drawn.changes / scale).max(1))
    # So many draws are as large as a significant gain, and no more: p < level.
    allowed = math.ceil(level * len(largest) - TIE) - 1
    return MaxT(
        p=(len(largest) - np.searchsorted(largest, drawn.changes[0] / scale - TIE)) / len(largest),
        threshold=largest[-1 - allowed] * scale,
    )
