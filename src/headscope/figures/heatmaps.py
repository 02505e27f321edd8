"""Charts from tables: layer x head heat maps fit for a paper, and their saving as SVG, PNG or PDF.

A chart only selects and formats what a table of the run folder holds. Colours are safe for
colour-blind readers: orange is a loss, blue a gain, white no change. Altair is imported when the
first chart is asked for.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from headscope.errors import HeadscopeError, unknown
from headscope.names import SIGNIFICANT

if TYPE_CHECKING:
    import altair as alt


LOSS, NONE, GAIN, MUCH = "#d95f02", "#ffffff", "#1f6fb5", "#08306b"
_CELL = 20.0  # pixels a cell: 12 x 12 heads fill a column of a two-column paper


@dataclass(frozen=True)
class Look:
    """How charts look: sizes in points (of a screen: pixels). `cell` is the side of a head in
    charts of many panels.

    `titled`: the chart says what it is; in a paper the caption does.
    """

    font: str = "Liberation Sans, Arial, Helvetica, sans-serif"
    size: float = 9.0
    cell: float = 12.0
    columns: int = 3
    titled: bool = True


SCREEN = Look()
_LABELS = {
    "f1": "F1",
    "entropy": "Entropy",
    "distance": "Attention distance",
    "attention_to_cls": "Attention to [CLS]",
    "attention_to_sep": "Attention to [SEP]",
    "same_word_across": "Attention to the same word in the other text",
    "cosine_to_pretrained": "Cosine to the pre-trained map",
}


def label(name: str) -> str:
    """The name of a measure or metric as a reader sees it.

    >>> label("attention_to_cls"), label("attention_to_noun"), label("f1"), label("accuracy")
    ('Attention to [CLS]', 'Attention to noun', 'F1', 'accuracy')
    """
    if name in _LABELS:
        return _LABELS[name]
    if name.startswith("change_in_"):
        return f"Change: {label(name.removeprefix('change_in_'))}"
    words = " ".join(
        {"cls": "[CLS]", "sep": "[SEP]"}.get(part, part)
        for part in name.removeprefix("from_").split("_")
    )
    return words[0].upper() + words[1:] if "_" in name else words


def effect_map(disabled: pl.DataFrame, metric: str, mode: str | None = None) -> "alt.LayerChart":
    """Layer x head: the change of `metric` in points when that head alone is disabled (the paper's
    figure 8).

    `disabled` is the table of that name. A dot marks a corrected p below 0.05. `mode` is needed
    only where the table holds several. Raises HeadscopeError for an unknown metric, or when a head
    has more than one row.
    """
    rows = disabled.filter(pl.col("layer").is_not_null() & pl.col("head").is_not_null())
    rows = chosen(rows, "metric", metric)
    if mode is not None:
        rows = chosen(rows, "mode", mode)
    limit = nice(
        max((abs(v) for v in rows["delta"].drop_nulls().to_list() if math.isfinite(v)), default=0.0)
    )
    unit = _one(rows, "unit")
    marked = marked_rows(rows)
    return _grid(
        rows,
        value="delta",
        title=f"Effect of disabling a head: {label(metric)}",
        subtitle=" · ".join(
            filter(None, [source(rows), f"● corrected p < {SIGNIFICANT}" if marked.height else ""])
        ),
        legend=f"change, {unit}" if unit else "change",
        domain=[-limit, 0.0, limit],
        colours=[LOSS, NONE, GAIN],
        dots=marked,
    )


def measure_map(heads: pl.DataFrame, measure: str) -> "alt.LayerChart":
    """Layer x head: the value of one measure. Raises HeadscopeError for an unknown one, or several
    rows a head.
    """
    rows = chosen(heads, "measure", measure)
    values = [v for v in rows["value"].drop_nulls().to_list() if math.isfinite(v)]
    unit = _one(rows, "unit")
    return _grid(
        rows,
        value="value",
        title=label(measure),
        subtitle=source(rows),
        legend=unit or label(measure),
        domain=[min(0.0, min(values, default=0.0)), nice(max(values, default=0.0))],
        colours=[NONE, "#7fb8dc", MUCH],
        dots=rows.clear(),
    )


_FEATURES = (
    "cls",
    "sep",
    "noun",
    "verb",
    "pronoun",
    "subject",
    "object",
    "negation",
    "punctuation",
)
_TO_FEATURES = tuple(f"attention_to_{name}" for name in _FEATURES)
_RELATIONS = (
    "verb_to_subject",
    "subject_to_verb",
    "noun_to_pronoun",
    "pronoun_to_noun",
    "same_word_across",
)
FIGURES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "figure2_patterns": ("Patterns of attention maps", "patterns", ()),
    "figure3_frames": (
        "Attention between a predicate and its frame elements",
        "relations",
        ("score",),
    ),
    "figure5_cosine": (
        "Cosine of the maps before and after fine-tuning",
        "change",
        ("cosine_to_pretrained",),
    ),
    "figure6_features": ("Attention to linguistic features", "heads", _TO_FEATURES),
    "figure6_change": (
        "Change by fine-tuning in attention to linguistic features",
        "change",
        _TO_FEATURES,
    ),
    "figure7_relations": ("Attention from token to token", "heads", _RELATIONS),
    "figure7_relations_excess": (
        "The same, less another pair at the same distance (or another word of the other text)",
        "heads",
        tuple(f"{name}_excess" for name in _RELATIONS),
    ),
    "figure7_cls_row": (
        "Attention of [CLS]",
        "heads",
        tuple(f"from_cls_to_{name}" for name in _FEATURES),
    ),
}
"""The paper's figures of measures: title, the table that they come from, and the measures of their
panels.
"""


def paper_figure(
    name: str, tables: Mapping[str, pl.DataFrame], look: Look = SCREEN
) -> "alt.ConcatChart | None":
    """One of `FIGURES` from the tables of a run: a panel with its own scale per measure; None if
    nothing is there.
    """
    import altair as alt

    title, table, measures = FIGURES[name]
    if table not in tables:
        return None
    if table == "patterns":
        return _pattern_bars(tables[table], title, look)
    rows = tables[table].filter(pl.col("measure").is_in(measures), pl.col("value").is_not_null())
    there = [m for m in measures if m in rows["measure"].to_list()]
    if not there:
        return None
    panels = []
    for measure in there:
        own = rows.filter(measure=measure)
        lowest, highest = (float(str(v)) for v in (own["value"].min(), own["value"].max()))
        limit = nice(max(-lowest, highest))
        # A panel has a scale of its own: attention to [CLS] would leave every other class white.
        domain, colours = [0.0, limit], [NONE, "#7fb8dc", MUCH]
        if lowest < 0:
            domain, colours = [-limit, 0.0, limit], [LOSS, NONE, GAIN]
        for part in (
            own.partition_by("relation", maintain_order=True) if table == "relations" else [own]
        ):
            named = label(part["relation"][0]) if table == "relations" else label(measure)
            panels.append(panel(part, "value", named, domain, colours, "", cell=look.cell))
    subtitle = ", ".join(filter(None, [source(rows), _one(rows, "unit")]))
    together = alt.concat(*panels, columns=look.columns, spacing=16).resolve_scale(
        color="independent"
    )
    chart: alt.ConcatChart = headed(together, title, subtitle, look)
    return chart


PATTERN_COLOURS = {
    "vertical": "#0072b2",
    "diagonal": "#e69f00",
    "vertical+diagonal": "#56b4e9",
    "block": "#009e73",
    "heterogeneous": "#bbbbbb",
}
"""The classes of patterns, from bottom to top of a bar, in colours that colour-blind readers tell
apart.
"""


def _pattern_bars(patterns: pl.DataFrame, title: str, look: Look) -> "alt.ConcatChart | None":
    """The counted share of every pattern in the model ("all") and its layers, a panel per state
    (figure 2).
    """
    import altair as alt

    rows = patterns.filter(pl.col("measure") == "share", pl.col("head").is_null())
    panels = []
    for state in rows["state"].unique(maintain_order=True):
        own = rows.filter(state=state).with_columns(
            pl.col("layer").cast(pl.String).fill_null("all").alias("where"),
            pl.col("class")
            .replace_strict({c: i for i, c in enumerate(PATTERN_COLOURS)})
            .alias("order"),
        )
        where = own["where"].unique(maintain_order=True).to_list()
        panels.append(
            alt.Chart(
                own.select("where", "class", "value", "order"),
                title="" if state == "as given" else str(state),
            )
            .mark_bar(stroke="white", strokeWidth=0.5)
            .encode(
                alt.X("where:N", title="layer", sort=where, axis=alt.Axis(labelAngle=0)),
                alt.Y(
                    "value:Q",
                    title="share of maps",
                    scale=alt.Scale(domain=[0, 1]),
                    axis=alt.Axis(format="%"),
                ),
                alt.Color(
                    "class:N",
                    title=None,
                    scale=alt.Scale(
                        domain=list(PATTERN_COLOURS), range=list(PATTERN_COLOURS.values())
                    ),
                ),
                alt.Order("order:Q"),
            )
            .properties(width=1.5 * look.cell * len(where), height=140)
        )
    if not panels:
        return None
    together = alt.concat(*panels, columns=2, spacing=16)
    chart: alt.ConcatChart = headed(together, title, f"{source(rows)}, as counted", look)
    return chart


def headed(chart: Any, title: str, subtitle: str, look: Look) -> Any:
    """A chart with its title, where the look has one, and its style."""
    import altair as alt

    if look.titled:
        chart = chart.properties(
            title=alt.TitleParams(title, subtitle=subtitle) if subtitle else title
        )
    return styled(chart, look)


def paper_figures(
    tables: Mapping[str, pl.DataFrame], look: Look = SCREEN
) -> dict[str, "alt.ConcatChart"]:
    """Every figure of `FIGURES` that the tables give."""
    charts = {name: paper_figure(name, tables, look) for name in FIGURES}
    return {name: chart for name, chart in charts.items() if chart is not None}


def svg(chart: Any) -> str:
    """A chart as SVG, offline."""
    import vl_convert as vlc

    return str(vlc.vegalite_to_svg(chart.to_json(indent=None)))


def save(
    chart: "alt.Chart | alt.LayerChart | alt.ConcatChart", path: Path, width: float | None = None
) -> Path:
    """Write a chart as `.svg`, `.pdf` or `.png` (300 dots an inch), by the suffix of `path`;
    offline.

    width: scale an SVG or PDF to so many points. Raises HeadscopeError for another suffix.
    """
    import vl_convert as vlc

    path = Path(path)
    spec = chart.to_json(indent=None)
    match path.suffix.lower():
        case ".svg":
            content = (svg(chart) if width is None else _scaled(svg(chart), width)).encode()
        case ".pdf":
            # There a pixel is a point.
            content = vlc.svg_to_pdf(
                svg(chart) if width is None else _scaled(svg(chart), width, unit="")
            )
        case ".png":
            content = vlc.vegalite_to_png(spec, ppi=300)
        case suffix:
            raise HeadscopeError(
                f"a figure cannot be written as {suffix or 'a file without a suffix'}: use .svg, "
                ".png or .pdf"
            )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def size_of(picture: str) -> tuple[float, float]:
    """Width and height of an SVG, in pixels."""
    found = re.search(r'width="([\d.]+)" height="([\d.]+)"', picture)
    return (float(found[1]), float(found[2])) if found else (0.0, 0.0)


def _scaled(picture: str, width: float, unit: str = "pt") -> str:
    own, height = size_of(picture)
    new = f'width="{width:g}{unit}" height="{height * width / own:g}{unit}"'
    return re.sub(r'width="[\d.]+" height="[\d.]+"', new, picture, count=1)


def chosen(frame: pl.DataFrame, column: str, name: str) -> pl.DataFrame:
    """The rows whose `column` is `name`. Raises HeadscopeError when there are none."""
    known = [str(v) for v in frame[column].drop_nulls().unique().to_list()]
    if name not in known:
        raise unknown(column, name, known)
    return frame.filter(pl.col(column) == name)


def marked_rows(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows whose corrected p is below `SIGNIFICANT`."""
    return rows.filter(pl.col("p_corrected") < SIGNIFICANT)


