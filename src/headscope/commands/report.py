"""`headscope report`: one offline HTML file, or the figures for a paper."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from headscope.commands.options import FigureFolder, FigureStyle, Page, Quiet
from headscope.commands.outcome import Outcome, finding_lines
from headscope.errors import HeadscopeError
from headscope.progress import say


def report(
    *runs: Annotated[Path, Parameter(help="Run folders.")],
    out: Page = None,
    figures: FigureFolder = None,
    style: FigureStyle = "plain",
    quiet: Quiet = False,
) -> Outcome:
    """Build one offline HTML file from run folders; with --figures write the figures for a paper
    instead.
    """
    from headscope.reporting.build import build
    from headscope.reporting.build import figures as write_figures

    if not runs:
        raise HeadscopeError(
            "report needs at least one run folder, as in headscope report runs/demo --out demo.html"
        )
    for run in runs:
        if not run.is_dir():
            raise HeadscopeError(
                f"the run folder {run} does not exist: give a folder that a headscope command wrote"
            )
    if figures is not None:
        write_figures(list(runs), figures, style)
        say("figures drawn", quiet=quiet)
        if out is None:
            return Outcome(
                figures.resolve(),
                (),
                f"headscope report {' '.join(map(str, runs))} --out report.html",
            )
    page = build(list(runs), out or Path("report.html"))
    lines = tuple(line for run in runs for line in finding_lines(run)) if len(runs) == 1 else ()
    say("report built", quiet=quiet)
    return Outcome(
        page.resolve(),
        lines,
        f"open {page} in a browser; the tables are Parquet files in {runs[0]}",
    )
