"""How charts look: colours, fonts, sizes, titles, and what a measure is called in them.

Colours are safe for colour-blind readers: orange is a loss, blue a gain, white no change.
"""

import json
import math
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from headscope.errors import HeadscopeError
from headscope.names import (
    BLOCK,
    DIAGONAL,
    HETEROGENEOUS,
    SIGNIFICANT,
    VERTICAL,
    VERTICAL_DIAGONAL,
    StyleName,
)
from headscope.stats.metrics import METRICS

ORANGE, WHITE, BLUE = "#d95f02", "#ffffff", "#1f6fb5"
LOSS, NONE, GAIN = ORANGE, WHITE, BLUE
LIGHT_BLUE, DARK_BLUE = "#7fb8dc", "#08306b"
"""What a measure that has no sign darkens to, from white."""
INK, GREY, PALE = "#333333", "#808080", "#d0d0d0"
PATTERN_COLOURS = {
    VERTICAL: "#0072b2",
    DIAGONAL: "#e69f00",
    VERTICAL_DIAGONAL: "#56b4e9",
    BLOCK: "#009e73",
    HETEROGENEOUS: "#bbbbbb",
}
"""The classes of patterns, from bottom to top of a bar."""

_INCH = 72.0
_LETTER = 0.52
"""The mean width of a letter, as a fraction of its size."""
_TIMES = "Liberation Serif, Times New Roman, Times, serif"


@dataclass(frozen=True)
class Look:
    """How charts look. Lengths are in points; on a screen a point is a pixel.

    Attributes:
        font: The families of letters, the first that is there.
        size: The size of letters; titles are a point larger.
        weight: How thick lines are and how wide marks, as a factor.
        cell: The side of a head in charts of many panels.
        columns: How many of these stand side by side.
        rows: The most rows of a plot that has one per set of heads.
        ticks: About how many numbers an axis has; None leaves that to its length.
        titled: Whether the chart says what it is; in a paper the caption does.
        column_width: What figures of one panel are scaled to; None leaves them as they are.
        page_width: The same for figures of several panels.
        page_height: Figures that are scaled are no higher.
        formats: The kinds of files that a figure is saved as.
    """

    font: str = "Liberation Sans, Arial, Helvetica, sans-serif"
    size: float = 11.0
    weight: float = 1.0
    cell: float = 18.0
    columns: int = 3
    rows: int = 40
    ticks: int | None = None
    titled: bool = True
    column_width: float | None = None
    page_width: float | None = None
    page_height: float = math.inf
    formats: tuple[str, ...] = ("svg", "pdf")


SCREEN = Look()
ACL = Look(
    font=_TIMES,
    size=8.0,
    rows=30,
    titled=False,
    column_width=3.03 * _INCH,
    page_width=6.3 * _INCH,
)
SLIDES = Look(
    size=16.0,
    weight=2.0,
    rows=15,
    ticks=4,
    column_width=40 / 3 * _INCH,
    page_width=40 / 3 * _INCH,
    page_height=7.5 * _INCH,
    formats=("svg", "pdf", "png"),
)
STYLES: Mapping[StyleName, Look] = {"plain": SCREEN, "acl": ACL, "slides": SLIDES}
"""All styles; `--style` takes their names."""


def look_of(style: str) -> Look:
    """The look of a style by its name. Raises HeadscopeError for a style that is not known."""
    for name, look in STYLES.items():
        if name == style:
            return look
    raise HeadscopeError(f"--style {style!r} is not known: give one of {', '.join(STYLES)}")


def headed(chart: Any, title: str, subtitle: str, look: Look) -> Any:
    """A chart with its title, where the look has one, and its style."""
    if look.titled and (title or subtitle):
        lines = [subtitle]
        if look.page_width is not None:
            lines = textwrap.wrap(subtitle, int(look.page_width / (_LETTER * look.size)))
        chart = chart.properties(title=heading(title, lines[0] if len(lines) == 1 else lines))
    return styled(chart, look)


def heading(title: str, subtitle: str | list[str]) -> str | dict[str, Any]:
    """A title for a chart, with a subtitle of a line or several where that is not empty."""
    return {"text": title, "subtitle": subtitle} if subtitle else title


