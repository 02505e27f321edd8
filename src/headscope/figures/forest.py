"""Forest plots: the effect of every set of heads with its 95% interval, a row a set."""

from dataclasses import dataclass
from typing import Any

import altair as alt
import polars as pl

from headscope.figures.effects import headline
from headscope.figures.style import (
    GREY,
    INK,
    Look,
    balanced,
    headed,
    joined,
    label,
    names_at,
    only_value,
    source,
)
from headscope.names import SIGNIFICANT

_ROW = 1.4
"""The height of a row, in letters."""
_WIDTH = 14.0
"""The width of a plot, in cells of a look."""
_NAME = 26
"""So many letters of a set's name are shown."""
_MARGIN = 0.03
"""The room beyond the farthest interval, as a fraction of the axis."""
_GRID = 0.15
"""The opacity of lines at the numbers of an axis: grey, which also shows on a dark page."""
_HAS_INTERVAL = "isValid(datum.low) && isValid(datum.high)"
_TOLD, _NOT_TOLD = f"adjusted p < {SIGNIFICANT}", "not significant"
_TOLD_AT_ONCE, _NOT_TOLD_AT_ONCE = "the interval excludes 0", "the interval holds 0"


@dataclass(frozen=True)
class _Kept:
    """The sets that a plot has room for.

    Attributes:
        rows: Those that are drawn, from the lowest value to the highest; `place` counts them from
            0, with a place free where others are left out.
        left_out: How many there are between them.
        told: How many of these are significant.
    """

    rows: pl.DataFrame
    left_out: int
    told: int


def effect_rows(disabled: pl.DataFrame) -> pl.DataFrame:
    """The rows of the table `disabled`, of the tasks in which a set has a value.

    Args:
        disabled: The table of that name.
    """
    parts = [disabled.clear()]
    for task in disabled.partition_by("task", maintain_order=True):
        if headline(task)["delta"].is_finite().any():
            parts.append(task)
    return pl.concat(parts)


def effects_forest(rows: pl.DataFrame, title: str, look: Look) -> Any:
    """What disabling each set changes, with its 95% interval, from the largest loss to the largest
    gain: a panel per task, in its first metric and mode.

    Args:
        rows: The rows of `effect_rows`. A point is filled where the adjusted p-value is below 0.05.
        title: The title of the figure.
        look: How it looks.
    """
    panels, notes = [], []
    tasks = [headline(task) for task in rows.partition_by("task", maintain_order=True)]
    of_all = pl.concat(tasks)
    is_tested = of_all["p_corrected"].count() > 0
    for task in tasks:
        metric = label(str(task["metric"][0]))
        unit = only_value(task, "unit") or "points"
        effects = task.select(
            "set",
            "low",
            "high",
            value="delta",
            told=pl.col("p_corrected") < SIGNIFICANT,
        )
        panel, note = _panel(
            effects, f"change, {unit} of {metric}", (_TOLD, _NOT_TOLD), look, is_tested=is_tested
        )
        if len(tasks) > 1:
            panel = panel.properties(title=f"{task['task'][0]}, {metric}")
            note = note and f"{task['task'][0]}: {note}"
        panels.append(panel)
        notes.append(note)
    chart = alt.concat(*panels, columns=balanced(len(panels), look.columns), spacing=18)
    mode, n = only_value(of_all, "mode"), only_value(of_all, "n")
    about = joined(", ", f"n = {int(n):,}" if n else "", "95% intervals")
    subtitle = joined(" · ", source(rows), f"mode {mode}" if mode else "", about, *notes)
    return headed(chart.resolve_scale(y="independent"), title, subtitle, look)


def shapley_forest(rows: pl.DataFrame, title: str, look: Look) -> Any:
    """The Shapley value of each head with its interval for all heads at once.

    Args:
        rows: The table `shapley`. A point is filled where this interval excludes 0.
        title: The title of the figure.
        look: How it looks.
    """
    low, high = pl.col("low_all"), pl.col("high_all")
    values = rows.select("set", "value", low=low, high=high, told=(low > 0) | (high < 0))
    is_tested = values["told"].count() > 0
    unit = only_value(rows, "unit")
    axis = joined(", ", "share of the rise of the loss", unit)
    panel, note = _panel(
        values, axis, (_TOLD_AT_ONCE, _NOT_TOLD_AT_ONCE), look, is_tested=is_tested
    )
    n, of = only_value(rows, "n"), only_value(rows, "of")
    about = f"95% intervals for all heads at once, over {n} {of}"
    return headed(panel, title, joined(" · ", source(rows), about, note), look)


def _panel(
    values: pl.DataFrame, axis: str, kinds: tuple[str, str], look: Look, *, is_tested: bool
) -> tuple[Any, str]:
    """A plot of sets, and what it leaves out, in words.

    Args:
        values: set, value, low, high, and whether a test told the value from 0 (`told`; null where
            none was made).
        axis: The title of the axis of values.
        kinds: What the points of either kind are called.
        look: How it looks.
        is_tested: Whether anything was tested, in this plot or in one beside it.
    """
    known = values.filter(pl.col("value").is_finite())
    kept = _kept(known.sort("value", maintain_order=True), look.rows)
    drawn = kept.rows.with_columns(
        kind=pl.when("told").then(pl.lit(kinds[0])).otherwise(pl.lit(kinds[1])),
        low=_finite("low"),
        high=_finite("high"),
    )
    fill = _fill(kinds, is_tested=is_tested, look=look)
    reach = _reach(drawn)
    scale = alt.Scale(domain=reach, nice=False)
    layers = [_zero(scale, look), *_marks(drawn, axis, scale, fill, look)]
    if kept.left_out:
        is_left = reach[0] + reach[1] < 0
        layers.append(_gap(drawn, f"{kept.left_out} left out", is_left=is_left, look=look))
    places = drawn.height + (kept.left_out > 0)
    size = {"width": _WIDTH * look.cell, "height": _ROW * look.size * places}
    chart = alt.layer(*layers).properties(**size)
    return chart, _said(kept, known.height, values.height - known.height, drawn)


