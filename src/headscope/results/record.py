"""What `run.json` says (what was run, on what, with which versions, and how to do it again), and
`begun.json` before it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from headscope.errors import HeadscopeError

BEGUN, DONE = "begun.json", "run.json"


@dataclass(frozen=True)
class Begun:
    """The content of `begun.json`: what was asked, and when, in ISO 8601."""

    request: Mapping[str, object]
    started: str

    def to_json(self) -> str:
        """The record as it is written."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def read(cls, path: Path) -> "Begun":
        """The record in a file. Raises HeadscopeError if it is damaged."""
        content = read_json(path)
        try:
            return cls(**_fields(cls, content))
        except TypeError as error:
            raise _damaged(path) from error


@dataclass(frozen=True)
class ModelRecord:
    """The model as the user named it, and the hash and sizes of the one that was measured."""

    name: str
    path: str
    hash: str
    family: str
    layers: int
    heads: int


@dataclass(frozen=True)
class TaskRecord:
    """The task, or the corpus as a task without labels."""

    name: str
    labels: Sequence[str]
    metrics: Sequence[str]
    columns: Sequence[str]


@dataclass(frozen=True)
class DataRecord:
    """Where the examples come from, the hash of their content, and how many were used."""

    source: str
    hash: str
    train: int
    validation: int


@dataclass(frozen=True)
class FileRecord:
    """A file as the run wrote it: its size, its SHA-256, and the rows of a table."""

    bytes: int
    sha256: str
    rows: int | None = None


@dataclass(frozen=True)
class Record:
    """The content of `run.json`; a run that has one is complete.

    Args:
        command: Name of the command.
        headscope: Version that ran it.
        options: What else was asked for.
        seed: Seed of every random choice.
        device: What computed.
        versions: Versions of packages by name.
        seconds: Duration of the run.
        notes: What the user must know of the data.
        definitions: Definitions of the measures by name.
        repeat: The command line that repeats the run.
        started: When the run began, in ISO 8601.
        files: What was written, by path in the folder; empty for runs before there was this list.
    """

    command: str
    headscope: str
    model: ModelRecord
    task: TaskRecord
    data: DataRecord
    options: Mapping[str, object]
    seed: int
    device: str
    versions: Mapping[str, str]
    seconds: float
    notes: Sequence[str]
    definitions: Mapping[str, str]
    repeat: str
    started: str = ""
    files: Mapping[str, FileRecord] = field(default_factory=dict)

    def to_json(self) -> str:
        """The record as it is written."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def read(cls, path: Path) -> "Record":
        """The record in a file. Keys that another version added are left out.

        Raises:
            HeadscopeError: The file is missing or damaged.
        """
        content = read_json(path)
        try:
            return cls(
                **_fields(cls, content)
                | {
                    "model": ModelRecord(**_fields(ModelRecord, content["model"])),
                    "task": TaskRecord(**_fields(TaskRecord, content["task"])),
                    "data": DataRecord(**_fields(DataRecord, content["data"])),
                    "files": {
                        str(name): FileRecord(**_fields(FileRecord, file))
                        for name, file in content.get("files", {}).items()
                    },
                }
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise _damaged(path) from error


def _fields(kind: type, content: object) -> dict[str, Any]:
    """The fields of a record among the keys of a JSON object.

    Raises:
        TypeError: It is no object, or a field has another type than the record declares.
    """
    if not isinstance(content, dict):
        raise TypeError(f"{kind.__name__} is no object: {content!r}")
    found = {}
    for name, declared in get_type_hints(kind).items():
        if name in content:
            if not _is_of(content[name], declared):
                raise TypeError(f"{name} of {kind.__name__} is {content[name]!r}")
            found[name] = content[name]
    return found


def _is_of(value: object, declared: Any) -> bool:
    """Whether a value of JSON is what a field declares; a record is an object."""
    inner = get_args(declared)
    kind = get_origin(declared) or declared
    if kind is Mapping:
        return isinstance(value, dict) and all(_is_of(one, inner[1]) for one in value.values())
    if kind is Sequence:
        return isinstance(value, list) and all(_is_of(one, inner[0]) for one in value)
    if kind is UnionType:
        return any(_is_of(value, one) for one in inner)
    if is_dataclass(declared):
        return isinstance(value, dict)
    if kind in (int, float):
        # In Python true and false are whole numbers; in a record they are none.
        return isinstance(value, int | kind) and not isinstance(value, bool)
    return isinstance(value, kind)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file. Raises HeadscopeError if it is damaged."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise HeadscopeError(
            f"{path} cannot be read ({error}): remove the folder, or use --overwrite"
        ) from error
    if not isinstance(value, dict):
        raise _damaged(path)
    return value


def _damaged(path: Path) -> HeadscopeError:
    return HeadscopeError(f"{path} is damaged: remove the folder, or use --overwrite")
