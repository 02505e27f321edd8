"""`headscope study`: one task as a whole."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING

from headscope.commands import options
from headscope.commands.outcome import Outcome, score_line
from headscope.commands.path import PathSettings, check_count
from headscope.commands.report import page_outcome
from headscope.commands.settings import TaskSettings, WordSource, command
from headscope.names import AFTER, BEFORE, FINE_TUNED, UNTRAINED
from headscope.progress import say

if TYPE_CHECKING:
    from headscope.commands.session import Session
    from headscope.model.model import Model
    from headscope.results.run import Run
    from headscope.results.tables import Map
    from headscope.tasks.scores import ScoreRow

STUDY_EXAMPLES = 1000
"""How many validation examples `study` takes at most by default (paper, section 4)."""
SEARCH_EXAMPLES = 100
"""How many training examples its search for heads that can go together looks at by default."""


@dataclass(frozen=True, kw_only=True)
class Study(TaskSettings, WordSource):
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
    search_examples: options.StudySearch = SEARCH_EXAMPLES


@command(Study)
def study(asked: Study) -> Outcome:
    """Analyse one task as a whole: fine-tune, measure, disable every head in turn, report.

    Without arguments it runs on the embedded model and task, with no network.

    For example:
    headscope study
    headscope study --model minilm --task mrpc --data glue --out runs/mrpc
    """
    from headscope.commands.checkpoint import make_checkpoint
    from headscope.commands.session import begin, open_session
    from headscope.measures import known
    from headscope.measures.comparison import COSINE
    from headscope.model.loading import load
    from headscope.results.contents import CHECKPOINT, TRAINING_STATE
    from headscope.training.loop import check_labels
    from headscope.training.recipe import Recipe, usual_lr

    if asked.search_examples:
        check_count(asked.search_examples)
    say(f"headscope study: {asked.model} on {asked.task}", quiet=asked.quiet)
    session = open_session(
        asked,
        asked.model,
        source=asked,
        train_examples=asked.train_examples,
        at_most=STUDY_EXAMPLES,
    )
    recipe = Recipe(
        epochs=asked.epochs,
        batch_size=asked.batch_size,
        lr=usual_lr(session.model.hf.config.hidden_size) if asked.lr is None else asked.lr,
        seed=asked.seed,
        precision=asked.precision,
    )
    check_labels(session.task, session.train.labels)
    measures = known()
    request = session.request(
        measures=measures,
        epochs=asked.epochs,
        batch_size=asked.batch_size,
        lr=recipe.lr,
        mode=asked.mode,
        search_examples=asked.search_examples,
        **session.word_request,
    )
    with begin(asked, request, session.inputs) as run:
        if not run.is_complete:
            maps, untrained = before_training(session)
            checkpoint, state = run.path / CHECKPOINT, run.path / TRAINING_STATE
            notes = make_checkpoint(session, recipe, checkpoint, state)
            tuned = load(checkpoint, labels=session.task.outputs)
            notes += analyse(asked, session, tuned, run, measures, untrained, maps)
            run.finish(session.record(request, tuned, notes, measures=[*measures, COSINE]))
        return show(run.path)


def show(folder: Path) -> Outcome:
    """Draw the figures of a run that is complete, unless they are drawn, and write its page."""
    from headscope.reporting.build import Report

    shown = Report.of([folder])
    figures, unfinished = folder / "figures", folder / ".figures.tmp"
    if not figures.exists():
        # A folder that bears the name has all figures, also after a kill in the middle of this.
        rmtree(unfinished, ignore_errors=True)
        shown.save_charts(unfinished)
        if unfinished.exists():
            unfinished.replace(figures)
    return page_outcome(shown, [folder], folder / "report.html", quiet=False)


def before_training(session: Session) -> tuple[dict[str, Map], list[ScoreRow]]:
    """The maps and the scores of the model with a new head, which training will change."""
    from headscope.commands.kept_examples import kept_maps
    from headscope.commands.scoring import score

    scores, _ = score(session, session.model, UNTRAINED)
    return kept_maps(session, session.model, BEFORE), scores


def analyse(
    asked: Study,
    session: Session,
    tuned: Model,
    run: Run,
    measures: list[str],
    untrained: list[ScoreRow],
    maps: dict[str, Map],
) -> tuple[str, ...]:
    """Score and measure the fine-tuned model and disable its heads; write every table.

    Args:
        asked: What the command was asked.
        session: The examples.
        tuned: The fine-tuned model.
        run: Where the tables are written.
        measures: The names of the measures.
        untrained: The scores before training.
        maps: The maps before training.

    Returns:
        What the user must know.
    """
    from headscope.ablation.sets import parse_sets
    from headscope.commands.ablation import disable_sets, write_effects
    from headscope.commands.kept_examples import example_rows, kept_maps
    from headscope.commands.measuring import compare_heads
    from headscope.commands.pruning import add_path
    from headscope.commands.scoring import score
    from headscope.commands.searching import not_among
    from headscope.model.loading import load
    from headscope.stats.proxies import predictors

    scores, outputs = score(session, tuned, FINE_TUNED)
    table = run.table("scores", [*untrained, *scores], **session.names)
    say(score_line(table.filter(configuration=FINE_TUNED)), quiet=asked.quiet)
    run.arrays("maps", maps | kept_maps(session, tuned, AFTER))
    run.table("examples", example_rows(session, tuned, outputs), **session.names)
    untuned = load(asked.model)
    measured = compare_heads(session, untuned, tuned, measures, run, faithful=False)
    tables = measured.write(run, session)
    every = parse_sets("each", tuned.layers, tuned.heads)
    results = disable_sets(session, tuned, run, every, outputs, asked.mode)
    tables["disabled"] = write_effects(session, run, results, outputs, asked.mode)
    if rows := predictors(tables, asked.seed):
        run.table("predictors", rows, **session.names)
    notes = measured.notes
    if asked.search_examples:
        left_out = not_among(session, len(session.train), asked.seed)
        path = path_settings(asked, tuned)
        notes += add_path(path, replace(session, model=tuned), run, scores, outputs, left_out)
    return notes


def path_settings(asked: Study, tuned: Model) -> PathSettings:
    """What the search for heads that can go together is asked."""
    return PathSettings(
        model=tuned.path,
        task=asked.task,
        data=asked.data,
        columns=asked.columns,
        label=asked.label,
        out=asked.out,
        examples=asked.examples,
        seed=asked.seed,
        precision=asked.precision,
        max_length=asked.max_length,
        batch_tokens=asked.batch_tokens,
        quiet=asked.quiet,
        mode=asked.mode,
        search_examples=asked.search_examples,
    )
