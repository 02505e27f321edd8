"""What a person gives a function in Python, as what a command is asked: the one place that converts
models, rows, heads and folders to names and paths.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from headscope.axes import Head, Heads, head_set, set_name
from headscope.errors import HeadscopeError
from headscope.runs import Run
from headscope.scratch import scratch

if TYPE_CHECKING:
    from transformers import Pipeline, PreTrainedModel

    from headscope.commands.rows_in_hand import Written
    from headscope.model.model import Model

    ModelLike: TypeAlias = str | Path | Model | PreTrainedModel | Pipeline | Run
    HeadsLike: TypeAlias = Heads | Iterable[Heads]
else:
    # What is neither is answered in a sentence, not by who checks types at run time.
    ModelLike = HeadsLike = object
"""A hub name, a folder, a `headscope.Model`, a Hugging Face model (with `tokenizer=`), a pipeline
of transformers, or a run that trained a model; and what `--heads` takes, heads that are disabled
together, by name or as `Head`s, or several such sets."""
TaskLike: TypeAlias = object
"""A registered task, a folder, a data frame of polars or pandas, a `datasets.Dataset` or
`DatasetDict`, a dictionary of columns or of splits, a list of rows, or (texts, labels)."""

MODELS = ("model", "before", "after")
_JOINED = ("measures", "keep", "devices", "tasks")
"""Lists that the command line joins by commas."""


def asked_of(command: str, names: Iterable[str], given: Mapping[str, object]) -> dict[str, object]:
    """The arguments of a command from what was given to its function.

    Args:
        command: Its name.
        names: The arguments that it has.
        given: The values by name; `tokenizer` belongs to a Hugging Face model.

    Raises:
        HeadscopeError: A value is nothing that can be converted.
    """
    asked = dict(given)
    known = set(names)
    models = [name for name in MODELS if name in asked and name in known]
    tokenizer = asked.pop("tokenizer", None) if models else None
    in_memory = [name for name in models if not _is_path(asked[name])]
    if tokenizer is not None and not in_memory:
        raise HeadscopeError(
            f"tokenizer goes with a Hugging Face model in memory, and {models[0]} is a name or a "
            "path: leave tokenizer out"
        )
    for name in in_memory:
        asked[name] = _model(name, asked[name], tokenizer)
    if "task" in asked and "task" in known:
        _take(asked, "task", _rows(asked, models), known)
    text = asked.get("text")
    if "text" in known and text is not None and not isinstance(text, str | PathLike):
        _take(asked, "text", _texts(text), known)
    if "heads" in asked and "heads" in known:
        asked["heads"] = heads_spec(asked["heads"])
    for name in _JOINED:
        value = asked.get(name)
        if name in known and isinstance(value, list | tuple):
            if not value:
                raise HeadscopeError(f"{name} is an empty list: name at least one")
            asked[name] = ",".join(map(str, value))
    if "out" in known and command != "annotate" and asked.get("out") is None:
        asked["out"] = _temporary(command)
    return asked


def heads_spec(heads: object) -> object:
    """Heads as `--heads` takes them; what is no collection of heads stays as it is.

    >>> heads_spec(["L1H2", Head(7, 6)]), heads_spec([["L1H2"], [Head(7, 6), "L1H1"]])
    ('L1H2,L7H6', 'L1H2;L1H1,L7H6')

    Raises:
        HeadscopeError: The collection is empty, names a head twice, or holds what is no head.
    """
    if isinstance(heads, Head):
        return str(heads)
    if isinstance(heads, str) or not isinstance(heads, Iterable):
        return heads
    members = list(heads)
    is_several = any(not isinstance(member, str | Head) for member in members)
    sets = members if is_several else [members]
    return ";".join(set_name(head_set(one)) for one in sets)


def _is_path(value: object) -> bool:
    return isinstance(value, str | PathLike) and not isinstance(value, Run)


def _model(name: str, value: object, tokenizer: object) -> object:
    """The path of a model."""
    if isinstance(value, Run):
        return str(value.checkpoint)
    from headscope.commands.model_in_hand import path_of_model

    return path_of_model(name, value, tokenizer)


def _take(
    asked: dict[str, object], name: str, written: Written | None, known: Collection[str]
) -> None:
    """Put a file in the place of what was in memory; its text columns too, where known."""
    if written is None:
        return
    asked[name] = str(written.path)
    if "columns" in known and asked.get("columns") is None and written.texts is not None:
        asked["columns"] = written.texts


def _rows(asked: Mapping[str, object], models: Sequence[str]) -> Written | None:
    """The file or the folder of rows in memory; None for a name or a path."""
    task = asked["task"]
    if task is None or isinstance(task, str | PathLike | bool | int | float):
        return None
    from headscope.commands.rows_in_hand import written_rows
    from headscope.tasks import Chosen

    columns, label, group = asked.get("columns"), asked.get("label"), asked.get("group")
    if isinstance(columns, str):
        columns = (columns,)
    # The settings refuse what is none of these.
    chosen = Chosen(
        tuple(map(str, columns)) if isinstance(columns, list | tuple) else None,
        label if isinstance(label, str) else None,
        group if isinstance(group, str) else None,
    )
    return written_rows("task", task, chosen, _classes_of(asked[models[-1]]) if models else ())


def _texts(texts: object) -> Written:
    """The file of texts in memory."""
    from headscope.commands.rows_in_hand import written_texts

    return written_texts(texts)


def _classes_of(model: object) -> tuple[str, ...]:
    """The classes that the head of a model tells apart, where its configuration names them."""
    from headscope.model.source import CONFIG, find

    try:
        content = json.loads((find(str(model)).folder / CONFIG).read_text(encoding="utf-8"))
        kinds = content.get("architectures") or [""]
        named = {int(number): str(name) for number, name in content.get("id2label", {}).items()}
        names = tuple(named[number] for number in range(len(named)))
    except (HeadscopeError, OSError, ValueError, KeyError, AttributeError):
        # What is wrong with it is said where the model is loaded.
        return ()
    if not str(kinds[0]).endswith("ForSequenceClassification"):
        return ()
    is_unnamed = all(name.casefold() == f"label_{number}" for number, name in enumerate(names))
    return () if is_unnamed else names


def _temporary(command: str) -> Path:
    """A folder for a run that is kept until the process ends."""
    runs = scratch("runs")
    return runs / f"{command}-{len(list(runs.iterdir())) + 1}"


def report_folders(runs: Sequence[object]) -> list[str]:
    """The folders of runs that are given as runs or as paths, alone or in lists."""
    folders: list[Any] = []
    for run in runs:
        if isinstance(run, list | tuple):
            folders += report_folders(run)
        else:
            # The command refuses what is neither.
            folders.append(fspath(run) if isinstance(run, PathLike) else run)
    return folders
