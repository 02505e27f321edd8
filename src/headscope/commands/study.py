"""`headscope study`: one task as a whole."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from headscope.commands.common import STUDY_EXAMPLES, begin, open_session
from headscope.commands.options import (
    BatchSize,
    BatchTokens,
    DataDir,
    Epochs,
    Examples,
    MaxLength,
    Mode,
    ModelName,
    Out,
    Overwrite,
    OwnLearningRate,
    Precision,
    Quiet,
    Seed,
    TaskName,
    TrainExamples,
)
from headscope.commands.outcome import Outcome, score_lines
from headscope.commands.report import report
from headscope.progress import say


def study(
    *,
    model: ModelName = "minilm",
    task: TaskName = "builtin",
    out: Out = Path("runs/demo"),
    data: DataDir = None,
    epochs: Epochs = 3,
    batch_size: BatchSize = 32,
    lr: OwnLearningRate = None,
    mode: Mode = "uniform",
    train_examples: TrainExamples = None,
    examples: Examples = None,
    seed: Seed = 0,
    precision: Precision = "auto",
    max_length: MaxLength = 128,
    batch_tokens: BatchTokens = 2048,
    quiet: Quiet = False,
    overwrite: Overwrite = False,
) -> Outcome:
    """Analyse one task as a whole: fine-tune, measure, disable every head in turn, report.

    Without arguments it runs on the embedded model and task, with no network.
    """
    given = dict(locals())
    from headscope.ablation.sets import parse_sets
    from headscope.commands import steps
    from headscope.commands.ablation import disable_sets
    from headscope.figures.effects import draw
    from headscope.measures import known
    from headscope.model.loading import load
    from headscope.training.loop import Recipe, check_labels, usual_lr

    names = known()
    say(f"headscope study: {model} on {task}", quiet=quiet)
    session = open_session(given, examples=examples, at_most=STUDY_EXAMPLES)
    rate = usual_lr(session.model.hf.config.hidden_size) if lr is None else lr
    recipe = Recipe(epochs=epochs, batch_size=batch_size, lr=rate, seed=seed, precision=precision)
    check_labels(session.task, session.train.labels)
    request = session.request(
        "study", measures=names, epochs=epochs, batch_size=batch_size, lr=rate, mode=mode
    )
    run, complete = begin(session, out, request, overwrite)
    page = run.path / "report.html"
    if complete:
        return report(run.path, out=page)
    ids = {"model": session.model.name, "task": session.task.name}
    untrained, _ = steps.score(session, session.model, "pretrained, no fine-tuning")
    steps.keep_maps(session, session.model, run, "before")
    checkpoint = run.path / "checkpoint"
    notes = steps.train_checkpoint(session, recipe, checkpoint, run)
    tuned = load(checkpoint, labels=session.task.outputs)
    scores, before = steps.score(session, tuned, "pretrained + fine-tuned")
    run.table("scores", [*untrained, *scores], **ids)
    for line in score_lines([asdict(row) for row in scores]):
        say(line, quiet=quiet)
    steps.keep_maps(session, tuned, run, "after", before)
    pretrained = load(model)
    notes += steps.compare_heads(session, pretrained, tuned, run, names)
    sets = parse_sets("each", tuned.layers, tuned.heads)
    disable_sets(session, [tuned], run, sets, before, mode)
    steps.write_predictors(session, run)
    run.finish(session.record(request, tuned, given, notes))
    draw(run.path)
    return report(run.path, out=page)
