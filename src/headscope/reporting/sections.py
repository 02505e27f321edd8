"""A section of the report: what the page and the figures show of one model on one task."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path

import polars as pl

from headscope.axes import Heads
from headscope.figures.catalogue import Drawing, chart_tables, drawings, map_drawing
from headscope.figures.thumbnails import Typical, typical
from headscope.reporting.estimates import Estimate, Finding, estimates
from headscope.reporting.findings import ATTENTION, SCORE, SINGLE, TOGETHER, TUNING, findings
from headscope.reporting.images import Image, image
from headscope.reporting.packing import LEVELS, PackedMap
from headscope.reporting.payload import Payload, payload
from headscope.reporting.pruning import pruning_findings, search_sentences
from headscope.reporting.reading import Run, examples_of, joined, part, read, text, titled
from headscope.reporting.scores import ShownScores, shown_scores
from headscope.reporting.shortening import ShownMaps, shown_maps
from headscope.reporting.side_by_side import tasks_of
from headscope.reporting.takeaway import takeaway
from headscope.reporting.together import adding_up
from headscope.results.tables import Tables
from headscope.stats.proxies import LAYER, WITHIN

_PROXIES = 8
_EXAMPLES = 4  # of each task, where a run is on several
_PRUNING = "pruning_"
_OF_HEADS = ("heads", "disabled", "patterns", "change", "relations", "pruned")
_PARTS = ("model", "task", "data", "options", "versions")


@dataclass(frozen=True)
class PatternShares:
    """The model's share of one class of patterns with both intervals, by state."""

    name: str
    counted: Mapping[str, Estimate]
    corrected: Mapping[str, Estimate]


@dataclass(frozen=True)
class Group:
    """Heterogeneous heads that are alike, and the measure in which they stand out most."""

    name: str
    measure: str
    value: float | None
    heads: tuple[str, ...]


@dataclass(frozen=True)
class Proxy:
    """How well a measure goes with what disabling a head costs, within layers and over all heads;
    `overall` alone is known of the layer, and of runs of version 0.1.
    """

    measure: str
    effect: str
    overall: float | None
    value: float | None
    low: float | None
    high: float | None
    p: float | None
    p_corrected: float | None
    n: int | None