def _one(rows: pl.DataFrame, column: str) -> str:
    """The value of a column that says the same in every row, or an empty text."""
    values = rows[column].drop_nulls().unique().to_list() if column in rows.columns else []
    return str(values[0]) if len(values) == 1 else ""


def source(rows: pl.DataFrame) -> str:
    """Model and task of the rows, where they are one."""
    return ", ".join(name for name in (Path(_one(rows, "model")).name, _one(rows, "task")) if name)


def nice(limit: float) -> float:
    """The end of a colour scale: the next of 1, 2, 5 x 10^k, so that its ticks are round
    numbers.
    """
    if limit <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(limit))
    return next(
        step * power for step in (1.0, 2.0, 5.0, 10.0) if limit <= step * power * (1 + 1e-9)
    )


def _grid(
    rows: pl.DataFrame,
    *,
    value: str,
    title: str,
    subtitle: str,
    legend: str,
    domain: list[float],
    colours: list[str],
    dots: pl.DataFrame,
) -> "alt.LayerChart":
    import altair as alt

    cells = panel(rows, value, title, domain, colours, legend)
    marks = (
        alt.Chart(dots.select("layer", "head"))
        .mark_point(filled=True, size=16, color="black", opacity=1, stroke="white", strokeWidth=0.6)
        .encode(cells.encoding.x, cells.encoding.y)
    )
    chart: alt.LayerChart = styled(
        alt.layer(cells, marks).properties(
            title=alt.TitleParams(title, subtitle=subtitle) if subtitle else title,
            width=cells.width,
            height=cells.height,
        )
    )
    return chart


