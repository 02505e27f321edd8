"""What a run folder may hold: which files are its own, which are leftovers, and their checksums."""

import hashlib
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path

import polars as pl

from headscope.results.lock import LOCK
from headscope.results.record import BEGUN, DONE, FileRecord
from headscope.results.tables import TABLES

CHECKPOINT = "checkpoint"
"""The folder of the fine-tuned model within the folder of a study."""
FULL, SMALL, TUNED = "full", "small", "tuned"
"""The folders of models without some heads within the folder of `prune`: of the same architecture,
with heads really removed, and that trained on.
"""
CHECKPOINT_DONE = "config.json"
"""The file that is written last into a checkpoint's folder."""
TRAINING_STATE = "training.safetensors"
"""The file in which a training that is not done keeps its state."""
PLAN, SUBMIT = "plan.json", "submit.sh"
"""The plan of a whole paper, and the script that hands it to a batch system."""
_LEFTOVERS = (".*.tmp", ".tmp??????", ".saving-*")
"""What a killed writer leaves behind, the unfinished files of safetensors among them."""
_ARRAYS = (
    "maps.safetensors",
    "outputs.safetensors",
    "patterns.safetensors",
    "span_scores.safetensors",
)
_TABLES = tuple(table.file for table in TABLES.values())
_CHECKPOINT = (
    CHECKPOINT_DONE,
    "model*.safetensors",
    "model.safetensors.index.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "vocab.*",
    "merges.txt",
    "bpe.codes",
    "*.model",
)
_EMBEDDER = ("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json")
_POOLING = "1_Pooling"
"""The folder of an embedder whose config.json says how it pools."""
_SMALLER = (*_CHECKPOINT, *_EMBEDDER, "README.md", "model.onnx")
_SMALLER_FILE = re.compile(rf"((?:keep-\d+/)?(?:{FULL}|{SMALL}|{TUNED}))/(?:{_POOLING}/)?[^/]+")
_TO_COME = (TRAINING_STATE, "report.html", PLAN, SUBMIT, LOCK)
_DRAWN = ("*.png", "*.svg", "*.pdf", "*.csv")


def is_leftover(name: str) -> bool:
    """Whether a file of that name is what a killed run leaves behind."""
    return name == LOCK or _matches(name, _LEFTOVERS)


def remove_leftovers(folder: Path) -> None:
    """Remove what killed writers left in a run folder. The lock stays."""
    places = (folder, folder / CHECKPOINT, *(folder / "parts").glob("*/"))
    for place in places:
        for entry in _entries(place):
            if _matches(entry.name, _LEFTOVERS):
                _remove(entry)


def foreign_file(folder: Path) -> Path | None:
    """A file in a run folder that no command wrote there; None if there is none."""
    for entry in _entries(folder):
        if is_leftover(entry.name):
            continue
        if entry.is_symlink():
            return entry
        found = _foreign_below(entry) if entry.is_dir() else _foreign(entry, _files_of_a_run())
        if found is not None:
            return found
    return None


def clear(folder: Path) -> None:
    """Remove all that is in a run folder but its lock, the record of the beginning last: a folder
    that is half cleared is still one of a run.
    """
    entries = [entry for entry in _entries(folder) if entry.name not in (LOCK, BEGUN)]
    # Without the record of the end, what is left is not taken for a whole run.
    entries.sort(key=lambda entry: entry.name != DONE)
    for entry in entries:
        _remove(entry)
    (folder / BEGUN).unlink(missing_ok=True)


def file_records(folder: Path) -> dict[str, FileRecord]:
    """What is known of every table, array and weight of a run, by its path in the folder."""
    patterns = (*_TABLES, *_ARRAYS, *_CHECKPOINT, *_EMBEDDER)
    records = {}
    for place in (folder, folder / CHECKPOINT, *_smaller(folder)):
        for path in _entries(place):
            if path.is_file() and _matches(path.name, patterns):
                records[path.relative_to(folder).as_posix()] = _record(path)
    return records


def _smaller(folder: Path) -> Iterator[Path]:
    """The folders of models without some heads, and theirs that say how vectors are pooled."""
    for name in (FULL, SMALL, TUNED):
        for model in (folder / name, *sorted(folder.glob(f"keep-*/{name}"))):
            yield model
            yield model / _POOLING


def damaged_files(folder: Path, records: dict[str, FileRecord]) -> list[str]:
    """The files that are missing, or not what was written."""
    damaged = []
    for name, record in records.items():
        path = folder / name
        # A cut file is told by its size, before it is read.
        has_size = path.is_file() and path.stat().st_size == record.bytes
        if not has_size or not is_written(path, record.sha256):
            damaged.append(name)
    return damaged


def is_written(path: Path, sha256: str) -> bool:
    """Whether a file is there and is what was written."""
    return path.is_file() and _digest(path) == sha256


def discard(folder: Path, name: str) -> None:
    """Remove a damaged file. A checkpoint that lacks one is no checkpoint: its last file goes, too,
    so that it is made again. A model without some heads is written as a whole folder, and goes so.
    """
    path = folder / name
    # By its place in the run: the run's own folder may have any name.
    if smaller := _SMALLER_FILE.fullmatch(name):
        _remove(folder / smaller[1])
        return
    if _matches(path.name, _CHECKPOINT):
        (path.parent / CHECKPOINT_DONE).unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def _files_of_a_run() -> tuple[str, ...]:
    return (BEGUN, DONE, *_TABLES, *_ARRAYS, *_CHECKPOINT, *_TO_COME)


def _foreign_below(folder: Path) -> Path | None:
    """A file in a folder within a run that is none of its own."""
    # `paper` keeps the run of each part in a folder of its own, by task.
    if (folder / BEGUN).is_file():
        return foreign_file(folder)
    own = {
        "parts": ("*.safetensors", *_LEFTOVERS),
        "figures": (*_DRAWN, *_LEFTOVERS),
        CHECKPOINT: (*_CHECKPOINT, *_LEFTOVERS),
        **dict.fromkeys((FULL, SMALL, TUNED), (*_SMALLER, *_LEFTOVERS)),
    }
    if folder.name in own:
        files = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
        return next((path for path in files if not _matches(path.name, own[folder.name])), None)
    for entry in _entries(folder):
        found = entry if not entry.is_dir() or entry.is_symlink() else _foreign_below(entry)
        if found is not None:
            return found
    return None


def _foreign(path: Path, own: tuple[str, ...]) -> Path | None:
    return None if _matches(path.name, own) else path


def _record(path: Path) -> FileRecord:
    rows = None
    if path.suffix == ".parquet":
        rows = pl.scan_parquet(path, glob=False).select(pl.len()).collect().item()
    return FileRecord(path.stat().st_size, _digest(path), rows)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _entries(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from sorted(folder.iterdir())


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


def _remove(entry: Path) -> None:
    if not entry.exists() and not entry.is_symlink():
        return
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        with suppress(FileNotFoundError):
            entry.unlink()
