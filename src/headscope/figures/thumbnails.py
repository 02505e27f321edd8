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

from headscope.results.tables import Map

SIDE = 28
STATES = ("after", "given", "before")
"""What maps are of, by the beginning of their key; the first that is there is shown small."""


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
    """The typical map of every head; None where no maps are kept, or where they are not of one
    model.
    """
    state = next((s for s in STATES if any(key.startswith(f"{s}/") for key in maps)), "")
    own = {
        int(key.split("/")[1]): found
        for key, found in maps.items()
        if "/" in key
        and key.split("/")[1].isdecimal()
        and key == f"{state}/{int(key.split('/')[1])}"
    }
    if not own or len({found.shape[:2] for found in own.values()}) != 1:
        return None
    numbers = np.array(sorted(own))
    pooled = np.stack([shrunk(own[number]) for number in numbers.tolist()]).astype(np.float32)
    far = ((pooled - pooled.mean(0)) ** 2).sum((3, 4))
    nearest = far.argmin(0)
    chosen = np.take_along_axis(pooled, nearest[None, :, :, None, None], 0)[0]
    largest = np.maximum(chosen.max((2, 3), keepdims=True), 1)
    return Typical(
        state, numbers[nearest], np.round(15 * np.sqrt(chosen / largest)).astype(np.uint8)
    )


def shrunk(found: NDArray[Any], side: int = SIDE) -> NDArray[Any]:
    """Maps [layer, head, query, key] on a grid of `side` x `side` cells: the largest weight of each
    part.
    """
    for axis in (2, 3):
        n = found.shape[axis]
        starts = np.arange(side) * n // side
        found = found.take(starts, axis) if n <= side else np.maximum.reduceat(found, starts, axis)
    return found
