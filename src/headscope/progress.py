"""Progress with the time left, on standard error; silent with `quiet`."""

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol, runtime_checkable


@runtime_checkable
class Advance(Protocol):
    """Called when `steps` more are done; `note` is shown beside the bar."""

    def __call__(self, steps: int = 1, note: str = "") -> None:
        """Count `steps` as done."""


def silent(steps: int = 1, note: str = "") -> None:
    """An `Advance` that shows nothing."""


_EVERY_SECONDS = 20.0


@contextmanager
def progress(label: str, total: int, *, quiet: bool = False, done: int = 0) -> Iterator[Advance]:
    """A bar on a terminal; in a log, a line every 20 seconds. `done` steps were finished by an
    earlier run.
    """
    if quiet:
        yield silent
        return
    if not sys.stderr.isatty():
        yield _lines(label, total, done)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(label, total=total, completed=done, note="")

        def advance(steps: int = 1, note: str = "") -> None:
            bar.update(task, advance=steps, note=note)

        yield advance


def _lines(label: str, total: int, done: int) -> Advance:
    start = last = time.monotonic()
    begun, at = done, done

    def advance(steps: int = 1, note: str = "") -> None:
        nonlocal last, at
        at += steps
        now = time.monotonic()
        if now - last >= _EVERY_SECONDS and at > begun:
            last = now
            left = (now - start) / (at - begun) * (total - at)
            say(f"{label}: {at:g} of {total:g}, about {_duration(left)} left {note}".rstrip())

    return advance


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def say(text: str, *, quiet: bool = False) -> None:
    """One line on standard error."""
    if not quiet:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def say_notes(notes: Iterable[str], *, quiet: bool = False) -> None:
    """What the user must know of a result, a line each, on standard error."""
    for note in notes:
        say(f"note: {note}", quiet=quiet)
