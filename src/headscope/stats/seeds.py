"""Means over fine-tunings that differ in their seed, scored on the same examples."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import t as student

from headscope.stats.paired import holm

FEWEST = 3
"""Seeds without which a mean is not tested: the spread of two says next to nothing."""
_HALVINGS = 60
_LEAST_P = 1e-15


@dataclass(frozen=True)
class OverSeeds:
    """Several quantities as means over seeds, such as the change in points by each set.

    Attributes:
        mean: The mean over seeds.
        low: The lower end of its 95% interval, for new seeds and new examples.
        high: The upper end.
        p: Two-sided, under the null hypothesis that the mean is 0; NaN for fewer than three seeds.
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


@dataclass(frozen=True)
class _Errors:
    """The two parts of the variance of means over seeds, which are independent, and their degrees
    of freedom.
    """

    of_seeds: Float[np.ndarray, "set"]
    of_examples: Float[np.ndarray, "set"]
    seeds: int
    examples: int

    def half_width(self, p: Float[np.ndarray, "set"]) -> Float[np.ndarray, "set"]:
        """Half the width of intervals that miss the truth in a share `p` of cases, or fewer.

        Each part is taken with its own quantile of Student's t. Their sum with Satterthwaite's
        degrees of freedom is narrower, and rejects too often where the seeds are few and vary most.
        """
        of_seeds = student.isf(p / 2, self.seeds - 1) ** 2 * self.of_seeds
        of_examples = student.isf(p / 2, self.examples - 1) ** 2 * self.of_examples
        return np.asarray(np.sqrt(of_seeds + of_examples))


def over_seeds(
    values: Float[np.ndarray, "seed set"], variance: Float[np.ndarray, "set"], examples: int
) -> OverSeeds:
    """Mean, interval and test over seeds and examples, both of them drawn at random.

    The error of a mean has two parts: the seeds' own, from the spread of the values, and that of
    the examples, which all seeds share (Clark 1973). Without the second, seeds that happen to agree
    would make a mean certain. Both contain how seeds differ from example to example, so the
    interval is wider than need be where that is all.

    Args:
        values: One per seed, of the same examples.
        variance: The variance of each mean that comes from the examples.
        examples: How many there are.

    Returns:
        NaN in place of intervals and p for one seed, of p for two.

    Source: Clark (1973), Journal of Verbal Learning and Verbal Behavior 12; Banerjee (1960),
    Sankhya 22, for the interval.

    >>> found = over_seeds(np.array([[1.0], [2.0], [3.0]]), np.array([0.25]), 400)
    >>> found.low.round(2).tolist()  # 2 - sqrt(4.303^2 / 3 + 1.966^2 / 4)
    [-0.67]
    """
    seeds = len(values)
    mean = values.mean(0)
    p = np.full(len(mean), np.nan)
    half_width = p
    if seeds > 1:
        errors = _Errors(values.var(0, ddof=1) / seeds, variance, seeds, examples)
        half_width = errors.half_width(np.full(len(mean), 0.05))
        # A width of 0 would say that nothing else is possible.
        half_width = np.where(half_width > 0, half_width, np.nan)
    if seeds >= FEWEST:
        p = _p_values(mean, errors)
    return OverSeeds(
        mean=mean,
        low=mean - half_width,
        high=mean + half_width,
        p=p,
        p_corrected=np.where(np.isnan(p), np.nan, holm(np.nan_to_num(p, nan=1.0))),
        gains=(values > 0).sum(0),
        same_sign=(np.sign(values) == np.sign(mean)).mean(0),
    )


def _p_values(mean: Float[np.ndarray, "set"], errors: _Errors) -> Float[np.ndarray, "set"]:
    """The p at which the interval just reaches 0, by halving the range of its logarithm."""
    low = np.full(len(mean), math.log(_LEAST_P))
    high = np.zeros(len(mean))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        holds_zero = np.abs(mean) <= errors.half_width(np.exp(middle))
        low = np.where(holds_zero, middle, low)
        high = np.where(holds_zero, high, middle)
    return np.where(np.isnan(errors.half_width(np.exp(high))), np.nan, np.exp(high))
