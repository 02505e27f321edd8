"""The rows of the tables `patterns` and `heterogeneous`: shares by model, layer and head, and
groups of heterogeneous heads.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from headscope.axes import Head, all_heads
from headscope.names import CLASSES, HETEROGENEOUS
from headscope.patterns.collect import Classified
from headscope.patterns.shares import Share, counted, shares
from headscope.patterns.subgroups import groups
from headscope.stats.means import FEWEST

PATTERNS = "patterns"
SHARE, CORRECTED = "share", "share_corrected"
"""The second has the name that it had when its value was moved by adjusted counting."""


@dataclass(frozen=True)
class PatternRow:
    """The share of one class among the maps of a scope, with a 95% interval.

    Attributes:
        state: The state of the model: before or after fine-tuning, or as given.
        layer: The layer, counted from 1; None where the scope is the model.
        head: The head, counted from 1; None where the scope is a layer or the model.
        class_: The class, one of `CLASSES`; the column's name is `class`.
        measure: `share`, whose interval is for the chance in the examples, or `share_corrected`,
            the same share with an interval for what the classifier leaves open too.
        value: The share.
        low: The interval's lower end; None below `FEWEST` examples, since resampling so few covers
            too little.
        high: The interval's upper end.
        n: The maps counted.
        examples: The examples they are of.
        unit: The unit.
    """

    state: str
    layer: int | None
    head: int | None
    class_: str
    measure: str
    value: float
    low: float | None
    high: float | None
    n: int
    examples: int
    unit: str = "share of maps"


@dataclass(frozen=True)
class HeterogeneousRow:
    """A head most of whose maps are heterogeneous, with its group.

    Attributes:
        state: The state of the model.
        layer: The layer, counted from 1.
        head: The head, counted from 1.
        group: The group's number, from 1 for the largest.
        name: What the group is called.
        measure: The measure in which the group stands out most.
        value: By how much, in standard deviations.
        share: The share of the head's maps that are heterogeneous.
        unit: The unit of `value`.
    """

    state: str
    layer: int
    head: int
    group: int
    name: str
    measure: str
    value: float
    share: float
    unit: str = "standard deviations"


def pattern_rows(classified: Mapping[str, Classified], seed: int) -> list[PatternRow]:
    """The share of every pattern in the model, its layers and its heads, with both intervals.

    Args:
        classified: What the classifier says of all maps, by state of the model.
        seed: Random seed of the resampling.
    """
    rows: list[PatternRow] = []
    for state, of_maps in classified.items():
        _, layers, heads = of_maps.classes.shape
        scopes: list[tuple[int | None, int | None]] = [(None, None)]
        scopes += [(layer + 1, None) for layer in range(layers)]
        scopes += [(head.layer, head.head) for head in all_heads(layers, heads)]
        in_scopes = shares(counted(of_maps.classes, of_maps.plausible), seed)
        for (layer, head), share in zip(scopes, in_scopes, strict=True):
            rows += _share_rows(state, layer, head, share)
    return rows


def _share_rows(state: str, layer: int | None, head: int | None, share: Share) -> list[PatternRow]:
    is_known = share.examples >= FEWEST
    kinds = (
        (SHARE, share.low, share.high),
        (CORRECTED, share.lower, share.upper),
    )
    return [
        PatternRow(
            state=state,
            layer=layer,
            head=head,
            class_=name,
            measure=measure,
            value=float(share.share[index]),
            low=float(low[index]) if is_known else None,
            high=float(high[index]) if is_known else None,
            n=share.n,
            examples=share.examples,
        )
        for measure, low, high in kinds
        for index, name in enumerate(CLASSES)
    ]


def shares_of_heads(
    rows: Sequence[PatternRow], state: str
) -> dict[Head, Float[np.ndarray, "class"]]:
    """The counted shares of the classes in every head, in the order of `CLASSES`."""
    by_head: dict[Head, list[float]] = {}
    for row in rows:
        if row.state == state and row.measure == SHARE and row.layer and row.head:
            by_head.setdefault(Head(row.layer, row.head), []).append(row.value)
    return {head: np.array(values) for head, values in by_head.items()}


def heterogeneous_rows(
    rows: Sequence[PatternRow], state: str, measures: Mapping[str, Mapping[Head, float]]
) -> list[HeterogeneousRow]:
    """A row per head most of whose maps are heterogeneous, grouped by what the measures say of it.

    Args:
        rows: Those of `pattern_rows`.
        state: The state of the model to look at.
        measures: measure -> head -> value, over all heads of the model.
    """
    heterogeneous = CLASSES.index(HETEROGENEOUS)
    by_head = shares_of_heads(rows, state)
    chosen = sorted(head for head, values in by_head.items() if values.argmax() == heterogeneous)
    return [
        HeterogeneousRow(
            state=state,
            layer=head.layer,
            head=head.head,
            group=number,
            name=group.name,
            measure=group.measure,
            value=group.deviation,
            share=float(by_head[head][heterogeneous]),
        )
        for number, group in enumerate(groups(measures, chosen), 1)
        for head in group.heads
    ]
