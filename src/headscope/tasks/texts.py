"""Texts without labels: lines of a file, or the text columns of a table."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from headscope.errors import HeadscopeError, refusing
from headscope.examples import Split
from headscope.tasks.base import Task
from headscope.tasks.columns import Layout, Wanted
from headscope.tasks.finding import Named
from headscope.tasks.guessing import guessed_texts, named_columns
from headscope.tasks.own import texts_note
from headscope.tasks.tables import read_columns, read_table, read_text

LINE = "line"
"""What the one column of a file of lines is called."""


def read_texts(path: Path, columns: Sequence[str] | None = None) -> tuple[Task, Split]:
    """The texts of a file.

    Args:
        path: A table, by its ending, or lines of text: every other file.
        columns: The one or two text columns of a table; None leaves them to be guessed.

    Returns:
        A task without labels and without metrics, and its examples, whose labels are NaN.

    Raises:
        HeadscopeError: The file is missing, damaged or without a text, or the columns of a table
            cannot be guessed.
    """
    with refusing(f"--text {str(path)[:80]!r} cannot be used"):
        is_folder, is_file, exists = path.is_dir(), path.is_file(), path.exists()
    if is_folder or not is_file:
        what = "is a folder" if is_folder else "is a pipe or a device"
        raise HeadscopeError(
            f"--text {path} {what if exists else 'does not exist'}: give a file with a text on "
            "every line, or a table (csv, tsv, jsonl, parquet)"
        )
    file = Named.of(path)
    names: tuple[str, ...] = (LINE,)
    notes: tuple[str, ...] = ()
    if file is None:
        if columns is not None:
            raise HeadscopeError(
                f"--columns is of a table, and {path} is read as lines of text: leave it out, or "
                "give a file that ends in .csv, .tsv, .jsonl or .parquet"
            )
        texts = _lines(path)
    else:
        texts, names, notes = _columns(file, columns)
    whole = [row for row in zip(*texts, strict=True) if all(row)]
    if not whole:
        raise HeadscopeError(
            f"--text {path} holds no text: give a file with at least one line or row that is not "
            "empty"
        )
    if empty := len(texts[0]) - len(whole):
        what = "lines" if file is None else "rows"
        notes = (*notes, f"{path.name}: {empty} of {len(texts[0])} {what} left out: no text there")
    task = Task(name=path.name, columns=names, labels=(), metrics=(), file=path, guessed=notes)
    split = Split(
        first=tuple(row[0] for row in whole),
        second=tuple(row[1] for row in whole) if len(names) > 1 else None,
        labels=np.full(len(whole), np.nan),
        notes=notes,
    )
    return task, split


def without_rows(split: Split) -> Split:
    """A split of the same form that holds no rows."""
    return Split((), None if split.second is None else (), split.labels[:0])


def _lines(path: Path) -> list[list[str]]:
    form = "txt.gz" if path.suffix.lower() == ".gz" else "txt"
    text = read_text(Named(path, path.stem, form, 0, 0))
    # Not splitlines(): a text may hold other separators of lines.
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    # The last line ends the file.
    rows = lines[:-1] if lines[-1] == "" else lines
    return [[row.strip() for row in rows]]


def _columns(
    file: Named, given: Sequence[str] | None
) -> tuple[list[list[str]], tuple[str, ...], tuple[str, ...]]:
    """The texts of a table, the names of their columns, and what was guessed or left out."""
    columns = read_columns(file)
    where = str(file.path)
    if not any(columns.values()):
        raise HeadscopeError(f"--text {where} holds no rows: give a table with texts")
    notes: tuple[str, ...] = ()
    if given is None:
        names = guessed_texts(columns, None, where)
        notes = (texts_note(file.called, names, columns),)
    else:
        names = named_columns(given, columns, where)
    # A table is read with a label: a text stands in for it.
    wanted = Wanted(
        task="--text",
        layouts=(Layout(names, names[0]),),
        is_label=lambda _: False,
        archive=False,
    )
    table = read_table(file, wanted)
    texts = [["" if value is None else str(value) for value in column] for column in table.texts]
    kept = [[text if text.strip() else "" for text in column] for column in texts]
    broken = sum("\n" in text for column in kept for text in column)
    # Without a label nothing tells a text of several lines from rows that an open quote swallows.
    if broken and not file.form.startswith(("parquet", "json")):
        notes += (
            f"{file.path.name}: {broken} texts hold line breaks; if they should not, a quote was "
            "left open there",
        )
    return kept, names, (*notes, *table.notes)
