"""Each head's typical map: of the examples that a run keeps, the one whose map is nearest to their
mean.

Maps of different lengths are compared, and drawn small, on a grid of `SIDE` x `SIDE` cells that
each hold the largest weight of their part of the map: so a stripe of one token stays a stripe.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headscope.names import AFTER, BEFORE, GIVEN
from headscope.results.tables import Map

SIDE = 28
STATES = (AFTER, GIVEN, BEFORE)
"""What maps are of, by the beginning of their key; the first that a run keeps is shown small."""


@dataclass(frozen=True)
class Typical:
    """Of every head the number of its typical example, and that map drawn small, in 15ths of its
    largest weight.
    """

    state: str
    example: NDArray[np.int64]
    """[layer, head]"""
    small: Map
    """[layer, head, y, x]: the square root of the weight, 15 for the largest, so that weak lines
    show too.
    """


def typical(maps: Mapping[str, Map]) -> Typical | None:
    """The typical map of every head.

    Args:
        maps: Maps [layer, head, query, key] in 255ths by their keys, as in `after/17`.

    Returns:
        None where no maps are kept, or where they are not of one model.
    """
    for state in STATES:
        if any(key.startswith(f"{state}/") for key in maps):
            return _typical(state, maps, by_example(maps, state))
    return None


def by_example(maps: Mapping[str, Map], state: str) -> dict[int, str]:
    """The keys of the maps of one state by the number of their example, in order; other keys are
    skipped.
    """
    numbered = {}
    for key in maps:
        number = key.removeprefix(f"{state}/")
        if number.isdecimal() and key == f"{state}/{int(number)}":
            numbered[int(number)] = key
    return dict(sorted(numbered.items()))


def _typical(state: str, maps: Mapping[str, Map], keys: Mapping[int, str]) -> Typical | None:
    # One map at a time: all of them may not fit into memory.
    small_maps = [shrunk(maps[key]) for key in keys.values()]
    if len({map_.shape for map_ in small_maps}) != 1:
        return None
    pooled = np.stack(small_maps).astype(np.float32)
    # [example, layer, head, y, x] -> [example, layer, head]
    distances = ((pooled - pooled.mean(0)) ** 2).sum((3, 4))
    nearest = distances.argmin(0)  # [layer, head]
    chosen = np.take_along_axis(pooled, nearest[None, :, :, None, None], 0)[0]
    largest = np.maximum(chosen.max((2, 3), keepdims=True), 1)
    small = np.round(15 * np.sqrt(chosen / largest)).astype(np.uint8)
    return Typical(state, np.array(list(keys))[nearest], small)


def shrunk(map_: NDArray[Any], side: int = SIDE) -> NDArray[Any]:
    """Maps [layer, head, query, key] on a grid of `side` x `side` cells: the largest weight of each
    part.
    """
    for axis in (2, 3):
        n = map_.shape[axis]
        # Where the cells begin. A short map has several cells per token.
        starts = np.arange(side) * n // side
        is_short = n <= side
        map_ = map_.take(starts, axis) if is_short else np.maximum.reduceat(map_, starts, axis)
    return map_
