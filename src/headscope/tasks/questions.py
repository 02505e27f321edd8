"""Tasks of questions about texts, whose answers stand in the text: SQuAD's files, and tables with
its columns.

Source: Rajpurkar et al. (2016), EMNLP (SQuAD 1.1); Rajpurkar, Jia & Liang (2018), ACL (2.0, with
questions that have no answer).
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from headscope.errors import HeadscopeError, reason, refusing
from headscope.examples import Answer, Question, Split
from headscope.names import ANSWERS
from headscope.scratch import in_words
from headscope.stats.answers import true_labels
from headscope.tasks.base import TASKS, Task
from headscope.tasks.files import Data
from headscope.tasks.finding import FORMATS, Named, has_split, split_files, where
from headscope.tasks.own import VALIDATION, Chosen, divided, division_note, named_file
from headscope.tasks.tables import read_columns, read_text
from headscope.tasks.texts import without_rows

_COLUMNS = ("context", "question", "answers")
_SPLITS = (("train",), VALIDATION)
Asked = tuple[str, Question]
"""A text and a question about it."""


def is_questions(name: str) -> bool:
    """Whether a task is named by a file in SQuAD's form, or a folder with one. A registered task
    never is, whatever else bears its name.
    """
    if name in TASKS.names():
        return False
    with refusing(f"the task {name[:80]!r} cannot be used"):
        path = Path(name).expanduser()
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        return any(_is_squad(file) for file in files)


def _is_squad(file: Path) -> bool:
    named = Named.of(file)
    if named is None or named.form.removesuffix(".gz") != "json" or not file.is_file():
        return False
    try:
        text = read_text(named)
    except HeadscopeError:
        # Whoever reads its rows says what is wrong.
        return False
    return text.lstrip().startswith("{") and '"paragraphs"' in text and '"qas"' in text


def read_questions(
    name: str, chosen: Chosen, *, seed: int = 0, needs_train: bool = True
) -> tuple[Task, Data]:
    """A task of questions and its rows: a row is a text, with all questions about it.

    Args:
        name: A file in SQuAD's form or a table, or a folder with such files for `train` and
            `validation`.
        chosen: The columns that the user named, which are refused: their names are known.
        seed: Of the division of a single file.
        needs_train: Whether a folder without training questions is refused.

    Raises:
        HeadscopeError: It cannot be read, or an answer does not stand where it is said to.
    """
    chosen.refuse("questions (--as qa)")
    with refusing(f"the task {name[:80]!r} cannot be used"):
        path = Path(name).expanduser()
        is_file, exists = path.is_file(), path.exists()
    if not exists:
        raise HeadscopeError(
            f"{path} does not exist as a file or a folder: questions are read from a file in "
            "SQuAD's form (.json), or a table with the columns context, question and answers"
        )
    parts = [_read([path])] if is_file else _read_folder(path, needs_train=needs_train)
    width = max(len(questions) for part in parts for questions in part.values())
    splits = [_split(part, width) for part in parts]
    task = Task(
        name=path.resolve().name if in_words(path) is None else path.parent.name,
        columns=("context", "question"),
        labels=(),
        metrics=ANSWERS,
        label="answers",
        of_tokens=True,
        of_answers=True,
        file=path if is_file else None,
        folder=None if is_file else path,
    )
    source = in_words(path) or str(path.resolve())
    if is_file:
        train, validation = divided(splits[0], task, seed)
        note = division_note(train, validation, task, seed)
        validation = replace(validation, notes=(note,))
        return task, Data.of(train, validation, source)
    train = splits[0] if len(splits) > 1 else without_rows(splits[0])
    return task, Data.of(train, splits[-1], source)


def _split(asked: dict[str, list[Question]], width: int) -> Split:
    questions = tuple(map(tuple, asked.values()))
    labels = true_labels([len(of_text) for of_text in questions], width)
    return Split(tuple(asked), None, labels, questions=questions)


def _read_folder(folder: Path, *, needs_train: bool) -> list[dict[str, list[Question]]]:
    """The training questions, if there are any, and those to validate."""
    parts = []
    for stems in _SPLITS:
        files = _files(folder, stems)
        if files:
            parts.append(_read(files))
        elif needs_train or stems is VALIDATION:
            raise HeadscopeError(
                f"{folder} has no {stems[0]} file of questions: expected {' or '.join(stems)} in "
                "the name of a file in SQuAD's form (.json), or of a table with the columns "
                f"{', '.join(_COLUMNS)}"
            )
    return parts


def _files(folder: Path, stems: Sequence[str]) -> list[Path]:
    """The files of a split, as in train.json, train-v1.1.json or parts of a table."""
    files = [
        file
        for file in sorted(folder.iterdir())
        if _is_squad(file) and {*stems} & {*re.split(r"[^a-z0-9]+", file.name.lower())}
    ]
    if len(files) > 1:
        raise HeadscopeError(
            f"{folder} has several files that could be the {stems[0]} split: "
            f"{', '.join(file.name for file in files)}; name one file, or keep one there"
        )
    if not files and has_split(folder, stems):
        return [named.path for named in split_files(folder, stems)]
    return files


def _read(files: Sequence[Path]) -> dict[str, list[Question]]:
    """Every different text with the questions about it."""
    asked: dict[str, list[Question]] = {}
    for file in files:
        for context, question in _squad(file) if _is_squad(file) else _table(file):
            asked.setdefault(context, []).append(question)
    if not asked:
        raise HeadscopeError(f"{where(files[0])} holds no question: give at least one")
    return asked


def _squad(file: Path) -> Iterator[Asked]:
    """The questions of a file in SQuAD's form."""
    called = where(file)
    try:
        content: Any = json.loads(read_text(named_file(file)))
        for article in content["data"]:
            for paragraph in article["paragraphs"]:
                for given in paragraph["qas"]:
                    is_impossible = bool(given.get("is_impossible", False))
                    answers = [] if is_impossible else given["answers"]
                    pairs = [(answer["text"], answer["answer_start"]) for answer in answers]
                    question = _question(
                        paragraph["context"], given["id"], given["question"], pairs, called
                    )
                    if not pairs and not is_impossible:
                        raise HeadscopeError(
                            f"{called}: the question {question.id} has no answer, and is not said "
                            "to have none (is_impossible): is it a test split?"
                        )
                    yield paragraph["context"], question
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise HeadscopeError(
            f"{called} is not in SQuAD's form ({reason(error)}): expected data, a list of articles "
            "with paragraphs, each with a context and qas (id, question, answers)"
        ) from error


