"""A pass over the data of which others run parts.

Each part runs some of the batches, and says of every batch by itself what it adds to what the
observers have found. That is added here in the order of the batches: the sums are those of a pass
in one process, to the bit, for any number of parts in any order.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from headscope.engine.executor import Executor, Item, Shared, as_completed
from headscope.model.loading import load
from headscope.model.model import Model
from headscope.model.resuming import Schedule, finish, state_of, unfinished
from headscope.model.sent import SentModel
from headscope.progress import Advance, silent

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
    def to_sums(cls, array: npt.NDArray[Any]) -> "Added":
        """What a batch has added to sums that began at 0."""
        places = np.flatnonzero(array)
        return cls(places, array.reshape(-1)[places], is_sum=True)

    @classmethod
    def of_examples(
        cls, rows: Sequence[int], before: npt.NDArray[Any], after: npt.NDArray[Any]
    ) -> "Added":
        """What a batch says of its examples.

        Args:
            rows: The examples, which are the first axis of the whole array.
            before: Their part of it before the batch, [example, ...].
            after: The same after the batch.
        """
        is_same = (after == before) | ((after != after) & (before != before))
        changed = np.flatnonzero(~is_same)
        size = after[0].size
        places = np.asarray(rows, np.int64)[changed // size] * size + changed % size
        return cls(places, after.reshape(-1)[changed], is_sum=False)

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

        An array that begins at 0 holds sums. One that begins with another number, or with none,
        says something of every example: its first axis is the examples.

        Args:
            plan: All batches of the pass, as row numbers.
            observers: What is shown the batches; each must have a state.
            advance: Is told nothing.
        """
        state = state_of(observers)
        sums = {name: array for name, array in state.items() if not array.any()}
        of_examples = {name: array for name, array in state.items() if name not in sums}
        for number in range(self.first, self.stop):
            rows = plan[number]
            before = {name: array[rows] for name, array in of_examples.items()}
            yield rows
            finish(observers)
            added = {name: Added.to_sums(array) for name, array in sums.items()}
            for name, array in of_examples.items():
                added[name] = Added.of_examples(rows, before[name], array[rows])
                array[rows] = before[name]
            for array in sums.values():
                array.fill(0)
            self.found[number] = added


@runtime_checkable
class PassWork(Protocol):
    """A pass as data, of which others can run parts: it can be pickled."""

    @property
    def runs_head(self) -> bool:
        """Whether the head of the model is run, not the encoder alone."""

    @property
    def batches(self) -> Sequence[list[int]]:
        """All batches, as row numbers; the same ones wherever they are made."""

    def observers(self) -> Sequence[Any]:
        """What is shown the batches, before it has seen any; each has a state."""

    def run(
        self,
        models: Sequence[Model],
        observers: Sequence[Any],
        schedule: Schedule | None,
        advance: Advance,
    ) -> None:
        """Pass the batches that the schedule names through the models, and show them the observers.

        Args:
            models: One model, or two.
            observers: As from `observers`.
            schedule: Which batches are run, and where what is found is kept; None for all.
            advance: Is told how many examples are done.
        """


def share_pass(
    work: PassWork,
    models: Sequence[SentModel],
    observers: Sequence[object],
    executor: Executor,
    *,
    advance: Advance,
    keeping: Schedule | None = None,
) -> None:
    """Let others run a pass.

    Args:
        work: The pass.
        models: Its models.
        observers: What the findings are added to.
        executor: What runs the parts, within its context.
        advance: Is told how many examples are done.
        keeping: Where the observers' state is kept, as for a pass in one process.
    """
    shared = executor.share(work)
    sent = tuple(models)

    def item(first: int, stop: int) -> Item:
        return Item(
            f"batches {first + 1} to {stop}",
            f"{__name__}:{part.__name__}",
            {"work": shared, "models": sent, "first": first, "stop": stop},
            cost=stop - first,
        )

    shared_pass(executor, item, work.batches, observers, advance=advance, keeping=keeping)


_loaded: dict[tuple[str, ...], Model] = {}
"""The models of this process that the last pass ran, by what tells them from others."""


def part(
    work: Shared[PassWork], models: tuple[SentModel, ...], first: int, stop: int
) -> dict[int, OfBatch]:
    """What some batches add to the findings, as the function of an item.

    Args:
        work: The pass.
        models: Its models.
        first: The first batch.
        stop: The batch after the last one.
    """
    given = work.get()
    share = Part(first, stop)
    given.run(_models(models, runs_head=given.runs_head), given.observers(), share, silent)
    return share.found


def _models(sent: Sequence[SentModel], *, runs_head: bool) -> list[Model]:
    """Models that were sent: those that the last pass ran are there, others are loaded.

    Raises:
        HeadscopeError: One of them is not the driver's.
    """
    for key in set(_loaded) - {model.key for model in sent}:
        del _loaded[key]
    models = []
    for model in sent:
        loaded = _loaded.get(model.key) or load(model.path())
        check = model.checked if runs_head else model.checked_encoder
        # One that is refused is not kept: the file may be put right.
        models.append(check(loaded))
        _loaded[model.key] = loaded
    return models


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
