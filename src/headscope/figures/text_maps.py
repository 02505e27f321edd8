"""The attention maps of one text as heat maps with its tokens at the sides."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
import polars as pl

from headscope.figures.style import DARK_BLUE, GREY, NONE, styled

_CELL, _SMALLEST = 18.0, 4.0
"""The side of a token, in points, in a short text and in a long one."""
_WIDTH = 480.0
_NAMED = 60
"""More tokens than these have no room for their names."""


def map_panels(maps: Mapping[str, np.ndarray], tokens: Sequence[str]) -> Any:
    """A panel per map, each with colours from 0 to its largest weight.

    Args:
        maps: Weights [query, key] by the name of the head.
        tokens: The pieces, [token].
    """
    panels = [_panel(name, weights, tokens) for name, weights in maps.items()]
    chart = alt.concat(*panels, columns=3, spacing=16).resolve_scale(color="independent")
    return styled(panels[0] if len(panels) == 1 else chart)


def _panel(name: str, weights: np.ndarray, tokens: Sequence[str]) -> Any:
    count = len(tokens)
    queries, keys = np.divmod(np.arange(count * count), count)
    # Rounded as saved maps are: what no colour shows need not be in the notebook's file.
    rounded = weights.ravel().round(4).astype(float)
    columns: dict[str, Any] = {"query": queries, "key": keys, "weight": rounded}
    named = [tokens[place] for place in (*queries, *keys)]
    columns |= {"from": named[: count * count], "to": named[count * count :]}
    side = count * max(_SMALLEST, min(_CELL, _WIDTH / count))
    name_of = f"{json.dumps(list(tokens))}[datum.value]"
    axis: dict[str, Any] = {
        "labelExpr": name_of,
        "labels": count <= _NAMED,
        "labelOverlap": False,
        "labelLimit": 80,
    }
    darkness = alt.Scale(range=[NONE, DARK_BLUE], domain=[0, float(weights.max())])
    legend = alt.Legend(title="attention", gradientThickness=10, gradientLength=min(100, side))
    # Altair refuses more than 5,000 rows, which a text of 71 tokens has, unless they are values.
    rows = alt.InlineData(values=pl.DataFrame(columns).to_dicts())
    return (
        alt.Chart(rows, title=name)
        .mark_rect(stroke=GREY, strokeWidth=0 if count > _NAMED else 0.2)
        .encode(
            alt.X("key:O", title=None, axis=alt.Axis(orient="top", labelAngle=-60, **axis)),
            alt.Y("query:O", title=None, axis=alt.Axis(**axis)),
            alt.Color("weight:Q", scale=darkness, legend=legend),
            [alt.Tooltip("from:N"), alt.Tooltip("to:N"), alt.Tooltip("weight:Q", format=".3f")],
        )
        .properties(width=side, height=side)
    )
