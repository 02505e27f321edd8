"""A pass over the data of which others run parts.

Each part runs some of the batches, and says of every batch by itself what it adds to what the
observers have found. That is added here in the order of the batches: the sums are those of a pass
in one process, to the bit, for any number of parts in any order.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from headscope.engine.executor import Executor, Item, as_completed
from headscope.model.resuming import Schedule, finish, state_of, unfinished
from headscope.progress import Advance

PARTS_A_WORKER = 4
"""So many items a worker gets in a pass: one that is slow holds up little."""


@dataclass(frozen=True)
class Added:
    """What a batch adds to an array.

    Attributes:
        places: Where, counted in the flat array.
        values: What.
        is_sum: Whether it is added to what other batches gave; else the places are this batch's
            alone, such as those of its examples.
    """

    places: npt.NDArray[np.int64]
    values: npt.NDArray[Any]
    is_sum: bool

    @classmethod
    def between(cls, before: npt.NDArray[Any], after: npt.NDArray[Any]) -> "Added":
        """What is in an array now that was not there before its batch.

        What begins at 0 is a sum. What begins with another number, or with none, is of single
        examples, of which a batch has its own.
        """
        is_sum = not before.any()
        is_same = (after == before) | ((after != after) & (before != before))
        places = np.flatnonzero(~is_same)
        return cls(places, after.reshape(-1)[places], is_sum)

    def to(self, array: npt.NDArray[Any]) -> None:
        """Add it to what other batches gave."""
        flat = array.reshape(-1)
        if self.is_sum:
            flat[self.places] += self.values
        else:
            flat[self.places] = self.values


OfBatch = Mapping[str, Added]
"""What a batch adds, by the name of the array (`state_of`)."""


@dataclass(frozen=True)
class Part:
    """Some batches of a pass, which take the place of a pass over all (`Keeping`).

    Attributes:
        first: The number of the first batch, from 0.
        stop: The number of the batch after the last one.
        found: What every batch that has passed adds, by its number.
    """

    first: int
    stop: int
    found: dict[int, OfBatch] = field(default_factory=dict)

    def batches(
        self,
        plan: Sequence[list[int]],
        observers: Sequence[object],
        advance: Advance,  # noqa: ARG002 - whoever shares the pass tells of its progress.
    ) -> Iterator[list[int]]:
        """The batches of the part. After each, what it adds is kept, and the observers begin anew.

        Args:
            plan: All batches of the pass, as row numbers.
            observers: What is shown the batches; each must have a state.
            advance: Is told nothing.
        """
        state = state_of(observers)
        empty = {name: array.copy() for name, array in state.items()}
        for number in range(self.first, self.stop):
            yield plan[number]
            finish(observers)
            self.found[number] = {
                name: Added.between(empty[name], array) for name, array in state.items()
            }
            for name, array in state.items():
                np.copyto(array, empty[name])


def shared_pass(
    executor: Executor,
    item: Callable[[int, int], Item],
    plan: Sequence[list[int]],
    observers: Sequence[object],
    *,
    advance: Advance,
    keeping: Schedule | None = None,
) -> None:
    """A pass whose batches others run.

    Args:
        executor: What runs the items, within its context.
        item: The item that runs the batches from one number to before another, and returns the
            `Part.found` of them.
        plan: All batches of the pass, as row numbers; the items must divide the examples alike.
        observers: What the findings are added to; none of them is shown anything here.
        advance: Is told how many examples are done.
        keeping: Where the observers' state is kept, as for a pass in one process.
    """
    state = state_of(observers)
    numbers = {tuple(rows): number for number, rows in enumerate(plan)}
    found: dict[int, OfBatch] = {}
    parts: Iterator[dict[int, OfBatch]] | None = None
    for rows in unfinished(plan, observers, keeping, advance):
        number = numbers[tuple(rows)]
        if parts is None:
            parts = _parts(executor, item, number, len(plan))
        while number not in found:
            found |= next(parts)
        for name, added in found.pop(number).items():
            added.to(state[name])
        advance(len(rows))


def _parts(
    executor: Executor, item: Callable[[int, int], Item], first: int, stop: int
) -> Iterator[dict[int, OfBatch]]:
    """What the items found, as they end."""
    size = max(1, (stop - first) // (PARTS_A_WORKER * max(1, executor.workers)))
    items = [item(start, min(start + size, stop)) for start in range(first, stop, size)]
    for _, future in as_completed(items, executor):
        yield future.result()
