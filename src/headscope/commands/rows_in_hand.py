"""Rows in hand as a file: a data frame, a data set, a dictionary of columns, a list of rows.

They are written into a folder of this process that is named by the hash of their content, and are
guessed and divided there as every table of the user's own (`tasks.own`).
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from headscope.errors import HeadscopeError, refusing
from headscope.model.texts import split_of
from headscope.scratch import NAME, scratch
from headscope.tasks import Chosen
from headscope.tasks.guessing import is_missing
from headscope.tasks.labels import word
from headscope.tasks.own import VALIDATION, own_task

_VALIDATION = (*VALIDATION, "test")
_SHAPES = "a data frame, a datasets.Dataset, a dictionary of columns, or rows such as ('a text', 1)"
_PAIR = ("sentence1", "sentence2")
_MOST = 2**63


@dataclass(frozen=True)
class Rows:
    """Rows by column.

    Attributes:
        called: What the user gave, for messages.
        values: The values of every column by its name.
        classes: The names of classes by column, where the data set itself says them.
        texts: The text columns, where it is not to be guessed which they are.
    """

    called: str
    values: dict[str, list[Any]]
    classes: dict[str, list[str]]
    texts: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(next(iter(self.values.values()), []))


@dataclass(frozen=True)
class Written:
    """A file of what was in memory, or a folder with a file for each split.

    Attributes:
        path: The file or the folder.
        texts: The text columns, where it is not to be guessed which they are.
    """

    path: Path
    texts: tuple[str, ...] | None


def written_rows(argument: str, given: object, chosen: Chosen, head: Sequence[str] = ()) -> Written:
    """Write rows as a table of the user's own.

    Args:
        argument: The name of the argument, for messages.
        given: A table, or a dictionary of splits.
        chosen: The columns that the user named.
        head: The classes that the model's head tells apart, in their order, where they are known.

    Raises:
        HeadscopeError: It holds no rows with texts and labels, or a row has no label.
    """
    tables, held_out = _splits(argument, given)
    if len(tables) == 1 and len(tables[0]) < 2:
        raise HeadscopeError(
            f"{argument} holds one row, and some are kept for validation: give at least two"
        )
    texts = chosen.columns or tables[0].texts
    frames = [_frame(table) for table in tables]
    content = [frame.to_dict(as_series=False) for frame in frames]
    of_head = _of_head(tables, head)
    classes = [of_head | table.classes for table in tables]
    # The same rows have the same name, whatever is read from them.
    reading = _hash([classes, texts, chosen.label])
    folder = scratch("tasks") / reading / f"rows-{_hash(content)}"
    folder.mkdir(parents=True, exist_ok=True)
    said = f"{sum(map(len, tables)):,} rows in memory{held_out}"
    (folder / NAME).write_text(said, encoding="utf-8")
    files = ("rows",) if len(frames) == 1 else ("train", "validation")
    for file, frame, known in zip(files, frames, classes, strict=True):
        # As `datasets` writes them.
        features = {name: {"names": names} for name, names in known.items()}
        info = json.dumps({"info": {"features": features}})
        with refusing(f"{argument} cannot be written as a table"):
            path = folder / f"{file}.parquet"
            _in_classes(frame, of_head).write_parquet(path, metadata={"huggingface": info})
    written = path if len(frames) == 1 else folder
    kinds = _in_lists(frames[0])
    if pl.String in kinds and len(kinds) > 1:
        # Lists of words and of their tags, which are checked where they are read.
        return Written(written, texts)
    if any(isinstance(kind, pl.Struct) for kind in frames[0].dtypes):
        # Answers to questions, which are checked there too.
        return Written(written, texts)
    label = own_task(written, replace(chosen, columns=texts)).label
    for table in tables:
        _check_labels(table, label)
    return Written(written, texts)


def written_texts(texts: Any) -> Written:
    """Write texts without labels, or pairs of texts.

    Raises:
        HeadscopeError: There is none, or one of them is no text.
    """
    split = split_of(texts)
    columns = {"text": split.first}
    if split.second is not None:
        columns["second"] = split.second
    path = scratch("texts") / f"texts-{_hash(columns)}.parquet"
    pl.DataFrame(columns).write_parquet(path)
    return Written(path, tuple(columns))


def _hash(content: object) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:8]


def _splits(argument: str, given: object) -> tuple[list[Rows], str]:
    """The training and the validation rows, or all rows where they are not split; and what is said
    of validation rows that stand under another name.
    """
    if not isinstance(given, Mapping) or not any(map(_is_table, given.values())):
        return [_columns(argument, given)], ""
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
                said = "" if name in VALIDATION else f" (validation rows are those of {name!r})"
                return [train, _columns(f"{argument}[{name!r}]", given[name])], said
    return [train], ""


def _is_table(value: object) -> bool:
    """Whether a value of a dictionary is a table of its own, not a column."""
    if isinstance(value, Mapping | pl.DataFrame) or hasattr(value, "column_names"):
        return True
    if hasattr(value, "iloc") and hasattr(value, "columns"):
        return True
    return isinstance(value, list) and any(isinstance(row, Mapping | tuple) for row in value[:1])


def _columns(argument: str, given: Any) -> Rows:
    """A table by column. Raises HeadscopeError for what is no table, or an empty one."""
    values: dict[str, list[Any]]
    classes: dict[str, list[str]] = {}
    if isinstance(given, pl.LazyFrame):
        given = given.collect()
    if isinstance(given, pl.DataFrame):
        values = given.to_dict(as_series=False)
    elif hasattr(given, "iloc") and hasattr(given, "columns"):
        values = {str(name): given[name].tolist() for name in given.columns}
    elif hasattr(given, "column_names") and hasattr(given, "features"):
        values = {str(name): list(given[name]) for name in given.column_names}
        features = given.features or {}
        # Of a column of lists, the classes are those of what the lists hold.
        inner = {name: getattr(feature, "feature", feature) for name, feature in features.items()}
        named = {name: getattr(feature, "names", None) for name, feature in inner.items()}
        classes = {str(name): list(map(str, names)) for name, names in named.items() if names}
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
    # The places of three values say which are the texts.
    is_pair = isinstance(given, list | tuple) and tuple(values) == (*_PAIR, "label")
    return Rows(argument, values, classes, _PAIR if is_pair else None)


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
        names = ["text", "label"] if len(first) == 2 else [*_PAIR, "label"]
        return {name: [row[number] for row in rows] for number, name in enumerate(names)}
    raise HeadscopeError(f"{argument} must be {_SHAPES}; its first row is a {type(first).__name__}")


def _frame(rows: Rows) -> pl.DataFrame:
    """The rows as a table that can be written."""
    with refusing(f"{rows.called} cannot be written as a table"):
        return pl.DataFrame([_series(name, values) for name, values in rows.values.items()])


def _series(name: str, values: Sequence[object]) -> pl.Series:
    """A column of one type: truth values, numbers, or texts.

    Texts and numbers in one column are texts; answers to questions stay as they are. What is none
    of them becomes a list, which is taken for neither a text nor a label.
    """
    if answers := _answers(values):
        return pl.Series(name, answers)
    plain = [_plain(value) for value in values]
    if lists := _lists(plain):
        return pl.Series(name, lists)
    known = [value for value in plain if not _is_nothing(value)]
    if not all(isinstance(value, str | bool | int | float) for value in known):
        # Nested, so that it does not pass for a list of words or tags.
        nested = pl.List(pl.List(pl.String))
        return pl.Series(name, [[[str(value)]] for value in plain], dtype=nested)
    # An integer that 64 bits do not hold is written as a text.
    too_large = any(isinstance(value, int) and abs(value) >= _MOST for value in known)
    if not too_large and not any(isinstance(value, str) for value in known):
        if any(isinstance(value, float) for value in plain):
            return pl.Series(name, plain, dtype=pl.Float64, strict=False)
        kind = pl.Boolean if all(isinstance(value, bool) for value in known) else pl.Int64
        return pl.Series(name, plain, dtype=kind if known else pl.Null)
    texts = [None if _is_nothing(value) else str(value) for value in plain]
    return pl.Series(name, texts, dtype=pl.String)


def _lists(values: Sequence[object]) -> list[list[object]]:
    """Values that are all lists of texts, or all lists of numbers; nothing for others."""
    if not values or not all(isinstance(value, list | tuple | np.ndarray) for value in values):
        return []
    lists = [[_plain(one) for one in value] for value in values if isinstance(value, Iterable)]
    kinds = {type(one) for value in lists for one in value}
    # Where one is missing, whoever reads the words says which.
    return lists if kinds - {type(None)} in ({str}, {int}) else []


def _in_lists(frame: pl.DataFrame) -> list[object]:
    """What the columns hold whose rows are lists of texts or of numbers."""
    inner = [kind.inner for kind in frame.dtypes if isinstance(kind, pl.List)]
    return [kind for kind in inner if kind in (pl.String, pl.Int64)]


def _answers(values: Sequence[object]) -> list[dict[str, list[object]]]:
    """Values that are all answers as the data set squad has them; nothing for others."""
    answers = [value for value in values if isinstance(value, Mapping)]
    if not values or len(answers) < len(values):
        return []
    if any({*answer} != {"text", "answer_start"} for answer in answers):
        return []
    return [
        {str(part): [_plain(one) for one in of_part] for part, of_part in answer.items()}
        for answer in answers
    ]


def _plain(value: object) -> object:
    """A value of Python for one of numpy's or pandas'."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Decimal):
        return float(value)
    # pandas has a missing value of its own.
    return None if type(value).__name__ in ("NAType", "NaTType") else value


