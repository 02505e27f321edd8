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
    """The share of every class among some maps, [class], with 95% intervals; `n` maps of `examples`
    examples.
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
    """Of every true class, the share that is predicted as each class, rows summing to 1.

    Half a count is added on the diagonal, so that a class without a map counts as recognised.
    """
    counts = groups.sum(0) + _PRIOR * np.eye(groups.shape[-1])
    return np.asarray(counts / counts.sum(1, keepdims=True))


def corrected(
    raw: Float[np.ndarray, "row class"], rates: Float[np.ndarray, "row class class"]
) -> Float[np.ndarray, "row class"]:
    """The shares that explain what was counted: `raw = shares @ rates`, moved to the nearest shares
    that are none negative and sum to 1.
    """
    solved = np.linalg.solve(np.swapaxes(rates, -1, -2), raw[..., None])[..., 0]
    return simplex(solved)


def simplex(x: Float[np.ndarray, "row class"]) -> Float[np.ndarray, "row class"]:
    """The nearest point (Euclidean) whose entries are none negative and sum to 1, for every row."""
    ordered = np.sort(x, -1)[:, ::-1]
    excess = np.cumsum(ordered, -1) - 1
    kept = (ordered - excess / np.arange(1, x.shape[-1] + 1) > 0).sum(-1)
    cut = np.take_along_axis(excess, kept[:, None] - 1, -1) / kept[:, None]
    return np.asarray(np.maximum(x - cut, 0))


def resampled_rates(
    groups: Int[np.ndarray, "group class class"],
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> Float[np.ndarray, "resample class class"]:
    """Confusion rates of annotated sets resampled by group."""
    weights = rng.multinomial(len(groups), np.full(len(groups), 1 / len(groups)), size=resamples)
    counts = np.einsum("rg,gij->rij", weights, groups) + _PRIOR * np.eye(groups.shape[-1])
    return np.asarray(counts / counts.sum(-1, keepdims=True))


def shares(
    counts: Int[np.ndarray, "scope example class"],
    groups: Int[np.ndarray, "group class class"],
    seed: int,
) -> list[Share]:
    """The shares in several scopes (a head, a layer, the model) of the same examples.

    counts: how many maps of a class an example has in a scope; none where it is too short. Examples
    are resampled whole, since the maps of one example are not independent, and alike in all scopes.
    """
    scopes, examples = counts.shape[:2]
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(examples, np.full(examples, 1 / examples), size=RESAMPLES).astype(
        np.float64
    )
    rates, moved_rates = confusion_rates(groups), resampled_rates(groups, rng)
    drawn = np.einsum("re,sec->src", weights, counts, optimize=True)
    out = []
    for at in range(scopes):
        total = counts[at].sum(0)
        raw = total / total.sum()
        # A resample may miss the few examples that count.
        there = drawn[at].sum(1) > 0
        resampled = drawn[at][there] / drawn[at][there].sum(1, keepdims=True)
        moved = corrected(resampled, moved_rates[there])
        low, high = np.quantile(resampled, [0.025, 0.975], axis=0)
        fixed_low, fixed_high = np.quantile(moved, [0.025, 0.975], axis=0)
        fixed = corrected(raw[None], rates[None])[0]
        of = int((counts[at].sum(1) > 0).sum())
        out.append(Share(raw, low, high, fixed, fixed_low, fixed_high, int(total.sum()), of))
    return out


def counted(
    classes: Int[np.ndarray, "example layer head"],
) -> Int[np.ndarray, "scope example class"]:
    """Maps by class and example in every scope: the model, then its layers, then its heads, layer
    by layer.
    """
    hot = (classes[..., None] == np.arange(len(CLASSES))).astype(np.int64)
    layers = np.moveaxis(hot.sum(2), 1, 0)
    heads = hot.reshape(len(hot), -1, len(CLASSES)).swapaxes(0, 1)
    return np.concatenate([layers.sum(0)[None], layers, heads])
