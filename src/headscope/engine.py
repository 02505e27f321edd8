"""Run named, independent work items, skip those that an earlier run finished, and save each as it ends.

A local executor now; a cluster's can take its place, since an item is a name and its result is saved by name.
"""

from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

from headscope.progress import progress

T = TypeVar("T")


def run(
    items: Sequence[tuple[str, T]], work: Callable[[T], None], *, done: Collection[str], label: str, quiet: bool = False
) -> int:
    """Call `work` on every item whose name is not in `done`; `work` saves its own result. Returns how many it ran.

    An exception or Ctrl-C ends the run; what was saved stays, and the next run begins with the item in flight.
    """
    left = [(name, item) for name, item in items if name not in done]
    with progress(label, len(items), quiet=quiet, done=len(items) - len(left)) as advance:
        for name, item in left:
            work(item)
            advance(1, name)
    return len(left)
