"""What a measure is, and one pass over the data for any number of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from headscope.errors import HeadscopeError
from headscope.model.encoding import Encoded
from headscope.model.model import Model
from headscope.model.passes import BATCH_TOKENS, Batch, LayerMaps, stream
from headscope.model.precision import Precision
from headscope.progress import Advance, silent
from headscope.registry import Registry
from headscope.stats.paired import mean_interval
from headscope.words.align import Aligned

Prepare = Callable[[Batch, Sequence[Aligned]], Mapping[str, Any]]
"""(batch, the words of its examples) -> what the measures of this kind find in `batch.extra`."""

See = Callable[[LayerMaps], None]
"""Is shown one layer of one batch after the other."""


@dataclass(frozen=True)
class Measure:
    """A number per head and example, averaged over examples.

    `update(maps)` gives the values [batch, head] of one layer of one batch, NaN where an example
    has none; it must not change what it is given. `unit` is the value's unit. The docstring of
    `update` is the definition that the report shows. `prepare`, for a measure that asks for words
    or pairs of tokens, makes from a batch and its examples' words what `update` finds in
    `maps.batch.extra`; measures that share it share its work.
    """

    unit: str
    update: Callable[[LayerMaps], Float[Tensor, "batch head"]]
    prepare: Prepare | None = None


MEASURES: Registry[Measure] = Registry("measure")

FAITHFUL: dict[str, Measure] = {}
"""The forms of the paper's notebook, where it differs from the paper or from what is right, by the
measure's name.
"""


@dataclass(frozen=True)
class Moments:
    """Counts, sums and sums of squares over examples, [layer, head]; they merge by addition, exact
    in shards.
    """

    n: npt.NDArray[np.float64]
    total: npt.NDArray[np.float64]
    squares: npt.NDArray[np.float64]

    @classmethod
    def zero(cls, layers: int, heads: int) -> "Moments":
        """No examples yet."""
        return cls(*(np.zeros((layers, heads)) for _ in range(3)))

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(self.n + other.n, self.total + other.total, self.squares + other.squares)

    def compute(
        self,
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Mean over examples and its normal 95% interval, each [layer, head]."""
        return mean_interval(self.n, self.total, self.squares)


class Tally:
    """Sums over examples of several measures while a pass runs; `moments` when it has ended."""

    def __init__(self, names: Sequence[str], layers: int, heads: int) -> None:
        self.names = list(names)
        self._sums = np.zeros((3, len(self.names), layers, heads))

    def add(self, layer: int, values: Float[Tensor, "measure batch head"]) -> None:
        """Count the values of one layer of one batch; NaN is no value."""
        given = values.double().cpu().numpy()
        there = ~np.isnan(given)
        kept = np.where(there, given, 0.0)
        for at, part in enumerate((there, kept, kept**2)):
            self._sums[at, :, layer] += part.sum(1)

    def moments(self) -> dict[str, Moments]:
        """The sums so far, by measure."""
        return {name: Moments(*self._sums[:, at].copy()) for at, name in enumerate(self.names)}


def preparing(
    measures: Sequence[Measure], words: Sequence[Aligned] | None
) -> Callable[[Batch], Batch]:
    """What `stream` calls once a batch, so that the measures find their words and pairs of tokens.

    words: the words of every example. Raises HeadscopeError when a measure needs them and there are
    none.
    """
    asked = list(dict.fromkeys(m.prepare for m in measures if m.prepare is not None))
    if asked and words is None:
        raise HeadscopeError(
            "these measures look at words: give the words of the examples (words.align)"
        )

    def prepare(batch: Batch) -> Batch:
        if words is None or not asked:
            return batch
        own = [words[i] for i in batch.examples]
        extra: dict[str, Any] = {}
        for one in asked:
            extra.update(one(batch, own))
        return replace(batch, extra=extra)

    return prepare


def values_of(measures: Sequence[Measure], maps: LayerMaps) -> Float[Tensor, "measure batch head"]:
    """The values of all measures for one layer of one batch."""
    return torch.stack([one.update(maps) for one in measures])


def measure(
    model: Model,
    encoded: Encoded,
    names: Sequence[str],
    *,
    words: Sequence[Aligned] | None = None,
    faithful: bool = False,
    also: See | None = None,
    batch_tokens: int = BATCH_TOKENS,
    precision: Precision = "auto",
    advance: Advance = silent,
) -> dict[str, Moments]:
    """All the named measures in one pass.

    words: the words of every example (`words.align`), for measures that look at words. faithful:
    the forms of the paper's notebook where there is one. also: is shown the same maps. Raises
    HeadscopeError for an unknown name.
    """
    chosen = find_measures(names, faithful=faithful)
    tally = Tally(names, model.layers, model.heads)

    def see(maps: LayerMaps) -> None:
        if chosen:
            tally.add(maps.layer, values_of(chosen, maps))
        if also is not None:
            also(maps)

    stream(
        model,
        encoded,
        see,
        prepare=preparing(chosen, words),
        batch_tokens=batch_tokens,
        precision=precision,
        advance=advance,
    )
    return tally.moments()


def find_measures(names: Sequence[str], *, faithful: bool = False) -> list[Measure]:
    """The measures of these names, in the notebook's form where one is asked for and there is
    one.
    """
    found = [MEASURES.get(name) for name in names]
    return [
        FAITHFUL.get(name, one) if faithful else one for name, one in zip(names, found, strict=True)
    ]
