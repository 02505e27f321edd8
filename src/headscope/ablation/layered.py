"""A model that can be run from any of its layers on, under several sets of disabled heads at once:
the interface of what `stacked` scores with.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from headscope.axes import HeadSet
from headscope.model.encoding import Encoded
from headscope.model.model import Model

State = Any
"""What enters a layer for a batch; what it is, the kind of layers knows that made it. Read only."""


@dataclass(frozen=True)
class Batch:
    """The examples that go through a model together.

    Attributes:
        rows: Their row numbers in the data.
        columns: What the model is called with, each [batch, token].
        real: Which tokens are no padding.
        is_padded: Whether any is.
    """

    rows: list[int]
    columns: dict[str, Tensor]
    real: Bool[Tensor, "batch token"]
    is_padded: bool

    @staticmethod
    def of(encoded: Encoded, rows: Sequence[int], device: torch.device) -> "Batch":
        """The batch of the examples with these row numbers."""
        columns = encoded.batch(rows, device)
        lengths = encoded.lengths[list(rows)]
        is_padded = int(lengths.min()) < int(lengths.max())
        return Batch(list(rows), columns, columns["attention_mask"].bool(), is_padded)

    @property
    def tokens(self) -> int:
        """How many tokens it has, padding included."""
        return self.real.numel()


@dataclass(frozen=True)
class Removed:
    """Which heads are disabled in every row of a stack.

    Attributes:
        heads: Whether a head of a layer is disabled in a row.
        most: How many heads of each layer a row has disabled at most.
    """

    heads: Bool[Tensor, "row layer head"]
    most: tuple[int, ...]

    @staticmethod
    def of(sets: Sequence[Collection[Any]], model: Model) -> "Removed":
        """A row for every set of heads."""
        heads = np.zeros((len(sets), model.layers, model.heads), dtype=bool)
        for row, chosen in enumerate(sets):
            for head in chosen:
                heads[row][head.index] = True
        # Known without asking a GPU.
        most = heads.sum(2).max(0, initial=0).tolist()
        return Removed(torch.from_numpy(heads).to(model.hf.device), tuple(most))

    @property
    def layers(self) -> frozenset[int]:
        """The layers, from 0, in which any row may have a disabled head."""
        return frozenset(layer for layer, most in enumerate(self.most) if most)

    def __len__(self) -> int:
        return len(self.heads)

    def rows(self, chosen: Int[Tensor, " row"] | slice) -> "Removed":
        """Some of the rows, in this order."""
        return replace(self, heads=self.heads[chosen])

    def each(self, batch: int) -> "Removed":
        """Every row `batch` times: [set] to [set * batch]."""
        return replace(self, heads=self.heads.repeat_interleave(batch, 0))


@dataclass(frozen=True)
class Scored:
    """What a batch puts out under each set.

    Attributes:
        outputs: The classification head's outputs, in float32.
        change: How far the least moved head of each set moved, relative to its norm; infinite where
            that was not measured.
    """

    outputs: Float[Tensor, "set batch output"]
    change: Float[Tensor, "set"]


@dataclass(frozen=True)
class Picked:
    """Some examples of a batch, each perhaps several times.

    Attributes:
        state: What enters a layer for the whole batch.
        batch: The batch.
        examples: Which of its examples, from 0.
    """

    state: State
    batch: Batch
    examples: Int[Tensor, " row"]


class Layered(ABC):
    """A model that can be run from any layer on. Layers count from 0.

    Attributes:
        model: The model.
    """

    model: Model

    @abstractmethod
    def enter(self, batch: Batch) -> State:
        """What enters the first layer."""

    @abstractmethod
    def advance(
        self, state: State, batch: Batch, start: int, stop: int, heads: HeadSet = frozenset()
    ) -> State:
        """What enters layer `stop`, given what enters layer `start`, with these heads disabled."""

    @abstractmethod
    def branch(
        self,
        state: State,
        batch: Batch,
        start: int,
        removed: Removed,
        *,
        stack_tokens: int,
        measure: bool,
    ) -> Scored:
        """What a batch puts out under several sets.

        Args:
            state: What enters layer `start`, the same for all sets.
            batch: The batch.
            start: The layer.
            removed: A row for every set; of layers below `start` nothing is read.
            stack_tokens: Over how many tokens the sets are stacked at most.
            measure: Whether to measure how far heads move. The change is of the layers from `start`
                on.
        """

    @abstractmethod
    def rows(
        self, picked: Sequence[Picked], start: int, removed: Removed
    ) -> Float[Tensor, "row output"]:
        """What examples of some batches put out, each under a set of its own.

        Args:
            picked: The examples, with what enters layer `start`.
            start: The layer.
            removed: A row for every picked example, in their order.
        """

    @abstractmethod
    def rounded(self, dtype: torch.dtype) -> "Layered":
        """The same model computing in half precision; it takes the states of this one."""

    @abstractmethod
    def size(self, state: State) -> int:
        """How many bytes a state takes."""
