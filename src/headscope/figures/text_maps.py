"""The attention maps of one text as heat maps with its tokens at the sides."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import polars as pl

from headscope.axes import Heads, check_inside, head_set
from headscope.errors import HeadscopeError
from headscope.figures.heatmaps import Scale
from headscope.figures.style import GREY, SCREEN, Look, balanced, headed, joined, names_at
from headscope.figures.thumbnails import STATES, by_example
from headscope.names import AFTER, BEFORE
from headscope.results.tables import Map

_SIDE = 26.0
"""The side of a map, in cells of a look."""
_WIDEST, _NARROWEST = 3.0, 0.6
"""A token takes at most so many letters' heights; on less there is no room for its name."""
_MOST_CELLS = 100_000
"""A figure of more weights is slow to open, and shows less than one of fewer."""
_STATES = {AFTER: "after fine-tuning", BEFORE: "before fine-tuning"}


def kept_map_rows(
    maps: Mapping[str, Map], examples: pl.DataFrame, heads: Heads, example: int | None
) -> pl.DataFrame:
    """The weights of some heads on one of the examples that a run keeps.

    Args:
        maps: Maps [layer, head, query, key] in 255ths by `state/example`.
        examples: The table of that name.
        heads: The heads, counted from 1.
        example: The number of the example; None for the shortest of those that are kept.

    Returns:
        A row per head, query and key, with the columns of `map_rows`, the state and the example.

    Raises:
        HeadscopeError: No map is kept, or none of this example; the model has no such head; or
            there are more weights than a figure has room for.
    """
    kept, tokens = _kept(maps, examples)
    if not kept:
        raise HeadscopeError(
            "the run keeps no maps of examples: give a run of study, measure or compare"
        )
    if example is None:
        example = min(kept, key=lambda number: len(tokens[number]))
    if example not in kept:
        raise HeadscopeError(
            f"the run keeps no map of example {example}: give one of "
            f"{', '.join(map(str, sorted(kept)))}"
        )
    of_example = maps[kept[example]]
    chosen = sorted(head_set(heads))
    check_inside(chosen, *of_example.shape[:2])
    count = len(tokens[example])
    if len(chosen) * count**2 > _MOST_CELLS:
        raise HeadscopeError(
            f"the maps of {len(chosen)} heads on the {count} tokens of example {example} hold "
            f"{len(chosen) * count**2:,} weights, and a figure has room for {_MOST_CELLS:,}: name "
            "fewer heads, or a shorter example"
        )
    named = {str(head): of_example[head.index] / 255 for head in chosen}
    rows = map_rows(named, tokens[example])
    state = kept[example].split("/")[0]
    return rows.with_columns(state=pl.lit(state), example=pl.lit(example))


def _kept(
    maps: Mapping[str, Map], examples: pl.DataFrame
) -> tuple[dict[int, str], dict[int, list[str]]]:
    """The key of the map and the tokens of every example that has both, in the first state of
    which maps are kept.
    """
    tokens: dict[int, list[str]] = dict(examples.select("example", "tokens").iter_rows())
    for state in STATES:
        keys = by_example(maps, state)
        known = {number: key for number, key in keys.items() if tokens.get(number)}
        if known:
            return known, tokens
    return {}, tokens


def map_rows(maps: Mapping[str, np.ndarray], tokens: Sequence[str]) -> pl.DataFrame:
    """Maps as rows.

    Args:
        maps: Weights [query, key] by the name of the head.
        tokens: The pieces, [token].

    Returns:
        A row per head, query and key: `query` and `key` are places counted from 1, `from` and `to`
        their tokens, `weight` is a fraction of mass.

    Raises:
        HeadscopeError: There is not one token for each row and column of a map.
    """
    count = len(tokens)
    if any(weights.shape != (count, count) for weights in maps.values()):
        raise HeadscopeError(
            f"the maps do not have the {count} tokens of their example: the run's folder is damaged"
        )
    queries, keys = np.divmod(np.arange(count * count), count)
    names = np.array(tokens, dtype=object)
    parts = []
    for head, weights in maps.items():
        # Rounded as saved maps are: what no colour shows need not be in a notebook's file.
        columns = {
            "head": [head] * count**2,
            "query": queries + 1,
            "key": keys + 1,
            "from": names[queries].tolist(),
            "to": names[keys].tolist(),
            "weight": weights.ravel().round(4).astype(float),
        }
        parts.append(pl.DataFrame(columns))
    return pl.concat(parts)


def map_panels(rows: pl.DataFrame, title: str = "", look: Look = SCREEN) -> Any:
    """A panel per head, each with colours from 0 to its largest weight.

    Args:
        rows: The rows of `map_rows`, or of `kept_map_rows` with model and task.
        title: The title of the figure; empty where panels alone are shown.
        look: How it looks.
    """
    panels = [_panel(of_head, look) for of_head in rows.partition_by("head", maintain_order=True)]
    columns = balanced(len(panels), look.columns)
    chart = alt.concat(*panels, columns=columns, spacing=16).resolve_scale(color="independent")
    return headed(panels[0] if len(panels) == 1 and not title else chart, title, _about(rows), look)


def _about(rows: pl.DataFrame) -> str:
    """Model, task, example and state of the rows, as far as they say."""
    if "example" not in rows.columns:
        return ""
    model, task, state, example = rows.select("model", "task", "state", "example").row(0)
    parts = (
        joined(", ", Path(model or "").name, task or ""),
        _STATES.get(state, ""),
        f"example {example}",
        "rows attend to columns",
        "" if rows["head"].n_unique() == 1 else "each from 0 to its largest weight",
    )
    return joined(" · ", *parts)


def _panel(rows: pl.DataFrame, look: Look) -> Any:
    first = rows.filter(query=1).sort("key")
    tokens, count = first["to"].to_list(), first.height
    side = min(_SIDE * look.cell, _WIDEST * look.size * count)
    cell = side / count
    is_named = cell >= _NARROWEST * look.size
    axis: dict[str, Any] = {
        "labelExpr": names_at(["", *tokens]),
        "labels": is_named,
        "labelOverlap": False,
        "labelLimit": 8 * look.size,
        "labelFontSize": min(look.size, cell),
    }
    if not is_named:
        axis["title"] = f"{count} tokens"
    darkness = Scale.between(0.0, max(rows["weight"]))
    legend = alt.Legend(
        title="attention",
        gradientThickness=0.9 * look.size,
        gradientLength=min(9 * look.size, side),
        values=list(darkness.ticks),
        format=".2~g",
    )
    # Altair refuses more than 5,000 rows, which a text of 71 tokens has, unless they are values.
    drawn = rows.select("query", "key", "from", "to", "weight").to_dicts()
    return (
        alt.Chart(alt.InlineData(values=drawn), title=rows["head"][0])
        .mark_rect(stroke=GREY, strokeWidth=0.2 if is_named else 0)
        .encode(
            alt.X("key:O", title=None, axis=alt.Axis(orient="top", labelAngle=-60, **axis)),
            alt.Y("query:O", title=None, axis=alt.Axis(**axis)),
            alt.Color("weight:Q", scale=darkness.of_colours, legend=legend),
            [alt.Tooltip("from:N"), alt.Tooltip("to:N"), alt.Tooltip("weight:Q", format=".3f")],
        )
        .properties(width=side, height=side)
    )
