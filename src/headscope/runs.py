"""A run as Python has it: tables as data frames, figures as charts, its report as a page."""

from __future__ import annotations

import html
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headscope.axes import Heads
from headscope.errors import HeadscopeError, unknown
from headscope.results.contents import CHECKPOINT
from headscope.results.saved import SavedRun
from headscope.results.saved import open_run as open_saved

if TYPE_CHECKING:
    import polars as pl

    from headscope.reporting.sections import Section

_SHOWN = 6
"""How many findings a run says of itself."""
_MAP = "map"
"""The figure of heads that are named."""


@dataclass(frozen=True)
class Page:
    """A report that was written; a notebook shows it in place.

    Args:
        path: The HTML file.
        findings: What the report says, in sentences.
    """

    path: Path
    findings: tuple[str, ...] = ()

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return "\n".join([f"<page {str(self.path)!r}>", *self.findings[:_SHOWN]])

    def _repr_html_(self) -> str:
        page = html.escape(self.path.read_text(encoding="utf-8"))
        frame = f'<iframe srcdoc="{page}" width="100%" height="720" frameborder="0"></iframe>'
        return f"{frame}<p><code>{html.escape(str(self.path))}</code></p>"


class Run(SavedRun):
    """A run folder, open for reading; what every function that runs something returns.

    >>> run = open_run("runs/layers")                      # doctest: +SKIP
    >>> run.table("disabled").sort("delta")                # doctest: +SKIP
    >>> run.figure("effect"), run.report()                 # doctest: +SKIP

    Args:
        path: The folder.
        record: What was run, on what, and how to do it again.
        tables: The tables by name; see docs/tables.md.
    """

    def __fspath__(self) -> str:
        return str(self.path)

    def table(self, name: str) -> pl.DataFrame:
        """A table as a polars data frame, with the columns of docs/tables.md.

        Args:
            name: Its name; `list(run.tables)` has all.

        Raises:
            HeadscopeError: The run has no such table; names those that it has.
        """
        return self.tables[name]

    @cached_property
    def findings(self) -> tuple[str, ...]:
        """What the tables say, in sentences with intervals and tests."""
        from headscope.reporting.findings import findings
        from headscope.reporting.together import adding_up

        tables = dict(self._section.run.tables)
        return tuple(finding.text for finding in (*adding_up(tables), *findings(tables)))

    @property
    def figures(self) -> tuple[str, ...]:
        """The names of the figures that `figure` draws."""
        return tuple(self._charts)

    def figure(self, name: str, *, heads: Heads | None = None, example: int | None = None) -> Any:
        """A figure as an Altair chart, which a notebook shows.

        >>> run.figure("map", heads="L3H10,L4H1", example=2)   # doctest: +SKIP

        Args:
            name: "effect" for the change when each head is disabled, "forest" for the same with
                intervals, a measure for its heat map, "map" for the attention maps of heads on an
                example, or a figure of the paper; `run.figures` has all names.
            heads: The heads of "map", counted from 1.
            example: The example of "map", by its number in the table `examples`; by default the
                shortest of those that the run keeps.

        Raises:
            HeadscopeError: There is no such figure; names those that there are. Or there is no such
                head or example.
        """
        if name not in self._charts:
            raise unknown(f"figure of {self.path}", name, self._charts)
        if name != _MAP:
            if heads is not None or example is not None:
                raise HeadscopeError(
                    f"heads and example are of the figure 'map', not of {name!r}: leave them out"
                )
            return self._charts[name]()
        if heads is None:
            raise HeadscopeError(
                "the figure 'map' is of heads that you name, as in figure('map', heads='L3H10')"
            )
        return self._section.maps_of(heads, example).chart()

    def report(self, out: str | Path | None = None) -> Page:
        """Write one offline HTML file about the run.

        Args:
            out: The file; by default report.html in the run's folder.

        Raises:
            HeadscopeError: `out` is a folder.
        """
        from headscope.reporting.build import build

        asked = self.path / "report.html" if out is None else out
        file = Path(os.path.expanduser(asked))  # noqa: PTH111  (no error for ~nobody)
        return Page(build([self.path], file), self.findings)

    @property
    def checkpoint(self) -> Path:
        """The folder of the model that the run trained, for `headscope.load` or transformers.

        Raises:
            HeadscopeError: The run trained none.
        """
        for folder in (self.path, self.path / CHECKPOINT):
            if (folder / "config.json").is_file():
                return folder
        raise HeadscopeError(
            f"{self.path}, a run of {self.record.command}, holds no model that it trained: give "
            "the run of finetune or study"
        )

    @cached_property
    def _section(self) -> Section:
        from headscope.reporting.reading import read
        from headscope.reporting.sections import Section

        return Section(read(self.path))

    @cached_property
    def _charts(self) -> Mapping[str, Callable[[], Any]]:
        """What draws each figure, by its name."""
        from headscope.figures.catalogue import forests
        from headscope.figures.heatmaps import effect_map, measure_map

        tables = self._section.run.tables
        drawn = {drawing.figure.name: drawing.chart for drawing in self._section.drawings}
        charts: dict[str, Callable[[], Any]] = {}
        if "figure8_heads" in drawn:
            disabled = tables["disabled"]
            metrics = disabled["metric"].drop_nulls().unique(maintain_order=True).to_list()
            charts["effect"] = partial(effect_map, disabled, metrics[0])
            for metric in metrics:
                charts[f"effect_{metric}"] = partial(effect_map, disabled, metric)
        elif "figure9_layers" in drawn:
            charts["effect"] = drawn["figure9_layers"]
        if "heads" in tables:
            for measure in tables["heads"]["measure"].drop_nulls().unique(maintain_order=True):
                charts[measure] = partial(measure_map, tables["heads"], measure)
        if "forest" in drawn:
            charts |= forests(tables["disabled"])
        if self._section.run.maps:
            charts[_MAP] = partial(self.figure, _MAP)
        return {**charts, **drawn}

    @property
    def _what(self) -> str:
        record = self.record
        count = f"{record.data.validation:,} examples" if record.data.validation else ""
        of = f"{record.command} of {record.model.name} on {record.task.name}"
        return f"{of} ({count})" if count else of

    @property
    def _rows(self) -> dict[str, int]:
        """The number of rows of every table."""
        files = self.record.files
        rows = {}
        for name in self.tables:
            listed = files.get(f"{name}.parquet")
            known = None if listed is None else listed.rows
            rows[name] = self.tables[name].height if known is None else known
        return rows

    def __repr__(self) -> str:
        tables = ", ".join(f"{name} ({rows:,})" for name, rows in self._rows.items()) or "none"
        lines = [f"<run {str(self.path)!r}: {self._what}; tables {tables}>"]
        return "\n".join([*lines, *self.findings[:_SHOWN]])

    def _repr_html_(self) -> str:
        said = "".join(f"<li>{html.escape(line)}</li>" for line in self.findings[:_SHOWN])
        rows = "".join(
            f"<tr><td><code>{html.escape(name)}</code></td><td>{count:,} rows</td></tr>"
            for name, count in self._rows.items()
        )
        notes = "".join(f"<li>{html.escape(str(note))}</li>" for note in self.record.notes)
        noted = f"<details><summary>notes</summary><ul>{notes}</ul></details>" if notes else ""
        return (
            f"<div><b>{html.escape(self._what)}</b><br><code>{html.escape(str(self.path))}</code>"
            f"<ul>{said}</ul><table>{rows}</table>{noted}</div>"
        )


def open_run(path: str | Path) -> Run:
    """Open a run folder: its tables, its figures, its report.

    >>> run = open_run("runs/layers")                      # doctest: +SKIP
    >>> run.table("disabled").sort("delta")                # doctest: +SKIP

    Args:
        path: The folder that a command wrote with `--out`.

    Returns:
        The run. Its tables are polars data frames, read when they are first asked for.

    Raises:
        HeadscopeError: The folder holds no run, or one that is not complete, or it is damaged.
    """
    saved = open_saved(path)
    return Run(saved.path, saved.record, saved.tables)
