"""What a label means: a class by its name, or by its index where no label is a name; or a score."""

import math
from collections import Counter
from collections.abc import Sequence
from functools import cache

import numpy as np

from headscope.errors import HeadscopeError
from headscope.examples import Labels
from headscope.tasks.base import Task

_TRUTH = {"true": "1", "false": "0"}
_DIGITS = 10
"""No index has so many."""


def read_labels(values: Sequence[object], rows: Sequence[int], task: Task, where: str) -> Labels:
    """Class indices, or scores for a regression.

    Args:
        values: The labels as the file has them.
        rows: Their row numbers, for messages.
        task: Its classes and limits decide.
        where: The file, for messages.

    Raises:
        HeadscopeError: A label is none of the task's, or they can be read in two ways.
    """
    if task.is_regression:
        return _scores(values, rows, task, where)
    named = [_class_named(value, task.labels) for value in values]
    if None not in named:
        return np.array(named, np.int64)
    if any(number is not None for number in named):
        wrong = named.index(None)
        # Several of them could as well be indices as names.
        hint = "a column holds names or indices, not both"
        raise _not_a_label(values[wrong], rows[wrong], task, where, hint)
    # An index too: a file that lacks some of the classes would be read otherwise than one with all.
    if any(_is_number(name) for name in task.labels):
        hint = "where classes are named by numbers, labels must be these names"
        raise _not_a_label(values[0], rows[0], task, where, hint)
    numbers = [_index(value) for value in values]
    for number, value, row in zip(numbers, values, rows, strict=True):
        if not 0 <= number < len(task.labels):
            raise _not_a_label(value, row, task, where, "")
    return np.array(numbers, np.int64)


def word(value: object) -> str:
    """A label as a word: whole numbers are the same in all formats, 1, "1", 1.0 and true.

    >>> [word(value) for value in (1, " 1", 1.0, "1.0", True, "True", "yes", None, 0.5, "-1.0")]
    ['1', '1', '1', '1', '1', '1', 'yes', '', '0.5', '-1']
    """
    if value is None or isinstance(value, list | dict):
        return ""
    text = str(value).strip()
    if text.lower() in _TRUTH:
        return _TRUTH[text.lower()]
    whole, point, rest = text.partition(".")
    if point and whole.removeprefix("-").isdecimal() and not rest.strip("0"):
        return whole
    return text


def _class_named(value: object, names: tuple[str, ...]) -> int | None:
    """The class that a label names, in these or other letters of true and false, or as a number."""
    if value is None or isinstance(value, list | dict):
        return None
    exact, truths, numbers = _spellings(names)
    text = str(value).strip()
    if text in exact:
        return exact[text]
    if text.lower() in truths:
        return truths[text.lower()]
    return numbers.get(word(value))


@cache
def _spellings(names: tuple[str, ...]) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
    """The classes by their names, by those that say true or false, and by those that are numbers.

    A spelling that two classes have is none.
    """
    exact = {name: number for number, name in enumerate(names)}
    lower = Counter(name.lower() for name in names)
    words = Counter(map(word, names))
    truths = {}
    numbers = {}
    for name, number in exact.items():
        if name.lower() in _TRUTH and lower[name.lower()] == 1:
            truths[name.lower()] = number
        if _is_number(name) and words[word(name)] == 1:
            numbers[word(name)] = number
    return exact, truths, numbers


def _is_number(name: str) -> bool:
    return math.isfinite(_number(name))


def _index(value: object) -> int:
    """A label as an index, -1 if it is none."""
    text = word(value)
    return int(text) if text.isdecimal() and len(text) < _DIGITS else -1


def named_by_file(values: Sequence[object], classes: Sequence[str], task: Task) -> Sequence[object]:
    """Labels with class names for indices, where the file itself names its classes by their index.

    So "1" in such a file is the second class, also if a class is named "1".
    """
    if not classes or task.is_regression:
        return values
    named: list[object] = []
    for value in values:
        if isinstance(value, int) and 0 <= value < len(task.labels):
            named.append(task.labels[value])
        else:
            named.append(value)
    return named


def is_unlabelled(value: object) -> bool:
    """Whether a label of GLUE says that there is none: "-" in MNLI, -1 in what `datasets` makes."""
    return word(value) in ("-", "-1")


def could_be_label(text: str, task: Task) -> bool:
    """Whether a field of a file could be a label of this task."""
    if not task.is_regression:
        is_index = 0 <= _index(text) < len(task.labels)
        return _class_named(text, task.labels) is not None or is_index
    low, high = task.limits
    number = _number(text)
    return low <= number <= high


def check_classes(classes: Sequence[str], task: Task, where: str) -> None:
    """Refuse a file that numbers the classes otherwise than the task.

    Args:
        classes: The names of the classes that the file itself says; none if it does not.
        task: Its names are compared.
        where: The file, for messages.

    Raises:
        HeadscopeError: They are other names, or in another order.
    """
    if not classes or task.is_regression:
        return
    if [name.casefold() for name in classes] != [name.casefold() for name in task.labels]:
        raise HeadscopeError(
            f"{where} says that its classes are {', '.join(classes)}, the task {task.name} has "
            f"{', '.join(task.labels)}, in this order: make them the same"
        )


def _scores(values: Sequence[object], rows: Sequence[int], task: Task, where: str) -> Labels:
    low, high = task.limits
    scores = np.array([_number(value) for value in values], np.float64)
    wrong = ~((scores >= low) & (scores <= high))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise HeadscopeError(
            f"{where}, row {rows[row]}: the label {values[row]!r} is out of range for "
            f"{task.name}: expected a score from {low:g} to {high:g}"
        )
    return scores


def _number(value: object) -> float:
    if not isinstance(value, int | float | str) or isinstance(value, bool):
        return float("nan")
    # Python would take 1_0 for 10.
    if isinstance(value, str) and "_" in value:
        return float("nan")
    try:
        return float(value)
    except ValueError:
        return float("nan")


def _not_a_label(value: object, row: int, task: Task, where: str, hint: str) -> HeadscopeError:
    tail = f"; {hint}" if hint else ""
    unlabelled = "; -1 marks rows without a label, which cannot be used" if value == -1 else ""
    return HeadscopeError(
        f"{where}, row {row}: the label {value!r} is out of range for {task.name}: expected 0 to "
        f"{len(task.labels) - 1} ({', '.join(task.labels)}){tail}{unlabelled}"
    )
