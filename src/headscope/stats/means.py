"""Means over examples, with intervals from sums that add up over shards."""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student

Array = npt.NDArray[Any]

FEWEST = 10
"""Independent cases without which the mean of a quantity that may be skewed has no interval."""
_ROUNDING = 2.0**-44
"""What may be left, relative to its mean square, of the variance of a constant: its values are
computed in float32 and may differ by two units in the last place, 2**-22.
"""


def mean_interval(n: Array, total: Array, squares: Array) -> tuple[Array, Array, Array]:
    """Mean and 95% interval (Student's t) from sums that add up over shards.

    The ends are NaN below `FEWEST` cases, since measures of attention are skewed and Student's t
    then covers too seldom, and where all values are equal: no spread seen is no spread known.

    Args:
        n: Counts, of any shape.
        total: Sums.
        squares: Sums of squares.

    Returns:
        Mean, lower and upper end. NaN where n is 0.

    >>> values = np.arange(10.0)[:, None]  # 4.5 -+ 2.262 * 3.028 / sqrt(10)
    >>> mean, low, high = mean_interval(np.array([10]), values.sum(0), (values**2).sum(0))
    >>> mean.tolist(), low.round(2).tolist(), high.round(2).tolist()
    ([4.5], [2.33], [6.67])
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = total / n
        variance = squares / n - mean**2
        is_known = (n >= FEWEST) & (variance > _ROUNDING * squares / n)
        # Of one case less, since the mean is one of the data's own.
        error = np.sqrt(np.where(is_known, variance, np.nan) / (n - 1))
        half = student.ppf(0.975, n - 1) * error
    return mean, mean - half, mean + half


def interval_of_mean(values: Array) -> tuple[float, float, float]:
    """Mean and 95% interval of values [case]: `mean_interval` of one quantity.

    >>> interval_of_mean(np.ones(20))
    (1.0, nan, nan)
    """
    n, total, squares = np.array([len(values)]), values.sum()[None], (values**2).sum()[None]
    mean, low, high = mean_interval(n, total, squares)
    return mean.item(), low.item(), high.item()


def student_p(mean: Array, low: Array, high: Array, n: Array) -> Array:
    """Two-sided p-values that means are 0, of the test whose interval `mean_interval` gives.

    Args:
        mean: Means.
        low: The lower ends of their intervals.
        high: The upper ends.
        n: How many cases each is over.

    Returns:
        NaN where there is no interval.

    >>> p = student_p(np.array([1.0]), np.array([0.0]), np.array([2.0]), np.array([10]))
    >>> p.round(6).tolist()
    [0.05]
    """
    error = (high - low) / 2 / student.ppf(0.975, n - 1)
    return np.asarray(2 * student.sf(np.abs(mean) / error, n - 1))


def known(value: float) -> float | None:
    """A number for a row of a table: None where it is NaN."""
    return None if np.isnan(value) else float(value)
