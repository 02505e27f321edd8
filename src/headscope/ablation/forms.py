"""How sets of disabled heads are scored: the interface of a form, and the plainest form."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from headscope.ablation.plan import Unit
from headscope.ablation.sets import NamedSet, SetResult, first_layer
from headscope.axes import HeadSet
from headscope.model.encoding import Encoded
from headscope.model.model import Model
from headscope.model.outputs import logits
from headscope.model.precision import Precision
from headscope.model.tap import Mode


class Form(ABC):
    """A way to score sets."""

    @abstractmethod
    def plan(self, sets: Sequence[NamedSet]) -> list[Unit]:
        """The units that the sets are scored in."""

    @abstractmethod
    def score(self, unit: Unit) -> list[SetResult]:
        """What every set of a unit puts out."""


@dataclass(frozen=True)
class OneByOne(Form):
    """The model itself, run once for every set.

    Attributes:
        model: A model of any family.
        encoded: The examples.
        mode: What a disabled head puts out.
        batch_tokens: How many tokens a batch has at most.
        precision: The number format.
    """

    model: Model
    encoded: Encoded
    mode: Mode
    batch_tokens: int
    precision: Precision

    def plan(self, sets: Sequence[NamedSet]) -> list[Unit]:
        """A unit for every set, in the order of their first layers."""
        ordered = sorted(sets, key=lambda named: first_layer(named[1]))
        return [Unit((named,)) for named in ordered]

    def score(self, unit: Unit) -> list[SetResult]:
        """What every set of a unit puts out."""
        return [self.score_set(name, heads) for name, heads in unit.sets]

    def score_set(self, name: str, heads: HeadSet) -> SetResult:
        """What the model puts out while a set of heads is disabled."""
        with self.model.disabled(heads, self.mode) as edit:
            outputs = logits(
                self.model,
                self.encoded,
                batch_tokens=self.batch_tokens,
                precision=self.precision,
            )
        return SetResult(name, heads, outputs, min(edit.change.values()))
