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
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import polars as pl
from markupsafe import Markup
from numpy.typing import NDArray

from headscope.errors import HeadscopeError
from headscope.figures import FIGURES, SIGNIFICANT, label, paper_figures, svg
from headscope.reporting.findings import Tables, findings, number, p_value

Map = NDArray[np.uint8]

_HERE = Path(__file__).parent
_TEXT, _COUNT, _NUMBER = pl.String(), pl.Int64(), pl.Float64()
_INTERVAL = {"low": _NUMBER, "high": _NUMBER, "n": _COUNT, "unit": _TEXT}
SCHEMAS: dict[str, dict[str, pl.DataType]] = {
    "scores": {"model": _TEXT, "task": _TEXT, "configuration": _TEXT, "metric": _TEXT, "seed": _COUNT}
    | {"value": _NUMBER, **_INTERVAL, "majority": _NUMBER},
    "heads": {"model": _TEXT, "task": _TEXT, "layer": _COUNT, "head": _COUNT, "measure": _TEXT}
    | {"value": _NUMBER, **_INTERVAL},
    "disabled": {"model": _TEXT, "task": _TEXT, "set": _TEXT, "layer": _COUNT, "head": _COUNT, "mode": _TEXT}
    | {"metric": _TEXT, "baseline": _NUMBER, "value": _NUMBER, "delta": _NUMBER, **_INTERVAL}
    | {"p": _NUMBER, "p_corrected": _NUMBER, "test": _TEXT, "activation_change": _NUMBER},
    "change": {"model": _TEXT, "task": _TEXT, "layer": _COUNT, "head": _COUNT, "measure": _TEXT}
    | {"value": _NUMBER, **_INTERVAL, "before": _NUMBER, "after": _NUMBER},
    "examples": {"example": _COUNT, "label": _TEXT, "prediction": _TEXT}
    | {"tokens": pl.List(_TEXT), "segments": pl.List(_COUNT), "special": pl.List(pl.Boolean())},
}
"""The tables that the report shows, with their columns."""

_NEEDED = {
    "scores": ["configuration", "metric", "value"],
    "heads": ["layer", "head", "measure", "value"],
    "disabled": ["set", "layer", "head", "metric", "delta"],
    "change": ["layer", "head", "measure", "value"],
    "examples": ["example", "tokens"],
}
_SHOWN = {
    "scores": "the scores",
    "heads": "the measures of each head",
    "disabled": "the effect of disabling heads",
    "change": "what fine-tuning changed",
    "examples": "the examples",
    "maps": "the attention maps",
}
_WRITES = {
    "measure": {"heads"},
    "compare": {"heads", "change"},
    "finetune": {"scores"},
    "disable": {"scores", "disabled"},
}
"""What a command writes; `study`, and a run that nobody knows the command of, write everything."""
_MOST = 256  # layers or heads: a grid beyond that is a damaged table, not a model

_EXACT_BYTES = 1_500_000
_LEVELS = (0, 3, 7, 12, 18, 26, 36, 48, 62, 80, 100, 124, 152, 184, 220, 255)
"""The 16 weights (x 255) that are told apart when all maps together exceed `_EXACT_BYTES`: finer where most are."""


@dataclass(frozen=True)
class Run:
    """What one section of the report shows; `problems` says in words what is missing."""

    title: str
    meta: dict[str, Any]
    tables: Tables
    maps: Mapping[str, Map] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


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


def read(folder: Path) -> Run:
    """A run folder as it is; `problems` names what cannot be read. Raises HeadscopeError if it is no run folder."""
    if not any((folder / name).is_file() for name in ("run.json", *(f"{table}.parquet" for table in SCHEMAS))):
        raise HeadscopeError(f"{folder} holds no run: give the folder that a command wrote with --out")
    problems: list[str] = []
    meta: dict[str, Any] = {}
    try:
        meta = dict(json.loads((folder / "run.json").read_text(encoding="utf-8")))
    except FileNotFoundError:
        problems.append("run.json is missing: the run has not finished, and what was run is not known.")
    except (ValueError, TypeError, OSError):
        problems.append("run.json is damaged: what was run is not known.")
    tables = {}
    expected = _WRITES.get(_text(meta.get("command")), {*SCHEMAS, "maps"})
    for name in SCHEMAS:
        try:
            tables[name] = _table(folder / f"{name}.parquet", name)
        except FileNotFoundError:
            if name in expected:
                problems.append(f"{name}.parquet is missing: {_SHOWN[name]} cannot be shown.")
        except HeadscopeError as error:
            problems.append(f"{name}.parquet is damaged ({error}): {_SHOWN[name]} cannot be shown.")
    maps: dict[str, Map] = {}
    try:
        maps = _maps(folder / "maps.safetensors")
    except FileNotFoundError:
        if "maps" in expected:
            problems.append(f"maps.safetensors is missing: {_SHOWN['maps']} cannot be shown.")
    except Exception:  # safetensors raises its own errors, and others for a bad header
        problems.append(f"maps.safetensors is damaged: {_SHOWN['maps']} cannot be shown.")
    names = [_short(_text(_part(meta, part).get("name"))) for part in ("model", "task")]
    return Run(" · ".join(filter(None, names)) or folder.resolve().name, meta, tables, maps, tuple(problems))


