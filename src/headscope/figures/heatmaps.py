"""Layer x head heat maps: one of an effect or a measure, and the figures that have a panel per
measure.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import altair as alt
import polars as pl

from headscope.errors import HeadscopeError, unknown
from headscope.figures.style import (
    DARK_BLUE,
    GAIN,
    LIGHT_BLUE,
    LOSS,
    NONE,
    PALE,
    SCREEN,
    Look,
    balanced,
    farthest,
    headed,
    heading,
    joined,
    label,
    note_of,
    only_value,
    significant,
    source,
    styled,
)

SINGLE = replace(SCREEN, cell=20.0)
"""The look of one map: 12 x 12 heads fill a column of a two-column paper."""
_LETTERS_WIDE, _LETTERS_HIGH = 1.45, 1.1
"""The room that a number on an axis needs, in letters: two digits and a space; a line."""


@dataclass(frozen=True)
class Scale:
    """A scale of colours: its lower end, its middle and its upper end, which are its ticks too."""

    ticks: tuple[float, float, float]
    colours: tuple[str, str, str]

    @classmethod
    def around_zero(cls, limit: float) -> "Scale":
        """From a loss of `limit` over white to a gain of `limit`."""
        return cls((-limit, 0.0, limit), (LOSS, NONE, GAIN))

    @classmethod
    def between(cls, low: float, high: float) -> "Scale":
        """From white at `low` to dark at `high`."""
        high = max(high, low + 1e-6)  # where all values are the same
        return cls((low, (low + high) / 2, high), (NONE, LIGHT_BLUE, DARK_BLUE))

    @property
    def of_colours(self) -> alt.Scale:
        """The same for a chart."""
        return alt.Scale(
            domain=list(self.ticks), range=list(self.colours), interpolate="lab", clamp=True
        )


def effect_map(disabled: pl.DataFrame, metric: str, mode: str | None = None) -> Any:
    """The change of `metric` when each head alone is disabled (the paper's figure 8), in points.

    Args:
        disabled: The table of that name. A dot marks a head with an adjusted p-value below 0.05.
        metric: One of the table's metrics.
        mode: One of the table's modes, needed only where it holds several.

    Returns:
        An Altair chart.

    Raises:
        HeadscopeError: For an unknown metric or mode, or when a head has more than one row.
    """
    rows = _chosen(disabled.drop_nulls(["layer", "head"]), "metric", metric)
    if mode is not None:
        rows = _chosen(rows, "mode", mode)
    unit = only_value(rows, "unit")
    marked = significant(rows)
    largest = farthest(rows)
    cells = panel(
        rows,
        "delta",
        f"Effect of disabling a head: {label(metric)}",
        Scale.around_zero(largest or 1.0),
        SINGLE,
        legend=f"change, {unit}" if unit else "change",
    )
    return _with_dots(cells, marked, joined(" · ", source(rows), note_of(rows)))


def measure_map(heads: pl.DataFrame, measure: str) -> Any:
    """The value of one measure of each head.

    Args:
        heads: The table of that name.
        measure: One of its measures.

    Returns:
        An Altair chart.

    Raises:
        HeadscopeError: For an unknown measure, or when a head has more than one row.
    """
    rows = _chosen(heads, "measure", measure)
    values = _finite(rows["value"])
    lowest, highest = min(values, default=0.0), max(values, default=1.0)
    scale = Scale.between(lowest, highest)
    legend = only_value(rows, "unit") or label(measure)
    cells = panel(rows, "value", label(measure), scale, SINGLE, legend=legend)
    return _with_dots(cells, rows.clear(), source(rows))


def measure_panels(rows: pl.DataFrame, title: str, look: Look, *, measures: Sequence[str]) -> Any:
    """A panel per measure, in the order of `measures`, each with a scale of its own."""
    panels = []
    for measure in measures:
        values = rows.filter(measure=measure)
        if values.height:
            scale = _scale_of(values)
            panels.append(panel(values, "value", label(measure), scale, look))
    return _side_by_side(panels, rows, title, look, _own_scales(rows))


def relation_panels(rows: pl.DataFrame, title: str, look: Look) -> Any:
    """A panel per relation, all on one scale."""
    scale = _scale_of(rows)
    panels = []
    for values in rows.partition_by("relation", maintain_order=True):
        title_of_panel = label(values["relation"][0])
        panels.append(panel(values, "value", title_of_panel, scale, look))
    return _side_by_side(panels, rows, title, look, "one scale for all")


def panel(
    rows: pl.DataFrame,
    value: str,
    title: str,
    scale: Scale,
    look: Look,
    *,
    legend: str = "",
) -> Any:
    """One layer x head heat map, not yet styled.

    Args:
        rows: A row per head, with the columns layer, head and `value`.
        value: The column that gives the colour.
        title: What stands above it.
        scale: The colours.
        look: How it looks.
        legend: What stands above the scale of colours.

    Raises:
        HeadscopeError: When a head has more than one row.
    """
    if rows.select("layer", "head").is_duplicated().any():
        raise HeadscopeError(
            f"the table holds more than one row for a head ({title}): keep one model, task, seed "
            "and mode"
        )
    layers, heads = (numbers_up_to(rows[axis]) for axis in ("layer", "head"))
    cell = look.cell
    layer_axis = _axis("layer", _LETTERS_HIGH, look)
    head_axis = _axis("head", _LETTERS_WIDE, look, orient="top")
    bar = alt.Legend(
        title=legend or None,
        values=list(scale.ticks),
        gradientLength=_bar_length(cell * len(layers), look),
        gradientThickness=0.9 * look.size,
        format=".2~g",
    )
    shown = rows.select("layer", "head", pl.col(value).cast(pl.Float64))
    return (
        alt.Chart(shown, title=title)
        .mark_rect(stroke=PALE, strokeWidth=0.5 * look.weight)
        .encode(
            alt.X("head:O", scale=alt.Scale(domain=heads), axis=head_axis),
            alt.Y("layer:O", scale=alt.Scale(domain=layers), axis=layer_axis),
            alt.Color(f"{value}:Q", scale=scale.of_colours, legend=bar),
        )
        .properties(width=cell * len(heads), height=cell * len(layers))
    )


def dots(rows: pl.DataFrame, cells: Any, look: Look) -> Any:
    """A dot on each head of `rows`, to be laid over the heat map `cells`."""
    width = look.weight * min(4.0, max(3.0, look.cell / 5))
    return (
        alt.Chart(rows.select("layer", "head"))
        .mark_point(
            filled=True,
            size=width**2,
            color="black",
            opacity=1,
            stroke="white",
            strokeWidth=width / 7,
        )
        .encode(cells.encoding.x, cells.encoding.y)
    )


def _with_dots(cells: Any, marked: pl.DataFrame, subtitle: str) -> Any:
    marks = dots(marked, cells, SINGLE)
    chart = alt.layer(cells, marks).properties(
        title=heading(cells.title, subtitle),
        width=cells.width,
        height=cells.height,
    )
    return styled(chart)


def _side_by_side(
    panels: list[Any], rows: pl.DataFrame, title: str, look: Look, scales: str
) -> Any:
    chart = alt.concat(*panels, columns=balanced(len(panels), look.columns), spacing=16)
    subtitle = joined(" · ", source(rows), only_value(rows, "unit"), scales)
    return headed(chart.resolve_scale(color="independent"), title, subtitle, look)


def _scale_of(rows: pl.DataFrame) -> Scale:
    """The scale of a panel's values, from the smallest to the largest: on one scale with attention
    to [CLS] every other class would be white, and cosines from 0 one dark slab.
    """
    values = rows["value"].to_list()
    lowest, highest = min(values), max(values)
    if lowest < 0:
        return Scale.around_zero(max(-lowest, highest))
    # An end like 0.0000012 is no easier to read than 0.
    return Scale.between(lowest if lowest > highest / 50 else 0.0, highest)


def _own_scales(rows: pl.DataFrame) -> str:
    """What the colours of several panels say, or of one."""
    if rows["value"].min() < 0:  # type: ignore[operator]  # numbers
        return "blue is above 0, orange below"
    panels = "each panel’s " if rows["measure"].n_unique() > 1 else ""
    return f"white is {panels or 'the '}smallest value"


def _chosen(rows: pl.DataFrame, column: str, name: str) -> pl.DataFrame:
    known = set(rows[column].drop_nulls())
    if name not in known:
        raise unknown(column, name, known)
    return rows.filter(pl.col(column) == name)


def _finite(values: pl.Series) -> list[float]:
    return [value for value in values.drop_nulls().to_list() if math.isfinite(value)]


def numbers_up_to(numbers: pl.Series) -> list[int]:
    """The numbers from 1 to the largest of a column."""
    return list(range(1, max(numbers.to_list()) + 1))


def _axis(title: str, room: float, look: Look, **options: Any) -> alt.Axis:
    """The numbers of layers or heads; on small cells every second or third, from 1."""
    step = math.ceil(room * look.size / look.cell)
    if step > 1:
        options["labelExpr"] = f"(datum.value - 1) % {step} ? '' : datum.value"
    return alt.Axis(title=title, labelAngle=0, labelPadding=3, titlePadding=3, **options)


def _bar_length(height: float, look: Look) -> float:
    """The length of a scale of colours beside a map, with room for its title and three numbers."""
    return max(2.5 * look.size, min(14 * look.size, height - 1.3 * look.size))
