"""The paper's figures of a run, each with the rows that it shows and the paper's numbers beside.

`drawings` gives them for the page, `save_figures` as SVG, PDF and CSV for a paper.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from headscope.errors import HeadscopeError
from headscope.figures.effects import TITLES, effect_figures
from headscope.figures.heatmaps import (
    FIGURES,
    SCREEN,
    Look,
    headed,
    label,
    paper_figure,
    save,
    size_of,
    svg,
)
from headscope.figures.thumbnails import Typical
from headscope.reference import reference
from headscope.results.numbers import number
from headscope.results.tables import Map, Tables

if TYPE_CHECKING:
    import altair as alt

_POINTS = 72  # an inch
_ACL = {"column": 3.03 * _POINTS, "page": 6.3 * _POINTS}
"""The widths of ACL's style, in points: a column, and the whole page."""
_TIMES = "Liberation Serif, Times New Roman, Times, serif"
STYLES = {"plain": SCREEN, "acl": Look(font=_TIMES, size=8.0, titled=False)}
_CLASSES = ("vertical", "diagonal", "vertical+diagonal", "block", "heterogeneous")
_TYPICAL, _SCORES = "Typical maps of the patterns", "Scores"
_SMALLEST = 0.04  # of the largest weight: paler cells are not drawn


@dataclass(frozen=True)
class Drawing:
    """A figure: `draw(look)` makes the chart; `where` says which rows of `table` it shows, a list
    of values a column.

    `beside` says in a sentence what the paper has there.
    """

    name: str
    title: str
    draw: Callable[[Look], Any] = field(repr=False)
    table: str
    where: Mapping[str, list[Any]] = field(default_factory=dict)
    beside: str = ""
    columns: int = 3

    @property
    def number(self) -> str:
        """Which of the paper's figures it is, as in "Figure 6"."""
        return re.sub(r"^(figure|table)(\d).*", lambda m: f"{m[1].capitalize()} {m[2]}", self.name)


def drawings(
    tables: Tables, maps: Mapping[str, Map], small: Typical | None
) -> tuple[list[Drawing], Tables]:
    """Every figure that a run gives, in the paper's order, and the tables that only they show."""
    found: list[Drawing] = []
    extra: dict[str, pl.DataFrame] = {}
    if (rows := typical_rows(tables, maps, small)) is not None:
        extra["typical"] = rows
        found.append(
            Drawing("figure1_typical", _TYPICAL, partial(_typical, rows), "typical", columns=5)
        )
    if "scores" in tables and tables["scores"]["value"].is_not_null().any():
        extra["table1"] = score_rows(tables["scores"])
        found.append(
            Drawing(
                "table1_scores", _SCORES, partial(_scores, extra["table1"]), "table1", columns=1
            )
        )
    for name, (title, table, measures) in FIGURES.items():
        if paper_figure(name, tables) is None:
            continue
        where: dict[str, list[Any]] = {"measure": list(measures)}
        columns = min(3, len(set(tables[table]["measure"]) & set(measures)))
        if not measures:
            where, columns = {"measure": ["share"], "head": [None]}, 2
        draw = partial(paper_figure, name, tables)
        found.append(Drawing(name, title, draw, table, where, _beside(name, tables), columns))
    for name in effect_figures(tables):
        rows = tables["disabled"].filter(pl.col("layer").is_not_null())
        heads = [
            h
            for h in rows["head"].unique(maintain_order=True)
            if (h is None) == (name == "figure9_layers")
        ]
        draw = partial(_effects, name, tables)
        columns = min(3, rows["task"].n_unique())
        found.append(
            Drawing(
                name,
                TITLES[name],
                draw,
                "disabled",
                {"head": heads},
                _beside(name, tables),
                columns,
            )
        )
    return sorted(found, key=lambda one: ("table" in one.name, one.name)), extra


def _effects(name: str, tables: Tables, look: Look) -> Any:
    return effect_figures(tables, look)[name]


