"""A pass over the data that keeps what it has done, so that a run that was killed goes on there.

What observers have summed up is saved as it stands, with the number of batches done. Restored, the
same sums go on in the same order: a resumed pass ends with the numbers of an unbroken one, to the
bit.
"""

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from headscope.progress import Advance

Arrays = Mapping[str, npt.NDArray[Any]]
SAVE_EVERY_SECONDS = 20.0
"""After how much work a pass is saved: what a save costs is little beside it."""
_DONE, _PLAN = "batches_done", "plan"


@runtime_checkable
class Parts(Protocol):
    """Keeps finished work, so that a resumed run does not do it again."""

    def get(self, name: str) -> Arrays | None:
        """The arrays of an item that is kept; None for any other."""

    def put(self, name: str, arrays: Arrays) -> None:
        """Keep the arrays of an item."""

    def refuse(self, name: str) -> None:
        """Say that what was kept is not what the item asks for, so that it is made again."""


@runtime_checkable
class Resumable(Protocol):
    """An observer whose findings can be saved and taken up again."""

    def state(self) -> Arrays:
        """The arrays that it adds to, themselves: what is written into them is its state."""


@runtime_checkable
class Finishing(Protocol):
    """An observer that leaves what it sees on the device until the batch has passed."""

    def finish(self) -> None:
        """Called once a batch, after its layers: adds what was seen to what is found."""


def state_of(observers: Sequence[object]) -> dict[str, npt.NDArray[Any]]:
    """The arrays of all observers, by the observer's number and the array's name.

    Raises:
        TypeError: An observer cannot be resumed.
    """
    arrays = {}
    for number, observer in enumerate(observers):
        if not isinstance(observer, Resumable):
            raise TypeError(f"{type(observer).__name__} has no state: it cannot be resumed")
        for name, array in observer.state().items():
            arrays[f"{number}/{name}"] = array
    return arrays


@runtime_checkable
class Schedule(Protocol):
    """Says which batches of a pass are run, and keeps what is found."""

    def batches(
        self, plan: Sequence[list[int]], observers: Sequence[object], advance: Advance
    ) -> Iterator[list[int]]:
        """The batches to run. After each, what waits on the device is finished."""


@dataclass(frozen=True)
class Keeping:
    """Where a pass keeps what it has done, so that another run goes on there.

    Attributes:
        name: The name of the pass among the parts.
        parts: Where it is kept.
    """

    name: str
    parts: Parts

    def batches(
        self, plan: Sequence[list[int]], observers: Sequence[object], advance: Advance
    ) -> Iterator[list[int]]:
        """The batches that an earlier run has not done. The state is restored first, and saved from
        time to time and in the end.

        Args:
            plan: Every batch, as row numbers.
            observers: What is finished, and has a state.
            advance: Is told how many examples an earlier run has done.
        """
        state = state_of(observers)
        # What was kept is of use for the same batches alone: others are added up in another order.
        digest = hashlib.sha256(json.dumps(plan).encode()).digest()
        fixed = {_PLAN: np.frombuffer(digest, np.uint8)}
        done = _restored(state, fixed, len(plan), self)
        for rows in plan[:done]:
            advance(len(rows))
        saved = time.monotonic()
        for number, rows in enumerate(plan[done:], start=done + 1):
            yield rows
            finish(observers)
            if number == len(plan) or time.monotonic() - saved >= SAVE_EVERY_SECONDS:
                self.parts.put(self.name, {**state, **fixed, _DONE: np.array([number])})
                saved = time.monotonic()


def unfinished(
    batches: Iterable[list[int]],
    observers: Sequence[object],
    keeping: Schedule | None,
    advance: Advance,
) -> Iterator[list[int]]:
    """The batches that are to be run. After each, what waits on the device is finished.

    Args:
        batches: Every batch, as row numbers.
        observers: What is finished, and what has a state.
        keeping: Which batches are run, and where it is kept; None runs all and keeps nothing.
        advance: Is told how many examples an earlier run has done.
    """
    if keeping is not None:
        yield from keeping.batches(list(batches), observers, advance)
        return
    for rows in batches:
        yield rows
        finish(observers)


def finish(observers: Sequence[object]) -> None:
    """Add what the observers saw of a batch to what they have found."""
    for observer in observers:
        if isinstance(observer, Finishing):
            observer.finish()


def _restored(
    state: dict[str, npt.NDArray[Any]], fixed: Arrays, batches: int, keeping: Keeping
) -> int:
    """Write what was kept into the state; returns how many batches it is of, 0 for none."""
    kept = keeping.parts.get(keeping.name)
    if kept is None:
        return 0
    expected = {**state, **fixed, _DONE: np.array([batches])}
    if not fits(kept, expected) or not 0 < int(kept[_DONE][0]) <= batches:
        keeping.parts.refuse(keeping.name)
        return 0
    if not np.array_equal(kept[_PLAN], fixed[_PLAN]):
        return 0
    for name, array in state.items():
        np.copyto(array, kept[name])
    return int(kept[_DONE][0])


def fits(arrays: Arrays, expected: Arrays) -> bool:
    """Whether arrays have the names, shapes and types of others."""
    if arrays.keys() != expected.keys():
        return False
    return all(
        array.shape == expected[name].shape and array.dtype == expected[name].dtype
        for name, array in arrays.items()
    )
