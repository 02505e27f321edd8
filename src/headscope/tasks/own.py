"""Data of the user's own without a task.toml: a file, or a folder with a file for each split. Rows
in memory come as such a file or folder too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from headscope.errors import HeadscopeError
from headscope.examples import Split
from headscope.scratch import in_words
from headscope.stats.groups import Groups
from headscope.tasks.base import Task
from headscope.tasks.finding import FORMATS, Named, has_split, split_files, where
from headscope.tasks.guessing import (
    Columns,
    check_column,
    guessed_label,
    guessed_texts,
    label_of,
    named_columns,
)
from headscope.tasks.tables import class_names, read_columns

VALIDATION_SHARE = 0.2
"""How much of a single file becomes the validation split."""
VALIDATION = ("validation", "dev", "valid", "val")


@dataclass(frozen=True)
class Chosen:
    """The columns that the user named.

    Attributes:
        columns: The text columns; None leaves them to be guessed.
        label: The label column; None leaves it to be guessed.
        group: The column that says which rows belong together; None where each is by itself.
    """

    columns: tuple[str, ...] | None = None
    label: str | None = None
    group: str | None = None

    def refuse(self, task: str) -> None:
        """Raises HeadscopeError if a text or label column is named, of a task that says itself
        which they are.
        """
        given = [("--columns", self.columns), ("--label", self.label)]
        named = [option for option, value in given if value is not None]
        if named:
            raise HeadscopeError(
                f"{' and '.join(named)} cannot be given with {task}, which says itself what its "
                "columns are: leave it out, or give a table or a folder without task.toml"
            )


ALL_GUESSED = Chosen()


def named_file(path: Path) -> Named:
    """A table by its name.

    Raises:
        HeadscopeError: Its ending is of no table.
    """
    named = Named.of(path)
    if named is None:
        raise HeadscopeError(
            f"{path} is no table that can be read: expected one of .{', .'.join(FORMATS)}; lines "
            "of text without labels are measured with --text"
        )
    return named


def own_files(folder: Path) -> list[Named]:
    """The files of both splits of a folder, of the one split that there is, or none."""
    files: list[Named] = []
    for split in (("train",), VALIDATION):
        if has_split(folder, split):
            files += split_files(folder, split)
    return files


def own_task(path: Path, chosen: Chosen = ALL_GUESSED) -> Task:
    """The task of a file, or of a folder with train and validation files: its columns guessed.

    Args:
        path: The file or the folder.
        chosen: The columns that the user named.

    Raises:
        HeadscopeError: The files are damaged or not tables, or their columns cannot be guessed.
    """
    is_folder = path.is_dir()
    files = own_files(path) if is_folder else [named_file(path)]
    columns = _joined_columns(files)
    called = where(path)
    if not any(columns.values()):
        raise HeadscopeError(f"{called} is empty: a task needs at least one row, below a header")
    label = chosen.label
    texts = chosen.columns and named_columns(chosen.columns, columns, called)
    if chosen.group is not None:
        check_column(chosen.group, columns, called, "--group")
    if label is None:
        known = [*(texts or ()), *([chosen.group] if chosen.group else [])]
        label = guessed_label(columns, known, called)
    if label == chosen.group:
        raise HeadscopeError(
            f"{called}: {label!r} is the label, and --group is the column that says which rows "
            "belong together, as those of one document: name another"
        )
    found = label_of(label, columns, called, class_names(files[0], label))
    texts = texts or guessed_texts(columns, label, called)
    if label in texts:
        raise HeadscopeError(
            f"{called}: a column can be only one of the texts or the label, got "
            f"{', '.join((*texts, label))}"
        )
    is_in_memory = in_words(path) is not None
    name = path.resolve().name
    if is_in_memory and not is_folder:
        # The folder is named by the hash of the rows.
        name = path.parent.name
    return Task(
        name=name,
        columns=texts,
        labels=found.classes,
        metrics=("accuracy",) if found.classes else ("spearman", "pearson"),
        label=label,
        group=chosen.group or "",
        limits=found.limits,
        folder=path if is_folder else None,
        file=None if is_folder else path,
        guessed=_guesses(called if is_in_memory else name, chosen, texts, found.sentence, columns),
    )


def texts_note(name: str, texts: Sequence[str], columns: Columns) -> str:
    """That the text columns were guessed, and from which."""
    which = "text column is" if len(texts) == 1 else "text columns are"
    return (
        f"{name}: the {which} taken to be {' and '.join(map(repr, texts))}, of "
        f"{', '.join(columns)}; --columns names others"
    )


def _guesses(
    name: str, chosen: Chosen, texts: Sequence[str], label: str, columns: Columns
) -> tuple[str, ...]:
    notes = () if chosen.columns else (texts_note(name, texts, columns),)
    tail = "" if chosen.label else "; --label names another column"
    return (*notes, f"{name}: the label {label}{tail}")


def _joined_columns(files: Sequence[Named]) -> dict[str, list[object]]:
    """The columns that all files have, each of one after the other."""
    tables = [read_columns(file) for file in files]
    shared = [name for name in tables[0] if all(name in table for table in tables)]
    return {name: list(chain.from_iterable(table[name] for table in tables)) for name in shared}


def divided(split: Split, task: Task, seed: int) -> tuple[Split, Split]:
    """The rows of one file as a training and a validation split, drawn from the seed.

    Rows with the same texts stay together, whatever their labels, and so do those of one group:
    none of them is in both.

    Args:
        split: All rows.
        task: For messages.
        seed: Of the division.

    Raises:
        HeadscopeError: All rows have the same texts, or are of one group.
    """
    together = _kept_together(split)
    count = int(together.max()) + 1
    if count < 2 and split.groups is not None:
        raise HeadscopeError(
            f"all rows are of one group of {task.group!r}, or of groups that share texts, and "
            "cannot be divided into training and validation rows: take another --group, or give "
            "train and validation rows apart"
        )
    if count < 2:
        called = task.name if task.file is None else where(task.file)
        raise HeadscopeError(
            f"{called}: what has only one text cannot be divided into training and validation "
            "rows: give more texts, or train and validation rows apart"
        )
    in_validation = _drawn(together, count, seed)
    validation = split.take(np.flatnonzero(in_validation[together]))
    train = split.take(np.flatnonzero(~in_validation[together]))
    return train, validation


def _kept_together(split: Split) -> npt.NDArray[np.int64]:
    """A number for every row: the same for rows that have the same texts or are of one group, and
    for those that others connect with each other.
    """
    texts = Groups.of(list(zip(split.first, split.second or split.first, strict=True)))
    if split.groups is None:
        return texts.number
    of_rows = Groups.of(split.groups)
    # Texts and groups are the nodes of a graph, and every row is an edge between two of them.
    ends = texts.number, len(texts) + of_rows.number
    nodes = len(texts) + len(of_rows)
    edges = coo_array((np.ones(len(split)), ends), shape=(nodes, nodes))
    parts = connected_components(edges, directed=False)[1][texts.number]
    # In the order of the rows, as the numbers of texts are.
    return Groups.of(parts.tolist()).number


def division_note(train: Split, validation: Split, task: Task, seed: int) -> str:
    """How many rows a single file gave to each split, and how many were kept together."""
    called = f"{task.name} is a single file, so its rows"
    if task.file is not None and in_words(task.file) is not None:
        called = "rows in memory: they come without splits, so they"
    note = (
        f"{called} were divided by --seed {seed}: {len(train)} to train, {len(validation)} to "
        "validate"
    )
    rows = len(train) + len(validation)
    if task.group:
        return f"{note}; those of one {task.group!r}, and those with the same texts, stay together"
    different = _different(train) + _different(validation)
    if different < rows:
        note += (
            f"; {rows - different} rows repeat the texts of another and were kept in the same split"
        )
    return note


def _drawn(groups: npt.NDArray[np.int64], count: int, seed: int) -> npt.NDArray[np.bool_]:
    """Which groups of rows are for validation: drawn until they have their share of the rows."""
    sizes = np.bincount(groups)
    order = np.random.default_rng(seed).permutation(count)
    # What stands before each group: the first is always taken, the last never.
    before = np.cumsum(sizes[order]) - sizes[order]
    taken = order[:-1][before[:-1] < VALIDATION_SHARE * len(groups)]
    is_taken = np.zeros(count, dtype=np.bool_)
    is_taken[taken] = True
    return is_taken


def _different(split: Split) -> int:
    return len(set(zip(split.first, split.second or split.first, strict=True)))