def picture(drawing: Drawing) -> str:
    """A figure as SVG for the page. Where the reader's system asks for dark, texts and lines turn
    light.
    """
    dark = (
        "@media (prefers-color-scheme:dark){svg>rect:first-of-type{fill:none}text{fill:#eee}"
        '[stroke="#333333"],[stroke="#111111"]{stroke:#ddd}[fill="#333333"],[fill="#111111"]{fill:#ddd}'
        '[stroke="#808080"]{stroke:#999}}'
    )
    text = re.sub(r"<path[^>]*>", _shorter, svg(drawing.draw(SCREEN)))
    start = text.index(">") + 1
    return f"{text[:start]}<style>.c{{stroke:#d0d0d0;stroke-width:.5}}{dark}</style>{text[start:]}"


def _shorter(path: re.Match[str]) -> str:
    """A path with what repeats said once: the line of a cell by its class, colours in hexadecimal,
    two decimals.
    """
    text = path[0].replace(' stroke="#d0d0d0" stroke-width="0.5"', ' class="c"')
    text = re.sub(
        r"rgb\((\d+), (\d+), (\d+)\)",
        lambda m: "#" + "".join(f"{int(v):02x}" for v in m.groups()),
        text,
    )
    return re.sub(r"(\.\d\d)\d+", r"\1", text)


def save_figures(
    tables: Tables, maps: Mapping[str, Map], small: Typical | None, folder: Path, style: str
) -> list[Path]:
    """Every figure of a run into `folder` as SVG, PDF and CSV, with the sizes and fonts of a style
    of `STYLES`.

    Raises HeadscopeError for a style that is not known, or where there is no figure.
    """
    if style not in STYLES:
        raise HeadscopeError(f"--style {style!r} is not known: give one of {', '.join(STYLES)}")
    found, extra = drawings(tables, maps, small)
    if not found:
        raise HeadscopeError("the run holds no table that a figure is drawn from")
    written = []
    for drawing in found:
        chart, width = fitted(drawing, style)
        for suffix in ("svg", "pdf"):
            written.append(save(chart, folder / f"{drawing.name}.{suffix}", width))
        rows = {**tables, **extra}[drawing.table]
        for column, values in drawing.where.items():
            rows = rows.filter(pl.col(column).is_in(values, nulls_equal=True))
        path = folder / f"{drawing.name}.csv"
        rows.write_csv(path)
        written.append(path)
    return written


def fitted(drawing: Drawing, style: str) -> tuple[Any, float | None]:
    """The chart in a style, and the width to scale it to; the cells are chosen so that this changes
    fonts little.
    """
    look = STYLES[style]
    if style == "plain":
        return drawing.draw(look), None
    wide = drawing.columns > 1
    target = _ACL["page" if wide else "column"]
    low, high = 3.0, 30.0
    for _ in range(6):  # the width grows with the cell
        middle = (low + high) / 2
        own, _height = size_of(svg(drawing.draw(_with(look, middle, drawing.columns))))
        low, high = (middle, high) if own <= target else (low, middle)
    return drawing.draw(_with(look, low, drawing.columns)), target


def _with(look: Look, cell: float, columns: int) -> Look:
    return replace(look, cell=cell, columns=columns)


# ---- figure 1


def typical_rows(
    tables: Tables, maps: Mapping[str, Map], small: Typical | None
) -> pl.DataFrame | None:
    """Figure 1's rows: of every class the typical map of the head that has most of it, a row per
    weight that shows.
    """
    if small is None or "patterns" not in tables:
        return None
    shares = tables["patterns"].filter(pl.col("measure") == "share", pl.col("head").is_not_null())
    if not shares.height:
        return None
    state = shares["state"].last()
    parts = []
    for name in _CLASSES:
        own = shares.filter(
            pl.col("class") == name, pl.col("state") == state, pl.col("value") > 0
        ).sort("value", descending=True, maintain_order=True)
        if not own.height:
            continue
        row = own.row(0, named=True)
        layer, head = row["layer"] - 1, row["head"] - 1
        if not (0 <= layer < small.example.shape[0] and 0 <= head < small.example.shape[1]):
            continue
        example = int(small.example[layer, head])
        weights = maps[f"{small.state}/{example}"][layer, head] / 255
        queries, keys = (weights > _SMALLEST * weights.max()).nonzero()
        parts.append(
            pl.DataFrame(
                {
                    "class": name,
                    "layer": layer + 1,
                    "head": head + 1,
                    "share": row["value"],
                    "example": example,
                    "tokens": len(weights),
                    "query": queries + 1,
                    "key": keys + 1,
                    "weight": weights[queries, keys].round(3),
                }
            )
        )
    return pl.concat(parts) if parts else None


