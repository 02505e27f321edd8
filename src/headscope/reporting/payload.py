"""What the script of the page needs of a run: its tables, its maps and its heads' small pictures,
packed.

Texts are untrusted: the embedded JSON holds no character that HTML could read.
"""

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from headscope.figures.style import PATTERN_COLOURS, label
from headscope.figures.thumbnails import SIDE, Typical
from headscope.names import AFTER, BEFORE, SIGNIFICANT
from headscope.reporting.reading import Run, part
from headscope.results.tables import Map, Tables

_MOST = 256  # layers or heads: a grid beyond that is a damaged table, not a model
_EXACT_BYTES = 1_500_000
LEVELS = (0, 3, 7, 12, 18, 26, 36, 48, 62, 80, 100, 124, 152, 184, 220, 255)
"""The 16 weights (x 255) that are told apart when all maps together exceed `_EXACT_BYTES`: finer
where most are.
"""
_EQUAL = 0.9
_ALIKE, _DIGITS = 5, 7
SHOWN = (
    *("scores", "heads", "change", "disabled", "patterns", "heterogeneous", "examples"),
    *("relations", "relations_best", "span_heads"),
)
"""The tables that the script reads, as they are but for digits after the seventh decimal."""
_NAMED = (
    ("heads", "measure"),
    ("change", "measure"),
    ("relations", "measure"),
    ("relations", "relation"),
    ("relations", "direction"),
    ("disabled", "metric"),
)
"""The columns whose words a reader sees as `label` writes them."""

Value = str | int | float | bool | None | list[str | int | bool]


@dataclass(frozen=True)
class Same:
    """A column that has the same value in every row."""

    same: Value


@dataclass(frozen=True)
class Words:
    """A column of texts: its different texts, and for each row the number of its text, or -1."""

    words: list[str]
    codes: list[int]


@dataclass(frozen=True)
class PackedTable:
    """A table by column."""

    height: int
    columns: dict[str, Same | Words | list[Value]]


@dataclass(frozen=True)
class Pictures:
    """The small pictures of all heads: `side` x `side` cells each, deflated, in base64."""

    side: int
    data: str


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


@dataclass(frozen=True)
class Payload:
    """What the script needs of a run, but for the maps."""

    layers: int
    heads: int
    significant: float
    pattern_colours: dict[str, str]
    labels: dict[str, str]
    tables: dict[str, PackedTable]
    maps: list[str]
    typical: Pictures | None


def payload(run: Run, typical: Typical | None, chart_tables: Tables) -> Payload:
    """What the script needs of a run.

    Args:
        run: The run.
        typical: The typical map of every head.
        chart_tables: The tables that only a chart shows.
    """
    layers, heads = _size(run, "layer"), _size(run, "head")
    tables = _tables(run.tables) | dict(chart_tables)
    pictures = None
    if typical is not None and typical.example.shape == (layers, heads):
        pictures = Pictures(SIDE, _base64(_deflate(typical.small, 16)))
    return Payload(
        layers=layers,
        heads=heads,
        significant=SIGNIFICANT,
        pattern_colours=PATTERN_COLOURS,
        labels={name: label(name) for name in _names(tables)},
        tables={name: columns(frame) for name, frame in tables.items()},
        maps=sorted(run.maps),
        typical=pictures,
    )


def _size(run: Run, axis: str) -> int:
    """How many layers, or heads, the model has by the record and by the tables."""
    sizes = [part(run.meta, "model").get(f"{axis}s")]
    for name in ("heads", "disabled", "change", "relations"):
        if name in run.tables:
            sizes.append(run.tables[name][axis].max())
    return max((n for n in sizes if isinstance(n, int) and 1 <= n <= _MOST), default=0)


def _tables(tables: Tables) -> dict[str, pl.DataFrame]:
    shown = {name: tables[name] for name in SHOWN if name in tables}
    if "change" in shown:  # what was before and is now can be had from `heads`
        shown["change"] = shown["change"].drop("before", "after")
    if "relations" in shown:
        shown["relations"] = carried(tables)
    if "likeness" in tables:
        shown["alike"] = alike(tables["likeness"])
    return shown


def _names(tables: Tables) -> list[str]:
    """The words that have a label."""
    names: set[str] = set()
    for table, column in _NAMED:
        if table in tables:
            names |= set(tables[table][column].drop_nulls())
    return sorted(names)


def columns(frame: pl.DataFrame) -> PackedTable:
    """A table by column."""
    return PackedTable(frame.height, {column.name: _packed(column) for column in frame})


