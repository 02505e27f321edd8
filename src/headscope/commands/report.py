"""`headscope report`: one offline HTML file, or the figures for a paper."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from headscope.commands.options import FigureFolder, FigureStyle, Page, Quiet
from headscope.commands.outcome import Outcome
from headscope.errors import HeadscopeError
from headscope.progress import say

if TYPE_CHECKING:
    from headscope.reporting.build import Report


def report(
    *runs: Annotated[Path, Parameter(help="Run folders.")],
    out: Page = None,
    figures: FigureFolder = None,
    style: FigureStyle = "plain",
    quiet: Quiet = False,
) -> Outcome:
    """Build one offline HTML file from run folders, or with --figures the figures for a paper."""
    from headscope.reporting.build import Report

    if not runs:
        raise HeadscopeError(
            "report needs at least one run folder, as in headscope report runs/demo --out demo.html"
        )
    for run in runs:
        if not run.is_dir():
            raise HeadscopeError(
                f"the run folder {run} does not exist: give a folder that a headscope command wrote"
            )
    shown = Report.of(runs)
    if figures is not None:
        shown.save_figures(figures, style)
        say("figures drawn", quiet=quiet)
        if out is None:
            return Outcome(
                figures.resolve(),
                (),
                f"headscope report {' '.join(map(str, runs))} --out report.html",
            )
    return page_outcome(shown, runs, out or Path("report.html"), quiet=quiet)


def page_outcome(shown: Report, runs: Sequence[Path], out: Path, *, quiet: bool) -> Outcome:
    """Write the page of a report on `runs`, and say where it is and what it shows."""
    page = shown.save(out)
    lines: tuple[str, ...] = ()
    # Findings of several tasks or models are told apart on the page alone.
    if len(shown.sections) == 1:
        lines = tuple(finding.text for finding in shown.sections[0].findings)
    say("report built", quiet=quiet)
    return Outcome(
        page.resolve(),
        lines,
        f"open {page} in a browser; the tables are Parquet files in {runs[0]}",
    )
