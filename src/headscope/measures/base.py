"""What a measure is, and one pass over the data for any number of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from headscope.errors import HeadscopeError
from headscope.model.encoding import Encoded
from headscope.model.layer_maps import Batch, LayerMaps
from headscope.model.model import Model
from headscope.model.passes import run_pass
from headscope.model.precision import Precision
from headscope.model.transfer import to_host
from headscope.progress import Advance, silent
from headscope.registry import Registry
from headscope.stats.changes import share_change
from headscope.stats.means import mean_interval
from headscope.stats.paired import wilson
from headscope.words.align import Aligned

Values = Float[Tensor, "batch head"]
Estimate = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]
"""Mean over examples with the lower and the upper end of its 95% interval, each [layer, head]."""
SHARE = "share of examples"
"""The unit of a measure that is 0 or 1 for an example: its mean is a share."""
T = TypeVar("T")
Preparation = Callable[[Batch, Sequence[Aligned]], T]
"""(batch, the words of its examples) -> what measures need of these words: masks, pairs of tokens.
"""


class Prepared:
    """What preparations made of one batch.

    A preparation runs when a measure first asks for it, and once: measures share its work.

    Args:
        batch: The batch.
        words: The words of its examples, one entry an example.
    """

    def __init__(self, batch: Batch, words: Sequence[Aligned]) -> None:
        self._batch = batch
        self._words = words
        self._made: dict[Preparation[Any], Any] = {}

    def get(self, preparation: Preparation[T]) -> T:
        """What this preparation made of the batch."""
        if preparation not in self._made:
            self._made[preparation] = preparation(self._batch, self._words)
        made: T = self._made[preparation]
        return made


@dataclass(frozen=True)
class Measure:
    """A number per head and example, averaged over examples.

    Attributes:
        unit: The number's unit; `SHARE` for values 0 and 1, whose mean has Wilson's interval.
        update: One layer's maps of one batch -> the values [batch, head], NaN where an example has
            none. It must not change the maps. Its docstring is the definition that the report
            shows.
    """

    unit: str
    update: Callable[[LayerMaps], Values]

    def values(self, maps: LayerMaps, prepared: Prepared) -> Values:  # noqa: ARG002
        """The measure of every head on every example of the batch."""
        return self.update(maps)


@dataclass(frozen=True)
class WordMeasure(Generic[T]):
    """A measure that looks at words or pairs of tokens.

    Attributes:
        unit: The number's unit.
        update: As that of `Measure`; its second argument is what `preparation` made of the batch.
        preparation: Finds what the measure looks at, once a batch. Measures with the same
            preparation share its work.
    """

    unit: str
    update: Callable[[LayerMaps, T], Values]
    preparation: Preparation[T]

    def values(self, maps: LayerMaps, prepared: Prepared) -> Values:
        """The measure of every head on every example of the batch."""
        return self.update(maps, prepared.get(self.preparation))


AnyMeasure = Measure | WordMeasure[Any]
MEASURES: Registry[AnyMeasure] = Registry("measure")

FAITHFUL: dict[str, AnyMeasure] = {}
"""The forms of the paper's notebook, where it differs from the paper or from what is right, by the
measure's name.
"""


@dataclass(frozen=True)
class Moments:
    """Counts, sums and sums of squares over examples, [layer, head]. Exact in shards: they add up.

    Attributes:
        n: How many examples have a value.
        total: The sum of the values.
        squares: The sum of their squares.
    """

    n: npt.NDArray[np.float64]
    total: npt.NDArray[np.float64]
    squares: npt.NDArray[np.float64]

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(self.n + other.n, self.total + other.total, self.squares + other.squares)

    def compute(self) -> Estimate:
        """The mean with Student's t interval; see `mean_interval` for where it has none."""
        return mean_interval(self.n, self.total, self.squares)

    def share(self) -> Estimate:
        """Of values 0 and 1 the mean with Wilson's interval.

        Raises:
            HeadscopeError: There are other values.
        """
        if (self.total != self.squares).any():
            raise HeadscopeError(
                f"a measure in the unit {SHARE!r} has values other than 0 and 1, so its mean is no "
                "share: register it with another unit"
            )
        n = np.where(self.n > 0, self.n, np.nan)
        low, high = wilson(self.total, n)
        return self.total / n, low, high

    def share_change(self) -> Estimate:
        """Of differences of values 0 and 1 the mean with Tango's score interval."""
        n = np.where(self.n > 0, self.n, np.nan)
        # The total is won - lost, the squares are won + lost.
        lost, won = (self.squares - self.total) / 2, (self.squares + self.total) / 2
        low, high = share_change(lost, won, n)
        return self.total / n, low, high


