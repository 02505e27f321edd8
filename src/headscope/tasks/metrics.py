"""GLUE's metrics, from scikit-learn and scipy, in points (0 to 100)."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from headscope.examples import Labels
from headscope.tasks.base import Task

Logits = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Metric:
    """A metric: `score(labels, predictions)` in points, and whether it is for a regression."""

    score: Callable[[npt.NDArray[Any], npt.NDArray[Any]], float]
    regression: bool

    @property
    def fits(self) -> str:
        """What kind of label it is for, in words."""
        return "a regression" if self.regression else "classes"


def _accuracy(labels: npt.NDArray[Any], predictions: npt.NDArray[Any]) -> float:
    return 100 * float(np.mean(labels == predictions))


def _f1(labels: npt.NDArray[Any], predictions: npt.NDArray[Any]) -> float:
    from sklearn.metrics import f1_score

    return 100 * float(f1_score(labels, predictions, pos_label=1, zero_division=0.0))


def _matthews(labels: npt.NDArray[Any], predictions: npt.NDArray[Any]) -> float:
    from sklearn.metrics import matthews_corrcoef

    # Undefined for a constant, and 0 by convention.
    if np.ptp(labels) == 0 or np.ptp(predictions) == 0:
        return 0.0
    return 100 * float(matthews_corrcoef(labels, predictions))


def _pearson(labels: npt.NDArray[Any], predictions: npt.NDArray[Any]) -> float:
    from scipy.stats import pearsonr

    return _correlation(pearsonr, labels, predictions)


def _spearman(labels: npt.NDArray[Any], predictions: npt.NDArray[Any]) -> float:
    from scipy.stats import spearmanr

    return _correlation(spearmanr, labels, predictions)


def _correlation(
    function: Callable[..., Any], labels: npt.NDArray[Any], predictions: npt.NDArray[Any]
) -> float:
    # A constant predictor has no correlation; GLUE and this table count it as 0.
    if len(labels) < 2 or np.ptp(labels) == 0 or np.ptp(predictions) == 0:
        return 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = float(function(labels, predictions).statistic)
    return 0.0 if np.isnan(value) else 100 * value


METRICS = {
    "accuracy": Metric(_accuracy, regression=False),
    "f1": Metric(_f1, regression=False),
    "matthews": Metric(_matthews, regression=False),
    "pearson": Metric(_pearson, regression=True),
    "spearman": Metric(_spearman, regression=True),
}


def predictions(task: Task, logits: Logits) -> Labels:
    """What the outputs [example, output] predict: the class of the largest, or the score."""
    return (
        logits[:, 0].astype(np.float64) if task.is_regression else logits.argmax(1).astype(np.int64)
    )


def losses(task: Task, labels: Labels, logits: Logits) -> npt.NDArray[np.float64]:
    """What training minimises, [example]: cross entropy in nats, or the squared error of a
    score.
    """
    out = logits.astype(np.float64)
    if task.is_regression:
        return np.asarray((out[:, 0] - labels) ** 2)
    shifted = out - out.max(1, keepdims=True)
    return np.asarray(
        np.log(np.exp(shifted).sum(1)) - shifted[np.arange(len(out)), labels.astype(np.int64)]
    )


def majority(task: Task, train: Labels, n: int) -> Labels:
    """What a model that has learnt nothing says of `n` rows: the commonest class of train, or its
    mean score.
    """
    if task.is_regression:
        return np.full(n, train.mean())
    return np.full(n, np.bincount(train.astype(np.int64)).argmax())


def score_rows(
    metric: str, labels: npt.NDArray[Any], predicted: npt.NDArray[Any]
) -> npt.NDArray[np.float64]:
    """The same metrics for many resamples at once: [row, example] twice -> points, [row].

    Resampling asks for thousands of scores; these forms are tested to equal scikit-learn's and
    scipy's.
    """
    if metric == "accuracy":
        return np.asarray(100 * (labels == predicted).mean(1))
    if metric in ("f1", "matthews"):
        tp = ((labels == 1) & (predicted == 1)).sum(1).astype(float)
        fp = ((labels != 1) & (predicted == 1)).sum(1).astype(float)
        fn = ((labels == 1) & (predicted != 1)).sum(1).astype(float)
        if metric == "f1":
            return 100 * _ratio(2 * tp, 2 * tp + fp + fn)
        if labels.max() > 1 or predicted.max() > 1:
            return np.array([_matthews(y, p) for y, p in zip(labels, predicted, strict=True)])
        tn = labels.shape[1] - tp - fp - fn
        return 100 * _ratio(
            tp * tn - fp * fn, np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
        )
    if metric == "spearman":
        from scipy.stats import rankdata

        labels, predicted = rankdata(labels, axis=1), rankdata(predicted, axis=1)
    x = labels - labels.mean(1, keepdims=True)
    y = predicted - predicted.mean(1, keepdims=True)
    return 100 * _ratio((x * y).sum(1), np.sqrt((x * x).sum(1) * (y * y).sum(1)))


def _ratio(above: npt.NDArray[Any], below: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    return np.asarray(np.divide(above, below, out=np.zeros_like(above), where=below > 0))
