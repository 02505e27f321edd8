"""What a command says in the end: where its results are, what they say, what to run next."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from headscope.names import no_majority

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
    return f"headscope report {run} --out {run}/report.html"


def score_lines(scores: pl.DataFrame) -> tuple[str, ...]:
    """The table `scores` in a line per row, after what is doubtful of them."""
    from headscope.reporting.doubts import RANKINGS, below_baseline, one_answer
    from headscope.results.numbers import interval

    rows = []
    for row in scores.iter_rows(named=True):
        metric = row["metric"]
        baseline = _baseline(row["majority"], metric, are_cosines=metric in RANKINGS)
        rows.append(
            f"{metric} {row['value']:.1f} ({interval(row['low'], row['high'], 1)}, n = "
            f"{row['n']}); {baseline}"
        )
    doubts = filter(None, (one_answer(scores), below_baseline(scores)))
    return (*doubts, *rows)


def _baseline(majority: float | None, metric: str, *, are_cosines: bool) -> str:
    """What always answering the majority gives, or why that is not known."""
    if majority is None:
        return no_majority(metric)
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
