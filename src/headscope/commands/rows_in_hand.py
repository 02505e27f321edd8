"""Rows in hand as a task: a data frame, a data set, a dictionary of columns, a list of rows.

They are written as a task folder of this process, named by the hash of their content, and read as
every other task is. Which columns are the texts and which is the label is guessed, and said.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from headscope.errors import HeadscopeError
from headscope.model.texts import split_of
from headscope.progress import say_notes
from headscope.scratch import NAME, scratch

LABELS = (
    "label", "labels", "y", "target", "class", "category", "score", "similarity", "rating",
    "gold_label",
)  # fmt: skip
"""What a column of labels is called, the likeliest first."""
_NO_TEXTS = ("id", "idx", "index", "guid", "uid")
_VALIDATION = ("validation", "dev", "valid", "val", "test")
_SHAPES = "a data frame, a datasets.Dataset, a dictionary of columns, or rows such as ('a text', 1)"
_MOST_CLASSES = 50
"""More whole numbers than these are scores."""
_VALIDATION_SHARE = 0.2


@dataclass(frozen=True)
class Columns:
    """Rows by column.

    Attributes:
        called: What the user gave, for messages.
        values: The values of every column by its name.
        classes: The names of classes by column, where the data set itself says them.
    """

    called: str
    values: dict[str, list[Any]]
    classes: Mapping[str, Sequence[str]]

    def __len__(self) -> int:
        return len(next(iter(self.values.values()), []))

    def take(self, rows: Iterable[int]) -> "Columns":
        """The rows with these indices."""
        chosen = list(rows)
        return replace(self, values={k: [v[i] for i in chosen] for k, v in self.values.items()})


@dataclass(frozen=True)
class Roles:
    """Which columns are the texts and which is the label.

    Attributes:
        texts: The one or two text columns.
        label: The label column.
        classes: The names of the classes in their order; none for a regression.
        limits: The lowest and the highest score of a regression.
    """

    texts: tuple[str, ...]
    label: str
    classes: tuple[str, ...]
    limits: tuple[float, float] = (0.0, 0.0)

    @property
    def said(self) -> str:
        """What was taken for what, in a clause."""
        kind = f"classes {', '.join(self.classes)}" if self.classes else "scores"
        return f"texts from {' and '.join(self.texts)}, labels from {self.label} ({kind})"


def folder_of_rows(
    argument: str, given: object, *, seed: int, head: Sequence[str] = (), quiet: bool = False
) -> Path:
    """The folder of a task that holds these rows.

    Args:
        argument: The name of the argument, for messages.
        given: A table, or a dictionary of splits.
        seed: Splits rows that come without a split of their own.
        head: The classes that the model's head tells apart, in their order, where they are known.
        quiet: Whether to be silent about what was guessed.

    Raises:
        HeadscopeError: It holds no rows with texts and labels.
    """
    tables = _splits(argument, given)
    if len(tables) == 1 and len(tables[0]) < 2:
        raise HeadscopeError(
            f"{argument} holds one row, and some are kept for validation: give at least two"
        )
    roles = _roles(argument, tables, head)
    note = ""
    if len(tables) == 1:
        (table,) = tables
        order = np.random.default_rng(seed).permutation(len(table)).tolist()
        kept = max(1, round(_VALIDATION_SHARE * len(table)))
        tables = [table.take(sorted(order[kept:])), table.take(sorted(order[:kept]))]
        note = (
            f", split by the seed {seed} into {len(tables[0])} for training and {len(tables[1])} "
            "for validation"
        )
    frames = [_frame(argument, table, roles) for table in tables]
    digest = hashlib.sha256(repr(roles).encode())
    for frame in frames:
        digest.update(json.dumps(frame.to_dict(as_series=False)).encode())
    said = f"{sum(map(len, frames)):,} rows in memory: {roles.said}{note}"
    say_notes([f"{argument}: {said}"], quiet=quiet)
    folder = scratch("tasks") / f"rows-{digest.hexdigest()[:8]}"
    folder.mkdir(exist_ok=True)
    for name, frame in zip(("train", "validation"), frames, strict=True):
        frame.write_parquet(folder / f"{name}.parquet")
    (folder / NAME).write_text(said, encoding="utf-8")
    (folder / "task.toml").write_text(_toml(roles), encoding="utf-8")
    return folder


def file_of_texts(texts: Any) -> Path:
    """The table of texts without labels, or of pairs of texts.

    Raises:
        HeadscopeError: There is none, or one of them is no text.
    """
    split = split_of(texts)
    columns = {"text": split.first}
    if split.second is not None:
        columns["second"] = split.second
    digest = hashlib.sha256(json.dumps(columns).encode()).hexdigest()
    path = scratch("texts") / f"texts-{digest[:8]}.parquet"
    pl.DataFrame(columns).write_parquet(path)
    return path


def _toml(roles: Roles) -> str:
    lines = [f"columns = {_quoted(roles.texts)}", f"label = {_quoted([roles.label])[1:-1]}"]
    if roles.classes:
        lines.append(f"labels = {_quoted(roles.classes)}")
    else:
        lines.append(f"limits = [{roles.limits[0]!r}, {roles.limits[1]!r}]")
    return "\n".join(lines) + "\n"


def _quoted(names: Sequence[str]) -> str:
    return json.dumps(list(names), ensure_ascii=False)


def _splits(argument: str, given: object) -> list[Columns]:
    """The training and the validation rows, or all rows where they are not split."""
    if not isinstance(given, Mapping) or not any(map(_is_table, given.values())):
        return [_columns(argument, given)]
    names = list(given)
    if "train" not in names:
        raise HeadscopeError(
            f"{argument} has the splits {', '.join(map(str, names))}: training rows are looked for "
            "under 'train'"
        )
    train = _columns(f"{argument}['train']", given["train"])
    for wanted in _VALIDATION:
        for name in names:
            if str(name).startswith(wanted):
                validation = _columns(f"{argument}[{name!r}]", given[name])
                missing = [column for column in train.values if column not in validation.values]
                if missing:
                    raise HeadscopeError(
                        f"{argument}[{name!r}] lacks {', '.join(missing)}, which "
                        f"{argument}['train'] has: give both the same columns"
                    )
                return [train, validation]
    return [train]


def _is_table(value: object) -> bool:
    """Whether a value of a dictionary is a table of its own, not a column."""
    if isinstance(value, Mapping | pl.DataFrame) or hasattr(value, "column_names"):
        return True
    if hasattr(value, "iloc") and hasattr(value, "columns"):
        return True
    return isinstance(value, list) and any(isinstance(row, Mapping | tuple) for row in value[:1])


def _columns(argument: str, given: Any) -> Columns:
    """A table by column. Raises HeadscopeError for what is no table, or an empty one."""
    values: dict[str, list[Any]]
    classes: dict[str, Sequence[str]] = {}
    if isinstance(given, pl.LazyFrame):
        given = given.collect()
    if isinstance(given, pl.DataFrame):
        values = given.to_dict(as_series=False)
    elif hasattr(given, "iloc") and hasattr(given, "columns"):
        values = {str(name): given[name].tolist() for name in given.columns}
    elif hasattr(given, "column_names") and hasattr(given, "features"):
        values = {str(name): list(given[name]) for name in given.column_names}
        features = given.features or {}
        named = {name: getattr(feature, "names", None) for name, feature in features.items()}
        classes = {name: names for name, names in named.items() if names}
    elif isinstance(given, Mapping):
        values = {str(name): _listed(argument, name, column) for name, column in given.items()}
    elif isinstance(given, list | tuple):
        values = _of_rows(argument, given)
    else:
        raise HeadscopeError(f"{argument} must be {_SHAPES}, got {type(given).__name__}")
    lengths = {name: len(column) for name, column in values.items()}
    if len(set(lengths.values())) > 1:
        counted = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise HeadscopeError(f"the columns of {argument} differ in length: {counted}")
    if not sum(lengths.values()):
        raise HeadscopeError(f"{argument} is empty: give at least two rows, as {_SHAPES}")
    return Columns(argument, values, classes)


def _listed(argument: str, name: object, column: Any) -> list[Any]:
    if hasattr(column, "tolist"):
        column = column.tolist()
    if isinstance(column, str) or not isinstance(column, Iterable):
        raise HeadscopeError(
            f"the column {name!r} of {argument} must be a list, got {type(column).__name__}"
        )
    return list(column)


def _of_rows(argument: str, rows: Sequence[Any]) -> dict[str, list[Any]]:
    """The columns of a list of rows, or of texts and labels."""
    if len(rows) == 2 and isinstance(rows, tuple) and not isinstance(rows[0], str | Mapping):
        texts = _listed(argument, "texts", rows[0])
        labels = _listed(argument, "labels", rows[1])
        if all(isinstance(text, str) for text in texts):
            return {"text": texts, "label": labels}
    first = rows[0] if rows else {}
    if isinstance(first, Mapping):
        names = list(first)
        if any(not isinstance(row, Mapping) or list(row) != names for row in rows):
            raise HeadscopeError(
                f"the rows of {argument} have different columns: give every row {', '.join(names)}"
            )
        return {str(name): [row[name] for row in rows] for name in names}
    if isinstance(first, str):
        raise HeadscopeError(
            f"{argument} is a list of texts without labels: give rows such as ('a text', 1), or "
            "text=... to measure and compare, which take texts as they are"
        )
    if isinstance(first, list | tuple) and len(first) in (2, 3):
        if any(not isinstance(row, list | tuple) or len(row) != len(first) for row in rows):
            raise HeadscopeError(
                f"the rows of {argument} differ in length: the first holds {len(first)} values"
            )
        names = ["text", "label"] if len(first) == 2 else ["sentence1", "sentence2", "label"]
        return {name: [row[number] for row in rows] for number, name in enumerate(names)}
    raise HeadscopeError(f"{argument} must be {_SHAPES}; its first row is a {type(first).__name__}")


def _roles(argument: str, tables: Sequence[Columns], head: Sequence[str]) -> Roles:
    """Guess which columns are what, from all rows."""
    first = tables[0]
    values = {
        name: list(chain.from_iterable(one.values[name] for one in tables)) for name in first.values
    }
    table = replace(first, called=argument, values=values)
    usable = [name for name in table.values if name.lower() not in _NO_TEXTS]
    listed = ", ".join(table.values)
    named = [name for known in LABELS for name in usable if name.lower() == known]
    others = [name for name in usable if not _is_text(table.values[name])]
    label = named[0] if named else (others[0] if len(others) == 1 else None)
    texts = [name for name in usable if name != label and _is_text(table.values[name])]
    if label is None:
        raise HeadscopeError(
            f"{argument} has no column that is known as the label (it has {listed}): call it label"
        )
    if len(texts) not in (1, 2):
        raise HeadscopeError(
            f"{argument} has {len(texts) or 'no'} text columns beside the label {label} (it has "
            f"{listed}): keep the one or two that are the texts, and {label}"
        )
    for one in tables:
        _check_labels(one, label)
    classes, limits = _classes(argument, table, label, head)
    return Roles(tuple(texts), label, classes, limits)


def _check_labels(table: Columns, label: str) -> None:
    """Raises HeadscopeError where a row has no label."""
    for row, value in enumerate(table.values[label], start=1):
        if _is_missing(value):
            raise HeadscopeError(
                f"row {row} of {table.called} has no label ({label} is {value}): give every row "
                "one, or leave it out"
            )


def _is_text(values: Sequence[Any]) -> bool:
    known = [value for value in values if not _is_missing(value)]
    return bool(known) and all(isinstance(value, str) for value in known)


def _is_missing(value: object) -> bool:
    # pandas has a missing value of its own.
    is_nan = isinstance(value, float | np.floating) and math.isnan(value)
    return value is None or is_nan or type(value).__name__ in ("NAType", "NaTType")


def _classes(
    argument: str, table: Columns, label: str, head: Sequence[str]
) -> tuple[tuple[str, ...], tuple[float, float]]:
    """The names of the classes, or the limits of scores."""
    values = table.values[label]
    if label in table.classes:
        return tuple(map(str, table.classes[label])), (0.0, 0.0)
    if all(isinstance(value, str) for value in values):
        names = sorted(set(values))
        by_fold = {name.casefold(): name for name in names}
        # The order of the model's head, where it is of these classes.
        if len(head) >= len(names) and by_fold.keys() <= {name.casefold() for name in head}:
            return tuple(by_fold.get(name.casefold(), name) for name in head), (0.0, 0.0)
        return _two(argument, label, names), (0.0, 0.0)
    numbers = [_number(argument, label, value) for value in values]
    distinct = set(numbers)
    is_whole = all(number.is_integer() for number in distinct)
    if is_whole and min(distinct) >= 0 and max(distinct) < max(_MOST_CLASSES, len(head)):
        count = int(max(distinct)) + 1
        if len(head) >= count:
            return tuple(head), (0.0, 0.0)
        return _two(argument, label, [str(number) for number in range(count)]), (0.0, 0.0)
    if len(distinct) < 2:
        raise HeadscopeError(f"every label of {argument} is {values[0]}: nothing can be told apart")
    return (), (min(numbers), max(numbers))


def _two(argument: str, label: str, names: Sequence[str]) -> tuple[str, ...]:
    if len(names) < 2:
        raise HeadscopeError(
            f"{argument} has one class in {label} ({', '.join(names)}): give rows of at least two"
        )
    return tuple(names)


def _number(argument: str, label: str, value: object) -> float:
    if not isinstance(value, bool | int | float | np.number | np.bool_):
        raise HeadscopeError(
            f"the labels of {argument} in {label} must be names of classes or numbers, got "
            f"{value!r} ({type(value).__name__})"
        )
    return float(value)


def _frame(argument: str, table: Columns, roles: Roles) -> pl.DataFrame:
    """The rows as they are written: texts, and class names or scores."""
    columns: dict[str, list[str | None] | list[str] | list[float]] = {}
    for name in roles.texts:
        values = table.values[name]
        columns[name] = [None if _is_missing(value) else str(value) for value in values]
    labels = table.values[roles.label]
    if not roles.classes:
        columns[roles.label] = [float(value) for value in labels]
    elif isinstance(labels[0], str) and roles.label not in table.classes:
        columns[roles.label] = [str(value) for value in labels]
    else:
        columns[roles.label] = [_class_name(argument, roles, value) for value in labels]
    return pl.DataFrame(columns)


def _class_name(argument: str, roles: Roles, value: object) -> str:
    if isinstance(value, str):
        return value
    index: int = int(value)  # type: ignore[call-overload]
    if not 0 <= index < len(roles.classes):
        raise HeadscopeError(
            f"the label {value} of {argument} is none of {', '.join(roles.classes)}: -1 marks rows "
            "without a label, which cannot be used"
        )
    return roles.classes[index]
