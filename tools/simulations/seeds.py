"""Means over fine-tunings: how often a family of heads without effect is called to have one."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student

from headscope.names import SIGNIFICANT
from headscope.stats.changes import ADDED
from headscope.stats.paired import holm
from headscope.stats.seeds import over_seeds
from simulations.base import Rate, Section

Numbers = npt.NDArray[np.float64]
HEADS = 72
RIGHT = 0.8


@dataclass(frozen=True)
class Null:
    """How heads without effect flip predictions.

    Attributes:
        words: For the page.
        rate: The share of all examples that a head makes wrong in a fine-tuning, and right.
        uneven: How unevenly examples flip, the same in all fine-tunings (variance over squared
            mean; 0: all alike).
        own: Standard deviation over fine-tunings of how much likelier one of the two ways is.
    """

    words: str
    rate: float
    uneven: float = 0.0
    own: float = 0.0


AT_RANDOM = Null("at random", rate=0.01)
SAME_EXAMPLES = Null("the same examples in all seeds", rate=0.01, uneven=5.0)
OWN_EFFECTS = Null("seeds with effects of their own, 0 on average", rate=0.01, uneven=1.0, own=0.5)


@dataclass(frozen=True)
class Found:
    """What two rules make of the same draws: Student's t over seeds, and `over_seeds`.

    Attributes:
        wrong: How many families have a head that is called significant, by each rule.
        held: How many of all intervals hold 0, by each rule.
    """

    wrong: tuple[Rate, Rate]
    held: tuple[Rate, Rate]


def families(null: Null, n: int, seeds: int, draws: int, heads: int = HEADS) -> Found:
    """Draw families of heads without effect, and test them."""
    rng = np.random.default_rng(0)
    wrong, held = np.zeros((2, draws)), np.zeros((2, draws))
    for draw in range(draws):
        changes = _changes(null, n, seeds, heads, rng)  # [seed, head, example]
        values = 100 * changes.mean(2)
        found = over_seeds(values, example_variance(changes), n)
        p, half_width = over_seeds_alone(values)
        mean = np.abs(values.mean(0))
        wrong[0, draw] = (holm(p) <= SIGNIFICANT).any()
        wrong[1, draw] = (found.p_corrected <= SIGNIFICANT).any()
        held[0, draw] = (mean <= half_width).sum()
        held[1, draw] = ((found.low <= 0) & (found.high >= 0)).sum()
    first, second = (Rate(int(rule.sum()), draws) for rule in wrong)
    first_held, second_held = (Rate(int(rule.sum()), draws * heads) for rule in held)
    return Found((first, second), (first_held, second_held))


def _changes(
    null: Null, n: int, seeds: int, heads: int, rng: np.random.Generator
) -> npt.NDArray[np.int8]:
    """By how much each prediction becomes righter, [seed, head, example]."""
    right = rng.random(n) < RIGHT
    # As many predictions are won as lost, on average over examples.
    rate = null.rate / np.where(right, RIGHT, 1 - RIGHT)
    changes = np.zeros((seeds, heads, n), np.int8)
    for head in range(heads):
        ease = np.ones(n)
        if null.uneven:
            ease = rng.gamma(1 / null.uneven, null.uneven, n)
        for seed in range(seeds):
            tilt = np.clip(rng.normal(0, null.own), -0.9, 0.9)
            flips = rng.random(n) < rate * ease * np.where(right, 1 - tilt, 1 + tilt)
            changes[seed, head] = np.where(right, -1, 1) * flips
    return changes


def example_variance(changes: npt.NDArray[np.int8]) -> Numbers:
    """The variance of mean changes in accuracy that `resampled_changes` finds, without drawing."""
    seeds, _, n = changes.shape
    of_example = changes.mean(0)
    size = n + ADDED
    squares = ((of_example**2).sum(1) + ADDED / seeds**2) / size
    return np.asarray(100**2 * (squares - (of_example.sum(1) / size) ** 2) / n)


def over_seeds_alone(values: Numbers) -> tuple[Numbers, Numbers]:
    """Student's t over the seeds, which takes seeds that coincide for certain: p and half width."""
    seeds = len(values)
    mean, error = np.abs(values.mean(0)), values.std(0, ddof=1) / np.sqrt(seeds)
    t = np.where(mean == 0, 0.0, np.inf)
    np.divide(mean, error, out=t, where=error > 0)
    half_width = student.ppf(0.975, seeds - 1) * error
    return 2 * student.sf(t, seeds - 1), half_width


def section() -> Section:
    """The section of the page."""
    rows = []
    for n, draws in ((277, 200), (408, 200), (5463, 60)):
        for seeds in (2, 3, 5):
            for null in (AT_RANDOM, SAME_EXAMPLES, OWN_EFFECTS):
                found = families(null, n, seeds, draws)
                rows.append(
                    (
                        str(n),
                        str(seeds),
                        null.words,
                        str(found.wrong[0]),
                        str(found.wrong[1]) if seeds > 2 else "not tested",
                        str(found.held[0]),
                        str(found.held[1]),
                    )
                )
    text = (
        f"{HEADS} heads without effect, each disabled in every fine-tuning, flip 1% of the "
        "predictions each way. *Wrong* is the share of families in which any head is significant "
        "after Holm's correction (5% at most is wanted), *held* the share of 95% intervals that "
        "hold 0. Student's t over the seeds takes seeds that coincide for certain, and speaks for "
        "these examples only. `seeds_disabled` and `seeds` add the examples' part of the error: "
        "their intervals and p-values speak for new seeds and new examples. There is no p-value "
        "below three seeds. The price: with few seeds only large effects are significant."
    )
    header = (
        *("n", "seeds", "flips", "wrong, Student's t over seeds", "wrong, headscope"),
        *("held, Student's t over seeds", "held, headscope"),
    )
    return Section("Means over fine-tunings", text, header, rows)
