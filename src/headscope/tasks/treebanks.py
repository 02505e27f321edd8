"""The sentences of a treebank as texts without labels, whose words and tags are gold."""

from pathlib import Path

import numpy as np

from headscope.corpora import ud
from headscope.errors import HeadscopeError, refusing
from headscope.examples import Split
from headscope.tasks.base import Task
from headscope.tasks.finding import TREEBANKS, UD
from headscope.tasks.own import VALIDATION, Chosen
from headscope.tasks.tagging import is_split


def read_treebank(name: str, chosen: Chosen) -> tuple[Task, Path, Split]:
    """The sentences of a file, or of the development file of a folder.

    Args:
        name: `ud:FILE` or `ud:FOLDER`.
        chosen: Columns that the user named, of which a treebank has none.

    Returns:
        A task without labels and without metrics, the file, and its examples, whose words are the
        treebank's.

    Raises:
        HeadscopeError: There is no such file, or it is no CoNLL-U.
    """
    chosen.refuse(name)
    path = Path(name.removeprefix(UD)).expanduser()
    with refusing(f"the treebank {str(path)[:80]!r} cannot be read"):
        is_folder = path.is_dir()
        files = [file for file in sorted(path.iterdir()) if _is_read(file)] if is_folder else [path]
    if len(files) != 1:
        found = ", ".join(file.name for file in files) or "none"
        raise HeadscopeError(
            f"{path}: one file of {' or '.join(VALIDATION)} sentences is measured "
            f"({' or '.join(TREEBANKS)}), found {found}: name the file itself"
        )
    (file,) = files
    sentences = ud.read([file], quiet=True).sentences
    note = f"{file.name}: words and their tags are the treebank's"
    task = Task(
        name=path.resolve().name,
        columns=("sentence",),
        labels=(),
        metrics=(),
        file=file,
        guessed=(note,),
    )
    split = Split(
        first=tuple(sentence.text for sentence in sentences),
        second=None,
        labels=np.full(len(sentences), np.nan),
        words=tuple((sentence.words,) for sentence in sentences),
        notes=(note,),
    )
    return task, file, split


def _is_read(file: Path) -> bool:
    return file.name.lower().endswith(TREEBANKS) and is_split(file, VALIDATION)
