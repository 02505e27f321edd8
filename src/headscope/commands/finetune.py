"""`headscope finetune`: train an encoder on a task and score it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headscope.commands import options
from headscope.commands.outcome import Outcome, ending_lines
from headscope.commands.settings import HeadSettings, command
from headscope.errors import HeadscopeError
from headscope.names import CONFIGURATIONS
from headscope.progress import say_notes

if TYPE_CHECKING:
    from headscope.commands.session import Session
    from headscope.model.loading import Init


@dataclass(frozen=True, kw_only=True)
class FineTuning(HeadSettings):
    """What `headscope finetune` is asked."""

    command = "finetune"

    model: options.ModelName
    init: options.Init = "pretrained"
    epochs: options.Epochs = 3
    batch_size: options.BatchSize = 32
    lr: options.LearningRate = 2e-5
    train_examples: options.TrainExamples = None


@command(FineTuning)
def finetune(asked: FineTuning) -> Outcome:
    """Fine-tune an encoder on a task and score it; OUT is a plain Hugging Face folder.

    For example:
    headscope finetune --model minilm --task mrpc --data glue --out CKPT
    headscope finetune --model minilm --task reviews.csv --label stars --out CKPT
    """
    from headscope.commands.checkpoint import make_checkpoint
    from headscope.commands.scoring import score
    from headscope.commands.session import begin
    from headscope.results.contents import TRAINING_STATE
    from headscope.training.loop import check_labels
    from headscope.training.recipe import Recipe

    recipe = Recipe(
        epochs=asked.epochs,
        batch_size=asked.batch_size,
        lr=asked.lr,
        seed=asked.seed,
        precision=asked.precision,
    )
    session = _open(asked)
    is_trained = asked.init != "none"
    if is_trained:
        check_labels(session.task, session.train.labels)
    request = session.request(
        init=asked.init, epochs=asked.epochs, batch_size=asked.batch_size, lr=asked.lr
    )
    with begin(asked, request, session.inputs) as run:
        if not run.is_complete:
            state = run.path / TRAINING_STATE
            notes = () if is_trained else _ignored(asked)
            notes += make_checkpoint(session, recipe if is_trained else None, run.path, state)
            rows, _ = score(session, session.scoring(session.model), CONFIGURATIONS[asked.init])
            run.table("scores", rows, **session.names)
            run.finish(session.record(request, session.model, notes))
        lines = ending_lines(run)
    return Outcome(asked.out, lines, _following(asked))


def _open(asked: FineTuning) -> Session:
    """The model and the training examples: texts, their tokens, or questions about them."""
    from headscope.commands.kinds import check_kind, kind_of_data
    from headscope.commands.questions import open_questions
    from headscope.commands.session import open_session
    from headscope.commands.tokens import open_tags
    from headscope.tasks import Chosen, find

    init: Init = "random" if asked.init == "random" else "pretrained"
    if asked.kind in ("embedding", "mlm"):
        raise HeadscopeError(
            f"--as {asked.kind}: finetune trains a head for texts, for tags (--as tokens) or for "
            "questions (--as qa); embeddings and masked tokens are scored as the model comes, with "
            "headscope disable"
        )
    kind, said = (asked.kind, ()) if asked.kind is not None else kind_of_data(asked.task)
    openings = {"tokens": open_tags, "qa": open_questions}
    if kind in openings:
        return openings[kind](
            asked,
            asked.model,
            train_examples=asked.train_examples,
            init=init,
            needs_head=True,
            said=said,
        )
    task = find(asked.task, Chosen(asked.named_columns, asked.label))
    check_kind(task, asked.kind)
    return open_session(
        asked, asked.model, train_examples=asked.train_examples, init=init, task=task
    )


def _following(asked: FineTuning) -> str:
    """The command line that disables heads of the model, on the rows that it was scored on."""
    words = ["headscope", "disable", "--model", str(asked.out), *asked.on_task()]
    if asked.seed:
        words += ["--seed", str(asked.seed)]
    if asked.max_length != FineTuning.max_length:
        words += ["--max-length", str(asked.max_length)]
    return shlex.join([*words, "--out", "RUN"])


def _ignored(asked: FineTuning) -> tuple[str, ...]:
    """A note on settings of a training that does not take place."""
    why = "--init none trains nothing"
    notes = asked.without_effect(("epochs", "batch_size", "lr"), why)
    say_notes(notes, quiet=asked.quiet)
    return notes
