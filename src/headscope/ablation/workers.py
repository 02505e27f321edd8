"""Sets shared among devices: every device has a process of its own, which loads the model once and
scores the units that it is handed.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import torch

from headscope.ablation.joined_scorer import Joining, SetScorer, scorer_of
from headscope.ablation.plan import Unit, units
from headscope.ablation.scorer import Scorer
from headscope.ablation.sets import NamedSet, SetResult
from headscope.ablation.stacked import UNIT
from headscope.engine.executor import Item, as_completed
from headscope.engine.processes import Processes, process_number
from headscope.model.embedder import load_scored
from headscope.model.encoding import Encoded
from headscope.model.pooling import Pooling
from headscope.model.precision import Precision
from headscope.model.tap import Mode


@dataclass(frozen=True, eq=False)
class Work:
    """What a process needs to score units of sets.

    Attributes:
        path: The checkpoint's folder or hub name.
        labels: How many outputs its head has.
        devices: The device of every process.
        encoded: The examples.
        mode: What a disabled head puts out.
        batch_tokens: How many tokens a batch has at most; None for what fits.
        precision: The number format.
        memory: How many bytes of states each process keeps.
        unchanged: The outputs of the unchanged model; None for an embedder.
        means: The heads' mean outputs, for the mode "mean".
        pooling: How the states of an embedder become vectors; None for a head.
        joining: Which texts are of one example, where it has several.
        key: Tells this work from others.
    """

    path: str
    labels: int
    devices: tuple[str, ...]
    encoded: Encoded
    mode: Mode
    batch_tokens: int | None
    precision: Precision
    memory: int
    unchanged: npt.NDArray[np.float32] | None
    means: npt.NDArray[np.float32] | None = None
    pooling: Pooling | None = None
    joining: Joining | None = None
    key: str = field(default_factory=lambda: uuid4().hex)

    def scorer(self, device: str) -> SetScorer:
        """Load the model and make its scorer."""
        model = load_scored(self.path, self.labels, self.pooling, device)
        if self.means is not None:
            model.means = torch.from_numpy(self.means).to(model.hf.device)
        scorer = Scorer(
            model,
            self.encoded,
            self.mode,
            batch_tokens=self.batch_tokens,
            precision=self.precision,
            memory=self.memory,
            layers_kept=1,
            unchanged=self.unchanged,
            # What a scorer says is of its speed, not of its numbers.
            note=_say_nothing,
        )
        return scorer_of(scorer, self.joining)


def _say_nothing(_text: str) -> None:
    pass


_made: dict[str, SetScorer] = {}
"""The scorer of this process, by the key of its work."""


def score_unit(work: Work, unit: Unit) -> list[SetResult]:
    """What every set of a unit puts out, as the function of an item."""
    if work.key not in _made:
        _made.clear()
        _made[work.key] = work.scorer(work.devices[process_number() % len(work.devices)])
    return _made[work.key].score_unit(unit)


def score_together(
    work: Work, sets: Sequence[NamedSet], layers: int, *, done: Collection[str] = ()
) -> Iterator[SetResult]:
    """`Scorer.score` in a process for every device.

    The results come as they are ready, and are those of one scorer, to the bit where the devices
    are alike. The first exception ends it.

    Args:
        work: The model and the examples.
        sets: The sets with their names.
        layers: How many layers the model has.
        done: Names of sets that are left out.
    """
    items = []
    for number, unit in enumerate(units(sets, layers, UNIT)):
        if not all(name in done for name, _ in unit.sets):
            name = f"unit {number + 1} of {unit.sets[0][0]}"
            cost = len(unit.sets) * (layers - unit.trunk.layer)
            arguments = {"work": work, "unit": unit}
            items.append(Item(name, f"{__name__}:{score_unit.__name__}", arguments, cost=cost))
    if not items:
        return
    with Processes(len(work.devices)) as executor:
        for _, future in as_completed(items, executor):
            yield from (result for result in future.result() if result.name not in done)
