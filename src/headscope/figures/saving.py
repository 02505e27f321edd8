"""Figures as files: for a paper in the style that it asks for, and beside a study."""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from headscope.errors import HeadscopeError
from headscope.figures.catalogue import Drawing
from headscope.figures.heatmaps import effect_map, measure_map
from headscope.figures.rendering import size_of, svg, write
from headscope.figures.style import Look
from headscope.results.tables import Tables

_STUDIED = ("patterns", "change", "heads", "disabled")
_MAPPED = ("entropy", "distance")
_FORMULA = r"^[=+\-@\t\r]"
_SMALLEST_CELL, _CELL_STEP, _CELL_STEPS = 3 / 8, 27 / 512, 64
"""The sides of cells that are tried, in letters."""


def save_figures(drawings: Sequence[Drawing], folder: Path, look: Look) -> None:
    """Write figures into `folder`, each in a look with its numbers as CSV, and what to write below
    them into `captions.txt`.

    Raises:
        HeadscopeError: Where there is no figure.
    """
    if not drawings:
        raise HeadscopeError("the run holds no table that a figure is drawn from")
    captions = []
    for drawing in drawings:
        name = drawing.figure.name
        picture, width = fitted(drawing, look)
        for suffix in look.formats:
            write(picture, folder / f"{name}.{suffix}", width)
        inert(drawing.numbers).write_csv(folder / f"{name}.csv")
        captions.append(f"{name}: {drawing.caption(look)}\n")
    (folder / "captions.txt").write_text("\n".join(captions), encoding="utf-8")


def inert(table: pl.DataFrame) -> pl.DataFrame:
    """A table whose texts no spreadsheet takes for a formula: an apostrophe stands before those
    that look like one, names of columns included. Numbers are left alone.
    """
    texts = pl.col(pl.String)
    is_formula = texts.str.contains(_FORMULA)
    kept = table.with_columns(pl.when(is_formula).then("'" + texts).otherwise(texts).name.keep())
    return kept.rename({name: f"'{name}" for name in table.columns if re.match(_FORMULA, name)})


def fitted(drawing: Drawing, look: Look) -> tuple[str, float | None]:
    """A figure as SVG and the width to scale it to, in points; None where the look asks for none.

    Its cells are chosen so that the figure nearly has this width, or as much of it as its height
    allows: scaling changes letters little.
    """
    width = look.page_width if drawing.columns > 1 else look.column_width
    if width is None:
        return drawing.svg(look), None
    looks = []
    for step in range(_CELL_STEPS):
        cell = look.size * (_SMALLEST_CELL + step * _CELL_STEP)
        looks.append(replace(look, cell=cell, columns=drawing.columns))

    def share_of_room(look: Look) -> float:
        drawn, height = size_of(drawing.svg(look))
        return max(drawn / width, height / look.page_height)

    # A figure grows with its cells: the last look that fits is found by halving.
    fitting = bisect_right(looks, 1.0, lo=1, key=share_of_room)
    picture = drawing.svg(looks[fitting - 1])
    drawn, height = size_of(picture)
    return picture, min(width, drawn * look.page_height / height)


def save_charts(drawings: Sequence[Drawing], tables: Tables, folder: Path) -> None:
    """Write the figures of a study into `folder` as SVG and PNG, with heat maps of single measures
    and of each metric's effects.
    """
    pictures = {
        drawing.figure.name: drawing.svg()
        for drawing in drawings
        if drawing.figure.table in _STUDIED
    }
    for name, chart in _single_maps(tables):
        pictures[name] = svg(chart)
    for name, picture in pictures.items():
        write(picture, folder / f"{name}.svg")
        write(picture, folder / f"{name}.png")


def _single_maps(tables: Tables) -> Iterator[tuple[str, Any]]:
    if "disabled" in tables and tables["disabled"]["head"].is_not_null().any():
        for metric in tables["disabled"]["metric"].drop_nulls().unique():
            # A metric's name comes from a file.
            name = re.sub(r"[^A-Za-z0-9_-]", "_", metric)[:100]
            yield f"effect_{name}", effect_map(tables["disabled"], metric)
    for measure in _MAPPED:
        if "heads" in tables and measure in tables["heads"]["measure"]:
            yield measure, measure_map(tables["heads"], measure)
