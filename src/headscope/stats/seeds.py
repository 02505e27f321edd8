"""Means over fine-tunings that differ in their seed."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from headscope.stats.paired import holm


@dataclass(frozen=True)
class OverSeeds:
    """Several quantities as means over seeds, such as the change in points by each set.

    Attributes:
        mean: The mean over seeds.
        low: The lower end of its 95% interval (Student's t).
        high: The upper end.
        p: Two-sided, under the null hypothesis that the mean is 0.
        p_corrected: Holm's correction over the sets.
        gains: How many seeds have a value above 0.
        same_sign: The share of the seeds whose value has the sign of the mean.
    """

    mean: Float[np.ndarray, "set"]
    low: Float[np.ndarray, "set"]
    high: Float[np.ndarray, "set"]
    p: Float[np.ndarray, "set"]
    p_corrected: Float[np.ndarray, "set"]
    gains: Int[np.ndarray, "set"]
    same_sign: Float[np.ndarray, "set"]


def over_seeds(values: Float[np.ndarray, "seed set"]) -> OverSeeds:
    """Mean, interval and test over seeds.

    They speak for new seeds on these examples: fine-tunings are independent of each other, and
    their validation set is the same. Interval and p are NaN for one seed.

    >>> found = over_seeds(np.array([[1.0], [2.0], [3.0]]))
    >>> found.low.round(2).tolist(), found.high.round(2).tolist()  # 2 -+ 4.303 / sqrt(3)
    ([-0.48], [4.48])
    """
    seeds = len(values)
    mean = values.mean(0)
    error = np.full(len(mean), np.nan)
    if seeds > 1:
        error = values.std(0, ddof=1) / math.sqrt(seeds)
    # Where all seeds agree: certain, unless the mean is 0.
    certain = np.where(mean == 0, 0.0, np.inf)
    t = np.divide(mean, error, out=certain, where=error != 0)
    p = 2 * stats.t.sf(np.abs(t), seeds - 1)
    half_width = stats.t.ppf(0.975, seeds - 1) * error
    return OverSeeds(
        mean=mean,
        low=mean - half_width,
        high=mean + half_width,
        p=p,
        p_corrected=holm(p),
        gains=(values > 0).sum(0),
        same_sign=(np.sign(values) == np.sign(mean)).mean(0),
    )
