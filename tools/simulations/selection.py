"""Does disabling one of many heads help? How often the verdict names a head that gains nothing, or
says too much of its gain, and which gains it finds.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import rankdata

from headscope.names import SIGNIFICANT
from headscope.stats.best_of_many import HonestGain, best_gain, honest_gain, set_gains
from headscope.stats.changes import change_intervals
from headscope.stats.exchange import Exchange, Outcomes, exchange, max_t
from headscope.stats.metrics import METRICS, Sums
from headscope.stats.verdicts import verdict
from simulations.base import Rate, Section

EXCHANGES, SPLITS = 400, 40
"""Fewer than headscope makes (2,000 and 1,000): the tests are as valid, and find a little less."""
_OPEN, _WRONG = 0.2, 0.1
"""The share of examples whose label is a coin, and of wrong predictions among the others."""
_CLASS = 0.6
"""How often the model predicts class 1, where the label is no coin."""
_CORRELATION, _KEPT = 0.8, 0.95
"""Of predictions and labels, and of the errors before and after."""


@dataclass(frozen=True)
class Heads:
    """Heads that are disabled in turn, and what that truly changes.

    Attributes:
        accuracy: By how much each changes the accuracy, in points; for a regression, by how much
            the correlation of predictions and labels.
        flips: The share of predictions that disabling flips by chance, as often to right as to
            wrong: of every head, or the lowest and the highest.
        power: To which power predictions of a regression are raised by disabling: it stretches or
            squeezes them, and does not change their order.
    """

    metric: str
    n: int
    accuracy: Sequence[float]
    flips: tuple[float, float] = (0.02, 0.02)
    power: float = 1.0

    @cached_property
    def truth(self) -> Float[np.ndarray, "set"]:
        """The true change of the metric, in points."""
        change = np.array(self.accuracy)
        if self.metric == "accuracy":
            return change
        if self.metric == "spearman":
            before, after = _spearman(_CORRELATION), _spearman(_CORRELATION + change / 100)
            return np.asarray(after - before)
        # F1 from the shares of hits, false alarms and misses.
        coin = _OPEN / 4
        hit = (1 - _OPEN) * _CLASS * (1 - _WRONG) + coin
        alarm = (1 - _OPEN) * _CLASS * _WRONG + coin
        miss = (1 - _OPEN) * (1 - _CLASS) * _WRONG + coin
        mended = change / 100 / ((1 - _OPEN) * _WRONG)
        fewer_alarms = mended * (1 - _OPEN) * _CLASS * _WRONG
        fewer_misses = mended * (1 - _OPEN) * (1 - _CLASS) * _WRONG
        after = _f1(hit + fewer_misses, alarm - fewer_alarms, miss - fewer_misses)
        return np.asarray(after - _f1(hit, alarm, miss))

    def drawn(self, rng: np.random.Generator) -> Outcomes:
        """Predictions on new examples."""
        if METRICS[self.metric].regression:
            return self._regression(rng)
        n, sets = self.n, len(self.accuracy)
        is_open = rng.random(n) < _OPEN
        before = (rng.random(n) < np.where(is_open, 0.5, _CLASS)).astype(int)
        known = np.where(rng.random(n) < _WRONG, 1 - before, before)
        labels = np.where(is_open, rng.integers(0, 2, n), known)
        after = np.tile(before, (sets, 1))
        # Where the label is a coin, a flip helps as often as it hurts.
        flips = np.linspace(*self.flips, sets)[:, None]
        open_ones = np.flatnonzero(is_open)
        is_flipped = rng.random((sets, len(open_ones))) < flips / _OPEN
        after[:, open_ones] ^= is_flipped
        # Elsewhere a head that gains rights wrong ones, and one that loses turns right ones wrong.
        gained = np.array(self.accuracy)[:, None] / 100 / (1 - _OPEN)
        is_right = labels == before
        for where, share in ((~is_right, gained / _WRONG), (is_right, -gained / (1 - _WRONG))):
            rows = np.flatnonzero(~is_open & where)
            after[:, rows] ^= rng.random((sets, len(rows))) < share
        return Outcomes(self.metric, labels, before, after)

    def _regression(self, rng: np.random.Generator) -> Outcomes:
        labels, error = rng.normal(size=(2, self.n))
        own = rng.normal(size=(len(self.accuracy), self.n))
        before = _correlated(labels, error, np.array(_CORRELATION))
        mixed = _KEPT * error + np.sqrt(1 - _KEPT**2) * own
        correlation = _CORRELATION + np.array(self.accuracy)[:, None] / 100
        after = _correlated(labels, mixed, correlation)
        after = np.sign(after) * np.abs(after) ** self.power
        return Outcomes(self.metric, labels, before, after)


def _correlated(labels: np.ndarray, error: np.ndarray, correlation: np.ndarray) -> np.ndarray:
    return np.asarray(correlation * labels + np.sqrt(1 - correlation**2) * error)


def _spearman(correlation: float | np.ndarray) -> np.ndarray:
    """Spearman's correlation of two normal variables, in points, from Pearson's."""
    return np.asarray(600 / np.pi * np.arcsin(np.asarray(correlation) / 2))


def _f1(hit: float | np.ndarray, alarm: float | np.ndarray, miss: float | np.ndarray) -> np.ndarray:
    return np.asarray(100 * 2 * hit / (2 * hit + alarm + miss))


@dataclass(frozen=True)
class PooledRanks(Outcomes):
    """The old form of Spearman's test: ranks of the predictions of both sides together."""

    @cached_property
    def terms(self) -> tuple[Sums, Sums]:
        """As of `Outcomes`."""
        n = len(self.labels)
        before = np.broadcast_to(self.before, self.after.shape)
        both = rankdata(np.concatenate([before, self.after], axis=1), axis=1)
        terms = METRICS["spearman"].terms(np.tile(rankdata(self.labels), 2), both)
        first = {name: term[..., :n] for name, term in terms.items()}
        second = {name: term[..., n:] for name, term in terms.items()}
        return first, second


