"""Run folders -> one HTML file that needs no network, and the figures for a paper.

A table that is missing or damaged is named in the report, and the rest is shown. Every text of a
data set is untrusted: Jinja2 escapes it, the embedded JSON holds no character that HTML could read,
and a content security policy names the one script and the one style by their hashes.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from headscope.axes import Heads
from headscope.errors import HeadscopeError
from headscope.figures.catalogue import Drawing, chart_tables, drawings
from headscope.figures.saving import save_charts, save_figures
from headscope.figures.style import look_of
from headscope.figures.thumbnails import SIDE
from headscope.files import replacing
from headscope.reporting.html import (
    PAGE,
    SHARED,
    environment,
    in_one_scope,
    joined,
    offline_policy,
)
from headscope.reporting.images import image
from headscope.reporting.reading import part, short, text
from headscope.reporting.sections import Section, sections_of
from headscope.reporting.side_by_side import gathered, line, summary

_SCRIPTS = {
    SHARED: ("dom.js", "heatmap.js"),
    PAGE: (
        *("text.js", "data.js", "downloads.js", "colourings.js", "view.js", "search.js"),
        *("atlas.js", "card.js", "scrolling.js"),
        *("map_data.js", "map_drawing.js", "maps.js", "tables.js", "comparison.js", "main.js"),
    ),
}
"""The files of the page's script by folder, in their order; `main.js` starts the page."""
_STYLES = {SHARED: ("colours.css",), PAGE: ("page.css", "section.css", "atlas.css", "maps.css")}


@dataclass(frozen=True, eq=False)
class Report:
    """What run folders show: a page, and figures. A figure that both hold is drawn once."""

    sections: Sequence[Section]

    @classmethod
    def of(cls, folders: Sequence[Path]) -> "Report":
        """A report on run folders.

        Raises:
            HeadscopeError: There is none, or one holds no run.
        """
        if not folders:
            raise HeadscopeError("there is no run to report on: name at least one run folder")
        return cls(sections_of(folders))

    @cached_property
    def together(self) -> list[Drawing]:
        """The figures that hold all sections, where there are several."""
        if len(self.sections) == 1:
            return []
        tables = gathered([section.run for section in self.sections])
        return drawings({**tables, **chart_tables(tables, {}, None)})

    def save(self, out: Path) -> Path:
        """Write the page in one step: a reader never sees half a file. Returns `out`.

        Raises:
            HeadscopeError: When `out` is a folder.
        """
        if out.is_dir():
            raise HeadscopeError(
                f"{out} is a folder: name a file for the report, as in {out / 'report.html'}"
            )
        html = _render(self)
        with replacing(out, shared=True) as unfinished:
            # A lone surrogate, which JSON can hold, has no UTF-8 form.
            unfinished.write_bytes(html.encode("utf-8", "replace"))
        return out

    def save_figures(
        self,
        folder: Path,
        style: str = "plain",
        heads: Heads | None = None,
        example: int | None = None,
    ) -> Path:
        """Write every figure in the files of a style, with its numbers as CSV, into `folder`; in a
        folder per section where there are several. Returns `folder`.

        Args:
            folder: Where to.
            style: One of `figures.style.STYLES`.
            heads: Draw the maps of these heads, too.
            example: Of which example; None for the shortest of those that the run keeps.

        Raises:
            HeadscopeError: For another style, where a section has no figure, or where it keeps no
                such map.
        """
        look = look_of(style)
        drawn = [[*section.drawings] for section in self.sections]
        if heads is not None:
            for section, drawings_of in zip(self.sections, drawn, strict=True):
                drawings_of.append(section.maps_of(heads, example))
        for position, section in enumerate(self.sections, 1):
            inside = folder
            if len(self.sections) > 1:
                inside = folder / f"{position}_{_file_name(section.run.title)[:60]}"
            save_figures(drawn[position - 1], inside, look)
        if self.together:
            save_figures(self.together, folder, look)
        return folder

    def save_charts(self, folder: Path) -> None:
        """Write the figures of each section's tables as SVG and PNG into `folder`."""
        for section in self.sections:
            save_charts(section.drawings, section.run.tables, folder)


def build(folders: Sequence[Path], out: Path) -> Path:
    """Write one offline HTML file about run folders to `out`. Returns `out`.

    Raises:
        HeadscopeError: When there is no run folder, or when `out` is a folder.
    """
    return Report.of(folders).save(Path(out))


def _file_name(title: str) -> str:
    return re.sub(r"[^\w.-]", "_", title).strip("._") or "run"


def script() -> str:
    """The page's script: its files in one scope, which nothing else sees."""
    return in_one_scope(_SCRIPTS)


def _render(report: Report) -> str:
    runs = [section.run for section in report.sections]
    several = len(runs) > 1
    is_paper = all(section.is_paper for section in report.sections)
    lines = [line(run) for run in runs] if several else []
    style, code = joined(_STYLES), script()
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            page=_title(report),
            sections=report.sections,
            lines=lines,
            summary=summary(runs, lines),
            together=[image(drawing, is_numbered=is_paper) for drawing in report.together],
            side=SIDE,
            style=style,
            script=code,
            policy=offline_policy(code, style),
        )
    )


def _title(report: Report) -> str:
    runs = [section.run for section in report.sections]
    if len(runs) == 1:
        return runs[0].title
    if len({run.folder for run in runs}) > 1:
        return f"{len(runs)} runs"
    return f"{short(text(part(runs[0].meta, 'model').get('name')))} · {len(runs)} tasks"
