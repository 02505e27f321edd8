"""The parts that the whole paper is made of, each a command with its arguments, done in turn or
several at once.

A part is a run folder of its own and resumes by itself. One that needs a checkpoint waits for the
part that makes it.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from headscope.commands.compare import compare
from headscope.commands.disable import disable
from headscope.commands.finetune import finetune
from headscope.commands.relations import relations
from headscope.errors import HeadscopeError
from headscope.progress import say

if TYPE_CHECKING:
    from headscope.commands.session import Session

OTHER_SEED = "disabled-each-seed-"
"""Folders that begin so hold the heads of another fine-tuning, disabled in turn: read for
`seeds_disabled` alone.
"""
FRAMENET, DISPENSABLE = "framenet", "dispensable"
"""The folder of the heads of frames, and what those begin with in which they are disabled."""
FRAME_HEADS = 2
"""How many heads of frames are disabled together: as many as the paper names."""
RANDOM_HEADS = f"random:{FRAME_HEADS}"
INITS = {
    "none": "pretrained, no fine-tuning",
    "random": "random + fine-tuned",
    "pretrained": "pretrained + fine-tuned",
}


_COMMANDS: Mapping[str, Callable[..., object]] = {
    "finetune": finetune,
    "compare": compare,
    "disable": disable,
    "relations": relations,
}


@dataclass(frozen=True)
class Part:
    """A piece of the work: its folder within the run, what it does in words, the command and its
    arguments.

    `takes` names the parts that it needs: argument -> the folder that becomes its value. `share` is
    its cost in examples that pass through the model forward: training counts three for each.
    """

    folder: str
    words: str
    share: int
    command: Literal["finetune", "compare", "disable", "relations"]
    given: Mapping[str, Any] = field(repr=False)
    takes: Mapping[str, str] = field(default_factory=dict)

    def work(self, root: Path, *, quiet: bool = False) -> None:
        """Do it, in the folder of the run."""
        given = {**self.given, "quiet": quiet or self.given.get("quiet", False)}
        given |= {argument: root / folder for argument, folder in self.takes.items()}
        given |= {
            argument: str(given[argument]) for argument in ("model", "after") if argument in given
        }
        _COMMANDS[self.command](out=root / self.folder, **given)


def task_parts(
    session: Session,
    model: str,
    recipe: Mapping[str, Any],
    scored: Mapping[str, Any],
    analysed: Mapping[str, Any],
    seeds: int,
    frames: bool = False,
) -> list[Part]:
    """The parts of one task: scores in three configurations by seed, what fine-tuning changed,
    disabled heads; with `frames` also the heads that stand out in FrameNet, disabled together,
    beside random sets of as many.
    """
    task, layers, heads = session.task.name, session.model.layers, session.model.heads
    rows, whole = 3 * recipe["epochs"] * len(session.train), len(session.validation)
    part = min(whole, analysed["examples"])
    parts = []
    for init in INITS:
        for seed in range(seeds):
            given = {**recipe, **scored, "model": model, "task": task, "init": init, "seed": seed}
            cost = whole + (0 if init == "none" else rows)
            words = f"{task}: {INITS[init]}, seed {seed}"
            parts.append(Part(f"{task}/{init}-{seed}", words, cost, "finetune", given))
    tuned = f"{task}/pretrained-0"
    given = {**analysed, "task": task}
    words = f"{task}: maps before and after fine-tuning"
    before = {**given, "before": model}
    parts.append(Part(f"{task}/compared", words, 3 * part, "compare", before, {"after": tuned}))
    for sets, count in (("each", layers * heads), ("layers", layers)):
        words = f"{task}: {'every head' if sets == 'each' else 'every layer'} disabled in turn"
        own = {**given, "heads": sets}
        parts.append(
            Part(f"{task}/disabled-{sets}", words, count * part, "disable", own, {"model": tuned})
        )
    for seed in range(1, seeds):
        words = f"{task}: every head disabled in turn, seed {seed}"
        takes = {"model": f"{task}/pretrained-{seed}"}
        parts.append(
            Part(
                f"{task}/{OTHER_SEED}{seed}", words, layers * heads * part, "disable", given, takes
            )
        )
    if frames:
        for name, sets, count in (
            ("frames", f"top:frame_element:{FRAME_HEADS}", 1),
            ("random", RANDOM_HEADS, 20),
        ):
            words = f"{task}: {'the heads of frames' if count == 1 else 'random sets of as many heads'} disabled"
            takes = {"model": tuned} | ({"measured": FRAMENET} if count == 1 else {})
            own = {**given, "heads": sets}
            parts.append(
                Part(f"{task}/{DISPENSABLE}-{name}", words, count * part, "disable", own, takes)
            )
    return parts


def frame_part(model: str, folder: Path, given: Mapping[str, Any]) -> Part:
    """Which heads attend from frame elements to their predicates, in the pre-trained model (paper,
    section 4.2).
    """
    own = {"model": model, "corpus": f"framenet:{folder}", **given}
    return Part(FRAMENET, "frame-semantic relations", 1000, "relations", own)


def plan_lines(parts: Sequence[Part], seconds: float) -> list[str]:
    """The plan in words, with the minutes that it will take; `seconds` is what an example takes
    forward.
    """
    total = sum(part.share for part in parts) * seconds / 60
    lines = [f"{part.words}: about {_minutes(part.share * seconds / 60)}" for part in parts]
    return [
        *lines,
        f"{len(parts)} parts, about {_minutes(total)} on this machine; each is kept when it is "
        "done",
    ]


def _minutes(minutes: float) -> str:
    if minutes < 1.5:
        return "a minute"
    return f"{minutes:.0f} minutes" if minutes < 120 else f"{minutes / 60:.1f} hours"


def run_parts(
    parts: Sequence[Part], root: Path, workers: int, seconds: float, *, quiet: bool = False
) -> None:
    """Do all parts within the run folder `root`: in their order, or with several workers the
    longest first.

    `seconds` is what an example takes forward. What is done stays, and the next run does the rest.
    An error ends the run; with several workers once they have done all that does not need the part
    that failed.
    """
    began = time.monotonic()

    def tell(done: int, left: int) -> None:
        so_far = f"{done} of {len(parts)} parts after {(time.monotonic() - began) / 60:.0f} minutes"
        say(f"{so_far}, about {_minutes(left * seconds / 60)} left", quiet=quiet)

    if workers > 1:
        _run_at_once(parts, root, workers, tell)
        return
    for number, part in enumerate(parts, 1):
        say(f"part {number} of {len(parts)}: {part.words}", quiet=quiet)
        part.work(root, quiet=quiet)
        tell(number, sum(later.share for later in parts[number:]))


def _run_at_once(
    parts: Sequence[Part], root: Path, workers: int, tell: Callable[[int, int], None]
) -> None:
    """A process a worker: a small model leaves most of a GPU idle, and two threads are not twice as
    fast as one.
    """
    waiting = sorted(parts, key=lambda part: -part.share)
    done: set[str] = set()
    failed: Exception | None = None
    at_work: dict[Future[None], Part] = {}
    threads = max(1, (os.cpu_count() or 1) // workers)
    context = multiprocessing.get_context("spawn")
    begun = (threads, context.Value("i", 0))
    with ProcessPoolExecutor(
        workers, mp_context=context, initializer=_begin_worker, initargs=begun
    ) as pool:
        while True:
            ready = [part for part in waiting if done.issuperset(part.takes.values())]
            for part in ready[: workers - len(at_work)]:
                waiting.remove(part)
                at_work[pool.submit(part.work, root, quiet=True)] = part
            if not at_work:
                break
            for future in wait(at_work, return_when=FIRST_COMPLETED).done:
                part = at_work.pop(future)
                try:
                    future.result()
                except BrokenProcessPool as error:
                    raise HeadscopeError(
                        f"a worker ended in the middle of {part.words!r} (killed, or out of "
                        "memory): take fewer --workers; what is done stays, and the same command "
                        "goes on"
                    ) from error
                except Exception as error:
                    failed = failed or error
                else:
                    done.add(part.folder)
                tell(
                    len(done), sum(left.share for left in (*waiting, *at_work.values())) // workers
                )
    if failed is not None:
        raise failed


def _begin_worker(threads: int, count: Any) -> None:
    """What a worker begins with: its share of the threads and, one after the other, its GPU."""
    import torch

    torch.set_num_threads(threads)
    with count.get_lock():
        number = count.value
        count.value += 1
    if gpus := torch.cuda.device_count():
        torch.cuda.set_device(number % gpus)
