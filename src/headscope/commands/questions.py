"""What a command that scores answers to questions begins with."""

from __future__ import annotations

import time

from headscope.commands.heads import with_head
from headscope.commands.rows import check_division, chosen_part
from headscope.commands.session import ANY_WORDS, Session, cut_note
from headscope.commands.settings import HeadSettings
from headscope.errors import HeadscopeError
from headscope.examples import Split
from headscope.model.classes import OF_QUESTIONS
from headscope.model.loading import Init
from headscope.model.questions import QuestionMarker
from headscope.progress import say_notes
from headscope.tasks import Chosen
from headscope.tasks.questions import read_questions

USUAL = 384
"""How many tokens a window usually has in training on SQuAD."""
_ENDS = 2


def open_questions(
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
    """A model and questions about texts.

    Args:
        settings: What the command was asked.
        model: A hub name, a folder, or the embedded model.
        part: Which texts are scored; see `chosen_part`.
        needs_train: Whether data without a training split are refused.
        train_examples: At most so many training texts; None for all.
        at_most: How many texts to score where the settings do not say.
        init: Whether the weights are the checkpoint's or random.
        needs_head: Whether a model without a head for questions gets a new one; else it is refused.
        said: Notes of how it was found that questions are answered.

    Raises:
        HeadscopeError: The data or the model cannot be used.
    """
    began = time.monotonic()
    seed = settings.seed
    chosen = Chosen(settings.named_columns, settings.label)
    task, data = read_questions(settings.task, chosen, seed=seed, needs_train=needs_train)
    loaded = with_head(
        settings,
        model,
        OF_QUESTIONS,
        _ENDS,
        kind="qa",
        does="answers questions",
        init=init,
        needs_head=needs_head,
    )
    divided = check_division(loaded, task, data, seed)
    train = data.train.sample(train_examples, seed)
    validation = chosen_part(data, part, seed).sample(settings.examples or at_most, seed)
    allows_none = any(map(_has_unanswerable, (data.train, data.validation)))
    if not _has_answers(validation):
        raise HeadscopeError(
            f"no question of {task.name} that is to be scored has an answer, so there is nothing "
            "to find: give questions with answers too"
        )
    marker = QuestionMarker(allows_none)
    limit = min(settings.max_length, loaded.max_length)
    read = marker.read(validation, loaded.tokenizer, limit, "validation texts")
    scored = (
        f"scored are answers to {read.tokens:,} questions about {len(read.split):,} validation "
        "texts; tests and intervals take texts, whose questions are drawn together",
    )
    notes = (*said, *loaded.notes, *data.train.notes, *validation.notes, *divided, *read.notes)
    notes += (*_short_note(limit, int(read.encoded.lengths.max())), *scored)
    notes += cut_note(read.encoded, "validation", "windows")
    say_notes(notes, quiet=settings.quiet)
    return Session(
        settings=settings,
        model=loaded,
        task=task,
        data=data,
        train=train,
        validation=read.split,
        encoded=read.encoded,
        notes=notes,
        source=ANY_WORDS,
        began=began,
        joining=read.joining,
        marker=marker,
    )


def questions_note(task: str) -> str:
    """That answers are scored since the task has questions."""
    return f"{task} has questions about texts: their answers are scored (--as qa)"


def _short_note(limit: int, longest: int) -> tuple[str, ...]:
    """That windows are shorter than models are trained with, where texts fill them."""
    if limit >= USUAL or longest < limit:
        return ()
    return (
        f"windows have {limit} tokens, and models are usually trained on SQuAD with {USUAL}: "
        f"--max-length {USUAL} takes as many, where the model reads them",
    )


def _has_answers(split: Split) -> bool:
    return any(question.answers for of_text in split.questions or () for question in of_text)


def _has_unanswerable(split: Split) -> bool:
    return any(not question.answers for of_text in split.questions or () for question in of_text)
