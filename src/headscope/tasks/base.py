"""What a task is: the columns and labels of its data, its metrics, and where its rows come from."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from headscope.registry import Registry
from headscope.tags import Word

Labels = npt.NDArray[np.int64] | npt.NDArray[np.float64]


@dataclass(frozen=True)
class Split:
    """The rows of one split. All columns have the length `n`.

    `first` and `second` are the texts (`second` is None for single sentences); `labels` holds class indices, or
    scores for a regression; `words`, where a gold annotation exists, holds for every example the tagged words of
    each of its texts. `notes` says what was left out on the way, for the run's record.
    """

    first: tuple[str, ...]
    second: tuple[str, ...] | None
    labels: Labels
    words: tuple[tuple[tuple[Word, ...], ...], ...] | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.first)

    def take(self, rows: npt.NDArray[np.int64]) -> "Split":
        """The rows with these indices, in this order."""
        return replace(
            self,
            first=tuple(self.first[i] for i in rows),
            second=None if self.second is None else tuple(self.second[i] for i in rows),
            labels=self.labels[rows],
            words=None if self.words is None else tuple(self.words[i] for i in rows),
        )

    def sample(self, n: int | None, seed: int) -> "Split":
        """At most `n` rows, drawn without replacement from `seed`, in their old order; all rows if `n` is None."""
        if n is None or n >= len(self):
            return self
        rows = np.random.default_rng(seed).choice(len(self), n, replace=False)
        return self.take(np.sort(rows))


@dataclass(frozen=True)
class Task:
    """A task: what its rows look like and how its predictions are scored.

    `columns` names the one or two text columns, `label` the label column. `labels` names the classes in the order
    of their indices and is empty for a regression, whose scores lie in `limits`. The first metric is the headline.
    `generate`, for a task that makes its own data, gives (train, validation) from a seed and their sizes.
    """

    name: str
    columns: tuple[str, ...]
    labels: tuple[str, ...]
    metrics: tuple[str, ...]
    label: str = "label"
    limits: tuple[float, float] = (0.0, 0.0)
    folders: tuple[str, ...] = ()
    validation: tuple[str, ...] = ("validation", "dev")
    hub: tuple[str, str] | None = None
    tsv_columns: tuple[str, ...] | None = None
    tsv_label: str | None = None
    generate: "Callable[[int, int, int], tuple[Split, Split]] | None" = None
    folder: Path | None = None

    @property
    def is_regression(self) -> bool:
        """Whether the label is a score, not a class."""
        return not self.labels

    @property
    def outputs(self) -> int:
        """How many outputs a classification head for this task has."""
        return len(self.labels) or 1


TASKS: Registry[Task] = Registry("task")
"""Every task that `--task` knows by name."""
