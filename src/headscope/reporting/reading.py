"""Read a run folder for the report: its tables, maps and record; what is missing or damaged is
named in words.
"""

import json
from collections import ChainMap
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import polars as pl

from headscope.axes import LARGEST
from headscope.errors import HeadscopeError
from headscope.names import CLASSES
from headscope.reporting.saved_maps import SavedMaps
from headscope.results.contents import is_written
from headscope.results.record import DONE
from headscope.results.saved import read_table
from headscope.results.schema import Column, Table
from headscope.results.tables import TABLES, Map, Tables

_MAPS = "maps.safetensors"
_UNKNOWN = "study"
"""What a run of an unknown command is expected to hold: what this one writes."""

_NAMES = {"measure", "metric"}
_NO_XML = r"[^\t\n\r\x{20}-\x{D7FF}\x{E000}-\x{FFFD}\x{10000}-\x{10FFFF}]"
_AXES = {"layer", "head", "other_layer", "other_head"}


@dataclass(frozen=True)
class Run:
    """What one section of the report shows; `problems` says in words what is missing.

    `meta` and `others` are run.json as it was found: of any version, damaged, or hostile.
    """

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
    shown = [table for table in TABLES.values() if table.called]
    if not any((folder / name).is_file() for name in (DONE, *(table.file for table in shown))):
        raise HeadscopeError(
            f"{folder} holds no run: give the folder that a command wrote with --out"
        )
    problems: list[str] = []
    meta: dict[str, Any] = {}
    try:
        meta = dict(json.loads((folder / DONE).read_text(encoding="utf-8")))
    except FileNotFoundError:
        problems.append(
            "run.json is missing: the run has not finished, and what was run is not known."
        )
    except (ValueError, TypeError, OSError):
        problems.append("run.json is damaged: what was run is not known.")
    command = text(meta.get("command"))
    if not any(command in table.always for table in shown):
        command = _UNKNOWN
    tables = {}
    for table in shown:
        try:
            tables[table.name] = _shown_part(folder / table.file, table)
        except FileNotFoundError:
            if command in table.always:
                problems.append(f"{table.file} is missing: {table.called} cannot be shown.")
        except ValueError as error:
            problems.append(f"{table.file} is damaged ({error}): {table.called} cannot be shown.")
    maps: Mapping[str, Map] = {}
    try:
        maps = SavedMaps(folder / _MAPS)
    except FileNotFoundError:
        if command == _UNKNOWN:
            problems.append(f"{_MAPS} is missing: the attention maps cannot be shown.")
    except Exception:  # safetensors raises its own errors, and others for a bad header
        problems.append(f"{_MAPS} is damaged: the attention maps cannot be shown.")
    problems += _changed(folder, part(meta, "files"))
    title = titled(meta) or folder.resolve().name
    return Run(title, meta, tables, maps, tuple(problems), folder=folder)


def _changed(folder: Path, files: Mapping[str, Any]) -> list[str]:
    """Which files are others than those that run.json has checksums of: rows may lack."""
    changed = []
    for name in (*(table.file for table in TABLES.values()), _MAPS):
        written = part(files, name).get("sha256")
        if isinstance(written, str) and not is_written(folder / name, written):
            changed.append(f"{name} is not what the run wrote: run its command again.")
    return changed


def examples_of(folder: Path | None, task: str, most: int) -> tuple[Tables, Mapping[str, Map]]:
    """The examples of one task of `headscope paper` and their maps, at most so many; nothing where
    none are kept.
    """
    # A name from a table must not lead out of the folder.
    if folder is None or "/" in task or task in ("", ".", ".."):
        return {}, {}
    compared = folder / task / "compared"
    examples = TABLES["examples"]
    try:
        frame = _shown_part(compared / examples.file, examples).head(most)
        maps = SavedMaps(compared / _MAPS)
    except Exception:  # safetensors raises its own errors
        return {}, {}
    numbers = {str(number) for number in frame["example"]}
    return {"examples": frame}, maps.of(numbers)


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
    sections: list[Run] = []
    for run in runs:
        for number, section in enumerate(sections):
            tables = _united(section, run) if _key(run) and _key(run) == _key(section) else None
            if tables:
                sections[number] = replace(
                    section,
                    tables=tables,
                    maps=_chained(section.maps, run.maps),
                    problems=(*section.problems, *run.problems),
                    others=(*section.others, run.meta),
                )
                break
        else:
            sections.append(run)
    return sections


def _chained(first: Mapping[str, Map], second: Mapping[str, Map]) -> Mapping[str, Map]:
    """The maps of both, still unread; of two with one name the first one's."""
    both = [cast("MutableMapping[str, Map]", maps) for maps in (first, second)]
    return ChainMap(*both)


def _key(run: Run) -> tuple[str, ...]:
    """What two runs must share to be about the same: the weights, the task, the data and the
    seed.
    """
    weights = part(run.meta, "model").get("hash")
    task = part(run.meta, "task").get("name")
    if not weights or not task:
        return ()
    data = part(run.meta, "data").get("hash")
    return text(weights), text(task), text(data), text(run.meta.get("seed"))


def _united(first: Run, second: Run) -> Tables | None:
    """The tables of both, or None if they say the same thing twice."""
    tables = dict(first.tables)
    for name, frame in second.tables.items():
        known = tables.get(name)
        if known is None:
            tables[name] = frame
        elif name == "disabled":
            keys = ["set", "mode", "metric"]
            if known.join(frame, on=keys, how="semi", nulls_equal=True).height:
                return None
            tables[name] = pl.concat([known, frame])
        elif name == "selection":
            tables[name] = pl.concat([known, frame])
        elif name != "scores":
            return None
    return tables


def _shown_part(path: Path, table: Table) -> pl.DataFrame:
    """The columns of a table that the report shows; what is not a finite number is null.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is not this table; says why in a clause.
    """
    if not path.is_file():
        raise FileNotFoundError(path)
    numbers = pl.col(pl.Float64)
    finite = pl.when(numbers.is_finite()).then(numbers).name.keep()
    frame = read_table(path, table).select(table.shown).with_columns(finite)
    # A name that is missing is shown as an empty one.
    names = pl.col(sorted(_NAMES & {*frame.columns}))
    frame = frame.with_columns(names.fill_null(""))
    # The renderer of figures cannot take what XML has no character for.
    frame = frame.with_columns(pl.col(pl.String).str.replace_all(_NO_XML, "\ufffd"))
    if "class" in frame.columns:
        strange = set(frame["class"].drop_nulls()) - set(CLASSES)
        if strange:
            raise ValueError(f"{sorted(strange)[0]!r} is no pattern")
    for column in table.columns:
        if column.name in _AXES & set(frame.columns):
            _check_places(frame[column.name], column)
    if table.name == "examples":
        frame = frame.drop_nulls(list(table.required))
    return frame


def part(meta: Mapping[str, Any], key: str) -> dict[str, Any]:
    """A part of run.json that should be an object, whatever it is."""
    value = meta.get(key)
    if isinstance(value, str):
        return {"name": value}
    return value if isinstance(value, dict) else {}


def text(value: object) -> str:
    """A value of a record as text."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def short(name: str) -> str:
    """A model's name for a title: of a path its last two parts."""
    return "/".join(name.split("/")[-2:])


def _check_places(places: pl.Series, column: Column) -> None:
    """Refuse numbers of layers or heads that no model has."""
    if places.null_count() and not column.nullable:
        raise ValueError(f"a row has no {column.name}")
    known = places.drop_nulls()
    if not known.is_between(1, LARGEST).all():
        raise ValueError(f"no model has the {column.name} {known.abs().max()!r}")
