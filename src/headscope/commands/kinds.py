"""What is scored of a model: its head for texts or for tokens, the vectors of texts, tokens that
are masked, or answers to questions. Asked for, or guessed from the model and the data.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from headscope.commands.embedding import open_embedder
from headscope.commands.questions import open_questions, questions_note
from headscope.commands.rows import chosen_columns
from headscope.commands.session import ANY_WORDS, Session
from headscope.commands.settings import HeadSettings, KindSettings, WordSource, flag
from headscope.commands.tokens import guess_note, open_masked, open_tags
from headscope.errors import HeadscopeError
from headscope.model.classes import OF_QUESTIONS, OF_TEXTS, OF_TOKENS
from headscope.model.config import read_config
from headscope.model.heads import architecture, claims
from headscope.model.loading import Init
from headscope.model.pooling import says_pooling
from headscope.model.source import find as find_source
from headscope.tasks import TASKS, find
from headscope.tasks.base import Task
from headscope.tasks.questions import is_questions
from headscope.tasks.tagging import is_tagging


def open_scored(
    settings: KindSettings, model: str, *, part: str = "validation", needs_train: bool = True
) -> Session:
    """As `open_session`, for a command that scores whatever `--as` names.

    What is not said is guessed from the model and the data, and the guess is said.

    Args:
        settings: What the command was asked.
        model: A hub name, a folder, or the embedded model.
        part: Which examples are scored; see `chosen_part`.
        needs_train: Whether data without a training split are refused.

    Raises:
        HeadscopeError: Also where what is asked for cannot be had of the model or the data.
    """
    from headscope.commands.session import open_session

    kind, note = _kind(settings, model)
    if kind in ("tokens", "mlm", "qa"):
        _refuse_pooling(settings)
        _refuse_group(settings)
    if kind == "tokens":
        tagged = open_tags(settings, model, part=part, needs_train=needs_train, said=note)
        return replace(tagged, model=tagged.scoring(tagged.model))
    if kind == "mlm":
        masked = open_masked(settings, model, part=part, needs_train=needs_train)
        return replace(masked, model=masked.scoring(masked.model))
    if kind == "qa":
        asked = open_questions(settings, model, part=part, needs_train=needs_train, said=note)
        return replace(asked, model=asked.scoring(asked.model))
    task = find(settings.task, chosen_columns(settings))
    check_kind(task, kind)
    if kind is None:
        kind, note = guessed_kind(model, task)
    if kind != "embedding":
        _refuse_pooling(settings)
        return open_session(settings, model, part=part, needs_train=needs_train, task=task)
    return open_embedder(settings, model, task, part=part, needs_train=needs_train, said=note)


def open_trained(
    settings: HeadSettings,
    model: str,
    *,
    train_examples: int | None = None,
    init: Init = "pretrained",
    source: WordSource = ANY_WORDS,
    at_most: int | None = None,
) -> Session:
    """As `open_session`, for a command that trains a head: for texts, for tags of their words, or
    for questions about them, as `--as` says or the data.

    Args:
        settings: What the command was asked.
        model: A hub name, a folder, or the embedded model.
        train_examples: At most so many training examples; None for all.
        init: Whether the weights are the checkpoint's or random.
        source: Who says what the words of a text are.
        at_most: How many examples to score where the settings do not say.

    Raises:
        HeadscopeError: Also where `--as` names what nothing is trained for.
    """
    from headscope.commands.session import open_session

    if settings.kind in ("embedding", "mlm"):
        raise HeadscopeError(
            f"--as {settings.kind}: {settings.command} trains a head for texts, for tags (--as "
            "tokens) or for questions (--as qa), and embeddings and masked tokens are scored as "
            "the model comes: take headscope disable and prune, measure for what its heads attend "
            "to, and report for one page of all their folders"
        )
    kind = settings.kind
    said: tuple[str, ...] = ()
    if kind is None:
        kind, said = kind_of_data(settings.task)
    openings = {"tokens": open_tags, "qa": open_questions}
    if kind in openings:
        _refuse_group(settings)
        opened = openings[kind](
            settings,
            model,
            train_examples=train_examples,
            at_most=at_most,
            init=init,
            needs_head=True,
            said=said,
        )
        return replace(opened, source=source)
    task = find(settings.task, chosen_columns(settings))
    check_kind(task, kind)
    return open_session(
        settings,
        model,
        source=source,
        train_examples=train_examples,
        at_most=at_most,
        init=init,
        task=task,
    )


def _kind(settings: HeadSettings, model: str) -> tuple[str | None, tuple[str, ...]]:
    """What was asked to be scored, or tokens or questions where the data or the model say so."""
    if settings.kind is not None:
        return settings.kind, ()
    kind, note = kind_of_data(settings.task)
    if kind is not None:
        return kind, note
    if settings.task not in TASKS.names():
        source = find_source(model)
        config = read_config(source.folder, source.name)
        if claims(config, OF_QUESTIONS):
            return "qa", (f"{model} answers questions: its answers are scored (--as qa)",)
        if claims(config, OF_TOKENS):
            return "tokens", (f"{model} tags words: they are scored (--as tokens)",)
    return None, ()


def kind_of_data(task: str) -> tuple[Literal["tokens", "qa"] | None, tuple[str, ...]]:
    """What the data of a task say that is scored, tokens or questions, and a note on it; None where
    they say nothing.
    """
    if is_tagging(task):
        return "tokens", (guess_note(task),)
    if is_questions(task):
        return "qa", (questions_note(task),)
    return None, ()


def check_kind(task: Task, kind: str | None) -> None:
    """Raises HeadscopeError where classes are asked for and a task has scores, or the reverse."""
    found = "regression" if task.is_regression else "classification"
    if kind in ("classification", "regression") and kind != found:
        raise HeadscopeError(
            f"--as {kind}: the labels of {task.name} make it a {found}; leave --as out, or name "
            "another --label"
        )


def _refuse_pooling(settings: KindSettings) -> None:
    given = [flag(name) for name in ("pool", "prompt") if getattr(settings, name) is not None]
    if given:
        raise HeadscopeError(
            f"{' and '.join(given)} are of embeddings, and a head is scored: add --as embedding"
        )


def _refuse_group(settings: HeadSettings) -> None:
    if settings.group is not None:
        raise HeadscopeError(
            "--group is of examples that are texts with one label each: of words, masked tokens "
            "and questions, those of one text are one case already, and groups of texts are not "
            "taken; leave it out"
        )


def guessed_kind(model: str, task: Task) -> tuple[Literal["head", "embedding"], tuple[str, ...]]:
    """What a model is made for, and a note where that is a guess: an embedder has no classification
    head, and its folder says how its vectors are pooled.
    """
    if len(task.columns) != 2 or not task.is_regression:
        return "head", ()
    source = find_source(model)
    config = read_config(source.folder, source.name)
    if not says_pooling(source) or OF_TEXTS.is_of(architecture(config)):
        return "head", ()
    return "embedding", (
        f"{model} has no classification head and its folder says how its vectors are pooled, so "
        "the cosine of two texts' vectors is scored (--as embedding)",
    )
