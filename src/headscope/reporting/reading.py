"""Read a run folder for the report: its tables, maps and record; what is missing or damaged is
named in words.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from headscope.errors import HeadscopeError
from headscope.results.tables import Map, Tables

_TEXT, _COUNT, _NUMBER = pl.String(), pl.Int64(), pl.Float64()
_INTERVAL = {"low": _NUMBER, "high": _NUMBER, "n": _COUNT, "unit": _TEXT}
SCHEMAS: dict[str, dict[str, pl.DataType]] = {
    "scores": {
        "model": _TEXT,
        "task": _TEXT,
        "configuration": _TEXT,
        "metric": _TEXT,
        "seed": _COUNT,
    }
    | {"value": _NUMBER, **_INTERVAL, "majority": _NUMBER},
    "heads": {"model": _TEXT, "task": _TEXT, "layer": _COUNT, "head": _COUNT, "measure": _TEXT}
    | {"value": _NUMBER, **_INTERVAL},
    "disabled": {
        "model": _TEXT,
        "task": _TEXT,
        "set": _TEXT,
        "layer": _COUNT,
        "head": _COUNT,
        "mode": _TEXT,
    }
    | {"metric": _TEXT, "baseline": _NUMBER, "value": _NUMBER, "delta": _NUMBER, **_INTERVAL}
    | {"p": _NUMBER, "p_corrected": _NUMBER, "test": _TEXT, "activation_change": _NUMBER},
    "change": {"model": _TEXT, "task": _TEXT, "layer": _COUNT, "head": _COUNT, "measure": _TEXT}
    | {"value": _NUMBER, **_INTERVAL, "before": _NUMBER, "after": _NUMBER},
    "patterns": {
        "model": _TEXT,
        "task": _TEXT,
        "state": _TEXT,
        "layer": _COUNT,
        "head": _COUNT,
        "class": _TEXT,
    }
    | {"measure": _TEXT, "value": _NUMBER, **_INTERVAL, "examples": _COUNT},
    "heterogeneous": {
        "model": _TEXT,
        "task": _TEXT,
        "layer": _COUNT,
        "head": _COUNT,
        "group": _COUNT,
    }
    | {"name": _TEXT, "measure": _TEXT, "value": _NUMBER, "share": _NUMBER, "unit": _TEXT},
    "selection": {
        "model": _TEXT,
        "task": _TEXT,
        "metric": _TEXT,
        "sets": _COUNT,
        "best": _TEXT,
        "value": _NUMBER,
    }
    | {"honest": _NUMBER, **_INTERVAL, "verdict": _TEXT, "text": _TEXT},
    "predictors": {
        "model": _TEXT,
        "task": _TEXT,
        "measure": _TEXT,
        "effect": _TEXT,
        "value": _NUMBER,
    }
    | {**_INTERVAL, "p": _NUMBER, "p_corrected": _NUMBER},
    "claims": dict.fromkeys(
        ("model", "task", "claim", "text", "verdict", "evidence", "caveat"), _TEXT
    ),
    "relations": {
        "model": _TEXT,
        "task": _TEXT,
        "relation": _TEXT,
        "direction": _TEXT,
        "layer": _COUNT,
        "head": _COUNT,
    }
    | {"measure": _TEXT, "value": _NUMBER, **_INTERVAL},
    "relations_best": {
        "model": _TEXT,
        "task": _TEXT,
        "relation": _TEXT,
        "set": _TEXT,
        "direction": _TEXT,
    }
    | {
        "value": _NUMBER,
        **_INTERVAL,
        "offset": _COUNT,
        "offset_accuracy": _NUMBER,
        "over_offset": _NUMBER,
    }
    | {"excess": _NUMBER, "p_corrected": _NUMBER, "verdict": _TEXT, "published_relation": _TEXT}
    | {"published_head": _TEXT, "published_accuracy": _NUMBER},
    "span_heads": {
        "model": _TEXT,
        "task": _TEXT,
        "relation": _TEXT,
        "rank": _COUNT,
        "set": _TEXT,
        "layer": _COUNT,
    }
    | {
        "head": _COUNT,
        "value": _NUMBER,
        **_INTERVAL,
        "percentile_99": _NUMBER,
        "above": pl.Boolean(),
    }
    | {"control": _NUMBER, "excess": _NUMBER, "p_corrected": _NUMBER},
    "likeness": {
        "model": _TEXT,
        "task": _TEXT,
        "layer": _COUNT,
        "head": _COUNT,
        "other_layer": _COUNT,
    }
    | {"other_head": _COUNT, "measure": _TEXT, "value": _NUMBER, "n": _COUNT, "unit": _TEXT},
    "examples": {"example": _COUNT, "label": _TEXT, "prediction": _TEXT}
    | {"tokens": pl.List(_TEXT), "segments": pl.List(_COUNT), "special": pl.List(pl.Boolean())}
    | {"words": pl.List(_COUNT)},
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
    "relations": ["relation", "layer", "head", "value"],
    "relations_best": ["relation", "set", "value"],
    "span_heads": ["relation", "rank", "set", "value"],
    "likeness": ["layer", "head", "other_layer", "other_head", "value"],
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
    "relations": "the relations that heads carry",
    "relations_best": "the best head of every relation",
    "span_heads": "the heads that carry spans",
    "likeness": "which heads are alike",
    "examples": "the examples",
    "maps": "the attention maps",
}
_WRITES = {
    "measure": {"heads"},
    "compare": {"heads", "change"},
    "finetune": {"scores"},
    "disable": {"scores", "disabled"},
    "relations": {"relations"},
    "paper": {"scores", "heads", "change", "disabled", "patterns", "claims"},
}
"""What a command writes; `study`, and a run that nobody knows the command of, write everything."""
_ON_REQUEST = {"patterns", "heterogeneous", "selection", "predictors", "claims", "likeness"} | {
    "relations",
    "relations_best",
    "span_heads",
}
"""What a complete run may lack: other measures were asked for, no head is heterogeneous, or there
are too few heads.
"""


@dataclass(frozen=True)
class Run:
    """What one section of the report shows; `problems` says in words what is missing."""

    title: str
    meta: dict[str, Any]
    tables: Tables
    maps: Mapping[str, Map] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    others: tuple[dict[str, Any], ...] = ()
    """The records of the other runs that were put into this one."""
    folder: Path | None = None


def read(folder: Path) -> Run:
    """A run folder as it is; `problems` names what cannot be read. Raises HeadscopeError if it is
    no run folder.
    """
    if not any(
        (folder / name).is_file()
        for name in ("run.json", *(f"{table}.parquet" for table in SCHEMAS))
    ):
        raise HeadscopeError(
            f"{folder} holds no run: give the folder that a command wrote with --out"
        )
    problems: list[str] = []
    meta: dict[str, Any] = {}
    try:
        meta = dict(json.loads((folder / "run.json").read_text(encoding="utf-8")))
    except FileNotFoundError:
        problems.append(
            "run.json is missing: the run has not finished, and what was run is not known."
        )
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
    if not (title := titled(meta)):
        title = folder.resolve().name
    return Run(title, meta, tables, maps, tuple(problems), folder=folder)


def examples_of(folder: Path | None, task: str, most: int) -> tuple[Tables, Mapping[str, Map]]:
    """The examples of one task of `headscope paper` and their maps, at most so many; nothing where
    none are kept.
    """
    part_of = Path(folder or "", task, "compared")
    if folder is None or "/" in task or not (part_of / "examples.parquet").is_file():
        return {}, {}
    try:
        frame = _table(part_of / "examples.parquet", "examples").head(most)
        maps = _maps(part_of / "maps.safetensors")
    except Exception:  # the reader's library raises its own errors
        return {}, {}
    shown = {str(number) for number in frame["example"]}
    return {"examples": frame}, {
        key: found for key, found in maps.items() if key.split("/")[-1] in shown
    }


def titled(meta: Mapping[str, Any], task: str = "") -> str:
    """Model and task; where the model is a folder, its last two parts."""
    model = short(text(part(meta, "model").get("name")))
    return " · ".join(filter(None, [model, task or text(part(meta, "task").get("name"))]))


def joined(runs: Sequence[Run]) -> list[Run]:
    """Runs on one model and one task as one: what `compare` and `disable` wrote about it belongs
    together.

    Runs that hold the same table stay apart, but for disabled sets, of which the second run's
    others are added.
    """
    found: list[Run] = []
    for run in runs:
        for at, other in enumerate(found):
            if _key(run) and _key(run) == _key(other) and (tables := _together(other, run)):
                found[at] = replace(
                    other,
                    tables=tables,
                    maps={**run.maps, **other.maps},
                    problems=(*other.problems, *run.problems),
                    others=(*other.others, run.meta),
                )
                break
        else:
            found.append(run)
    return found


def _key(run: Run) -> tuple[str, ...]:
    """What two runs must share to be about the same: the weights, the task, the data and the
    seed.
    """
    model, task, data = (part(run.meta, name) for name in ("model", "task", "data"))
    if not all(part_ for part_ in (model.get("hash"), task.get("name"))):
        return ()
    return tuple(
        text(v) for v in (model["hash"], task["name"], data.get("hash"), run.meta.get("seed"))
    )


def _together(one: Run, other: Run) -> Tables | None:
    """The tables of both, or None if they say the same thing twice."""
    tables = dict(one.tables)
    for name, frame in other.tables.items():
        mine = tables.get(name)
        if mine is None:
            tables[name] = frame
        elif name == "disabled":
            keys = ["set", "mode", "metric"]
            if mine.join(frame, on=keys, how="semi", nulls_equal=True).height:
                return None
            tables[name] = pl.concat([mine, frame])
        elif name == "selection":
            tables[name] = pl.concat([mine, frame])
        elif name != "scores":
            return None
    return tables


def _table(path: Path, name: str) -> pl.DataFrame:
    """A table with the columns of its schema; what is not a finite number is null. Raises
    HeadscopeError if damaged.
    """
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
        pl.when(pl.col(c).is_finite()).then(pl.col(c)).alias(c)
        for c, dtype in schema.items()
        if dtype == _NUMBER
    ]
    frame = frame.with_columns(finite)
    return (
        frame.filter(pl.col(column).is_not_null() for column in _NEEDED[name][:2])
        if name == "examples"
        else frame
    )


def _maps(path: Path) -> dict[str, Map]:
    from safetensors.numpy import load_file

    if not path.is_file():
        raise FileNotFoundError(path)
    return {
        k: v for k, v in load_file(path).items() if v.ndim == 4 and v.dtype == np.uint8 and v.size
    }


def part(meta: Mapping[str, Any], key: str) -> dict[str, Any]:
    """A part of run.json that should be an object, whatever it is."""
    part = meta.get(key)
    return part if isinstance(part, dict) else {"name": part} if isinstance(part, str) else {}


def text(value: object) -> str:
    """A value of a record as text."""
    return (
        value
        if isinstance(value, str)
        else ""
        if value is None
        else json.dumps(value, ensure_ascii=False)
    )


def short(name: str) -> str:
    """A model's name for a title: of a path its last two parts."""
    return "/".join(name.split("/")[-2:])
