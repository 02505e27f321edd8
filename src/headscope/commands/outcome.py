"""What a command says in the end: where its results are, what they say, what to run next."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from headscope.names import NO_MAJORITY

if TYPE_CHECKING:
    import polars as pl

    from headscope.results.run import Run


@dataclass(frozen=True)
class Outcome:
    """Where the results of a command are, what they say in a few lines, and what to run next."""

    path: Path
    lines: tuple[str, ...]
    next: str


def report_command(run: Path) -> str:
    """The command line that makes a page of a run folder."""
    return shlex.join(["headscope", "report", str(run), "--out", str(run / "report.html")])


def open_page(page: Path, tables: Path | None = None) -> str:
    """What to do with a page, and where its tables are; paths are quoted for a shell."""
    line = f"open {shlex.quote(str(page))} in a browser"
    if tables is None:
        return line
    return f"{line}; the tables are Parquet files in {shlex.quote(str(tables))}"


def score_lines(scores: pl.DataFrame) -> tuple[str, ...]:
    """The table `scores` in a line per row, after what is doubtful of them."""
    from headscope.reporting.doubts import RANKINGS, below_baseline, one_answer
    from headscope.results.numbers import interval

    rows = tuple(
        f"{row['metric']} {row['value']:.1f} ({interval(row['low'], row['high'], 1)}, n = "
        f"{row['n']}); {_baseline(row['majority'], are_cosines=row['metric'] in RANKINGS)}"
        for row in scores.iter_rows(named=True)
    )
    doubts = filter(None, (one_answer(scores), below_baseline(scores)))
    return (*doubts, *rows)


def _baseline(majority: float | None, *, are_cosines: bool) -> str:
    """What always answering the majority gives, or why that is not known."""
    if majority is None:
        return NO_MAJORITY
    if are_cosines:
        return f"cosines that are all the same give {majority:.1f}"
    return f"always answering the majority gives {majority:.1f}"


def saved_score_lines(run: Run) -> tuple[str, ...]:
    """The scores that a run has written."""
    scores = run.read("scores")
    return () if scores is None else score_lines(scores)


def together_lines(run: Run) -> tuple[str, ...]:
    """What a run says of heads together: first of all that effects of single heads do not add
    up.
    """
    from headscope.reporting.together import adding_up, interaction_findings, shapley_findings

    tables = {name: run.read(name) for name in ("disabled", "together", "interactions", "shapley")}
    known = {name: frame for name, frame in tables.items() if frame is not None}
    findings = list(adding_up(known))
    if "interactions" in known:
        findings += interaction_findings(known["interactions"])
    if "shapley" in known:
        findings += shapley_findings(known["shapley"])
    return tuple(finding.text for finding in findings)
