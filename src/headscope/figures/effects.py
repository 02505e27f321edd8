"""The paper's figures 8 and 9, what disabling each head and each layer changes; and all figures of
a run folder.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from headscope.figures.heatmaps import (
    GAIN,
    LOSS,
    NONE,
    SCREEN,
    Look,
    effect_map,
    headed,
    label,
    marked_rows,
    measure_map,
    nice,
    panel,
    paper_figures,
    save,
    source,
)
from headscope.names import SIGNIFICANT

if TYPE_CHECKING:
    import altair as alt

TITLES = {
    "figure8_heads": "Change when a head is disabled",
    "figure9_layers": "Change when all heads of a layer are disabled",
}


def effect_figures(
    tables: Mapping[str, pl.DataFrame], look: Look = SCREEN
) -> dict[str, "alt.ConcatChart"]:
    """Figures 8 and 9 as far as the table `disabled` gives them; the headline metric of every task,
    its first mode.
    """
    if "disabled" not in tables:
        return {}
    rows = tables["disabled"].filter(pl.col("delta").is_finite(), pl.col("layer").is_not_null())
    charts = {}
    for name, chosen, draw in (
        ("figure8_heads", pl.col("head").is_not_null(), _heads),
        ("figure9_layers", pl.col("head").is_null(), _layers),
    ):
        own = rows.filter(chosen)
        panels = [
            draw(_headline(part), look) for part in own.partition_by("task", maintain_order=True)
        ]
        if panels:
            charts[name] = _together(name, panels, own, look)
    return charts


def draw(run: Path) -> Path:
    """Every chart that the tables of a run folder give, as SVG and PNG, into its `figures`
    folder.
    """
    names = ("disabled", "heads", "change", "patterns")
    tables = {
        n: pl.read_parquet(run / f"{n}.parquet") for n in names if (run / f"{n}.parquet").is_file()
    }
    charts: dict[str, Any] = {**paper_figures(tables), **effect_figures(tables)}
    if "disabled" in tables and tables["disabled"]["head"].is_not_null().any():
        for metric in tables["disabled"]["metric"].unique():
            charts[f"effect_{metric}"] = effect_map(tables["disabled"], metric)
    for measure in ("entropy", "distance"):
        if "heads" in tables and measure in tables["heads"]["measure"]:
            charts[measure] = measure_map(tables["heads"], measure)
    for name, chart in charts.items():
        for suffix in ("svg", "png"):
            save(chart, run / "figures" / f"{name}.{suffix}")
    return run / "figures"


def _headline(rows: pl.DataFrame) -> pl.DataFrame:
    metric, mode = rows["metric"].drop_nulls().first(), rows["mode"].first()
    return rows.filter(pl.col("metric") == metric, pl.col("mode").eq_missing(pl.lit(mode)))


def _together(name: str, panels: list[Any], rows: pl.DataFrame, look: Look) -> "alt.ConcatChart":
    import altair as alt

    marks = f"● corrected p < {SIGNIFICANT}" if marked_rows(rows).height else ""
    subtitle = " · ".join(filter(None, [source(rows), "points", marks]))
    together = alt.concat(*panels, columns=look.columns, spacing=18)
    chart: alt.ConcatChart = headed(
        together.resolve_scale(color="independent", y="independent"), TITLES[name], subtitle, look
    )
    return chart


def _title(rows: pl.DataFrame) -> str:
    return f"{rows['task'][0]}, {label(str(rows['metric'][0]))}"


def _heads(rows: pl.DataFrame, look: Look) -> Any:
    """Layer x head, each panel with a scale of its own."""
    import altair as alt

    limit = nice(max(float(str(rows["delta"].abs().max())), 1e-9))
    cells = panel(
        rows, "delta", _title(rows), [-limit, 0.0, limit], [LOSS, NONE, GAIN], "", cell=look.cell
    )
    dots = (
        alt.Chart(marked_rows(rows).select("layer", "head"))
        .mark_point(filled=True, size=9, color="black", opacity=1, stroke="white", strokeWidth=0.4)
        .encode(cells.encoding.x, cells.encoding.y)
    )
    return alt.layer(cells, dots).properties(title=_title(rows))


def _layers(rows: pl.DataFrame, look: Look) -> Any:
    """A point a layer with its 95% interval over examples, filled where the corrected p is small;
    the line is 0.
    """
    import altair as alt

    given = rows.select(
        "layer", "delta", "low", "high", (pl.col("p_corrected") < SIGNIFICANT).alias("stands")
    )
    layers = list(range(1, int(str(rows["layer"].max())) + 1))
    x = alt.X("layer:O", title="layer", scale=alt.Scale(domain=layers), axis=alt.Axis(labelAngle=0))
    base = alt.Chart(given)
    zero = (
        alt.Chart(pl.DataFrame({"zero": [0.0]}))
        .mark_rule(color="#808080", strokeDash=[3, 3])
        .encode(y="zero:Q")
    )
    spread = base.mark_rule(strokeWidth=1.5, color="#333333").encode(
        x, alt.Y("low:Q", title="change"), alt.Y2("high:Q")
    )
    points = base.mark_point(size=34, color="#333333", opacity=1, strokeWidth=1.2).encode(
        x,
        alt.Y("delta:Q", title="change"),
        fill=alt.condition(alt.datum.stands, alt.value("#333333"), alt.value("white")),
    )
    size = {"width": 1.8 * look.cell * max(6, len(layers)), "height": 11 * look.cell}
    return alt.layer(zero, spread, points).properties(title=_title(rows), **size)
