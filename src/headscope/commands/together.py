"""What `disable` does with heads together: all pairs of heads, and Shapley values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from headscope.ablation.interactions import InteractionRow, interaction_rows, pair_sets
from headscope.ablation.sets import NamedSet, parse_sets
from headscope.ablation.shapley import (
    PAIRS,
    Order,
    ShapleyRow,
    orders,
    shapley_rows,
    walked_sets,
)
from headscope.ablation.together import loss_rises, loss_unit, many_heads, together_rows
from headscope.axes import HeadSet, all_heads
from headscope.commands.ablation import (
    OUTPUTS,
    Scoring,
    keep_outputs,
    no_outputs,
    write_effects,
)
from headscope.commands.packed import Packs, packed_results
from headscope.errors import HeadscopeError
from headscope.model.model import Model
from headscope.model.tap import Mode
from headscope.results.run import Run
from headscope.stats.groups import Groups
from headscope.tasks.base import Task

Rises = Mapping[HeadSet, np.ndarray]
MOST_ORDERS = 10_000


@dataclass(frozen=True, eq=False)
class Conditions:
    """Under which losses rose, and how the rises are tested.

    Attributes:
        mode: What a disabled head puts out.
        unit: Of the loss.
        seed: Of orders and tests.
        groups: Which examples are of one case; None where each is its own.
    """

    mode: Mode
    unit: str
    seed: int
    groups: Groups | None


@runtime_checkable
class Together(Protocol):
    """What `--heads` asks of heads that are disabled together."""

    @property
    def spec(self) -> str:
        """`--heads` with every default said."""

    @property
    def table(self) -> str:
        """The table that is written."""

    def sets(self, model: Model, seed: int) -> list[NamedSet]:
        """The sets that are scored for it beside single heads."""

    def rows(
        self, model: Model, rises: Rises, conditions: Conditions
    ) -> Sequence[InteractionRow] | Sequence[ShapleyRow]:
        """The rows of its table, from by how much each set raises the losses."""


@dataclass(frozen=True)
class Pairs:
    """All pairs of heads."""

    spec = "pairs"
    table = "interactions"

    def sets(self, model: Model, seed: int) -> list[NamedSet]:  # noqa: ARG002
        """Every pair."""
        return pair_sets(model.layers, model.heads)

    def rows(self, model: Model, rises: Rises, conditions: Conditions) -> list[InteractionRow]:
        """A row per pair."""
        pairs = self.sets(model, conditions.seed)
        return interaction_rows(
            rises,
            pairs,
            mode=conditions.mode,
            unit=conditions.unit,
            seed=conditions.seed,
            groups=conditions.groups,
        )


@dataclass(frozen=True)
class Shapley:
    """Shapley values from so many antithetic pairs of orders."""

    pairs: int
    table = "shapley"

    @property
    def spec(self) -> str:
        """`--heads` with the number of pairs."""
        return f"shapley:{self.pairs}"

    def sets(self, model: Model, seed: int) -> list[NamedSet]:
        """The sets on the way through all orders."""
        return walked_sets(self._orders(model, seed))

    def rows(self, model: Model, rises: Rises, conditions: Conditions) -> list[ShapleyRow]:
        """A row per head."""
        walked = self._orders(model, conditions.seed)
        return shapley_rows(
            rises,
            walked,
            mode=conditions.mode,
            unit=conditions.unit,
            groups=conditions.groups,
        )

    def _orders(self, model: Model, seed: int) -> list[Order]:
        return orders(model.layers, model.heads, self.pairs, seed)


def parse_together(spec: str) -> Together | None:
    """What a `--heads` asks of heads together; None where it asks for sets.

    Raises:
        HeadscopeError: It begins with pairs or shapley, and is not understood.
    """
    word, colon, number = spec.partition(":")
    if word not in ("pairs", "shapley"):
        return None
    if not colon:
        return Pairs() if word == "pairs" else Shapley(PAIRS)
    is_number = number.isdecimal() and len(number) < 10
    if word == "shapley" and is_number and 1 <= int(number) <= MOST_ORDERS:
        return Shapley(int(number))
    raise HeadscopeError(
        f"--heads {spec[:60]!r} is not understood: write pairs, shapley, or shapley:{PAIRS} for "
        f"{PAIRS} antithetic pairs of orders (1 to {MOST_ORDERS:,})"
    )


def kept_rises(folder: Path, task: Task) -> Rises:
    """By how much each set of a complete run raises the loss of every example.

    Args:
        folder: The run's.
        task: Its task.

    Raises:
        HeadscopeError: The folder does not hold what the model puts out.
    """
    run = Run(folder)
    outputs, results = run.saved_arrays(OUTPUTS), packed_results(run)
    if outputs is None or not results:
        raise no_outputs(folder)
    return loss_rises(task, outputs["labels"], outputs["logits"], results)


def write_together(scoring: Scoring, run: Run, asked: Together) -> tuple[str, ...]:
    """Score single heads and what is asked for; write `disabled`, `selection`, `together` and the
    table that is asked for.

    Losses are in float32 unless bfloat16 is asked for: what rounding does to a loss is not small
    beside an interaction.

    Args:
        scoring: The model and the examples.
        run: Where results are saved and tables are written.
        asked: Pairs, or Shapley values.

    Returns:
        Notes for the record.
    """
    session, mode = scoring.session, scoring.mode
    task, labels, seed = session.task, session.validation.labels, session.settings.seed
    is_auto = scoring.precision == "auto"
    # A search through many depths comes back to lower layers, so that all of them are kept.
    scoring = replace(scoring, precision="fp32" if is_auto else scoring.precision, layers_kept=None)
    model = scoring.model
    keep_outputs(run, scoring.unchanged, labels)
    scoring.measure_means()
    packs = Packs(run, scoring)
    every = all_heads(model.layers, model.heads)
    singles = parse_sets("each", model.layers, model.heads)
    names = {name for name, _ in singles}
    more = [named for named in asked.sets(model, seed) if named[0] not in names]
    results = packs.score([*singles, *more], "disabling heads together")
    rises = loss_rises(task, labels, scoring.unchanged, results)
    many = packs.score(many_heads(rises, every), "disabling many heads")
    rises |= loss_rises(task, labels, scoring.unchanged, many)
    write_effects(session, run, results[: len(singles)], scoring.unchanged, mode)
    groups = session.groups
    beside = together_rows(task, labels, scoring.unchanged, many, rises, mode=mode, groups=groups)
    run.table("together", beside, **session.names)
    rows = asked.rows(model, rises, Conditions(mode, loss_unit(task), seed, groups))
    run.table(asked.table, rows, **session.names)
    if not is_auto:
        return ()
    return (
        "Losses of heads together are computed in float32 with --precision auto as well: half "
        "precision keeps predictions, not losses",
    )
