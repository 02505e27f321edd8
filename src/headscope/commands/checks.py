"""What a setting may be: of the type that its field has, within its range, and a path that a file
can have.

The same for Python and the command line: there every value arrives as text, here as anything.
"""

import math
import operator
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from types import UnionType
from typing import Annotated, Literal, Union, get_args, get_origin

from headscope.errors import HeadscopeError

_LONGEST_NAME, _LONGEST_PATH, _DEEPEST = 240, 3800, 200
"""Bytes of a name and of a path, and folders in it: Linux takes 255 and 4,096 bytes, and files
within a run folder need some of them.
"""
_SHOWN = 40


class ArgumentError(HeadscopeError, TypeError):
    """A setting that does not exist, that is missing, or of another type."""


@dataclass(frozen=True)
class Range:
    """The values that a number may have.

    Attributes:
        low: The least.
        high: The largest.
        above: Whether it must be larger than `low`.
        unit: What it counts, for messages.
    """

    low: int | float
    high: int | float
    above: bool = False
    unit: str = ""

    def check(self, name: str, value: int | float) -> None:
        """Raises HeadscopeError unless the value is in the range; `name` is as the user wrote
        it.
        """
        unit = f" {self.unit}" if self.unit else ""
        is_enough = value > self.low if self.above else value >= self.low
        least = f"larger than {self.low:g}" if self.above else f"at least {self.low:g}"
        if not is_enough:
            raise HeadscopeError(f"{name} must be {least}{unit}, got {_number(value)}")
        if value > self.high:
            most = f"{self.high:,g}" if isinstance(self.high, float) else str(self.high)
            expected = f"lie between {self.low:g} and {most}"
            if self.above:
                expected = f"be {least} and at most {most}"
            raise HeadscopeError(f"{name} must {expected}{unit}, got {_number(value)}")


def checked(name: str, value: object, hint: object, limits: Range | None) -> object:
    """The value of a setting, in the type of its field.

    Args:
        name: The name as the user writes it, as in `--out`.
        value: What was given.
        hint: The type of the field.
        limits: Its range, for a number.

    Returns:
        The value. A path that was a string is a Path, `~` is the home folder.

    Raises:
        ArgumentError: It is of another type.
        HeadscopeError: It is out of its range, or no path can be so.
    """
    kinds = list(_kinds(hint))
    if value is None and type(None) in kinds:
        return None
    kind = [kind for kind in kinds if kind is not type(None)][-1]
    if get_origin(kind) is Literal:
        return _one_of(name, value, get_args(kind))
    if get_origin(kind) is tuple:
        return _texts(name, value)
    made = _MAKERS[kind](name, value)
    if limits is not None and isinstance(made, int | float):
        limits.check(name, made)
    return made


def path_of(name: str, value: object) -> Path:
    """A path from a Path or a string, with `~` as the home folder.

    Raises:
        ArgumentError: It is neither.
        HeadscopeError: No file can have this path: it is empty, too long, or not text.
    """
    if not isinstance(value, str | os.PathLike):
        raise _wrong(name, "a path", value)
    text = os.fspath(value)
    if not isinstance(text, str):
        raise _wrong(name, "a path in text", value)
    return Path(located(name, text))


def located(name: str, text: str) -> str:
    """A text that may be a path, with `~` as the home folder; raises as `path_of`."""
    _check_text(name, text)
    if not text.strip():
        raise HeadscopeError(f"{name} is empty: give a name or a path")
    full = os.path.expanduser(text)  # noqa: PTH111  (a name such as minilm must stay a name)
    longest = max(len(part.encode()) for part in full.split("/"))
    if longest > _LONGEST_NAME:
        raise HeadscopeError(
            f"{name} has a name of {longest} bytes ({_short(text)}): give one of at most "
            f"{_LONGEST_NAME}"
        )
    absolute = os.path.abspath(full)  # noqa: PTH100  (`Path.resolve` follows links)
    if len(absolute.encode()) > _LONGEST_PATH or absolute.count("/") > _DEEPEST:
        raise HeadscopeError(
            f"{name} is too long ({_short(text)}): give a path of at most {_LONGEST_PATH} bytes "
            f"and {_DEEPEST} folders"
        )
    return full


def _kinds(hint: object) -> Iterator[object]:
    """The types of a union; a type alone is one. A help text beside a type says nothing here."""
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    if get_origin(hint) in (Union, UnionType):
        yield from get_args(hint)
    else:
        yield hint


def _whole(name: str, value: object) -> int:
    if isinstance(value, bool):
        raise _wrong(name, "a whole number", value)
    try:
        # NumPy's whole numbers, too.
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError as error:
        raise _wrong(name, "a whole number", value) from error


def _real(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise _wrong(name, "a number", value)
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _truth(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise _wrong(name, "True or False", value)
    return value


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise _wrong(name, "a text", value)
    _check_text(name, value)
    return value


_MAKERS: Mapping[object, Callable[[str, object], object]] = {
    int: _whole,
    float: _real,
    bool: _truth,
    str: _text,
    Path: path_of,
}


def _texts(name: str, value: object) -> tuple[str, ...]:
    values = value if isinstance(value, list | tuple) else (value,)
    texts = tuple(str(one) if isinstance(one, os.PathLike) else one for one in values)
    return tuple(_text(name, text) for text in texts)


def _one_of(name: str, value: object, allowed: tuple[object, ...]) -> object:
    for one in allowed:
        # True would be equal to 1.
        if type(value) is type(one) and value == one:
            return one
    raise ArgumentError(
        f"{name} must be one of {', '.join(map(str, allowed))}, got {_shown(value)}"
    )


def _check_text(name: str, text: str) -> None:
    if "\0" in text:
        raise HeadscopeError(f"{name} holds a NUL character: give it without")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise HeadscopeError(
            f"{name} is not text ({_short(text)} holds bytes that are not UTF-8, or half a "
            "character): give a name in UTF-8"
        ) from error


def _wrong(name: str, expected: str, value: object) -> ArgumentError:
    return ArgumentError(f"{name} must be {expected}, got {_shown(value)}")


def _shown(value: object) -> str:
    return f"{_short(value)} ({type(value).__name__})"


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."


def _number(value: int | float) -> str:
    # Python writes no whole number of more than 4,300 digits.
    if isinstance(value, int):
        return str(value) if value.bit_length() < 100 else "a number of more than 30 digits"
    return f"{value:g}"
