"""How far two passes over the same maps agree: raw agreement and Cohen's kappa, with intervals."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
from jaxtyping import Int

from headscope.annotation.records import BLIND, Labels, Pass
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
        counts = np.tril(self.table + self.table.T, -1)
        pairs = []
        for later, earlier in np.argwhere(counts).tolist():
            pairs.append((CLASSES[earlier], CLASSES[later], int(counts[later, earlier])))
        return sorted(pairs, key=lambda pair: -pair[2])


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
    k = len(CLASSES)
    table = np.zeros((k, k), np.int64)
    for name in shared:
        table[CLASSES.index(first[name]), CLASSES.index(second[name])] += 1
    rng = np.random.default_rng(seed)
    share = table.flatten() / table.sum()
    drawn = rng.multinomial(len(shared), share, size=_RESAMPLES).reshape(-1, k, k)
    agreed = int(np.trace(table))
    return Agreement(
        n=len(shared),
        raw=agreed / len(shared),
        raw_interval=wilson(agreed, len(shared)),
        kappa=kappa(table),
        kappa_interval=interval(np.array([kappa(resampled) for resampled in drawn])),
        table=table,
    )


def agreements(labels: Labels) -> Iterator[tuple[Pass, Pass, Agreement]]:
    """How far every two passes agree that were made without a look at labels and share maps."""
    blind = [pass_ for pass_ in labels.passes() if pass_.round in BLIND]
    for first, second in combinations(blind, 2):
        of_first, of_second = labels.of(*first), labels.of(*second)
        if of_first.keys() & of_second.keys():
            yield first, second, agreement(of_first, of_second)
