"""The parts that the whole paper is made of: each a command with its arguments and a run folder of
its own, in which it resumes by itself.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headscope.names import CONFIGURATIONS
from headscope.progress import say
from headscope.reference import FRAME_HEADS
from headscope.replication.costs import FRAMES, START, Costs

if TYPE_CHECKING:
    from headscope.commands.session import Session
    from headscope.engine.executor import Executor, Item

_FRAMENET = "framenet"
"""The folder of the heads of frames."""
_RANDOM_SETS = 20
_CHEAPEST = "distance"
"""The measure that is asked for where the cosine is wanted alone, which always comes along."""


class Role(StrEnum):
    """What a part is for."""

    SCORES = "scores of a configuration"
    COMPARISON = "maps before and after fine-tuning"
    COMPARISON_OF_ANOTHER_SEED = "maps before and after another fine-tuning"
    HEAD_EFFECTS = "every head disabled in turn"
    LAYER_EFFECTS = "every layer disabled in turn"
    HEAD_EFFECTS_OF_ANOTHER_SEED = "every head disabled in turn, another fine-tuning"
    PATH = "which heads can go together"
    FRAMES = "frame-semantic relations"
    FRAME_HEADS_DISABLED = "the heads of frames disabled"
    RANDOM_HEADS_DISABLED = "random sets of as many heads disabled"


@dataclass(frozen=True)
class Part:
    """A part of the paper.

    Attributes:
        role: What it is for.
        folder: Its folder within the run.
        words: What it does, for people.
        cost: How many tokens pass through the whole model forward, or what takes as long.
        command: The name of the command.
        arguments: The command's arguments, but for `out` and `quiet`.
        takes: Arguments whose values are the folders of other parts, which must be done before.
        task: The task, "" for a part that is of none.
        seed: The seed of the fine-tuning that it is about.
        start: How many seconds it takes beside: files are read, the model is checked, numbers are
            tested.
    """

    role: Role
    folder: str
    words: str
    cost: int
    command: str
    arguments: Mapping[str, Any] = field(repr=False)
    takes: Mapping[str, str] = field(default_factory=dict)
    task: str = ""
    seed: int = 0
    start: float = START

    def seconds(self, a_token: float) -> float:
        """How long it takes, where a token takes so many seconds forward."""
        return self.start + self.cost * a_token

    def item(self, root: Path, *, quiet: bool = False) -> Item:
        """The part as work in the folder of the whole run."""
        item = work_item(
            self.folder, self.command, self.arguments, self.takes, root=root, quiet=quiet
        )
        return replace(item, cost=self.cost)


def work_item(
    folder: str,
    command: str,
    arguments: Mapping[str, Any],
    takes: Mapping[str, str],
    *,
    root: Path,
    quiet: bool,
) -> Item:
    """A command as work in the folder of the whole run.

    Args:
        folder: The command's folder within the run.
        command: Its name.
        arguments: Its arguments, but for `out`, `quiet` and those of `takes`.
        takes: Arguments whose values are the folders of other items.
        root: The folder of the whole run.
        quiet: Whether the command shows no progress.
    """
    from headscope.engine.executor import Item

    given = {**arguments, "out": root / folder, "quiet": quiet}
    for argument, taken in takes.items():
        path = root / taken
        # A model is named by a string, since it can also be on the hub.
        given[argument] = path if argument == "measured" else str(path)
    return Item(
        folder,
        f"headscope.commands.{command}:{command}",
        given,
        needs=tuple(takes.values()),
    )


def task_parts(
    session: Session,
    model: str,
    recipe: Mapping[str, Any],
    scored: Mapping[str, Any],
    analysed: Mapping[str, Any],
    seeds: int,
    frames: bool = False,
) -> list[Part]:
    """The parts of one task.

    Args:
        session: The task, its data, and the shape of the model.
        model: The pre-trained model.
        recipe: The arguments of fine-tuning.
        scored: The arguments of scoring.
        analysed: The arguments of what looks at heads: as `scored`, with a number of examples.
        seeds: How many fine-tunings there are of each configuration.
        frames: Whether the heads that stand out in FrameNet are disabled, too.
    """
    task = session.task.name
    layers = session.model.layers
    heads = layers * session.model.heads
    costs = costs_of(session, analysed["examples"])
    other = Role.HEAD_EFFECTS_OF_ANOTHER_SEED
    # What is disabled: the role, the folder, the sets, how many they are, the fine-tuning.
    disabled = [
        (Role.HEAD_EFFECTS, "disabled-each", "each", heads, 0),
        (Role.LAYER_EFFECTS, "disabled-layers", "layers", layers, 0),
        *((other, f"disabled-each-seed-{seed}", "each", heads, seed) for seed in range(1, seeds)),
    ]
    if frames:
        ranked, drawn = f"top:frame_element:{FRAME_HEADS}", f"random:{FRAME_HEADS}"
        disabled += [
            (Role.FRAME_HEADS_DISABLED, "dispensable-frames", ranked, 1, 0),
            (Role.RANDOM_HEADS_DISABLED, "dispensable-random", drawn, _RANDOM_SETS, 0),
        ]
    parts = _scores(session, model, recipe, scored, seeds, costs)
    parts += _comparisons(task, model, analysed, seeds, costs)
    for role, folder, sets, count, seed in disabled:
        takes = {"model": _tuned(task, seed)}
        if role == Role.FRAME_HEADS_DISABLED:
            takes["measured"] = _FRAMENET
        part = Part(
            role=role,
            task=task,
            folder=f"{task}/{folder}",
            words=f"{task}: {role}, seed {seed}",
            cost=costs.disabling(count),
            command="disable",
            arguments={**analysed, "task": task, "heads": sets},
            takes=takes,
            seed=seed,
        )
        parts.append(part)
    parts.append(_path(task, analysed, costs))
    return parts


def costs_of(session: Session, examples: int) -> Costs:
    """What is done on a task costs; training examples are taken to be as long as those scored.

    Args:
        session: The task, its data, and the shape of the model.
        examples: At most so many examples are looked at head by head.
    """
    return Costs(
        tokens=float(session.encoded.lengths.mean()),
        layers=session.model.layers,
        heads=session.model.layers * session.model.heads,
        training=len(session.train),
        scored=len(session.validation),
        analysed=min(len(session.validation), examples),
    )


def _path(task: str, analysed: Mapping[str, Any], costs: Costs) -> Part:
    """The search for the heads that can go together, in the first fine-tuned model."""
    return Part(
        role=Role.PATH,
        task=task,
        folder=f"{task}/path",
        words=f"{task}: {Role.PATH}",
        cost=costs.path(),
        command="path",
        arguments={**analysed, "task": task},
        takes={"model": _tuned(task)},
    )


def _comparisons(
    task: str, model: str, analysed: Mapping[str, Any], seeds: int, costs: Costs
) -> list[Part]:
    """Every fine-tuned model beside the pre-trained one; of all but the first, only how far its
    maps changed.
    """
    parts = []
    for seed in range(seeds):
        role = Role.COMPARISON_OF_ANOTHER_SEED if seed else Role.COMPARISON
        part = Part(
            role=role,
            task=task,
            folder=f"{task}/compared-seed-{seed}" if seed else f"{task}/compared",
            words=f"{task}: {role}, seed {seed}" if seed else f"{task}: {role}",
            cost=costs.comparison(is_whole=seed == 0),
            command="compare",
            arguments={
                **analysed,
                "task": task,
                "before": model,
                **({"measures": _CHEAPEST} if seed else {}),
            },
            takes={"after": _tuned(task, seed)},
            seed=seed,
        )
        parts.append(part)
    return parts


def _tuned(task: str, seed: int = 0) -> str:
    """The folder of a fine-tuned model."""
    return f"{task}/pretrained-{seed}"


def _scores(
    session: Session,
    model: str,
    recipe: Mapping[str, Any],
    scored: Mapping[str, Any],
    seeds: int,
    costs: Costs,
) -> list[Part]:
    """The fine-tunings of one task, in three configurations."""
    task = session.task.name
    parts = []
    for init, configuration in CONFIGURATIONS.items():
        for seed in range(seeds):
            part = Part(
                role=Role.SCORES,
                task=task,
                folder=f"{task}/{init}-{seed}",
                words=f"{task}: {configuration}, seed {seed}",
                seed=seed,
                cost=costs.fine_tuning(0 if init == "none" else recipe["epochs"]),
                command="finetune",
                arguments={
                    **recipe,
                    **scored,
                    "model": model,
                    "task": task,
                    "init": init,
                    "seed": seed,
                },
            )
            parts.append(part)
    return parts


def frame_part(model: str, folder: Path, scored: Mapping[str, Any]) -> Part:
    """Which heads attend from frame elements to their predicates, in the pre-trained model (paper,
    section 4.2).
    """
    return Part(
        role=Role.FRAMES,
        folder=_FRAMENET,
        words=Role.FRAMES,
        cost=FRAMES,
        command="relations",
        arguments={"model": model, "corpus": f"framenet:{folder}", **scored},
    )


def plan_lines(parts: Sequence[Part], seconds: float) -> list[str]:
    """The plan in words, with the minutes that it will take.

    Args:
        parts: The parts in their order.
        seconds: How long a token takes forward.
    """
    total = sum(part.seconds(seconds) for part in parts) / 60
    lines = [f"{part.words}: about {minutes(part.seconds(seconds) / 60)}" for part in parts]
    return [
        *lines,
        f"{len(parts)} parts, about {minutes(total)} on this machine; each is kept when it is done",
    ]


def minutes(count: float) -> str:
    """A number of minutes in words.

    >>> minutes(0.2), minutes(90), minutes(150)
    ('a minute', '90 minutes', '2.5 hours')
    """
    if count < 1.5:
        return "a minute"
    return f"{count:.0f} minutes" if count < 120 else f"{count / 60:.1f} hours"


def run_parts(
    parts: Sequence[Part],
    root: Path,
    executor: Executor | None,
    seconds: float,
    *,
    quiet: bool = False,
) -> None:
    """Do all parts within the run folder `root`: in their order, or several at once, the longest
    first.

    A part that fails does not stop those that do not need it. What is done stays, and the next run
    does the rest.

    Args:
        parts: The parts.
        root: The folder of the whole run.
        executor: The workers that do them, within its context; None for this process.
        seconds: How long a token takes forward.
        quiet: Whether nothing is said of the progress.

    Raises:
        Exception: What the first part that failed raised, after all that can be done is done.
    """
    from headscope.engine.executor import as_completed
    from headscope.engine.local import Local
    from headscope.replication.elsewhere import elsewhere

    by_name = {part.folder: part for part in parts}
    # What several processes say at once cannot be read.
    items = [part.item(root, quiet=quiet or executor is not None) for part in parts]
    began = time.monotonic()
    begun = done = 0
    left = sum(part.seconds(seconds) for part in parts)

    def announce(item: Item) -> None:
        nonlocal begun
        begun += 1
        say(f"part {begun} of {len(parts)}: {by_name[item.name].words}", quiet=quiet)

    first_error: BaseException | None = None
    with elsewhere(executor, root) as workers:
        running = workers or Local()
        for item, future in as_completed(items, running, on_start=announce):
            error = future.exception()
            left -= by_name[item.name].seconds(seconds)
            if isinstance(error, OSError):
                # A full disk fails every part.
                raise error
            if error is not None:
                say(f"{item.name} failed: {error}", quiet=quiet)
                first_error = first_error or error
                continue
            done += 1
            passed = minutes((time.monotonic() - began) / 60)
            line = f"{done} of {len(parts)} parts after {passed}"
            if done < len(parts):
                line += f", about {minutes(left / 60 / running.workers)} left"
            say(line, quiet=quiet)
    if first_error is not None:
        raise first_error
