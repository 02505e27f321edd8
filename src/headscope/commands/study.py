"""`headscope study`: one task as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from headscope.commands import options
from headscope.commands.outcome import Outcome, score_lines
from headscope.commands.report import page_outcome, report
from headscope.commands.settings import TaskSettings, command
from headscope.names import AFTER, BEFORE, FINE_TUNED, UNTRAINED
from headscope.progress import say

STUDY_EXAMPLES = 1000
"""How many validation examples `study` takes at most by default (paper, section 4)."""


@dataclass(frozen=True, kw_only=True)
class Study(TaskSettings):
    """What `headscope study` is asked."""

    command = "study"

    model: options.ModelName = "minilm"
    task: options.TaskName = "builtin"
    out: options.Out = Path("runs/demo")
    epochs: options.Epochs = 3
    batch_size: options.BatchSize = 32
    lr: options.OwnLearningRate = None
    mode: options.Mode = "uniform"
    train_examples: options.TrainExamples = None


@command(Study)
def study(asked: Study) -> Outcome:
    """Analyse one task as a whole: fine-tune, measure, disable every head in turn, report.

    Without arguments it runs on the embedded model and task, with no network.
    """
    from headscope.ablation.effects import parse_sets
    from headscope.commands import steps
    from headscope.commands.session import begin, open_session
    from headscope.measures import known
    from headscope.model.loading import load
    from headscope.reporting.build import Report
    from headscope.training.loop import check_labels
    from headscope.training.recipe import Recipe, usual_lr

    names = known()
    say(f"headscope study: {asked.model} on {asked.task}", quiet=asked.quiet)
    session = open_session(
        asked, asked.model, train_examples=asked.train_examples, at_most=STUDY_EXAMPLES
    )
    recipe = Recipe(
        epochs=asked.epochs,
        batch_size=asked.batch_size,
        lr=usual_lr(session.model.hf.config.hidden_size) if asked.lr is None else asked.lr,
        seed=asked.seed,
        precision=asked.precision,
    )
    check_labels(session.task, session.train.labels)
    request = session.request(
        measures=names,
        epochs=asked.epochs,
        batch_size=asked.batch_size,
        lr=recipe.lr,
        mode=asked.mode,
    )
    run = begin(asked, request)
    page = run.path / "report.html"
    if run.is_complete:
        return report(run.path, out=page)
    untrained, _ = steps.score(session, session.model, UNTRAINED)
    steps.keep_maps(session, session.model, run, BEFORE)
    checkpoint = run.path / "checkpoint"
    notes = steps.train_checkpoint(session, recipe, checkpoint, run)
    tuned = load(checkpoint, labels=session.task.outputs)
    scores, outputs = steps.score(session, tuned, FINE_TUNED)
    run.table("scores", [*untrained, *scores], **session.names)
    for line in score_lines(scores):
        say(line, quiet=asked.quiet)
    steps.keep_maps(session, tuned, run, AFTER, outputs)
    notes += steps.compare_heads(session, load(asked.model), tuned, run, names)
    every = parse_sets("each", tuned.layers, tuned.heads)
    steps.disable_sets(session, tuned, run, every, outputs, asked.mode)
    steps.write_predictors(session, run)
    run.finish(session.record(request, tuned, notes))
    shown = Report.of([run.path])
    shown.save_charts(run.path / "figures")
    return page_outcome(shown, [run.path], page, quiet=False)
