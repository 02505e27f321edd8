"""Scores of two classes, judged by how they rank: average precision and the area under ROC.

Examples that have the same score are one step of a ranking, as in scikit-learn's functions, which
the tests compare. Scores are fractions here; labels are 1 (what is looked for) and 0.

Neither is a sum over examples. Where a test needs one, each example gets the share that it has in
the score: the score plus n times its derivative by the weight of the example (the infinitesimal
jackknife). The mean of the shares is the score itself, and their spread that of the score, to first
order.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Shaped
from scipy.special import expit, logit
from scipy.stats import t as student

from headscope.stats.groups import Groups, case_values

Array = npt.NDArray[Any]
Labels = Shaped[np.ndarray, "example"]
Weights = Float[np.ndarray, "draw example"]
Shares = Float[np.ndarray, "example"]


@dataclass(frozen=True)
class Ranking:
    """A score of a ranking.

    Attributes:
        score: The scores [draw], from labels, predictions [example] and weights [draw, example]; 0
            where it is not defined.
        shares: What every example has in the score [example], where each counts once.
    """

    score: Callable[[Labels, Array, Weights], Float[np.ndarray, " draw"]]
    shares: Callable[[Labels, Array], Shares]

    def interval(
        self, labels: Labels, predictions: Array, groups: Groups | None = None
    ) -> tuple[float, float]:
        """The 95% interval of the score, as fractions; NaN where shares have no spread.

        It is symmetric on the scale of the logit, with the standard error of the shares and half as
        many degrees of freedom as the rarer class has examples, less one: with few examples of a
        class a bootstrap covers too seldom, and one degree for each as well (docs/statistics.md).
        Where examples have groups, the error is of their shares together, with no more degrees than
        there are groups, less one.

        Source: Boyd, Eng & Page (2013), ECML PKDD, "Area under the precision-recall curve: point
        estimates and confidence intervals" (logit interval).
        """
        shares = case_values(self.shares(labels, predictions), groups)
        value = float(shares.mean())
        error = float(shares.std(ddof=1)) / np.sqrt(len(shares)) if len(shares) > 1 else 0.0
        freedom = min(rarer(labels) / 2, len(shares)) - 1
        if error < _NONE or freedom < 1 or not 0 < value < 1:
            return float("nan"), float("nan")
        half = float(student.ppf(0.975, freedom)) * error / (value * (1 - value))
        return float(expit(logit(value) - half)), float(expit(logit(value) + half))


_NONE = 1e-9
"""A standard error below this is none."""


def rarer(labels: Labels) -> int:
    """How many examples the rarer of two classes has."""
    positive = int((labels == 1).sum())
    return min(positive, len(labels) - positive)


@dataclass(frozen=True, eq=False)
class _Steps:
    """Examples by falling score, in steps of equal ones.

    Attributes:
        order: The examples, the highest score first.
        last: The place of the last example of every step.
        step: The step of every place.
    """

    order: npt.NDArray[np.int64]
    last: npt.NDArray[np.int64]
    step: npt.NDArray[np.int64]

    @classmethod
    def of(cls, predictions: Array) -> "_Steps":
        order = np.argsort(-predictions, kind="stable")
        falling = predictions[order]
        is_last = np.append(falling[1:] != falling[:-1], True)
        last = np.flatnonzero(is_last)
        return cls(order, last, np.searchsorted(last, np.arange(len(order))))


def _ratio(above: Array, below: Array) -> Array:
    return np.divide(above, below, out=np.zeros(np.shape(above)), where=below > 0)


def average_precision(
    labels: Labels, predictions: Array, weights: Weights
) -> Float[np.ndarray, " draw"]:
    """Average precision: the mean, over the positive examples, of the share of positive ones among
    those that score as high or higher.

    >>> labels, scores = np.array([1, 0, 1]), np.array([3.0, 2.0, 1.0])
    >>> average_precision(labels, scores, np.ones((1, 3))).round(3)  # (1 + 2 / 3) / 2
    array([0.833])
    """
    steps = _Steps.of(predictions)
    weight = weights[:, steps.order]
    is_positive = labels[steps.order] == 1
    retrieved = np.cumsum(weight, axis=1)[:, steps.last]  # [draw, step]
    found = np.cumsum(weight * is_positive, axis=1)[:, steps.last]
    new = np.diff(found, axis=1, prepend=0)
    return _ratio((new * _ratio(found, retrieved)).sum(1), found[:, -1])


def average_precision_shares(labels: Labels, predictions: Array) -> Shares:
    """What every example has in average precision; without positive ones nothing."""
    steps = _Steps.of(predictions)
    n = len(labels)
    is_positive = (labels[steps.order] == 1).astype(np.float64)
    positive = is_positive.sum()
    if not positive:
        return np.zeros(n)
    retrieved = steps.last + 1.0
    found = np.cumsum(is_positive)[steps.last]
    new = np.diff(found, prepend=0)
    precision = found / retrieved
    score = (new * precision).sum() / positive
    # An example counts in the precision at its own step and at all below it: among the retrieved,
    # and, where it is positive, among the found.
    gained = _from_here(new / retrieved)[steps.step]
    lost = _from_here(new * precision / retrieved)[steps.step]
    own = precision[steps.step] - score
    slope = (is_positive * (own + gained) - lost) / positive
    shares = np.empty(n)
    shares[steps.order] = score + n * slope
    return shares


def roc_auc(labels: Labels, predictions: Array, weights: Weights) -> Float[np.ndarray, " draw"]:
    """The area under ROC: how often a positive example scores higher than a negative one, where a
    tie is half a success.

    >>> labels, scores = np.array([1, 0, 1]), np.array([3.0, 2.0, 1.0])
    >>> roc_auc(labels, scores, np.ones((1, 3)))
    array([0.5])
    """
    steps = _Steps.of(predictions)
    weight = weights[:, steps.order]
    is_positive = labels[steps.order] == 1
    found = np.cumsum(weight * is_positive, axis=1)[:, steps.last]  # [draw, step]
    false = np.cumsum(weight * ~is_positive, axis=1)[:, steps.last]
    # Of the negative examples of a step, the positive ones before it score higher, half of its own
    # tie.
    higher = found - np.diff(found, axis=1, prepend=0) / 2
    won = (np.diff(false, axis=1, prepend=0) * higher).sum(1)
    return _ratio(won, found[:, -1] * false[:, -1])


def roc_auc_shares(labels: Labels, predictions: Array) -> Shares:
    """What every example has in the area under ROC; where a class has no example, nothing.

    Source: DeLong, DeLong & Clarke-Pearson (1988), Biometrics 44 (the components of the area).
    """
    steps = _Steps.of(predictions)
    n = len(labels)
    is_positive = (labels[steps.order] == 1).astype(np.float64)
    positive = is_positive.sum()
    negative = n - positive
    if not positive * negative:
        return np.zeros(n)
    found = np.cumsum(is_positive)[steps.last]
    false = steps.last + 1.0 - found
    new_found, new_false = np.diff(found, prepend=0), np.diff(false, prepend=0)
    beaten = (negative - false + new_false / 2) / negative  # of the negative, by this step
    beating = (found - new_found / 2) / positive  # of the positive, this step
    score = (new_found * beaten).sum() / positive
    of_positive = n / positive * (beaten - score)[steps.step]
    of_negative = n / negative * (beating - score)[steps.step]
    shares = np.empty(n)
    shares[steps.order] = score + np.where(is_positive > 0, of_positive, of_negative)
    return shares


def _from_here(values: Array) -> Array:
    """The sum of every value and all behind it."""
    return np.cumsum(values[::-1])[::-1]


AVERAGE_PRECISION = Ranking(average_precision, average_precision_shares)
ROC_AUC = Ranking(roc_auc, roc_auc_shares)