def _finite(column: str) -> pl.Expr:
    return pl.when(pl.col(column).is_finite()).then(column)


def _kept(values: pl.DataFrame, most: int) -> _Kept:
    """The lowest and the highest of sorted values, as many of either, where there are too many."""
    count = values.height
    if count <= most:
        places = pl.Series("place", range(count), dtype=pl.Int64)
        return _Kept(values.with_columns(places), 0, 0)
    low = (most + 1) // 2
    high = most - low
    middle = values.slice(low, count - most)
    rows = pl.concat([values.head(low), values.tail(high)])
    # The free place between them says how many are left out.
    places = pl.Series("place", [*range(low), *range(low + 1, most + 1)], dtype=pl.Int64)
    return _Kept(rows.with_columns(places), middle.height, int(middle["told"].sum() or 0))


def _said(kept: _Kept, known: int, unknown: int, drawn: pl.DataFrame) -> str:
    """What a plot does not show."""
    parts = []
    if kept.left_out:
        low = (known - kept.left_out + 1) // 2
        high = known - kept.left_out - low
        told = f", {kept.told} of them significant" if kept.told else ""
        parts.append(
            f"the {low} lowest and the {high} highest of {known}: {kept.left_out} left out{told}"
        )
    if unknown:
        parts.append(f"{unknown} without a value left out")
    bare = drawn.filter(pl.col("low").is_null() | pl.col("high").is_null()).height
    if bare:
        parts.append(f"{bare} without an interval")
    return "; ".join(parts)


def _reach(drawn: pl.DataFrame) -> list[float]:
    """The ends of an axis that holds all intervals and 0, with a little room."""
    ends = [0.0]
    for column in drawn.select("value", "low", "high"):
        ends += column.drop_nulls().to_list()
    room = _MARGIN * (max(ends) - min(ends) or 1.0)
    return [min(ends) - room, max(ends) + room]


def _zero(scale: alt.Scale, look: Look) -> Any:
    line = alt.Chart(pl.DataFrame({"zero": [0.0]})).mark_rule(
        color=GREY, strokeWidth=look.weight, strokeDash=[3 * look.weight, 3 * look.weight]
    )
    return line.encode(alt.X("zero:Q", scale=scale))


def _marks(
    drawn: pl.DataFrame, axis: str, scale: alt.Scale, fill: alt.Fill, look: Look
) -> list[Any]:
    """The intervals and the points, with the names of the sets beside them."""
    names = {}
    for place, name in drawn.select("place", "set").iter_rows():
        names[place] = _short(name)
    last = max(names)
    listed = [names.get(place, "⋮") for place in range(last + 1)]
    y = alt.Y(
        "place:O",
        title=None,
        scale=alt.Scale(domain=list(range(last + 1))),
        axis=alt.Axis(labelExpr=names_at(listed), labelLimit=0, labelOverlap=False, labelPadding=4),
    )
    grid = alt.Axis(grid=True, gridColor=GREY, gridOpacity=_GRID, gridWidth=0.6 * look.weight)
    x = alt.X("value:Q", title=axis, axis=grid, scale=scale)
    base = alt.Chart(drawn.select("place", "set", "value", "low", "high", "kind"))
    intervals = base.mark_rule(strokeWidth=1.1 * look.weight, color=INK)
    points = base.mark_point(
        size=22 * look.weight**2, stroke=INK, opacity=1, strokeWidth=0.9 * look.weight
    )
    return [
        intervals.transform_filter(_HAS_INTERVAL).encode(
            y, alt.X("low:Q", title=axis, axis=grid, scale=scale), alt.X2("high:Q")
        ),
        points.encode(x, y, fill),
    ]


def _fill(kinds: tuple[str, str], *, is_tested: bool, look: Look) -> alt.Fill:
    """Dark for what a test told from 0, white for the rest; a legend where anything was tested."""
    # The same in every panel: they share it, also where a panel has points of one kind alone.
    scale = alt.Scale(domain=list(kinds), range=[INK, "white"])
    legend = alt.Legend(title=None, orient="bottom", offset=0.4 * look.size)
    return alt.Fill("kind:N", scale=scale, legend=legend if is_tested else None)


def _gap(drawn: pl.DataFrame, words: str, *, is_left: bool, look: Look) -> Any:
    """The words on the free row, at the side that 0 is far from."""
    (free,) = set(range(drawn.height + 1)) - set(drawn["place"])
    text = alt.Chart(pl.DataFrame({"place": [free], "words": [words]})).mark_text(
        color=GREY, fontSize=look.size, align="left" if is_left else "right"
    )
    room = 0.5 * look.size
    x = alt.value(room if is_left else _WIDTH * look.cell - room)
    return text.encode(alt.Y("place:O"), alt.Text("words:N"), x=x)


def _short(name: str | None) -> str:
    """The name of a set, of a long one the first heads and how many follow."""
    if name is None or len(name) <= _NAME:
        return name or ""
    heads = name.split(",")
    kept: list[str] = []
    for head in heads:
        if len(",".join([*kept, head])) > _NAME - len(" +999"):
            break
        kept.append(head)
    if not kept:
        return f"{name[: _NAME - 1]}…"
    return f"{','.join(kept)} +{len(heads) - len(kept)}"
