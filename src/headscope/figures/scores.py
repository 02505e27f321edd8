"""Table 1 as a figure: every score with its interval, the majority class, and the paper's score."""

from typing import Any

import altair as alt
import polars as pl

from headscope.figures.style import BLUE, INK, ORANGE, Look, headed, label
from headscope.names import FINE_TUNED, UNTRAINED
from headscope.reference import reference

_SHORT = {FINE_TUNED: "fine-tuned", UNTRAINED: "not fine-tuned"}
_NUMBERS = ("low", "value", "majority", "paper", "high")


def score_rows(scores: pl.DataFrame) -> pl.DataFrame:
    """The scores that are known, with the paper's in the column `paper`, where it has one.

    The paper's are of bert-base-uncased, so comparable with that model alone.
    """
    rows = scores.filter(pl.col("value").is_not_null())
    published = [
        _published(*key) for key in rows.select("configuration", "task", "metric").iter_rows()
    ]
    return rows.with_columns(paper=pl.Series(published, dtype=pl.Float64))


def score_plot(rows: pl.DataFrame, title: str, look: Look) -> Any:
    """Table 1: a line per score, of the rows of `score_rows`."""
    names = [_name(*key) for key in rows.select("task", "metric", "configuration").iter_rows()]
    named = rows.select(*_NUMBERS, what=pl.Series(names, dtype=pl.String))
    has_paper = named["paper"].is_not_null().any()
    y = alt.Y("what:N", title=None, sort=None, axis=alt.Axis(labelLimit=260))
    x_scale = alt.Scale(domain=_span(named, in_points=rows["unit"].eq("points").all()), nice=False)
    base = alt.Chart(named)
    intervals = base.mark_rule(strokeWidth=1.5, color=INK).encode(
        y, alt.X("low:Q", title="score", scale=x_scale), alt.X2("high:Q")
    )
    majorities = base.mark_tick(color=ORANGE, thickness=1.5, size=10).encode(
        y, alt.X("majority:Q", title="score")
    )
    points = base.mark_point(size=30, filled=True, opacity=1, color=INK).encode(
        y, alt.X("value:Q", title="score")
    )
    layers = [intervals, majorities, points]
    subtitle = "dot: score with its 95% interval; orange: majority class"
    if has_paper:
        layers.append(_diamonds(named).encode(y, alt.X("paper:Q", title="score")))
        subtitle += "; blue: the paper’s"
    size = {"width": 18 * look.cell, "height": max(30, 16 * named.height)}
    return headed(alt.layer(*layers).properties(**size), title, subtitle, look)


def _published(configuration: str, task: str, metric: str) -> float | None:
    name = "correlation" if metric in ("spearman", "pearson") else metric
    value = reference("scores").get(configuration, {}).get(task, {}).get(name)
    return None if value is None else float(value)


def _name(task: str | None, metric: str | None, configuration: str) -> str:
    return f"{task or ''} {label(metric or '')} {_SHORT.get(configuration, configuration)}".strip()


def _span(numbers: pl.DataFrame, *, in_points: bool) -> list[float]:
    """The ends of the axis: 0 and 100 where scores are in points, or what lies beyond."""
    ends = [] if not in_points else [0.0, 100.0]
    for column in _NUMBERS:
        ends += numbers[column].drop_nulls().to_list()
    return [min(ends), max(ends)]


def _diamonds(named: pl.DataFrame) -> Any:
    return alt.Chart(named.filter(pl.col("paper").is_not_null())).mark_point(
        shape="diamond", size=45, filled=False, opacity=1, color=BLUE, strokeWidth=1.4
    )
