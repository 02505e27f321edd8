"""Read a run folder for the report: its tables, maps and record; what is missing or damaged is named in words."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from headscope.errors import HeadscopeError
from headscope.reporting.findings import Tables

Map = NDArray[np.uint8]

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
    "patterns": {"model": _TEXT, "task": _TEXT, "state": _TEXT, "layer": _COUNT, "head": _COUNT, "class": _TEXT}
    | {"measure": _TEXT, "value": _NUMBER, **_INTERVAL, "examples": _COUNT},
    "heterogeneous": {"model": _TEXT, "task": _TEXT, "layer": _COUNT, "head": _COUNT, "group": _COUNT}
    | {"name": _TEXT, "measure": _TEXT, "value": _NUMBER, "share": _NUMBER, "unit": _TEXT},
    "selection": {"model": _TEXT, "task": _TEXT, "metric": _TEXT, "sets": _COUNT, "best": _TEXT, "value": _NUMBER}
    | {"honest": _NUMBER, **_INTERVAL, "verdict": _TEXT, "text": _TEXT},
    "predictors": {"model": _TEXT, "task": _TEXT, "measure": _TEXT, "effect": _TEXT, "value": _NUMBER}
    | {**_INTERVAL, "p": _NUMBER, "p_corrected": _NUMBER},
    "claims": dict.fromkeys(("model", "task", "claim", "text", "verdict", "evidence", "caveat"), _TEXT),
    "examples": {"example": _COUNT, "label": _TEXT, "prediction": _TEXT}
    | {"tokens": pl.List(_TEXT), "segments": pl.List(_COUNT), "special": pl.List(pl.Boolean())},
}
"""The tables that the report shows, with their columns."""

_NEEDED = {
    "scores": ["configuration", "metric", "value"],
    "heads": ["layer", "head", "measure", "value"],
    "disabled": ["set", "layer", "head", "metric", "delta"],
    "change": ["layer", "head", "measure", "value"],
    "patterns": ["state", "class", "measure", "value"],
    "heterogeneous": ["layer", "head", "group", "name"],
    "selection": ["metric", "best", "value", "text"],
    "predictors": ["measure", "effect", "value"],
    "claims": ["claim", "verdict"],
    "examples": ["example", "tokens"],
}
_SHOWN = {
    "scores": "the scores",
    "heads": "the measures of each head",
    "disabled": "the effect of disabling heads",
    "change": "what fine-tuning changed",
    "patterns": "the patterns",
    "heterogeneous": "the groups of heterogeneous heads",
    "selection": "the test of the best set",
    "predictors": "which measures go with the effect of disabling",
    "claims": "the verdicts on the paper's claims",
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
_ON_REQUEST = {"patterns", "heterogeneous", "selection", "predictors", "claims"}
"""What a complete run may lack: other measures were asked for, no head is heterogeneous, or there are too few heads."""


@dataclass(frozen=True)
class Run:
    """What one section of the report shows; `problems` says in words what is missing."""

    title: str
    meta: dict[str, Any]
    tables: Tables
    maps: Mapping[str, Map] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


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
    expected = _WRITES.get(text(meta.get("command")), {*SCHEMAS, "maps"} - _ON_REQUEST)
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
    names = [short(text(part(meta, key).get("name"))) for key in ("model", "task")]
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


def part(meta: Mapping[str, Any], key: str) -> dict[str, Any]:
    """A part of run.json that should be an object, whatever it is."""
    part = meta.get(key)
    return part if isinstance(part, dict) else {"name": part} if isinstance(part, str) else {}


def text(value: object) -> str:
    """A value of a record as text."""
    return value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)


def short(name: str) -> str:
    """A model's name for a title: of a path its last two parts."""
    return "/".join(name.split("/")[-2:])
