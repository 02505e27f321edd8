"""Run folders -> one HTML file that needs no network: read the tables, say what they show, fill the
template.

A table that is missing or damaged is named in the report, and the rest is shown. Every text of a
data set is untrusted: Jinja2 escapes it, the embedded JSON holds no character that HTML could read,
and a content security policy names the one script and the one style by their hashes.
"""

import base64
import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jinja2
import polars as pl
from markupsafe import Markup

from headscope.errors import HeadscopeError
from headscope.figures.catalogue import Drawing, drawings, picture, save_figures
from headscope.figures.heatmaps import label, size_of
from headscope.figures.thumbnails import SIDE, typical
from headscope.reporting.findings import findings
from headscope.reporting.payload import LEVELS, embedded, packed, payload
from headscope.reporting.reading import Run, examples_of, joined, part, read, short, text, titled
from headscope.reporting.side_by_side import gathered, line
from headscope.results.numbers import number, p_value
from headscope.results.tables import Tables
from headscope.stats.proxies import LAYER

_PAGE = Path(__file__).parent / "page"
_SHARED = Path(__file__).parents[1] / "page"
_SCRIPTS = {
    _SHARED: ("dom.js", "heatmap.js"),
    _PAGE: (
        *("text.js", "data.js", "downloads.js", "colourings.js", "view.js", "atlas.js", "card.js"),
        *("map_data.js", "map_drawing.js", "maps.js", "tables.js", "comparison.js", "main.js"),
    ),
}
"""The files of the page's script by folder, in their order; `main.js` starts the page."""
_STYLES = {_SHARED: ("colours.css",), _PAGE: ("page.css", "section.css", "atlas.css", "maps.css")}
_SIGNALS = 8
_EXAMPLES = 4  # of each task, where a run is on several


def build(runs: list[Path], out: Path) -> Path:
    """Write one offline HTML file about `runs` (run folders) to `out`, in one step: a reader never
    sees half a file.

    Folders about one model and one task, such as those of `compare` and `disable`, become one part
    of the page. Raises HeadscopeError when there is no run folder, or when `out` is a folder.
    """
    out = Path(out)
    if not runs:
        raise HeadscopeError("there is no run to report on: name at least one run folder")
    if out.is_dir():
        raise HeadscopeError(
            f"{out} is a folder: name a file for the report, as in {out / 'report.html'}"
        )
    html = _render(sections_of(runs))
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        # A lone surrogate, which JSON can hold, has no UTF-8 form.
        draft.write_bytes(html.encode("utf-8", "replace"))
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)
    return out


def sections_of(folders: Sequence[Path]) -> list[Run]:
    """What the report is about, one model and task after the other."""
    return [
        section
        for run in joined([read(Path(folder)) for folder in folders])
        for section in _by_task(run)
    ]


def figures(runs: list[Path], folder: Path, style: str = "plain") -> Path:
    """Write every figure of `runs` as SVG, PDF and CSV into `folder`; in a folder each where there
    are several.

    style: "plain", or "acl" for the sizes and the font of ACL's style. Raises HeadscopeError.
    """
    sections = sections_of(runs)
    for at, run in enumerate(sections, 1):
        name = (
            "".join(c if c.isalnum() or c in "-_." else "_" for c in run.title).strip("._") or "run"
        )
        own = folder if len(sections) == 1 else folder / f"{at}_{name[:60]}"
        save_figures(run.tables, run.maps, typical(run.maps), own, style)
    if len(sections) > 1 and (together := gathered(sections)):
        save_figures(together, {}, None, folder, style)
    return folder


def _by_task(run: Run) -> list[Run]:
    """A run over several tasks as one section a task; the examples go to the task that run.json
    names, or the first.
    """
    tasks = sorted(
        {
            t
            for f in run.tables.values()
            if "task" in f.columns
            for t in f["task"].drop_nulls().unique()
        }
    )
    if len(tasks) < 2:
        return [run]
    named = text(part(run.meta, "task").get("name"))
    holder = named if named in tasks else tasks[0]
    sections = []
    for task in tasks:
        tables = {
            name: frame.filter(pl.col("task").is_null() | (pl.col("task") == task))
            if "task" in frame.columns and name != "claims"
            else frame
            for name, frame in run.tables.items()
            if name not in ("examples", "claims") or task == holder
        }
        tables = {name: frame for name, frame in tables.items() if frame.height}
        title = titled(run.meta, task)
        maps = run.maps if task == holder else {}
        if "examples" not in tables:
            examples, maps = examples_of(run.folder, task, _EXAMPLES)
            tables |= examples
        sections.append(replace(run, title=title, tables=tables, maps=maps))
    return sections


