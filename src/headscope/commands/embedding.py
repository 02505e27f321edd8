"""What a command that scores begins with: a model's head, or the vectors of an embedder."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Literal

from headscope.commands import session as sessions
from headscope.commands.rows import check_division, chosen_part
from headscope.commands.session import ANY_WORDS, Session, cut_note
from headscope.commands.settings import HeadSettings, KindSettings, flag
from headscope.commands.tokens import guess_note, open_masked, open_tags
from headscope.errors import HeadscopeError
from headscope.model.classes import OF_TEXTS, OF_TOKENS
from headscope.model.config import read_config
from headscope.model.embedder import as_embedder
from headscope.model.heads import architecture, claims
from headscope.model.loading import load
from headscope.model.pooling import pooling_of, says_pooling
from headscope.model.source import find as find_source
from headscope.model.text_pairs import TextPairs
from headscope.progress import say_notes
from headscope.tasks import TASKS, Chosen, find
from headscope.tasks.alike import alike_note, check_both, shared_note, with_scores
from headscope.tasks.base import Task
from headscope.tasks.files import load_data
from headscope.tasks.tagging import is_tagging


def open_scored(
    settings: KindSettings, model: str, *, part: str = "validation", needs_train: bool = True
) -> Session:
    """As `open_session`, for a command that scores a model's head or the vectors of an embedder.

    What is not said is guessed from the model, and the guess is said.

    Raises:
        HeadscopeError: Also where vectors are asked for and cannot be had.
    """
    kind, note = _kind(settings, model)
    if kind in ("tokens", "mlm"):
        _refuse_pooling(settings)
    if kind == "tokens":
        tagged = open_tags(settings, model, part=part, needs_train=needs_train, said=note)
        return replace(tagged, model=tagged.scoring(tagged.model))
    if kind == "mlm":
        masked = open_masked(settings, model, part=part, needs_train=needs_train)
        return replace(masked, model=masked.scoring(masked.model))
    task = find(settings.task, Chosen(settings.named_columns, settings.label))
    check_kind(task, kind)
    if kind is None:
        kind, note = guessed_kind(model, task)
    if kind != "embedding":
        _refuse_pooling(settings)
        return sessions.open_session(settings, model, part=part, needs_train=needs_train, task=task)
    return _open_embedder(settings, model, task, part=part, needs_train=needs_train, said=note)


def _kind(settings: HeadSettings, model: str) -> tuple[str | None, tuple[str, ...]]:
    """What was asked to be scored, or tokens where the data or the model say so."""
    if settings.kind is not None:
        return settings.kind, ()
    if is_tagging(settings.task):
        return "tokens", (guess_note(settings.task),)
    if settings.task not in TASKS.names():
        source = find_source(model)
        if claims(read_config(source.folder, source.name), OF_TOKENS):
            return "tokens", (f"{model} tags words: they are scored (--as tokens)",)
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


def _open_embedder(
    settings: KindSettings,
    model: str,
    task: Task,
    *,
    part: str,
    needs_train: bool,
    said: tuple[str, ...],
) -> Session:
    began = time.monotonic()
    seed = settings.seed
    similarity = task.as_similarity()
    data = load_data(task, settings.data, seed=seed, needs_train=needs_train)
    alike: tuple[str, ...] = ()
    if not task.is_regression:
        data, alike = with_scores(data, task), (alike_note(task),)
    validation = chosen_part(data, part, seed).sample(settings.examples, seed)
    if not task.is_regression:
        check_both(validation, task)
        alike += shared_note(validation)
    loaded = load(model, seed=seed)
    pooling, pooled = pooling_of(find_source(model), settings.pool, settings.prompt)
    loaded = as_embedder(loaded, pooling)
    limit = min(settings.max_length, loaded.max_length, pooling.longest or loaded.max_length)
    pairs = TextPairs.of(validation, loaded.tokenizer, limit, pooling.prompt)
    notes = (*said, *loaded.notes, *pooled, *data.train.notes, *validation.notes)
    notes += (*check_division(loaded, task, data, seed), *alike)
    notes = (*notes, *cut_note(pairs.encoded, "validation", "texts"))
    say_notes(notes, quiet=settings.quiet)
    return Session(
        settings=settings,
        model=loaded,
        task=similarity,
        data=data,
        train=data.train,
        validation=validation,
        encoded=pairs.encoded,
        notes=notes,
        source=ANY_WORDS,
        began=began,
        pairs=pairs,
        pooling=pooling,
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