def _typical(rows: pl.DataFrame, look: Look) -> Any:
    import altair as alt

    panels = []
    side = 9 * look.cell
    for own in rows.partition_by("class", maintain_order=True):
        first, n = own.row(0, named=True), int(own["tokens"][0])
        at = [
            alt.Scale(domain=[0, n], nice=False, reverse=reverse, padding=0)
            for reverse in (False, True)
        ]
        none: Any = None
        edges = own.select(
            "weight",
            x=pl.col("key") - 1,
            x2=pl.col("key"),
            y=pl.col("query") - 1,
            y2=pl.col("query"),
        )
        panels.append(
            alt.Chart(
                edges,
                title=alt.TitleParams(
                    first["class"], subtitle=f"L{first['layer']}H{first['head']}, {n} tokens"
                ),
            )
            .mark_rect(stroke=none)
            .encode(
                alt.X("x:Q", axis=none, scale=at[0]),
                alt.X2("x2:Q"),
                alt.Y("y:Q", axis=none, scale=at[1]),
                alt.Y2("y2:Q"),
                alt.Color(
                    "weight:Q",
                    legend=none,
                    scale=alt.Scale(
                        range=["#f2f6fb", "#08306b"], domain=[0, float(str(own["weight"].max()))]
                    ),
                ),
            )
            .properties(width=side, height=side, view=alt.ViewBackground(fill="white"))
        )
    together = alt.concat(*panels, columns=look.columns if look.columns > 3 else 5, spacing=10)
    subtitle = "the head with the largest share of each class; rows attend, columns are attended to"
    together = together.resolve_scale(x="independent", y="independent", color="independent")
    return headed(together, _TYPICAL, subtitle, look)


# ---- table 1


def score_rows(scores: pl.DataFrame) -> pl.DataFrame:
    """The scores with the paper's beside: of bert-base-uncased, so comparable with that model
    alone.
    """
    published = reference("scores")

    def told(row: Mapping[str, Any]) -> float | None:
        metric = "correlation" if row["metric"] in ("spearman", "pearson") else row["metric"]
        value = published.get(row["configuration"], {}).get(row["task"], {}).get(metric)
        return None if value is None else float(value)

    rows = scores.filter(pl.col("value").is_not_null())
    paper = pl.Series("paper", [told(row) for row in rows.iter_rows(named=True)], dtype=pl.Float64)
    return rows.with_columns(paper)


_SHORT = {"pretrained + fine-tuned": "fine-tuned", "pretrained, no fine-tuning": "not fine-tuned"}


