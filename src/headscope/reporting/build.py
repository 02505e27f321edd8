"""Run folders -> one HTML file that needs no network: read the tables, say what they show, fill the template.

A table that is missing or damaged is named in the report, and the rest is shown. Every text of a data set is untrusted:
Jinja2 escapes it, the embedded JSON holds no character that HTML could read, and a content security policy names the
one script and the one style by their hashes.
"""

import base64
import hashlib
import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import polars as pl
from markupsafe import Markup
from numpy.typing import NDArray

from headscope.effect_figures import TITLES, effect_figures
from headscope.errors import HeadscopeError
from headscope.figures import FIGURES, SIGNIFICANT, label, paper_figures, svg
from headscope.predictors import LAYER
from headscope.reporting.findings import Tables, findings, number, p_value
from headscope.reporting.reading import SCHEMAS, Map, Run, part, read, short, text

_HERE = Path(__file__).parent
_MOST = 256  # layers or heads: a grid beyond that is a damaged table, not a model
_EXACT_BYTES, _SIGNALS = 1_500_000, 8
_LEVELS = (0, 3, 7, 12, 18, 26, 36, 48, 62, 80, 100, 124, 152, 184, 220, 255)
"""The 16 weights (x 255) that are told apart when all maps together exceed `_EXACT_BYTES`: finer where most are."""


def build(runs: list[Path], out: Path) -> Path:
    """Write one offline HTML file about `runs` (run folders) to `out`, in one step: a reader never sees half a file.

    Raises HeadscopeError when there is no run folder, or when `out` is a folder.
    """
    out = Path(out)
    if not runs:
        raise HeadscopeError("there is no run to report on: name at least one run folder")
    if out.is_dir():
        raise HeadscopeError(f"{out} is a folder: name a file for the report, as in {out / 'report.html'}")
    sections = [section for folder in runs for section in _by_task(read(Path(folder)))]
    html = _render(sections)
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        # A lone surrogate, which JSON can hold, has no UTF-8 form.
        draft.write_bytes(html.encode("utf-8", "replace"))
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)
    return out


def _by_task(run: Run) -> list[Run]:
    """A run over several tasks as one section a task; the examples go to the task that run.json names, or the first."""
    tasks = sorted({t for f in run.tables.values() if "task" in f.columns for t in f["task"].drop_nulls().unique()})
    if len(tasks) < 2:
        return [run]
    named = text(part(run.meta, "task").get("name"))
    holder = named if named in tasks else tasks[0]
    model = short(text(part(run.meta, "model").get("name")))
    sections = []
    for task in tasks:
        tables = {
            name: frame.filter(pl.col("task").is_null() | (pl.col("task") == task))
            if "task" in frame.columns
            else frame
            for name, frame in run.tables.items()
            if name not in ("examples", "claims") or task == holder
        }
        tables = {name: frame for name, frame in tables.items() if frame.height}
        title = " · ".join(filter(None, [model, task]))
        sections.append(replace(run, title=title, tables=tables, maps=run.maps if task == holder else {}))
    return sections


def _payload(run: Run) -> dict[str, Any]:
    """What the script of the page needs of a run, but for the maps."""
    sides = []
    for axis in ("layer", "head"):
        given = part(run.meta, "model").get(f"{axis}s")
        seen = [run.tables[t][axis].max() for t in ("heads", "disabled") if t in run.tables]
        sizes = [n for n in (given, *seen) if isinstance(n, int) and 1 <= n <= _MOST]
        sides.append(max(sizes, default=0))
    tables = _atlas_tables(run.tables)
    names = {n for t, c in (("heads", "measure"), ("disabled", "metric")) if t in tables for n in tables[t][c]}
    return {
        "layers": sides[0],
        "heads": sides[1],
        "significant": SIGNIFICANT,
        "labels": {name: label(name) for name in sorted(names - {None})},
        "tables": {name: frame.to_dict(as_series=False) for name, frame in tables.items()},
        "maps": sorted(run.maps),
    }


def _atlas_tables(tables: Tables) -> Tables:
    """The tables as the atlas takes them: what fine-tuning changed is a measure among the others."""
    tables = _with_shares(tables)
    if "change" not in tables:
        return tables
    own = pl.col("measure").str.starts_with("cosine")
    renamed = pl.when(own).then("measure").otherwise(pl.lit("change_in_") + pl.col("measure"))
    change = tables["change"].with_columns(renamed.alias("measure")).drop("before", "after")
    heads = [tables["heads"]] if "heads" in tables else []
    return {**{k: v for k, v in tables.items() if k != "change"}, "heads": pl.concat([*heads, change])}


