"""Tasks whose every word has a tag: which tags there are, and which rows train and validate."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

import polars as pl

from headscope.errors import HeadscopeError, refusing
from headscope.scratch import in_words
from headscope.tasks.base import TASKS, Task
from headscope.tasks.files import Data
from headscope.tasks.finding import COLUMNS, TREEBANKS, UD, has_split, split_files, where
from headscope.tasks.own import ALL_GUESSED, VALIDATION, Chosen, divided, division_note
from headscope.tasks.tagged import TAGS, Tagged, form_of, read_tagged
from headscope.tasks.texts import without_rows

_ENTITY = re.compile(r"([BI])-(.+)")
_OTHER_SCHEMES = re.compile(r"[ESLU]-.+")
_SPLITS = (("train",), (*VALIDATION, "testa"))


def is_tagging(name: str) -> bool:
    """Whether a task is named by a treebank, a file of columns, a Parquet file whose rows hold
    lists of words and of tags, or a folder of such files. A registered task never is, whatever
    else bears its name.
    """
    if name.startswith(UD):
        return True
    if name in TASKS.names():
        return False
    with refusing(f"the task {name[:80]!r} cannot be used"):
        path = Path(name).expanduser()
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        return any(map(_holds_tags, files))


def _holds_tags(file: Path) -> bool:
    if form_of(file) != "table":
        return True
    if file.suffix != ".parquet" or not file.is_file():
        return False
    try:
        kinds = pl.read_parquet_schema(file)
    except (OSError, pl.exceptions.PolarsError):
        # Whoever reads its rows says what is wrong.
        return False
    inner = {name: kind.inner for name, kind in kinds.items() if isinstance(kind, pl.List)}
    lists = [name for name, one in inner.items() if one == pl.String or one.is_integer()]
    # Texts that were tokenised have lists of tokens and of their numbers beside them.
    is_of_texts = pl.String in kinds.values() and not set(lists) & {*TAGS}
    return len(lists) > 1 and pl.String in inner.values() and not is_of_texts


def read_tagging(
    name: str, chosen: Chosen = ALL_GUESSED, *, seed: int = 0, needs_train: bool = True
) -> tuple[Task, Data]:
    """A task of tags and its rows.

    Tags such as B-PER, I-PER and O are of entities: F1 of entities comes first, and the labels are
    O and then B- and I- of every type. Other tags, as parts of speech, are scored by accuracy.

    Args:
        name: `ud:FILE` or `ud:FOLDER` (parts of speech), a file or a folder of files of columns, or
            of tables with a list of words and a list of tags in every row.
        chosen: The columns of words and of tags that the user named.
        seed: Of the division of a single file.
        needs_train: Whether a folder without training sentences is refused.

    Raises:
        HeadscopeError: It cannot be read, or does not have a tag for every word.
    """
    path = Path(name.removeprefix(UD)).expanduser()
    with refusing(f"the task {name[:80]!r} cannot be used"):
        is_there = path.is_file() or path.is_dir()
    if not is_there:
        raise HeadscopeError(
            f"{path} does not exist as a file or a folder: tags are read from ud:FILE (a "
            f"treebank), a file of columns ({', '.join(COLUMNS)}), or a table with lists of words "
            "and of tags"
        )
    if path.is_file():
        train, validation = None, read_tagged([path], chosen)
    else:
        train, validation = _read_folder(path, chosen, needs_train=needs_train)
    parts = [part for part in (train, validation) if part is not None]
    task = _task(path, parts)
    width = max(part.longest for part in parts)
    source = in_words(path) or str(path.resolve())
    rows = validation.split(task.labels, width)
    if path.is_file():
        first, second = divided(rows, task, seed)
        note = division_note(first, second, task, seed)
        second = replace(second, notes=(*rows.notes, note))
        return task, Data.of(replace(first, notes=()), second, source)
    first = without_rows(rows) if train is None else train.split(task.labels, width)
    return task, Data.of(first, rows, source)


def of_head(task: Task, names: Sequence[str]) -> tuple[Task, list[int]]:
    """The task with the tags of a trained head, and which of them each of its outputs is. Entities
    are not counted where the head has tags of another scheme.

    Args:
        task: The task as its rows have it.
        names: The names of the head's outputs.

    Raises:
        HeadscopeError: The head does not know a tag of the task.
    """
    unknown = [label for label in _used(task) if label not in names]
    if unknown:
        raise HeadscopeError(
            f"the head of the model knows the tags {', '.join(names)}, and {task.name} has "
            f"{', '.join(unknown)}: take a model that was fine-tuned on this task"
        )
    labels = _labels([*task.labels, *names])
    classes = [labels.index(name) for name in names]
    if _are_entities(task.labels) and not _are_entities(labels):
        others = [name for name in names if name != "O" and not _ENTITY.fullmatch(name)]
        note = (
            f"entities are counted where tags are B-, I- and O, and the head also has "
            f"{', '.join(others)}: the accuracy of tags is scored alone"
        )
        task = replace(task, metrics=("token_accuracy",), guessed=(*task.guessed, note))
    return replace(task, labels=labels), classes


def _used(task: Task) -> tuple[str, ...]:
    """The tags that rows have; of an entity's two tags one may only stand in the list."""
    return task.tags or task.labels


