"""A catalogue of the paper's figures and ours: which rows of which table each shows, what draws it,
and what the paper has there. `drawings` gives those of a run.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import polars as pl

from headscope.axes import Heads
from headscope.figures import (
    effects,
    forest,
    heatmaps,
    patterns,
    pruning,
    published,
    scores,
    text_maps,
    together,
)
from headscope.figures.rendering import svg
from headscope.figures.style import SCREEN, Look
from headscope.figures.thumbnails import Typical
from headscope.results.tables import TABLES, Map, Tables

TYPICAL, TABLE_1, KEPT, MAPS = "typical", "table1", "kept_heads", "maps"
"""Tables that only a figure shows."""


@dataclass(frozen=True)
class Figure:
    """A figure of the paper, or one that it lacks.

    `rows` gives the rows of `table` that are drawn; where there are none there is no figure. `draw`
    makes the chart of them, with a title and a look. `keys` are the columns whose values in these
    rows say which rows of the table belong to the figure. It has a panel per value of the column
    `panel`, at most `columns` of them side by side. `beside` says what the paper has there.
    """

    name: str
    title: str
    table: str
    rows: Callable[[pl.DataFrame], pl.DataFrame]
    draw: Callable[[pl.DataFrame, str, Look], Any]
    keys: tuple[str, ...] = ()
    panel: str = ""
    columns: int = 3
    beside: Callable[[pl.DataFrame], str] = published.nothing

    @property
    def number(self) -> str:
        """Which of the paper's figures or tables it is, as in "Figure 6"; empty for others."""
        if not self.name.startswith(("figure", "table")):
            return ""
        kind = "Figure" if self.name.startswith("figure") else "Table"
        return f"{kind} {self.name[len(kind)]}"


def _all_rows(table: pl.DataFrame) -> pl.DataFrame:
    return table


def _model_and_layers(table: pl.DataFrame) -> pl.DataFrame:
    return table.filter(pl.col("head").is_null(), measure="share")


def _single_heads(table: pl.DataFrame) -> pl.DataFrame:
    return _effects(table).drop_nulls("head")


def _whole_layers(table: pl.DataFrame) -> pl.DataFrame:
    return _effects(table).filter(pl.col("head").is_null())


def _effects(table: pl.DataFrame) -> pl.DataFrame:
    return table.filter(pl.col("delta").is_finite()).drop_nulls("layer")


def _of_measures(table: pl.DataFrame, measures: list[str]) -> pl.DataFrame:
    return table.filter(pl.col("measure").is_in(measures)).drop_nulls("value")


def _measures(
    name: str,
    title: str,
    table: str,
    measures: list[str],
    beside: Callable[[pl.DataFrame], str] = published.nothing,
) -> Figure:
    """A figure with a heat map per measure."""
    return Figure(
        name,
        title,
        table,
        rows=partial(_of_measures, measures=measures),
        draw=partial(heatmaps.measure_panels, measures=measures),
        keys=("measure",),
        panel="measure",
        beside=beside,
    )


_FEATURES = [
    *("cls", "sep", "noun", "verb", "pronoun", "subject", "object", "negation"),
    "punctuation",
]
_TO_FEATURES = [f"attention_to_{feature}" for feature in _FEATURES]
_FROM_CLS = [f"from_cls_to_{feature}" for feature in _FEATURES]
_RELATIONS = [
    *("verb_to_subject", "subject_to_verb", "noun_to_pronoun", "pronoun_to_noun"),
    "same_word_across",
]
_EXCESSES = [f"{relation}_excess" for relation in _RELATIONS]

