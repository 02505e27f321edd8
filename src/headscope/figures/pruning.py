"""The path of pruning: what is left of a score as heads go, and which heads stay."""

from dataclasses import dataclass
from typing import Any

import altair as alt
import polars as pl

from headscope.figures.heatmaps import Scale, dots, panel
from headscope.figures.style import (
    BLUE,
    GREY,
    INK,
    LIGHT_BLUE,
    ORANGE,
    Look,
    headed,
    joined,
    label,
    only_value,
    source,
)

_NAME = r"L(?<layer>\d{1,3})H(?<head>\d{1,3})"
"""A head in a list; a number that no model has is none."""
_NEEDED = ("kept", "removed", "value", "baseline", "margin")
_RECOMMENDED = {"none": "recommended", "refit": "refitted", "fine-tuned": "trained on"}
"""What a point is called, by what was done to make up for removed heads."""
_SHAPES = {"recommended": "circle", "refitted": "triangle-up", "trained on": "diamond"}
_AREAS = {"recommended": 90, "refitted": 40, "trained on": 30}
_GAP = 4
"""Between a line and its name, in points."""


def path_rows(pruned: pl.DataFrame) -> pl.DataFrame:
    """The rows of the table `pruned` that can be drawn; none where one size alone is known.

    Args:
        pruned: The table of that name.
    """
    rows = pruned.drop_nulls(_NEEDED).filter(pl.col("repair").is_in(list(_RECOMMENDED)))
    line = rows.filter(repair="none")
    if line["removed"].n_unique() < 2:
        return rows.clear()
    return rows.join(line.select("metric").unique(), on="metric", how="semi")


def path_panels(rows: pl.DataFrame, title: str, look: Look) -> Any:
    """The score by the number of heads that are kept, a panel per metric.

    Args:
        rows: The rows of `path_rows`.
        title: The title of the figure.
        look: How it looks.
    """
    panels = []
    for of_metric in rows.partition_by("metric", maintain_order=True):
        panels.append(_path(of_metric, look))
    n = only_value(rows, "n")
    band = joined(", ", f"n = {n}" if n else "", "band: 95% interval of the change")
    subtitle = joined(" · ", source(rows), band)
    return headed(alt.concat(*panels, columns=2, spacing=18), title, subtitle, look)


def _path(rows: pl.DataFrame, look: Look) -> Any:
    every = max((rows["kept"] + rows["removed"]).to_list())
    x = alt.X(
        "kept:Q",
        title=f"heads kept, of {every}",
        scale=alt.Scale(domain=[every, 0], nice=False),
        axis=alt.Axis(values=_ticks(every)),
    )
    title = joined(", ", label(str(rows["metric"][0])), only_value(rows, "unit"))
    scale = alt.Scale(zero=False)
    y = alt.Y("value:Q", title=title, scale=scale)
    line = rows.filter(repair="none").sort("kept")
    # The interval is of the change, so the band lies around it from the whole model's score.
    band = line.select(
        "kept", low=pl.col("baseline") + pl.col("low"), high=pl.col("baseline") + pl.col("high")
    ).drop_nulls()
    width, height = 18 * look.cell, 11 * look.cell
    area = alt.Chart(band).mark_area(color=LIGHT_BLUE, opacity=0.35)
    curve = alt.Chart(line.select("kept", "value")).mark_line(
        color=BLUE, strokeWidth=1.4 * look.weight
    )
    chart = alt.layer(
        area.encode(x, alt.Y("low:Q", title=title, scale=scale), alt.Y2("high:Q")),
        *_levels(line, y, every, look),
        curve.encode(x, y),
        _points(rows.filter("chosen"), x, y, look),
    )
    return chart.properties(width=width, height=height)


def _levels(line: pl.DataFrame, y: alt.Y, every: int, look: Look) -> list[Any]:
    """The whole model's score, the margin, and the score of always the same answer, named."""
    whole, margin, majority = line.select("baseline", "margin", "majority").row(0)
    # The curve falls to the right: there is room on the right above, and on the left below.
    levels = [
        _Level(whole, "whole model", INK, is_right=True),
        _Level(whole - margin, "margin", GREY, is_right=True, is_above=False, is_dashed=True),
    ]
    if majority is not None:
        levels.append(_Level(majority, "always the same answer", ORANGE, is_right=False))
    layers: list[Any] = []
    for level in levels:
        kept = 0 if level.is_right else every
        row = {"value": [level.value], "kept": [kept], "name": [level.name]}
        chart = alt.Chart(pl.DataFrame(row))
        dash = [3 * look.weight] * 2 if level.is_dashed else [1, 0]
        rule = chart.mark_rule(color=level.colour, strokeWidth=0.8 * look.weight, strokeDash=dash)
        text = chart.mark_text(
            color=level.colour,
            fontSize=look.size,
            align="right" if level.is_right else "left",
            dx=-_GAP if level.is_right else _GAP,
            baseline="bottom" if level.is_above else "top",
            dy=-1 if level.is_above else 1,
        )
        layers += [rule.encode(y), text.encode(alt.X("kept:Q"), y, alt.Text("name:N"))]
    return layers


@dataclass(frozen=True)
class _Level:
    """A line across a panel, with its name at one of its ends, above or below it."""

    value: float
    name: str
    colour: str
    is_right: bool
    is_above: bool = True
    is_dashed: bool = False


