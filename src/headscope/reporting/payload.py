"""What the script of the page needs of a run: its tables, its maps and its heads' small pictures,
packed.

Texts are untrusted: the embedded JSON holds no character that HTML could read.
"""

import base64
import json
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from headscope.figures.heatmaps import PATTERN_COLOURS, label
from headscope.figures.thumbnails import SIDE, Typical
from headscope.names import SIGNIFICANT
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


def payload(run: Run, small: Typical | None, extra: Tables) -> dict[str, Any]:
    """What the script needs of a run, but for the maps. `extra`: tables that only a chart shows."""
    sides = []
    for axis in ("layer", "head"):
        given = part(run.meta, "model").get(f"{axis}s")
        seen = [
            run.tables[t][axis].max()
            for t in ("heads", "disabled", "change", "relations")
            if t in run.tables
        ]
        sizes = [n for n in (given, *seen) if isinstance(n, int) and 1 <= n <= _MOST]
        sides.append(max(sizes, default=0))
    tables = {name: run.tables[name] for name in SHOWN if name in run.tables} | dict(extra)
    if "change" in tables:  # what was before and is now can be had from `heads`
        tables["change"] = tables["change"].drop("before", "after")
    if "relations" in tables:
        tables["relations"] = carried(run.tables)
    if "likeness" in run.tables:
        tables["alike"] = alike(run.tables["likeness"])
    named = [
        (t, c)
        for t in ("heads", "change", "relations")
        for c in ("measure", "relation", "direction")
    ]
    named.append(("disabled", "metric"))
    names = {n for t, c in named if t in tables and c in tables[t].columns for n in tables[t][c]}
    fits = small is not None and small.example.shape == (sides[0], sides[1])
    return {
        "layers": sides[0],
        "heads": sides[1],
        "significant": SIGNIFICANT,
        "pattern_colours": PATTERN_COLOURS,
        "labels": {name: label(name) for name in sorted(names - {None})},
        "tables": {name: columns(frame) for name, frame in tables.items()},
        "maps": sorted(run.maps),
        "typical": {"side": SIDE, "data": _base64(_deflate(small.small, 16))}
        if small is not None and fits
        else None,
    }


def columns(frame: pl.DataFrame) -> dict[str, Any]:
    """A table by column; a column of texts as its different texts and their numbers, one value
    where all are equal.
    """
    out: dict[str, Any] = {}
    for name in frame.columns:
        values = frame[name].to_list()
        if (
            frame.height > 1
            and not isinstance(frame[name].dtype, pl.List)
            and frame[name].n_unique() == 1
        ):
            out[name] = {"same": values[0]}
            continue
        if frame[name].dtype == pl.String:
            words = list(dict.fromkeys(v for v in values if v is not None))
            codes = {word: i for i, word in enumerate(words)}
            values = {"words": words, "codes": [-1 if v is None else codes[v] for v in values]}  # type: ignore[assignment]
        elif frame[name].dtype.is_float():
            values = [None if v is None else _rounded(v) for v in values]
        out[name] = values
    return {"height": frame.height, "columns": out}


def carried(tables: Tables) -> pl.DataFrame:
    """What colours the heads by relations: the scores, and of a treebank's relations the direction
    that was chosen.
    """
    rows = tables["relations"].filter(pl.col("measure").is_in(["accuracy", "score"]))
    if "relations_best" not in tables:
        return rows
    return rows.join(
        tables["relations_best"].select("relation", "direction"),
        on=["relation", "direction"],
        how="semi",
    )


def _rounded(value: float) -> float:
    return round(value, _DIGITS) if abs(value) >= 0.001 else float(f"{value:.4g}")


def alike(likeness: pl.DataFrame) -> pl.DataFrame:
    """The heads nearest to every head, of the table with a row per pair."""
    there = pl.col("value").is_not_null()
    swapped = {
        "layer": "other_layer",
        "head": "other_head",
        "other_layer": "layer",
        "other_head": "head",
    }
    kept = ["layer", "head", "other_layer", "other_head", "value", "unit"]
    both = pl.concat([likeness.select(kept), likeness.rename(swapped).select(kept)]).filter(there)
    return (
        both.sort("layer", "head", "value")
        .group_by("layer", "head", maintain_order=True)
        .head(_ALIKE)
    )


def packed(maps: Mapping[str, Map]) -> dict[str, dict[str, Any]]:
    """Maps [layer, head, query, key] as deflated base64, keys before queries since columns repeat.

    All maps exact while they are small together; else 16 `levels`, two to a byte, where a weight
    that lies within a step of the level above it in its column takes that level: so the file is
    half as large, at a mean error of 0.006. `after` is kept as its difference (modulo the number of
    levels) from `before` where most of it is equal.
    """
    exact = sum(m.size for m in maps.values()) <= _EXACT_BYTES
    levels = range(256) if exact else LEVELS
    coded = {
        key: weights.swapaxes(2, 3) if exact else _steady(weights) for key, weights in maps.items()
    }
    out = {}
    for key, codes in coded.items():
        base = (
            coded.get(f"before/{key.removeprefix('after/')}") if key.startswith("after/") else None
        )
        minus = None
        if base is not None and base.shape == codes.shape and (codes == base).mean() > _EQUAL:
            codes, minus = (
                ((codes - base) % len(levels)).astype(np.uint8),
                key.replace("after/", "before/"),
            )
        data = _base64(_deflate(codes, len(levels)))
        out[key] = {
            "shape": list(maps[key].shape),
            "levels": list(levels),
            "minus": minus,
            "data": data,
        }
    return out


def _steady(weights: Map) -> Map:
    """The codes of `LEVELS` [layer, head, key, query]; down a column a code stays while it is less
    than a step off.
    """
    levels = np.asarray(LEVELS)
    steps = np.diff(levels)
    values = np.arange(256)[:, None]
    nearest = np.abs(values - levels).argmin(1)
    above = values - levels
    allowed = np.where(
        above >= 0, above < np.append(steps, steps[-1]), -above < np.append(steps[0], steps)
    )
    # [value and the code before it] -> code
    follow = np.where(allowed, np.arange(len(levels)), nearest[:, None]).astype(np.uint8).ravel()
    rows = np.ascontiguousarray(weights.transpose(2, 0, 1, 3))
    codes = np.empty_like(rows)
    codes[0] = nearest[rows[0]]
    for query in range(1, len(rows)):
        codes[query] = follow[rows[query].astype(np.intp) * len(levels) + codes[query - 1]]
    return codes.transpose(1, 2, 3, 0)


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _deflate(codes: Map, levels: int) -> bytes:
    flat: NDArray[Any] = codes.astype(np.uint8).ravel()
    if levels <= 16:
        flat = np.append(flat, np.zeros(flat.size % 2, np.uint8))
        flat = flat[::2] | flat[1::2] << 4
    return zlib.compress(flat.tobytes(), 7)


def embedded(value: object) -> str:
    """JSON that is safe inside an HTML script element and in any encoding: ASCII, without `<`, `>`
    and `&`.
    """
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), default=str)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