def _table(path: Path, name: str) -> pl.DataFrame:
    """A table with the columns of its schema; what is not a finite number is null. Raises HeadscopeError if damaged."""
    schema = SCHEMAS[name]
    if not path.is_file():
        raise FileNotFoundError(path)
    try:
        frame = pl.read_parquet(path)
    except Exception as error:  # what a damaged file raises is up to the reader's library
        raise HeadscopeError("the file cannot be read") from error
    if lacking := [column for column in _NEEDED[name] if column not in frame.columns]:
        raise HeadscopeError(f"it lacks {', '.join(lacking)}")
    try:
        frame = frame.select(
            (pl.col(column) if column in frame.columns else pl.lit(None)).cast(dtype).alias(column)
            for column, dtype in schema.items()
        )
    except pl.exceptions.PolarsError as error:
        raise HeadscopeError("a column is of another type") from error
    finite = [
        pl.when(pl.col(c).is_finite()).then(pl.col(c)).alias(c) for c, dtype in schema.items() if dtype == _NUMBER
    ]
    frame = frame.with_columns(finite)
    return frame.filter(pl.col(column).is_not_null() for column in _NEEDED[name][:2]) if name == "examples" else frame


def _maps(path: Path) -> dict[str, Map]:
    from safetensors.numpy import load_file

    if not path.is_file():
        raise FileNotFoundError(path)
    return {k: v for k, v in load_file(path).items() if v.ndim == 4 and v.dtype == np.uint8 and v.size}


def _by_task(run: Run) -> list[Run]:
    """A run over several tasks as one section a task; the examples go to the task that run.json names, or the first."""
    tasks = sorted({t for f in run.tables.values() if "task" in f.columns for t in f["task"].drop_nulls().unique()})
    if len(tasks) < 2:
        return [run]
    named = _text(_part(run.meta, "task").get("name"))
    holder = named if named in tasks else tasks[0]
    model = _short(_text(_part(run.meta, "model").get("name")))
    sections = []
    for task in tasks:
        tables = {
            name: frame.filter(pl.col("task").is_null() | (pl.col("task") == task))
            if "task" in frame.columns
            else frame
            for name, frame in run.tables.items()
            if name != "examples" or task == holder
        }
        tables = {name: frame for name, frame in tables.items() if frame.height}
        title = " · ".join(filter(None, [model, task]))
        sections.append(replace(run, title=title, tables=tables, maps=run.maps if task == holder else {}))
    return sections


def _part(meta: Mapping[str, Any], key: str) -> dict[str, Any]:
    """A part of run.json that should be an object, whatever it is."""
    part = meta.get(key)
    return part if isinstance(part, dict) else {"name": part} if isinstance(part, str) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)


def _short(name: str) -> str:
    """A model's name for a title: of a path its last two parts."""
    return "/".join(name.split("/")[-2:])


def _payload(run: Run) -> dict[str, Any]:
    """What the script of the page needs of a run, but for the maps."""
    sides = []
    for axis in ("layer", "head"):
        given = _part(run.meta, "model").get(f"{axis}s")
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
    if "change" not in tables:
        return tables
    own = pl.col("measure").str.starts_with("cosine")
    renamed = pl.when(own).then("measure").otherwise(pl.lit("change_in_") + pl.col("measure"))
    change = tables["change"].with_columns(renamed.alias("measure")).drop("before", "after")
    heads = [tables["heads"]] if "heads" in tables else []
    return {**{k: v for k, v in tables.items() if k != "change"}, "heads": pl.concat([*heads, change])}


def _drawn(tables: Tables) -> list[dict[str, str]]:
    """The paper's figures as images that need no network: an SVG in a data address, and what it shows."""
    figures = []
    for name, chart in paper_figures(tables).items():
        image = base64.b64encode(svg(chart).encode()).decode()
        figures.append({"image": f"data:image/svg+xml;base64,{image}", "title": FIGURES[name][0]})
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
        "words": _text,
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
        "exact": all(len(m["levels"]) == 256 for m in maps.values()),
        "levels": _LEVELS,
        "part": {key: _part(run.meta, key) for key in ("model", "task", "data", "options", "versions", "definitions")},
    }
