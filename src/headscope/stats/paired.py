"""Intervals and tests for scores over examples. Pure NumPy; knows nothing of models.

Where a function draws at random, it takes a seed. Metrics are given by their names (`METRICS`).
"""

from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

from headscope.stats.groups import Groups, case_count, effective_cases
from headscope.stats.metrics import Tally, metric_named

Array = npt.NDArray[Any]

RESAMPLES = 2000
Z = 1.959963984540054
"""The 97.5% quantile of the standard normal distribution."""
_EQUAL = 1e-9
"""Resampled values that differ by less are equal."""
_CELLS = 4_000_000
"""Numbers in the largest array of a chunk of draws."""


def chunks(draws: int, examples: int) -> Iterator[int]:
    """How many of the draws over so many examples to make at a time; the chunks fit in memory."""
    size = max(1, _CELLS // max(examples, 1))
    for start in range(0, draws, size):
        yield min(size, draws - start)


def bootstrap(
    metric: str,
    labels: Array,
    predictions: Sequence[Array],
    seed: int,
    resamples: int = RESAMPLES,
    groups: Groups | None = None,
) -> Float[np.ndarray, "which resample"]:
    """Scores of several predictions on the same resamples of the examples (a paired bootstrap).

    Args:
        metric: The name of the metric.
        labels: Classes or scores, [example].
        predictions: Of several models, each [example].
        seed: Of the draws.
        resamples: How many.
        groups: Which examples are drawn together; None where each is by itself.

    Returns:
        Points.
    """
    rng = np.random.default_rng(seed)
    n = case_count(len(labels), groups)
    tally = Tally(metric_named(metric), labels, np.stack(predictions), groups)
    scores = []
    for rows in chunks(resamples, n):
        drawn = rng.integers(0, n, (rows, n))
        # How often each case was drawn: one count over all rows, each row with its own numbers.
        numbered = drawn + n * np.arange(rows)[:, None]
        times = np.bincount(numbered.ravel(), minlength=rows * n).reshape(rows, n)
        scores.append(tally.score(times.astype(np.float64)).T)
    return np.concatenate(scores, axis=1)


def interval(values: Array) -> tuple[float, float]:
    """The central 95% of resampled values (percentile interval), its lower and its upper end.

    NaN where all are equal: resampling then says nothing of the spread.
    """
    if np.ptp(values) <= _EQUAL:
        return float("nan"), float("nan")
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


@overload
def wilson(successes: float, n: float) -> tuple[float, float]: ...
@overload
def wilson(successes: Array, n: Array) -> tuple[Array, Array]: ...
def wilson(successes: Any, n: Any) -> Any:
    """Wilson's 95% score interval of a share; it holds its level also at 0 of n and n of n.

    Args:
        successes: How many, or an array of them. An effective number need not be whole.
        n: Of how many cases.

    Returns:
        Its lower and its upper end, as fractions.

    Source: Wilson (1927), Journal of the American Statistical Association 22.
    """
    share, z2 = successes / n, Z**2 / n
    centre = (share + z2 / 2) / (1 + z2)
    half = Z * np.sqrt(share * (1 - share) / n + z2 / n / 4) / (1 + z2)
    # Rounding must not put the share outside, nor an end outside of 0 to 1.
    low = np.minimum(np.maximum(centre - half, 0.0), share)
    return low, np.maximum(np.minimum(centre + half, 1.0), share)


def share_interval(hits: Array, groups: Groups | None) -> tuple[float, float]:
    """Wilson's interval of the share of examples that are hits, as fractions; of examples in groups
    with the effective number of cases.

    Args:
        hits: Whether each is one.
        groups: Which examples are of one case; None where each is its own.
    """
    if groups is None:
        return wilson(int(hits.sum()), len(hits))
    cases = float(effective_cases(hits[None].astype(np.float64), groups)[0])
    return wilson(float(hits.mean()) * cases, cases)


def bounded_interval(values: Array) -> tuple[float, float]:
    """Wilson's interval of the mean of values from 0 to 1, with the effective number of cases.

    That is how many zeros and ones would know their share as well, with Korn and Graubard's factor
    for a spread that is known from few values. The spread is that of the values and of a 0 and a 1
    beside them: of a mean near 1 the rare low values make most of it, and few values hold none.

    Args:
        values: Independent ones, two at least.

    Source: Korn & Graubard (1998), Survey Methodology 24.

    >>> low, high = bounded_interval(np.ones(30))
    >>> round(low, 2), high
    (0.88, 1.0)
    """
    from scipy.stats import t as student

    n, mean = len(values), float(values.mean())
    spread = float(np.append(values, [0.0, 1.0]).var(ddof=1))
    # Of values that are all 0 or all 1, each is a case.
    cases = n * mean * (1 - mean) / spread if 0 < mean < 1 else n
    cases *= (Z / student.ppf(0.975, n - 1)) ** 2
    low, high = wilson(mean * cases, cases)
    return float(low), float(high)


def f1_interval(
    labels: Array, predictions: Array, groups: Groups | None = None
) -> tuple[float, float]:
    """The 95% interval of F1, as fractions; NaN where no example is of class 1 or predicted as it.

    With J the share of hits among the examples that are of class 1, or predicted as it, F1 is
    2 J / (1 + J), which rises with J: so it lies between those of the ends of Wilson's interval.

    Source: Lam, Gopal & Qian (2023), arXiv 2309.14621 ("Wilson indirect").

    >>> low, high = f1_interval(np.array([1, 1, 1, 0]), np.array([1, 1, 1, 0]))  # wilson(3, 3)
    >>> round(low, 2), round(high, 2)
    (0.61, 1.0)
    """
    true, predicted = labels == 1, predictions == 1
    involved = np.flatnonzero(true | predicted)
    if groups is not None:
        groups = groups.take(involved)
    if not involved.size or (groups is not None and len(groups) < 2):
        return float("nan"), float("nan")
    low, high = share_interval((true & predicted)[involved], groups)
    return float(2 * low / (1 + low)), float(2 * high / (1 + high))


def mcnemar(labels: Array, before: Array, after: Array) -> float:
    """The exact McNemar test of a change in accuracy.

    Args:
        labels: Classes, [example].
        before: Predictions, [example].
        after: Predictions, [example].

    Returns:
        The two-sided p-value, under the null hypothesis that a change from right to wrong is as
        likely as one from wrong to right.
    """
    from scipy.stats import binomtest

    lost = int(np.sum((before == labels) & (after != labels)))
    won = int(np.sum((before != labels) & (after == labels)))
    return float(binomtest(lost, lost + won).pvalue) if lost + won else 1.0


def holm(p: Array) -> Array:
    """Adjusted p-values of a family of tests (Holm), in the order of `p`.

    Source: Holm (1979), Scandinavian Journal of Statistics 6.

    >>> holm(np.array([0.01, 0.04, 0.03])).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p, kind="stable")
    scaled = p[order] * np.arange(len(p), 0, -1)
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return corrected
