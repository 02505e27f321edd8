"""Whether the classifier's probabilities are what they say, and what its plausible classes hold."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from headscope.patterns.classifier import PLAUSIBLE
from headscope.stats.paired import interval
from patterns.evaluation import Rows

BINS, _RESAMPLES = 10, 1000
Probabilities = Float[np.ndarray, "map class"]


@dataclass(frozen=True)
class Calibration:
    """Probabilities against labels.

    Attributes:
        error: The expected calibration error of the most probable class: over ten bins of equally
            many maps, the mean distance of the mean probability from the share that is right.
        low: Its 95% interval's lower end.
        high: Its upper end.
        by_chance: The error that probabilities would have on so many maps if they were exact.
        uncertain: The share of maps with more than one plausible class.
        right_if_certain: The share of the others whose class is right.
        right_if_uncertain: The share of uncertain maps whose most probable class is right.
        covered: The share of maps whose label is a plausible class.
    """

    error: float
    low: float
    high: float
    by_chance: float
    uncertain: float
    right_if_certain: float
    right_if_uncertain: float
    covered: float


def calibration(
    labels: Rows, probabilities: Probabilities, groups: Sequence[str], seed: int = 0
) -> Calibration:
    """How well probabilities are calibrated.

    Args:
        labels: The classes of the maps.
        probabilities: The probabilities of their classes.
        groups: The group of each map; the bootstrap resamples maps of a group together.
        seed: Random seed.
    """
    rng = np.random.default_rng(seed)
    names, group = np.unique(groups, return_inverse=True)
    members = [np.flatnonzero(group == index) for index in range(len(names))]
    most = probabilities.max(1)
    is_right = probabilities.argmax(1) == labels
    drawn = []
    for _ in range(_RESAMPLES):
        chosen = rng.integers(len(names), size=len(names))
        rows = np.concatenate([members[index] for index in chosen])
        drawn.append(expected_error(most[rows], is_right[rows]))
    exact = [expected_error(most, rng.random(len(most)) < most) for _ in range(_RESAMPLES)]
    low, high = interval(np.array(drawn))
    plausible = probabilities >= PLAUSIBLE
    is_uncertain = plausible.sum(1) > 1
    return Calibration(
        error=expected_error(most, is_right),
        low=low,
        high=high,
        by_chance=float(np.mean(exact)),
        uncertain=float(is_uncertain.mean()),
        right_if_certain=float(is_right[~is_uncertain].mean()),
        right_if_uncertain=float(is_right[is_uncertain].mean()),
        covered=float(plausible[np.arange(len(labels)), labels].mean()),
    )


def expected_error(most: Float[np.ndarray, "map"], is_right: np.ndarray) -> float:
    """The expected calibration error of probabilities `most` of being right.

    >>> round(expected_error(np.full(20, 0.9), np.arange(20) % 2 < 1), 3)
    0.4
    """
    order = np.argsort(most, kind="stable")
    bins = np.array_split(order, BINS)
    off = [len(rows) * abs(most[rows].mean() - is_right[rows].mean()) for rows in bins]
    return float(np.sum(off) / len(most))
