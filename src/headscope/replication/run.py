"""The whole paper for one model: what `headscope paper` does, task by task, each part a run folder
of its own.

Nothing is computed here that a command does not compute: the parts are `finetune`, `compare` and
`disable`, which resume by themselves; their tables are put together, and `verdicts` reads them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from headscope.commands import options
from headscope.commands.outcome import Outcome, open_page
from headscope.commands.report import report
from headscope.commands.settings import EngineSettings, TaskSettings, command
from headscope.commands.study import STUDY_EXAMPLES
from headscope.errors import HeadscopeError, unknown
from headscope.progress import say
from headscope.replication.plan import Part, Role, frame_part, plan_lines, run_parts, task_parts

if TYPE_CHECKING:
    import polars as pl

    from headscope.commands.session import Session
    from headscope.replication.rows import SeedsDisabledRow
    from headscope.results.run import Run

TASKS = ("mrpc", "rte", "stsb", "sst2", "qnli", "mnli", "qqp")
"""The paper's tasks, the small ones first: there is something to see early."""
TABLES: Mapping[Role, tuple[str, ...]] = {
    Role.SCORES: ("scores",),
    Role.COMPARISON: ("heads", "change", "patterns", "heterogeneous"),
    Role.HEAD_EFFECTS: ("disabled", "selection"),
    Role.LAYER_EFFECTS: ("disabled", "selection"),
    Role.PATH: ("pruned",),
    Role.FRAMES: ("relations", "span_heads", "span_examples"),
}
"""The tables of a part that are put together as they are, by its role."""
_BY_SEED = (Role.HEAD_EFFECTS, Role.HEAD_EFFECTS_OF_ANOTHER_SEED)
_COMPARISONS = (Role.COMPARISON, Role.COMPARISON_OF_ANOTHER_SEED)
_TIMED = 32


@dataclass(frozen=True, kw_only=True)
class Paper(EngineSettings):
    """What `headscope paper` is asked."""

    command = "paper"

    model: options.ModelName
    out: options.Out
    data: options.DataDir = None
    tasks: options.TaskList = "all"
    seeds: options.Seeds = 1
    epochs: options.Epochs = 3
    batch_size: options.BatchSize = 32
    lr: options.OwnLearningRate = None
    train_examples: options.TrainExamples = None
    examples: options.Examples = None
    precision: options.Precision = "auto"
    framenet: options.FrameNet = None


class TaskOfThePaper(TaskSettings):
    """A task of the paper, as far as its plan asks for it."""

    command = "paper"


@command(Paper)
def paper(asked: Paper) -> Outcome:
    """Run the whole paper: seven tasks in three configurations, its figures, and its six claims.

    Says its plan and what it will cost first, and resumes what it had begun. Several workers do
    several parts at once.

    For example:
    headscope paper --model minilm --data glue --out runs/paper
    headscope paper --model minilm --tasks rte,mrpc --seeds 3 --out runs/small
    """
    from headscope.commands.engine import check_engine, workers
    from headscope.commands.session import begin, task_hash

    check_engine(asked)
    names = chosen_tasks(asked.tasks)
    frames = frames_hash(asked)
    first = open_task(asked, names[0])
    seconds = seconds_an_example(first)
    parts = [*frame_parts(asked), *parts_of_task(asked, first)]
    request = first.request(**requested(asked, names), **frames)
    for name in names[1:]:
        session = open_task(asked, name)
        parts += parts_of_task(asked, session)
        request |= {f"data of {name}": [session.data.hash, task_hash(session.task)]}
    page = asked.out / "report.html"
    with begin(first.settings, request, first.inputs) as run:
        if not run.is_complete:
            for line in plan_lines(parts, seconds):
                say(line, quiet=asked.quiet)
            with workers(asked, most=len(parts)) as engine:
                executor = None if engine is None else engine.executor
                run_parts(parts, run.path, executor, seconds, quiet=asked.quiet)
            write(run, first, parts, names)
            run.finish(first.record(request, first.model, repeat=asked.command_line()))
            page.unlink(missing_ok=True)
        if not page.is_file():
            report(run.path, out=page, quiet=True)
        lines = claim_lines(run)
    return Outcome(page, lines, open_page(page, asked.out))


