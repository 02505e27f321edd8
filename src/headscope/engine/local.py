"""Run named, independent work items, skip those that an earlier run finished, and save each as it
ends.

A local executor now, of one worker or of a thread a device; a cluster's can take its place: an item
is a name, a worker takes any part of the items, and what it finishes is saved by name.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from threading import Event
from typing import TypeVar

from headscope.progress import progress

T = TypeVar("T")
Work = Callable[[Sequence[tuple[str, T]]], Iterable[str]]
"""Takes items, and yields the name of each when its result is saved."""


def run(
    items: Sequence[tuple[str, T]],
    works: Sequence[Work[T]],
    *,
    done: Collection[str],
    label: str,
    kind: Callable[[T], int] = lambda _: 0,
    quiet: bool = False,
) -> int:
    """Hand the workers the items whose name is not in `done`; returns how many were run.

    Items may share work, so a worker gets its items together, and may finish them in any order.
    Several workers run at once, and get items by their `kind`: all of a kind go to the same one. An
    exception in any of them, or Ctrl-C, ends the run; what was saved stays, and the next run is
    handed the rest.
    """
    left = [(name, item) for name, item in items if name not in done]
    finished = 0
    with progress(label, len(items), quiet=quiet, done=len(items) - len(left)) as advance:
        for name in (
            _together(left, works, kind) if len(works) > 1 else works[0](left) if left else ()
        ):
            finished += 1
            advance(1, name)
    return finished


def _together(
    items: Sequence[tuple[str, T]], works: Sequence[Work[T]], kind: Callable[[T], int]
) -> Iterator[str]:
    """The names that the workers finish, as they come."""
    kinds = sorted({kind(item) for _, item in items})
    shares = [
        [one for one in items if kinds.index(kind(one[1])) % len(works) == at]
        for at in range(len(works))
    ]
    told: SimpleQueue[str | BaseException | None] = SimpleQueue()
    stop = Event()

    def work_on(work: Work[T], share: list[tuple[str, T]]) -> None:
        try:
            for name in work(share) if share else ():
                told.put(name)
                if stop.is_set():
                    break
        except BaseException as error:  # to be raised by the caller's thread
            told.put(error)
        else:
            told.put(None)

    with ThreadPoolExecutor(len(works)) as pool:
        for work, share in zip(works, shares, strict=True):
            pool.submit(work_on, work, share)
        at_work = len(works)
        try:
            while at_work:
                match told.get():
                    case None:
                        at_work -= 1
                    case str(name):
                        yield name
                    case error:
                        raise error
        finally:
            stop.set()