def _is_nothing(value: object) -> bool:
    """Whether a value is none of its column's type: None or NaN."""
    return value is None or (isinstance(value, float) and is_missing(value))


def _check_labels(rows: Rows, label: str) -> None:
    """Raises HeadscopeError where a row has no label."""
    for row, value in enumerate(rows.values[label], start=1):
        if is_missing(_plain(value)):
            raise HeadscopeError(
                f"row {row} of {rows.called} has no label ({label} is {value}): give every row "
                "one, or leave it out"
            )


def _of_head(tables: Sequence[Rows], head: Sequence[str]) -> dict[str, list[str]]:
    """The classes of the model's head by the columns whose every value is one of them, or the index
    of one. What a data set says itself counts before.
    """
    found = {}
    for name in tables[0].values:
        columns = [table.values.get(name, []) for table in tables]
        values = [_plain(value) for value in chain.from_iterable(columns)]
        known = [value for value in values if not is_missing(value)]
        is_said = any(name in table.classes for table in tables)
        if known and not is_said and (names := _in_order(known, head)):
            found[name] = names
    return found


def _in_order(values: Sequence[object], head: Sequence[str]) -> list[str]:
    """The classes of a head in its order and in the spelling of the values; none for others."""
    folded = {name.casefold() for name in head}
    if all(isinstance(value, str) for value in values):
        spelled = {str(value).strip().casefold(): str(value).strip() for value in values}
        is_of_head = spelled.keys() <= folded
        return [spelled.get(name.casefold(), name) for name in head] if is_of_head else []
    words = set(map(word, values))
    indices = set(map(str, range(len(head))))
    return list(head) if words <= indices or words <= folded else []


def _in_classes(frame: pl.DataFrame, names: Mapping[str, Sequence[str]]) -> pl.DataFrame:
    """The rows with a head's classes as texts where these are numbers: else they were indices."""
    columns = []
    for column in frame:
        if column.dtype.is_nested():
            columns.append(column)
            continue
        words = list(map(word, column))
        is_named = column.dtype.is_numeric() and set(words) <= set(names.get(column.name, ()))
        columns.append(pl.Series(column.name, words) if is_named else column)
    return pl.DataFrame(columns)
