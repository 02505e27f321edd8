"""Run named, independent work items, skip those that an earlier run finished, and save each as it ends.

A local executor now; a cluster's can take its place: an item is a name, work takes any part of the items, and what it
finishes is saved by name.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TypeVar

from headscope.progress import progress

T = TypeVar("T")


def run(
    items: Sequence[tuple[str, T]],
    work: Callable[[Sequence[tuple[str, T]]], Iterable[str]],
    *,
    done: Collection[str],
    label: str,
    quiet: bool = False,
) -> int:
    """Hand `work` the items whose name is not in `done`; it yields the name of each when its result is saved.

    Items may share work, so they are given together and may finish in any order. Returns how many were run. An
    exception or Ctrl-C ends the run; what was saved stays, and the next run is handed the rest.
    """
    left = [(name, item) for name, item in items if name not in done]
    finished = 0
    with progress(label, len(items), quiet=quiet, done=len(items) - len(left)) as advance:
        for name in work(left) if left else ():
            finished += 1
            advance(1, name)
    return finished