def _with_shares(tables: Tables) -> Tables:
    """The share of every pattern among a head's maps as a measure of the head, in the last state that was measured."""
    kept = {k: v for k, v in tables.items() if k not in ("patterns", "heterogeneous")}
    if "patterns" not in tables:
        return kept
    shares = tables["patterns"].filter(pl.col("measure") == "share", pl.col("head").is_not_null())
    last = shares.filter(pl.col("state") == shares["state"].last()) if shares.height else shares
    named = last.with_columns(measure=pl.lit("share_") + pl.col("class")).select(list(SCHEMAS["heads"]))
    return kept | {"heads": pl.concat([*([kept["heads"]] if "heads" in kept else []), named])}


def shares_by_class(tables: Tables) -> list[dict[str, Any]]:
    """The model's share of every pattern in every state, counted and corrected: a row per class, for the report."""
    if "patterns" not in tables:
        return []
    whole = tables["patterns"].filter(pl.col("layer").is_null(), pl.col("head").is_null())
    rows: dict[str, dict[str, Any]] = {}
    for row in whole.iter_rows(named=True):
        rows.setdefault(row["class"], {"class": row["class"]})[f"{row['state']} {row['measure']}"] = row
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
    """The signals that go best with what disabling a head costs; last comes `layer`, which any has to beat."""
    if "predictors" not in tables:
        return []
    frame = tables["predictors"]
    rows = frame.filter(pl.col("effect") == frame["effect"].first()).to_dicts()
    best = [row for row in rows if row["measure"] != LAYER][:_SIGNALS]
    return best + [row for row in rows if row["measure"] == LAYER]


def _drawn(tables: Tables) -> list[dict[str, str]]:
    """The paper's figures as images that need no network: an SVG in a data address, and what it shows."""
    figures = []
    titles = {**TITLES, **{name: title for name, (title, *_) in FIGURES.items()}}
    for name, chart in {**effect_figures(tables), **paper_figures(tables)}.items():
        image = base64.b64encode(svg(chart).encode()).decode()
        figures.append({"image": f"data:image/svg+xml;base64,{image}", "title": titles[name]})
    return figures


def packed(maps: Mapping[str, Map]) -> dict[str, dict[str, Any]]:
    """Maps [layer, head, query, key] as deflated base64, keys before queries since columns repeat.

    All maps exact while they are small together; else 16 `levels`, two to a byte. `after` is kept as its difference
    (modulo the number of levels) from `before` where that is shorter.
    """
    levels = range(256) if sum(m.size for m in maps.values()) <= _EXACT_BYTES else _LEVELS
    nearest = np.abs(np.arange(256)[:, None] - np.asarray(levels)).argmin(1).astype(np.uint8)
    coded = {key: nearest[weights].swapaxes(2, 3) for key, weights in maps.items()}
    out = {}
    for key, codes in coded.items():
        plain = _deflate(codes, len(levels))
        other = key.replace("after/", "before/")
        base = coded.get(other) if other != key else None
        difference = (
            None
            if base is None or base.shape != codes.shape
            else _deflate((codes - base) & (len(levels) - 1), len(levels))
        )
        shorter = difference is not None and len(difference) < len(plain)
        out[key] = {
            "shape": list(maps[key].shape),
            "levels": list(levels),
            "minus": other if shorter else None,
            "data": base64.b64encode(difference if difference and shorter else plain).decode(),
        }
    return out


def _deflate(codes: Map, levels: int) -> bytes:
    flat: NDArray[Any] = codes.astype(np.uint8).ravel()
    if levels <= 16:
        flat = np.append(flat, np.zeros(flat.size % 2, np.uint8))
        flat = flat[::2] | flat[1::2] << 4
    return zlib.compress(flat.tobytes(), 7)


def embedded(value: object) -> str:
    """JSON that is safe inside an HTML script element and in any encoding: ASCII, without `<`, `>` and `&`."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), default=str)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _render(runs: list[Run]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
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
        "json": lambda value: Markup(embedded(value)),  # noqa: S704 - holds no character that HTML reads
        "trusted": Markup,  # the two files of this folder, never data
    }
    style, script = ((_HERE / name).read_text(encoding="utf-8") for name in ("style.css", "report.js"))
    return environment.get_template("template.html.j2").render(
        sections=[_section(run) for run in runs],
        style=style,
        script=script,
        policy=f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'",
    )


def _section(run: Run) -> dict[str, Any]:
    maps = packed(run.maps)
    return {
        "run": run,
        "findings": findings(run.tables),
        "payload": _payload(run),
        "maps": maps,
        "figures": _drawn(run.tables),
        "patterns": shares_by_class(run.tables),
        "groups": heterogeneous_groups(run.tables),
        "signals": best_signals(run.tables),
        "exact": all(len(m["levels"]) == 256 for m in maps.values()),
        "levels": _LEVELS,
        "part": {key: part(run.meta, key) for key in ("model", "task", "data", "options", "versions", "definitions")},
    }
