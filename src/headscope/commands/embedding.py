"""What a command that scores an embedder begins with: pairs of texts, and how they are pooled."""

from __future__ import annotations

import time

from headscope.commands.rows import check_division, chosen_part
from headscope.commands.session import ANY_WORDS, Session, cut_note
from headscope.commands.settings import KindSettings
from headscope.model.embedder import as_embedder
from headscope.model.loading import load
from headscope.model.pooling import pooling_of
from headscope.model.source import find as find_source
from headscope.model.text_pairs import TextPairs
from headscope.progress import say_notes
from headscope.tasks.alike import alike_note, check_both, with_scores
from headscope.tasks.base import Task
from headscope.tasks.files import load_data
from headscope.tasks.grouping import group_notes, of_queries


def open_embedder(
    settings: KindSettings,
    model: str,
    task: Task,
    *,
    part: str,
    needs_train: bool,
    said: tuple[str, ...],
) -> Session:
    """An embedder and the pairs whose cosines are scored.

    Args:
        settings: What the command was asked.
        model: A hub name, a folder, or the embedded model.
        task: Pairs of texts with scores, or of two classes.
        part: Which pairs are scored; see `chosen_part`.
        needs_train: Whether data without a training split are refused.
        said: Notes of how it was found that vectors are scored.

    Raises:
        HeadscopeError: The task has no pairs that can be alike, or the model no such vectors.
    """
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
        similarity = of_queries(similarity, validation)
    alike += group_notes(similarity, validation)
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
        joining=pairs,
        pooling=pooling,
    )