CATALOGUE = (
    Figure(
        "figure1_typical",
        "Typical maps of the patterns",
        TYPICAL,
        rows=_all_rows,
        draw=patterns.typical_maps,
        columns=5,
    ),
    Figure(
        "figure2_patterns",
        "Patterns of attention maps",
        "patterns",
        rows=_model_and_layers,
        draw=patterns.pattern_bars,
        keys=("measure", "head"),
        columns=2,
        beside=published.heterogeneous,
    ),
    Figure(
        "figure3_frames",
        "Attention between a predicate and its frame elements",
        "relations",
        rows=partial(_of_measures, measures=["score"]),
        draw=heatmaps.relation_panels,
        keys=("measure",),
        columns=1,
        beside=published.frames,
    ),
    _measures(
        "figure5_cosine",
        "Cosine of the maps before and after fine-tuning",
        "change",
        ["cosine_to_pretrained"],
        published.cosines,
    ),
    _measures(
        "figure6_change",
        "Change by fine-tuning in attention to linguistic features",
        "change",
        _TO_FEATURES,
    ),
    _measures("figure6_features", "Attention to linguistic features", "heads", _TO_FEATURES),
    _measures("figure7_cls_row", "Attention of [CLS]", "heads", _FROM_CLS),
    _measures("figure7_relations", "Attention from token to token", "heads", _RELATIONS),
    _measures(
        "figure7_relations_excess",
        "The same, less another pair at the same distance (or another word of the other text)",
        "heads",
        _EXCESSES,
    ),
    Figure(
        "figure8_heads",
        "Change when a head is disabled",
        "disabled",
        rows=_single_heads,
        draw=effects.head_panels,
        keys=("head",),
        panel="task",
        beside=published.best_heads,
    ),
    Figure(
        "figure9_layers",
        "Change when all heads of a layer are disabled",
        "disabled",
        rows=_whole_layers,
        draw=effects.layer_panels,
        keys=("head",),
        panel="task",
        beside=published.best_layer,
    ),
    Figure(
        "forest",
        "Change when heads are disabled, from the largest loss to the largest gain",
        "disabled",
        rows=forest.effect_rows,
        draw=forest.effects_forest,
        panel="task",
        columns=2,
    ),
    Figure(
        "interactions",
        "Interactions of pairs of heads",
        "interactions",
        rows=_all_rows,
        draw=together.interaction_map,
        columns=1,
    ),
    Figure(
        "shapley",
        "Shapley values of heads",
        "shapley",
        rows=_all_rows,
        draw=together.shapley_panels,
        columns=2,
    ),
    Figure(
        "forest_shapley",
        "Shapley values of heads, from the smallest to the largest",
        "shapley",
        rows=_all_rows,
        draw=forest.shapley_forest,
        columns=1,
    ),
    Figure(
        "pruning_path",
        "What is left of the score when heads are removed together",
        "pruned",
        rows=pruning.path_rows,
        draw=pruning.path_panels,
        panel="metric",
        columns=2,
    ),
    Figure(
        "pruning_heads",
        "Which heads stay",
        KEPT,
        rows=_all_rows,
        draw=pruning.kept_panels,
        panel="kept",
        columns=2,
    ),
    Figure(
        "table1_scores",
        "Scores",
        TABLE_1,
        rows=_all_rows,
        draw=scores.score_plot,
        columns=1,
    ),
)

_OF_HEADS = Figure(
    "map", "Attention maps", MAPS, rows=_all_rows, draw=text_maps.map_panels, panel="head"
)


