"""What a label means: a class by its name, or by its index where no label is a name; or a score."""

from collections.abc import Sequence

import numpy as np

from headscope.errors import HeadscopeError
from headscope.examples import Labels
from headscope.tasks.base import Task


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
    words = [word(value) for value in values]
    index = {name: number for number, name in enumerate(task.labels)}
    named = [text in index for text in words]
    if all(named):
        return np.array([index[text] for text in words], np.int64)
    if any(named):
        wrong = named.index(False)
        # Several of them could as well be indices as names.
        hint = "a column holds names or indices, not both"
        raise _not_a_label(values[wrong], rows[wrong], task, where, hint)
    if all(name.isdecimal() for name in task.labels):
        hint = "where classes are named by numbers, labels must be these names"
        raise _not_a_label(values[0], rows[0], task, where, hint)
    numbers = [int(text) if text.isdecimal() else -1 for text in words]
    for number, value, row in zip(numbers, values, rows, strict=True):
        if not 0 <= number < len(task.labels):
            raise _not_a_label(value, row, task, where, "")
    return np.array(numbers, np.int64)


def word(value: object) -> str:
    """A label as a word: whole numbers are the same in all formats, 1, "1", 1.0 and true.

    >>> [word(value) for value in (1, " 1", 1.0, "1.0", True, "yes", None, 0.5)]
    ['1', '1', '1', '1', '1', 'yes', '', '0.5']
    """
    if value is None or isinstance(value, list | dict):
        return ""
    text = str(int(value)) if isinstance(value, bool) else str(value).strip()
    whole, point, rest = text.partition(".")
    if point and whole.isdecimal() and not rest.strip("0"):
        return whole
    return text


def could_be_label(text: str, task: Task) -> bool:
    """Whether a field of a file could be a label of this task."""
    if not task.is_regression:
        known = word(text)
        return known in task.labels or (known.isdecimal() and int(known) < len(task.labels))
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
