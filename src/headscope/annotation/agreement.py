"""How far two passes over the same maps agree: raw agreement and Cohen's kappa, with intervals."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Int

from headscope.errors import HeadscopeError
from headscope.names import CLASSES
from headscope.stats.paired import interval, wilson

_RESAMPLES = 2000


@dataclass(frozen=True)
class Agreement:
    """Agreement of two passes on the `n` maps that both labelled; `table` counts [first label,
    second label].
    """

    n: int
    raw: float
    raw_interval: tuple[float, float]
    kappa: float
    kappa_interval: tuple[float, float]
    table: Int[np.ndarray, "class class"]

    @property
    def differing(self) -> list[tuple[str, str, int]]:
        """The pairs of labels that were given to the same maps, the most frequent first."""
        both = self.table + self.table.T
        pairs = [(a, b) for a in range(len(CLASSES)) for b in range(a) if both[a, b]]
        return sorted(
            ((CLASSES[b], CLASSES[a], int(both[a, b])) for a, b in pairs), key=lambda one: -one[2]
        )


def kappa(table: npt.NDArray[np.int64] | npt.NDArray[np.float64]) -> float:
    """Cohen's kappa (Cohen 1960) of a table of counts [first label, second label]: 1 is full
    agreement, 0 chance.

    >>> round(kappa(np.array([[20, 5], [10, 15]])), 3)
    0.4
    """
    total = table.sum()
    observed = np.trace(table) / total
    expected = float(table.sum(1) @ table.sum(0)) / total**2
    return float((observed - expected) / (1 - expected)) if expected < 1 else 1.0


def agreement(first: Mapping[str, str], second: Mapping[str, str], seed: int = 0) -> Agreement:
    """Compare two passes, map -> label; kappa's interval is a bootstrap over maps.

    Raises HeadscopeError if no map was labelled in both.
    """
    shared = sorted(first.keys() & second.keys())
    if not shared:
        raise HeadscopeError(
            "no map has been labelled in both passes: label some of them a second time"
        )
    a = np.array([CLASSES.index(first[one]) for one in shared])
    b = np.array([CLASSES.index(second[one]) for one in shared])
    k = len(CLASSES)
    table = np.bincount(a * k + b, minlength=k * k).reshape(k, k)
    rng = np.random.default_rng(seed)
    share = table.flatten() / table.sum()
    drawn = rng.multinomial(len(shared), share, size=_RESAMPLES).reshape(-1, k, k)
    agreed = int(np.trace(table))
    return Agreement(
        n=len(shared),
        raw=agreed / len(shared),
        raw_interval=wilson(agreed, len(shared)),
        kappa=kappa(table),
        kappa_interval=interval(np.array([kappa(one) for one in drawn])),
        table=table,
    )
