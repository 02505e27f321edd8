"""The run folder: the only writer of results.

`begun.json` says what was asked and is written first; tables are Parquet, arrays safetensors, each
written whole under another name and then renamed; `run.json` is written last, so its presence means
that the run is complete.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import polars as pl
from safetensors.numpy import load_file, save

from headscope.errors import HeadscopeError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

BEGUN, DONE = "begun.json", "run.json"


class Run:
    """One run folder, open for writing. Use `Run.begin`."""

    def __init__(self, path: Path, begun: dict[str, Any]) -> None:
        self.path, self.begun = path, begun

    @classmethod
    def begin(cls, path: Path, request: Mapping[str, Any], *, overwrite: bool = False) -> "Run":
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
            path.mkdir(parents=True, exist_ok=True)
            begun = {"request": wanted, "started": datetime.now(UTC).isoformat(timespec="seconds")}
            run = cls(path, begun)
            run._write(BEGUN, json.dumps(begun, indent=1).encode())
            return run
        if not (path / BEGUN).is_file():
            raise HeadscopeError(
                f"--out {path} holds files that are not of a run: give an empty or a new folder"
            )
        begun = read_json(path / BEGUN)
        if begun.get("request") != wanted:
            differ = [k for k in wanted if wanted[k] != begun.get("request", {}).get(k)]
            raise HeadscopeError(
                f"--out {path} holds another run (it differs in "
                f"{', '.join(differ) or 'its version'}): give another folder, or --overwrite to "
                "replace it"
            )
        return cls(path, begun)

    @property
    def is_complete(self) -> bool:
        """Whether the run had already ended well."""
        return (self.path / DONE).is_file()

    @property
    def is_resumed(self) -> bool:
        """Whether anything was here before but the record of the beginning."""
        return any(p.name != BEGUN for p in self.path.iterdir())

    def _write(self, name: str, data: bytes) -> None:
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(f".{target.name}.tmp")
        try:
            unfinished.write_bytes(data)
            unfinished.replace(target)
        except OSError:
            unfinished.unlink(missing_ok=True)
            raise

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
    ) -> None:
        """Write a tidy table of rows; the columns `model` and `task` come in front."""
        same = {"model": model, "task": task}
        content = [same | as_columns(row) for row in rows]
        self.frame(name, pl.DataFrame(content, infer_schema_length=None))

    def frame(self, name: str, frame: pl.DataFrame) -> None:
        """Write a table that is one already."""
        buffer = BytesIO()
        frame.write_parquet(buffer)
        self._write(f"{name}.parquet", buffer.getvalue())

    def rows(self, name: str) -> list[dict[str, Any]]:
        """The rows of a table that was written before; none if it was not."""
        frame = self.read(name)
        return [] if frame is None else frame.to_dicts()

    def read(self, name: str) -> pl.DataFrame | None:
        """A table that was written before; None if it was not."""
        path = self.path / f"{name}.parquet"
        return pl.read_parquet(path) if path.is_file() else None

    def arrays(self, name: str, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Write named arrays as safetensors."""
        self._write(
            f"{name}.safetensors", save({k: np.ascontiguousarray(v) for k, v in arrays.items()})
        )

    def finished_parts(self, group: str) -> dict[str, dict[str, npt.NDArray[Any]]]:
        """The arrays of every work item of `group` that an earlier or this run finished, by the
        item's name.
        """
        folder = self.path / "parts" / group
        return (
            {p.stem: load_file(p) for p in sorted(folder.glob("*.safetensors"))}
            if folder.is_dir()
            else {}
        )

    def part(self, group: str, name: str, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Save the result of one work item, so that a resumed run need not do it again."""
        self.arrays(f"parts/{group}/{name}", arrays)

    def finish(self, record: Mapping[str, Any]) -> None:
        """Write `run.json`: the run is complete."""
        self._write(
            DONE, json.dumps({**record, "started": self.begun["started"]}, indent=1).encode()
        )


def as_columns(row: "Mapping[str, Any] | DataclassInstance") -> dict[str, Any]:
    """A row by column: a mapping as it is, a dataclass by its fields (`class_` is `class`)."""
    if isinstance(row, Mapping):
        return dict(row)
    return {field.name.rstrip("_"): getattr(row, field.name) for field in fields(row)}


def _clear(path: Path) -> None:
    """Empty a run folder; anything that is no run is the user's and is left alone."""
    if not any(path.iterdir()):
        return
    if not (path / BEGUN).is_file():
        raise HeadscopeError(
            f"--overwrite: {path} holds files that are not of a run, so nothing was removed"
        )
    shutil.rmtree(path)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file. Raises HeadscopeError if it is damaged."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise HeadscopeError(
            f"{path} cannot be read ({error}): remove the folder, or use --overwrite"
        ) from error
    if not isinstance(value, dict):
        raise HeadscopeError(f"{path} is damaged: remove the folder, or use --overwrite")
    return value