def frames_hash(asked: Paper) -> dict[str, str]:
    """Read the FrameNet release, so that a mistake is said at once; what it holds is cached.

    Returns:
        The hash of its content for the request, where it is asked for.
    """
    from headscope.commands.session import cache_folder
    from headscope.corpora import read

    if asked.framenet is None:
        return {}
    cache = cache_folder() / "corpora"
    return {"framenet": read([f"framenet:{asked.framenet}"], cache=cache, quiet=asked.quiet).hash}


def open_task(asked: Paper, name: str) -> Session:
    """The session of a task of the paper."""
    from headscope.commands.session import open_session

    settings = TaskOfThePaper(
        task=name,
        out=asked.out,
        data=asked.data,
        examples=asked.examples,
        precision=asked.precision,
        quiet=asked.quiet,
    )
    return open_session(settings, asked.model, train_examples=asked.train_examples)


def frame_parts(asked: Paper) -> list[Part]:
    """The part that finds the heads of frames, where it is asked for."""
    if asked.framenet is None:
        return []
    frames = {"precision": asked.precision, "quiet": asked.quiet}
    return [frame_part(asked.model, asked.framenet, frames)]


def parts_of_task(asked: Paper, session: Session) -> list[Part]:
    """The parts of one task."""
    scored = {
        "data": asked.data,
        "examples": asked.examples,
        "precision": asked.precision,
        "quiet": asked.quiet,
    }
    analysed = {**scored, "examples": asked.examples or STUDY_EXAMPLES}
    recipe = {**training(asked), "lr": _rate(session) if asked.lr is None else asked.lr}
    has_frames = asked.framenet is not None
    return task_parts(session, asked.model, recipe, scored, analysed, asked.seeds, has_frames)


def training(asked: Paper) -> dict[str, int | None]:
    """How the models of all tasks are trained."""
    return {
        "epochs": asked.epochs,
        "batch_size": asked.batch_size,
        "train_examples": asked.train_examples,
    }


def requested(asked: Paper, names: Sequence[str]) -> dict[str, object]:
    """What was asked, beside what every command is asked."""
    request: dict[str, object] = {"tasks": list(names), "seeds": asked.seeds, **training(asked)}
    return request | {"lr": asked.lr, "examples": asked.examples}


def claim_lines(run: Run) -> tuple[str, ...]:
    """The verdicts that a run has written, a line each."""
    claims = run.read("claims")
    if claims is None:
        return ()
    return tuple(
        f"{row['claim']} {row['verdict']}: {row['evidence']}"
        for row in claims.iter_rows(named=True)
    )


def _rate(session: Session) -> float:
    from headscope.training.recipe import usual_lr

    return usual_lr(session.model.hf.config.hidden_size)


def seconds_an_example(session: Session) -> float:
    """How long an example takes forward on this machine, from a few of them."""
    from headscope.model.encoding import only
    from headscope.model.outputs import logits

    few = only(session.encoded, list(range(min(_TIMED, len(session.encoded)))))
    logits(session.model, few)
    began = time.monotonic()
    logits(session.model, few)
    return (time.monotonic() - began) / len(few)


