"""What a command that scores tokens begins with: tags of words, or tokens that are masked."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from headscope.commands.heads import with_head
from headscope.commands.rows import check_division, chosen_part, majority_note
from headscope.commands.session import ANY_WORDS, Session, cut_note
from headscope.commands.settings import HeadSettings
from headscope.errors import HeadscopeError
from headscope.examples import Split
from headscope.model.classes import OF_MASKED_TOKENS, OF_TOKENS
from headscope.model.encoding import encode
from headscope.model.loading import Init, load
from headscope.model.model import Model
from headscope.model.token_marks import IGNORED, Masker, TokenMarker, WordMarker, most_masked
from headscope.progress import say_notes
from headscope.stats.metrics import NO_LABEL
from headscope.tasks import TASKS, Chosen, find
from headscope.tasks.base import Task
from headscope.tasks.files import Data, load_data
from headscope.tasks.folder import DEFINITION
from headscope.tasks.own import VALIDATION
from headscope.tasks.tagging import of_head, read_tagging
from headscope.tasks.texts import read_texts, without_rows


def open_tags(
    settings: HeadSettings,
    model: str,
    *,
    part: str = "validation",
    needs_train: bool = True,
    train_examples: int | None = None,
    at_most: int | None = None,
    init: Init = "pretrained",
    needs_head: bool = False,
    said: tuple[str, ...] = (),
) -> Session:
    """A model and sentences whose every word has a tag.

    Args:
        settings: What the command was asked.
        model: A hub name, a folder, or the embedded model.
        part: Which sentences are scored; see `chosen_part`.
        needs_train: Whether data without a training split are refused.
        train_examples: At most so many training sentences; None for all.
        at_most: How many sentences to score where the settings do not say.
        init: Whether the weights are the checkpoint's or random.
        needs_head: Whether a model without a head for tags gets a new one; else it is refused.
        said: Notes of how it was found that words have tags.

    Raises:
        HeadscopeError: The data or the model cannot be used, or the model knows other tags.
    """
    began = time.monotonic()
    chosen = Chosen(settings.named_columns, settings.label)
    task, data = read_tagging(settings.task, chosen, seed=settings.seed, needs_train=needs_train)
    loaded = with_head(
        settings,
        model,
        OF_TOKENS,
        task.outputs,
        kind="tokens",
        does="tags tokens",
        init=init,
        needs_head=needs_head,
    )
    classes = list(range(task.outputs))
    if loaded.trained_head:
        before = task.labels
        task, classes = of_head(task, loaded.classes)
        data = _renumbered(data, before, task.labels)
    marker = WordMarker(_inverse(classes, task.outputs), tuple(classes), _width(data))
    notes = (*said, *task.guessed, *check_division(loaded, task, data, settings.seed))
    notes += majority_note(task, data)
    rows = _Rows(data, part, train_examples, at_most)
    return _session(settings, loaded, task, rows, marker, began, notes)


def open_masked(
    settings: HeadSettings, model: str, *, part: str = "validation", needs_train: bool = True
) -> Session:
    """A model and texts of which some tokens are masked; no label is needed.

    Args:
        settings: What the command was asked; the task is one that has texts, or a file of texts.
        model: A hub name or a folder.
        part: Which texts are scored; see `chosen_part`.
        needs_train: Whether data without a training split are refused.

    Raises:
        HeadscopeError: The data or the model cannot be used.
    """
    began = time.monotonic()
    task, data = _texts(settings, needs_train=needs_train)
    loaded = load(model, seed=settings.seed, head=OF_MASKED_TOKENS)
    if not loaded.trained_head:
        raise HeadscopeError(
            f"{model} has no head for masked language modelling, so it does not say which token is "
            "masked: take a pre-trained model that kept it, as bert-base-uncased"
        )
    limit = min(settings.max_length, loaded.max_length)
    marker = Masker(loaded.tokenizer, settings.seed, most_masked(limit))
    task = replace(task, labels=(), metrics=("token_accuracy",), of_tokens=True)
    # What was guessed of the texts is a note of theirs already.
    return _session(settings, loaded, task, _Rows(data, part), marker, began, ())


def guess_note(task: str) -> str:
    """That words are scored since the task has tags of them."""
    return f"words of {task} have tags: they are scored (--as tokens)"


def _texts(settings: HeadSettings, *, needs_train: bool) -> tuple[Task, Data]:
    """The texts of a task, of a file, or of a folder of two files; no labels are needed."""
    path = Path(settings.task).expanduser()
    if path.is_dir() and (files := _lines(path)):
        _refuse_label(settings)
        task, texts = read_texts(files[-1])
        train = without_rows(texts) if len(files) == 1 else read_texts(files[0])[1]
        return task, Data.of(train, texts, str(path.resolve()))
    if settings.task in TASKS.names() or (path / DEFINITION).is_file() or path.is_dir():
        task = find(settings.task, Chosen(settings.named_columns, settings.label))
        data = load_data(task, settings.data, seed=settings.seed, needs_train=needs_train)
        return task, data
    if needs_train:
        raise HeadscopeError(
            f"{settings.task} is one file of texts, and a search needs training texts beside those "
            "that it is judged by: give a folder with train.txt and validation.txt"
        )
    _refuse_label(settings)
    task, texts = read_texts(path, settings.named_columns)
    return task, Data.of(without_rows(texts), texts, str(path.resolve()))


def _lines(folder: Path) -> list[Path]:
    """The files of lines of a folder, the training texts first; none without one to validate."""
    named = [folder / f"{name}.txt" for name in VALIDATION]
    found = [file for file in named if file.is_file()][:1]
    train = folder / "train.txt"
    return [train, *found] if found and train.is_file() else found


def _refuse_label(settings: HeadSettings) -> None:
    if settings.label is not None:
        raise HeadscopeError(
            "--label is of texts with labels, and masked tokens have themselves for labels: leave "
            "it out"
        )


@dataclass(frozen=True)
class _Rows:
    """Rows, and which of them are taken.

    Attributes:
        data: All of them.
        part: Which are scored; see `chosen_part`.
        train_examples: At most so many to train on; None for all.
        at_most: How many are scored where the settings do not say.
    """

    data: Data
    part: str
    train_examples: int | None = None
    at_most: int | None = None


def _session(
    settings: HeadSettings,
    model: Model,
    task: Task,
    rows: _Rows,
    marker: TokenMarker,
    began: float,
    notes: tuple[str, ...],
) -> Session:
    data, seed = rows.data, settings.seed
    train = data.train.sample(rows.train_examples, seed)
    most = settings.examples or rows.at_most
    validation = chosen_part(data, rows.part, seed).sample(most, seed)
    encoded = encode(validation, model.tokenizer, min(settings.max_length, model.max_length))
    unit = marker.unit
    read = marker.mark(validation, encoded, f"validation {unit}")
    scored = (
        f"scored are {read.tokens:,} {marker.scored} of {len(read.split)} validation {unit}; tests "
        f"and intervals take {unit}, which are drawn as wholes",
    )
    notes = (*model.notes, *notes, *data.train.notes, *validation.notes, *read.notes, *scored)
    notes += cut_note(encoded, "validation", unit)
    say_notes(notes, quiet=settings.quiet)
    return Session(
        settings=settings,
        model=model,
        task=task,
        data=data,
        train=train,
        validation=read.split,
        encoded=read.encoded,
        notes=notes,
        source=ANY_WORDS,
        began=began,
        marker=marker,
    )


def _inverse(classes: list[int], count: int) -> tuple[int, ...]:
    """For every label of the task its number among the head's outputs."""
    of_head = [IGNORED] * count
    for output, label in enumerate(classes):
        of_head[label] = output
    return tuple(of_head)


def _width(data: Data) -> int:
    return max(int(split.labels.shape[1]) for split in (data.train, data.validation))


def _renumbered(data: Data, before: tuple[str, ...], after: tuple[str, ...]) -> Data:
    """The rows with their tags as indices of another list."""
    if before == after:
        return data
    # The last stands for no label, which is -1.
    numbers = np.array([*(after.index(label) for label in before), NO_LABEL])

    def of(split: Split) -> Split:
        return replace(split, labels=numbers[split.labels])

    return Data.of(of(data.train), of(data.validation), data.source)
