"""Attention maps as the page holds them: codes, deflated, in base64. `map_data.js` unpacks them."""

import base64
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from headscope.names import AFTER, BEFORE
from headscope.results.tables import Map

EXACT_CELLS = 1_500_000
"""Maps that have no more weights together are kept exact."""
LEVELS = (0, 3, 7, 12, 18, 26, 36, 48, 62, 80, 100, 124, 152, 184, 220, 255)
"""The 16 weights (x 255) that are told apart when all maps together exceed `EXACT_CELLS`: finer
where most are.
"""
_EQUAL = 0.9
_CHUNK = 1 << 22
"""Codes that are deflated at a time; an even number, since two share a byte."""


@dataclass(frozen=True)
class PackedMap:
    """The maps of one example [layer, head, query, key], deflated, in base64.

    The data are codes: numbers of `levels`, [layer, head, key, query]; where `minus` is not None,
    their difference from the codes of the maps of that name, modulo the number of levels.
    """

    shape: list[int]
    levels: list[int]
    minus: str | None
    data: str


def packed(maps: Mapping[str, Map]) -> dict[str, PackedMap]:
    """Maps [layer, head, query, key] in 255ths, keys before queries since columns repeat.

    All maps exact while they are small together; else 16 `LEVELS`, two to a byte, where a weight
    that lies within a step of the level above it in its column takes that level: so the file is
    half as large, at a mean error of 0.006. `after` is kept as its difference from `before` where
    most of it is equal.
    """
    packer = Packer(maps, is_exact=sum(map_.size for map_ in maps.values()) <= EXACT_CELLS)
    return {key: packer.packed(key) for key in maps}


class Packer:
    """Packs maps one at a time; of `maps`, which may lie in a file, two are held at once.

    Args:
        maps: The maps by name.
        is_exact: Whether every 255th is kept, or `LEVELS` alone.
    """

    def __init__(self, maps: Mapping[str, Map], *, is_exact: bool) -> None:
        self._maps = maps
        self._levels: Sequence[int] = range(256) if is_exact else LEVELS
        # A map is asked for twice: by itself, and as what another is the difference from.
        self._codes = lru_cache(maxsize=2)(self._codes_of)

    def packed(self, key: str) -> PackedMap:
        """The maps of that name, packed."""
        codes = self._codes(key)
        layers, heads, keys, queries = codes.shape
        before = key.replace(AFTER, BEFORE, 1)
        minus = None
        if key.startswith(f"{AFTER}/") and before in self._maps:
            others = self._codes(before)
            if _is_like(codes, others):
                # Bytes wrap at 256, of which either number of levels is a divisor.
                codes = (codes - others) & np.uint8(len(self._levels) - 1)
                minus = before
        return PackedMap(
            shape=[layers, heads, queries, keys],
            levels=list(self._levels),
            minus=minus,
            data=base64_of(deflated(codes, len(self._levels))),
        )

    def _codes_of(self, key: str) -> Map:
        """Codes [layer, head, key, query]."""
        map_ = self._maps[key]
        if len(self._levels) > len(LEVELS):
            return map_.swapaxes(2, 3)
        layers, heads, queries, keys = map_.shape
        codes = np.empty((layers, heads, keys, queries), np.uint8)
        for layer in range(layers):
            codes[layer] = _steady(map_[layer])
        return codes


def _is_like(codes: Map, others: Map) -> bool:
    return codes.shape == others.shape and bool((codes == others).mean() > _EQUAL)


def _following() -> NDArray[np.uint8]:
    """What code a weight takes after the code above it in its column: [weight and that code]."""
    levels = np.asarray(LEVELS)
    steps = np.diff(levels)
    above = np.arange(256)[:, None] - levels
    # A value may keep a level that is less than the step to the next level away from it.
    allowed = np.where(
        above >= 0, above < np.append(steps, steps[-1]), -above < np.append(steps[0], steps)
    )
    kept = np.where(allowed, np.arange(len(levels)), _NEAREST[:, None])
    return kept.astype(np.uint8).ravel()


_NEAREST = np.abs(np.arange(256)[:, None] - np.asarray(LEVELS)).argmin(1).astype(np.uint8)
"""The nearest code of each weight."""
_FOLLOW = _following()


def _steady(weights: Map) -> Map:
    """The codes of `LEVELS` [head, key, query] of maps [head, query, key]; down a column a code
    stays while it is less than a step off.
    """
    rows = np.ascontiguousarray(weights.transpose(1, 0, 2))  # [query, head, key]
    codes = np.empty_like(rows)
    # The first of a column has no code above it.
    codes[:1] = _NEAREST[rows[:1]]
    for query in range(1, len(rows)):
        codes[query] = _FOLLOW[rows[query].astype(np.intp) * len(LEVELS) + codes[query - 1]]
    return codes.transpose(1, 2, 0)


def base64_of(content: bytes) -> str:
    """Bytes in base64."""
    return base64.b64encode(content).decode()


def deflated(codes: Map, levels: int) -> bytes:
    """Codes below `levels`, deflated; of up to 16 levels two share a byte, the first in its lower
    half, and an odd number of them ends in a 0.
    """
    flat = np.ascontiguousarray(codes).ravel()
    stream = zlib.compressobj(7)
    compressed = []
    for start in range(0, flat.size, _CHUNK):
        chunk: NDArray[np.integer] = flat[start : start + _CHUNK]
        if levels <= len(LEVELS):
            chunk = np.append(chunk, np.zeros(chunk.size % 2, np.uint8))
            chunk = chunk[::2] | chunk[1::2] << 4
        compressed.append(stream.compress(chunk.tobytes()))
    return b"".join([*compressed, stream.flush()])
