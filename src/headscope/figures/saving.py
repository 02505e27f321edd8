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
_SMALLEST_CELL, _CELL_STEP, _CELL_STEPS = 3.0, 27 / 64, 64


def save_figures(drawings: Sequence[Drawing], folder: Path, look: Look) -> None:
    """Write figures into `folder`, each as SVG and PDF in a look, and its numbers as CSV.

    Raises:
        HeadscopeError: Where there is no figure.
    """
    if not drawings:
        raise HeadscopeError("the run holds no table that a figure is drawn from")
    for drawing in drawings:
        name = drawing.figure.name
        picture, width = fitted(drawing, look)
        write(picture, folder / f"{name}.svg", width)
        write(picture, folder / f"{name}.pdf", width)
        inert(drawing.numbers).write_csv(folder / f"{name}.csv")


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

    Its cells are chosen so that the figure nearly has this width: scaling changes letters little.
    """
    width = look.page_width if drawing.columns > 1 else look.column_width
    if width is None:
        return drawing.svg(look), None
    looks = []
    for step in range(_CELL_STEPS):
        cell = _SMALLEST_CELL + step * _CELL_STEP
        looks.append(replace(look, cell=cell, columns=drawing.columns))

    def width_in(look: Look) -> float:
        return size_of(drawing.svg(look))[0]

    # A figure grows with its cells: the last look that fits is found by halving.
    fitting = bisect_right(looks, width, lo=1, key=width_in)
    return drawing.svg(looks[fitting - 1]), width


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
