"""Tasks: their rows, encoding, gold annotation and metrics. `find(name_or_folder)` gives a task."""

from pathlib import Path

from headscope.examples import Split
from headscope.tasks import builtin as _builtin  # noqa: F401  (registers itself)
from headscope.tasks import glue as _glue  # noqa: F401
from headscope.tasks.base import TASKS, Task
from headscope.tasks.folder import read_task

__all__ = ["TASKS", "Split", "Task", "find"]


def find(name_or_folder: str) -> Task:
    """The registered task of that name, or the one that a folder's task.toml describes.

    Raises:
        HeadscopeError: There is no such task; the message names the known ones and the nearest.
    """
    if name_or_folder in TASKS.names():
        return TASKS.get(name_or_folder)
    path = Path(name_or_folder)
    if path.is_dir():
        return read_task(path)
    return TASKS.get(name_or_folder, "or give a folder with a task.toml of your own")
