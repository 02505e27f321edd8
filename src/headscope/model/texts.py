"""Texts as a person has them in hand: one, a list, a column of a table, pairs."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from headscope.errors import HeadscopeError
from headscope.examples import Split

if TYPE_CHECKING:
    Texts: TypeAlias = str | tuple[str, str] | Iterable[str | tuple[str, str]]
else:
    # What is no text is answered in a sentence, not by who checks types at run time.
    Texts = object
"""A text, a pair (two texts in a tuple), or several of either: a list, an array, a column."""


def split_of(texts: Texts) -> Split:
    """Texts as examples without labels.

    >>> split_of(["a text", "another"]).first, split_of(("a text", "its pair")).second
    (('a text', 'another'), ('its pair',))

    Raises:
        HeadscopeError: There is none, or one of them is no text, or some are pairs and some not.
    """
    if isinstance(texts, str) or _is_pair(texts):
        rows: list[object] = [texts]
    elif isinstance(texts, Iterable) and not isinstance(texts, dict):
        rows = list(texts)
    else:
        raise HeadscopeError(
            f"texts must be a text, a pair of texts, or a list of either, got {texts!r:.60} "
            f"({type(texts).__name__})"
        )
    if not rows:
        raise HeadscopeError("there are no texts: give at least one")
    pairs = [_pair(number, row) for number, row in enumerate(rows, start=1)]
    second = [after for _, after in pairs if after is not None]
    if second and len(second) < len(pairs):
        raise HeadscopeError(
            f"{len(second)} of {len(pairs)} are pairs of texts and the others single: give one kind"
        )
    return Split(
        first=tuple(first for first, _ in pairs),
        second=tuple(second) or None,
        labels=np.zeros(len(pairs), np.int64),
    )


def _is_pair(row: object) -> bool:
    is_two = isinstance(row, tuple) and len(row) == 2
    return is_two and all(isinstance(text, str) for text in row)  # type: ignore[attr-defined]


def _pair(number: int, row: object) -> tuple[str, str | None]:
    texts = tuple(row) if isinstance(row, list | tuple) and len(row) == 2 else (row,)
    for text in texts:
        if not isinstance(text, str):
            raise HeadscopeError(
                f"text {number} is {text!r:.60} ({type(text).__name__}): give texts or pairs"
            )
        if not text.strip():
            raise HeadscopeError(f"text {number} is empty: leave it out")
    first, *second = (str(text) for text in texts)
    return first, second[0] if second else None
