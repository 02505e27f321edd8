"""Does the best of many disabled sets gain more than the best of as many that do nothing? Knows
nothing of models.

With 144 heads disabled in turn, the largest "gain" is a maximum over noise. Here are a test that
knows it (`exchange`, `max_t`), the gain to expect from nothing (`best_gain`, `random_flips`), what
is left of it on examples that did not choose (`honest_gain`, `confirm`), means over fine-tunings
(`over_seeds`), words (`verdict`, `claim`). Changes are in points of the metric, after minus before.
Every metric of `headscope.tasks.metrics` is a function of sums over the examples, so that thousands
of swaps or halves are a few matrix products.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy import stats

from headscope.errors import HeadscopeError, unknown
from headscope.stats.paired import RESAMPLES, Array, holm, interval

Alternative = Literal["gain", "loss", "change"]
Word = Literal["supported", "not supported", "contradicted"]

SPLITS, LEVEL = 1000, 0.05
METRICS = {
    "accuracy": "accuracy",
    "f1": "F1",
    "matthews": "MCC",
    "pearson": "Pearson's r",
    "spearman": "Spearman's rho",
}
_CELLS, _TIE, _Z = 4_000_000, 1e-7, 1.959963984540054


@dataclass(frozen=True)
class Outcomes:
    """What the model says of every example as it is and with each set disabled, and the metric it
    is scored by.

    Spearman's correlation is taken as Pearson's of ranks, the model's and a set's predictions being
    ranked together, once: such ranks keep their values when predictions change places. Changes
    differ from Spearman's by order 1/n.
    """

    metric: str
    labels: Shaped[np.ndarray, "example"]
    before: Shaped[np.ndarray, "example"]
    after: Shaped[np.ndarray, "set example"]

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise unknown("metric", self.metric, METRICS)
        if not (self.after.size and self.labels.shape == self.before.shape == self.after.shape[1:]):
            shapes = f"{self.labels.shape}, {self.before.shape} and {self.after.shape}"
            raise HeadscopeError(
                "labels [n], before [n] and after [sets, n] are needed, 1 by 1 at least, not "
                f"{shapes}"
            )


@dataclass(frozen=True)
class _Sums:
    """What a metric sums over the examples: `fixed` [example] of the labels, [set or 1, example] of
    the predictions.
    """

    metric: str
    fixed: list[Array]
    before: list[Array]
    after: list[Array]

    def change(self, fixed: list[Array], before: list[Array], after: list[Array]) -> Array:
        return _points(self.metric, fixed, after) - _points(self.metric, fixed, before)

    def weighted(self, weights: Array) -> Array:
        """The change [draw, set] where every example counts `weights` [draw, example] times."""
        before, after = ([weights @ part.T for part in side] for side in (self.before, self.after))
        return self.change([(weights @ part)[:, None] for part in self.fixed], before, after)


def _sums(o: Outcomes) -> _Sums:
    metric, y, one, sides = o.metric, o.labels, np.ones(len(o.labels)), (o.before[None], o.after)
    if metric == "accuracy":
        return _Sums(metric, [one], *([_of(p == y)] for p in sides))
    if metric == "f1":
        return _Sums(
            metric, [_of(y == 1)], *([_of((p == 1) & (y == 1)), _of(p == 1)] for p in sides)
        )
    if metric == "matthews":
        classes = np.unique(np.concatenate([y, o.before, o.after.ravel()]))
        counts = ([_of(p == y), *(_of(p == c) for c in classes)] for p in sides)
        return _Sums(metric, [one, *(_of(y == c) for c in classes)], *counts)
    if metric == "spearman":
        both = np.concatenate([np.broadcast_to(o.before, o.after.shape), o.after], axis=1)
        y, pooled = stats.rankdata(y), stats.rankdata(both, axis=1)
        sides = pooled[:, : len(y)], pooled[:, len(y) :]
    y, centre = y - y.mean(), sides[0].mean()  # Small sums lose fewer digits.
    return _Sums(
        metric, [one, y, y * y], *([p, p * p, y * p] for p in (side - centre for side in sides))
    )


def _of(truth: Array) -> Array:
    return truth.astype(np.float64)


def _points(metric: str, fixed: list[Array], of: list[Array]) -> Array:
    """Points from the sums that `_sums` names, in its order; 0 where a correlation is not
    defined.
    """
    n = fixed[0]
    if metric == "accuracy":
        return 100 * _ratio(of[0], n)
    if metric == "f1":
        return 100 * _ratio(2 * of[0], of[1] + fixed[0])
    if metric == "matthews":  # Gorodkin's form, for any number of classes.
        above = of[0] * n - np.sum([t * p for t, p in zip(fixed[1:], of[1:], strict=True)], axis=0)
        spread = [n * n - np.sum(np.square(counts), axis=0) for counts in (fixed[1:], of[1:])]
    else:
        above = n * of[2] - fixed[1] * of[0]
        spread = [n * squares - total * total for total, squares in (fixed[1:], of[:2])]
        # What is left of a constant's variance is rounding.
        spread = [
            np.where(v > 1e-12 * n * x, v, 0.0)
            for v, x in zip(spread, (fixed[2], of[1]), strict=True)
        ]
    return 100 * _ratio(above, np.sqrt(spread[0]) * np.sqrt(spread[1]))


def _ratio(above: Array, below: Array) -> Array:
    above, below = np.broadcast_arrays(above, below)
    return np.divide(above, below, out=np.zeros(above.shape), where=below > 0)


@dataclass(frozen=True)
class Exchange:
    """Changes in points under the null, row 0 as seen, and their spread to first order, which no
    swap alters.
    """

    changes: Float[np.ndarray, "draw set"]
    spread: Float[np.ndarray, "set"]


def exchange(outcomes: Outcomes, seed: int, resamples: int = RESAMPLES) -> Exchange:
    """The changes of all sets if example by example the two predictions could as well change
    places.

    A draw swaps, for a random half of the examples, the model's prediction with the disabled
    model's, in all sets at once, so that sets which move the same examples stay as dependent as
    they are. All swaps are made where there are no more than `resamples`. Set by set this is exact
    for every metric (as is `statistics.permutation`). Jointly it is exact for accuracy: on an
    example the model is right or it is wrong, so the differences of all sets have one sign, and a
    swap is a new sign. For the other metrics no swap of the model's one prediction fits all sets;
    the draws then have the right means and covariances, and hold as examples become many (F1: 5 to
    6% for 5% at 277 examples).

    The null says "no better, no worse". A head that flips predictions at random is worse where the
    model is mostly right. Source: Westfall & Young (1993), Resampling-Based Multiple Testing; Dror
    et al. (2018), ACL, section 3.
    """
    sums = _sums(outcomes)
    moved = np.flatnonzero((outcomes.after != outcomes.before).any(0))
    fixed = [part.sum(keepdims=True) for part in sums.fixed]
    before, after = ([part.sum(1) for part in side] for side in (sums.before, sums.after))
    gaps = [(b[:, moved] - a[:, moved]).T for b, a in zip(sums.before, sums.after, strict=True)]
    middle = [(b + a) / 2 for b, a in zip(before, after, strict=True)]
    ends = ([m + side * gap / 2 for m, gap in zip(middle, gaps, strict=True)] for side in (1, -1))
    drawn, alone = (
        [],
        sums.change(fixed, *ends),
    )  # [example, set]: what each example adds, from halfway
    for swap in _swaps(len(moved), resamples, seed):
        shift = [swap @ gap for gap in gaps]
        first = [total - part for total, part in zip(before, shift, strict=True)]
        drawn.append(
            sums.change(
                fixed, first, [total + part for total, part in zip(after, shift, strict=True)]
            )
        )
    return Exchange(np.concatenate(drawn), np.sqrt((alone**2).sum(0)))


def _swaps(n: int, resamples: int, seed: int) -> Iterator[Float[np.ndarray, "draw example"]]:
    """Which of `n` examples are swapped (1.0), a chunk of draws at a time; the first draw swaps
    none.
    """
    if n < 30 and 2**n <= resamples:
        yield _of(np.arange(2**n)[:, None] >> np.arange(n) & 1)
        return
    rng, rows = np.random.default_rng(seed), max(1, _CELLS // n)
    for start in range(0, resamples + 1, rows):
        swap = _of(rng.random((min(rows, resamples + 1 - start), n)) < 0.5)
        swap[0] *= start > 0
        yield swap


@dataclass(frozen=True)
class MaxT:
    """Per set the change in points and its p: alone, and corrected for having looked at all sets.
    See `max_t`.
    """

    alternative: Alternative
    change: Float[np.ndarray, "set"]
    p: Float[np.ndarray, "set"]
    p_single_step: Float[np.ndarray, "set"]
    p_step_down: Float[np.ndarray, "set"]


def max_t(drawn: Exchange, alternative: Alternative = "gain", *, scaled: bool = True) -> MaxT:
    """Westfall and Young's max-T: the p that a gain (a loss, a change either way) as large as seen
    comes of noise.

    `p_single_step` holds a set against the largest of all sets in each draw; `p_step_down` leaves
    out of that maximum the sets that did better, and so finds more at the same family-wise error
    rate. p <= step-down <= single-step; none is ever 0, since the observed assignment is one of the
    draws. `scaled` measures a set by its own spread under the null, so that a head that moves many
    predictions does not hide one that moves few; without it sets compete in points. Source:
    Westfall & Young (1993), algorithms 2.5 and 2.8, with t in place of their p; Ge et al. (2003),
    Test.

    >>> labels, before = np.ones(5, dtype=int), np.zeros(5, dtype=int)
    >>> after = np.array([[1, 1, 1, 1, 1], [1, 0, 0, 0, 0]])
    >>> test = max_t(exchange(Outcomes("accuracy", labels, before, after), seed=0))
    >>> (32 * test.p).tolist(), (32 * test.p_single_step).tolist()  # of all 32 swaps
    ([1.0, 16.0], [1.0, 17.0])
    """
    t = drawn.changes / (np.where(drawn.spread > _TIE, drawn.spread, np.inf) if scaled else 1.0)
    t = np.abs(t) if alternative == "change" else t if alternative == "gain" else -t
    limit, order = t[0] - _TIE, np.argsort(-t[0], kind="stable")
    largest = np.maximum.accumulate(t[:, order[::-1]], axis=1)[
        :, ::-1
    ]  # over a set and those that did no better
    down = np.empty(len(order))
    down[order] = np.maximum.accumulate((largest >= limit[order]).mean(0))
    return MaxT(
        alternative, drawn.changes[0], (t >= limit).mean(0), (largest[:, :1] >= limit).mean(0), down
    )


@dataclass(frozen=True)
class BestGain:
    """The best set's gain beside the best gain if no set mattered, in points; `p` that noise does
    as well.
    """

    index: int
    gain: float
    null_mean: float
    null_high: float  # the 95% quantile
    p: float


def best_gain(drawn: Exchange) -> BestGain:
    """The largest gain over the sets: the observed one, and the mean and the 95% quantile of it
    under the null.
    """
    best, index = drawn.changes.max(1), int(drawn.changes[0].argmax())
    mean, high, p = (
        float(best.mean()),
        float(np.quantile(best, 0.95)),
        float((best >= best[0] - _TIE).mean()),
    )
    return BestGain(index, float(best[0]), mean, high, p)


def random_flips(n: int, sets: int, rate: float, accuracy: float = 0.5) -> tuple[float, float]:
    """Mean and 95% quantile of the best gain in accuracy, points, of `sets` that flip predictions
    at random: exact.

    Each flips every one of `n` two-class predictions with probability `rate`, by itself. `accuracy`
    is the model's on the examples that flip: at 0.5 a flip helps as often as it hurts, which is
    what "a head that does not matter" means.

    >>> [round(random_flips(n, 144, 0.02)[0], 1) for n in (277, 408, 5463)]  # RTE, MRPC, QNLI
    [2.3, 1.9, 0.5]
    """
    turn = np.exp(-2j * np.pi * np.arange(2 * n + 1) / (2 * n + 1))
    one = 1 - rate + rate * (1 - accuracy) * turn + rate * accuracy / turn
    best = np.clip(np.cumsum(np.roll(np.fft.ifft(one**n).real, n)), 0, 1) ** sets
    points = 100 * np.arange(-n, n + 1) / n
    return float(np.diff(best, prepend=0) @ points), float(points[np.searchsorted(best, 0.95)])


@dataclass(frozen=True)
class HonestGain:
    """The best set's change in points on the half that chose it (`apparent`) and on the other
    (`gain`): means.
    """

    apparent: float
    gain: float
    low: float
    high: float
    spread: tuple[float, float]  # the central 95% of single splits
    chosen: Float[np.ndarray, "set"]  # share of the splits

    @property
    def shrinkage(self) -> float:
        """What scoring on the examples that chose adds by itself, in points."""
        return self.apparent - self.gain


def honest_gain(outcomes: Outcomes, seed: int, splits: int = SPLITS) -> HonestGain:
    """Choose the best set on a random half of the examples, score it on the other half; the mean
    over many halves.

    Sets that tie for the best share the choice. The mean is what a choice made with half of the
    examples is worth on new ones; a choice made with all of them is worth a little more. `spread`
    is how single splits scatter on these very examples, no confidence interval; and since splits
    overlap, neither is their standard error, which falls to 0 with their number. `low` and `high`
    are a 95% interval with the variance of Nadeau & Bengio (2003), Machine Learning 52: that over
    splits times 1 / splits + 1, the 1 being scored over choosing examples. It is the usual interval
    where every split chooses the same set, and wider than need be where choices differ. It is no
    bootstrap, because in resamples the noise of these examples, which chose, would pass for a true
    gain.
    """
    parts, n, rng = _sums(outcomes), len(outcomes.labels), np.random.default_rng(seed)
    apparent, gains, chosen, rows = [], [], [], max(1, _CELLS // n)
    for start in range(0, splits, rows):
        half = _halves(rng, min(rows, splits - start), n)
        seen, new = parts.weighted(_of(half)), parts.weighted(_of(~half))
        best = _of(seen >= seen.max(1, keepdims=True) - _TIE)
        chosen.append(best / best.sum(1, keepdims=True))
        apparent.append(seen.max(1))
        gains.append((chosen[-1] * new).sum(1))
    gain = np.concatenate(gains)
    mean, half_width = float(gain.mean()), _Z * float(gain.std(ddof=1)) * math.sqrt(1 / splits + 1)
    share = np.concatenate(chosen).mean(0)
    first = float(np.concatenate(apparent).mean())
    return HonestGain(first, mean, mean - half_width, mean + half_width, interval(gain), share)


def _halves(rng: np.random.Generator, rows: int, n: int) -> Array:
    if n < 2:
        raise HeadscopeError(
            "one example cannot both choose and confirm: give at least 2, better some hundreds"
        )
    return np.asarray(rng.random((rows, n)).argsort(1) < n // 2)


def confirm(outcomes: Outcomes, seed: int, resamples: int = RESAMPLES) -> tuple[int, MaxT]:
    """The best set on one random half, and the test of its gain on the other: one set, so p needs
    no correction.

    The price is half of the examples and the luck of one split: fix the seed before looking.
    Source: Cox (1975), A note on data-splitting for the evaluation of significance levels,
    Biometrika 62.
    """
    half = _halves(np.random.default_rng(seed), 1, len(outcomes.labels))[0]
    index = int(_sums(outcomes).weighted(_of(half[None]))[0].argmax())
    one = outcomes.after[index : index + 1, ~half]
    return index, max_t(
        exchange(
            Outcomes(outcomes.metric, outcomes.labels[~half], outcomes.before[~half], one),
            seed,
            resamples,
        )
    )


@dataclass(frozen=True)
class OverSeeds:
    """Per set, over fine-tunings: the mean change in points, its 95% t interval, its p, and how the
    signs agree.
    """

    mean: Float[np.ndarray, "set"]
    low: Float[np.ndarray, "set"]
    high: Float[np.ndarray, "set"]
    p: Float[np.ndarray, "set"]
    p_corrected: Float[np.ndarray, "set"]  # Holm's, over the sets
    gains: Int[np.ndarray, "set"]  # seeds with a change above 0
    same_sign: Float[np.ndarray, "set"]  # share of the seeds whose change has the mean's sign


def over_seeds(effects: Float[np.ndarray, "seed set"]) -> OverSeeds:
    """The mean of `effects` (points) over seeds of fine-tuning with Student's t interval, and how
    many signs agree.

    It speaks for new seeds on these examples: fine-tunings are independent of each other, their
    validation set is one. Interval and p are NaN for one seed.

    >>> found = over_seeds(np.array([[1.0], [2.0], [3.0]]))
    >>> found.low.round(2).tolist(), found.high.round(2).tolist()  # 2 -+ 4.303 / sqrt(3)
    ([-0.48], [4.48])
    """
    seeds, mean = len(effects), effects.mean(0)
    same = (np.sign(effects) == np.sign(mean)).mean(0)
    error = effects.std(0, ddof=1) / math.sqrt(seeds) if seeds > 1 else np.full(len(mean), np.nan)
    t = np.divide(mean, error, out=np.where(mean == 0, 0.0, np.inf), where=error != 0)
    p, half = 2 * stats.t.sf(np.abs(t), seeds - 1), stats.t.ppf(0.975, seeds - 1) * error
    return OverSeeds(mean, mean - half, mean + half, p, holm(p), (effects > 0).sum(0), same)


@dataclass(frozen=True)
class Verdict:
    """A verdict and the sentences that give its numbers."""

    word: Word
    text: str


def verdict(
    metric: str, names: Sequence[str], test: MaxT, best: BestGain, honest: HonestGain
) -> Verdict:
    """Does disabling one of the sets help on this task? `test` is for "gain" (paper, section 4.6).

    Supported: max-T (step-down) finds a gain, and the honest gain is above 0. Contradicted: no set
    gains on all examples, and the one that half of them choose loses on the others, its whole
    interval below 0. Else not supported, which does not show that no head helps.
    """
    if test.alternative != "gain" or len(names) != len(test.p):
        raise HeadscopeError("a verdict needs the test for a gain, and one name for every set")
    found = [name for name, p in zip(names, test.p_step_down, strict=True) if p <= LEVEL]
    word: Word = "contradicted" if best.gain <= 0 and honest.high < 0 else "not supported"
    if found and honest.gain > 0:
        word = "supported"
    which, null = names[best.index], "one set that does not matter"
    if len(names) > 1:
        which, null = (
            f"the best of {len(names)} sets, {which},",
            f"the best of {len(names)} that do not matter",
        )
    sure = (
        f"{len(found)} ({', '.join(found[:5])}{', ...' if len(found) > 5 else ''})"
        if found
        else "none"
    )
    return Verdict(
        word,
        f"On all examples {which} changes {METRICS[metric]} by {best.gain:+.2f} points; {null} "
        f"would by {best.null_mean:+.2f} on average, and by more than {best.null_high:+.2f} in "
        f"one case of twenty (p = {best.p:.2g}); sets that gain more than noise: {sure}. Chosen "
        f"on half of the examples, the best changes it by {honest.apparent:+.2f} there and by "
        f"{honest.gain:+.2f} on the other half (95% interval {honest.low:+.2f} to "
        f"{honest.high:+.2f}).",
    )


def claim(tasks: Mapping[str, Verdict]) -> Verdict:
    """Claim C5, "disabling helps on every task": supported if it is on every one, contradicted if
    it is on any.

    "Supported" needs no correction over tasks: all must pass by themselves (an intersection-union
    test).
    """
    words = [one.word for one in tasks.values()]
    word: Word = "contradicted" if "contradicted" in words else "not supported"
    if words and set(words) == {"supported"}:
        word = "supported"
    of = "; ".join(f"{name}: {one.word}" for name, one in tasks.items())
    return Verdict(
        word,
        f"Disabling helps on every task: {word} ({words.count('supported')} of {len(words)}. "
        f"{of}).",
    )