@dataclass(frozen=True, eq=False)
class Drawing:
    """A figure of the catalogue as a run gives it, drawn once per look."""

    figure: Figure
    table: pl.DataFrame = field(repr=False)
    _drawn: dict[Look, str] = field(default_factory=dict, init=False, repr=False)

    def svg(self, look: Look = SCREEN) -> str:
        """The figure as SVG."""
        if look not in self._drawn:
            self._drawn[look] = svg(self.chart(look))
        return self._drawn[look]

    def chart(self, look: Look = SCREEN) -> Any:
        """The figure as an Altair chart."""
        return self.figure.draw(self.rows, self.figure.title, look)

    def caption(self, look: Look = SCREEN) -> str:
        """What the figure says above it, in a sentence or two for a place where it has no title."""
        title = self.chart(replace(look, titled=True)).to_dict().get("title", "")
        if isinstance(title, str):
            return title
        subtitle = title["subtitle"]
        below = subtitle if isinstance(subtitle, str) else " ".join(subtitle)
        return f"{title['text']} – {below}."

    @cached_property
    def rows(self) -> pl.DataFrame:
        """The rows that are drawn."""
        return self.figure.rows(self.table)

    @property
    def columns(self) -> int:
        """How many panels stand side by side."""
        if not self.figure.panel:
            return self.figure.columns
        return min(self.figure.columns, self.rows[self.figure.panel].n_unique())

    @property
    def where(self) -> dict[str, list[str | int | None]]:
        """Which values of which columns the rows of the table have that belong to the figure."""
        where = {}
        for key in self.figure.keys:
            where[key] = self.rows[key].unique(maintain_order=True).to_list()
        return where

    @property
    def numbers(self) -> pl.DataFrame:
        """The rows of the table that belong to the figure, those without a value included."""
        rows = self.table
        for column, values in self.where.items():
            rows = rows.filter(pl.col(column).is_in(values, nulls_equal=True))
        return rows

    @property
    def beside(self) -> str:
        """What the paper has there, in a sentence; empty where it has no number."""
        return self.figure.beside(self.table)


def drawings(tables: Tables) -> list[Drawing]:
    """The figures that tables give, in the paper's order."""
    drawn = []
    for figure in CATALOGUE:
        if figure.table not in tables:
            continue
        drawing = Drawing(figure, tables[figure.table])
        if drawing.rows.height:
            drawn.append(drawing)
    return drawn


def forests(disabled: pl.DataFrame) -> dict[str, Callable[[], Any]]:
    """What draws the forest plot of each metric, by its name, as in `forest_f1`.

    Args:
        disabled: The table of that name.
    """
    charts: dict[str, Callable[[], Any]] = {}
    for metric in disabled["metric"].drop_nulls().unique(maintain_order=True):
        for drawing in drawings({"disabled": disabled.filter(metric=metric)}):
            if drawing.figure.name == "forest":
                charts[f"forest_{metric}"] = drawing.chart
    return charts


def map_drawing(
    tables: Tables,
    maps: Mapping[str, Map],
    heads: Heads,
    example: int | None,
    source: tuple[str, str],
) -> Drawing:
    """The maps of some heads on one of the examples that a run keeps, side by side.

    Args:
        tables: The run's tables.
        maps: The maps that the run keeps.
        heads: The heads, counted from 1.
        example: The number of the example in the table `examples`; None for the shortest.
        source: The names of the model and the task.

    Raises:
        HeadscopeError: As `text_maps.kept_map_rows`.
    """
    examples = tables["examples"] if "examples" in tables else TABLES["examples"].empty()
    rows = text_maps.kept_map_rows(maps, examples, heads, example)
    names = [pl.lit(name).alias(of) for of, name in zip(("model", "task"), source, strict=True)]
    rows = rows.select(*names, "state", "example", *rows.columns[:-2])
    parts = ["map", *rows["head"].unique(maintain_order=True), f"example{rows['example'][0]}"]
    return Drawing(replace(_OF_HEADS, name="_".join(parts)), rows)


def chart_tables(tables: Tables, maps: Mapping[str, Map], typical: Typical | None) -> Tables:
    """The tables that only a figure shows, as far as a run gives them."""
    made: dict[str, pl.DataFrame] = {}
    if typical is not None and "patterns" in tables:
        rows = patterns.typical_rows(tables["patterns"], maps, typical)
        if rows is not None:
            made[TYPICAL] = rows
    if "scores" in tables and tables["scores"]["value"].is_not_null().any():
        made[TABLE_1] = scores.score_rows(tables["scores"])
    if "pruned" in tables and tables["pruned"].height:
        made[KEPT] = pruning.kept_rows(tables["pruned"])
    return made
