"""What it costs to disable sets of heads, and which changes are more than noise (paper, section
4.6).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headscope.ablation.sets import SetResult
from headscope.axes import HeadSet
from headscope.examples import Labels
from headscope.model.tap import Mode
from headscope.stats.changes import change_intervals
from headscope.stats.exchange import changed_by_chance, name_of_test
from headscope.stats.groups import Groups, case_values
from headscope.stats.means import interval_of_mean
from headscope.stats.metrics import METRICS
from headscope.stats.paired import holm
from headscope.tasks.base import Task
from headscope.tasks.outputs import Logits, losses, predictions


@dataclass(frozen=True)
class DisabledRow:
    """A row of `disabled`: a set and a metric, in points.

    `low` and `high` are of `delta`, the change of the score; `loss_low` and `loss_high` of the mean
    change of the loss (nats, or squared error), which is the same in every metric's row.
    """

    set: str
    layer: int | None
    head: int | None
    mode: Mode
    metric: str
    baseline: float
    value: float
    delta: float
    low: float
    high: float
    n: int
    unit: str
    p: float
    test: str
    activation_change: float
    loss_change: float
    loss_low: float
    loss_high: float
    loss_moved: float
    p_corrected: float


@dataclass(frozen=True)
class _LossChange:
    """How the loss of the examples changes: its mean with a 95% interval, and how far it moves."""

    mean: float
    low: float
    high: float
    moved: float


def effects(
    task: Task,
    labels: Labels,
    unchanged: Logits,
    results: Sequence[SetResult],
    *,
    mode: Mode,
    seed: int,
    groups: Groups | None = None,
) -> list[DisabledRow]:
    """The `disabled` rows: per metric and set the change in points, its interval and its p-values.

    The interval is Tango's score interval for accuracy and a smoothed paired bootstrap over the
    examples for other metrics; the test is exact McNemar for accuracy and a paired permutation test
    for the other metrics; Holm's correction is over all sets, metric by metric. Beside them stand
    how much the loss rises, with Student's t interval over the examples, and how far the loss of an
    example moves either way. Where examples have groups, these take the place of examples in every
    interval and test, and the test is a permutation for accuracy too.

    Args:
        task: Its metrics are taken.
        labels: The true labels, [example].
        unchanged: The outputs of the model with nothing disabled, [example, output].
        results: What the sets of the table put out.
        mode: What a disabled head puts out.
        seed: Of bootstraps and permutations.
        groups: Which examples are of one case; None where each is its own.
    """
    base = predictions(task, unchanged)
    changed = [predictions(task, result.outputs) for result in results]
    loss_changes = _loss_changes(task, labels, unchanged, results, groups)
    rows = []
    for metric in task.metrics:
        intervals = change_intervals(metric, labels, base, np.stack(changed), seed, groups)
        p_values = []
        for number, after in enumerate(changed, start=1):
            p = changed_by_chance(metric, labels, base, after, seed + number, groups)
            p_values.append(p)
        corrected = holm(np.array(p_values))
        baseline = METRICS[metric].score(labels, base, groups)
        for number, result in enumerate(results):
            value = METRICS[metric].score(labels, changed[number], groups)
            low, high = intervals[number]
            layer, head = _place(result.name, result.heads)
            loss = loss_changes[number]
            rows.append(
                DisabledRow(
                    set=result.name,
                    layer=layer,
                    head=head,
                    mode=mode,
                    metric=metric,
                    baseline=baseline,
                    value=value,
                    delta=value - baseline,
                    low=low,
                    high=high,
                    n=METRICS[metric].count(labels, groups),
                    unit="points",
                    p=p_values[number],
                    test=name_of_test(metric, groups),
                    activation_change=result.activation_change,
                    loss_change=loss.mean,
                    loss_low=loss.low,
                    loss_high=loss.high,
                    loss_moved=loss.moved,
                    p_corrected=float(corrected[number]),
                )
            )
    return rows


def _place(name: str, heads: HeadSet) -> tuple[int | None, int | None]:
    """The layer and the head of a set that is one head or a whole layer, else None."""
    if len(heads) == 1:
        (only,) = heads
        return only.layer, only.head
    # Some heads of a layer are not the layer, so its name decides.
    layers = {head.layer for head in heads if name == f"layer {head.layer}"}
    return next(iter(layers), None), None


def _loss_changes(
    task: Task,
    labels: Labels,
    unchanged: Logits,
    results: Sequence[SetResult],
    groups: Groups | None,
) -> list[_LossChange]:
    """By how much each set changes the loss of the examples."""
    before = losses(task, labels, unchanged)
    changes = []
    for result in results:
        change = losses(task, labels, result.outputs) - before
        mean, low, high = interval_of_mean(case_values(change, groups))
        moved = float(np.abs(change).mean())
        changes.append(_LossChange(mean, low, high, moved))
    return changes
