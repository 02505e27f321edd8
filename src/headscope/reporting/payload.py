"""What the script of the page needs of a run but for the maps: its tables and its heads' small
pictures, packed.

Texts are untrusted: the embedded JSON holds no character that HTML could read.
"""

import json
from dataclasses import dataclass, fields, is_dataclass

import polars as pl

from headscope.axes import LARGEST
from headscope.figures.style import PATTERN_COLOURS, label
from headscope.figures.thumbnails import SIDE, Typical
from headscope.names import SIGNIFICANT
from headscope.reporting.packing import base64_of, deflated
from headscope.reporting.reading import Run, part
from headscope.results.tables import Tables

_ALIKE, _DIGITS = 5, 7
SHOWN = (
    *("scores", "heads", "change", "disabled", "patterns", "heterogeneous", "examples"),
    *("relations", "relations_best", "span_heads"),
    *("interactions", "shapley", "pruned", "sizes"),
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


def payload(run: Run, maps: list[str], typical: Typical | None, chart_tables: Tables) -> Payload:
    """What the script needs of a run.

    Args:
        run: The run.
        maps: The names of the maps that the page holds.
        typical: The typical map of every head.
        chart_tables: The tables that only a chart shows.
    """
    layers, heads = _size(run, "layer"), _size(run, "head")
    tables = _tables(run.tables) | dict(chart_tables)
    pictures = None
    if typical is not None and typical.example.shape == (layers, heads):
        pictures = Pictures(SIDE, base64_of(deflated(typical.small, 16)))
    return Payload(
        layers=layers,
        heads=heads,
        significant=SIGNIFICANT,
        pattern_colours=PATTERN_COLOURS,
        labels={name: label(name) for name in _names(tables)},
        tables={name: columns(frame) for name, frame in tables.items()},
        maps=maps,
        typical=pictures,
    )


def _size(run: Run, axis: str) -> int:
    """How many layers, or heads, the model has by the record and by the tables."""
    sizes = [part(run.meta, "model").get(f"{axis}s")]
    for name in ("heads", "disabled", "change", "relations"):
        if name in run.tables:
            sizes.append(run.tables[name][axis].max())
    return max((n for n in sizes if isinstance(n, int) and 1 <= n <= LARGEST), default=0)


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
