"""What a task is: the columns and labels of its data, its metrics, and where its rows come from."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from headscope.examples import Split
from headscope.registry import Registry


@dataclass(frozen=True)
class Task:
    """A task: what its rows look like and how its predictions are scored.

    `columns` names the one or two text columns, `label` the label column. `labels` names the
    classes in the order of their indices and is empty for a regression, whose scores lie in
    `limits`. The first metric is the headline. `generate`, for a task that makes its own data,
    gives (train, validation) from a seed and their sizes.
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
