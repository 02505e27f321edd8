"""Functions of the items in test_engine: they are found by their path, in this process and in others."""

import os
import signal
import time
from pathlib import Path

from headscope.engine.executor import Shared


def note(folder: Path, name: str) -> str:
    """Leave a file behind, and return the name."""
    (folder / name).write_text(str(os.getpid()))
    return name


def wait_for(folder: Path, name: str, awaited: str) -> str:
    """Leave a file behind once another one is there."""
    deadline = time.monotonic() + 60
    while not (folder / awaited).exists():
        if time.monotonic() > deadline:
            raise TimeoutError(awaited)
        time.sleep(0.01)
    return note(folder, name)


def fail(text: str, **shared: object) -> None:
    """Fail."""
    raise ValueError(text)


def kill_self(folder: Path) -> None:
    """Be killed in the middle of the work."""
    note(folder, "begun")
    os.kill(os.getpid(), signal.SIGKILL)


def sleep_on(folder: Path) -> None:
    """Work for longer than anyone waits."""
    note(folder, "asleep")
    time.sleep(600)


def share(device: str, made: list[str], name: str) -> tuple[str, str]:
    """Say which worker did it; `made` is shared by all."""
    time.sleep(0.005)
    made.append(name)
    return device, name


def threads() -> int:
    """How many threads torch has here."""
    import torch

    return torch.get_num_threads()


def take(shared: Shared[list[int]], name: str) -> tuple[str, int, int]:
    """Say what is shared, and whether this process took it out before: by its address."""
    value = shared.get()
    return name, sum(value), id(value)


def note_twice(folder: Path, name: str) -> str:
    """Leave a file for every beginning; the first one is killed, as a node that goes away does it."""
    begun = len(list(folder.glob(f"{name}-*")))
    note(folder, f"{name}-{begun}")
    if not begun:
        os.kill(os.getpid(), signal.SIGKILL)
    return name
