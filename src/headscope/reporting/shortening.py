"""The maps of a page within a size: of long examples fewer tokens, of many examples the first ones.

A page that fits is left as it is.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isqrt, sqrt

import numpy as np
import polars as pl
from numpy.typing import NDArray

from headscope.reporting.packing import EXACT_CELLS, PackedMap, Packer
from headscope.results.tables import Map

MOST_BYTES = 8 << 20
"""What the maps of a section may take of the page."""
_MOST_CELLS = 16 << 20
"""Weights that are shown of one map [layer, head, query, key]: packing takes memory per weight."""
_FEW_TOKENS = 64
"""Examples are left out rather than shortened below this."""
_PER_TOKEN = ("tokens", "segments", "special", "words")
_MARGIN = 0.97


@dataclass(frozen=True, eq=False)
class ShownMaps:
    """The maps that a page holds, their examples, and a sentence on what is not shown of them."""

    maps: Mapping[str, PackedMap]
    examples: pl.DataFrame | None
    note: str = ""


def shown_maps(
    maps: Mapping[str, Map], examples: pl.DataFrame | None, most_bytes: int = MOST_BYTES
) -> ShownMaps:
    """The maps of a run, packed, in at most so many bytes.

    Args:
        maps: Maps [layer, head, query, key] in 255ths by `state/example`; each is read as often as
            it is asked for.
        examples: The table of that name.
        most_bytes: What the maps may take together.
    """
    longest, limit = 0, 1 << 30
    for map_ in maps.values():
        layers, heads, queries, keys = map_.shape
        longest = max(longest, queries, keys)
        limit = min(limit, isqrt(_MOST_CELLS // max(1, layers * heads)))
    if limit >= longest:
        packed_maps, size = _packed_within(maps, most_bytes)
        if size <= most_bytes or examples is None:
            return ShownMaps(packed_maps, examples)
        limit = max(min(longest, _FEW_TOKENS), _less(longest, sqrt(most_bytes / size)))
    if examples is None:  # Without examples the page shows no map.
        return ShownMaps({}, None)
    count = examples.height
    while True:
        kept = _Shortened(maps, examples.head(count), limit)
        packed_maps, size = _packed_within(kept, most_bytes)
        if size <= most_bytes or limit <= 1:
            break
        if limit > _FEW_TOKENS:
            limit = max(_FEW_TOKENS, _less(limit, sqrt(most_bytes / size)))
        elif count > 1:
            count = max(1, _less(count, most_bytes / size))
        else:
            limit = max(1, _less(limit, sqrt(most_bytes / size)))
    note = f"To keep this file small, the maps show at most {limit} tokens of an example"
    note += f" (the longest has {longest}): the special tokens and the first tokens of each text"
    if count < examples.height:
        note += f", and {count} of the {examples.height} examples that the run keeps"
    return ShownMaps(packed_maps, kept.rows, f"{note}.")


def _less(number: int, factor: float) -> int:
    return min(number - 1, int(number * factor * _MARGIN))


def _packed_within(maps: Mapping[str, Map], most_bytes: int) -> tuple[dict[str, PackedMap], float]:
    """Maps packed, and their size together, in bytes; once they are too large, an estimate of it
    from those that are packed.
    """
    sizes = {key: map_.size for key, map_ in maps.items()}
    cells = sum(sizes.values())
    packer = Packer(maps, is_exact=cells <= EXACT_CELLS)
    packed_maps = {}
    used = done = 0
    # The states of an example one after the other: one may be kept as a difference from another.
    for key in sorted(maps, key=lambda key: key.split("/")[::-1]):
        packed_maps[key] = packer.packed(key)
        used += len(packed_maps[key].data)
        done += sizes[key]
        if used > most_bytes:
            return {}, float(max(used, used * cells / done))
    return {key: packed_maps[key] for key in maps}, float(used)


class _Shortened(Mapping[str, Map]):
    """The maps of some examples, each cut when it is asked for; maps that do not fit their example
    are left out.
    """

    def __init__(self, maps: Mapping[str, Map], examples: pl.DataFrame, limit: int) -> None:
        self._maps = maps
        kept: dict[str, tuple[int, NDArray[np.intp]]] = {}
        rows = []
        for row in examples.iter_rows(named=True):
            indices = kept_tokens(row["tokens"], row["segments"], row["special"], limit)
            kept[str(row["example"])] = len(row["tokens"]), indices
            count = len(row["tokens"])
            for column in _PER_TOKEN:
                # A column of another length is damaged, and is not cut.
                values = row[column]
                if values is not None and len(values) == count:
                    row[column] = [values[index] for index in indices]
            rows.append(row)
        self.rows = pl.DataFrame(rows, examples.schema)
        self._kept = {}
        for key, map_ in maps.items():
            example = key.split("/")[-1]
            if example not in kept:
                continue
            length, indices = kept[example]
            if map_.shape[2:] == (length, length):
                self._kept[key] = indices

    def __getitem__(self, key: str) -> Map:
        kept = self._kept[key]
        return self._maps[key][:, :, kept[:, None], kept]

    def __iter__(self) -> Iterator[str]:
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept)


def kept_tokens(
    tokens: list[str], segments: list[int] | None, special: list[bool] | None, limit: int
) -> NDArray[np.intp]:
    """The indices of at most `limit` tokens: special ones, then the first of each text in turn.

    >>> segments = [0, 0, 0, 0, 1, 1, 1, 1]
    >>> special = [True, False, False, True, False, False, False, True]
    >>> kept_tokens(list("cab.xyz."), segments, special, 6).tolist()
    [0, 1, 3, 4, 5, 7]
    """
    count = len(tokens)
    texts = segments if segments is not None and len(segments) == count else [0] * count
    marks = special if special is not None and len(special) == count else [False] * count
    seen: dict[int, int] = {}
    ranks = []
    for text, is_special in zip(texts, marks, strict=True):
        seen[text] = seen.get(text, 0) + (not is_special)
        ranks.append(0 if is_special else seen[text])
    return np.sort(np.argsort(ranks, kind="stable")[:limit])
