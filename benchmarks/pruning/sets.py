"""Sets of heads as arrays and paths as lists of them. Knows no model."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float

from headscope.axes import Head, HeadSet

Set = Bool[np.ndarray, "head"]
"""Which heads are removed, over all heads of all layers, the first layer's first."""
Sets = Bool[np.ndarray, "set head"]
Path = Bool[np.ndarray, "size head"]
"""For every number of heads from 0 to all, the set of so many heads that is removed."""
Scores = Float[np.ndarray, "head"]
Score = Callable[[Sets], npt.NDArray[np.float64]]
"""The mean loss (or divergence) with each set removed, [set]."""


def heads_of(removed: Set, heads_per_layer: int) -> HeadSet:
    """The heads of a set by name.

    >>> sorted(map(str, heads_of(np.array([True, False, False, True]), 2)))
    ['L1H1', 'L2H2']
    """
    places = [divmod(int(place), heads_per_layer) for place in np.flatnonzero(removed)]
    return frozenset(Head.at(layer, head) for layer, head in places)


def to_hex(removed: Set) -> str:
    """A set as a word of hexadecimal digits.

    >>> to_hex(np.array([True, False, False, True, False, False, False, False, True]))
    '9080'
    """
    return np.packbits(removed).tobytes().hex()


def from_hex(word: str, heads: int) -> Set:
    """The set that `to_hex` wrote.

    >>> from_hex("9080", 9).astype(int)
    array([1, 0, 0, 1, 0, 0, 0, 0, 1])
    """
    packed = np.frombuffer(bytes.fromhex(word), np.uint8)
    return np.unpackbits(packed, count=heads).astype(bool)


def path_of(order: npt.NDArray[np.int64]) -> Path:
    """The path that removes heads in this order.

    >>> path_of(np.array([2, 0, 1])).astype(int)
    array([[0, 0, 0],
           [0, 0, 1],
           [1, 0, 1],
           [1, 1, 1]])
    """
    heads = len(order)
    path = np.zeros((heads + 1, heads), bool)
    for size, head in enumerate(order, start=1):
        path[size:, head] = True
    return path


def check_path(path: Path) -> None:
    """Refuse what is not a set of every size.

    Raises:
        ValueError: A row has not as many heads as its number.
    """
    heads = path.shape[1]
    if not np.array_equal(path.sum(1), np.arange(heads + 1)):
        raise ValueError("a path needs a set of every size from none to all heads, in this order")
