"""Table 1 as a figure: every score with its interval, a baseline, and the paper's score."""

from typing import Any

import altair as alt
import polars as pl

from headscope.figures.published import PAPER
from headscope.figures.style import BLUE, INK, ORANGE, Look, headed, label
from headscope.names import FINE_TUNED, OF_NUMBERS, UNTRAINED, baseline, no_majority
from headscope.reference import paper_score

_SHORT = {FINE_TUNED: "fine-tuned", UNTRAINED: "not fine-tuned"}
_NUMBERS = ("low", "value", "majority", "paper", "high")


def score_rows(scores: pl.DataFrame) -> pl.DataFrame:
    """The scores that are known, with the paper's in the column `paper`, where it has one.

    The paper's are of bert-base-uncased, so comparable with that model alone.
    """
    # A correlation has no class that is the most frequent.
    is_class = ~pl.col("metric").is_in(OF_NUMBERS)
    rows = scores.drop_nulls("value").with_columns(
        pl.when(is_class).then("majority").alias("majority")
    )
    keys = rows.select("configuration", "task", "metric").iter_rows()
    published = [paper_score(*key) for key in keys]
    return rows.with_columns(paper=pl.Series(published, dtype=pl.Float64, strict=False))


def score_plot(rows: pl.DataFrame, title: str, look: Look) -> Any:
    """Table 1: a line per score, of the rows of `score_rows`."""
    names = []
    for task, metric, name in rows.select("task", "metric", "configuration").iter_rows():
        names.append(f"{task or ''} {label(metric or '')} {_SHORT.get(name, name)}".strip())
    named = rows.select(*_NUMBERS, what=pl.Series(names, dtype=pl.String))
    y = alt.Y(
        "what:N",
        title=None,
        sort=None,
        axis=alt.Axis(labelLimit=24 * look.size, labelPadding=0.6 * look.size),
    )
    in_points = rows["unit"].eq("points").all()
    of_classes = rows.filter(~pl.col("metric").is_in(OF_NUMBERS))
    missing = of_classes["majority"].null_count()
    known = of_classes.drop_nulls("majority")["metric"]
    # A legend has no article.
    baselines = {baseline(metric).removeprefix("the ") for metric in known}
    span = _span(named, [0.0, 100.0] if in_points else [])
    scale = alt.Scale(domain=span, nice=False)
    base = alt.Chart(named)
    intervals = base.mark_rule(strokeWidth=1.5 * look.weight, color=INK)
    majorities = base.mark_tick(color=ORANGE, thickness=1.5 * look.weight, size=10 * look.weight)
    points = base.mark_point(size=30 * look.weight**2, filled=True, opacity=1, color=INK)
    layers = [
        intervals.encode(y, alt.X("low:Q", title="score", scale=scale), alt.X2("high:Q")),
        majorities.encode(y, alt.X("majority:Q", title="score")),
        points.encode(y, alt.X("value:Q", title="score")),
    ]
    subtitle = "dot: score with its 95% interval"
    if baselines:
        orange = " or ".join(sorted(baselines))
        subtitle += f"; orange: {orange}{', where it is known' if missing else ''}"
    elif missing:
        subtitle += f"; {no_majority(next(iter(rows['metric']), ''))}"
    published = named.drop_nulls("paper")
    if published.height:
        layers.append(_diamonds(published, look).encode(y, alt.X("paper:Q", title="score")))
        subtitle += f"; blue: {PAPER}"
    height = max(2.7 * look.size, 1.45 * look.size * named.height)
    chart = alt.layer(*layers).properties(width=18 * look.cell, height=height)
    return headed(chart, title, subtitle, look)


def _span(numbers: pl.DataFrame, ends: list[float]) -> list[float]:
    """The ends of an axis that holds numbers, and the given ends."""
    for column in numbers.select(_NUMBERS):
        ends = ends + column.drop_nulls().to_list()
    return [min(ends), max(ends)]


def _diamonds(rows: pl.DataFrame, look: Look) -> alt.Chart:
    chart: alt.Chart = alt.Chart(rows).mark_point(
        shape="diamond",
        size=45 * look.weight**2,
        filled=False,
        opacity=1,
        color=BLUE,
        strokeWidth=1.4 * look.weight,
    )
    return chart
