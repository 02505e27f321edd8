"""Shares of the patterns: counted, corrected for the classifier's confusion, with intervals for
both kinds of chance.

A classifier that takes a tenth of the blocks for heterogeneous moves the shares. Adjusted counting
(Forman 2008; here for several classes) solves `counted = true @ confusion` for the true shares. The
interval resamples the examples and, independently, the annotated maps from which the confusion is
known, in groups that belong together. Pure NumPy.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from headscope.names import CLASSES

RESAMPLES = 1000
_PRIOR = 0.5


@dataclass(frozen=True)
class Share:
    """The share of every class among some maps, with 95% intervals. Arrays are [class].

    Attributes:
        raw: The shares as counted.
        raw_low: Their intervals' lower ends.
        raw_high: Their intervals' upper ends.
        corrected: The shares corrected for the classifier's confusion.
        low: The lower ends of the corrected shares' intervals.
        high: The upper ends of the corrected shares' intervals.
        n: The maps counted.
        examples: The examples they are of.
    """

    raw: Float[np.ndarray, "class"]
    raw_low: Float[np.ndarray, "class"]
    raw_high: Float[np.ndarray, "class"]
    corrected: Float[np.ndarray, "class"]
    low: Float[np.ndarray, "class"]
    high: Float[np.ndarray, "class"]
    n: int
    examples: int


def confusion_rates(
    groups: Int[np.ndarray, "group class class"],
) -> Float[np.ndarray, "class class"]:
    """Of every true class, the share that is predicted as each class; rows sum to 1.

    Half a count is added on the diagonal, so that a class without a map counts as recognised.

    Args:
        groups: Counts [true class, predicted class] of every group of annotated maps.
    """
    return _rates(groups.sum(0))


def resampled_rates(
    groups: Int[np.ndarray, "group class class"],
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> Float[np.ndarray, "resample class class"]:
    """Confusion rates of annotated sets resampled by group."""
    count = len(groups)
    weights = rng.multinomial(count, np.full(count, 1 / count), size=resamples)
    return _rates(np.einsum("rg,gij->rij", weights, groups))


def _rates(counts: Int[np.ndarray, "*set class class"]) -> Float[np.ndarray, "*set class class"]:
    smoothed = counts + _PRIOR * np.eye(counts.shape[-1])
    return np.asarray(smoothed / smoothed.sum(-1, keepdims=True))


def corrected(
    raw: Float[np.ndarray, "row class"], rates: Float[np.ndarray, "row class class"]
) -> Float[np.ndarray, "row class"]:
    """The shares that explain what was counted: `raw = shares @ rates`, moved to the nearest shares
    that are none negative and sum to 1.
    """
    solved = np.linalg.solve(np.swapaxes(rates, -1, -2), raw[..., None])[..., 0]
    return simplex(solved)


def simplex(x: Float[np.ndarray, "row class"]) -> Float[np.ndarray, "row class"]:
    """The nearest point (Euclidean) whose entries are none negative and sum to 1, for every row.

    >>> simplex(np.array([[0.6, 0.6, -0.2]])).tolist()
    [[0.5, 0.5, 0.0]]
    """
    # The same number is taken off all entries, and what falls below 0 becomes 0. With the k largest
    # kept, it is their sum minus 1, over k; k is the most entries that all stay above 0.
    descending = np.sort(x, -1)[:, ::-1]
    excess = np.cumsum(descending, -1) - 1
    kept = (descending - excess / np.arange(1, x.shape[-1] + 1) > 0).sum(-1)
    cut = np.take_along_axis(excess, kept[:, None] - 1, -1) / kept[:, None]
    return np.asarray(np.maximum(x - cut, 0))


def shares(
    counts: Int[np.ndarray, "scope example class"],
    groups: Int[np.ndarray, "group class class"],
    seed: int,
) -> list[Share]:
    """The shares in several scopes (a head, a layer, the model) of the same examples.

    Examples are resampled whole, since the maps of one example are not independent, and alike in
    all scopes.

    Args:
        counts: How many maps of a class an example has in a scope; none where it is too short.
        groups: Counts [true class, predicted class] of every group of annotated maps.
        seed: Random seed of the resampling.
    """
    examples = counts.shape[1]
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(examples, np.full(examples, 1 / examples), size=RESAMPLES)
    rates = confusion_rates(groups)
    rates_drawn = resampled_rates(groups, rng)
    # [scope, resample, class]
    drawn = np.einsum("re,sec->src", weights.astype(np.float64), counts, optimize=True)
    return [
        _share(of_scope, drawn_in_scope, rates, rates_drawn)
        for of_scope, drawn_in_scope in zip(counts, drawn, strict=True)
    ]


def _share(
    counts: Int[np.ndarray, "example class"],
    drawn: Float[np.ndarray, "resample class"],
    rates: Float[np.ndarray, "class class"],
    rates_drawn: Float[np.ndarray, "resample class class"],
) -> Share:
    """The shares in one scope; `drawn` holds the counts of the resamples."""
    total = counts.sum(0)
    raw = total / total.sum()
    # A resample may miss the few examples that count.
    counts_some = drawn.sum(1) > 0
    raw_drawn = drawn[counts_some] / drawn[counts_some].sum(1, keepdims=True)
    corrected_drawn = corrected(raw_drawn, rates_drawn[counts_some])
    raw_low, raw_high = np.quantile(raw_drawn, [0.025, 0.975], axis=0)
    low, high = np.quantile(corrected_drawn, [0.025, 0.975], axis=0)
    return Share(
        raw=raw,
        raw_low=raw_low,
        raw_high=raw_high,
        corrected=corrected(raw[None], rates[None])[0],
        low=low,
        high=high,
        n=int(total.sum()),
        examples=int((counts.sum(1) > 0).sum()),
    )


def counted(
    classes: Int[np.ndarray, "example layer head"],
) -> Int[np.ndarray, "scope example class"]:
    """Maps by class and example in every scope: the model, then its layers, then its heads, layer
    by layer.
    """
    # [example, layer, head, class]
    one_hot = (classes[..., None] == np.arange(len(CLASSES))).astype(np.int64)
    layers = np.moveaxis(one_hot.sum(2), 1, 0)
    heads = one_hot.reshape(len(one_hot), -1, len(CLASSES)).swapaxes(0, 1)
    return np.concatenate([layers.sum(0)[None], layers, heads])
