"""Intervals and tests for scores over examples. Pure NumPy; knows nothing of models.

Every function takes arrays over examples and, where it draws, a seed. A `RowScore` scores many data
sets at once: (labels [row, example], predictions [row, example]) -> [row].
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

Array = npt.NDArray[Any]
RowScore = Callable[[Array, Array], Array]

RESAMPLES = 2000
_CELLS = 4_000_000
_Z = 1.959963984540054


def _chunks(resamples: int, n: int) -> list[int]:
    size = max(1, _CELLS // max(n, 1))
    return [min(size, resamples - start) for start in range(0, resamples, size)]


def bootstrap(
    score: RowScore, labels: Array, predictions: list[Array], seed: int, resamples: int = RESAMPLES
) -> Float[np.ndarray, "which resample"]:
    """The scores of several predictions on the same resamples of the examples (paired
    bootstrap).
    """
    rng = np.random.default_rng(seed)
    n, parts = len(labels), []
    for rows in _chunks(resamples, n):
        drawn = rng.integers(0, n, (rows, n))
        parts.append(np.stack([score(labels[drawn], p[drawn]) for p in predictions]))
    return np.concatenate(parts, axis=1)


def interval(values: Array) -> tuple[float, float]:
    """The central 95% of resampled values (percentile interval)."""
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def wilson(successes: int, n: int) -> tuple[float, float]:
    """Wilson's 95% score interval of a share, as fractions; honest also at 0 of n and n of n."""
    share, z2 = successes / n, _Z**2 / n
    centre = (share + z2 / 2) / (1 + z2)
    half = _Z * np.sqrt(share * (1 - share) / n + z2 / n / 4) / (1 + z2)
    return float(max(0.0, centre - half)), float(min(1.0, centre + half))


def mcnemar(labels: Array, before: Array, after: Array) -> float:
    """The exact McNemar test: the two-sided p that right -> wrong and wrong -> right are equally
    likely.
    """
    from scipy.stats import binomtest

    lost = int(np.sum((before == labels) & (after != labels)))
    won = int(np.sum((before != labels) & (after == labels)))
    return float(binomtest(lost, lost + won).pvalue) if lost + won else 1.0


def permutation(
    score: RowScore,
    labels: Array,
    before: Array,
    after: Array,
    seed: int,
    resamples: int = RESAMPLES,
) -> float:
    """The paired permutation test: two-sided p of the change in score if, example by example, the
    two predictions could as well change places. Never 0: the observed assignment counts as one of
    the draws.
    """
    differ = np.flatnonzero(before != after)
    if not len(differ):
        return 1.0
    one = score(labels[None], after[None]) - score(labels[None], before[None])
    observed = abs(float(one[0]))
    rng = np.random.default_rng(seed)
    extreme = 1
    for rows in _chunks(resamples, len(labels)):
        swap = rng.random((rows, len(differ))) < 0.5
        first, second = np.repeat(before[None], rows, 0), np.repeat(after[None], rows, 0)
        first[:, differ] = np.where(swap, after[differ], before[differ])
        second[:, differ] = np.where(swap, before[differ], after[differ])
        tiled = np.broadcast_to(labels, first.shape)
        change = np.abs(score(tiled, second) - score(tiled, first))
        extreme += int(np.sum(change >= observed - 1e-9))
    return extreme / (resamples + 1)


def holm(p: Array) -> Array:
    """Holm's correction: p-values that hold for the whole family at once, in the order given.

    >>> holm(np.array([0.01, 0.04, 0.03])).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p, kind="stable")
    scaled = p[order] * np.arange(len(p), 0, -1)
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return corrected


def mean_interval(n: Array, total: Array, squares: Array) -> tuple[Array, Array, Array]:
    """Mean and normal 95% interval from counts, sums and sums of squares, which add up over shards.

    NaN where n is 0; the interval is NaN where n is 1.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = total / n
        variance = np.maximum(squares / n - mean**2, 0) * n / (n - 1)
        half = _Z * np.sqrt(variance / n)
    half = np.where(n > 1, half, np.nan)
    return mean, mean - half, mean + half
