"""Shares of the patterns: counted, with intervals for the chance in the examples and for what the
classifier leaves open.

An uncertain map has several plausible classes. However its class is settled, the share of a class
lies between that of the maps of which it is the only plausible class and that of the maps of which
it is a plausible one: bounds as for partly identified shares (Manski 2003), which narrow with more
certain maps but not with more examples. Pure NumPy.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from headscope.names import CLASSES

RESAMPLES = 1000


@dataclass(frozen=True)
class Counts:
    """How many maps an example has in a scope, by class; none where it is too short.

    Attributes:
        most_probable: Of which the class is the most probable.
        only: Of which it is the only plausible class.
        plausible: Of which it is a plausible class.
    """

    most_probable: Int[np.ndarray, "scope example class"]
    only: Int[np.ndarray, "scope example class"]
    plausible: Int[np.ndarray, "scope example class"]


@dataclass(frozen=True)
class Share:
    """The share of every class among some maps, with 95% intervals. Arrays are [class].

    Attributes:
        share: The shares as counted.
        low: The lower ends of their intervals, for the chance in the examples.
        high: The upper ends.
        lower: The lower ends for what the classifier leaves open too.
        upper: The upper ends.
        n: The maps counted.
        examples: The examples they are of.
    """

    share: Float[np.ndarray, "class"]
    low: Float[np.ndarray, "class"]
    high: Float[np.ndarray, "class"]
    lower: Float[np.ndarray, "class"]
    upper: Float[np.ndarray, "class"]
    n: int
    examples: int


def shares(counts: Counts, seed: int) -> list[Share]:
    """The shares in several scopes (a head, a layer, the model) of the same examples.

    Examples are resampled whole, since the maps of one example are not independent, and alike in
    all scopes.

    Args:
        counts: How many maps of a class an example has in a scope.
        seed: Random seed of the resampling.
    """
    examples = counts.most_probable.shape[1]
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(examples, np.full(examples, 1 / examples), size=RESAMPLES)
    kinds = (counts.most_probable, counts.only, counts.plausible)
    # [kind, scope, resample, class]
    drawn = [
        np.einsum("re,sec->src", weights.astype(np.float64), kind, optimize=True) for kind in kinds
    ]
    return [
        _share(counts.most_probable[scope], *(kind[scope] for kind in drawn))
        for scope in range(len(counts.most_probable))
    ]


def _share(
    counts: Int[np.ndarray, "example class"],
    drawn: Float[np.ndarray, "resample class"],
    only: Float[np.ndarray, "resample class"],
    plausible: Float[np.ndarray, "resample class"],
) -> Share:
    """The shares in one scope; `drawn`, `only` and `plausible` hold the counts of the resamples."""
    total = counts.sum(0)
    # A resample may miss the few examples that count.
    counts_some = drawn.sum(1) > 0
    maps = drawn[counts_some].sum(1, keepdims=True)
    low, high = np.quantile(drawn[counts_some] / maps, [0.025, 0.975], axis=0)
    return Share(
        share=total / total.sum(),
        low=low,
        high=high,
        lower=np.quantile(only[counts_some] / maps, 0.025, axis=0),
        upper=np.quantile(plausible[counts_some] / maps, 0.975, axis=0),
        n=int(total.sum()),
        examples=int((counts.sum(1) > 0).sum()),
    )


def counted(
    classes: Int[np.ndarray, "example layer head"],
    plausible: Bool[np.ndarray, "example layer head class"],
) -> Counts:
    """Maps by class and example in every scope: the model, then its layers, then its heads, layer
    by layer.

    Args:
        classes: The most probable class of every map, -1 for a map without a class.
        plausible: The plausible classes of every map, none for a map without a class.
    """
    is_only = plausible & (plausible.sum(-1, keepdims=True) == 1)
    return Counts(
        _by_scope(classes[..., None] == np.arange(len(CLASSES))),
        _by_scope(is_only),
        _by_scope(plausible),
    )


def _by_scope(
    of_maps: Bool[np.ndarray, "example layer head class"],
) -> Int[np.ndarray, "scope example class"]:
    numbers = of_maps.astype(np.int64)
    layers = np.moveaxis(numbers.sum(2), 1, 0)
    heads = numbers.reshape(len(numbers), -1, len(CLASSES)).swapaxes(0, 1)
    return np.concatenate([layers.sum(0)[None], layers, heads])
