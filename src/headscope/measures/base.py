"""What a measure is, and one pass over the data for any number of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Float
from torch import Tensor

from headscope.models import Model
from headscope.precision import Precision
from headscope.progress import Advance, silent
from headscope.registry import Registry
from headscope.statistics import mean_interval
from headscope.stream import BATCH_TOKENS, LayerMaps, stream
from headscope.tasks.encoding import Encoded


@dataclass(frozen=True)
class Measure:
    """A number per head and example, averaged over examples.

    `update(maps)` gives the values [batch, head] of one layer of one batch, NaN where an example has none; it must
    not change what it is given. `unit` is the value's unit. The docstring of `update` is the definition that the
    report shows.
    """

    unit: str
    update: Callable[[LayerMaps], Float[Tensor, "batch head"]]


MEASURES: Registry[Measure] = Registry("measure")


def definition(name: str) -> str:
    """What a measure is, in a sentence: the docstring of its `update`, with its unit."""
    one = MEASURES.get(name)
    return f"{' '.join((one.update.__doc__ or '').split())} Unit: {one.unit}."


@dataclass(frozen=True)
class Moments:
    """Counts, sums and sums of squares over examples, [layer, head]; they merge by addition, exact in shards."""

    n: npt.NDArray[np.float64]
    total: npt.NDArray[np.float64]
    squares: npt.NDArray[np.float64]

    @classmethod
    def zero(cls, layers: int, heads: int) -> "Moments":
        """No examples yet."""
        return cls(*(np.zeros((layers, heads)) for _ in range(3)))

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(self.n + other.n, self.total + other.total, self.squares + other.squares)

    def compute(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Mean over examples and its normal 95% interval, each [layer, head]."""
        return mean_interval(self.n, self.total, self.squares)


def measure(
    model: Model,
    encoded: Encoded,
    names: Sequence[str],
    *,
    batch_tokens: int = BATCH_TOKENS,
    precision: Precision = "auto",
    advance: Advance = silent,
) -> dict[str, Moments]:
    """All the named measures in one pass. Raises HeadscopeError for an unknown name."""
    wanted = {name: MEASURES.get(name) for name in names}
    sums = {name: Moments.zero(model.layers, model.heads) for name in wanted}

    def see(maps: LayerMaps) -> None:
        for name, one in wanted.items():
            values = one.update(maps).double().cpu().numpy()
            there = ~np.isnan(values)
            kept = np.where(there, values, 0.0)
            # In place: `sums` belongs to this call alone.
            sums[name].n[maps.layer] += there.sum(0)
            sums[name].total[maps.layer] += kept.sum(0)
            sums[name].squares[maps.layer] += (kept**2).sum(0)

    stream(model, encoded, see, batch_tokens=batch_tokens, precision=precision, advance=advance)
    return sums
