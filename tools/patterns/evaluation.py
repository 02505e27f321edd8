"""How good a classifier is on maps that it could not know: folds that keep a head, or a family of
models, together.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Int

from headscope.names import CLASSES
from headscope.stats.paired import interval

Predict = Callable[[npt.NDArray[np.int64], npt.NDArray[np.int64]], npt.NDArray[np.int64]]
"""(rows to learn from, rows to predict) -> the predicted classes of the latter."""

_RESAMPLES = 2000


@dataclass(frozen=True)
class Score:
    """Predictions against labels: `macro_f1` with its interval, F1 by class, and counts [true,
    predicted].
    """

    macro_f1: float
    low: float
    high: float
    f1: Float[np.ndarray, "class"]
    confusion: Int[np.ndarray, "class class"]


def confusion_counts(
    labels: npt.NDArray[np.int64], predicted: npt.NDArray[np.int64]
) -> Int[np.ndarray, "class class"]:
    """How many maps of a class (rows) were predicted as each class (columns)."""
    k = len(CLASSES)
    return np.bincount(labels * k + predicted, minlength=k * k).reshape(k, k)


def f1_scores(
    confusion: npt.NDArray[np.int64] | npt.NDArray[np.float64],
) -> Float[np.ndarray, "... class"]:
    """F1 by class; NaN for a class that is neither there nor predicted."""
    hits = np.diagonal(confusion, axis1=-2, axis2=-1).astype(float)
    either = confusion.sum(-1) + confusion.sum(-2)
    return np.where(either > 0, 2 * hits / np.maximum(either, 1), np.nan)


def grouped(
    labels: npt.NDArray[np.int64], predicted: npt.NDArray[np.int64], groups: Sequence[str]
) -> Int[np.ndarray, "group class class"]:
    """The confusion counts of every group, groups in alphabetical order."""
    names = np.array(groups)
    return np.stack(
        [confusion_counts(labels[names == g], predicted[names == g]) for g in sorted(set(groups))]
    )


def score(
    labels: npt.NDArray[np.int64],
    predicted: npt.NDArray[np.int64],
    groups: Sequence[str],
    seed: int = 0,
) -> Score:
    """Macro-F1 with a 95% interval from a bootstrap over groups."""
    counts = grouped(labels, predicted, groups)
    whole = counts.sum(0)
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), size=_RESAMPLES)
    drawn = np.nanmean(f1_scores(np.einsum("rg,gij->rij", weights, counts)), -1)
    low, high = interval(drawn)
    f1 = f1_scores(whole)
    return Score(float(np.nanmean(f1)), low, high, f1, whole)


def held_out(predict: Predict, folds: Sequence[str]) -> npt.NDArray[np.int64]:
    """The prediction for every row by what was learned from the rows of all other folds."""
    names = np.array(folds)
    out = np.full(len(names), -1)
    for fold in sorted(set(folds)):
        here = names == fold
        out[here] = predict(np.flatnonzero(~here), np.flatnonzero(here))
    return out


def held_out_twice(
    predict: Predict, folds: Sequence[str], others: Sequence[str]
) -> npt.NDArray[np.int64]:
    """The prediction for every row by what was learned from rows that share neither its fold nor
    its other fold.
    """
    first, second = np.array(folds), np.array(others)
    out = np.full(len(first), -1)
    for fold in sorted(set(folds)):
        for other in sorted(set(others)):
            here = (first == fold) & (second == other)
            if here.any():
                out[here] = predict(
                    np.flatnonzero((first != fold) & (second != other)), np.flatnonzero(here)
                )
    return out


def head_folds(groups: Sequence[str], count: int, seed: int = 0) -> list[str]:
    """`count` folds that keep the rows of a group together."""
    names = sorted(set(groups))
    order = np.random.default_rng(seed).permutation(len(names))
    fold = {names[g]: f"{at % count}" for at, g in enumerate(order)}
    return [fold[g] for g in groups]
