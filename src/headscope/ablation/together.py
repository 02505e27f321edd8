"""Many heads disabled together: what it costs, beside the sum of what each costs alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headscope.ablation.interactions import Rises
from headscope.ablation.sets import NamedSet, SetResult
from headscope.axes import Head, HeadSet, set_name
from headscope.examples import Labels
from headscope.model.tap import Mode
from headscope.stats.groups import Groups, case_values
from headscope.stats.means import interval_of_mean, known
from headscope.stats.metrics import METRICS
from headscope.tasks.base import Task
from headscope.tasks.outputs import Logits, losses, predictions

ALL = "all heads"
FREE = "heads that raise no loss alone"
"""The sets of the table `together`."""


@dataclass(frozen=True)
class TogetherRow:
    """A row of `together`: a metric and a set of many heads.

    `baseline` and `value` are the scores in points, `alone` the sum of the mean rises of the loss
    with each head disabled alone, `loss_change` the rise with all of them disabled; `excess` is
    their difference.
    """

    set: str
    heads: int
    members: str
    mode: Mode
    metric: str
    baseline: float
    value: float
    unit: str
    alone: float
    loss_change: float
    excess: float
    excess_low: float | None
    excess_high: float | None
    loss_unit: str
    n: int


def loss_unit(task: Task) -> str:
    """What a task's loss is measured in."""
    return "squared error" if task.is_regression else "nats"


def loss_rises(
    task: Task, labels: Labels, unchanged: Logits, results: Sequence[SetResult]
) -> dict[HeadSet, np.ndarray]:
    """By how much disabling each set raises the loss of every example."""
    before = losses(task, labels, unchanged)
    return {result.heads: losses(task, labels, result.outputs) - before for result in results}


def many_heads(rises: Rises, every: Sequence[Head]) -> list[NamedSet]:
    """The sets of the table: all heads, and those that raise the mean loss by nothing alone.

    Args:
        rises: Of every head alone.
        every: All heads of the model.

    Returns:
        The second set is there if it has two heads or more, and is not the first.
    """
    free = [head for head in every if rises[frozenset([head])].mean() <= 0]
    sets = [(ALL, frozenset(every))]
    if 2 <= len(free) < len(every):
        sets.append((FREE, frozenset(free)))
    return sets


def together_rows(
    task: Task,
    labels: Labels,
    unchanged: Logits,
    results: Sequence[SetResult],
    rises: Rises,
    *,
    mode: Mode,
    groups: Groups | None = None,
) -> list[TogetherRow]:
    """The `together` rows: a row per set and metric.

    Args:
        task: Its metrics are taken.
        labels: The true labels, [example].
        unchanged: The outputs of the model with nothing disabled, [example, output].
        results: What it puts out with each set disabled, under the set's name.
        rises: Of the sets, and of every head alone.
        mode: What a disabled head puts out.
        groups: Which examples are of one case; None where each is its own.
    """
    base = predictions(task, unchanged)
    rows = []
    for result in results:
        alone = sum(rises[frozenset([head])] for head in result.heads)
        rise = rises[result.heads]
        excess = rise - alone
        mean, low, high = interval_of_mean(case_values(excess, groups))
        after = predictions(task, result.outputs)
        for metric in task.metrics:
            rows.append(
                TogetherRow(
                    set=result.name,
                    heads=len(result.heads),
                    members=set_name(result.heads),
                    mode=mode,
                    metric=metric,
                    baseline=METRICS[metric].score(labels, base, groups),
                    value=METRICS[metric].score(labels, after, groups),
                    unit="points",
                    alone=float(np.mean(alone)),
                    loss_change=float(rise.mean()),
                    excess=mean,
                    excess_low=known(low),
                    excess_high=known(high),
                    loss_unit=loss_unit(task),
                    n=len(excess),
                )
            )
    return rows