@dataclass(frozen=True)
class Rates:
    """What happened in the draws.

    Attributes:
        false: A head without a gain is named.
        too_high: The lower bound of a head that is named lies above its true gain.
        own: The lower end of the own interval of the head with the largest gain does.
        found: A head with a gain is named.
        contradicted: The verdict is "contradicted".
        old: The old rule said "supported".
        old_other: It did, and showed the gain of a head that is not significant.
    """

    false: Rate
    too_high: Rate
    own: Rate
    found: Rate
    contradicted: Rate
    old: Rate
    old_other: Rate


def simulate(heads: Heads, times: int) -> Rates:
    """Draw examples so many times and give the verdict on each.

    Intervals of single heads, and with them "contradicted", are those of accuracy alone; for other
    metrics they are bootstraps, which take too long here.
    """
    rng = np.random.default_rng(18)
    truth = heads.truth + 1e-9
    does_gain = heads.truth > 1e-9
    names = [str(at) for at in range(len(truth))]
    events = []
    for seed in range(times):
        outcomes = heads.drawn(rng)
        drawn = exchange(outcomes, seed, EXCHANGES)
        best, gains = best_gain(drawn), set_gains(drawn)
        lows, highs = _intervals(outcomes)
        honest = honest_gain(outcomes, seed, SPLITS)
        word = verdict(heads.metric, names, gains, highs, best, honest).word
        is_named = np.zeros(len(truth), dtype=bool)
        is_named[gains.significant] = True
        if heads.metric == "spearman":
            pooled = PooledRanks(heads.metric, outcomes.labels, outcomes.before, outcomes.after)
            drawn, honest = exchange(pooled, seed, EXCHANGES), honest_gain(pooled, seed, SPLITS)
        was_named = _old_rule(drawn, honest)
        events.append(
            (
                (is_named & ~does_gain).any(),
                (gains.at_least > truth).any(),  # NaN for heads that are not named
                lows[best.index] > truth[best.index],
                (is_named & does_gain).any(),
                word == "contradicted",
                was_named.any(),
                was_named.any() and not was_named[best.index],
            )
        )
    return Rates(*(Rate(int(hits), times) for hits in np.array(events).sum(0)))


def _intervals(outcomes: Outcomes) -> Float[np.ndarray, "2 set"]:
    """The lower and the upper ends of each head's own 95% interval; NaN but for accuracy."""
    if outcomes.metric != "accuracy":
        return np.full((2, len(outcomes.after)), np.nan)
    ends = change_intervals("accuracy", outcomes.labels, outcomes.before, outcomes.after, seed=0)
    return np.array(ends).T


def _old_rule(drawn: Exchange, honest: HonestGain) -> Bool[np.ndarray, "set"]:
    """The heads by which the old rule said "supported": step-down max-T, scaled, at the full level,
    if the held-out gain was above 0. It showed the gain of the head with the largest.
    """
    named = np.zeros(len(drawn.spread), dtype=bool)
    if honest.gain <= 0:
        return named
    # Step down: heads that are significant are left out, and the others are compared again.
    while not named.all():
        left = np.flatnonzero(~named)
        some = Exchange(drawn.changes[:, left], drawn.spread[left])
        further = max_t(some, SIGNIFICANT, scaled=True).p <= SIGNIFICANT
        if not further.any():
            break
        named[left[further]] = True
    return named


def _one(gain: float, others: float = 0.0, heads: int = 72) -> tuple[float, ...]:
    """The gains of one head and of the others."""
    return gain, *([others] * (heads - 1))


def _some(gain: float, count: int, heads: int = 72) -> tuple[float, ...]:
    """The gains of some heads among others without a gain."""
    return (gain,) * count + (0.0,) * (heads - count)


FEW = (0.001, 0.005)
"""Heads that flip few predictions."""
UNLIKE = (0.002, 0.08)
"""Heads of which some flip few predictions and some many."""


