"""The paper's figures 8 and 9: what disabling each head and each layer changes, per task."""

from collections.abc import Callable
from typing import Any

import altair as alt
import polars as pl

from headscope.figures.heatmaps import Scale, dots, numbers_up_to, panel
from headscope.figures.style import (
    GREY,
    INK,
    Look,
    balanced,
    farthest,
    headed,
    joined,
    label,
    note_of,
    only_value,
    significant,
    source,
)
from headscope.names import SIGNIFICANT


def head_panels(rows: pl.DataFrame, title: str, look: Look) -> Any:
    """Figure 8: a heat map per task, each with a scale of its own.

    Args:
        rows: Of the table `disabled` the rows of single heads.
        title: The title of the figure.
        look: How it looks.
    """
    return _panels(rows, title, look, _heads)


def layer_panels(rows: pl.DataFrame, title: str, look: Look) -> Any:
    """Figure 9: a plot per task, a point per layer.

    Args:
        rows: Of the table `disabled` the rows of whole layers.
        title: The title of the figure.
        look: How it looks.
    """
    return _panels(rows, title, look, _layers)


def _panels(
    rows: pl.DataFrame,
    title: str,
    look: Look,
    draw: Callable[[pl.DataFrame, Look], Any],
) -> Any:
    tasks = rows.partition_by("task", maintain_order=True)
    shown = [headline(task) for task in tasks]
    panels = [draw(task, look) for task in shown]
    subtitle = joined(" · ", source(rows), "points", note_of(pl.concat(shown)))
    chart = alt.concat(*panels, columns=balanced(len(panels), look.columns), spacing=18)
    chart = chart.resolve_scale(color="independent", y="independent")
    return headed(chart, title, subtitle, look)


def headline(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows of one task's first metric in its first mode."""
    rows = rows.filter(metric=rows["metric"].drop_nulls().first())
    return rows.filter(pl.col("mode").eq_missing(pl.col("mode").first()))


def _title(rows: pl.DataFrame) -> str:
    return f"{rows['task'][0]}, {label(str(rows['metric'][0]))}"


def _heads(rows: pl.DataFrame, look: Look) -> Any:
    scale = Scale.around_zero(farthest(rows) or 1.0)
    cells = panel(rows, "delta", _title(rows), scale, look, legend=only_value(rows, "unit"))
    marks = dots(significant(rows), cells, look)
    return alt.layer(cells, marks).properties(title=_title(rows))


def _layers(rows: pl.DataFrame, look: Look) -> Any:
    """A point per layer with its 95% interval over examples, filled where the effect is
    significant; the dashed line is 0.
    """
    is_significant = pl.col("p_corrected") < SIGNIFICANT
    effects = rows.select("layer", "delta", "low", "high", stands=is_significant)
    layers = numbers_up_to(rows["layer"])
    x = alt.X(
        "layer:O",
        title="layer",
        scale=alt.Scale(domain=layers),
        axis=alt.Axis(labelAngle=0),
    )
    change = joined(", ", "change", only_value(rows, "unit"))
    line = alt.Chart(pl.DataFrame({"zero": [0.0]}))
    zero = line.mark_rule(color=GREY, strokeWidth=look.weight, strokeDash=[3 * look.weight] * 2)
    base = alt.Chart(effects)
    intervals = base.mark_rule(strokeWidth=1.5 * look.weight, color=INK)
    points = base.mark_point(
        size=34 * look.weight**2, color=INK, opacity=1, strokeWidth=1.2 * look.weight
    )
    fill = alt.condition(alt.datum.stands, alt.value(INK), alt.value("white"))
    chart = alt.layer(
        zero.encode(y="zero:Q"),
        intervals.encode(x, alt.Y("low:Q", title=change), alt.Y2("high:Q")),
        points.encode(x, alt.Y("delta:Q", title=change), fill=fill),
    )
    return chart.properties(
        title=_title(rows),
        width=1.8 * look.cell * max(6, len(layers)),
        height=11 * look.cell,
    )
