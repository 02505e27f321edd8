"""A paper for a batch system: its plan is written, its items are run one by one, and their tables
put together (`headscope paper --plan`, `run-item`, `gather`).
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from headscope.commands.outcome import Outcome
from headscope.commands.settings import Settings, command, made
from headscope.errors import HeadscopeError
from headscope.files import replacing
from headscope.replication.plan import minutes
from headscope.replication.run import Paper, WholePaper, begun, finished, open_paper
from headscope.scratch import was_in_memory

if TYPE_CHECKING:
    from headscope.replication.batch import Plan, PlannedItem

PlannedRun = Annotated[Path, Parameter(help="The run folder that headscope paper --plan wrote.")]
_MOST_WORDS = 8
"""Of more items than so many the numbers alone are said."""


@dataclass(frozen=True, kw_only=True)
class RunningItem(Settings):
    """What `headscope run-item` is asked."""

    command = "run-item"
    in_order = ("run", "number")

    run: PlannedRun
    number: Annotated[int, Parameter(help="The number of the item in plan.json, from 1.")]


@dataclass(frozen=True, kw_only=True)
class Gathering(Settings):
    """What `headscope gather` is asked."""

    command = "gather"
    in_order = ("run",)

    run: PlannedRun


@command(RunningItem)
def run_item(asked: RunningItem) -> Outcome:
    """Run one item of a plan of headscope paper --plan, in its folder within the run.

    It resumes what it had begun; an item that is done does nothing, and one whose needs are not
    done is refused. For jobs of a batch system.

    For example:
    headscope run-item runs/paper 1
    headscope run-item runs/small 12 --quiet
    """
    from headscope.replication.batch import is_done, read_plan

    plan = read_plan(asked.run, Paper)
    root, number = plan.place(asked.run), asked.number
    if number > len(plan.items):
        raise HeadscopeError(
            f"the plan in {root} has no item {number}: its items are 1 to {len(plan.items)}"
        )
    item = plan.items[number - 1]
    folder = root / item.folder
    following = f"{shlex.join(['headscope', 'gather', str(root)])} when all items are done"
    if is_done(folder):
        line = f"item {_said(item)} is done already"
        return Outcome(folder, (line,), following)
    needed = [plan.items[need - 1] for need in item.needs.values()]
    missing = [need for need in needed if not is_done(root / need.folder)]
    if missing:
        raise HeadscopeError(
            f"item {_said(item)} needs what is not done yet, {_listed(missing)}: run headscope "
            f"run-item with {' and '.join(str(need.number) for need in missing)} first"
        )
    outcome: Outcome = plan.work(number, root, quiet=asked.quiet).call()
    return Outcome(folder, outcome.lines, following)


@command(Gathering)
def gather(asked: Gathering) -> Outcome:
    """Put the tables of all items of a plan together: the end of headscope paper, with its report.

    Where items are missing, it names them.

    For example:
    headscope gather runs/paper
    headscope gather runs/small --quiet
    """
    from headscope.replication.batch import is_done, read_plan

    plan = read_plan(asked.run, Paper)
    root = plan.place(asked.run)
    if not is_done(root):
        _check_done(plan, root)
    whole = open_paper(made(Paper, {**plan.paper, "out": root, "quiet": asked.quiet}))
    with begun(whole) as run:
        if not run.is_complete:
            _check_parts(plan, whole, root)
        return finished(run, whole)


def write_plan(root: Path, whole: WholePaper) -> Outcome:
    """Write the plan of a paper and the script that hands it to SLURM, and say them.

    Args:
        root: The folder of the run.
        whole: What was asked.

    Raises:
        HeadscopeError: The model is in the memory of this process, where no job finds it.
    """
    from headscope.replication.batch import as_json, plan_of
    from headscope.replication.slurm import submit_script
    from headscope.results.contents import PLAN, SUBMIT

    if was_in_memory(whole.asked.model):
        raise HeadscopeError(
            "a plan is for other processes, and the model is in the memory of this one: save it in "
            "a folder with save_pretrained, and give that"
        )
    asked = {field.name: getattr(whole.asked, field.name) for field in fields(whole.asked)}
    plan = plan_of(whole.parts, whole.seconds, as_json(asked))
    plan.write(root / PLAN)
    script = root / SUBMIT
    with replacing(script) as unfinished:
        unfinished.write_text(submit_script(plan, root, script), encoding="utf-8")
    following = (
        f"{shlex.join(['bash', str(script)])}, with what your cluster asks of a job, as in "
        "--partition=gpu --gres=gpu:1 --time=4:00:00"
    )
    return Outcome(root / PLAN, tuple(_plan_lines(plan)), following)


def _plan_lines(plan: Plan) -> Iterator[str]:
    """The items of a plan in words, and how long they take one after the other and at once."""
    for item in plan.items:
        needs = " and ".join(str(need) for need in item.needs.values())
        after = f", after {needs}" if needs else ""
        yield f"{item.number}. {item.words}: about {minutes(item.seconds / 60)}{after}"
    in_turn = sum(item.seconds for item in plan.items)
    at_once = sum(max(item.seconds for item in items) for items in plan.levels)
    yield (
        f"{len(plan.items)} items, about {minutes(in_turn / 60)} one after the other on a machine "
        f"like this, about {minutes(at_once / 60)} where each has one of its own"
    )


def _check_done(plan: Plan, root: Path) -> None:
    """Raises HeadscopeError unless all items are done; names those that are not."""
    from headscope.replication.batch import is_done

    missing = [item for item in plan.items if not is_done(root / item.folder)]
    if missing:
        raise HeadscopeError(
            f"{len(missing)} of {len(plan.items)} items in {root} are not done, "
            f"{_listed(missing)}: run each with headscope run-item, or all that is left with "
            "submit.sh"
        )


def _check_parts(plan: Plan, whole: WholePaper, root: Path) -> None:
    """Check that the items are the parts of the paper.

    Raises:
        HeadscopeError: They are not.
    """
    if {item.folder for item in plan.items} != {part.folder for part in whole.parts}:
        raise HeadscopeError(
            f"the plan in {root} lacks parts of the paper, or has others: write it again with "
            "headscope paper --plan"
        )


def _said(item: PlannedItem) -> str:
    return f"{item.number} ({item.words})"


def _listed(items: Sequence[PlannedItem]) -> str:
    """Items in words; where they are many, their numbers alone."""
    if len(items) > _MOST_WORDS:
        return f"items {', '.join(str(item.number) for item in items)}"
    return ", ".join(f"item {_said(item)}" for item in items)
