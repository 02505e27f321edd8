"""Which rows a command works on: of a task or of texts, which part of them, and whether its model
was trained on them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from headscope.commands.settings import HeadSettings, MeasureSettings, TaskSettings
from headscope.errors import HeadscopeError
from headscope.examples import Split
from headscope.model.model import Model
from headscope.names import NO_MAJORITY
from headscope.results.contents import CHECKPOINT
from headscope.results.record import DONE, Record
from headscope.stats.groups import case_count
from headscope.tasks import Chosen, find
from headscope.tasks.base import Task
from headscope.tasks.files import Data, load_data
from headscope.tasks.finding import UD, where
from headscope.tasks.grouping import groups_of
from headscope.tasks.texts import read_texts, without_rows
from headscope.tasks.treebanks import read_treebank


def chosen_columns(settings: HeadSettings) -> Chosen:
    """The columns of a table that were named."""
    return Chosen(settings.named_columns, settings.label, settings.group)


def examples_of(
    settings: TaskSettings | MeasureSettings,
    sizes: tuple[int, int],
    *,
    needs_train: bool,
    task: Task | None = None,
) -> tuple[Task, Data]:
    """The task and its rows, or the texts without labels that stand in for one.

    Args:
        settings: What the command was asked.
        sizes: How many training and validation rows a task makes that makes its own.
        needs_train: Whether data without a training split are refused.
        task: The task, where it was found already: a table of the user's own is read for that.

    Raises:
        HeadscopeError: The task, its data, or the file of texts cannot be used.
    """
    named = settings.named_columns
    if settings.task is None:
        if not isinstance(settings, MeasureSettings) or settings.text is None:
            raise HeadscopeError("give --task, or --text FILE for texts without labels")
        task, texts = read_texts(settings.text, named)
        return task, Data.of(without_rows(texts), texts, str(settings.text.resolve()))
    if isinstance(settings, MeasureSettings) and settings.task.startswith(UD):
        task, file, sentences = read_treebank(settings.task, Chosen(named, settings.label))
        return task, Data.of(without_rows(sentences), sentences, str(file.resolve()))
    if task is None:
        task = find(settings.task, Chosen(named, settings.label))
    data = load_data(task, settings.data, seed=settings.seed, sizes=sizes, needs_train=needs_train)
    return task, data


def chosen_part(rows: Data, part: str, seed: int) -> Split:
    """The examples that `part` names: "validation", "train", or "K/N", the K-th of N random parts
    of "validation".

    The N parts are drawn from `seed`, of like size, share no example and no group, and hold all.
    Raises HeadscopeError for another name, or for a part without examples.
    """
    if part == "train" and not len(rows.train):
        raise HeadscopeError(
            f"--part train: {rows.source} has no training examples: give it a train file, or take "
            "--part validation"
        )
    if part in ("validation", "train"):
        return rows.validation if part == "validation" else rows.train
    number, slash, parts = part.partition("/")
    # Python reads no number of more than 4,300 digits.
    is_counted = number.isdecimal() and parts.isdecimal() and len(number + parts) < 100
    if not (slash and is_counted and 1 <= int(number) <= int(parts)):
        raise HeadscopeError(
            f"--part {part!r} is not understood: give validation, train, or K/N, as in 1/2 and 2/2"
        )
    groups = groups_of(rows.validation)
    order = np.random.default_rng(seed).permutation(case_count(len(rows.validation), groups))
    if int(number) > len(order):
        cases = "validation examples" if groups is None else "groups of validation examples"
        raise HeadscopeError(f"--part {part} is empty: there are {len(order)} {cases}")
    # Of more parts than examples, the first hold one each.
    divided = np.array_split(order, min(int(parts), len(order)))
    chosen = np.sort(divided[int(number) - 1])
    if groups is not None:
        chosen = np.flatnonzero(np.isin(groups.number, chosen))
    return rows.validation.take(chosen)


def check_division(model: Model, task: Task, data: Data, seed: int) -> tuple[str, ...]:
    """Check that a model was not fine-tuned on rows of a single file that are now for validation.

    Args:
        model: The model, whose folder may tell what it was fine-tuned on.
        task: The task.
        data: Its rows, divided by the seed.
        seed: The seed.

    Returns:
        A note, where the file has changed since, so that nobody can tell.

    Raises:
        HeadscopeError: The model was fine-tuned on another division of the same file.
    """
    if task.file is None:
        return ()
    trained = fine_tuned_on(model)
    if trained is None or trained.data.source != data.source or trained.data.hash == data.hash:
        return ()
    if trained.seed != seed:
        raise HeadscopeError(
            f"{model.name} was fine-tuned on rows of {where(task.file)} that --seed {trained.seed} "
            f"chose, and --seed {seed} divides them otherwise, so that rows to validate would be "
            f"ones it was trained on: give --seed {trained.seed}"
        )
    return (
        f"{task.name} or its columns are not what they were when {model.name} was fine-tuned on "
        "it: rows to validate may be ones that it was trained on",
    )


def majority_note(task: Task, data: Data) -> tuple[str, ...]:
    """A note that there are no training examples to know the majority baseline from."""
    if not task.has_labels or len(data.train):
        return ()
    return (f"{data.source} has no training examples: {NO_MAJORITY}",)


def fine_tuned_on(model: Model) -> Record | None:
    """The record of the run that fine-tuned a model, where its folder tells of one."""
    folder = Path(model.path)
    run = folder.parent if folder.name == CHECKPOINT else folder
    try:
        record = Record.read(run / DONE)
    except HeadscopeError:
        # There is none, or another program wrote it.
        return None
    return record if record.command in ("finetune", "study") else None
