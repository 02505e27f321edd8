"""The rows of the table `pruned`: what the best set of every size costs on unseen examples."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float

from headscope.axes import HeadSet, set_name
from headscope.examples import Labels
from headscope.model.tap import Mode
from headscope.stats.changes import change_intervals
from headscope.stats.groups import Groups, case_values
from headscope.stats.means import interval_of_mean
from headscope.stats.metrics import METRICS
from headscope.stats.noninferiority import noninferiority
from headscope.tasks.base import Task
from headscope.tasks.outputs import Logits, losses, majority, predictions

UNREPAIRED, REFIT, TRAINED = "none", "refit", "fine-tuned"
"""What was done to make up for removed heads."""


@dataclass(frozen=True)
class PrunedRow:
    """A row of `pruned`: a number of kept heads and a metric, in points."""

    kept: int
    removed: int
    heads: str
    mode: Mode
    repair: str
    metric: str
    baseline: float
    value: float
    delta: float
    low: float
    high: float
    n: int
    unit: str
    majority: float | None
    margin: float
    p: float
    activation_change: float | None
    loss: float
    loss_change: float
    loss_low: float
    loss_high: float
    search_loss: float
    search_n: int
    choice_value: float
    choice_n: int
    scored: int
    seconds: float
    chosen: bool


@dataclass(frozen=True)
class PathSet:
    """A set of the path, with what is known of it before it meets the validation examples.

    Attributes:
        kept: The heads that are kept.
        removed: How many are removed.
        repair: What was done to make up for them.
        search_loss: The mean loss on the examples of the search.
        choice_values: The score on the examples by which a size is chosen, by metric, in points.
        scored: How many sets the search scored.
        seconds: How long it took.
        chosen: Whether this is the recommended set.
    """

    kept: HeadSet
    removed: int
    repair: str
    search_loss: float
    choice_values: dict[str, float]
    scored: int
    seconds: float
    chosen: bool


@dataclass(frozen=True, eq=False)
class Validation:
    """What the sets of a path are judged by.

    Attributes:
        task: Its metrics are taken.
        train: The labels of the training examples, of which the commonest is the baseline.
        labels: The true labels of the validation examples.
        unchanged: What the whole model puts out for them.
        mode: What stands for a removed head.
        within: By which share of itself a score may fall.
        search_n: How many examples the search looked at.
        choice_n: By how many examples a size was chosen.
        seed: Of bootstraps.
        groups: Which validation examples are of one case; None where each is its own.
    """

    task: Task
    train: Labels
    labels: Labels
    unchanged: Logits
    mode: Mode
    within: float
    search_n: int
    choice_n: int
    seed: int
    groups: Groups | None = None


def pruned_rows(
    path_sets: Sequence[PathSet],
    outputs: Float[np.ndarray, "set example output"],
    changes: Sequence[float | None],
    validation: Validation,
) -> list[PrunedRow]:
    """The rows of sets, metric by metric.

    Args:
        path_sets: The sets.
        outputs: What the model puts out for the validation examples without each set's heads.
        changes: How far the output of the least moved of the removed heads moved, relative to its
            norm; None where no head is removed.
        validation: The whole model, and what else the rows say.
    """
    task, labels, seed = validation.task, validation.labels, validation.seed
    base = predictions(task, validation.unchanged)
    after = np.stack([predictions(task, of_set) for of_set in outputs])
    guessed = majority(task, validation.train, labels) if task.has_majority else None
    loss = [_loss_change(validation, of_set) for of_set in outputs]
    rows = []
    groups = validation.groups
    for metric in task.metrics:
        score = partial(METRICS[metric].score, groups=groups)
        baseline = score(labels, base)
        margin = margin_of(baseline, validation.within)
        intervals = change_intervals(metric, labels, base, after, seed, groups)
        p = noninferiority(metric, labels, base, after, margin, seed, groups=groups)
        for number, path_set in enumerate(path_sets):
            value = score(labels, after[number])
            low, high = intervals[number]
            mean, change, loss_low, loss_high = loss[number]
            rows.append(
                PrunedRow(
                    kept=len(path_set.kept),
                    removed=path_set.removed,
                    heads=set_name(path_set.kept),
                    mode=validation.mode,
                    repair=path_set.repair,
                    metric=metric,
                    baseline=baseline,
                    value=value,
                    delta=value - baseline,
                    low=low,
                    high=high,
                    n=METRICS[metric].count(labels, groups),
                    unit="points",
                    majority=None if guessed is None else score(labels, guessed),
                    margin=margin,
                    p=float(p[number]),
                    activation_change=changes[number],
                    loss=mean,
                    loss_change=change,
                    loss_low=loss_low,
                    loss_high=loss_high,
                    search_loss=path_set.search_loss,
                    search_n=validation.search_n,
                    choice_value=path_set.choice_values.get(metric, float("nan")),
                    choice_n=validation.choice_n,
                    scored=path_set.scored,
                    seconds=path_set.seconds,
                    chosen=path_set.chosen,
                )
            )
    return rows


def margin_of(baseline: float, within: float) -> float:
    """By how many points a score may fall: a share of itself, and never nothing."""
    return max(within * abs(baseline), 1e-6)


def _loss_change(validation: Validation, outputs: Logits) -> tuple[float, float, float, float]:
    """The mean loss, its change, and the ends of the interval of the change."""
    task, labels = validation.task, validation.labels
    after = losses(task, labels, outputs)
    change = after - losses(task, labels, validation.unchanged)
    mean, low, high = interval_of_mean(case_values(change, validation.groups))
    return float(after.mean()), mean, low, high