def styled(chart: Any, look: Look = SCREEN) -> Any:
    """A chart with the look that all charts share."""
    text = {"labelFontSize": look.size, "titleFontSize": look.size, "titleFontWeight": "normal"}
    title = {"fontSize": look.size + 1, "subtitleFontSize": look.size, "subtitleColor": INK}
    padding = 4 if look.titled else 2
    # Symbols are areas.
    legend = {"symbolSize": (0.7 * look.size) ** 2, "gradientStrokeWidth": 0, "offset": 10}
    chart = (
        chart.configure(background="white", font=look.font, padding=padding, aria=False)
        .configure_view(stroke=GREY, strokeWidth=0.5 * look.weight)
        .configure_axis(**text, domain=False, ticks=False, grid=False)
        .configure_legend(**text, **legend)
        .configure_title(anchor="start", **title, offset=8, frame="group")
    )
    if look.ticks is not None:
        chart = chart.configure_axisQuantitative(tickCount=look.ticks)
    return chart


_LABELS = {
    **{name: metric.title for name, metric in METRICS.items()},
    "entropy": "Entropy",
    "distance": "Attention distance",
    "attention_to_cls": "Attention to [CLS]",
    "attention_to_sep": "Attention to [SEP]",
    "attention_to_special": "Attention to special tokens",
    "same_word_across": "Attention to the same word in the other text",
    "cosine_to_pretrained": "Cosine to the pre-trained map",
}
_SPECIAL = {"cls": "[CLS]", "sep": "[SEP]"}


def label(name: str) -> str:
    """The name of a measure or metric as a reader sees it.

    >>> label("attention_to_cls"), label("attention_to_noun"), label("f1"), label("accuracy")
    ('Attention to [CLS]', 'Attention to noun', 'F1', 'accuracy')
    """
    if name in _LABELS:
        return _LABELS[name]
    if name.startswith("change_in_"):
        return f"Change: {label(name.removeprefix('change_in_'))}"
    words = name.removeprefix("from_").split("_")
    text = " ".join(_SPECIAL.get(word, word) for word in words)
    return text[0].upper() + text[1:] if "_" in name else text


def names_at(names: Sequence[str]) -> str:
    r"""The expression by which an axis with places from 0 shows names.

    >>> print(names_at(["if", "so"]))
    split("\nif\nso", "\n")[datum.value + 1]
    """
    # Vega takes a text that is the name of one of its own functions for that function, so names are
    # parts of one text that begins with what lies between them.
    lines = [re.sub(r"\s", " ", name) for name in names]
    return f'split({json.dumps(chr(10) + chr(10).join(lines))}, "\\n")[datum.value + 1]'


def nice(limit: float) -> float:
    """The end of a colour scale: the next of 1, 2, 5 x 10^k, so that its ticks are round numbers.

    >>> nice(0.3), nice(4.9), nice(0.0)
    (0.5, 5.0, 1.0)
    """
    if limit <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(limit))
    for step in (1.0, 2.0, 5.0):
        if limit <= step * power * (1 + 1e-9):
            return step * power
    return 10.0 * power


def joined(between: str, *parts: str) -> str:
    """The parts that are not empty, with `between` between them."""
    return between.join(filter(None, parts))


def only_value(rows: pl.DataFrame, column: str) -> str:
    """The value of a column that is the same in every row, or an empty text."""
    if column not in rows.columns:
        return ""
    values = rows[column].drop_nulls().unique()
    return str(values[0]) if len(values) == 1 else ""


def source(rows: pl.DataFrame) -> str:
    """Model and task of the rows, where all rows have the same."""
    model = Path(only_value(rows, "model")).name
    return joined(", ", model, only_value(rows, "task"))


def significant(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows whose adjusted p-value is below `SIGNIFICANT`."""
    return rows.filter(pl.col("p_corrected") < SIGNIFICANT)


def note_of(rows: pl.DataFrame) -> str:
    """What the dots of a chart say; where tests found nothing, that."""
    if significant(rows).height:
        return f"● adjusted p < {SIGNIFICANT}"
    return (
        f"none is significant (adjusted p < {SIGNIFICANT})" if rows["p_corrected"].count() else ""
    )


def balanced(panels: int, most: int) -> int:
    """How many of so many panels stand side by side: nearly `most`, and no panel alone in a row.

    >>> balanced(9, 3), balanced(4, 3), balanced(7, 3), balanced(2, 3)
    (3, 2, 4, 2)
    """
    if panels <= most:
        return max(panels, 1)
    for columns in (most, most - 1, most + 1, most + 2):
        if columns > 1 and panels % columns != 1:
            return columns
    return most


def farthest(effects: pl.DataFrame) -> float:
    """The largest change, or the farthest end of an interval, in either direction."""
    known = effects.filter(pl.col("delta").is_finite())
    ends = known.select(pl.col("delta", "low", "high").abs().max()).row(0)
    return max((end for end in ends if end is not None and math.isfinite(end)), default=0.0)
