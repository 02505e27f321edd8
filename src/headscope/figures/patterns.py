"""The paper's figures 1 and 2: a typical map of every class, and the classes' shares."""

from collections.abc import Mapping
from typing import Any

import altair as alt
import numpy as np
import polars as pl
from numpy.typing import NDArray

from headscope.figures.style import DARK_BLUE, PATTERN_COLOURS, SCREEN, Look, headed, source
from headscope.figures.thumbnails import Typical
from headscope.names import AS_GIVEN
from headscope.results.tables import Map

_SMALLEST = 0.04  # of the largest weight: paler cells are not drawn
_MOST = 12_000  # cells of a map that are drawn: the largest weights
_PALE_BLUE = "#f2f6fb"
_CLASSES = list(PATTERN_COLOURS)


def typical_rows(
    patterns: pl.DataFrame, maps: Mapping[str, Map], typical: Typical
) -> pl.DataFrame | None:
    """The weights that figure 1 shows: of every class the typical map of the head with most of it.

    Args:
        patterns: The table of that name; its last state counts.
        maps: The maps that the run keeps, [layer, head, query, key] by their keys.
        typical: Which of these is the typical one of each head.

    Returns:
        A row per weight that is large enough to be seen; None where there is no such head.
    """
    layers, heads = typical.example.shape
    parts = []
    for name, layer, head, share in _largest(patterns).iter_rows():
        if not (1 <= layer <= layers and 1 <= head <= heads):
            continue
        example = int(typical.example[layer - 1, head - 1])
        weights = maps[f"{typical.state}/{example}"][layer - 1, head - 1] / 255
        queries, keys = _drawn_cells(weights)
        columns = {
            "class": name,
            "layer": layer,
            "head": head,
            "share": share,
            "example": example,
            "tokens": len(weights),
            "query": queries + 1,
            "key": keys + 1,
            "weight": weights[queries, keys].round(3),
        }
        parts.append(pl.DataFrame(columns))
    return pl.concat(parts) if parts else None


def _drawn_cells(weights: NDArray[np.floating]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The queries and the keys of the weights that are large enough to be seen."""
    flat = weights.ravel()
    largest = np.sort(np.argsort(-flat, kind="stable")[:_MOST])
    drawn = largest[flat[largest] > _SMALLEST * flat.max()]
    queries, keys = np.unravel_index(drawn, weights.shape)
    return queries, keys


def typical_maps(rows: pl.DataFrame, title: str, look: Look) -> Any:
    """Figure 1: a map per class, of the rows of `typical_rows`."""
    classes = rows.partition_by("class", maintain_order=True)
    panels = [_map(weights, look) for weights in classes]
    columns = look.columns if look.columns > SCREEN.columns else len(_CLASSES)
    chart = alt.concat(*panels, columns=columns, spacing=10)
    chart = chart.resolve_scale(x="independent", y="independent", color="independent")
    subtitle = "the head with the largest share of each class; rows attend, columns are attended to"
    present = rows["class"].unique().to_list()
    if missing := [name for name in _CLASSES if name not in present]:
        verb = "is" if len(missing) == 1 else "are"
        subtitle += f"; {' and '.join(missing)} {verb} most frequent in no head"
    return headed(chart, title, subtitle, look)


def pattern_bars(rows: pl.DataFrame, title: str, look: Look) -> Any:
    """Figure 2: the share of every class in the model ("all") and in its layers, a panel per state.

    Args:
        rows: Of the table `patterns` the counted shares in the model and in its layers.
        title: The title of the figure.
        look: How it looks.
    """
    panels = []
    for state in rows.partition_by("state", maintain_order=True):
        panels.append(_bars(state, look))
    chart = alt.concat(*panels, columns=2, spacing=16)
    return headed(chart, title, f"{source(rows)}, as counted", look)


def _largest(patterns: pl.DataFrame) -> pl.DataFrame:
    """The head with the largest share of every class in the last state: class, layer, head, share;
    in the order of the classes. A class that is the most frequent one of no head has none: its map
    would be typical of another.
    """
    shares = patterns.filter(measure="share").drop_nulls(["layer", "head"])
    return (
        shares.filter(
            pl.col("state") == pl.col("state").last(),
            pl.col("value") > 0,
            pl.col("class").is_in(_CLASSES),
        )
        .sort("value", descending=True, maintain_order=True)
        .filter(pl.col("value") == pl.col("value").max().over("layer", "head"))
        .unique("class", keep="first", maintain_order=True)
        .sort(pl.col("class").cast(pl.Enum(_CLASSES)))
        .select("class", "layer", "head", "value")
    )


def _map(weights: pl.DataFrame, look: Look) -> Any:
    """A map as squares: a weight reaches from its key less 1 to its key, rows from the top down."""
    name, layer, head, share, tokens = weights.select(
        "class", "layer", "head", "share", "tokens"
    ).row(0)
    squares = weights.select(
        "weight",
        x=pl.col("key") - 1,
        x2=pl.col("key"),
        y=pl.col("query") - 1,
        y2=pl.col("query"),
    )
    title = alt.TitleParams(name, subtitle=f"L{layer}H{head}, {share:.0%} of its maps")
    to_the_right = alt.Scale(domain=[0, tokens], nice=False, reverse=False, padding=0)
    downwards = alt.Scale(domain=[0, tokens], nice=False, reverse=True, padding=0)
    largest = max(weights["weight"])
    darkness = alt.Scale(range=[_PALE_BLUE, DARK_BLUE], domain=[0, largest])
    side = 9 * look.cell
    return (
        alt.Chart(squares, title=title)
        .mark_rect(stroke=None)
        .encode(
            alt.X("x:Q", axis=None, scale=to_the_right),
            alt.X2("x2:Q"),
            alt.Y("y:Q", axis=None, scale=downwards),
            alt.Y2("y2:Q"),
            alt.Color("weight:Q", legend=None, scale=darkness),
        )
        .properties(width=side, height=side, view=alt.ViewBackground(fill="white"))
    )


def _bars(shares: pl.DataFrame, look: Look) -> Any:
    bars = shares.select(
        "class",
        "value",
        where=pl.col("layer").cast(pl.String).fill_null("all"),
        order=pl.col("class").replace_strict(_CLASSES, range(len(_CLASSES))),
    )
    where = bars["where"].unique(maintain_order=True).to_list()
    state = str(shares["state"][0])
    colours = alt.Scale(domain=_CLASSES, range=list(PATTERN_COLOURS.values()))
    whole = alt.Scale(domain=[0, 1])
    return (
        alt.Chart(bars, title="" if state == AS_GIVEN else state)
        .mark_bar(stroke="white", strokeWidth=0.5)
        .encode(
            alt.X("where:N", title="layer", sort=where, axis=alt.Axis(labelAngle=0)),
            alt.Y("value:Q", title="share of maps", scale=whole, axis=alt.Axis(format="%")),
            alt.Color("class:N", title=None, scale=colours),
            alt.Order("order:Q"),
        )
        .properties(width=1.5 * look.cell * len(where), height=13 * look.size)
    )
