"""Are any of many means over the same examples other than 0? All of them tested at once.

Thousands of quantities, such as the interactions of all pairs of heads, are measured on the same
examples. The examples are drawn again with replacement, for all quantities at once, so that the
dependence among quantities stays as it is; each resample says how far the means lie from the truth
by chance alone, and how far the one lies that is furthest.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from headscope.names import SIGNIFICANT
from headscope.stats.exchange import TIE
from headscope.stats.means import mean_interval, student_p
from headscope.stats.paired import chunks

DRAWS = 9_999
"""So many resamples are drawn: p-values are of thousands of quantities."""
_LEVEL = SIGNIFICANT / 2
"""Of either of the two tests."""
_ROUNDING = 1e-12
"""What may be left, relative to its mean square, of the variance of equal values."""

Quantities = Float[np.ndarray, "quantity"]


@dataclass(frozen=True)
class Means:
    """Means of many quantities over the same examples. What is not known is NaN.

    Attributes:
        mean: The means.
        low: Lower ends of 95% intervals, each for its quantity alone (Student's t).
        high: Their upper ends.
        low_all: Lower ends of intervals for all quantities at once, with 95% confidence.
        high_all: Their upper ends. An interval excludes 0 where `p_corrected` is below 0.05.
        p: Two-sided p-values that a mean is 0, not corrected (Student's t).
        p_corrected: The same, corrected for all quantities (max-T over resamples of examples).
    """

    mean: Quantities
    low: Quantities
    high: Quantities
    low_all: Quantities
    high_all: Quantities
    p: Quantities
    p_corrected: Quantities


def means_at_once(
    values: Float[np.ndarray, "example quantity"], seed: int, resamples: int = DRAWS
) -> Means:
    """Means of all quantities, each with its interval, tested together.

    Two statistics are looked at, each at half of the level (Bonferroni). Student's t finds small
    means that nearly all examples share. The other, a moderated t, has the mean standard error of
    all quantities added to each quantity's own: it finds large means of few examples, and is not
    misled by a quantity that seems to vary little because the examples that move it were not
    drawn. The p-value of a statistic is the share of resamples in which the largest of all
    quantities, in size, is as large as its own, with the observed means taken for the true ones
    (single step) and standard errors that are each resample's own. The intervals are the inverse of
    the test.

    How well the family-wise error of 5% is held: docs/statistics.md, and with interactions of real
    heads docs/results/together.md.

    Args:
        values: What every example gives.
        seed: Of the resamples.
        resamples: How many are drawn.

    Source: Westfall & Young (1993), Resampling-Based Multiple Testing, algorithm 2.5 with a
    statistic of either sign; Tusher, Tibshirani & Chu (2001), Proceedings of the National Academy
    of Sciences 98, 5116-5121, for the moderated t.

    >>> values = np.random.default_rng(0).normal([0.0, 1.0], 1, (50, 2))
    >>> found = means_at_once(values, seed=1)
    >>> (found.p_corrected < 0.05).tolist(), (found.low_all > 0).tolist()
    ([False, True], [False, True])
    """
    n = len(values)
    mean, low, high = mean_interval(np.array(n), values.sum(0), (values**2).sum(0))
    p = student_p(mean, low, high, np.array(n))
    low_all, high_all, p_corrected = np.full((3, len(mean)), np.nan)
    is_known = ~np.isnan(low)
    if is_known.any():
        half, p_corrected[is_known] = _tested(values[:, is_known], seed, resamples)
        low_all[is_known] = mean[is_known] - half
        high_all[is_known] = mean[is_known] + half
    # For all at once nothing is more certain than alone.
    return Means(
        mean,
        low,
        high,
        low_all=np.minimum(low_all, low),
        high_all=np.maximum(high_all, high),
        p=p,
        p_corrected=np.maximum(p_corrected, p),
    )


def _tested(
    values: Float[np.ndarray, "example quantity"], seed: int, resamples: int
) -> tuple[Quantities, Quantities]:
    """Half the widths of the intervals for all quantities, and corrected p-values."""
    n = len(values)
    mean = values.mean(0)
    centred = values - mean
    powers = np.concatenate([centred, centred**2], axis=1)
    variance = (centred**2).mean(0)
    deviation = np.sqrt(variance)
    typical = deviation.mean()
    rng = np.random.default_rng(seed)
    drawn = []
    for rows in chunks(resamples, max(powers.shape)):
        # How often each example was drawn, [resample, example].
        times = rng.multinomial(n, np.full(n, 1 / n), rows).astype(np.float64)
        means, squares = np.split(times @ powers / n, 2, axis=1)
        # Where the values that were drawn are all alike, their mean is as good as certain.
        deviations = np.sqrt(np.maximum(squares - means**2, _ROUNDING * variance))
        sizes = np.abs(means)
        largest_t = (sizes / deviations).max(1)
        largest_moderated = (sizes / (deviations + typical)).max(1)
        drawn.append([largest_t, largest_moderated])
    half_widths, p_values = [], []
    # Statistics are without the root of n - 1, which is the same in all of them.
    for scale, largest in zip(
        (deviation, deviation + typical), np.concatenate(drawn, axis=1), strict=True
    ):
        p, critical = _against(np.abs(mean) / scale, largest)
        half_widths.append(critical * scale)
        p_values.append(p)
    return np.min(half_widths, axis=0), np.minimum(2 * np.min(p_values, axis=0), 1.0)


def _against(size: Quantities, drawn: Float[np.ndarray, " resample"]) -> tuple[Quantities, float]:
    """The p-values of statistics, in size, among the largest ones of resamples, and the size beyond
    which they are significant.
    """
    largest = np.sort(np.concatenate([[size.max()], drawn]))
    as_large = len(largest) - np.searchsorted(largest, size - TIE)
    # So many may be as large as what is significant, and no more.
    allowed = int(np.ceil(_LEVEL * len(largest) - TIE)) - 1
    return as_large / len(largest), float(largest[-1 - allowed]) + TIE
