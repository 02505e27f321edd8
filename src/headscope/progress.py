"""Progress with the time left, on standard error; silent with `quiet`."""

import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable


@runtime_checkable
class Advance(Protocol):
    """Called when `steps` more are done; `note` is shown beside the bar."""

    def __call__(self, steps: int = 1, note: str = "") -> None:
        """Count `steps` as done."""


def silent(steps: int = 1, note: str = "") -> None:
    """An `Advance` that shows nothing."""


_EVERY_SECONDS = 20.0


_FEWEST = 2
"""So many steps are measured, after the first, before a time is said."""
_UNEQUAL = 2.0
"""Steps are of unequal size where the slowest takes so many times as long as the fastest."""
_KEPT_WORK = 10.0
"""A step that takes so many times the mean of those before it is the first that is computed: the
others were kept by an earlier run.
"""


@dataclass
class TimeLeft:
    """How long work takes until it is done, from the steps that were measured.

    The first step is no measure, since it holds the start-up: weights that come into memory, states
    that later steps find kept. Steps that an earlier run has kept come at once, and are no measure
    either.

    >>> now = iter([0.0, 60.0, 62.0, 64.0, 65.0])
    >>> left = TimeLeft(total=10, clock=lambda: next(now))
    >>> for _ in range(3):
    ...     left.count(1)
    >>> str(left)
    '13 s left'
    """

    total: int
    done: int = 0
    clock: Callable[[], float] = time.monotonic
    _last: float = field(init=False)
    _steps: int = field(init=False, default=-1)
    """How many steps were measured; -1 before the first, which is none."""
    _measured: int = field(init=False, default=0)
    _seconds: float = field(init=False, default=0.0)
    _fastest: float = field(init=False, default=math.inf)
    _slowest: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self._last = self.clock()

    def count(self, steps: int) -> None:
        """Count `steps` as done by now."""
        now = self.clock()
        seconds, self._last = now - self._last, now
        self.done += steps
        if steps <= 0:
            self._seconds += seconds
            return
        pace = seconds / steps
        is_computed = self._steps < 1 or pace <= _KEPT_WORK * self._seconds / self._measured
        if self._steps < 0 or not is_computed:
            self._begin()
            return
        self._steps += 1
        self._measured += steps
        self._seconds += seconds
        self._fastest = min(self._fastest, pace)
        self._slowest = max(self._slowest, pace)

    def _begin(self) -> None:
        """Measure from here on."""
        self._steps = 0
        self._measured = 0
        self._seconds = self._slowest = 0.0
        self._fastest = math.inf

    def __str__(self) -> str:
        """The time left, as in "about 3 min 20 s left"; "" before it is known."""
        if self._steps < _FEWEST:
            return ""
        pace = self._seconds / self._measured
        seconds = pace * (self.total - self.done) - (self.clock() - self._last)
        about = "about " if self._slowest > _UNEQUAL * self._fastest else ""
        return f"{about}{_duration(max(0.0, seconds))} left"


@contextmanager
def progress(label: str, total: int, *, quiet: bool = False, done: int = 0) -> Iterator[Advance]:
    """A bar on a terminal; in a log, a line every 20 seconds. `done` steps were finished by an
    earlier run.
    """
    if quiet:
        yield silent
        return
    left = TimeLeft(total, done)
    if not sys.stderr.isatty():
        yield _lines(label, left)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        # Written anew whenever the bar is drawn, so that it counts down.
        TextColumn("{task.fields[left]}"),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(label, total=total, completed=done, note="", left=left)

        def advance(steps: int = 1, note: str = "") -> None:
            left.count(steps)
            bar.update(task, advance=steps, note=note)

        yield advance


def _lines(label: str, left: TimeLeft) -> Advance:
    said = left.clock()

    def advance(steps: int = 1, note: str = "") -> None:
        nonlocal said
        left.count(steps)
        now = left.clock()
        if now - said >= _EVERY_SECONDS:
            said = now
            known = f", {left}" if str(left) else ""
            say(f"{label}: {left.done} of {left.total}{known} {note}".rstrip())

    return advance


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
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
