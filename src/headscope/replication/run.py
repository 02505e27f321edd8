"""The whole paper for one model: what `headscope paper` does, task by task, each part a run folder
of its own.

Nothing is computed here that a command does not compute: the parts are `finetune`, `compare` and
`disable`, which resume by themselves; their tables are put together, and `verdicts` reads them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from headscope.commands import options
from headscope.commands.outcome import Outcome, open_page
from headscope.commands.report import report
from headscope.commands.settings import EngineSettings, TaskSettings, command
from headscope.commands.study import STUDY_EXAMPLES
from headscope.errors import HeadscopeError, unknown
from headscope.progress import say
from headscope.replication.plan import Part, frame_part, plan_lines, run_parts, task_parts

if TYPE_CHECKING:
    from headscope.commands.session import Session
    from headscope.results.run import Run

TASKS = ("mrpc", "rte", "stsb", "sst2", "qnli", "mnli", "qqp")
"""The paper's tasks, the small ones first: there is something to see early."""
_TIMED = 32
_TIMES = 3


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
    plan: options.Plan = False


class TaskOfThePaper(TaskSettings):
    """A task of the paper, as far as its plan asks for it."""

    command = "paper"


@command(Paper)
def paper(asked: Paper) -> Outcome:
    """Run the whole paper: seven tasks in three configurations, its figures, and its six claims.

    Says its plan and what it will cost first, and resumes what it had begun. Several workers do
    several parts at once; with --plan a batch system does them.

    For example:
    headscope paper --model minilm --data glue --out runs/paper
    headscope paper --model minilm --seeds 3 --plan --out runs/seeds
    """
    from headscope.commands.engine import check_engine, workers
    from headscope.replication.items import write_plan

    check_engine(asked)
    whole = open_paper(asked)
    with begun(whole) as run:
        if not run.is_complete:
            if asked.plan:
                return write_plan(run.path, whole)
            for line in plan_lines(whole.parts, whole.seconds):
                say(line, quiet=asked.quiet)
            with workers(asked, most=len(whole.parts)) as engine:
                executor = None if engine is None else engine.executor
                run_parts(whole.parts, run.path, executor, whole.seconds, quiet=asked.quiet)
        return finished(run, whole)


@dataclass(frozen=True)
class WholePaper:
    """What was asked of `headscope paper`, with all that its parts and their plan depend on.

    Attributes:
        asked: What was asked.
        names: The tasks.
        first: The session of the first task.
        parts: The parts, in the order in which their tables are put together.
        request: What was asked, with the hashes of all that the results depend on.
        data: The hash of every task's data.
    """

    asked: Paper
    names: tuple[str, ...]
    first: Session
    parts: tuple[Part, ...]
    request: Mapping[str, object]
    data: Mapping[str, str]

    @cached_property
    def seconds(self) -> float:
        """How long a token takes forward on this machine."""
        return seconds_a_token(self.first)


def open_paper(asked: Paper) -> WholePaper:
    """Open every task of the paper, and say what its parts are.

    Raises:
        HeadscopeError: A task, its data or the model cannot be used.
    """
    from headscope.commands.session import task_hash

    names = chosen_tasks(asked.tasks)
    frames = frames_hash(asked)
    first = open_task(asked, names[0])
    parts = [*frame_parts(asked), *parts_of_task(asked, first)]
    request = first.request(**requested(asked, names), **frames)
    data = {names[0]: first.data.hash}
    for name in names[1:]:
        session = open_task(asked, name)
        parts += parts_of_task(asked, session)
        request |= {f"data of {name}": [session.data.hash, task_hash(session.task)]}
        data[name] = session.data.hash
    return WholePaper(asked, names, first, tuple(parts), request, data)


def begun(whole: WholePaper) -> AbstractContextManager[Run]:
    """The run folder of the whole paper, open and locked; raises as `session.begin`."""
    from headscope.commands.session import begin

    return begin(whole.first.settings, whole.request, whole.first.inputs)


def finished(run: Run, whole: WholePaper) -> Outcome:
    """End a run all of whose parts are done: its own tables, the claims, and its report.

    Args:
        run: The run; where it is complete already, only a report that is missing is made.
        whole: What was asked.
    """
    from headscope.replication.tables import write

    first, asked = whole.first, whole.asked
    page = asked.out / "report.html"
    if not run.is_complete:
        check_data(run.path, whole)
        write(run, first.model.name, whole.parts, whole.names)
        run.finish(first.record(whole.request, first.model, repeat=asked.command_line()))
        page.unlink(missing_ok=True)
    if not page.is_file():
        report(run.path, out=page, quiet=True)
    return Outcome(page, claim_lines(run), open_page(page, asked.out))


def check_data(root: Path, whole: WholePaper) -> None:
    """Check that all parts read the same data.

    Args:
        root: The folder of the run, all of whose parts are done.
        whole: What was asked.

    Raises:
        HeadscopeError: One did not, such as where another machine has other files of the same name.
    """
    from headscope.results.record import BEGUN, Begun

    for part in whole.parts:
        request = Begun.read(root / part.folder / BEGUN).request
        if part.task and request.get("data") != whole.data[part.task]:
            raise HeadscopeError(
                f"{root / part.folder} was made from other data of {part.task} than are here: "
                "remove that folder, and run it again where the data are the same"
            )


def frames_hash(asked: Paper) -> dict[str, str]:
    """Read the FrameNet release, so that a mistake is said at once; what it holds is cached.

    Returns:
        The hash of its content for the request, where it is asked for.
    """
    from headscope.cache import cache_folder
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
    from headscope.results.numbers import with_minus

    claims = run.read("claims")
    if claims is None:
        return ()
    return tuple(
        with_minus(f"{row['claim']} {row['verdict']}: {row['evidence']}")
        for row in claims.iter_rows(named=True)
    )


def _rate(session: Session) -> float:
    from headscope.training.recipe import usual_lr

    return usual_lr(session.model.hf.config.hidden_size)


def seconds_a_token(session: Session) -> float:
    """How long a token takes forward on this machine, from a few examples: the fastest of several
    times, since other work can only slow it down.
    """
    from headscope.model.encoding import only
    from headscope.model.outputs import logits

    few = only(session.encoded, list(range(min(_TIMED, len(session.encoded)))))
    logits(session.model, few)
    seconds = []
    for _ in range(_TIMES):
        began = time.monotonic()
        logits(session.model, few)
        seconds.append(time.monotonic() - began)
    return min(seconds) / int(few.lengths.sum())


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
