"""The run folder: the only writer of results.

`begun.json` says what was asked and is written first; tables are Parquet, arrays safetensors, each
whole or not there; `run.json` is written last, so its presence means that the run is complete.
"""

import json
import shutil
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
from safetensors.numpy import load_file, save

from headscope.errors import HeadscopeError
from headscope.files import replacing
from headscope.results.record import BEGUN, DONE, Begun, Record
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
        if not path.is_dir() or not any(path.iterdir()):
            run = cls(path, datetime.now(UTC).isoformat(timespec="seconds"))
            run._write(BEGUN, Begun(wanted, run.started).to_json().encode())
            return run
        if not (path / BEGUN).is_file():
            raise HeadscopeError(
                f"--out {path} holds files that are not of a run: give an empty or a new folder"
            )
        begun = Begun.read(path / BEGUN)
        if begun.request != wanted:
            differ = [key for key in wanted if wanted[key] != begun.request.get(key)]
            raise HeadscopeError(
                f"--out {path} holds another run (it differs in "
                f"{', '.join(differ) or 'its version'}): give another folder, or --overwrite to "
                "replace it"
            )
        return cls(path, begun.started)

    @property
    def is_complete(self) -> bool:
        """Whether the run had already ended well."""
        return (self.path / DONE).is_file()

    @property
    def is_resumed(self) -> bool:
        """Whether anything was here before but the record of the beginning."""
        return any(p.name != BEGUN for p in self.path.iterdir())

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
        buffer = BytesIO()
        frame.write_parquet(buffer)
        self._write(table.file, buffer.getvalue())
        return frame

    def read(self, name: str) -> pl.DataFrame | None:
        """A table that was written before; None if it was not."""
        path = self.path / f"{name}.parquet"
        return pl.read_parquet(path) if path.is_file() else None

    def arrays(self, name: str, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Write named arrays as safetensors."""
        contiguous = {key: np.ascontiguousarray(array) for key, array in arrays.items()}
        self._write(f"{name}.safetensors", save(contiguous))

    def finished_parts(self, group: str) -> dict[str, dict[str, npt.NDArray[Any]]]:
        """The arrays of every work item of `group` that an earlier or this run finished, by the
        item's name.
        """
        # A folder that is not there has no files.
        files = sorted((self.path / "parts" / group).glob("*.safetensors"))
        return {file.stem: load_file(file) for file in files}

    def part(self, group: str, name: str, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Save the result of one work item, so that a resumed run need not do it again."""
        self.arrays(f"parts/{group}/{name}", arrays)

    def finish(self, record: Record) -> None:
        """Write `run.json`: the run is complete."""
        self._write(DONE, replace(record, started=self.started).to_json().encode())


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


def _clear(path: Path) -> None:
    """Empty a run folder; anything that is no run is the user's and is left alone."""
    if not any(path.iterdir()):
        return
    if not (path / BEGUN).is_file():
        raise HeadscopeError(
            f"--overwrite: {path} holds files that are not of a run, so nothing was removed"
        )
    shutil.rmtree(path)
