"""Interactions of all pairs of heads: does the test of all at once hold its level?"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
from scipy import stats

from headscope.names import SIGNIFICANT
from headscope.stats.paired import holm
from headscope.stats.simultaneous import means_at_once
from simulations.base import Rate, Section

Numbers = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator, int, int], Numbers]
RESAMPLES = 399


@dataclass(frozen=True)
class Rates:
    """What became of the draws of a world: any pair called significant where none interacts, by
    Student's t with Holm's correction and as in `interactions`; every interval for all pairs holds
    0; and one pair with an interaction is found.
    """

    wrong_holm: Rate
    wrong: Rate
    held: Rate
    found_holm: Rate
    found: Rate


def normal(rng: np.random.Generator, n: int, heads: int) -> Numbers:
    """Normal, and all pairs correlated by what three causes do to an example."""
    pairs = len(_places(heads)[0])
    shared = rng.normal(0, 1, (n, 3)) @ rng.normal(0, 1, (3, pairs))
    return _weighted(rng, shared + rng.normal(0, 1, (n, pairs)))


def symmetric(rng: np.random.Generator, n: int, heads: int) -> Numbers:
    """Student's t with 3 degrees of freedom: heavy tails, no skewness."""
    return _weighted(rng, rng.standard_t(3, (n, len(_places(heads)[0]))))


def mild(rng: np.random.Generator, n: int, heads: int) -> Numbers:
    """Half of the pairs skewed to either side, the skewness of a pair about 3."""
    return _weighted(rng, _signed(rng.exponential(1, (n, len(_places(heads)[0]))) - 1))


def products(rng: np.random.Generator, n: int, heads: int) -> Numbers:
    """What two heads do to an example, multiplied: pairs that share a head depend on each other."""
    of_heads = rng.exponential(1, (n, heads)) - 1
    first, second = _places(heads)
    return _weighted(rng, _signed(of_heads[:, first] * of_heads[:, second]))


def few_move(rng: np.random.Generator, n: int, heads: int) -> Numbers:
    """A pair matters to one example in 16, with a skewness of about 13, and hardly to the rest."""
    shape = (n, len(_places(heads)[0]))
    moved = np.where(rng.random(shape) < 0.25, 3.0, -1.0) * rng.exponential(1, shape)
    values = _signed(moved * (rng.random(shape) < 1 / 16))
    return _weighted(rng, values + rng.normal(0, 0.02, shape))


def _weighted(rng: np.random.Generator, values: Numbers) -> Numbers:
    """Some examples lie near the border between classes, where everything matters more, and some
    pairs do more than others. The first is an ordinary one.
    """
    pairs = rng.lognormal(0, 1, (values.shape[1],))
    pairs[0] = 1.0
    return values * rng.lognormal(0, 0.5, (len(values), 1)) * pairs


def _signed(values: Numbers) -> Numbers:
    return values * np.where(np.arange(values.shape[1]) % 2, -1.0, 1.0)


def _places(heads: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    pairs = np.array(list(combinations(range(heads), 2)))
    return pairs[:, 0], pairs[:, 1]


def simulate(draw: Draw, n: int, heads: int, draws: int, effect: float) -> Rates:
    """What becomes of draws of a world.

    Args:
        draw: Interactions of all pairs, of mean 0, [example, pair].
        n: How many examples.
        heads: How many heads.
        draws: How many times.
        effect: The interaction of one pair, in its standard deviations, in the runs for power.
    """
    rng = np.random.default_rng(n)
    hits = dict.fromkeys(("wrong_holm", "wrong", "held", "found_holm", "found"), 0)
    for number in range(draws):
        values = draw(rng, n, heads)
        found = means_at_once(values, number, RESAMPLES)
        hits["wrong_holm"] += bool((_holm(values) < SIGNIFICANT).any())
        hits["wrong"] += bool((found.p_corrected < SIGNIFICANT).any())
        hits["held"] += bool(((found.low_all <= 0) & (found.high_all >= 0)).all())
        values[:, 0] += effect * values[:, 0].std()
        hits["found_holm"] += bool(_holm(values)[0] < SIGNIFICANT)
        hits["found"] += bool(means_at_once(values, number, RESAMPLES).p_corrected[0] < SIGNIFICANT)
    return Rates(**{name: Rate(count, draws) for name, count in hits.items()})


def _holm(values: Numbers) -> Numbers:
    return holm(stats.ttest_1samp(values, 0).pvalue)


def resampled(
    values: Numbers, planted: npt.NDArray[np.bool_], n: int, draws: int
) -> tuple[Rate, float, float]:
    """Test real interactions, drawn again with every mean but those of planted pairs set to 0.

    Args:
        values: Real interactions, [example, pair].
        planted: Whether a pair keeps its mean, [pair].
        n: How many examples are drawn, with replacement.
        draws: How many times.

    Returns:
        How often any other pair is called significant; of how many other and how many planted pairs
        that is said in a draw, on average.
    """
    rng = np.random.default_rng(n)
    mean = values.mean(0)
    population = values - np.where(planted, 0.0, mean)
    wrong, found = [], []
    for number in range(draws):
        sample = population[rng.integers(0, len(values), n)]
        is_named = means_at_once(sample, number, RESAMPLES).p_corrected < SIGNIFICANT
        wrong.append(int((is_named & ~planted).sum()))
        found.append(int((is_named & planted).sum()))
    rate = Rate(int(np.count_nonzero(wrong)), draws)
    return rate, float(np.mean(wrong)), float(np.mean(found))


def section() -> Section:
    """The section of the page."""
    worlds: dict[str, Draw] = {
        "normal, correlated": normal,
        "symmetric, heavy tails": symmetric,
        "skewed, half to either side": mild,
        "products of two heads": products,
        "few examples move": few_move,
    }
    rows = []
    for n in (50, 100, 200, 400):
        for words, draw in worlds.items():
            found = simulate(draw, n, 12, 200, 0.5)
            rows.append((str(n), words, *map(str, vars(found).values())))
    text = (
        "All pairs of 12 heads (66) are tested for an interaction on n examples. *Wrong*: none "
        "interacts on average, and some pair is called significant (5% at most is wanted), by "
        "Student's t with Holm's correction, and by a bootstrap of the largest t and the largest "
        "moderated t (max-T), as in `interactions`. *Held*: the intervals for all pairs hold 0, "
        "all of them. *Found*: one pair has an interaction of half its standard deviation, and is "
        f"significant. {RESAMPLES} resamples in place of 9,999. With interactions of real heads: "
        "[results/together.md](results/together.md)."
    )
    header = ("n", "interactions", "wrong, Holm", "wrong", "held", "found, Holm", "found")
    return Section("Interactions of pairs of heads", text, header, rows)
