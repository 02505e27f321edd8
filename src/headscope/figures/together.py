"""Heads that are disabled together: a map of the interactions of pairs, and Shapley values beside
effects of single heads.
"""

from collections.abc import Sequence
from typing import Any

import altair as alt
import polars as pl

from headscope.figures.heatmaps import Scale, dots, numbers_up_to, panel
from headscope.figures.style import (
    GAIN,
    GREY,
    LOSS,
    NONE,
    PALE,
    Look,
    headed,
    joined,
    nice,
    only_value,
    significant,
    source,
)
from headscope.names import SIGNIFICANT

_SIDE = 36
"""The side of the map of pairs, in cells of a look."""
_WHITE = 0.01
"""A cell whose colour is this close to white, as a fraction of the scale, is not drawn."""
_SATURATED = 0.99
"""So many of the interactions lie within the scale of colours; the others have its last colour."""


def interaction_map(rows: pl.DataFrame, title: str, look: Look) -> Any:
    """The interactions of all pairs of heads: below the diagonal every pair, above it those that
    are significant.

    Args:
        rows: The table `interactions`.
        title: The title of the figure.
        look: How it looks.
    """
    heads = max(numbers_up_to(rows[axis])[-1] for axis in ("head", "other_head"))
    layers = max(numbers_up_to(rows[axis])[-1] for axis in ("layer", "other_layer"))
    sizes = rows["value"].abs()
    limit = nice(max(_quantile(sizes), 1e-9))
    cells = _cells(rows, heads).filter(pl.col("value").abs() > _WHITE * limit)
    side, count = _SIDE * look.cell, layers * heads
    x, y = _axes(count, heads, layers)
    colours = alt.Scale(
        domain=[-limit, 0.0, limit], range=[GAIN, NONE, LOSS], interpolate="lab", clamp=True
    )
    bar = alt.Legend(
        title=joined(", ", "interaction", only_value(rows, "unit")),
        values=[-limit, 0.0, limit],
        gradientLength=max(40, side / 3),
        gradientThickness=0.9 * look.size,
        format=".3~g",
    )
    squares = (
        alt.Chart(cells)
        .mark_rect(strokeWidth=0)
        .encode(
            x, y, alt.X2("x2:Q"), alt.Y2("y2:Q"), alt.Color("value:Q", scale=colours, legend=bar)
        )
    )
    ends = {"x": [0.0], "y": [0.0], "x2": [float(count)], "y2": [float(count)]}
    diagonal = alt.Chart(pl.DataFrame(ends)).mark_rule(color=GREY, strokeWidth=0.5 * look.weight)
    diagonal = diagonal.encode(x, y, alt.X2("x2:Q"), alt.Y2("y2:Q"))
    chart = alt.layer(squares, *_borders(x, y, count, heads), diagonal)
    chart = chart.properties(width=side, height=side)
    found = significant(rows).height
    note = (
        f"below the diagonal all {rows.height:,} pairs, above it the {found:,} with adjusted p < "
    )
    clipped = int((sizes > limit).sum())
    beyond = f"{clipped} beyond ±{limit:g}" if clipped else ""
    subtitle = joined(" · ", source(rows), f"{note}{SIGNIFICANT}", beyond)
    return headed(chart, title, subtitle, look)


def shapley_panels(rows: pl.DataFrame, title: str, look: Look) -> Any:
    """Shapley values of all heads, and the rise of the loss without each head alone, on one scale.

    Args:
        rows: The table `shapley`. A dot marks a value whose interval for all heads excludes 0.
        title: The title of the figure.
        look: How it looks.
    """
    limit = nice(max(map(abs, rows["value"].to_list() + rows["alone"].to_list())))
    scale = Scale((-limit, 0.0, limit), (GAIN, NONE, LOSS))
    values = panel(rows, "value", "Shapley value", scale, look)
    told = rows.filter((pl.col("low_all") > 0) | (pl.col("high_all") < 0))
    marked = alt.layer(values, dots(told, values, look))
    marked = marked.properties(title="Shapley value")
    alone = panel(rows, "alone", "Disabled alone", scale, look)
    chart = alt.hconcat(marked, alone, spacing=16).resolve_scale(color="shared")
    note = "● 95% interval for all heads at once excludes 0" if told.height else ""
    unit = only_value(rows, "unit")
    subtitle = joined(" · ", source(rows), f"rise of the loss, {unit}" if unit else "", note)
    return headed(chart, title, subtitle, look)


def _quantile(sizes: pl.Series) -> float:
    """The end of the scale of colours: a few interactions are far larger than all others."""
    return float(sizes.quantile(_SATURATED, "higher") or 0.0)


def _cells(rows: pl.DataFrame, heads: int) -> pl.DataFrame:
    """A square per pair below the diagonal, and above it one per significant pair."""
    first = ((pl.col("layer") - 1) * heads + pl.col("head") - 1).cast(pl.Float64)
    second = ((pl.col("other_layer") - 1) * heads + pl.col("other_head") - 1).cast(pl.Float64)
    below = rows.select(x=first, y=second, value="value")
    above = significant(rows).select(x=second, y=first, value="value")
    return pl.concat([below, above]).with_columns(x2=pl.col("x") + 1, y2=pl.col("y") + 1)


def _axes(count: int, heads: int, layers: int) -> tuple[alt.X, alt.Y]:
    """Axes along all heads, layer by layer, with the name of each layer at its middle."""
    middles = [(layer + 0.5) * heads for layer in range(layers)]
    names = alt.Axis(
        values=middles,
        labelExpr=f"'L' + ceil(datum.value / {heads})",
        labelAngle=0,
        labelPadding=3,
        title=None,
    )
    top = names.copy()
    top.orient = "top"
    return (
        alt.X("x:Q", scale=alt.Scale(domain=[0, count], nice=False), axis=top),
        alt.Y("y:Q", scale=alt.Scale(domain=[0, count], nice=False, reverse=True), axis=names),
    )


def _borders(x: alt.X, y: alt.Y, count: int, heads: int) -> Sequence[Any]:
    """Lines between layers."""
    places = [float(place) for place in range(heads, count, heads)]
    lines = alt.Chart(pl.DataFrame({"x": places, "y": places}, {"x": pl.Float64, "y": pl.Float64}))
    rule = lines.mark_rule(color=PALE, strokeWidth=0.5)
    return rule.encode(x), rule.encode(y)
