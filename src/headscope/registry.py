"""Named things that a plug-in can add: one small class, the same door for built-ins and
plug-ins.
"""

from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from headscope.errors import HeadscopeError, unknown

T = TypeVar("T")


@cache
def load_plugins() -> None:
    """Import every module of the entry-point group `headscope`; each registers what it has."""
    for entry in entry_points(group="headscope"):
        entry.load()


class Registry(Generic[T]):
    """A dictionary that refuses a name twice and names its members when one is missing."""

    def __init__(self, kind: str) -> None:
        self.kind, self._items = kind, dict[str, T]()

    def register(self, name: str) -> Callable[[T], T]:
        """A decorator (or a plain call) that files an item under `name`."""

        def add(item: T) -> T:
            if name in self._items:
                raise HeadscopeError(
                    f"the {self.kind} {name!r} is registered twice: rename one of the two"
                )
            self._items[name] = item
            return item

        return add

    def get(self, name: str, hint: str = "") -> T:
        """The item of that name. Raises HeadscopeError that names the known ones and the
        nearest.
        """
        load_plugins()
        if name not in self._items:
            raise unknown(self.kind, name, self._items, hint)
        return self._items[name]

    def names(self) -> list[str]:
        """All names, in the order in which they were registered."""
        load_plugins()
        return list(self._items)
