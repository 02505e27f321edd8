"""Which columns of a table are its texts and its label, and what kind of label: guessed, and said.

The rules stand in docs/tasks.md. What can be read in two ways is refused, with the columns.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from headscope.errors import HeadscopeError
from headscope.tasks.labels import word

Columns = Mapping[str, Sequence[object]]
"""The values of every column by its name."""

LABELS = (
    "label",
    "labels",
    "class",
    "target",
    "gold_label",
    "category",
    "sentiment",
    "score",
    "similarity",
    "rating",
    "stars",
    "y",
)
"""Names of columns that are taken for the label, in small letters, the likeliest first."""
TEXTS = ("text", "sentence", "review", "question", "content", "comment", "title", "document")
"""Names of columns that are taken for a text where no column looks like one."""
FEW_CLASSES = 20
"""Whole numbers with more different values are scores."""
_MOST_CLASSES = 200
_WORDS = 3
"""A column with so many words in the middle of its values, or more, holds texts."""
_UNSPACED = 10
"""So many characters of a script without spaces, or more, are a text."""
_SHOWN = 8


@dataclass(frozen=True)
class Label:
    """What a label column says.

    Attributes:
        name: The column.
        classes: The classes in the order of their indices; none for scores.
        limits: The lowest and the highest score.
    """

    name: str
    classes: tuple[str, ...]
    limits: tuple[float, float]

    @property
    def sentence(self) -> str:
        """What it was taken for."""
        if not self.classes:
            low, high = self.limits
            return f"{self.name!r} holds scores from {low:g} to {high:g}, a regression"
        names = ", ".join(self.classes[:_SHOWN])
        more = len(self.classes) - _SHOWN
        tail = f" and {more} more" if more > 0 else ""
        return f"{self.name!r} names {len(self.classes)} classes: {names}{tail}"


def named_columns(given: Sequence[str] | None, columns: Columns, where: str) -> tuple[str, ...]:
    """The one or two text columns that `--columns` names, joined by commas or one by one.

    Raises:
        HeadscopeError: The file has no such column, or they are none, three or more, or one twice.
    """
    names: list[str] = []
    for text in given or ():
        # A name may hold a comma itself.
        names += [text] if text in columns else [name.strip() for name in text.split(",")]
    for name in names:
        check_column(name, columns, where, "--columns")
    if len(names) not in (1, 2) or len(set(names)) < len(names):
        raise HeadscopeError(
            f"--columns must name one or two different text columns, got "
            f"{', '.join(names) or 'none'}; {where} has {_listed(columns)}"
        )
    return tuple(names)


def guessed_texts(columns: Columns, label: str | None, where: str) -> tuple[str, ...]:
    """The one or two columns that look like texts, in the order of the file.

    Args:
        columns: All columns.
        label: The one that is the label, and no text.
        where: The file, for messages.

    Raises:
        HeadscopeError: None looks like a text, or more than two do.
    """
    others = [name for name in columns if name != label]
    found = [name for name in others if _looks_like_text(columns[name])]
    if not found:
        named = [name for name in others if name.lower() in TEXTS]
        found = [name for name in named if any(isinstance(one, str) for one in columns[name])]
    if len(found) not in (1, 2):
        why = "no column looks like a text"
        if found:
            why = f"{len(found)} columns look like texts ({', '.join(found)})"
        raise HeadscopeError(
            f"{where}: {why}, so they cannot be guessed: name one or two of its columns "
            f"({_listed(columns)}) with --columns, as in --columns {_example(found, columns)}"
        )
    return tuple(found)


def guessed_label(columns: Columns, texts: Sequence[str], where: str) -> str:
    """The column that bears the name of a label, else the only one that is no text.

    Raises:
        HeadscopeError: Neither can be told.
    """
    others = [name for name in columns if name not in texts]
    for usual in LABELS:
        found = [name for name in others if name.lower() == usual]
        if len(found) == 1:
            return found[0]
    plain = [name for name in others if not _looks_like_text(columns[name])]
    if len(plain) != 1:
        raise HeadscopeError(
            f"{where}: which column is the label cannot be guessed: name one of its columns "
            f"({_listed(columns)}) with --label; texts without labels are measured with --text"
        )
    return plain[0]


def label_of(name: str, columns: Columns, where: str, classes: Sequence[str] = ()) -> Label:
    """What kind of label a column holds.

    Text is a class, and so are whole numbers of at most `FEW_CLASSES` different values; other
    numbers are scores. Rows without a label do not count.

    Args:
        name: The column.
        columns: All columns.
        where: The file, for messages.
        classes: The names of the classes where the file itself says them.

    Raises:
        HeadscopeError: There is no such column, it has no label or one alone, or it names so many
            classes that it is an identifier or a text.
    """
    check_column(name, columns, where, "--label")
    values = [value for value in columns[name] if not is_missing(value)]
    if any(isinstance(value, list | dict | bytes) for value in values):
        raise HeadscopeError(
            f"{where}: the column {name!r} holds lists or the like: expected a class name or a "
            "number in every row; name another with --label"
        )
    if classes:
        return Label(name, tuple(classes), (0.0, 0.0))
    different = set(map(word, values))
    if len(different) < 2:
        got = f"only {different.pop()!r}" if different else "no label"
        raise HeadscopeError(
            f"{where}: the column {name!r} holds {got}: a task needs two different labels or more; "
            "name another with --label, or measure texts without labels with --text"
        )
    numbers = [_number(value) for value in different]
    known = [number for number in numbers if number is not None]
    if len(known) == len(numbers):
        is_whole = all(number.is_integer() for number in known)
        if not is_whole or len(known) > FEW_CLASSES:
            return Label(name, (), (min(known), max(known)))
        return Label(name, tuple(sorted(different, key=float)), (0.0, 0.0))
    named = sorted({_class_name(value) for value in values})
    if len(named) > min(_MOST_CLASSES, max(2, len(values) // 2)):
        raise HeadscopeError(
            f"{where}: the column {name!r} holds {len(named)} different texts in {len(values)} "
            f"rows, too many for classes: name another of its columns ({_listed(columns)}) with "
            "--label"
        )
    return Label(name, tuple(named), (0.0, 0.0))


def is_missing(value: object) -> bool:
    """Whether a field holds no label: nothing, white space, or NaN.

    >>> [is_missing(value) for value in (None, " ", float("nan"), "NaN", 0, "no")]
    [True, True, True, True, False, False]
    """
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or (isinstance(value, str) and value.strip().lower() in ("", "nan"))


def _class_name(value: object) -> str:
    """A class as the label reader knows it: true and false in one spelling."""
    return str(value).lower() if isinstance(value, bool) else str(value).strip()


def _number(text: str) -> float | None:
    """A finite number; None for another word."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and "_" not in text else None


def _looks_like_text(values: Sequence[object]) -> bool:
    """Whether most values are of several words, or of many letters of a script without spaces."""
    texts = [value for value in values if isinstance(value, str) and value.strip()]
    if not texts:
        return False
    letters = sum(character.isalpha() for text in texts for character in text)
    if 2 * letters < sum(map(len, texts)):
        return False
    if median(len(text.split()) for text in texts) >= _WORDS:
        return True
    foreign = [text for text in texts if not text.isascii() and len(text) >= _UNSPACED]
    return 2 * len(foreign) > len(texts)


def check_column(name: str, columns: Columns, where: str, option: str) -> None:
    """Raises HeadscopeError where a file does not have the column that an option names."""
    if name not in columns:
        raise HeadscopeError(f"{option} {name}: {where} has no such column: {_listed(columns)}")


def _listed(columns: Columns) -> str:
    return ", ".join(columns) or "no column"


def _example(found: Sequence[str], columns: Columns) -> str:
    return ",".join(list(found or columns)[:2]) or "text"