def panel(
    rows: pl.DataFrame,
    value: str,
    title: str,
    domain: list[float],
    colours: list[str],
    legend: str,
    cell: float = _CELL,
) -> Any:
    """One layer x head heat map with `cell` pixels a head, not yet styled."""
    import altair as alt

    if rows.select("layer", "head").is_duplicated().any():
        raise HeadscopeError(
            f"the table holds more than one row for a head ({title}): keep one model, task, seed "
            "and mode"
        )
    layers, heads = (list(range(1, int(str(rows[axis].max())) + 1)) for axis in ("layer", "head"))
    small = {"labelFontSize": 7} if cell < _CELL else {}
    x = alt.X(
        "head:O",
        title=None,
        scale=alt.Scale(domain=heads),
        axis=_axis(alt, "H", small, orient="top"),
    )
    y = alt.Y("layer:O", title=None, scale=alt.Scale(domain=layers), axis=_axis(alt, "L", small))
    ticks = domain if len(domain) == 3 else [domain[0], (domain[0] + domain[1]) / 2, domain[1]]
    scale = alt.Scale(
        domain=ticks if len(colours) == 3 else domain, range=colours, interpolate="lab", clamp=True
    )
    length = max(20, min(150, cell * len(layers) - 14))
    bar = alt.Legend(
        title=legend or None,
        values=ticks,
        gradientLength=length,
        gradientThickness=10,
        format=".3~g",
    )
    return (
        alt.Chart(rows.select("layer", "head", pl.col(value).cast(pl.Float64)), title=title)
        .mark_rect(stroke="#d0d0d0", strokeWidth=0.5)
        .encode(x, y, alt.Color(f"{value}:Q", scale=scale, legend=bar))
        .properties(width=cell * len(heads), height=cell * len(layers))
    )


def styled(chart: Any, look: Look = SCREEN) -> Any:
    """The look that all charts share."""
    small = {"labelFontSize": look.size, "titleFontSize": look.size, "titleFontWeight": "normal"}
    title = {"fontSize": look.size + 1, "subtitleFontSize": look.size, "subtitleColor": "#333333"}
    return (
        chart.configure(
            background="white", font=look.font, padding=4 if look.titled else 2, aria=False
        )
        .configure_view(stroke="#808080", strokeWidth=0.5)
        .configure_axis(**small, domain=False, ticks=False, grid=False)
        .configure_legend(**small, gradientStrokeWidth=0, offset=10)
        .configure_title(anchor="start", **title, offset=8, frame="group")
    )


def _axis(alt: Any, letter: str, more: Mapping[str, Any], **options: str) -> Any:
    # On small panels only every other one has room for its name.
    name = f"'{letter}' + datum.value"
    text = f"datum.value % 2 ? {name} : ''" if more else name
    return alt.Axis(labelExpr=text, labelAngle=0, labelPadding=3, **more, **options)