def _packed(column: pl.Series) -> Same | Words | list[Value]:
    values = column.to_list()
    if len(values) > 1 and not isinstance(column.dtype, pl.List) and column.n_unique() == 1:
        return Same(values[0])
    if column.dtype == pl.String:
        words = column.drop_nulls().unique(maintain_order=True).to_list()
        codes = {word: code for code, word in enumerate(words)}
        return Words(words, [codes.get(value, -1) for value in values])
    if column.dtype.is_float():
        return [None if value is None else _rounded(value) for value in values]
    return values


def carried(tables: Tables) -> pl.DataFrame:
    """What colours the heads by relations: the scores, and of a treebank's relations the direction
    that was chosen.
    """
    is_score = pl.col("measure").is_in(["accuracy", "score"])
    rows = tables["relations"].filter(is_score)
    if "relations_best" not in tables:
        return rows
    return rows.join(tables["relations_best"], on=["relation", "direction"], how="semi")


def _rounded(value: float) -> float:
    return round(value, _DIGITS) if abs(value) >= 0.001 else float(f"{value:.4g}")


def alike(likeness: pl.DataFrame) -> pl.DataFrame:
    """The heads nearest to every head, of the table with a row per pair."""
    swapped = {
        "layer": "other_layer",
        "head": "other_head",
        "other_layer": "layer",
        "other_head": "head",
    }
    kept = [*swapped, "value", "unit"]
    both = pl.concat([likeness.select(kept), likeness.rename(swapped).select(kept)])
    return (
        both.drop_nulls("value")
        .sort("layer", "head", "value")
        .group_by("layer", "head", maintain_order=True)
        .head(_ALIKE)
    )


def packed(maps: Mapping[str, Map]) -> dict[str, PackedMap]:
    """Maps [layer, head, query, key] in 255ths, keys before queries since columns repeat.

    All maps exact while they are small together; else 16 `levels`, two to a byte, where a weight
    that lies within a step of the level above it in its column takes that level: so the file is
    half as large, at a mean error of 0.006. `after` is kept as its difference from `before` where
    most of it is equal.
    """
    is_exact = sum(map_.size for map_ in maps.values()) <= _EXACT_BYTES
    levels = range(256) if is_exact else LEVELS
    codes = {}
    for key, map_ in maps.items():
        codes[key] = map_.swapaxes(2, 3) if is_exact else _steady(map_)
    return {key: _packed_map(key, codes, levels) for key in maps}


def _packed_map(key: str, codes: Mapping[str, Map], levels: Sequence[int]) -> PackedMap:
    kept = codes[key]
    layers, heads, keys, queries = kept.shape
    before = key.replace(AFTER, BEFORE, 1)
    minus = None
    if key.startswith(f"{AFTER}/") and before in codes and _is_like(kept, codes[before]):
        kept = ((kept - codes[before]) % len(levels)).astype(np.uint8)
        minus = before
    return PackedMap(
        shape=[layers, heads, queries, keys],
        levels=list(levels),
        minus=minus,
        data=_base64(_deflate(kept, len(levels))),
    )


def _is_like(codes: Map, others: Map) -> bool:
    return codes.shape == others.shape and bool((codes == others).mean() > _EQUAL)


def _steady(weights: Map) -> Map:
    """The codes of `LEVELS` [layer, head, key, query]; down a column a code stays while it is less
    than a step off.
    """
    levels = np.asarray(LEVELS)
    steps = np.diff(levels)
    values = np.arange(256)[:, None]
    nearest = np.abs(values - levels).argmin(1)
    above = values - levels
    # A value may keep a level that is less than the step to the next level away from it.
    allowed = np.where(
        above >= 0, above < np.append(steps, steps[-1]), -above < np.append(steps[0], steps)
    )
    # [value and the code before it] -> code
    follow = np.where(allowed, np.arange(len(levels)), nearest[:, None]).astype(np.uint8).ravel()
    rows = np.ascontiguousarray(weights.transpose(2, 0, 1, 3))  # [query, layer, head, key]
    codes = np.empty_like(rows)
    codes[0] = nearest[rows[0]]
    for query in range(1, len(rows)):
        codes[query] = follow[rows[query].astype(np.intp) * len(levels) + codes[query - 1]]
    return codes.transpose(1, 2, 3, 0)


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _deflate(codes: Map, levels: int) -> bytes:
    flat: NDArray[np.integer] = codes.astype(np.uint8).ravel()
    if levels <= 16:
        # Two codes to a byte, the first in the lower half; an odd number of them ends in a 0.
        flat = np.append(flat, np.zeros(flat.size % 2, np.uint8))
        flat = flat[::2] | flat[1::2] << 4
    return zlib.compress(flat.tobytes(), 7)


def embedded(value: object) -> str:
    """JSON that is safe inside an HTML script element and in any encoding: ASCII, without `<`, `>`
    and `&`.
    """
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), default=_as_json)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _as_json(value: object) -> object:
    """A dataclass as an object of its fields, and anything else that JSON lacks as text."""
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    return str(value)
