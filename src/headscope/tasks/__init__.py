"""Tasks: their rows, encoding, gold annotation and metrics. `find(name_or_folder)` gives a task."""

from dataclasses import replace
from pathlib import Path

from headscope.errors import HeadscopeError, refusing
from headscope.examples import Split
from headscope.tasks import builtin as _builtin  # noqa: F401  (registers itself)
from headscope.tasks import glue as _glue  # noqa: F401
from headscope.tasks.base import TASKS, Task
from headscope.tasks.finding import COLUMNS, TREEBANKS, UD
from headscope.tasks.folder import DEFINITION, read_task
from headscope.tasks.own import ALL_GUESSED, Chosen, own_files, own_task
from headscope.tasks.questions import is_questions

__all__ = ["TASKS", "Chosen", "Split", "Task", "find"]


def find(name_or_folder: str | Path, chosen: Chosen = ALL_GUESSED) -> Task:
    """The registered task of that name, the one that a folder's task.toml describes, or a table of
    the user's own, or a folder of them, whose columns are guessed.

    Args:
        name_or_folder: The name, the folder or the file.
        chosen: Columns of a table that the user named.

    Raises:
        HeadscopeError: There is no such task; the message names the known ones and the nearest. Or
            the columns of a table cannot be guessed, or were named for a task that knows them.
    """
    name = str(name_or_folder)
    if name in TASKS.names():
        chosen.refuse(f"the task {name}")
        return _grouped(TASKS.get(name), chosen)
    if name.startswith(UD) or name.endswith((*TREEBANKS, *COLUMNS)):
        raise _of_words(name)
    with refusing(f"the task {name[:80]!r} cannot be used"):
        path = Path(name_or_folder).expanduser()
        is_folder, is_file = path.is_dir(), path.is_file()
    if is_questions(name):
        raise HeadscopeError(
            f"{name} has questions about texts, whose answers finetune, disable, prune and study "
            "score (--as qa): measure and compare take texts with --text FILE"
        )
    if is_file or (is_folder and not (path / DEFINITION).is_file() and own_files(path)):
        return own_task(path, chosen)
    if is_folder and not (path / DEFINITION).is_file() and _has_tags(path):
        raise _of_words(name)
    if is_folder:
        chosen.refuse(str(path / DEFINITION))
        return _grouped(read_task(path), chosen)
    return TASKS.get(name, "or give a table (csv, tsv, jsonl, parquet) or a folder of your own")


def _grouped(task: Task, chosen: Chosen) -> Task:
    """The task with the column that says which of its rows belong together."""
    if chosen.group is None:
        return task
    if task.generate is not None:
        raise HeadscopeError(
            f"{task.name} makes its rows, each by itself, and they have no column for --group: "
            "leave it out"
        )
    if chosen.group == task.label:
        raise HeadscopeError(
            f"--group {chosen.group}: that is the label of {task.name}, and groups are rows that "
            "belong together, as those of one document: name another column"
        )
    return replace(task, group=chosen.group)


def _has_tags(folder: Path) -> bool:
    return any(file.name.endswith((*TREEBANKS, *COLUMNS)) for file in folder.iterdir())


def _of_words(name: str) -> HeadscopeError:
    return HeadscopeError(
        f"{name} has tags of words, which finetune, disable, prune and study score (--as tokens): "
        "measure and compare take the sentences of ud:FILE or of --text FILE, relations a treebank "
        "by --corpus"
    )
