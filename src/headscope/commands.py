"""One function a command, with the command's name and arguments: what a notebook calls and the command line parses.

Everything heavy is imported inside the functions, so that `headscope --help` answers at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from headscope.errors import HeadscopeError
from headscope.options import (
    After,
    Agreement,
    AnnotationOut,
    Annotator,
    BatchSize,
    BatchTokens,
    Before,
    Browser,
    Count,
    DataDir,
    Devices,
    Epochs,
    Examples,
    Faithful,
    Family,
    FigureFolder,
    FigureStyle,
    HeadsSpec,
    Init,
    Language,
    LearningRate,
    MaxLength,
    Measured,
    Measures,
    Memory,
    Mode,
    ModelName,
    Out,
    Overwrite,
    OwnLearningRate,
    OwnModel,
    OwnTask,
    Page,
    Part,
    Port,
    Precision,
    Quiet,
    Round,
    Seed,
    TaskName,
    TrainExamples,
    WordsFrom,
)
from headscope.outcomes import Outcome, finding_lines, saved_score_lines, score_lines
from headscope.progress import say

if TYPE_CHECKING:
    from headscope.session import Session
    from headscope.store import Run

STUDY_EXAMPLES = 1000
"""How many validation examples `study` takes at most where nothing is said (paper, section 4: 1,000)."""


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
    from headscope import steps
    from headscope.disabling import parse_sets
    from headscope.effect_figures import draw
    from headscope.finetuning import Recipe, check_labels, usual_lr
    from headscope.measures import known
    from headscope.models import load

    names = known()
    say(f"headscope study: {model} on {task}", quiet=quiet)
    session = open_session(given, examples=examples, at_most=STUDY_EXAMPLES)
    rate = usual_lr(session.model.hf.config.hidden_size) if lr is None else lr
    recipe = Recipe(epochs=epochs, batch_size=batch_size, lr=rate, seed=seed, precision=precision)
    check_labels(session.task, session.train.labels)
    request = session.request("study", measures=names, epochs=epochs, batch_size=batch_size, lr=rate, mode=mode)
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
    for line in score_lines(scores):
        say(line, quiet=quiet)
    steps.keep_maps(session, tuned, run, "after", before)
    pretrained = load(model)
    notes += steps.compare_heads(session, pretrained, tuned, run, names)
    steps.disable_sets(session, tuned, run, parse_sets("each", tuned.layers, tuned.heads), before, mode)
    steps.write_predictors(session, run)
    run.finish(session.record(request, tuned, given, notes))
    draw(run.path)
    return report(run.path, out=page)


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
    from headscope import steps
    from headscope.finetuning import Recipe, check_labels

    recipe = Recipe(epochs=epochs, batch_size=batch_size, lr=lr, seed=seed, precision=precision)
    session = open_session(given, examples=examples, init="random" if init == "random" else "pretrained")
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


def measure(
    *,
    model: ModelName,
    task: TaskName,
    out: Out,
    data: DataDir = None,
    measures: Measures = "all",
    words: WordsFrom = "auto",
    language: Language = "en",
    faithful: Faithful = False,
    examples: Examples = None,
    seed: Seed = 0,
    precision: Precision = "auto",
    max_length: MaxLength = 128,
    batch_tokens: BatchTokens = 2048,
    quiet: Quiet = False,
    overwrite: Overwrite = False,
) -> Outcome:
    """Measure what every head attends to: one pass over the validation data, a row per head and measure."""
    given = dict(locals())
    from headscope import steps
    from headscope.measures import known

    names = known(measures)
    session = open_session(given, examples=examples, needs_head=False)
    request = session.request("measure", measures=names, words=words, language=language, faithful=faithful)
    run, complete = begin(session, out, request, overwrite)
    if not complete:
        notes = steps.measure_heads(session, run, names, faithful=faithful)
        steps.keep_maps(session, session.model, run, "given")
        run.finish(session.record(request, session.model, given, notes))
    return Outcome(out / "heads.parquet", (), f"headscope report {out} --out {out}/report.html")


def compare(
    *,
    before: Before,
    after: After,
    task: TaskName,
    out: Out,
    data: DataDir = None,
    measures: Measures = "all",
    words: WordsFrom = "auto",
    language: Language = "en",
    faithful: Faithful = False,
    examples: Examples = None,
    seed: Seed = 0,
    precision: Precision = "auto",
    max_length: MaxLength = 128,
    batch_tokens: BatchTokens = 2048,
    quiet: Quiet = False,
    overwrite: Overwrite = False,
) -> Outcome:
    """Compare every head before and after fine-tuning: the cosine of its maps, and every measure's difference."""
    given = dict(locals())
    from headscope import steps
    from headscope.measures import known
    from headscope.models import load

    names = known(measures)
    session = open_session({**given, "model": after}, examples=examples, needs_head=False)
    first = load(before)
    request = session.request(
        "compare", before=first.hash, measures=names, words=words, language=language, faithful=faithful
    )
    run, complete = begin(session, out, request, overwrite)
    if not complete:
        notes = steps.compare_heads(session, first, session.model, run, names, faithful=faithful)
        steps.keep_maps(session, first, run, "before")
        steps.keep_maps(session, session.model, run, "after")
        run.finish(session.record(request, session.model, given, notes))
    return Outcome(out / "change.parquet", (), f"headscope report {out} --out {out}/report.html")