class MomentSums:
    """The moments of several measures, added up while a pass runs.

    Values wait on the device until their batch has passed, so that the host need not wait for every
    layer: `finish` brings them over.

    Args:
        names: The measures' names.
        layers: The model's layers.
        heads: The heads of a layer.
    """

    def __init__(self, names: Sequence[str], layers: int, heads: int) -> None:
        self._names = list(names)
        # [moment, measure, layer, head]
        self._sums = np.zeros((3, len(self._names), layers, heads))
        self._waiting: list[tuple[int, slice, Tensor]] = []

    def add(
        self,
        layer: int,
        values: Float[Tensor, "measure batch head"],
        heads: slice = slice(None),
    ) -> None:
        """Count the values of one layer of one batch, of all heads or a block; NaN is no value."""
        self._waiting.append((layer, heads, values))

    def finish(self) -> None:
        """Add what waits on the device to the sums."""
        waiting, self._waiting = self._waiting, []
        tensors = [values for _, _, values in waiting]
        for (layer, heads, _), numbers in zip(waiting, to_host(tensors), strict=True):
            values = numbers.astype(np.float64)
            has_value = ~np.isnan(values)
            values = np.where(has_value, values, 0.0)
            self._sums[0, :, layer, heads] += has_value.sum(1)
            self._sums[1, :, layer, heads] += values.sum(1)
            self._sums[2, :, layer, heads] += (values**2).sum(1)

    def state(self) -> dict[str, npt.NDArray[np.float64]]:
        """The sums, for a pass that is to be resumed."""
        return {"sums": self._sums}

    def moments(self) -> dict[str, Moments]:
        """The moments so far, by measure."""
        self.finish()
        n, total, squares = self._sums.copy()
        return {
            name: Moments(n[measure], total[measure], squares[measure])
            for measure, name in enumerate(self._names)
        }


class Measures:
    """Measures by name, with the words that they look at.

    Args:
        names: The measures' names.
        words: The words of every example (`words.align`), for measures that look at words.
        faithful: Whether to take the forms of the paper's notebook where there is one.

    Raises:
        HeadscopeError: A measure is unknown, or looks at words and there are none.
    """

    def __init__(
        self, names: Sequence[str], words: Sequence[Aligned] | None, *, faithful: bool = False
    ) -> None:
        self.names = list(names)
        self._measures = [MEASURES.get(name) for name in names]
        if faithful:
            forms = zip(names, self._measures, strict=True)
            self._measures = [FAITHFUL.get(name, measure) for name, measure in forms]
        if words is None and any(isinstance(measure, WordMeasure) for measure in self._measures):
            raise HeadscopeError(
                "these measures look at words: give the words of the examples (words.align)"
            )
        self._words = words

    def prepare(self, batch: Batch) -> Prepared:
        """What the measures need of the words of the batch."""
        words = [] if self._words is None else [self._words[row] for row in batch.examples]
        prepared = Prepared(batch, words)
        # Now, not when a layer asks for it: then the device would wait.
        for measure in self._measures:
            if isinstance(measure, WordMeasure):
                prepared.get(measure.preparation)
        return prepared

    def values(self, maps: LayerMaps, prepared: Prepared) -> Float[Tensor, "measure batch head"]:
        """All measures of one layer of one batch."""
        if not self._measures:
            return maps.maps.new_empty(0, *maps.maps.shape[:2])
        return torch.stack([measure.values(maps, prepared) for measure in self._measures])


class MeasureObserver:
    """Sums up measures over the examples of a pass.

    Args:
        measures: The measures.
        layers: The model's layers.
        heads: The heads of a layer.
    """

    heads_by_themselves = True

    def __init__(self, measures: Measures, layers: int, heads: int) -> None:
        self.prepare = measures.prepare
        self._measures = measures
        self._sums = MomentSums(measures.names, layers, heads)

    def see(self, maps: LayerMaps, prepared: Prepared) -> None:
        """Measure one layer of one batch."""
        self._sums.add(maps.layer, self._measures.values(maps, prepared), maps.heads)

    def finish(self) -> None:
        """Add up the batch."""
        self._sums.finish()

    def state(self) -> dict[str, npt.NDArray[np.float64]]:
        """The sums, for a pass that is to be resumed."""
        return self._sums.state()

    def moments(self) -> dict[str, Moments]:
        """What was measured, by name."""
        return self._sums.moments()


def measure(
    model: Model,
    encoded: Encoded,
    names: Sequence[str],
    *,
    words: Sequence[Aligned] | None = None,
    faithful: bool = False,
    batch_tokens: int | None = None,
    precision: Precision = "auto",
    advance: Advance = silent,
) -> dict[str, Moments]:
    """All the named measures in one pass.

    Args:
        model: The model.
        encoded: The examples.
        names: The measures' names.
        words: The words of every example (`words.align`), for measures that look at words.
        faithful: Whether to take the forms of the paper's notebook where there is one.
        batch_tokens: The most tokens in a batch, padding included; by default what fits.
        precision: The model's precision; measures compute in float32.
        advance: Is told how many examples are done.

    Returns:
        The moments of every measure over the examples, by name.

    Raises:
        HeadscopeError: A measure is unknown, or looks at words and there are none.
    """
    measures = Measures(names, words, faithful=faithful)
    observer = MeasureObserver(measures, model.layers, model.heads)
    run_pass(
        model,
        encoded,
        [observer],
        batch_tokens=batch_tokens,
        precision=precision,
        advance=advance,
    )
    return observer.moments()
