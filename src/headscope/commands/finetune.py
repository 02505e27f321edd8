"""`headscope finetune`: train an encoder on a task and score it."""

from __future__ import annotations

from headscope.commands.common import begin, open_session
from headscope.commands.options import (
    BatchSize,
    BatchTokens,
    DataDir,
    Epochs,
    Examples,
    Init,
    LearningRate,
    MaxLength,
    ModelName,
    Out,
    Overwrite,
    Precision,
    Quiet,
    Seed,
    TaskName,
    TrainExamples,
)
from headscope.commands.outcome import Outcome, saved_score_lines


def finetune(
    *,
    model: ModelName,
    task: TaskName,
    out: Out,
    data: DataDir = None,
    init: Init = "pretrained",
    epochs: Epochs = 3,
    batch_size: BatchSize = 32,
    lr: LearningRate = 2e-5,
    train_examples: TrainExamples = None,
    examples: Examples = None,
    seed: Seed = 0,
    precision: Precision = "auto",
    max_length: MaxLength = 128,
    batch_tokens: BatchTokens = 2048,
    quiet: Quiet = False,
    overwrite: Overwrite = False,
) -> Outcome:
    """Fine-tune an encoder on a task and score it; OUT is a plain Hugging Face folder."""
    given = dict(locals())
    from headscope.commands import steps
    from headscope.training.loop import check_labels
    from headscope.training.recipe import Recipe

    recipe = Recipe(epochs=epochs, batch_size=batch_size, lr=lr, seed=seed, precision=precision)
    session = open_session(
        given, examples=examples, init="random" if init == "random" else "pretrained"
    )
    if init != "none":
        check_labels(session.task, session.train.labels)
    request = session.request("finetune", init=init, epochs=epochs, batch_size=batch_size, lr=lr)
    run, complete = begin(session, out, request, overwrite)
    if not complete:
        notes = steps.train_checkpoint(session, recipe, run.path, run, none=init == "none")
        configuration = {
            "pretrained": "pretrained + fine-tuned",
            "random": "random + fine-tuned",
            "none": "pretrained, no fine-tuning",
        }[init]
        rows, _ = steps.score(session, session.model, configuration)
        run.table("scores", rows, model=session.model.name, task=session.task.name)
        run.finish(session.record(request, session.model, given, notes))
    following = f"headscope disable --model {out} --task {task} --out RUN"
    return Outcome(out, saved_score_lines(run), following)
