"""The rows of the tables `heads`, `change`, `last_layers` and `likeness`."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from headscope.axes import Head, all_heads
from headscope.measures.base import MEASURES, SHARE, Estimate, Moments
from headscope.measures.comparison import COSINE, LAST, OVER_LAST, Comparison
from headscope.measures.gradient import IMPORTANCE, normalised
from headscope.stats.means import student_p

Table = Float[np.ndarray, "layer head"]


@dataclass(frozen=True)
class HeadRow:
    """A measure of a head: its mean over `n` examples with a 95% interval, or NaN."""

    layer: int
    head: int
    measure: str
    value: float
    low: float
    high: float
    n: int
    unit: str


@dataclass(frozen=True)
class ChangeRow(HeadRow):
    """What differs between two models in a head: a measure's mean difference with its means before
    and after, or the cosine of the maps, which has neither.
    """

    before: float | None
    after: float | None


_ROUNDING = 1e-6
"""How far two cosines near 1 may differ by float32's rounding alone."""


@dataclass(frozen=True)
class LastLayersRow:
    """By how much a layer changes less than one of the last two: a mean difference of cosines over
    `n` examples, with a 95% interval and the p-value of no difference (Student's t), which are NaN
    for fewer than ten, and where the differences are no larger than float32's rounding.

    Attributes:
        seed: The seed of the fine-tuning, where it is known.
        layer: The layer, counted from 1; None for the mean over all layers but the last two, beside
            both of these.
        against: The last layer or the last but one; None for both.
        measure: The difference's name.
        value: Its mean.
        low: The interval's lower end.
        high: Its upper end.
        n: How many examples.
        unit: The unit.
        p: Two-sided.
    """

    seed: int | None
    layer: int | None
    against: int | None
    measure: str
    value: float
    low: float
    high: float
    n: int
    unit: str
    p: float


@dataclass(frozen=True)
class LikenessRow:
    """How far the maps of two heads diverge, and the clusters of both."""

    layer: int
    head: int
    other_layer: int
    other_head: int
    cluster: int
    other_cluster: int
    measure: str
    value: float
    n: int
    unit: str


def head_rows(measured: Mapping[str, Moments]) -> list[HeadRow]:
    """A row per measure and head; measures that no example has are left out."""
    return _mean_rows(measured, Moments.share)


def importance_rows(importance: Moments, unit: str) -> list[HeadRow]:
    """The rows of gradient importance: in the loss's unit, and with layers normalised alike."""
    plain = importance.compute()
    n = importance.n
    return [
        *_rows_of(IMPORTANCE, unit, n, plain),
        *_rows_of(f"{IMPORTANCE}_normalised", "share of the layer's norm", n, normalised(*plain)),
    ]


def change_rows(comparison: Comparison) -> list[ChangeRow]:
    """A row per head of the cosine, then a row per measure and head of the difference."""
    before = values_by_head(head_rows(comparison.before))
    after = values_by_head(head_rows(comparison.after))
    cosine = comparison.cosine
    differences: list[HeadRow] = []
    if cosine.n.any():
        differences += _rows_of(COSINE, "cosine", cosine.n, cosine.compute())
    differences += _mean_rows(comparison.difference, Moments.share_change)
    rows = []
    for row in differences:
        head = Head(row.layer, row.head)
        change = ChangeRow(
            **vars(row),
            before=before.get(row.measure, {}).get(head),
            after=after.get(row.measure, {}).get(head),
        )
        rows.append(change)
    return rows


def last_layers_rows(comparison: Comparison) -> list[LastLayersRow]:
    """A row per layer before the last two and each of these, then one of the mean over all; none
    for a model of two layers.
    """
    moments = comparison.over_last
    mean, low, high = moments.compute()
    p = student_p(mean, low, high, moments.n)
    is_rounding = moments.squares <= moments.n * _ROUNDING**2
    low, high, p = (np.where(is_rounding, np.nan, column) for column in (low, high, p))
    before = comparison.cosine.n.shape[0] - LAST
    pairs: list[tuple[int | None, int | None]] = [
        (layer, against)
        for against in range(before + 1, before + LAST + 1)
        for layer in range(1, before + 1)
    ]
    contrasts = [*pairs, (None, None)] if len(mean) else []
    return [
        LastLayersRow(
            seed=None,
            layer=layer,
            against=against,
            measure=OVER_LAST,
            value=float(mean[index]),
            low=float(low[index]),
            high=float(high[index]),
            n=int(moments.n[index]),
            unit="cosine",
            p=float(p[index]),
        )
        for index, (layer, against) in enumerate(contrasts)
    ]


def likeness_rows(
    distances: Float[np.ndarray, "a a"], groups: Int[np.ndarray, " a"], heads: list[Head], n: int
) -> list[LikenessRow]:
    """A row per pair of heads.

    Args:
        distances: The divergence of every two heads, in nats.
        groups: The cluster of every head.
        heads: The heads in the order of the other two.
        n: Over how many examples the divergence was averaged.
    """
    return [
        LikenessRow(
            layer=head.layer,
            head=head.head,
            other_layer=other.layer,
            other_head=other.head,
            cluster=int(groups[a]),
            other_cluster=int(groups[b]),
            measure="jensen_shannon",
            value=float(distances[a, b]),
            n=n,
            unit="nats",
        )
        for a, head in enumerate(heads)
        for b, other in enumerate(heads)
        if a < b
    ]


def values_by_head(rows: Iterable[HeadRow]) -> dict[str, dict[Head, float]]:
    """The values of rows: measure -> head -> value."""
    values: dict[str, dict[Head, float]] = {}
    for row in rows:
        values.setdefault(row.measure, {})[Head(row.layer, row.head)] = row.value
    return values


def _mean_rows(
    measured: Mapping[str, Moments], share: Callable[[Moments], Estimate]
) -> list[HeadRow]:
    """A row per measure and head; measures that no example has are left out.

    Args:
        measured: By name.
        share: The estimate of a measure that is a share of examples.
    """
    rows = []
    for name, moments in measured.items():
        if moments.n.any():
            unit = MEASURES.get(name).unit
            estimate = share(moments) if unit == SHARE else moments.compute()
            rows += _rows_of(name, unit, moments.n, estimate)
    return rows


def _rows_of(measure: str, unit: str, n: Table, estimate: Estimate) -> list[HeadRow]:
    mean, low, high = estimate
    return [
        HeadRow(
            layer=head.layer,
            head=head.head,
            measure=measure,
            value=float(mean[head.index]),
            low=float(low[head.index]),
            high=float(high[head.index]),
            n=int(n[head.index]),
            unit=unit,
        )
        for head in all_heads(*mean.shape)
    ]
