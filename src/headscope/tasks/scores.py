"""How well a model does a task: the rows of the table `scores`."""

import math
from dataclasses import dataclass

import numpy as np

from headscope.examples import Labels
from headscope.stats.means import FEWEST
from headscope.stats.metrics import METRICS
from headscope.stats.paired import bootstrap, f1_interval, interval, mcnemar, wilson
from headscope.tasks.base import Task
from headscope.tasks.outputs import Logits, known_labels, majority, predictions


@dataclass(frozen=True)
class ScoreRow:
    """A row of `scores`: a configuration and a metric, in points, beside the majority baseline.

    Attributes:
        answers: How many different answers the model gives: classes, or scores; None for answers
            to questions.
        majority: None where there are no training examples, whose commonest class it is.
        p_majority: Whether its accuracy differs from that of the majority class; None for other
            metrics, and without the majority.
    """

    configuration: str
    metric: str
    seed: int
    value: float
    low: float
    high: float
    n: int
    unit: str
    majority: float | None
    answers: int | None
    p_majority: float | None


def score_rows_of(
    task: Task, train: Labels, labels: Labels, outputs: Logits, *, configuration: str, seed: int
) -> list[ScoreRow]:
    """The `scores` rows of one configuration: every metric of the task with its 95% interval.

    Args:
        task: Its metrics are taken.
        train: The labels of the training examples, of which the commonest is the baseline; without
            any there is no baseline, but for cosines, of which all that are the same score alike.
        labels: The true labels, [example].
        outputs: The model's, [example, output].
        configuration: What the model is, a word of `names`.
        seed: Of the bootstrap.
    """
    predicted = predictions(task, outputs)
    is_known = task.is_similarity or (task.has_majority and len(train) > 0)
    answers = None if task.of_answers else len(np.unique(known_labels(task, predicted)))
    guessed = majority(task, train, labels) if is_known else None
    rows = []
    for metric in task.metrics:
        baseline = p_majority = None
        if guessed is not None:
            baseline = METRICS[metric].score(labels, guessed)
            is_tested = metric == "accuracy"
            p_majority = mcnemar(labels, guessed, predicted) if is_tested else None
        low, high = score_interval(metric, labels, predicted, seed)
        rows.append(
            ScoreRow(
                configuration=configuration,
                metric=metric,
                seed=seed,
                value=METRICS[metric].score(labels, predicted),
                low=low,
                high=high,
                n=len(labels),
                unit="points",
                majority=baseline,
                answers=answers,
                p_majority=p_majority,
            )
        )
    return rows


def score_interval(
    metric: str, labels: Labels, predicted: Labels, seed: int
) -> tuple[float, float]:
    """The 95% interval of a score, in points; NaN where every resample gives the same score, and
    for a metric other than accuracy and F1 on fewer than `FEWEST` examples (of a ranking, of either
    class).

    Args:
        metric: The name of the metric.
        labels: The true labels, [example].
        predicted: The model's answers, [example].
        seed: Of the bootstrap of metrics other than accuracy and F1.
    """
    if metric == "accuracy":
        low, high = wilson(int((labels == predicted).sum()), len(labels))
    elif metric == "f1":
        low, high = f1_interval(labels, predicted)
    elif METRICS[metric].cases(labels) < FEWEST:
        return math.nan, math.nan
    elif (ranking := METRICS[metric].ranking) is not None:
        low, high = ranking.interval(labels, predicted)
    else:
        return interval(bootstrap(metric, labels, [predicted], seed)[0])
    return 100 * low, 100 * high