def disable(
    *,
    model: ModelName,
    task: TaskName,
    out: Out,
    data: DataDir = None,
    heads: HeadsSpec = "each",
    measured: Measured = None,
    mode: Mode = "uniform",
    part: Part = "validation",
    memory: Memory = 2.0,
    devices: Devices = None,
    examples: Examples = None,
    seed: Seed = 0,
    precision: Precision = "auto",
    max_length: MaxLength = 128,
    batch_tokens: BatchTokens = 2048,
    quiet: Quiet = False,
    overwrite: Overwrite = False,
) -> Outcome:
    """Disable sets of heads of a fine-tuned model in turn, and test what each costs or gains."""
    given = dict(locals())
    from headscope import steps
    from headscope.disabling import parse_sets
    from headscope.session import foreign_labels

    if not memory > 0:
        raise HeadscopeError(f"--memory must be larger than 0 GiB, got {memory:g}")
    heads = steps.named_heads(heads, measured)
    session = open_session(given, examples=examples, part=part)
    if not session.model.trained_head:
        raise HeadscopeError(
            f"{model} has no classification head, so there is no score to lose: fine-tune it first with "
            f"headscope finetune --model {model} --task {task} --out CKPT"
        )
    if wrong := foreign_labels(session.model, session.task):
        raise HeadscopeError(f"{model} is of another task: {wrong}; fine-tune one on {task}, or name its own task")
    sets = parse_sets(heads, session.model.layers, session.model.heads, seed=seed)
    request = session.request("disable", heads=heads, mode=mode, part=part)
    run, complete = begin(session, out, request, overwrite)
    if not complete:
        rows, before = steps.score(session, session.model, "as given")
        run.table("scores", rows, model=session.model.name, task=session.task.name)
        replicas = steps.replicas(session, devices)
        steps.disable_sets(
            session, session.model, run, sets, before, mode, memory=int(memory * 2**30), replicas=replicas
        )
        run.finish(session.record(request, session.model, given))
    following = f"headscope report {out} --out {out}/report.html"
    return Outcome(out / "disabled.parquet", saved_score_lines(run), following)


def annotate(
    *,
    out: AnnotationOut,
    model: OwnModel = None,
    task: OwnTask = None,
    data: DataDir = None,
    count: Count = 100,
    family: Family = None,
    annotator: Annotator = "me",
    round: Round = 1,
    agreement: Agreement = False,
    seed: Seed = 0,
    max_length: MaxLength = 128,
    port: Port = 8377,
    browser: Browser = True,
    quiet: Quiet = False,
) -> Outcome:
    """Label attention maps by looking at them, on a local page: a set of your own for a language or a model.

    Maps of MODEL on TASK are added to the set in OUT; without them the set is shown as it is. Every label is on the
    disk before the next map is shown. Ctrl-C ends the server.
    """
    from headscope.annotation import session as annotation

    if (model is None) != (task is None):
        raise HeadscopeError("to draw maps give both --model and --task; to label what OUT holds give neither")
    if model is not None and task is not None:
        given = {**locals(), "batch_tokens": 2048, "precision": "auto"}
        annotation.add_maps(
            open_session(given, examples=None, at_most=STUDY_EXAMPLES, needs_head=False), out, count, family
        )
    if agreement:
        return Outcome(out, annotation.agreement_lines(out), f"headscope annotate --out {out}")
    annotation.serve(out, port=port, annotator=annotator, round=round, browser=browser, quiet=quiet)
    return Outcome(out, annotation.agreement_lines(out), f"headscope annotate --out {out} --round 2")


def report(
    *runs: Annotated[Path, Parameter(help="Run folders.")],
    out: Page = None,
    figures: FigureFolder = None,
    style: FigureStyle = "plain",
    quiet: Quiet = False,
) -> Outcome:
    """Build one offline HTML file from run folders; with --figures write the figures for a paper instead."""
    from headscope.reporting.build import build
    from headscope.reporting.build import figures as write_figures

    if not runs:
        raise HeadscopeError("report needs at least one run folder, as in headscope report runs/demo --out demo.html")
    for run in runs:
        if not run.is_dir():
            raise HeadscopeError(f"the run folder {run} does not exist: give a folder that a headscope command wrote")
    if figures is not None:
        write_figures(list(runs), figures, style)
        say("figures drawn", quiet=quiet)
        if out is None:
            return Outcome(figures.resolve(), (), f"headscope report {' '.join(map(str, runs))} --out report.html")
    page = build(list(runs), out or Path("report.html"))
    lines = tuple(line for run in runs for line in finding_lines(run)) if len(runs) == 1 else ()
    say("report built", quiet=quiet)
    return Outcome(page.resolve(), lines, f"open {page} in a browser; the tables are Parquet files in {runs[0]}")


def open_session(given: dict[str, Any], **more: Any) -> Session:
    """Open the session that a command's arguments describe; its notes are said at once."""
    from headscope.session import Session

    for name in ("epochs", "batch_size", "batch_tokens", "max_length", "examples", "train_examples"):
        if (value := given.get(name)) is not None and value < 1:
            raise HeadscopeError(f"--{name.replace('_', '-')} must be at least 1, got {value}")
    session = Session.open(
        given["model"],
        given["task"],
        given["data"],
        seed=given["seed"],
        precision=given["precision"],
        batch_tokens=given["batch_tokens"],
        quiet=given["quiet"],
        train_examples=given.get("train_examples"),
        max_length=given["max_length"],
        words_from=given.get("words", "auto"),
        language=given.get("language", "en"),
        **more,
    )
    for note in session.notes:
        say(f"note: {note}", quiet=session.quiet)
    return session


def begin(session: Session, out: Path, request: dict[str, Any], overwrite: bool) -> tuple[Run, bool]:
    """The run folder, and whether it already holds the whole result."""
    from headscope.store import Run

    run = Run.begin(out, request, overwrite=overwrite)
    if run.is_complete:
        say(f"{out} holds the result of this very command already (--overwrite runs it again)", quiet=session.quiet)
    elif run.is_resumed:
        say(f"resuming what was begun in {out}", quiet=session.quiet)
    return run, run.is_complete
