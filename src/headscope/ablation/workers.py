"""Sets shared among workers: every worker loads the model once and scores the units that it is
handed.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import torch

from headscope.ablation.joined_scorer import JoinedScorer, Joining, OneScorer, scorer_of
from headscope.ablation.plan import Unit
from headscope.ablation.scorer import Scorer
from headscope.ablation.sets import NamedSet, SetResult
from headscope.engine.executor import Executor, Item, Shared, as_completed
from headscope.engine.processes import process_number
from headscope.model.encoding import Encoded
from headscope.model.precision import Precision
from headscope.model.scored import OfVectors, Outputs
from headscope.model.sent import SentModel
from headscope.model.tap import Mode
from headscope.tasks.outputs import Logits


@dataclass(frozen=True, eq=False)
class Work:
    """What a worker needs to score units of sets as the driver would.

    Attributes:
        model: The checkpoint.
        outputs: What is scored of it.
        devices: The device of every process; none where each takes the best that it finds.
        encoded: The examples.
        mode: What a disabled head puts out.
        batch_tokens: How many tokens a batch has at most.
        precision: The number format.
        memory: How many bytes of states each worker keeps.
        layers_kept: For how many layers the states of an example are kept at most.
        unchanged: The outputs of the unchanged model.
        means: The heads' mean outputs, for the mode "mean".
        joining: Which texts are of one example, where it has several.
        key: Tells this work from others.
    """

    model: SentModel
    outputs: Outputs
    devices: tuple[str, ...]
    encoded: Encoded
    mode: Mode
    batch_tokens: int
    precision: Precision
    memory: int
    layers_kept: int
    unchanged: npt.NDArray[np.float32]
    means: npt.NDArray[np.float32] | None = None
    joining: Joining | None = None
    key: str = field(default_factory=lambda: uuid4().hex)

    @classmethod
    def of(
        cls,
        scorer: OneScorer,
        model: SentModel,
        outputs: Outputs,
        devices: tuple[str, ...] = (),
    ) -> "Work":
        """What a scorer of this process does, for others to do.

        Args:
            scorer: The scorer.
            model: Its model, as it is sent.
            outputs: What is scored of it.
            devices: The device of every process.
        """
        joining = scorer.joining if isinstance(scorer, JoinedScorer) else None
        own = _of_texts(scorer)
        means = own.model.means
        return cls(
            model=model,
            outputs=outputs,
            devices=devices,
            encoded=own.encoded,
            mode=own.mode,
            batch_tokens=own.batch_tokens,
            precision=own.precision,
            memory=own.memory,
            layers_kept=own.layers_kept,
            unchanged=own.unchanged,
            means=None if means is None else means.cpu().numpy(),
            joining=joining,
        )

    def scorer(self) -> OneScorer:
        """Load the model and make its scorer."""
        named = self.devices
        device = named[process_number() % len(named)] if named else None
        loaded = self.outputs.load(self.model.path(), device)
        # Of an embedder, the encoder is all.
        is_encoder = isinstance(self.outputs, OfVectors)
        check = self.model.checked_encoder if is_encoder else self.model.checked
        model = check(loaded)
        if self.means is not None:
            # What was sent may not be written to.
            model.means = torch.from_numpy(self.means.copy()).to(model.hf.device)
        scorer = Scorer(
            model,
            self.encoded,
            self.mode,
            batch_tokens=self.batch_tokens,
            precision=self.precision,
            memory=self.memory,
            layers_kept=self.layers_kept,
            unchanged=self.unchanged.copy(),
            # What a scorer says is of its speed, not of its numbers.
            note=_say_nothing,
        )
        return scorer_of(scorer, self.joining)


def _of_texts(scorer: OneScorer) -> Scorer:
    """What scores the texts, where an example has several."""
    return scorer.scorer if isinstance(scorer, JoinedScorer) else scorer


def _say_nothing(_text: str) -> None:
    pass


_made: dict[str, OneScorer] = {}
"""The scorer of this process, by the key of its work."""


def score_unit(work: Shared[Work], unit: Unit) -> list[SetResult]:
    """What every set of a unit puts out, as the function of an item."""
    given = work.get()
    if given.key not in _made:
        _made.clear()
        _made[given.key] = given.scorer()
    return _made[given.key].score_unit(unit)


class SpreadScorer:
    """Scores sets on the workers of an executor.

    A scorer of this process says which sets go together, so that the results are its own, to the
    bit where the workers' devices and numbers of threads are those of this process.

    Args:
        scorer: The scorer of this process.
        executor: What runs units, within its context.
        work: What the workers need.
    """

    def __init__(self, scorer: OneScorer, executor: Executor, work: Work) -> None:
        self.local, self._executor = scorer, executor
        self._work = executor.share(work)

    @property
    def unchanged(self) -> Logits:
        """The outputs with nothing disabled, [example, output]."""
        return self.local.unchanged

    def plan(self, sets: Sequence[NamedSet]) -> list[Unit]:
        """The units that the sets are scored in."""
        return self.local.plan(sets)

    def score(self, sets: Sequence[NamedSet], *, done: Collection[str] = ()) -> Iterator[SetResult]:
        """What the model puts out with each set disabled, as the results come.

        Args:
            sets: The sets with their names.
            done: Names of sets that are left out.

        Raises:
            HeadscopeError: What the first item raised that failed, or its worker was lost.
        """
        layers = _of_texts(self.local).model.layers
        items = []
        for number, unit in enumerate(self.plan(sets)):
            if not all(name in done for name, _ in unit.sets):
                name = f"unit {number + 1} of {unit.sets[0][0]}"
                cost = len(unit.sets) * (layers - unit.trunk.layer)
                arguments = {"work": self._work, "unit": unit}
                path = f"{__name__}:{score_unit.__name__}"
                items.append(Item(name, path, arguments, cost=cost))
        for _, future in as_completed(items, self._executor):
            yield from (result for result in future.result() if result.name not in done)


SetScorer = OneScorer | SpreadScorer
"""What scores sets of disabled heads: this process, or others for it."""