def _task(path: Path, parts: Sequence[Tagged]) -> Task:
    tags = set(chain.from_iterable(chain.from_iterable(part.tags for part in parts)))
    is_of_entities = _are_entities(tags)
    if len(tags) < 2:
        raise HeadscopeError(
            f"{where(path)} has one tag alone ({', '.join(tags)}), so there is nothing to tell "
            "apart: name the column of tags with --label"
        )
    guessed: tuple[str, ...] = ()
    if not is_of_entities and any(map(_OTHER_SCHEMES.fullmatch, tags)):
        guessed = (
            "entities are counted where tags are B-, I- and O; with these the accuracy of tags is "
            "scored alone",
        )
    return Task(
        name=path.resolve().name if in_words(path) is None else path.parent.name,
        columns=("words",),
        labels=_labels(tags),
        metrics=("entity_f1", "token_accuracy") if is_of_entities else ("token_accuracy",),
        label="tags",
        of_tokens=True,
        tags=tuple(sorted(tags)),
        file=path if path.is_file() else None,
        folder=None if path.is_file() else path,
        guessed=guessed,
    )


def _are_entities(tags: Iterable[str]) -> bool:
    others = [tag for tag in tags if tag != "O"]
    return bool(others) and all(map(_ENTITY.fullmatch, others))


def _labels(tags: Iterable[str]) -> tuple[str, ...]:
    """The tags in order; of entities O, and both tags of every type."""
    every = sorted(set(tags))
    if not _are_entities(every):
        return tuple(every)
    kinds = sorted({tag[2:] for tag in every if tag != "O"})
    return ("O", *chain.from_iterable((f"B-{kind}", f"I-{kind}") for kind in kinds))


def _read_folder(
    folder: Path, chosen: Chosen, *, needs_train: bool
) -> tuple[Tagged | None, Tagged]:
    """The training sentences, if there are any, and those to validate."""
    found = []
    for stems in _SPLITS:
        files = [file for file in sorted(folder.iterdir()) if is_split(file, stems)]
        if not files and has_split(folder, stems):
            files = [named.path for named in split_files(folder, stems)]
        if not files and (needs_train or stems is not _SPLITS[0]):
            raise HeadscopeError(
                f"{folder} has no {stems[0]} file of tags: expected {' or '.join(stems)} in the "
                f"name of a file that ends in {', '.join((*TREEBANKS, *COLUMNS))}, or a table"
            )
        if len(files) > 1 and form_of(files[0]) != "table":
            raise HeadscopeError(
                f"{folder} has several files that could be the {stems[0]} split: "
                f"{', '.join(file.name for file in files)}; name one file, or keep one there"
            )
        found.append(read_tagged(files, chosen) if files else None)
    train, validation = found
    if validation is None:
        raise HeadscopeError(f"{folder} has no sentences to validate")
    return train, validation


def is_split(file: Path, stems: Sequence[str]) -> bool:
    """Whether a treebank or a file of columns bears the name of a split, as in en_ewt-ud-dev."""
    if form_of(file) == "table":
        return False
    words = re.split(r"[^a-z0-9]+", file.name.lower())
    return any(stem in words for stem in stems)
