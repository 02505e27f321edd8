"""Pairs of heads: does disabling both cost what the two cost alone, added up?

The *interaction* of a pair is the rise of the mean loss with both disabled, minus the sum of its
rises with each disabled alone. Above 0 the pair is *redundant*: together the two cost more than
their effects alone add up to, as when each stands in for the other. Below 0 it is *synergistic*:
together they cost less, as when what they do takes both, so that either one's loss costs most of
it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from jaxtyping import Float

from headscope.ablation.sets import NamedSet
from headscope.axes import HeadSet, all_heads, set_name
from headscope.errors import HeadscopeError
from headscope.model.tap import Mode
from headscope.names import SIGNIFICANT
from headscope.stats.groups import Groups, case_values
from headscope.stats.means import known
from headscope.stats.simultaneous import means_at_once

Kind = Literal["redundant", "synergistic", "not significant", "not tested"]
ROUNDING = 1e-5
"""An interaction smaller than this on every example is rounding of float32, and taken as 0."""

Rises = Mapping[HeadSet, Float[np.ndarray, " example"]]
"""By how much the loss of every example rises with a set disabled."""


@dataclass(frozen=True)
class InteractionRow:
    """A row of `interactions`: a pair of heads. Losses are means over `n` examples.

    `alone` and `other_alone` are the rises of the loss with each disabled alone, `together` with
    both; `value` is the interaction, with an interval of its own (`low`, `high`) and one that holds
    for all pairs at once (`low_all`, `high_all`).
    """

    set: str
    layer: int
    head: int
    other_layer: int
    other_head: int
    mode: Mode
    alone: float
    other_alone: float
    together: float
    value: float
    low: float | None
    high: float | None
    low_all: float | None
    high_all: float | None
    n: int
    unit: str
    p: float | None
    p_corrected: float | None
    kind: Kind


def pair_sets(layers: int, heads: int) -> list[NamedSet]:
    """Every pair of heads.

    Args:
        layers: How many layers the model has.
        heads: How many heads a layer has.

    Raises:
        HeadscopeError: The model has one head.

    Example:
        >>> [name for name, _ in pair_sets(1, 3)]
        ['L1H1,L1H2', 'L1H1,L1H3', 'L1H2,L1H3']
    """
    every = all_heads(layers, heads)
    if len(every) < 2:
        raise HeadscopeError("--heads pairs needs a model of at least two heads; this one has one")
    return [(set_name(pair), frozenset(pair)) for pair in combinations(every, 2)]


def interactions(rises: Rises, pairs: Sequence[NamedSet]) -> Float[np.ndarray, "example pair"]:
    """The interaction of every pair on every example.

    Args:
        rises: Of every pair and of every head alone.
        pairs: The pairs.
    """
    columns = []
    for _, pair in pairs:
        by_example = rises[pair] - sum(rises[frozenset([head])] for head in pair)
        columns.append(np.where(np.abs(by_example).max() <= ROUNDING, 0.0, by_example))
    return np.stack(columns, axis=1)


def interaction_rows(
    rises: Rises,
    pairs: Sequence[NamedSet],
    *,
    mode: Mode,
    unit: str,
    seed: int,
    groups: Groups | None = None,
) -> list[InteractionRow]:
    """The interaction of every pair, tested together.

    Args:
        rises: Of every pair and of every head alone.
        pairs: The pairs.
        mode: What a disabled head puts out.
        unit: Of the loss.
        seed: Of the test.
        groups: Which examples are of one case; None where each is its own.
    """
    found = means_at_once(case_values(interactions(rises, pairs), groups), seed)
    rows = []
    for number, (name, pair) in enumerate(pairs):
        first, second = sorted(pair)
        value = float(found.mean[number])
        p_corrected = known(found.p_corrected[number])
        rows.append(
            InteractionRow(
                set=name,
                layer=first.layer,
                head=first.head,
                other_layer=second.layer,
                other_head=second.head,
                mode=mode,
                alone=float(rises[frozenset([first])].mean()),
                other_alone=float(rises[frozenset([second])].mean()),
                together=float(rises[pair].mean()),
                value=value,
                low=known(found.low[number]),
                high=known(found.high[number]),
                low_all=known(found.low_all[number]),
                high_all=known(found.high_all[number]),
                n=len(rises[pair]),
                unit=unit,
                p=known(found.p[number]),
                p_corrected=p_corrected,
                kind=_kind(value, p_corrected),
            )
        )
    return rows


def _kind(value: float, p_corrected: float | None) -> Kind:
    if p_corrected is None:
        return "not tested"
    if p_corrected >= SIGNIFICANT:
        return "not significant"
    return "redundant" if value > 0 else "synergistic"