def _table(file: Path) -> Iterator[Asked]:
    """The questions of a table with the columns that the data set squad has on the hub."""
    called = where(file)
    named = Named.of(file)
    columns = {} if named is None else read_columns(named)
    missing = [name for name in _COLUMNS if name not in columns]
    if missing:
        raise HeadscopeError(
            f"{called} holds no questions: expected a file in SQuAD's form (.json), or a table "
            f"(.{', .'.join(FORMATS[:3])}) with the columns {', '.join(_COLUMNS)}; it lacks "
            f"{', '.join(missing)}"
        )
    for number, (context, text, given) in enumerate(
        zip(*(columns[name] for name in _COLUMNS), strict=True), start=1
    ):
        name = columns["id"][number - 1] if "id" in columns else f"of row {number}"
        try:
            pairs = list(zip(given["text"], given["answer_start"], strict=True))
        except (KeyError, TypeError, ValueError) as error:
            raise HeadscopeError(
                f"{called}, row {number}: answers are {str(given)[:40]!r}, expected two lists of "
                "the same length, text and answer_start"
            ) from error
        question = _question(context, name, text, pairs, called)
        yield str(context), question


def _question(
    context: object, name: object, text: object, pairs: Iterable[tuple[Any, Any]], called: str
) -> Question:
    """A question whose answers stand in the text.

    Raises:
        HeadscopeError: One does not, or a text is missing.
    """
    at = f"{called}: the question {name}"
    for what, given in (("question", text), ("context", context)):
        if not isinstance(given, str) or not given.strip():
            raise HeadscopeError(f"{at} has no {what} ({given!r}): give it a text")
    answers = []
    for answer, start in pairs:
        is_there = (
            isinstance(answer, str)
            and answer.strip()
            and isinstance(start, int)
            and start >= 0
            and str(context).startswith(answer, start)
        )
        if not is_there:
            stands = str(context).find(str(answer)) if str(answer).strip() else -1
            place = f"it stands at {stands}" if stands >= 0 else "it stands nowhere in it"
            raise HeadscopeError(
                f"{at} has the answer {str(answer)[:40]!r} at {start} of its context, and {place}: "
                "correct answer_start, counted in characters from 0"
            )
        answers.append(Answer(answer, start))
    return Question(str(name), str(text), tuple(answers))
