"""`headscope report`: one offline HTML file, or the figures for a paper."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from headscope.commands.checks import checked, path_of
from headscope.commands.options import (
    FigureFolder,
    FigureStyle,
    MapExample,
    MapHeads,
    Page,
    Quiet,
)
from headscope.commands.outcome import Outcome, open_page
from headscope.errors import HeadscopeError
from headscope.progress import say

if TYPE_CHECKING:
    from headscope.reporting.build import Report


def report(
    *runs: Annotated[str | Path, Parameter(help="Run folders.")],
    out: Page = None,
    figures: FigureFolder = None,
    style: FigureStyle = "plain",
    heads: MapHeads = None,
    example: MapExample = None,
    quiet: Quiet = False,
) -> Outcome:
    """Build one offline HTML file from run folders, or with --figures figures as files.

    For example:
    headscope report runs/mrpc runs/rte --out tasks.html
    headscope report runs/mrpc --figures figures --style acl
    headscope report runs/mrpc --figures slides --style slides --heads L3H1,L7H6
    """
    from headscope.reporting.build import Report

    if not runs:
        raise HeadscopeError(
            "report needs at least one run folder, as in headscope report runs/demo --out demo.html"
        )
    given = {"--style": style != "plain", "--heads": heads is not None}
    for name, is_given in given.items():
        if is_given and figures is None:
            raise HeadscopeError(f"{name} is of figures that are saved: give --figures FOLDER, too")
    if example is not None and heads is None:
        raise HeadscopeError(
            "--example says of which example maps are drawn: give --heads, too, as in L3H1,L7H6"
        )
    folders = [path_of("RUN", run) for run in runs]
    checked("--style", style, FigureStyle, None)
    checked("--example", example, MapExample, None)
    page = None if out is None else path_of("--out", out)
    drawings = None if figures is None else path_of("--figures", figures)
    for run in folders:
        if not run.is_dir():
            raise HeadscopeError(
                f"the run folder {run} does not exist: give a folder that a headscope command wrote"
            )
    shown = Report.of(folders)
    if drawings is not None:
        shown.save_figures(drawings, style, heads, example)
        say("figures drawn", quiet=quiet)
        if page is None:
            words = ["headscope", "report", *map(str, folders), "--out", "report.html"]
            return Outcome(drawings.resolve(), (), shlex.join(words))
    return page_outcome(shown, folders, page or Path("report.html"), quiet=quiet)


def page_outcome(shown: Report, runs: Sequence[Path], out: Path, *, quiet: bool) -> Outcome:
    """Write the page of a report on `runs`, and say where it is and what it shows."""
    from headscope.reporting.ending import ending
    from headscope.results.run import Run

    page = shown.save(out)
    lines: tuple[str, ...] = ()
    said: tuple[str, ...] = ()
    # Findings of several tasks or models are told apart on the page alone.
    if len(shown.sections) == 1:
        section = shown.sections[0]
        lines = ending(section.run.tables, Run(runs[0]).notes)
        said = tuple(finding.text for finding in section.findings)
    say("report built", quiet=quiet)
    return Outcome(page.resolve(), lines, open_page(page, runs[0]), said)
