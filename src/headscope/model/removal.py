"""Which heads are removed from a model, and what stands in their place: the value that searches,
repairs and writers of checkpoints share.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor

from headscope.axes import Head, HeadSet, check_inside, head_set
from headscope.errors import HeadscopeError
from headscope.model.model import Model
from headscope.model.tap import Edit, Mode


@dataclass(frozen=True, eq=False)
class Removal:
    """Heads that are removed together.

    Attributes:
        heads: The heads, counted from 1; at least one.
        mode: What stands in their place: nothing ("zero"), their mean output ("mean"), or the mean
            of their values over the real tokens of a text ("uniform").
        means: The mean outputs of all heads of the model, for the mode "mean".
    """

    heads: HeadSet
    mode: Mode
    means: Float[Tensor, "layer head d"] | None = None

    def __post_init__(self) -> None:
        if not self.heads:
            raise HeadscopeError("no head is to be removed: name at least one, as in L7H6")
        if self.mode == "mean" and self.means is None:
            raise HeadscopeError(
                "heads are replaced by their mean outputs, and these are not known: call "
                "model.measure_means(batches) first"
            )

    @classmethod
    def of(cls, model: Model, heads: str | Head | Iterable[Head | str], mode: Mode) -> "Removal":
        """The removal of heads of a model, with the means that it holds.

        >>> Removal.of(model, "L1H2,L7H6", "zero")                # doctest: +SKIP

        Raises:
            HeadscopeError: A head does not exist, or the means are not known.
        """
        wanted = head_set(heads)
        check_inside(wanted, model.layers, model.heads)
        return cls(wanted, mode, model.means if mode == "mean" else None)

    def kept(self, layers: int, heads: int) -> tuple[tuple[int, ...], ...]:
        """The heads that stay in every layer of a model, counted from 0.

        >>> Removal(head_set("L1H2,L2H1"), "zero").kept(2, 2)
        ((0,), (1,))
        """
        check_inside(self.heads, layers, heads)
        return tuple(
            tuple(head for head in range(heads) if Head.at(layer, head) not in self.heads)
            for layer in range(layers)
        )

    @contextmanager
    def applied(self, model: Model) -> Iterator[Edit]:
        """While the context is open, the heads of the model are disabled in this way: what every
        checkpoint without them must put out.
        """
        edit = replace(model.edit(self.heads, "zero"), mode=self.mode, means=self.means)
        with model.tap.edited(edit):
            yield edit
