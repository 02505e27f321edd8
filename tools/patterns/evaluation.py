"""How good a classifier is on maps that it could not know: folds that keep a head, or a family of
models, together.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Int
from sklearn.metrics import confusion_matrix, f1_score
from sklearn.model_selection import LeaveOneGroupOut

from headscope.names import CLASSES
from headscope.stats.paired import interval

Rows = npt.NDArray[np.int64]
"""Row numbers of maps, or classes of maps as indices in `CLASSES`."""
Predict = Callable[[Rows, Rows], Rows]
"""(rows to learn from, rows to predict) -> the predicted classes of the latter."""

_RESAMPLES = 2000
_ALL = range(len(CLASSES))


@dataclass(frozen=True)
class Score:
    """Predictions against labels.

    Attributes:
        macro_f1: The mean F1 of the classes.
        low: Its 95% interval's lower end.
        high: Its upper end.
        f1: F1 by class; NaN for a class that is neither there nor predicted.
        confusion: How many maps of a class (rows) were predicted as each class (columns).
    """

    macro_f1: float
    low: float
    high: float
    f1: Float[np.ndarray, "class"]
    confusion: Int[np.ndarray, "class class"]


def macro_f1(labels: Rows, predicted: Rows, weights: Rows | None = None) -> float:
    """The mean F1 of the classes that are there or predicted; `weights` says how often each map
    counts.
    """
    value = f1_score(
        labels, predicted, labels=_ALL, average="macro", sample_weight=weights, zero_division=np.nan
    )
    return float(value)


def score(labels: Rows, predicted: Rows, groups: Sequence[str], seed: int = 0) -> Score:
    """Macro-F1 with a 95% interval from a bootstrap over groups.

    Args:
        labels: The classes of the maps.
        predicted: Their predicted classes.
        groups: The group of each map; maps of a group are resampled together.
        seed: Random seed of the bootstrap.
    """
    names, group = np.unique(groups, return_inverse=True)
    count = len(names)
    rng = np.random.default_rng(seed)
    resamples = rng.multinomial(count, np.full(count, 1 / count), size=_RESAMPLES)
    drawn = [macro_f1(labels, predicted, weights[group]) for weights in resamples]
    low, high = interval(np.array(drawn))
    f1 = f1_score(labels, predicted, labels=_ALL, average=None, zero_division=np.nan)
    confusion = confusion_matrix(labels, predicted, labels=_ALL)
    return Score(macro_f1(labels, predicted), low, high, f1, confusion)


def held_out(predict: Predict, folds: Sequence[str]) -> Rows:
    """The prediction for every row by what was learned from the rows of all other folds."""
    predicted = np.full(len(folds), -1)
    for learn, rows in leave_one_out(folds):
        predicted[rows] = predict(learn, rows)
    return predicted


def held_out_twice(predict: Predict, folds: Sequence[str], others: Sequence[str]) -> Rows:
    """The prediction for every row by what was learned from rows that share neither its fold nor
    its other fold.
    """
    predicted = np.full(len(folds), -1)
    for learn_first, rows_first in leave_one_out(folds):
        for learn_second, rows_second in leave_one_out(others):
            rows = np.intersect1d(rows_first, rows_second)
            if len(rows):
                predicted[rows] = predict(np.intersect1d(learn_first, learn_second), rows)
    return predicted


def leave_one_out(folds: Sequence[str]) -> list[tuple[Rows, Rows]]:
    """For every fold the rows of the others and its own."""
    return list(LeaveOneGroupOut().split(folds, groups=folds))


def head_folds(groups: Sequence[str], count: int, seed: int = 0) -> list[str]:
    """`count` folds that keep the rows of a group together.

    scikit-learn's GroupKFold shuffles otherwise, and the published scores are those of these folds.
    """
    names = sorted(set(groups))
    order = np.random.default_rng(seed).permutation(len(names))
    fold_of = {names[group]: f"{turn % count}" for turn, group in enumerate(order)}
    return [fold_of[group] for group in groups]
