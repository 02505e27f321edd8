"""Does disabling one of many sets of heads help? The table `selection` (paper, section 4.6)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headscope.ablation.effects import DisabledRow
from headscope.ablation.sets import SetResult
from headscope.examples import Labels
from headscope.names import VerdictWord
from headscope.stats.best_of_many import best_gain, honest_gain, set_gains
from headscope.stats.exchange import Outcomes, exchange
from headscope.stats.groups import Groups
from headscope.stats.metrics import METRICS
from headscope.stats.verdicts import verdict
from headscope.tasks.base import Task
from headscope.tasks.outputs import Logits, predictions


@dataclass(frozen=True)
class SelectionRow:
    """A row of `selection`: for a metric, which sets gain more than noise.

    `p`, `significant`, `at_least` and `at_most` are of the verdict; `best`, `value`, `null_mean`
    and `null_high` of the largest gain in points; `honest` and its interval, `low` to `high`, of
    choosing the best set.
    """

    metric: str
    sets: int
    best: str
    value: float
    null_mean: float
    null_high: float
    p: float
    significant: str
    at_least: float | None
    at_most: float | None
    honest: float
    low: float
    high: float
    n: int
    unit: str
    verdict: VerdictWord
    text: str


def selection_rows(
    task: Task,
    labels: Labels,
    unchanged: Logits,
    results: Sequence[SetResult],
    effects: Sequence[DisabledRow],
    *,
    seed: int,
    groups: Groups | None = None,
) -> list[SelectionRow]:
    """The `selection` rows, one per metric: the gains of all sets, tested together.

    Args:
        task: Its metrics are taken.
        labels: The true labels, [example].
        unchanged: The outputs of the model with nothing disabled, [example, output].
        results: What it puts out with each set disabled.
        effects: The effects of the same sets, in their order, metric by metric.
        seed: Of exchanges and splits.
        groups: Which examples are of one case; None where each is its own.
    """
    names = [result.name for result in results]
    base = predictions(task, unchanged)
    changed = np.stack([predictions(task, result.outputs) for result in results])
    rows = []
    for metric in task.metrics:
        outcomes = Outcomes(metric, labels, base, changed, groups)
        drawn = exchange(outcomes, seed)
        best = best_gain(drawn)
        honest = honest_gain(outcomes, seed)
        highs = np.array([row.high for row in effects if row.metric == metric], dtype=float)
        judged = verdict(metric, names, set_gains(drawn), highs, best, honest)
        rows.append(
            SelectionRow(
                metric=metric,
                sets=len(names),
                best=names[best.index],
                value=best.gain,
                null_mean=best.null_mean,
                null_high=best.null_high,
                p=judged.p,
                significant="; ".join(judged.significant),
                at_least=judged.at_least,
                at_most=judged.at_most,
                honest=honest.gain,
                low=honest.low,
                high=honest.high,
                n=METRICS[metric].count(labels, groups),
                unit="points",
                verdict=judged.word,
                text=judged.text,
            )
        )
    return rows
