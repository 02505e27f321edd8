"""A lock on a run folder: two processes that wrote into one would do everything twice."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from headscope.errors import HeadscopeError

LOCK = ".lock"
"""The file in a run folder that is locked while a command writes into it."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock on a folder, which is made if it is not there.

    The kernel releases it when the process ends, however it ends. Where there are no locks (a
    read-only folder, a network file system without them, Windows) nothing is locked.

    Raises:
        HeadscopeError: Another process holds it; says which.
    """
    if folder.exists() and not folder.is_dir():
        # What is wrong with it is said by who opens it as a run.
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK
    file = _acquire(path, folder)
    try:
        yield
    finally:
        if file is not None:
            # Before it is released: another process may have made a new one by then.
            with suppress(OSError):
                path.unlink()
            os.close(file)


def _acquire(path: Path, folder: Path) -> int | None:
    """The descriptor of the locked file; None where nothing can be locked."""
    try:
        import fcntl
    except ImportError:
        return None
    while True:
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError:
            return None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(file, 32).decode(errors="replace").strip()
            os.close(file)
            process = f"process {owner}" if owner.isdecimal() else "another process"
            raise HeadscopeError(
                f"--out {folder} is being written by {process}: wait until it has ended, or give "
                "another folder"
            ) from None
        except OSError:
            os.close(file)
            return None
        if _is_at(file, path):
            os.ftruncate(file, 0)
            os.write(file, str(os.getpid()).encode())
            return file
        # Its owner removed it between the two calls: the name is of another file now.
        os.close(file)


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except OSError:
        return False
