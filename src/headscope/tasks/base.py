"""What a task is: the columns and labels of its data, its metrics, and where its rows come from."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from headscope.errors import HeadscopeError
from headscope.examples import Split
from headscope.registry import Registry


@dataclass(frozen=True)
class Task:
    """A task: what its rows look like and how its predictions are scored.

    Attributes:
        name: What `--task` calls it.
        columns: The one or two text columns.
        labels: The classes in the order of their indices; none for a regression.
        metrics: The headline first.
        label: The label column.
        group: The column that says which rows belong together, as those of one document or query;
            "" where each is by itself.
        limits: The lowest and the highest score of a regression.
        folders: Other names that its folder may have.
        validation: Names that the validation split may have, the preferred one first.
        hub: The data set and its configuration on the hub.
        tsv_columns: The text columns in GLUE's archives, where they have other names.
        tsv_label: The label column in GLUE's archives, where it has another name.
        generate: For a task that makes its own data: (train, validation) from a seed and their
            sizes.
        folder: Where the files of a task of the user's own are.
        is_similarity: Whether the score is the cosine of the two texts' vectors, not the output of
            a head. The label is a score then, also where it was one of two classes.
        of_tokens: Whether every token has a label, or every word, not the whole text.
        of_answers: Whether what is labelled like tokens are the answers to questions about a text;
            a label is then how right an answer is.
        tags: Of tokens, the labels that rows have, where `labels` holds more.
        file: The one file of a task of the user's own, which is divided into both splits.
        guessed: What was guessed of files of the user's own, in sentences; none where a task.toml
            says it.
    """

    name: str
    columns: tuple[str, ...]
    labels: tuple[str, ...]
    metrics: tuple[str, ...]
    label: str = "label"
    group: str = ""
    limits: tuple[float, float] = (0.0, 0.0)
    folders: tuple[str, ...] = ()
    validation: tuple[str, ...] = ("validation", "dev", "valid", "val")
    hub: tuple[str, str] | None = None
    tsv_columns: tuple[str, ...] | None = None
    tsv_label: str | None = None
    generate: Callable[[int, int, int], tuple[Split, Split]] | None = None
    folder: Path | None = None
    is_similarity: bool = False
    of_tokens: bool = False
    of_answers: bool = False
    tags: tuple[str, ...] = ()
    file: Path | None = None
    guessed: tuple[str, ...] = ()

    @property
    def has_labels(self) -> bool:
        """Whether its examples have labels; texts alone have none, and no metric."""
        return bool(self.metrics)

    @property
    def is_regression(self) -> bool:
        """Whether the label is a score, not a class."""
        return not self.labels and not self.of_tokens

    @property
    def has_majority(self) -> bool:
        """Whether training labels say what always the same answer would be; of masked tokens and of
        answers there are none.
        """
        return bool(self.labels) or self.is_regression

    @property
    def outputs(self) -> int:
        """How many outputs a classification head for this task has."""
        return len(self.labels) or 1

    def as_similarity(self) -> "Task":
        """The same task for an embedder. Of two classes, the label becomes a score of 0 or 1.

        Raises:
            HeadscopeError: Its examples are not pairs with a score between two limits, or with one
                of two classes.
        """
        lowest, highest = self.limits
        is_pair = len(self.columns) == 2
        if is_pair and self.is_regression and highest > lowest:
            return replace(self, is_similarity=True)
        if is_pair and len(self.labels) == 2:
            metrics = ("average_precision", "roc_auc")
            return replace(self, labels=(), limits=(0.0, 1.0), metrics=metrics, is_similarity=True)
        kind = f"{len(self.labels)} classes" if self.labels else "scores"
        raise HeadscopeError(
            "embeddings are compared in pairs whose similarity has a score between two limits, as "
            f"in stsb, or one of two classes, as in qqp; {self.name} has {len(self.columns)} text"
            f"{'s' * (len(self.columns) > 1)} and {kind}: name another task, or leave out --as"
        )


TASKS: Registry[Task] = Registry("task")
"""Every task that `--task` knows by name."""