@dataclass(frozen=True, eq=False)
class Section:
    """What the report shows of one model on one task; all of it is made once, when it is needed."""

    run: Run

    @cached_property
    def typical(self) -> Typical | None:
        """The typical map of every head."""
        return typical(self.run.maps)

    @cached_property
    def chart_tables(self) -> Tables:
        """The tables that only a figure shows."""
        return chart_tables(self.run.tables, self.run.maps, self.typical)

    @cached_property
    def drawings(self) -> list[Drawing]:
        """The paper's figures, as far as the tables give them."""
        return drawings({**self.run.tables, **self.chart_tables})

    def maps_of(self, heads: Heads, example: int | None = None) -> Drawing:
        """The maps of some heads on one of the examples that the run keeps.

        Args:
            heads: The heads, counted from 1.
            example: The number of the example in the table `examples`; None for the shortest.

        Raises:
            HeadscopeError: The run keeps no such map, or the model has no such head.
        """
        names = [text(part(self.run.meta, key).get("name")) for key in ("model", "task")]
        return map_drawing(self.run.tables, self.run.maps, heads, example, (names[0], names[1]))

    @cached_property
    def _images(self) -> list[Image]:
        return [image(drawing, is_numbered=self.is_paper) for drawing in self.drawings]

    @property
    def is_paper(self) -> bool:
        """Whether the run replicates the paper."""
        return self.run.meta.get("command") == "paper"

    @property
    def figures(self) -> list[Image]:
        """The figures for the page, but for those that stand in a part of their own."""
        return [drawn for drawn in self._images if not drawn.name.startswith(_PRUNING)]

    @cached_property
    def findings(self) -> list[Finding]:
        """What the tables show, in sentences."""
        return findings(self.run.tables)

    @cached_property
    def takeaway(self) -> str:
        """What the tables show first of all, in a sentence."""
        return takeaway(self.run.tables)

    @cached_property
    def headline(self) -> str:
        """The metric that the page speaks of; the others are folded away. Empty without one."""
        for name in ("scores", "disabled"):
            if name in self.run.tables:
                metrics = self.run.tables[name]["metric"].drop_nulls()
                return str(metrics[0]) if metrics.len() else ""
        return ""

    def about(self, topic: str) -> list[Finding]:
        """What is said of a topic, of the headline metric or of none; without the takeaway."""
        return [finding for finding in self._of(topic) if self._is_headline(finding)]

    @cached_property
    def topics(self) -> dict[str, list[Finding]]:
        """What is said of each topic that has no part of its own; topics of which nothing is said
        are left out.
        """
        said = {topic: self.about(topic) for topic in (SINGLE, TOGETHER, TUNING, ATTENTION)}
        return {topic: findings for topic, findings in said.items() if findings}

    @property
    def has_heads(self) -> bool:
        """Whether there is something to colour the heads by, or a map of them."""
        tables = self.run.tables
        return any(name in tables for name in _OF_HEADS) or bool(self.maps)

    @cached_property
    def of_other_metrics(self) -> list[Finding]:
        """What is said of single heads in other metrics than the headline."""
        return [finding for finding in self._of(SINGLE) if not self._is_headline(finding)]

    def _is_headline(self, finding: Finding) -> bool:
        return finding.metric in ("", self.headline)

    def _of(self, topic: str) -> list[Finding]:
        said = [finding for finding in self.findings if finding.topic == topic]
        return [finding for finding in said if finding.text != self.takeaway]

    @property
    def score(self) -> Finding | None:
        """The score of the headline metric in a sentence."""
        said = [finding for finding in self._of(SCORE) if finding.metric]
        return next((finding for finding in said if self._is_headline(finding)), None)

    @cached_property
    def scores(self) -> ShownScores:
        """The table of scores as the page shows it."""
        return shown_scores(self.run.tables["scores"], self.headline)

    @property
    def pruning_figures(self) -> list[Image]:
        """The figures of heads that are removed together."""
        return [drawn for drawn in self._images if drawn.name.startswith(_PRUNING)]

    @property
    def pruning(self) -> list[Finding]:
        """What can go together and what that costs; empty where no heads were searched for."""
        table = self.run.tables.get("pruned")
        return [] if table is None else list(pruning_findings(table))

    @property
    def searched(self) -> list[str]:
        """What the search for these heads looked at."""
        table = self.run.tables.get("pruned")
        return [] if table is None else list(search_sentences(table))

    @property
    def adding_up(self) -> list[Finding]:
        """That effects of single heads do not add up, where they are listed."""
        return list(adding_up(self.run.tables))

    @cached_property
    def payload(self) -> Payload:
        """What the script of the page needs, but for the maps."""
        examples = self.shown_maps.examples
        tables = dict(self.run.tables)
        if examples is not None:
            tables["examples"] = examples
        shown = replace(self.run, tables=tables, maps={})
        return payload(shown, sorted(self.maps), self.typical, self.chart_tables)

    @cached_property
    def shown_maps(self) -> ShownMaps:
        """The maps and the examples for the script of the page, and what it does not show."""
        return shown_maps(self.run.maps, self.run.tables.get("examples"))

    @property
    def maps(self) -> Mapping[str, PackedMap]:
        """The maps for the script of the page."""
        return self.shown_maps.maps

    @property
    def exact(self) -> bool:
        """Whether every 255th of a weight is kept."""
        return all(len(map_.levels) > len(LEVELS) for map_ in self.maps.values())

    @property
    def levels(self) -> tuple[int, ...]:
        """The weights that are told apart where not all are, in 255ths."""
        return LEVELS

    @cached_property
    def patterns(self) -> list[PatternShares]:
        """The model's share of every class of patterns."""
        if "patterns" not in self.run.tables:
            return []
        whole = self.run.tables["patterns"].filter(
            pl.col("layer").is_null(), pl.col("head").is_null()
        )
        shares = []
        for rows in whole.partition_by("class", maintain_order=True):
            name = rows["class"][0]
            shares.append(
                PatternShares(name, _by_state(rows, "share"), _by_state(rows, "share_corrected"))
            )
        return shares

    @cached_property
    def groups(self) -> list[Group]:
        """The groups of heterogeneous heads."""
        if "heterogeneous" not in self.run.tables:
            return []
        frame = self.run.tables["heterogeneous"].sort("group", "layer", "head")
        groups = []
        for rows in frame.partition_by("group", maintain_order=True):
            heads = [f"L{layer}H{head}" for layer, head in rows.select("layer", "head").iter_rows()]
            name, measure, value = rows.select("name", "measure", "value").row(0)
            groups.append(Group(name, measure, value, tuple(heads)))
        return groups

    @cached_property
    def proxies(self) -> list[Proxy]:
        """The measures that go best with the effect of disabling a head.

        Last comes the layer, which any of them has to beat.
        """
        if "predictors" not in self.run.tables:
            return []
        rows = self.run.tables["predictors"]
        rows = rows.filter(pl.col("effect") == pl.col("effect").first())
        is_layer = pl.col("measure") == LAYER
        is_tested = pl.col("unit").eq_missing(WITHIN)
        # Version 0.1 had a row for the layer, and tested correlations over all heads as if those of
        # a layer were independent.
        tested = ("value", "low", "high", "p", "p_corrected")
        rows = rows.with_columns(
            pl.coalesce("overall", pl.when(~is_tested).then("value")).alias("overall"),
            pl.coalesce("overall_layer", pl.when(is_layer).then("value").max()).alias(
                "overall_layer"
            ),
            *(pl.when(is_tested).then(pl.col(name)).alias(name) for name in tested),
        )
        names = [field.name for field in fields(Proxy)]
        proxies = [Proxy(*row) for row in rows.filter(~is_layer).select(names).iter_rows()]
        if not proxies:
            return []
        first = rows.select("effect", "overall_layer", "n").row(0)
        layer = Proxy(LAYER, first[0], first[1], None, None, None, None, None, first[2])
        return [*proxies[:_PROXIES], layer]

    @cached_property
    def records(self) -> list[dict[str, object]]:
        """The records of the runs behind the section (`run.json`, whatever it holds), and which of
        their parts are objects.
        """
        records = []
        for record in (self.run.meta, *self.run.others):
            parts = {key: part(record, key) for key in _PARTS}
            records.append({**record, "part": parts})
        return records

    @property
    def notes(self) -> list[str]:
        """What was left out, cut or guessed, each once."""
        notes: dict[str, None] = {}
        for record in (self.run.meta, *self.run.others):
            kept = record.get("notes")
            for note in kept if isinstance(kept, list) else []:
                notes[text(note)] = None
        return list(notes)

    @cached_property
    def definitions(self) -> dict[str, object]:
        """What every number means, by its name; where records differ, the first is right."""
        definitions: dict[str, object] = {}
        for record in reversed(self.records):
            definitions |= part(record, "definitions")
        return definitions


