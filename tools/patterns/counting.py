"""Ways to know shares of classes from a classifier that errs, and how near they come to the truth
on models of a family that was left out.

Adjusted counting (Forman 2008) solves `counted = true @ confusion`; expectation maximisation
(Saerens et al. 2002) weighs probabilities by the shares that they give, again and again. Both take
what is known of the classifier's errors from other families.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from headscope.names import CLASSES, HETEROGENEOUS
from headscope.patterns.classifier import PLAUSIBLE
from patterns.calibration import Probabilities
from patterns.evaluation import Rows

FEWEST = 15
_COUNT, _PRIOR, _STEPS = len(CLASSES), 0.5, 200
Shares = Float[np.ndarray, "class"]


@dataclass(frozen=True)
class Known:
    """Annotated maps with probabilities by networks that did not learn from their family.

    Attributes:
        labels: Their classes.
        probabilities: The probabilities of their classes.
    """

    labels: Rows
    probabilities: Probabilities


def counts(probabilities: Probabilities, _known: Known) -> Shares:
    """The shares as counted."""
    return shares_of(probabilities.argmax(1))


def mean_probability(probabilities: Probabilities, _known: Known) -> Shares:
    """The mean probabilities."""
    return np.asarray(probabilities.mean(0))


def adjusted(probabilities: Probabilities, known: Known) -> Shares:
    """Adjusted counting, moved to the nearest shares."""
    confusion = _PRIOR * np.eye(_COUNT)
    np.add.at(confusion, (known.labels, known.probabilities.argmax(1)), 1)
    rates = confusion / confusion.sum(1, keepdims=True)
    return simplex(np.linalg.solve(rates.T, counts(probabilities, known)))


def maximised(probabilities: Probabilities, known: Known) -> Shares:
    """Expectation maximisation from the shares of the known maps."""
    prior = shares_of(known.labels)
    shares = prior
    for _ in range(_STEPS):
        weighed = probabilities * (shares / prior)
        shares = (weighed / weighed.sum(1, keepdims=True)).mean(0)
    return np.asarray(shares)


WAYS = {
    "counted": counts,
    "mean probability": mean_probability,
    "adjusted counting": adjusted,
    "expectation maximisation": maximised,
}


def shares_of(classes: Rows) -> Shares:
    """The share of every class."""
    return np.asarray(np.bincount(classes, minlength=_COUNT) / len(classes))


def simplex(x: Shares) -> Shares:
    """The nearest point (Euclidean) whose entries are none negative and sum to 1.

    >>> simplex(np.array([0.6, 0.6, -0.2])).tolist()
    [0.5, 0.5, 0.0]
    """
    # The same number is taken off all entries, and what falls below 0 becomes 0. With the k largest
    # kept, it is their sum minus 1, over k; k is the most entries that all stay above 0.
    descending = np.sort(x)[::-1]
    excess = np.cumsum(descending) - 1
    kept = int((descending - excess / np.arange(1, len(x) + 1) > 0).sum())
    return np.asarray(np.maximum(x - excess[kept - 1] / kept, 0))


def sets_of(rows: Rows, *names: Sequence[str]) -> list[Rows]:
    """All rows, and the rows of each name (a model, a text) that has `FEWEST` or more."""
    sets = [rows]
    for of_rows in names:
        named = np.array(of_rows)[rows]
        parts = [rows[named == name] for name in np.unique(named)]
        sets += [part for part in parts if len(part) >= FEWEST]
    return sets


def errors(
    labels: Rows, probabilities: Probabilities, known: Known, sets: Sequence[Rows]
) -> dict[str, dict[str, float]]:
    """How far the shares of each way are from the truth on average over sets of maps: of all
    classes, of heterogeneous alone, and the latter with its sign.
    """
    heterogeneous = CLASSES.index(HETEROGENEOUS)
    found = {}
    for name, way in WAYS.items():
        off = np.array([way(probabilities[rows], known) - shares_of(labels[rows]) for rows in sets])
        found[name] = {
            "all": float(np.abs(off).mean()),
            "heterogeneous": float(np.abs(off[:, heterogeneous]).mean()),
            "bias": float(off[:, heterogeneous].mean()),
        }
    return found


def bounds(labels: Rows, probabilities: Probabilities, sets: Sequence[Rows]) -> Mapping[str, float]:
    """How often the bounds of a share hold the truth, over classes and sets, and their width."""
    plausible = probabilities >= PLAUSIBLE
    is_only = plausible & (plausible.sum(1, keepdims=True) == 1)
    inside, width = [], []
    for rows in sets:
        lower, upper = is_only[rows].mean(0), plausible[rows].mean(0)
        truth = shares_of(labels[rows])
        inside.append((lower <= truth + 1e-9) & (truth <= upper + 1e-9))
        width.append(upper - lower)
    return {"hold": float(np.mean(inside)), "width": float(np.mean(width))}