def _cases() -> Iterator[tuple[str, Heads]]:
    """What is simulated, each with what the heads gain in words."""
    for metric in ("accuracy", "f1", "spearman"):
        for n in (277, 408, 5463):
            for heads in (72, 144):
                yield f"none of {heads}", Heads(metric, n, _some(0, 0, heads))
    for n in (277, 408, 5463):
        for gain in (0.5, 1, 2, 3):
            yield f"one of 72: +{gain}", Heads("accuracy", n, _one(gain))
    for gain in (1, 2, 3):
        yield f"one of 144: +{gain}", Heads("accuracy", 408, _one(gain, heads=144))
        yield f"one of 72: +{gain}", Heads("f1", 408, _one(gain))
        yield f"one of 72: +{gain}", Heads("spearman", 408, _one(gain))
    yield "ten of 72: +1", Heads("accuracy", 408, _some(1, 10))
    yield "ten of 72: +1", Heads("f1", 408, _some(1, 10))
    yield "all 72: +1", Heads("accuracy", 277, _some(1, 72))
    yield "all 72: +1", Heads("f1", 277, _some(1, 72))
    yield "all 72: +1", Heads("spearman", 277, _some(1, 72))
    yield "one of 72: +2, the others -1", Heads("accuracy", 408, _one(2, -1))
    yield "none of 72, flips of 0.2 to 8%", Heads("accuracy", 408, _some(0, 0), UNLIKE)
    yield (
        "one of 72: +1.5, of 0.2% flips; the others up to 8%",
        Heads("accuracy", 408, _one(1.5), UNLIKE),
    )
    yield (
        "one of 72: +4, of 8% flips; the others down to 0.2%",
        Heads("accuracy", 408, _one(4)[::-1], UNLIKE),
    )
    for power, does in ((3.0, "stretches"), (0.5, "squeezes")):
        told = f"of 72, each of which {does} the predictions"
        yield f"none {told}", Heads("spearman", 408, _some(0, 0), power=power)
        yield f"one +2 {told}", Heads("spearman", 408, _one(2), power=power)
    for n in (408, 1000, 5463):
        yield "none of 72, flips of 0.1 to 0.5%", Heads("accuracy", n, _some(0, 0), FEW)
        yield (
            "one of 72: +0.5, of 0.1% flips; the others up to 0.5%",
            Heads("accuracy", n, _one(0.5), FEW),
        )
    yield "one of 72: +0.5, the others -2", Heads("accuracy", 5463, _one(0.5, -2))
    yield "all 72: -1", Heads("accuracy", 5463, _one(-1, -1))


def _times(heads: Heads) -> int:
    """How many draws are affordable."""
    if heads.metric == "spearman":
        return 150 if heads.n < 2000 else 40
    return 400 if heads.n < 2000 else 100


def section() -> Section:
    """The section of docs/statistics.md."""
    rows = []
    for told, heads in _cases():
        rates = simulate(heads, _times(heads))
        is_accuracy, is_null = heads.metric == "accuracy", max(heads.truth) <= 0
        rows.append(
            (
                heads.metric,
                str(heads.n),
                told,
                str(rates.false),
                "–" if is_null else str(rates.too_high),
                "–" if is_null else str(rates.found),
                str(rates.contradicted) if is_accuracy else "–",
                str(rates.old),
                str(rates.old_other),
                str(rates.own) if is_accuracy else "–",
            )
        )
    return Section(
        title="Does disabling one of many heads help?",
        text=TEXT,
        header=(
            "metric",
            "examples",
            "heads that gain, points",
            "names a head without a gain",
            "a bound above the true gain",
            "names a head with a gain",
            "contradicted",
            "before: supported",
            "before: showed another head",
            "own interval above the true gain",
        ),
        rows=rows,
    )


TEXT = """Heads are disabled in turn, 72 or 144 of them. Most gain nothing: each flips 2% of the
predictions (where nothing else is said), as often to right as to wrong. The gains of others are
given in points of accuracy (of F1 and Spearman's rho: in points of accuracy, and of the correlation
of scores, which give them). A head is *named* if its gain is significant by max-T, scaled or in
points, each at half the level; of a head without a gain that should happen in 5% of the draws or
fewer. Each named head comes with a lower *bound* of its gain; that one of them is above the true
gain should happen in 5% or fewer. *Contradicted* should be said in 2.5% or fewer where a head gains
half a point (in accuracy; for other metrics that is as sure as their intervals). Before,
"supported" was said where the scaled step-down test found any head and the held-out gain was above
0, and the gain that was shown was that of the head with the largest, which might be *another head*
than those found; Spearman's rho was tested on ranks of both sides together. The last column is why
the size of the largest gain needs a bound of its own: how often the lower end of that head's own
95% interval lies above its true gain. With 400 exchanges and 40 splits instead of 2,000 and
1,000."""
