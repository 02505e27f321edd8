"""What a command says in the end: where its results are, what they say, what to run next."""

from __future__ import annotations

import shlex
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from headscope.names import baseline_scores

if TYPE_CHECKING:
    import polars as pl

    from headscope.results.run import Run


_NARROWEST = 40
_SAID_OF = (
    *("scores", "disabled", "selection", "together", "interactions", "shapley"),
    *("patterns", "last_layers", "heads"),
)
"""The tables whose findings are said at the end of a run."""


@dataclass(frozen=True)
class Outcome:
    """What a command says in the end.

    Attributes:
        path: Where its results are.
        lines: What they say, the most important first.
        next: What to run next.
        report: All that the report says, where `lines` are the first of it.
    """

    path: Path
    lines: tuple[str, ...]
    next: str
    report: tuple[str, ...] = ()

    def written(self, width: int | None) -> str:
        """The end of a run, as it is printed.

        Args:
            width: Sentences are wrapped to so many columns; None leaves a line to each. What can be
                pasted is never broken.
        """
        lines = []
        for sentence in self.lines:
            lines += [sentence] if width is None else _wrapped(sentence, width)
        return "\n".join([*lines, f"results: {self.path}", f"next: {self.next}", ""])


def _wrapped(sentence: str, width: int) -> list[str]:
    return textwrap.wrap(
        sentence,
        max(width, _NARROWEST),
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def report_command(run: Path) -> str:
    """The command line that makes a page of a run folder."""
    return shlex.join(["headscope", "report", str(run), "--out", str(run / "report.html")])


def open_page(page: Path, tables: Path | None = None) -> str:
    """What to do with a page, and where its tables are; paths are quoted for a shell."""
    line = f"open {shlex.quote(str(page))} in a browser"
    if tables is None:
        return line
    return f"{line}; the tables are Parquet files in {shlex.quote(str(tables))}"


def score_line(scores: pl.DataFrame) -> str:
    """The score in the metric that the task is judged by, in a line."""
    from headscope.figures.style import label
    from headscope.results.numbers import interval

    row = scores.row(0, named=True)
    metric, majority = row["metric"], row["majority"]
    beside = baseline_scores(metric, None if majority is None else f"{majority:.1f}")
    spread = interval(row["low"], row["high"], 1)
    return f"{label(metric)} {row['value']:.1f} ({spread}, n = {row['n']}); {beside}"


def ending_lines(run: Run) -> tuple[str, ...]:
    """What a run has found, in few sentences."""
    from headscope.reporting.ending import ending

    read = {name: run.read(name) for name in _SAID_OF}
    tables = {name: table for name, table in read.items() if table is not None}
    return ending(tables, run.notes)


def limit_lines(run: Run) -> tuple[str, ...]:
    """What limits what a run has found: texts that were cut, what was left out."""
    from headscope.reporting.ending import limits

    return tuple(limits({}, run.notes))
