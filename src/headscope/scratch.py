"""A folder for what a Python session holds in memory: a model in hand, rows in hand, and runs
without a folder of their own.

They are written as files, so that all else reads files alone. The folder is removed when the
process ends.
"""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

NAME = "in-memory.txt"
"""The file that says in words what was in memory: what a model is called, what rows are."""
_PREFIX = "headscope-in-memory-"


@cache
def _root() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix=_PREFIX)


def scratch(kind: str) -> Path:
    """The folder of this process for one kind of thing, made where it is missing."""
    folder = Path(_root().name) / kind
    folder.mkdir(exist_ok=True)
    return folder


def was_in_memory(path: object) -> bool:
    """Whether a path leads to what a Python session, this or another, held in memory.

    >>> was_in_memory(scratch("models") / "bert"), was_in_memory("bert")
    (True, False)
    """
    return _PREFIX in str(path)


def in_words(path: Path) -> str | None:
    """What was in memory and is now in a folder of this process, or in a file there.

    Args:
        path: The folder or the file.

    Returns:
        What the folder's file `NAME` says; None where nothing says that it was in memory.
    """
    said = (path if path.is_dir() else path.parent) / NAME
    if was_in_memory(path) and said.is_file():
        return said.read_text(encoding="utf-8")
    return None