def _points(chosen: pl.DataFrame, x: alt.X, y: alt.Y, look: Look) -> Any:
    """The recommended sizes: as they are, refitted, trained on."""
    kinds = chosen.select("kept", "value", kind=pl.col("repair").replace_strict(_RECOMMENDED))
    present = [name for name in _SHAPES if name in set(kinds["kind"])]
    # Both have one legend, which they share because it is the same in both. The scales have all
    # kinds: Vega makes no number of a scale of sizes that has one.
    legend = alt.Legend(title=None, orient="bottom", offset=4, symbolFillColor=INK, values=present)
    shapes = alt.Scale(domain=list(_SHAPES), range=list(_SHAPES.values()))
    # One that lies on another of the same size would hide it.
    areas = [area * look.weight**2 for area in _AREAS.values()]
    sizes = alt.Scale(domain=list(_AREAS), range=areas)
    marks = alt.Chart(kinds).mark_point(
        filled=True, opacity=1, color=INK, stroke="white", strokeWidth=0.8 * look.weight
    )
    return marks.encode(
        x,
        y,
        alt.Shape("kind:N", title=None, scale=shapes, legend=legend),
        alt.Size("kind:N", title=None, scale=sizes, legend=legend),
    )


def _ticks(every: int) -> list[int]:
    """Quarters of all heads."""
    return sorted({round(every * quarter / 4) for quarter in range(5)})


def kept_rows(pruned: pl.DataFrame) -> pl.DataFrame:
    """How often every head is kept over the sizes of a path, and whether a recommended set has it.

    Sets of different sizes need not hold each other, so there is no order in which heads go.

    Args:
        pruned: The table of that name.

    Returns:
        A row per recommended size and head (one per head where no size is recommended): `value` is
        the share of the sizes at which the head is kept, those that keep all or none left out;
        `of` how many sizes these are; `kept` the recommended size, and `stays` whether the head is
        in its set, both null where none is recommended.
    """
    path = pruned.filter(repair="none", metric=pruned["metric"].first()).drop_nulls("heads")
    path = path.unique("kept", keep="first", maintain_order=True)
    sizes = path.filter(pl.col("kept") > 0, pl.col("removed") > 0)
    every = _named(path.filter(removed=0)).select("layer", "head").unique()
    shares = _named(sizes).group_by("layer", "head").len()
    heads = every.join(shares, on=["layer", "head"], how="left").with_columns(
        value=pl.col("len").fill_null(0) / max(sizes.height, 1), of=pl.lit(sizes.height)
    )
    # The recommended set may keep none.
    chosen = path.filter("chosen")
    wanted = chosen.select("kept").cast(pl.Int64)
    if not chosen.height:
        wanted = pl.DataFrame({"kept": [None]}, {"kept": pl.Int64})
    staying = _named(chosen).select("layer", "head", "kept", stays=pl.lit(1))
    rows = wanted.join(heads, how="cross")
    rows = rows.join(staying, on=["layer", "head", "kept"], how="left")
    stays = pl.when(pl.col("kept").is_not_null()).then(pl.col("stays").fill_null(0))
    model, task = pruned.select("model", "task").row(0)
    return rows.select(
        pl.lit(model, pl.String).alias("model"),
        pl.lit(task, pl.String).alias("task"),
        "layer",
        "head",
        pl.lit("share of sizes").alias("unit"),
        "value",
        "of",
        "kept",
        stays.alias("stays"),
    ).sort("kept", "layer", "head", descending=[True, False, False])


def _named(path: pl.DataFrame) -> pl.DataFrame:
    """A row per size and head that it keeps."""
    named = path.select("kept", name=pl.col("heads").str.extract_all(_NAME))
    named = named.explode("name").drop_nulls("name")
    place = pl.col("name").str.extract_groups(_NAME)
    return named.select("kept", place.alias("place")).unnest("place").cast(pl.Int64)


def kept_panels(rows: pl.DataFrame, title: str, look: Look) -> Any:
    """How often each head is kept over all sizes, with dots on a recommended set, a panel per set.

    Args:
        rows: The rows of `kept_rows`.
        title: The title of the figure.
        look: How it looks.
    """
    panels = []
    scale = Scale.between(0.0, 1.0)
    legend = f"share of {only_value(rows, 'of')} sizes at which a head is kept"
    for of_size in rows.partition_by("kept", maintain_order=True):
        kept = of_size["kept"][0]
        named = "no set is recommended"
        if kept is not None:
            named = f"● in the recommended set ({kept} of {of_size.height} heads)"
        cells = panel(of_size, "value", named, scale, look, legend=legend)
        cells = _with_bar_below(cells, look)
        marks = dots(of_size.filter(stays=1), cells, look)
        panels.append(alt.layer(cells, marks).properties(title=named))
    chart = alt.concat(*panels, columns=look.columns, spacing=16)
    return headed(chart, title, source(rows), look)


def _with_bar_below(cells: Any, look: Look) -> Any:
    """The same with its scale of colours below it, where its title has room."""
    bar = cells.encoding.color["legend"]
    bar.orient, bar.offset, bar.titleLimit = "bottom", 6, 0
    bar.gradientLength = min(10 * look.cell, cells.width)
    return cells
