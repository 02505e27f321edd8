"""What is the gain of the best of many sets worth? Changes are in points, after minus before.

`best_gain` holds it beside the best gain under the null hypothesis, `honest_gain` scores the best
set on examples that did not choose it.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from headscope.errors import HeadscopeError
from headscope.stats.exchange import TIE, Exchange, Outcomes
from headscope.stats.paired import Z, chunks

SPLITS = 1000


@dataclass(frozen=True)
class BestGain:
    """The best set's gain beside the best gain under the null hypothesis, in points.

    Attributes:
        index: The best set.
        gain: Its change.
        null_mean: The mean of the best gain under the null hypothesis.
        null_high: The 95th percentile of it.
        p: The share of draws whose best gain is as large.
    """

    index: int
    gain: float
    null_mean: float
    null_high: float
    p: float


def best_gain(drawn: Exchange) -> BestGain:
    """The largest gain over the sets, as observed and under the null hypothesis."""
    best = drawn.changes.max(1)
    return BestGain(
        index=int(drawn.changes[0].argmax()),
        gain=float(best[0]),
        null_mean=float(best.mean()),
        null_high=float(np.quantile(best, 0.95)),
        p=float((best >= best[0] - TIE).mean()),
    )


@dataclass(frozen=True)
class HonestGain:
    """The best set's change in points, where it was chosen and elsewhere.

    Attributes:
        apparent: The mean change on the halves that chose.
        gain: The mean change on the other halves.
        low: The lower end of the 95% interval of `gain`.
        high: The upper end.
        chosen: The share of the splits in which each set is chosen.
    """

    apparent: float
    gain: float
    low: float
    high: float
    chosen: Float[np.ndarray, "set"]


def honest_gain(outcomes: Outcomes, seed: int, splits: int = SPLITS) -> HonestGain:
    """Choose the best set on a random half of the examples and score it on the other, many times.

    Sets that tie for the best share the choice. The mean is what a choice made with half of the
    examples is worth on new ones; a choice made with all of them is worth a little more.

    The 95% interval has the variance of Nadeau & Bengio (2003), Machine Learning 52: that over
    splits times 1 / splits + 1, the 1 being the number of scored over that of choosing examples.
    It is the usual interval where every split chooses the same set, and wider than need be where
    choices differ. Splits overlap, so their standard error, which falls to 0 with their number, is
    no measure of uncertainty; nor is a bootstrap, since in resamples the noise of these examples,
    which chose, would pass for a true gain.

    Args:
        outcomes: Predictions before and after.
        seed: Of the splits.
        splits: How many.

    Raises:
        HeadscopeError: There is only one example.
    """
    apparent, gains, chosen = [], [], []
    for half in _halves(len(outcomes.labels), splits, seed):
        seen = outcomes.changes(half.astype(np.float64))
        unseen = outcomes.changes((~half).astype(np.float64))
        best = seen.max(1, keepdims=True)
        ties = seen >= best - TIE
        shares = ties / ties.sum(1, keepdims=True)
        apparent.append(best[:, 0])
        gains.append((shares * unseen).sum(1))
        chosen.append(shares)
    gain = np.concatenate(gains)
    half_width = Z * float(gain.std(ddof=1)) * math.sqrt(1 / splits + 1)
    mean = float(gain.mean())
    return HonestGain(
        apparent=float(np.concatenate(apparent).mean()),
        gain=mean,
        low=mean - half_width,
        high=mean + half_width,
        chosen=np.concatenate(chosen).mean(0),
    )


def _halves(n: int, splits: int, seed: int) -> Iterator[Bool[np.ndarray, "split example"]]:
    """Random halves of `n` examples, a chunk at a time."""
    if n < 2:
        raise HeadscopeError(
            "one example cannot both choose and confirm: give at least 2, better some hundreds"
        )
    rng = np.random.default_rng(seed)
    for rows in chunks(splits, n):
        yield rng.random((rows, n)).argsort(1) < n // 2
