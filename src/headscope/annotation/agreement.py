"""How far two passes over the same maps agree: raw agreement and Cohen's kappa, with intervals."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Float, Int

from headscope.annotation.records import BLIND, Labels, Pass
from headscope.errors import HeadscopeError
from headscope.names import CLASSES
from headscope.stats.paired import interval, wilson

_RESAMPLES = 2000


@dataclass(frozen=True)
class Agreement:
    """Agreement of two passes on the maps that both labelled.

    Attributes:
        n: How many maps both labelled.
        raw: The fraction that has the same label in both.
        raw_interval: Its 95% interval (Wilson's).
        kappa: Cohen's kappa.
        kappa_interval: Its 95% interval, from a bootstrap over maps; NaN where all resamples agree.
        table: How many maps have each first label (rows) and second label (columns).
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


def kappa(tables: Int[np.ndarray, "*set class class"]) -> Float[np.ndarray, "*set"]:
    """Cohen's kappa (Cohen 1960) of one or many tables of counts [first label, second label].

    1 is full agreement, 0 what chance gives. A bootstrap asks for 2,000 of them, for which
    scikit-learn's `cohen_kappa_score` takes two seconds; the tests hold this form against it.

    >>> kappa(np.array([[20, 5], [10, 15]])).round(3)
    array(0.4)
    """
    total = tables.sum((-2, -1))
    observed = np.trace(tables, axis1=-2, axis2=-1) / total
    expected = (tables.sum(-1) * tables.sum(-2)).sum(-1) / total**2
    # Where both passes gave one and the same label throughout, chance agrees in full.
    is_certain = expected >= 1
    beyond_chance = (observed - expected) / np.where(is_certain, 1.0, 1 - expected)
    return np.asarray(np.where(is_certain, 1.0, beyond_chance))


def agreement(first: Mapping[str, str], second: Mapping[str, str], seed: int = 0) -> Agreement:
    """Compare two passes.

    Args:
        first: The labels of the first pass, by map.
        second: The labels of the second pass, by map.
        seed: Random seed of the bootstrap.

    Raises:
        HeadscopeError: No map was labelled in both.
    """
    shared = sorted(first.keys() & second.keys())
    if not shared:
        raise HeadscopeError(
            "no map has been labelled in both passes: label some of them a second time"
        )
    from sklearn.metrics import confusion_matrix

    table = confusion_matrix(
        [first[name] for name in shared], [second[name] for name in shared], labels=CLASSES
    )
    n, agreed = len(shared), int(np.trace(table))
    # A resample of the maps is a draw of the table's cells.
    cells = np.random.default_rng(seed).multinomial(n, table.ravel() / n, size=_RESAMPLES)
    return Agreement(
        n=n,
        raw=agreed / n,
        raw_interval=wilson(agreed, n),
        kappa=float(kappa(table)),
        kappa_interval=interval(kappa(cells.reshape(-1, *table.shape))),
        table=table,
    )


def agreements(labels: Labels) -> Iterator[tuple[Pass, Pass, Agreement]]:
    """How far every two passes agree that were made without a look at labels and share maps."""
    blind = [pass_ for pass_ in labels.passes() if pass_.round in BLIND]
    for first, second in combinations(blind, 2):
        of_first, of_second = labels.of(*first), labels.of(*second)
        if of_first.keys() & of_second.keys():
            yield first, second, agreement(of_first, of_second)
