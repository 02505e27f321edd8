"""Tasks: their rows, encoding, gold annotation and metrics. `find(name_or_folder)` gives a task."""

from pathlib import Path

from headscope.errors import HeadscopeError, refusing
from headscope.examples import Split
from headscope.tasks import builtin as _builtin  # noqa: F401  (registers itself)
from headscope.tasks import glue as _glue  # noqa: F401
from headscope.tasks.base import TASKS, Task
from headscope.tasks.folder import read_task

__all__ = ["TASKS", "Split", "Task", "find"]


def find(name_or_folder: str | Path) -> Task:
    """The registered task of that name, or the one that a folder's task.toml describes.

    Raises:
        HeadscopeError: There is no such task; the message names the known ones and the nearest.
    """
    name = str(name_or_folder)
    if name in TASKS.names():
        return TASKS.get(name)
    with refusing(f"the task {name[:80]!r} cannot be used"):
        path = Path(name_or_folder).expanduser()
        is_folder, is_file = path.is_dir(), path.is_file()
    if is_folder:
        return read_task(path)
    if is_file:
        raise HeadscopeError(
            f"--task {name} is a file: give the folder that holds it, with a task.toml "
            "that names its columns (see docs/tasks.md), a train and a validation file"
        )
    return TASKS.get(name, "or give a folder with a task.toml of your own")
