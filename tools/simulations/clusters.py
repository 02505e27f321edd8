"""Means over links with sentences as clusters: tests of an excess, intervals of shares."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from headscope.linguistics.clustered import Clustered
from headscope.names import SIGNIFICANT
from headscope.stats.means import FEWEST
from headscope.stats.paired import Z, wilson
from simulations.base import Rate, Section

Numbers = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, int]], Numbers]
"""Values of sentences, [draw, sentence], that are 0 on average."""
ALIKE = 0.3
"""Correlation of the hits of a sentence."""


def drawn(draw: Draw, sentences: int, draws: int) -> Clustered:
    """Sums over the links of sentences, every draw a group; sentences have one to about five links
    of the same value.
    """
    rng = np.random.default_rng(sentences)
    shape = (draws, sentences)
    sizes = 1 + rng.poisson(1.5, shape)
    return _sums(sizes * draw(rng, shape), sizes)


def drawn_hits(share: float, sentences: int, draws: int) -> Clustered:
    """The same of links that are hit or not."""
    rng = np.random.default_rng(sentences)
    shape = (draws, sentences)
    sizes = 1 + rng.poisson(1.5, shape)
    return _sums(rng.binomial(sizes, _varying(share, rng, shape)), sizes)


def _varying(share: float, rng: np.random.Generator, shape: tuple[int, int]) -> Numbers:
    """How likely hits are in each sentence."""
    spread = (1 - ALIKE) / ALIKE
    return rng.beta(share * spread, (1 - share) * spread, shape)


def _sums(totals: npt.NDArray[np.generic], sizes: npt.NDArray[np.int64]) -> Clustered:
    values = totals.astype(np.float64)
    return Clustered(
        n=sizes.sum(1).astype(np.float64),
        n_squared=(sizes**2).sum(1).astype(np.float64),
        clusters=np.full(len(sizes), float(sizes.shape[1])),
        total=values.sum(1)[:, None, None],
        squares=(values**2).sum(1)[:, None, None],
        cross=(values * sizes).sum(1)[:, None, None],
    )


@dataclass(frozen=True)
class Excess:
    """Sums of hits, of a control that hits as often, and of the difference."""

    hits: Clustered
    control: Clustered
    excess: Clustered


def drawn_excess(share: float, sentences: int, draws: int) -> Excess:
    """Sums over the links of sentences, which are all hit or all missed."""
    rng = np.random.default_rng(sentences)
    shape = (draws, sentences)
    sizes = 1 + rng.poisson(1.5, shape)
    hits = rng.binomial(1, share, shape)
    control = rng.beta(10 * share, 10 * (1 - share), shape)
    return Excess(
        hits=_sums(sizes * hits, sizes),
        control=_sums(sizes * control, sizes),
        excess=_sums(sizes * (hits - control), sizes),
    )


def normal(rng: np.random.Generator, shape: tuple[int, int]) -> Numbers:
    """Values without skew."""
    return rng.normal(size=shape)


def skewed(rng: np.random.Generator, shape: tuple[int, int]) -> Numbers:
    """Lognormal values, as skewed as the attention that a head gives a word it seldom looks at."""
    return rng.lognormal(0, 1, shape) - math.exp(0.5)


def rejections(sums: Clustered) -> tuple[Rate, Rate]:
    """How often a mean of 0 is called significant: by a two-sided normal test, and by headscope."""
    with np.errstate(divide="ignore", invalid="ignore"):
        by_normal = 2 * norm.sf(np.abs(sums.mean / sums.error)) <= SIGNIFICANT
    by_student = sums.p_values() <= SIGNIFICANT
    first, second = (Rate(int(hit.sum()), hit.size) for hit in (by_normal, by_student))
    return first, second


def share_coverage(sums: Clustered, share: float) -> tuple[Rate, Rate]:
    """How often intervals hold the true share: Wilson's with the effective number of cases, without
    and with Korn and Graubard's factor.
    """
    mean, error = sums.mean, sums.error
    n = np.broadcast_to(sums.n[:, None, None], mean.shape)
    clusters = np.broadcast_to(sums.clusters[:, None, None], mean.shape)
    with np.errstate(divide="ignore", invalid="ignore"):
        cases = np.where(error > 0, np.minimum(mean * (1 - mean) / error**2, n), clusters)
    without = wilson(mean * cases, cases)
    first, second = (
        Rate(int(((low <= share) & (share <= high)).sum()), mean.size)
        for low, high in (without, sums.share_interval())
    )
    return first, second


def excess_coverage(sums: Excess) -> tuple[Rate, Rate]:
    """How often intervals hold a true excess of 0: the normal one, and headscope's."""
    return _coverage(sums.excess, sums.hits.less_interval(sums.control))


def mean_coverage(sums: Clustered) -> tuple[Rate, Rate]:
    """The same of another mean of 0."""
    return _coverage(sums, sums.interval())


def _coverage(sums: Clustered, interval: tuple[Numbers, Numbers]) -> tuple[Rate, Rate]:
    mean, error = sums.mean, sums.error
    low, high = interval
    held = (np.abs(mean) <= Z * error, (low <= 0) & (high >= 0))
    first, second = (Rate(int(hit.sum()), mean.size) for hit in held)
    return first, second


def section() -> Section:
    """The section of the page."""
    rows = []
    draws = 10_000
    for sentences in (3, 5, 10, 20, 50, 200):
        of_means: dict[str, tuple[Clustered, tuple[Rate, Rate]]] = {}
        for words, draw in (("without skew", normal), ("of skewed attention", skewed)):
            sums = drawn(draw, sentences, draws)
            of_means[f"excess {words}"] = sums, mean_coverage(sums)
        for share in (0.3, 0.02):
            excess = drawn_excess(share, sentences, draws)
            words = f"excess, {100 * share:.0f}% hits"
            of_means[words] = excess.excess, excess_coverage(excess)
        is_tested = sentences >= FEWEST
        for words, (sums, (held_before, held)) in of_means.items():
            before, now = rejections(sums)
            rows.append(
                (
                    str(sentences),
                    words,
                    str(before),
                    str(now) if is_tested else "not tested",
                    str(held_before),
                    str(held) if is_tested else "no interval",
                )
            )
        for share in (0.1, 0.5, 0.95):
            held_before, held = share_coverage(drawn_hits(share, sentences, draws), share)
            cells = ("", "", str(held_before), str(held))
            rows.append((str(sentences), f"share, {100 * share:.0f}% hits", *cells))
    text = (
        "Sentences have one to five links or so, which are alike. A head has no excess: *rejected* "
        "is how often it is called significant before correction (5% at most is wanted), *held* "
        "how often the 95% interval holds the truth. Before, tests and intervals of means were "
        "normal ones, two-sided, and Wilson's interval of a share took the error for known. Now "
        "they are Student's with as many degrees of freedom as sentences less one, and none below "
        f"{FEWEST} sentences; only an excess above 0 is tested, at half the level; of a share the "
        "number of cases is lowered by Korn and Graubard's factor, and the interval of an excess "
        "of hits is made of that of the hits. What is left: the interval of an excess of skewed "
        "attention lies too low and is too short with few sentences, since the values that would "
        "widen it did not occur. It errs to the side of no excess, and covers as the table says."
    )
    header = (
        *("sentences", "quantity", "rejected, before", "rejected, now"),
        *("held, before", "held, now"),
    )
    return Section("Relations, with sentences as clusters", text, header, rows)
