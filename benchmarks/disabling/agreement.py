"""Whether two ways to compute the same sets agree."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from disabling.rivals import Outputs
from headscope.examples import Labels
from headscope.stats.metrics import METRICS
from headscope.tasks.base import Task
from headscope.tasks.outputs import predictions


@dataclass(frozen=True)
class Agreement:
    """How far the outputs of two ways are apart, over all sets of heads.

    Attributes:
        largest: The largest difference of an output.
        equal: For how many sets every metric is equal.
        sets: Of how many.
        flipped: How many predictions differ, over all pairs of a set and an example; for a
            regression those that differ at all.
        pairs: Of how many.
    """

    largest: float
    equal: int
    sets: int
    flipped: int
    pairs: int

    def __str__(self) -> str:
        return (
            f"outputs differ by at most {self.largest:.1e}, {self.flipped:,} of {self.pairs:,} "
            f"predictions differ, every metric is equal for {self.equal} of {self.sets} sets"
        )


def agreement(
    ours: Mapping[str, Outputs], theirs: Mapping[str, Outputs], task: Task, labels: Labels
) -> Agreement:
    """Compare the outputs, by the names of the sets.

    Raises:
        SystemExit: A set is missing on one side, or an output is not a number.
    """
    if ours.keys() != theirs.keys():
        raise SystemExit(f"not the same sets: {sorted(ours.keys() ^ theirs.keys())}")
    largest, equal, flipped, pairs = 0.0, 0, 0, 0
    for name, outputs in ours.items():
        difference = float(np.abs(outputs - theirs[name]).max())
        if not np.isfinite(difference):
            raise SystemExit(f"{name}: an output is not finite")
        largest = max(largest, difference)
        mine, other = predictions(task, outputs), predictions(task, theirs[name])
        flipped += int((mine != other).sum())
        pairs += len(mine)
        equal += scores(task, labels, mine) == scores(task, labels, other)
    return Agreement(largest, equal, len(ours), flipped, pairs)


def scores(task: Task, labels: Labels, predicted: Labels) -> list[float]:
    """Every metric of the task, in points."""
    return [METRICS[name].score(labels, predicted) for name in task.metrics]
