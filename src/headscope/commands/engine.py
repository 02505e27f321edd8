"""Where the work of a command is done: `--engine`, `--workers`, `--gpus-per-item`, `--devices`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from headscope.errors import HeadscopeError, refusing
from headscope.progress import say

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from headscope.ablation.joined_scorer import OneScorer
    from headscope.ablation.workers import SetScorer
    from headscope.commands.session import Session
    from headscope.commands.settings import EngineSettings
    from headscope.engine.executor import Executor
    from headscope.model.model import Model
    from headscope.model.resuming import Schedule
    from headscope.model.sent import SentModel
    from headscope.model.shards import PassWork
    from headscope.progress import Advance

KINDS = ("local", "processes", "ray")


@dataclass(frozen=True)
class Engine:
    """Workers that share the work of a command.

    Attributes:
        executor: What runs items, within its context.
        devices: The device of every process; none where each takes the best that it finds.
    """

    executor: Executor
    devices: tuple[str, ...] = ()
    _sent: dict[str, SentModel] = field(default_factory=dict)

    def sent(self, model: Model) -> SentModel:
        """A model for the workers: of a command that scores it several times, sent once."""
        from headscope.model.sent import SentModel

        if model.path not in self._sent:
            self._sent[model.path] = SentModel.of(model, self.executor)
        return self._sent[model.path]


@contextmanager
def opened(
    asked: EngineSettings,
    session: Session,
    devices: tuple[str, ...] = (),
    *,
    most: int | None = None,
) -> Iterator[Session]:
    """The session with the workers that were asked for, until the block ends.

    Args:
        asked: The settings.
        session: The session.
        devices: Where several are named, each gets a process.
        most: At most so many processes have something to do.
    """
    with workers(asked, devices, most=most) as engine:
        yield session if engine is None else replace(session, engine=engine)


@contextmanager
def workers(
    asked: EngineSettings, devices: tuple[str, ...] = (), *, most: int | None = None
) -> Iterator[Engine | None]:
    """The workers that were asked for, until the block ends; None for this process alone.

    Args:
        asked: The settings.
        devices: Where several are named, each gets a process.
        most: At most so many processes have something to do.
    """
    executor = _executor(asked, most, devices)
    if executor is None:
        yield None
        return
    with executor:
        yield Engine(executor, devices)


def check_engine(asked: EngineSettings, devices: str | None = None) -> None:
    """Check what was asked of the engine before anything is loaded.

    Raises:
        HeadscopeError: An unknown engine, or settings that exclude each other.
    """
    kind = _kind(asked.engine)
    if devices is not None and (kind != "local" or asked.workers > 1):
        raise HeadscopeError("--devices names the processes itself: leave out --engine, --workers")
    if kind == "ray" and asked.workers > 1:
        raise HeadscopeError(
            "--workers goes with --engine processes: on a Ray cluster, as many items run as fit"
        )
    if asked.gpus_per_item is not None and kind != "ray":
        raise HeadscopeError("--gpus-per-item goes with --engine ray: give both, or none")


def _kind(engine: str) -> str:
    kind, colon, address = engine.partition(":")
    if kind not in KINDS or (colon and (kind != "ray" or not address)):
        raise HeadscopeError(
            f"--engine {engine[:60]!r} is not understood: give local, processes, ray (a cluster "
            "that is begun here) or ray:ADDRESS (one that is there, as in ray:auto)"
        )
    return kind


def _executor(asked: EngineSettings, most: int | None, devices: tuple[str, ...]) -> Executor | None:
    if len(devices) > 1:
        from headscope.engine.processes import Processes

        return Processes(len(devices))
    kind = _kind(asked.engine)
    if kind == "ray":
        from headscope.engine.cluster import Needs, Ray

        address = asked.engine.partition(":")[2]
        note = partial(say, quiet=asked.quiet)
        executor = Ray(address, Needs(gpus=asked.gpus_per_item), note)
        say(f"a Ray cluster with room for {executor.workers} items at once", quiet=asked.quiet)
        return executor
    if kind == "local" and asked.workers == 1:
        return None
    from headscope.engine.processes import Processes

    workers = asked.workers if asked.workers > 1 else _usual_workers()
    return Processes(workers if most is None else max(1, min(workers, most)))


def _usual_workers() -> int:
    """A process for every GPU, else for every processor."""
    import torch

    return torch.cuda.device_count() or os.cpu_count() or 1


def named_devices(devices: str) -> tuple[str, ...]:
    """The devices of a list joined by commas.

    Raises:
        HeadscopeError: One of the devices cannot be used.
    """
    import torch

    found = []
    for name in devices.split(","):
        what = f"--devices {devices!r}: {name.strip()!r} cannot be used"
        with refusing(what, "name devices that torch has, as in cuda:0,cuda:1, or cpu"):
            device = str(torch.device(name.strip()))
            # A device that torch knows by name and has not, or that holds no numbers, fails here.
            torch.ones(1, device=device).cpu()
        found.append(device)
    return tuple(found)


def spread(scorer: OneScorer, session: Session) -> SetScorer:
    """A scorer whose sets the session's workers score; the scorer itself where it has none.

    Args:
        scorer: The scorer of this process.
        session: What is scored of the model, and the workers.
    """
    engine = session.engine
    if engine is None:
        return scorer
    from headscope.ablation.workers import SpreadScorer, Work

    model = engine.sent(session.model)
    work = Work.of(scorer, model, session.outputs, engine.devices)
    return SpreadScorer(scorer, engine.executor, work)


def run_pass_of(
    work: PassWork,
    models: Sequence[Model],
    observers: Sequence[Any],
    engine: Engine | None,
    *,
    keeping: Schedule,
    advance: Advance,
) -> None:
    """Pass examples through models: in this process, or by the workers of an engine.

    Args:
        work: The pass.
        models: Its models.
        observers: What the findings are added to, as from `work.observers`.
        engine: The workers; None for this process alone.
        keeping: Where what is found so far is kept.
        advance: Is told how many examples are done.
    """
    from headscope.model.shards import share_pass

    if engine is None:
        work.run(models, observers, keeping, advance)
        return
    sent = [engine.sent(model) for model in models]
    share_pass(work, sent, observers, engine.executor, advance=advance, keeping=keeping)
