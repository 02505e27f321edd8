"""Work as data, the interface of what runs it, and the loop that hands it out.

An item names a function by its path and holds arguments that can be sent elsewhere, so that the
same items run in this process, in other processes or on a cluster: an executor is `workers`,
`submit` and what happens when its context ends.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from importlib import import_module
from types import TracebackType
from typing import Any, Protocol, TypeVar, runtime_checkable

from headscope.errors import HeadscopeError

T = TypeVar("T")
Value = TypeVar("Value", covariant=True)


@runtime_checkable
class Shared(Protocol[Value]):
    """What many items need, as an argument of each: a model's files, encoded examples."""

    def get(self) -> Value:
        """The thing itself, where the item runs. Whoever gets it must not change it."""


@dataclass(frozen=True)
class Held(Shared[T]):
    """A shared thing that goes along with every item."""

    value: T

    def get(self) -> T:
        """The thing itself."""
        return self.value


class WorkerLostError(HeadscopeError):
    """The process that did an item ended in the middle of it."""


@dataclass(frozen=True)
class Item:
    """A piece of work as data.

    Attributes:
        name: What errors call it; no two items that run together share it.
        function: The path of a function, as in "headscope.commands.disable:disable".
        arguments: The function's keyword arguments; to be sent, they must be picklable.
        needs: Names of the items that must have succeeded before this one begins.
        cost: How long it takes, in any unit that the items share.

    Example:
        >>> Item("a half", "fractions:Fraction", {"numerator": 2, "denominator": 4}).call()
        Fraction(1, 2)
    """

    name: str
    function: str
    arguments: Mapping[str, Any]
    needs: tuple[str, ...] = ()
    cost: int = 1

    def call(self, **shared: Any) -> Any:
        """Call the function with the item's arguments and with what its worker shares."""
        module, _, name = self.function.partition(":")
        function = getattr(import_module(module), name)
        return function(**self.arguments, **shared)


class Executor(ABC):
    """Runs items on several workers, within a context: an exception that leaves it ends them.

    Attributes:
        workers: How many items it runs at once, at least 1; on a cluster it changes with the nodes.
        is_elsewhere: Whether items may run on machines that do not have this one's files.
    """

    workers: int
    is_elsewhere = False

    def share(self, value: T) -> Shared[T]:
        """What many items need, so that it is sent to each place once."""
        return Held(value)

    @abstractmethod
    def submit(self, item: Item) -> Future[Any]:
        """Begin an item; the future holds what its function returns or raises."""

    @abstractmethod
    def close(self, *, failed: bool) -> None:
        """End the workers. `failed` says that nobody waits for what they are doing."""

    def __enter__(self) -> Executor:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close(failed=kind is not None)


def as_completed(
    items: Sequence[Item],
    executor: Executor,
    *,
    done: Collection[str] = (),
    on_start: Callable[[Item], object] | None = None,
) -> Iterator[tuple[Item, Future[Any]]]:
    """Run items, each after those that it needs, and yield them with their futures as they end.

    A worker that is free gets the next item in the order given; where there are several workers,
    the one that costs most. An item that fails is yielded like any other; those that need it, or
    need one of those, are never begun, and all others go on.

    Args:
        items: What is to be run, in any order.
        executor: What runs it, inside its context.
        done: Names of items that an earlier run finished: they are left out.
        on_start: Called with an item when a worker gets it.

    Yields:
        An item that has ended, and its finished future.

    Raises:
        HeadscopeError: An item needs one that does not exist, or items need each other.
    """
    succeeded = set(done)
    waiting = [item for item in items if item.name not in succeeded]
    _check_needs(waiting, succeeded)
    if executor.workers > 1:
        waiting.sort(key=lambda item: -item.cost)
    running: dict[Future[Any], Item] = {}
    while True:
        ready = [item for item in waiting if succeeded.issuperset(item.needs)]
        # A cluster that lost a node may have fewer workers than are at work.
        free = max(0, executor.workers - len(running))
        for item in ready[:free]:
            waiting.remove(item)
            if on_start is not None:
                on_start(item)
            running[executor.submit(item)] = item
        if not running:
            return
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            item = running.pop(future)
            if future.exception() is None:
                succeeded.add(item.name)
            yield item, future


def _check_needs(items: Sequence[Item], done: Collection[str]) -> None:
    """Raises HeadscopeError unless there is an order in which each item finds what it needs."""
    reached = set(done)
    left = list(items)
    while left:
        blocked = [item for item in left if not reached.issuperset(item.needs)]
        if len(blocked) == len(left):
            names = ", ".join(item.name for item in blocked)
            raise HeadscopeError(f"these items need each other or one that does not exist: {names}")
        reached.update(item.name for item in left if item not in blocked)
        left = blocked
