"""How well a model does a task: the rows of the table `scores`."""

import math
from dataclasses import dataclass

import numpy as np

from headscope.examples import Labels
from headscope.stats.changes import is_untold
from headscope.stats.exchange import changed_by_chance
from headscope.stats.groups import Groups, widened
from headscope.stats.metrics import METRICS
from headscope.stats.paired import (
    bootstrap,
    bounded_interval,
    f1_interval,
    interval,
    share_interval,
)
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
    task: Task,
    train: Labels,
    labels: Labels,
    outputs: Logits,
    *,
    configuration: str,
    seed: int,
    groups: Groups | None = None,
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
        groups: Which examples are of one case; None where each is its own.
    """
    predicted = predictions(task, outputs)
    is_known = task.is_similarity or (task.has_majority and len(train) > 0)
    answers = None if task.of_answers else len(np.unique(known_labels(task, predicted)))
    guessed = majority(task, train, labels) if is_known else None
    rows = []
    for metric in task.metrics:
        baseline = p_majority = None
        if guessed is not None:
            baseline = METRICS[metric].score(labels, guessed, groups)
            if metric == "accuracy":
                p_majority = changed_by_chance(metric, labels, guessed, predicted, seed, groups)
        low, high = score_interval(metric, labels, predicted, seed, groups)
        rows.append(
            ScoreRow(
                configuration=configuration,
                metric=metric,
                seed=seed,
                value=METRICS[metric].score(labels, predicted, groups),
                low=low,
                high=high,
                n=METRICS[metric].count(labels, groups),
                unit="points",
                majority=baseline,
                answers=answers,
                p_majority=p_majority,
            )
        )
    return rows


def score_interval(
    metric: str, labels: Labels, predicted: Labels, seed: int, groups: Groups | None = None
) -> tuple[float, float]:
    """The 95% interval of a score, in points; NaN where every resample gives the same score, and
    for a metric other than accuracy and F1 on fewer than ten examples (of a ranking, of either
    class). Where examples have groups, ten of these are needed for any metric.

    Args:
        metric: The name of the metric.
        labels: The true labels, [example].
        predicted: The model's answers, [example].
        seed: Of the bootstrap of metrics other than accuracy and F1.
        groups: Which examples are of one case; None where each is its own.
    """
    if is_untold(metric, labels, groups):
        return math.nan, math.nan
    if metric == "accuracy":
        low, high = share_interval(labels == predicted, groups)
    elif metric == "f1":
        low, high = f1_interval(labels, predicted, groups)
    elif (ranking := METRICS[metric].ranking) is not None:
        low, high = ranking.interval(labels, predicted, groups)
    elif METRICS[metric].of_queries is not None:
        (scores,) = METRICS[metric].scores_of_queries(labels, predicted[None], groups)
        low, high = bounded_interval(scores[~np.isnan(scores)])
    else:
        drawn = bootstrap(metric, labels, [predicted], seed, groups=groups)[0]
        return interval(widened(drawn, None if groups is None else len(groups)))
    return 100 * low, 100 * high
