"""Read a run folder: its tables by name, and its record."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from headscope.errors import HeadscopeError, unknown
from headscope.results.contents import damaged_files
from headscope.results.record import BEGUN, DONE, Record
from headscope.results.schema import Table
from headscope.results.tables import TABLES


class MissingTableError(HeadscopeError, KeyError):
    """A run has no table of that name."""

    __str__ = Exception.__str__


class SavedTables(Mapping[str, pl.DataFrame]):
    """The tables of a run folder by name, each read when it is first asked for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read: dict[str, pl.DataFrame] = {}

    def __getitem__(self, name: str) -> pl.DataFrame:
        """A table with every column of its definition, in order; what its file lacks is null.

        Raises:
            MissingTableError: The run has no such table.
            HeadscopeError: The file is damaged.
        """
        if name not in self._read:
            if name not in self:
                raise MissingTableError(str(unknown(f"table of {self._path}", name, self)))
            path = self._path / TABLES[name].file
            try:
                self._read[name] = read_table(path, TABLES[name])
            except ValueError as error:
                raise HeadscopeError(
                    f"{path} is damaged ({error}): run the command again with --overwrite"
                ) from error
        return self._read[name]

    def __contains__(self, name: object) -> bool:
        return name in list(self)

    def __iter__(self) -> Iterator[str]:
        return (name for name, table in TABLES.items() if (self._path / table.file).is_file())

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"tables {', '.join(self) or 'none'}"


@dataclass(frozen=True)
class SavedRun:
    """A run folder, open for reading.

    Args:
        path: The folder.
        record: What was run, on what, and how to do it again.
        tables: The tables by name; see docs/tables.md.
    """

    path: Path
    record: Record
    tables: SavedTables

    def __repr__(self) -> str:
        what = f"{self.record.command} of {self.record.model.name} on {self.record.task.name}"
        return f"<run {str(self.path)!r}: {what}; {self.tables!r}>"


def open_run(path: str | Path) -> SavedRun:
    """Open a run folder to read its tables.

    >>> run = open_run("runs/layers")
    >>> run.record.command, list(run.tables)
    ('disable', ['scores', 'disabled', 'selection'])
    >>> run.tables["disabled"].filter(metric="accuracy").sort("delta")["set"].to_list()
    ['layer 1', 'layer 3', 'layer 2']

    Args:
        path: The folder that a command wrote with `--out`.

    Returns:
        The run. Its tables are polars data frames, read when they are first asked for.

    Raises:
        HeadscopeError: The folder holds no run, or one that is not complete, or it is damaged.
    """
    folder = Path(os.path.expanduser(path))  # noqa: PTH111  (no error for ~nobody)
    if not (folder / DONE).is_file():
        if (folder / BEGUN).is_file():
            raise HeadscopeError(
                f"the run in {folder} is not complete: the command that began it resumes it"
            )
        raise HeadscopeError(
            f"{folder} holds no run: give the folder that a command wrote with --out"
        )
    record = Record.read(folder / DONE)
    if damaged := damaged_files(folder, dict(record.files)):
        raise HeadscopeError(
            f"the run in {folder} is damaged ({', '.join(damaged)}): the command that made it "
            "makes again what is missing"
        )
    return SavedRun(folder, record, SavedTables(folder))


def read_table(path: Path, table: Table) -> pl.DataFrame:
    """A table from its file, with every column of its definition.

    Raises:
        ValueError: The file is not this table; says why in a clause.
    """
    try:
        frame = pl.read_parquet(path, glob=False)
    except Exception as error:  # What a damaged file raises is up to the library.
        raise ValueError("the file cannot be read") from error
    return table.typed(frame)
