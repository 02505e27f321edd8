"""Tests that need no more than values with their intervals or errors, as the tables of a run hold
them.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import stats

from headscope.stats.paired import Z

FEWEST_CLUSTERS = 3
"""Clusters of either kind below which no difference between kinds is tested."""


@dataclass(frozen=True)
class Tested:
    """A value with its 95% interval and the two-sided p-value of 0."""

    value: float
    low: float
    high: float
    p: float


def widened(value: float, low: float, high: float, tests: int) -> tuple[float, float]:
    """A 95% interval as wide as it must be if one of several is looked at (Bonferroni).

    Each side is stretched by the ratio of the normal quantiles, so that a skewed interval stays
    skewed and a side without width stays without.

    >>> low, high = widened(10.0, 8.0, 13.0, tests=10)
    >>> round(low, 2), round(high, 2)
    (7.14, 14.3)
    """
    stretch = float(stats.norm.isf(0.025 / tests)) / Z
    return value - stretch * (value - low), value + stretch * (high - value)


def never_seen(n: int, tests: int) -> float:
    """The upper end of the 95% interval of a share that none of `n` independent cases has, where
    so many shares are looked at; 1 without a case.

    Source: Clopper & Pearson (1934), Biometrika 26.

    >>> round(never_seen(1000, tests=1), 4)
    0.0037
    """
    return 1 - float((0.025 / tests) ** (1 / n)) if n else 1.0


def same_value(values: Float[np.ndarray, " group"], errors: Float[np.ndarray, " group"]) -> float:
    """The p-value of the null hypothesis that all groups have the same true value (Cochran's Q).

    Args:
        values: One a group, at least two.
        errors: Their standard errors, above 0. Groups are taken to err independently: where they
            share a part of their error, the test rejects less often.

    Source: Cochran (1954), Biometrics 10.

    >>> round(same_value(np.array([1.0, 1.0, 4.0]), np.ones(3)), 3)  # Q = 6, two degrees
    0.05
    """
    weights = 1 / errors**2
    mean = (weights * values).sum() / weights.sum()
    q = (weights * (values - mean) ** 2).sum()
    return float(stats.chi2.sf(q, len(values) - 1))


@dataclass(frozen=True)
class Contrast:
    """The mean of some values, and how far it lies above that of the others.

    Attributes:
        inside: The mean of those that were chosen.
        outside: The mean of the others.
        difference: Inside minus outside.
        clusters: How many clusters there are.
    """

    inside: Tested
    outside: Tested
    difference: Tested
    clusters: int


def clustered_contrast(
    values: Float[np.ndarray, " value"],
    is_chosen: Bool[np.ndarray, " value"],
    clusters: Int[np.ndarray, " value"],
) -> Contrast | None:
    """Chosen values beside the others, where values of one cluster are not independent.

    Intervals and tests are Student's t with the jackknife's standard error over clusters and one
    degree of freedom less than there are clusters.

    Args:
        values: The values.
        is_chosen: Which of them are chosen.
        clusters: The number of each value's cluster.

    Returns:
        None where fewer than three clusters have chosen values, or fewer than three have others.

    Source: Efron & Tibshirani (1993), An Introduction to the Bootstrap, chapter 11; the jackknife
    over clusters is CR3 of Bell & McCaffrey (2002), Survey Methodology 28.
    """
    number, cluster = np.unique(clusters, return_inverse=True)
    count = len(number)
    kinds = np.stack([is_chosen, ~is_chosen]).astype(np.float64)
    # [kind, cluster]
    n = np.stack([np.bincount(cluster, kind, count) for kind in kinds])
    total = np.stack([np.bincount(cluster, kind * values, count) for kind in kinds])
    if ((n > 0).sum(1) < FEWEST_CLUSTERS).any():
        return None
    whole = total.sum(1) / n.sum(1)
    # The means without each cluster in turn, [kind, cluster].
    without = (total.sum(1)[:, None] - total) / (n.sum(1)[:, None] - n)
    inside, outside = (_jackknife(*pair) for pair in zip(whole, without, strict=True))
    difference = _jackknife(whole[0] - whole[1], without[0] - without[1])
    return Contrast(inside, outside, difference, count)


def _jackknife(whole: float, without: Float[np.ndarray, " cluster"]) -> Tested:
    count = len(without)
    error = math.sqrt((count - 1) / count * float(((without - whole) ** 2).sum()))
    if error == 0:
        return Tested(float(whole), math.nan, math.nan, math.nan)
    return _student(float(whole), error, float(count - 1))


def _student(mean: float, error: float, degrees: float) -> Tested:
    half = float(stats.t.ppf(0.975, degrees)) * error
    p = 2 * float(stats.t.sf(abs(mean) / error, degrees))
    return Tested(mean, mean - half, mean + half, p)
