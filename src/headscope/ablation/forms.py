"""How sets of disabled heads are scored: the interface of a form, and the form for any family."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from headscope.ablation.lower_layers import LowerLayers
from headscope.ablation.sets import NamedSet, SetResult, first_layer
from headscope.axes import HeadSet
from headscope.model.encoding import Encoded
from headscope.model.model import Model
from headscope.model.outputs import logits
from headscope.model.precision import Precision
from headscope.model.tap import Mode


@dataclass(frozen=True)
class Unit:
    """Sets that are scored together.

    The outputs of a set are the same to the bit whenever its unit is scored, but not in another
    unit: products of other shapes round otherwise.

    Attributes:
        sets: The sets, at least one.
        batch_tokens: Over how many tokens of the data a batch goes at most.
    """

    sets: tuple[NamedSet, ...]
    batch_tokens: int


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
        lower: What lies below the first disabled head, if that is to be computed once.
    """

    model: Model
    encoded: Encoded
    mode: Mode
    batch_tokens: int
    precision: Precision
    lower: LowerLayers | None = None

    def plan(self, sets: Sequence[NamedSet]) -> list[Unit]:
        """A unit for every set, in the order of their first layers."""
        ordered = sorted(sets, key=lambda named: first_layer(named[1]))
        return [Unit((named,), self.batch_tokens) for named in ordered]

    def score(self, unit: Unit) -> list[SetResult]:
        """What every set of a unit puts out."""
        return [self.score_set(name, heads) for name, heads in unit.sets]

    def score_set(self, name: str, heads: HeadSet) -> SetResult:
        """What the model puts out while a set of heads is disabled."""
        first = first_layer(heads)

        def below(rows: tuple[int, ...]) -> AbstractContextManager[None]:
            return nullcontext() if self.lower is None else self.lower.below(first, rows)

        with self.model.disabled(heads, self.mode) as edit:
            outputs = logits(
                self.model,
                self.encoded,
                batch_tokens=self.batch_tokens,
                precision=self.precision,
                each=below,
            )
        return SetResult(name, heads, outputs, min(edit.change.values()))
