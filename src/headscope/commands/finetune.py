"""`headscope finetune`: train an encoder on a task and score it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headscope.commands import options
from headscope.commands.outcome import Outcome, ending_lines
from headscope.commands.settings import HeadSettings, command
from headscope.names import CONFIGURATIONS
from headscope.progress import say_notes

if TYPE_CHECKING:
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
    from headscope.commands.kinds import open_trained
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
    init: Init = "random" if asked.init == "random" else "pretrained"
    session = open_trained(asked, asked.model, train_examples=asked.train_examples, init=init)
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
