"""Files that are whole or not there: written beside their place, then renamed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory


@contextmanager
def replacing(path: Path, *, shared: bool = False) -> Iterator[Path]:
    """A path to write to in place of `path`, which keeps its old content until the block ends well.

    Args:
        path: The file that is to have the new content. Its folder is made.
        shared: Whether other processes may write the same file at the same time; each then has an
            unfinished file of its own, which stays behind if the process is killed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    owner = f".{os.getpid()}" if shared else ""
    unfinished = path.with_name(f".{path.name}{owner}.tmp")
    try:
        yield unfinished
        move(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def move(file: Path, path: Path) -> None:
    """Rename a file once its content is on the disk: after a power cut it is whole or not there."""
    with file.open("rb+") as content:
        os.fsync(content.fileno())
    file.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, where the system can do that."""
    # Windows opens no folder, and some network file systems sync none.
    with suppress(OSError):
        entry = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(entry)
        finally:
            os.close(entry)


@contextmanager
def written(what: str) -> Iterator[None]:
    """Turn whatever a library raises while it writes into an OSError, as Python's own writers do.

    Writers in Rust report a full disk in exceptions of their own.

    Raises:
        OSError: Anything was raised; says `what` and the reason.
    """
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(f"{what} could not be written: {error}") from error


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """An empty folder to write to in place of `folder`, which keeps its old content until the block
    ends well.

    Args:
        folder: The folder that is to have the new content. Its parent is made.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix=".saving-") as place:
        unfinished, before = Path(place) / "new", Path(place) / "old"
        unfinished.mkdir()
        yield unfinished
        for file in unfinished.rglob("*"):
            if file.is_file():
                with file.open("rb+") as content:
                    os.fsync(content.fileno())
        # A folder that has files cannot be replaced by one call.
        if folder.exists():
            folder.rename(before)
        unfinished.rename(folder)
        sync_folder(folder.parent)
