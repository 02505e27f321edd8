"""Changes of a score when heads are disabled: do their intervals cover the true change?"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headscope.stats.changes import change_intervals, share_change
from headscope.stats.metrics import metric_named
from headscope.stats.paired import RESAMPLES, bootstrap
from headscope.tasks.scores import score_interval
from simulations.base import Rate, Section

Numbers = npt.NDArray[np.float64]
Classes = npt.NDArray[np.int64]
RIGHT = 0.8
"""The accuracy of the model with nothing disabled."""
POSITIVE = 0.68
"""The share of examples of class 1, as in MRPC."""
RARE = 0.2
"""The same where the scores themselves are tried."""


@dataclass(frozen=True)
class Coverage:
    """How often intervals hold the true change, and how wide they are on average, in points."""

    held: Rate
    width: float

    def __str__(self) -> str:
        return f"{self.held}, {self.width:.1f}"


def accuracy_coverage(n: int, lost: float, won: float, draws: int) -> Coverage:
    """Tango's interval where shares `lost` and `won` of all examples flip."""
    counts = _flip_counts(n, lost, won, draws)
    low, high = share_change(counts[:, 0], counts[:, 1], np.full(draws, n))
    return _coverage(100 * low, 100 * high, 100 * (won - lost))


def resampled_accuracy_coverage(n: int, lost: float, won: float, draws: int) -> Coverage:
    """The same of the plain percentile bootstrap."""
    rng = np.random.default_rng(1)
    ends = []
    for counts in _flip_counts(n, lost, won, draws):
        # What a resample of the examples holds of lost, won and unchanged ones.
        drawn = rng.multinomial(n, counts / n, RESAMPLES)
        ends.append(np.quantile(drawn[:, 1] - drawn[:, 0], [0.025, 0.975]) / n)
    low, high = 100 * np.array(ends).T
    return _coverage(low, high, 100 * (won - lost))


