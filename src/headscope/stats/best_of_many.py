"""What are the gains of many sets worth? Changes are in points, after minus before.

`set_gains` decides which are more than noise and how large they are at least, `best_gain` holds
the largest beside the largest under the null hypothesis, and `honest_gain` says what choosing the
best set is worth on examples that did not choose it.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from headscope.errors import HeadscopeError
from headscope.names import SIGNIFICANT
from headscope.stats.exchange import TIE, Exchange, Outcomes, max_t
from headscope.stats.means import FEWEST
from headscope.stats.metrics import metric_named
from headscope.stats.paired import Z, chunks

SPLITS = 1000


@dataclass(frozen=True)
class SetGains:
    """The change of every set, tested for a gain.

    Attributes:
        change: Points.
        p: p-values of a gain, adjusted for all sets: of those that gain nothing, none has one
            below 0.05, with a probability of 95%.
        at_least: For sets whose gain is significant, lower bounds of the true gains in points,
            which hold for all of them at once with 95% confidence and lie above 0; else NaN.
    """

    change: Float[np.ndarray, "set"]
    p: Float[np.ndarray, "set"]
    at_least: Float[np.ndarray, "set"]

    @property
    def significant(self) -> list[int]:
        """The sets whose gain is significant, the largest gain first."""
        largest_first = np.argsort(-self.change, kind="stable")
        return [int(at) for at in largest_first if self.p[at] < SIGNIFICANT]


def set_gains(drawn: Exchange) -> SetGains:
    """Which sets gain more than noise, and how much at least, by either of two tests.

    Scaled by their spread, a small gain of a head that changes few predictions can stand out; in
    points, the large gain of one that changes many. Each test has half of the level (Bonferroni),
    so that 5% is the family-wise error of both. A lower bound is the change minus the largest
    change that would not be significant: the inverse of the tests, with the distribution under
    the null hypothesis moved to the true change, for all sets, so that it holds for those that the
    data choose. How well: docs/statistics.md. A set whose gain is not significant has no bound,
    since where few predictions flipped by chance, their spread says too little of a loss.
    """
    level = SIGNIFICANT / 2
    scaled = max_t(drawn, level, scaled=True)
    points = max_t(drawn, level, scaled=False)
    change = drawn.changes[0]
    p = np.minimum(2 * np.minimum(scaled.p, points.p), 1.0)
    bound = change - np.minimum(scaled.threshold, points.threshold)
    return SetGains(change, p, at_least=np.where(p < SIGNIFICANT, bound, np.nan))


@dataclass(frozen=True)
class BestGain:
    """The best set's gain beside the best gain under the null hypothesis, in points.

    Attributes:
        index: The best set.
        gain: Its change.
        null_mean: The mean of the best gain under the null hypothesis.
        null_high: The 95th percentile of it.
    """

    index: int
    gain: float
    null_mean: float
    null_high: float


def best_gain(drawn: Exchange) -> BestGain:
    """The largest gain over the sets, as observed and under the null hypothesis."""
    best = drawn.changes.max(1)
    return BestGain(
        index=int(drawn.changes[0].argmax()),
        gain=float(best[0]),
        null_mean=float(best.mean()),
        null_high=float(np.quantile(best, 0.95)),
    )


@dataclass(frozen=True)
class HonestGain:
    """What choosing the best set is worth: its change in points, where it was chosen and elsewhere.

    Splits choose different sets, so this is of the choice and not of a set.

    Attributes:
        apparent: The mean change on the halves that chose.
        gain: The mean change on the other halves.
        low: The lower end of the 95% interval of `gain`; NaN where it is the same on all halves,
            which says nothing of its spread, and for fewer than `FEWEST` examples.
        high: The upper end.
        chosen: The share of the splits in which each set is chosen.
    """

    apparent: float
    gain: float
    low: float
    high: float
    chosen: Float[np.ndarray, "set"]


def honest_gain(outcomes: Outcomes, seed: int, splits: int = SPLITS) -> HonestGain:
    """Choose the best set on a random half of the examples (or of their groups) and score it on the
    other, many times.

    Sets that tie for the best share the choice. For Spearman's correlation, the ranks on a half are
    those among all examples (on 277 they move the gain by less than 0.1 points). The mean is what a
    choice made with half of the examples is worth on new ones; a choice made with all of them is
    worth a little more.

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
    for half in _halves(outcomes.cases, splits, seed):
        seen = outcomes.changes(half.astype(np.float64))
        unseen = outcomes.changes((~half).astype(np.float64))
        best = seen.max(1, keepdims=True)
        ties = seen >= best - TIE
        shares = ties / ties.sum(1, keepdims=True)
        apparent.append(best[:, 0])
        gains.append((shares * unseen).sum(1))
        chosen.append(shares)
    gain = np.concatenate(gains)
    spread = float(gain.std(ddof=1))
    cases = metric_named(outcomes.metric).cases(outcomes.labels, outcomes.groups)
    is_known = spread > TIE and cases >= FEWEST
    half_width = Z * spread * math.sqrt(1 / splits + 1) if is_known else math.nan
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
