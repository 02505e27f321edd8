"""The run folder: the only writer of results.

`begun.json` says what was asked and is written first; tables are Parquet, arrays safetensors, each
whole or not there; `run.json` is written last and lists them, so a run that has one, and all that
it lists, is complete.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime
from io import BytesIO
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import polars as pl
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from headscope.errors import HeadscopeError
from headscope.files import replacing
from headscope.progress import say
from headscope.results.contents import (
    clear,
    damaged_files,
    discard,
    file_records,
    foreign_file,
    is_leftover,
    remove_leftovers,
)
from headscope.results.record import BEGUN, DONE, Begun, Record
from headscope.results.requests import difference
from headscope.results.tables import TABLES

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class Run:
    """One run folder, open for writing. Use `Run.begin`.

    Args:
        path: The folder.
        started: When the run began, in ISO 8601.
    """

    def __init__(self, path: Path, started: str = "") -> None:
        self.path = path
        self.started = started

    @classmethod
    def begin(cls, path: Path, request: Mapping[str, object], *, overwrite: bool = False) -> "Run":
        """Open `path` for this request: new, or begun before by the same request and resumed.

        request: what was asked, as JSON; two runs with equal requests give equal results.

        Raises HeadscopeError when the folder holds another run or anything else.
        """
        if path.exists() and not path.is_dir():
            raise HeadscopeError(f"--out {path} is a file: give a folder that does not exist yet")
        wanted = json.loads(json.dumps(request))
        if overwrite and path.is_dir():
            _clear(path)
        if not _holds_anything(path):
            run = cls(path, datetime.now(UTC).isoformat(timespec="seconds"))
            run._write(BEGUN, Begun(wanted, run.started).to_json().encode())
            return run
        if not (path / BEGUN).is_file():
            raise HeadscopeError(
                f"--out {path} holds files that are not of a run: give an empty or a new folder"
            )
        begun = Begun.read(path / BEGUN)
        if begun.request != wanted:
            raise HeadscopeError(
                f"--out {path} holds another run (it differs in "
                f"{difference(begun.request, wanted)}): give another folder, or --overwrite to "
                "replace it"
            )
        remove_leftovers(path)
        return cls(path, begun.started)

    @property
    def is_complete(self) -> bool:
        """Whether the run had already ended well."""
        return self._finished() is not None

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user must know of a run that is complete; nothing before."""
        finished = self._finished()
        notes = [] if finished is None else finished.notes
        # Another program may have written the file.
        return tuple(map(str, notes)) if isinstance(notes, list) else ()

    def _finished(self) -> Record | None:
        """The record of the end; None where there is none that can be read."""
        try:
            return Record.read(self.path / DONE)
        except HeadscopeError:
            return None

    def repair(self) -> tuple[str, ...]:
        """Take a run that is complete as one in progress if something of it is damaged.

        Returns:
            The names of the files that were damaged or missing, and are to be made again.
        """
        finished = self._finished()
        if finished is None:
            return (DONE,) if (self.path / DONE).is_file() else ()
        damaged = damaged_files(self.path, dict(finished.files))
        if damaged:
            # First, so that a run that is stopped here is not taken for a whole one.
            (self.path / DONE).unlink()
        for name in damaged:
            discard(self.path, name)
        return tuple(damaged)

    @property
    def is_resumed(self) -> bool:
        """Whether anything was here before but the record of the beginning."""
        return any(not (p.name == BEGUN or is_leftover(p.name)) for p in self.path.iterdir())

    def _write(self, name: str, data: bytes) -> None:
        with replacing(self.path / name) as unfinished:
            unfinished.write_bytes(data)

    def has(self, name: str) -> bool:
        """Whether a table or file of that name has been written."""
        return (self.path / name).exists() or (self.path / f"{name}.parquet").exists()

    def table(
        self,
        name: str,
        rows: "Sequence[Mapping[str, Any] | DataclassInstance]",
        *,
        model: str,
        task: str,
    ) -> pl.DataFrame:
        """Write a table of rows; the columns `model` and `task` come in front.

        Returns:
            The table.

        Raises:
            ValueError: No such table is defined, or the rows are not of this table.
        """
        named = {"model": model, "task": task}
        return self.frame(name, frame_of(rows, named))

    def frame(self, name: str, frame: pl.DataFrame) -> pl.DataFrame:
        """Write a table that is one already, and return it.

        Raises:
            ValueError: No such table is defined, or the frame is not this table.
        """
        if name not in TABLES:
            raise ValueError(
                f"no table {name!r} is defined: add it to headscope.results.definitions"
            )
        table = TABLES[name]
        if frame.is_empty() and not frame.columns:
            frame = table.empty()
        table.check(frame)
        frame = table.without_nan(frame)
        buffer = BytesIO()
        frame.write_parquet(buffer)
        self._write(table.file, buffer.getvalue())
        return frame

    def read(self, name: str) -> pl.DataFrame | None:
        """A table that was written before; None if it was not."""
        path = self.path / f"{name}.parquet"
        return pl.read_parquet(path, glob=False) if path.is_file() else None

    def arrays(self, name: str, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Write named arrays as safetensors."""
        contiguous = {key: np.ascontiguousarray(array) for key, array in arrays.items()}
        self._write(f"{name}.safetensors", save(contiguous))

    def saved_arrays(self, name: str) -> dict[str, npt.NDArray[Any]] | None:
        """Arrays that were written before; None if they were not."""
        path = self.path / f"{name}.safetensors"
        return load_file(path) if path.is_file() else None

    def finished_parts(
        self, group: str, *, quiet: bool = False
    ) -> dict[str, dict[str, npt.NDArray[Any]]]:
        """The arrays of every work item of `group` that an earlier or this run finished, by the
        item's name. A file that cannot be read is said, and its item is not finished.
        """
        parts = {}
        # A folder that is not there has no files.
        for file in sorted((self.path / "parts" / group).glob("*.safetensors")):
            try:
                parts[file.stem] = load_file(file)
            except (SafetensorError, OSError, ValueError):
                say_damaged(group, file.stem, quiet=quiet)
        return parts

    def part(self, group: str, name: str, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Save the result of one work item, so that a resumed run need not do it again."""
        self.arrays(f"parts/{group}/{name}", arrays)

    def finish(self, record: Record) -> None:
        """Write `run.json`, with all that the run holds: it is complete."""
        ended = replace(record, started=self.started, files=file_records(self.path))
        self._write(DONE, ended.to_json().encode())


class Parts:
    """The finished work items of a group in a run folder, by name.

    Args:
        run: The run.
        group: The group.
        quiet: Whether to be silent about damaged files.
    """

    def __init__(self, run: Run, group: str, *, quiet: bool = False) -> None:
        self._run = run
        self._group = group
        self._quiet = quiet
        self._saved = run.finished_parts(group, quiet=quiet)

    @property
    def names(self) -> list[str]:
        """The items that an earlier run finished, in the order of their names."""
        return sorted(self._saved)

    def get(self, name: str) -> Mapping[str, npt.NDArray[Any]] | None:
        """The arrays of an item that an earlier run finished; None for any other."""
        return self._saved.get(name)

    def put(self, name: str, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Save the arrays of an item."""
        self._run.part(self._group, name, arrays)

    def refuse(self, name: str) -> None:
        """Say that what was saved is not what the item asks for, so that it is made again."""
        say_damaged(self._group, name, quiet=self._quiet)


def say_damaged(group: str, name: str, *, quiet: bool) -> None:
    """Say that a saved result is made again."""
    say(f"the saved part {group}/{name} is damaged: it is made again", quiet=quiet)


def typed_frame(
    table: str, rows: "Sequence[Mapping[str, Any] | DataclassInstance]"
) -> pl.DataFrame:
    """Rows as a table of docs/tables.md that is written nowhere, without the model and the task.

    Args:
        table: The name of the table.
        rows: Its rows, at least one.

    Raises:
        ValueError: The rows are not of this table.
    """
    definition = TABLES[table]
    made = frame_of(rows, {"model": "", "task": ""})
    definition.check(made)
    return definition.typed(definition.without_nan(made)).drop("model", "task")


def frame_of(
    rows: "Sequence[Mapping[str, Any] | DataclassInstance]", named: Mapping[str, str]
) -> pl.DataFrame:
    """Rows as a table, with columns in front that say the same in every row.

    Args:
        rows: Dataclasses of one kind, whose fields are the columns; or mappings.
        named: The columns in front.

    Raises:
        ValueError: The rows are of different kinds.
    """
    first = rows[0] if rows else {}
    if isinstance(first, Mapping):
        mappings = [{**named, **as_columns(row)} for row in rows]
        return pl.DataFrame(mappings, infer_schema_length=None)
    columns: dict[str, list[object]] = {name: [value] * len(rows) for name, value in named.items()}
    if any(type(row) is not type(first) for row in rows):
        raise ValueError("rows of different kinds cannot make one table: a field would be lost")
    for field in fields(first):
        columns[_column(field.name)] = list(map(attrgetter(field.name), rows))
    return pl.DataFrame(columns)


def _column(field: str) -> str:
    """The column of a field; `class_`, which Python could not name otherwise, is `class`."""
    return field.removesuffix("_")


def as_columns(row: "Mapping[str, Any] | DataclassInstance") -> dict[str, Any]:
    """A row by column: a mapping as it is, a dataclass by its fields (`class_` is `class`)."""
    if isinstance(row, Mapping):
        return dict(row)
    return {_column(field.name): getattr(row, field.name) for field in fields(row)}


def _holds_anything(path: Path) -> bool:
    """Whether a folder holds more than what a run that was killed at its beginning leaves."""
    return path.is_dir() and any(not is_leftover(entry.name) for entry in path.iterdir())


def _clear(path: Path) -> None:
    """Empty a run folder; anything that is no run, or that no run wrote, is the user's and is left
    alone.
    """
    if not _holds_anything(path):
        return
    if not (path / BEGUN).is_file():
        raise HeadscopeError(
            f"--overwrite: {path} holds files that are not of a run, so nothing was removed"
        )
    if (foreign := foreign_file(path)) is not None:
        raise HeadscopeError(
            f"--overwrite: {path} holds {foreign.relative_to(path)}, which no run wrote, so "
            "nothing was removed: move it, or give another folder"
        )
    clear(path)