def _scores(rows: pl.DataFrame, look: Look) -> "alt.LayerChart":
    import altair as alt

    parts = rows.select("task", "metric", "configuration").iter_rows()
    what = [
        f"{task or ''} {label(metric or '')} {_SHORT.get(name, name)}".strip()
        for task, metric, name in parts
    ]
    named = rows.select(
        "value", "low", "high", "majority", "paper", what=pl.Series(what, dtype=pl.String)
    )
    y = alt.Y("what:N", title=None, sort=None, axis=alt.Axis(labelLimit=260))
    ends = [
        v
        for c in ("low", "value", "majority", "paper", "high")
        for v in named[c].drop_nulls().to_list()
    ]
    span = (
        [min(0.0, *ends), max(100.0, *ends)]
        if rows["unit"].eq("points").all()
        else [min(ends), max(ends)]
    )
    scale = alt.Scale(domain=span, nice=False)
    base = alt.Chart(named)
    spread = base.mark_rule(strokeWidth=1.5, color="#333333").encode(
        y, alt.X("low:Q", title="score", scale=scale), alt.X2("high:Q")
    )
    point = base.mark_point(size=30, filled=True, opacity=1, color="#333333").encode(
        y, alt.X("value:Q", title="score")
    )
    lines = base.mark_tick(color="#d95f02", thickness=1.5, size=10).encode(
        y, alt.X("majority:Q", title="score")
    )
    layers = [spread, lines, point]
    told = named.filter(pl.col("paper").is_not_null())
    if told.height:
        shape: dict[str, Any] = {
            "shape": "diamond",
            "size": 45,
            "filled": False,
            "opacity": 1,
            "color": "#1f6fb5",
            "strokeWidth": 1.4,
        }
        layers.append(
            alt.Chart(told).mark_point(**shape).encode(y, alt.X("paper:Q", title="score"))
        )
    chart = alt.layer(*layers).properties(width=18 * look.cell, height=max(30, 16 * named.height))
    subtitle = "dot: score with its 95% interval; orange: majority class"
    subtitle += "; blue: the paper’s" if told.height else ""
    styled: alt.LayerChart = headed(chart, _SCORES, subtitle, look)
    return styled


# ---- what the paper has there


def _beside(name: str, tables: Tables) -> str:
    """The paper's number for a figure, in a sentence; it is bert-base-uncased's."""
    if name == "figure2_patterns":
        rows = tables["patterns"].filter(
            pl.col("layer").is_null(),
            pl.col("class") == "heterogeneous",
            pl.col("measure") == "share_corrected",
        )
        own = [f"{100 * v:.0f}%" for v in rows["value"].drop_nulls()]
        known = reference("heterogeneous")
        said = f"heterogeneous {known['mrpc']}% (MRPC) to {known['qqp']}% (QQP)"
        return f"{_ours(own, ' then ', 'heterogeneous ')}The paper: {said} of all maps."
    if name == "figure3_frames":
        rows = tables["relations"].filter(
            pl.col("measure") == "score", pl.col("value").is_not_null()
        )
        top = rows.sort("value", descending=True, maintain_order=True).head(2).iter_rows(named=True)
        own = [f"L{row['layer']}H{row['head']} {number(row['value'])}" for row in top]
        grid = reference("framenet")["layers"]
        heads = sorted(
            ((v, f"L{i}H{j}") for i, line in enumerate(grid, 1) for j, v in enumerate(line, 1)),
            reverse=True,
        )
        largest = " and ".join(f"{head} {number(value)}" for value, head in heads[:2])
        return f"{_ours(own, ' and ', 'largest in ')}The paper, on FrameNet: {largest}."
    if name == "figure5_cosine":
        rows = tables["change"].filter(
            pl.col("measure") == "cosine_to_pretrained", pl.col("value").is_not_null()
        )
        means = rows.group_by("layer").agg(pl.col("value").mean()).sort("layer")["value"].to_list()
        layers = reference("cosine_qqp")["layers"]
        own = [number(v) for v in (means[:1] + means[-1:])]
        first, last = (number(sum(layers[i]) / len(layers[i])) for i in (0, -1))
        return f"{_ours(own, ' to ', 'mean of a layer from first to last ')}The paper, on QQP: {first} to {last}."
    if name == "figure8_heads":
        best = reference("disabled_best")
        told = [
            f"{task} {best[task]['baseline']} to {best[task]['best']}"
            for task in tables["disabled"]["task"].drop_nulls().unique(maintain_order=True)
            if isinstance(best.get(task), dict)
        ]
        return (
            f"The paper’s best head, from the whole model’s score: {', '.join(told)}."
            if told
            else ""
        )
    if name == "figure9_layers" and "rte" in tables["disabled"]["task"]:
        told_layer = reference("disabled_layer")["rte"]
        return f"The paper, on RTE: disabling layer {told_layer['layer']} gains {told_layer['gain']} points."
    return ""


def _ours(values: list[str], between: str, what: str) -> str:
    return f"Here: {what}{between.join(values)}. " if values else ""