def _by_state(rows: pl.DataFrame, measure: str) -> dict[str, Estimate]:
    known = rows.filter(measure=measure).drop_nulls("value")
    return dict(zip(known["state"], estimates(known), strict=True))


def sections_of(folders: Sequence[Path]) -> list[Section]:
    """The sections of a report on run folders, one model and task after the other.

    Folders about one model and one task, such as those of `compare` and `disable`, are one section.
    Raises HeadscopeError for a folder that holds no run.
    """
    sections = []
    for run in joined([read(Path(folder)) for folder in folders]):
        sections += [Section(part_of_run) for part_of_run in _by_task(run)]
    return sections


def _by_task(run: Run) -> Iterator[Run]:
    """A run over several tasks as one run a task; the examples go to the task that run.json names,
    or the first.
    """
    tasks = tasks_of(run.tables)
    if len(tasks) < 2:
        yield run
        return
    named = text(part(run.meta, "task").get("name"))
    holder = named if named in tasks else tasks[0]
    for task in tasks:
        tables = _of_task(run.tables, task, is_holder=task == holder)
        maps = run.maps if task == holder else {}
        if "examples" not in tables:
            examples, maps = examples_of(run.folder, task, _EXAMPLES)
            tables |= examples
        yield replace(run, title=titled(run.meta, task), tables=tables, maps=maps)


def _of_task(tables: Tables, task: str, *, is_holder: bool) -> dict[str, pl.DataFrame]:
    """The rows about a task; the claims and the examples are whole, with the task that has them."""
    kept = {}
    for name, frame in tables.items():
        if name in ("examples", "claims") and not is_holder:
            continue
        if "task" in frame.columns and name != "claims":
            frame = frame.filter(pl.col("task").fill_null(task) == task)
        if frame.height:
            kept[name] = frame
    return kept
