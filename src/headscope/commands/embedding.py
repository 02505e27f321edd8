"""What a command that scores begins with: a model's head, or the vectors of an embedder."""

from __future__ import annotations

import time
from typing import Literal

from headscope.commands import session as sessions
from headscope.commands.rows import check_division, chosen_part
from headscope.commands.session import ANY_WORDS, Session, cut_note
from headscope.commands.settings import KindSettings, flag
from headscope.errors import HeadscopeError
from headscope.model.config import read_config
from headscope.model.embedder import as_embedder
from headscope.model.heads import CLASSIFIER, architecture
from headscope.model.loading import load
from headscope.model.pooling import pooling_of, says_pooling
from headscope.model.source import find as find_source
from headscope.model.text_pairs import TextPairs
from headscope.progress import say_notes
from headscope.tasks import Chosen, find
from headscope.tasks.alike import alike_note, check_both, shared_note, with_scores
from headscope.tasks.base import Task
from headscope.tasks.files import load_data


def open_scored(
    settings: KindSettings, model: str, *, part: str = "validation", needs_train: bool = True
) -> Session:
    """As `open_session`, for a command that scores a model's head or the vectors of an embedder.

    What is not said is guessed from the model, and the guess is said.

    Raises:
        HeadscopeError: Also where vectors are asked for and cannot be had.
    """
    began = time.monotonic()
    task = find(settings.task, Chosen(settings.named_columns, settings.label))
    note: tuple[str, ...] = ()
    kind = settings.kind
    if kind is None:
        kind, note = guessed_kind(model, task)
    if kind == "head":
        given = [flag(name) for name in ("pool", "prompt") if getattr(settings, name) is not None]
        if given:
            raise HeadscopeError(
                f"{' and '.join(given)} are of embeddings, and a head is scored: add --as embedding"
            )
        return sessions.open_session(settings, model, part=part, needs_train=needs_train, task=task)
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
    pooling, said = pooling_of(find_source(model), settings.pool, settings.prompt)
    loaded = as_embedder(loaded, pooling)
    limit = min(settings.max_length, loaded.max_length, pooling.longest or loaded.max_length)
    pairs = TextPairs.of(validation, loaded.tokenizer, limit, pooling.prompt)
    notes = (*note, *loaded.notes, *said, *data.train.notes, *validation.notes)
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
    if not says_pooling(source) or architecture(config).endswith(CLASSIFIER):
        return "head", ()
    return "embedding", (
        f"{model} has no classification head and its folder says how its vectors are pooled, so "
        "the cosine of two texts' vectors is scored (--as embedding)",
    )