def write(run: Run, session: Session, parts: Sequence[Part], names: Sequence[str]) -> None:
    """Put the tables of the parts together in the run folder, with the claims."""
    import polars as pl

    from headscope.replication.claims import verdicts
    from headscope.replication.rows import over_seeds, with_paper

    tables = gather(run.path, parts)
    dispensable = []
    for role in (Role.FRAME_HEADS_DISABLED, Role.RANDOM_HEADS_DISABLED):
        is_drawn = pl.lit(role == Role.RANDOM_HEADS_DISABLED)
        for folder in [part.folder for part in parts if part.role == role]:
            frame = pl.read_parquet(run.path / folder / "disabled.parquet", glob=False)
            dispensable.append(frame.with_columns(drawn=is_drawn))
    if dispensable:
        tables["dispensable"] = pl.concat(dispensable, how="diagonal_relaxed")
    for name, frame in tables.items():
        run.frame(name, frame)
    scores = tables["scores"]
    run.frame("table1", with_paper(scores, session.model.name))
    if (last := last_layers(run.path, parts)) is not None:
        tables["last_layers"] = run.frame("last_layers", last)
    if seeds := over_seeds(scores):
        run.table("seeds", seeds, model=session.model.name, task="")
    if signals := [row for name in names for row in signal_rows(tables, name)]:
        run.table("predictors", signals, model=session.model.name, task="")
    rows = []
    for name in names:
        by_seed = [part for part in parts if part.task == name and part.role in _BY_SEED]
        if len(by_seed) > 1:
            rows += rows_over_seeds(name, [run.path / part.folder for part in by_seed])
    if rows:
        run.table("seeds_disabled", rows, model=session.model.name, task="")
    run.table("claims", verdicts(tables), model=session.model.name, task=names[0])


def rows_over_seeds(name: str, folders: Sequence[Path]) -> list[SeedsDisabledRow]:
    """The `seeds_disabled` rows of a task, from the folder of each fine-tuning's disabled heads."""
    import polars as pl

    from headscope.commands.ablation import kept_outputs
    from headscope.replication.rows import effects_over_seeds
    from headscope.tasks import find

    disabled = [pl.read_parquet(folder / "disabled.parquet", glob=False) for folder in folders]
    sets = disabled[0]["set"].unique(maintain_order=True).to_list()
    kept = [kept_outputs(folder, sets) for folder in folders]
    return effects_over_seeds(find(name), disabled, kept)


def chosen_tasks(spec: str) -> tuple[str, ...]:
    """The tasks of a list joined by commas, in the order in which they are run. Raises
    HeadscopeError.
    """
    if spec == "all":
        return TASKS
    names = [name.strip() for name in spec.split(",") if name.strip()]
    for name in names:
        if name not in TASKS:
            raise unknown("task of the paper", name, TASKS)
    if not names:
        raise HeadscopeError(f"--tasks names no task: give some of {', '.join(TASKS)}, or all")
    return tuple(name for name in TASKS if name in names)


def gather(root: Path, parts: Sequence[Part]) -> dict[str, pl.DataFrame]:
    """The tables of all parts that are there, put together by name."""
    import polars as pl

    frames: dict[str, list[pl.DataFrame]] = {}
    for part in parts:
        for name in TABLES.get(part.role, ()):
            path = root / part.folder / f"{name}.parquet"
            if path.is_file():
                frames.setdefault(name, []).append(pl.read_parquet(path, glob=False))
    return {name: pl.concat(own, how="diagonal_relaxed") for name, own in frames.items()}


def last_layers(root: Path, parts: Sequence[Part]) -> pl.DataFrame | None:
    """How the last two layers changed beside the others, in every fine-tuning; None where no
    comparison tells, such as in models of two layers.
    """
    import polars as pl

    frames = []
    for part in parts:
        path = root / part.folder / "last_layers.parquet"
        if part.role in _COMPARISONS and path.is_file():
            frame = pl.read_parquet(path, glob=False)
            frames.append(frame.with_columns(seed=pl.lit(part.seed, pl.Int64)))
    return pl.concat(frames, how="diagonal_relaxed") if frames else None


def signal_rows(tables: Mapping[str, pl.DataFrame], task: str) -> list[dict[str, object]]:
    """The `predictors` rows of one task."""
    import polars as pl

    from headscope.results.run import as_columns
    from headscope.stats.proxies import predictors

    own = {
        name: frame.filter(pl.col("task") == task)
        for name, frame in tables.items()
        if "task" in frame.columns
    }
    return [{"task": task, **as_columns(row)} for row in predictors(own)]