def _flip_counts(n: int, lost: float, won: float, draws: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng(0).multinomial(n, [lost, won, 1 - lost - won], draws)


def metric_coverage(metric: str, n: int, flips: float, draws: int) -> Coverage:
    """The interval that is shown, for another metric; the share `flips` of right predictions become
    wrong, and a quarter as many wrong ones right.
    """
    ends = [
        change_intervals(metric, labels, before, after[None], seed=0)[0]
        for labels, before, after in _predictions(n, flips, draws)
    ]
    low, high = np.array(ends).T
    return _coverage(low, high, _true_change(metric, flips))


def resampled_metric_coverage(metric: str, n: int, flips: float, draws: int) -> Coverage:
    """The same of the plain percentile bootstrap."""
    ends = []
    for labels, before, after in _predictions(n, flips, draws):
        first, second = bootstrap(metric, labels, [before, after], seed=0)
        ends.append(np.quantile(second - first, [0.025, 0.975]))
    low, high = np.array(ends).T
    return _coverage(low, high, _true_change(metric, flips))


def _predictions(n: int, flips: float, draws: int) -> Iterator[tuple[Classes, Classes, Classes]]:
    """Labels, predictions before, predictions after."""
    rng = np.random.default_rng(2)
    for _ in range(draws):
        labels = (rng.random(n) < POSITIVE).astype(np.int64)
        right = rng.random(n) < RIGHT
        flipped = rng.random(n) < np.where(right, flips, flips / 4)
        yield (
            labels,
            np.where(right, labels, 1 - labels),
            np.where(right ^ flipped, labels, 1 - labels),
        )


def _true_change(metric: str, flips: float) -> float:
    """What so many examples score that their shares are the true ones."""
    ((labels, before, after),) = _predictions(1_000_000, flips, 1)
    score = metric_named(metric).score
    return score(labels, after) - score(labels, before)


def correlation_coverage(n: int, moved: float, draws: int) -> Coverage:
    """The interval that is shown for Pearson's r of about 0.86, where predictions move by the share
    `moved` of the labels' standard deviation.
    """
    rng = np.random.default_rng(3)

    def predictions(size: int) -> tuple[Numbers, Numbers, Numbers]:
        labels = rng.normal(size=size)
        before = labels + 0.6 * rng.normal(size=size)
        return labels, before, before + moved * rng.normal(size=size)

    score = metric_named("pearson").score
    labels, before, after = predictions(1_000_000)
    change = score(labels, after) - score(labels, before)
    ends = []
    for _ in range(draws):
        labels, before, after = predictions(n)
        ends.append(change_intervals("pearson", labels, before, after[None], seed=0)[0])
    low, high = np.array(ends).T
    return _coverage(low, high, change)


def score_coverages(metric: str, n: int, right: float, draws: int) -> tuple[Coverage, Coverage]:
    """The interval of the score itself, of a model that is right on the share `right`: by a plain
    bootstrap, and what is shown. Where nothing is shown, nothing is excluded.
    """
    rng = np.random.default_rng(4)

    def predictions(size: int) -> tuple[Classes, Classes]:
        labels = (rng.random(size) < RARE).astype(np.int64)
        return labels, np.where(rng.random(size) < right, labels, 1 - labels)

    score = metric_named(metric).score(*predictions(1_000_000))
    plain, shown = [], []
    for _ in range(draws):
        labels, predicted = predictions(n)
        drawn = bootstrap(metric, labels, [predicted], seed=0)[0]
        plain.append(np.quantile(drawn, [0.025, 0.975]))
        ends = score_interval(metric, labels, predicted, seed=0)
        # No interval excludes nothing.
        shown.append((-100.0, 100.0) if np.isnan(ends).any() else ends)
    low, high = np.array(plain).T
    shown_low, shown_high = np.array(shown).T
    return _coverage(low, high, score), _coverage(shown_low, shown_high, score)


def _coverage(low: Numbers, high: Numbers, change: float) -> Coverage:
    # Ends that are equal but for rounding hold the change.
    held = (low <= change + 1e-9) & (change - 1e-9 <= high)
    return Coverage(Rate(int(held.sum()), len(held)), float(np.mean(high - low)))


def section() -> Section:
    """The section of the page."""
    rows = []
    for n in (50, 277, 408, 5463):
        for lost, won in ((0.01, 0.0), (0.01, 0.01), (0.02, 0.01), (0.05, 0.0), (0.05, 0.02)):
            rows.append(
                (
                    "accuracy",
                    str(n),
                    f"{100 * lost:.0f}% lost, {100 * won:.0f}% won",
                    str(resampled_accuracy_coverage(n, lost, won, 1000)),
                    str(accuracy_coverage(n, lost, won, 20_000)),
                )
            )
    for metric, n in (("f1", 50), ("f1", 277), ("f1", 408), ("matthews", 277)):
        for flips in (0.01, 0.05):
            rows.append(
                (
                    metric_named(metric).title,
                    str(n),
                    f"{100 * flips:g}% of right, {25 * flips:g}% of wrong",
                    str(resampled_metric_coverage(metric, n, flips, 300)),
                    str(metric_coverage(metric, n, flips, 300)),
                )
            )
    for n in (50, 277, 1500):
        held = str(correlation_coverage(n, 0.1, 300))
        rows.append(("Pearson's r", str(n), "all move by 0.1 standard deviations", held, held))
    for metric in ("f1", "matthews"):
        for n in (30, 100, 400):
            for right in (0.8, 0.97):
                words = f"the score itself, {100 * right:.0f}% right"
                plain, shown = score_coverages(metric, n, right, 400)
                cells = (metric_named(metric).title, str(n), words, str(plain), str(shown))
                rows.append(cells)
    text = (
        "Predictions of a model that is right on 80% of the examples (of class 1: 68%) flip with "
        "the given probabilities. Each cell has the share of 95% intervals that hold the true "
        "change, and their mean width in points. A plain percentile bootstrap knows only the "
        "flips that occurred: without one it says [0, 0]. Accuracy has Tango's score interval; F1 "
        "and MCC have a bootstrap to which four examples are added that flip. Correlations "
        "(Pearson, Spearman) keep the plain bootstrap, since every prediction changes a little; "
        "where no resample differs, there is no interval. The last rows are of scores themselves "
        "where 20% of the examples are of class 1: F1 has Wilson's interval, MCC a plain "
        "bootstrap, which covers too seldom with few examples; none is counted as -100 to 100."
    )
    header = ("metric", "n", "flips", "plain bootstrap: held, width", "headscope: held, width")
    return Section("Changes of a score when heads are disabled", text, header, rows)