def shares_by_class(tables: Tables) -> list[dict[str, Any]]:
    """The model's share of every pattern in every state, counted and corrected: a row per class,
    for the report.
    """
    if "patterns" not in tables:
        return []
    whole = tables["patterns"].filter(pl.col("layer").is_null(), pl.col("head").is_null())
    rows: dict[str, dict[str, Any]] = {}
    for row in whole.iter_rows(named=True):
        rows.setdefault(row["class"], {"class": row["class"]})[
            f"{row['state']} {row['measure']}"
        ] = row
    return list(rows.values())


def heterogeneous_groups(tables: Tables) -> list[dict[str, Any]]:
    """The groups of heterogeneous heads: name and heads, for the report."""
    if "heterogeneous" not in tables:
        return []
    found: dict[int, dict[str, Any]] = {}
    for row in tables["heterogeneous"].sort("group", "layer", "head").iter_rows(named=True):
        group = found.setdefault(row["group"], {**row, "heads": []})
        group["heads"].append(f"L{row['layer']}H{row['head']}")
    return list(found.values())


def best_signals(tables: Tables) -> list[dict[str, Any]]:
    """The signals that go best with what disabling a head costs; last comes `layer`, which any has
    to beat.
    """
    if "predictors" not in tables:
        return []
    frame = tables["predictors"]
    rows = frame.filter(pl.col("effect") == frame["effect"].first()).to_dicts()
    best = [row for row in rows if row["measure"] != LAYER][:_SIGNALS]
    return best + [row for row in rows if row["measure"] == LAYER]


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def script() -> str:
    """The page's script: its files in one scope, which nothing else sees."""
    return f"(() => {{\n{_joined(_SCRIPTS)}\n}})();\n"


def _joined(files: Mapping[Path, Sequence[str]]) -> str:
    texts = []
    for folder, names in files.items():
        texts += [(folder / name).read_text(encoding="utf-8") for name in names]
    return "\n".join(texts)


def _render(runs: list[Run]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_PAGE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": number,
        "p_value": p_value,
        "label": label,
        "words": text,
        "percent": lambda value: "–" if value is None else f"{100 * value:.1f}%",
        "json": lambda value: Markup(embedded(value)),  # noqa: S704 - holds no character that HTML reads
        "trusted": Markup,  # the files of this folder, never data
    }
    style, code = _joined(_STYLES), script()
    several = len(runs) > 1
    one = len({run.folder for run in runs}) == 1
    page = (
        f"{short(text(part(runs[0].meta, 'model').get('name')))} · {len(runs)} tasks"
        if one
        else f"{len(runs)} runs"
    )
    together = drawings(gathered(runs), {}, None)[0] if several else []
    return environment.get_template("report.html.j2").render(
        page=page if several else runs[0].title,
        sections=[_section(run) for run in runs],
        lines=[line(run) for run in runs] if several else [],
        together=[_figure(one) for one in together],
        side=SIDE,
        style=style,
        script=code,
        policy=f"default-src 'none'; script-src '{_hash(code)}'; style-src '{_hash(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'",
    )


def _section(run: Run) -> dict[str, Any]:
    maps, small = packed(run.maps), typical(run.maps)
    drawn, extra = drawings(run.tables, run.maps, small)
    parts = ("model", "task", "data", "options", "versions")
    records = [run.meta, *run.others]
    return {
        "run": run,
        "findings": findings(run.tables),
        "payload": payload(run, small, extra),
        "maps": maps,
        "figures": [_figure(one) for one in drawn],
        "patterns": shares_by_class(run.tables),
        "groups": heterogeneous_groups(run.tables),
        "proxies": best_signals(run.tables),
        "exact": all(len(m["levels"]) == 256 for m in maps.values()),
        "levels": LEVELS,
        "records": [
            {**record, "part": {key: part(record, key) for key in parts}} for record in records
        ],
        "definitions": {
            k: v for record in reversed(records) for k, v in part(record, "definitions").items()
        },
    }


def data_address(drawn: str) -> Markup:
    """An SVG as the address of an image, for an attribute in double quotes: a quarter shorter than
    base64.

    What could end the attribute, the address or a reference in it is written as its code.
    """
    text = re.sub(r"<[^<>']*>", lambda tag: tag[0].replace('"', "'"), drawn)
    for character, code in (
        ("%", "%25"),
        ("#", "%23"),
        ('"', "%22"),
        ("\n", "%0A"),
        ("&", "&amp;"),
    ):
        text = text.replace(character, code)
    return Markup("data:image/svg+xml,") + Markup(text)  # noqa: S704 - see above


def _figure(one: Drawing) -> dict[str, Any]:
    """A figure for the template: an SVG in a data address, which needs no network and can run
    nothing.
    """
    drawn = picture(one)
    width, height = size_of(drawn)
    saved = embedded({"name": one.name, "table": one.table, "where": dict(one.where)})
    return {
        "image": data_address(drawn),
        "width": f"{width:g}",
        "height": f"{height:g}",
        "number": one.number,
        "title": one.title,
        "beside": one.beside,
        "save": saved,
    }
