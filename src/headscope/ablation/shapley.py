"""Shapley values of heads: how the whole rise of the loss is shared out among all heads.

Heads are disabled one after the other, in a random order, until none is left. The Shapley value of
a head is how much its turn raises the mean loss, on average over all orders. The values of all
heads add up to the rise of the loss with all heads disabled, which effects of single heads do not.
Orders come in antithetic pairs, an order and its reverse: a head that is early in one is late in
the other, so that means over pairs vary less.

Source: Shapley (1953); Castro, Gomez & Tejada (2009), Computers & Operations Research 36;
antithetic orders: Mitchell et al. (2022), Journal of Machine Learning Research 23.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from headscope.ablation.interactions import Rises
from headscope.ablation.sets import NamedSet
from headscope.axes import Head, all_heads, set_name
from headscope.model.tap import Mode
from headscope.stats.groups import Groups, case_values
from headscope.stats.means import known, mean_interval

PAIRS = 20
"""So many antithetic pairs of orders are walked where nothing is said: about as many sets as there
are pairs of 72 heads."""

Order = tuple[Head, ...]


@dataclass(frozen=True)
class ShapleyRow:
    """A row of `shapley`: a head. Losses are means over the examples.

    `low` and `high` are of the `n` antithetic pairs of orders, the examples being as they are;
    `low_all` and `high_all` hold for all heads at once (Bonferroni); `examples_low` and
    `examples_high` are of the examples, the orders being as they are. `alone` is the rise of the
    loss with this head alone disabled.
    """

    set: str
    layer: int
    head: int
    mode: Mode
    value: float
    low: float | None
    high: float | None
    low_all: float | None
    high_all: float | None
    n: int
    of: str
    examples_low: float | None
    examples_high: float | None
    examples: int
    alone: float
    unit: str


def orders(layers: int, heads: int, pairs: int, seed: int) -> list[Order]:
    """Random orders of all heads, each followed by its reverse.

    More pairs begin with the same ones.

    Example:
        >>> first, second = orders(1, 3, 1, seed=0)
        >>> first == second[::-1], sorted(map(str, first))
        (True, ['L1H1', 'L1H2', 'L1H3'])
    """
    every = all_heads(layers, heads)
    rng = np.random.default_rng(seed)
    drawn: list[Order] = []
    for _ in range(pairs):
        order = tuple(every[place] for place in rng.permutation(len(every)))
        drawn += [order, order[::-1]]
    return drawn


def walked_sets(walked: Sequence[Order]) -> list[NamedSet]:
    """The sets that are disabled on the way through some orders, each once."""
    sets = {}
    for order in walked:
        for size in range(1, len(order) + 1):
            heads = frozenset(order[:size])
            sets[heads] = set_name(heads)
    return [(name, heads) for heads, name in sets.items()]


def shapley_rows(
    rises: Rises,
    walked: Sequence[Order],
    *,
    mode: Mode,
    unit: str,
    groups: Groups | None = None,
) -> list[ShapleyRow]:
    """The Shapley value of every head.

    Args:
        rises: Of every set on the way, and of every head alone.
        walked: Orders, each followed by its reverse.
        mode: What a disabled head puts out.
        unit: Of the loss.
        groups: Which examples are of one case; None where each is its own.
    """
    every = sorted(walked[0])
    place = {head: number for number, head in enumerate(every)}
    everything = rises[frozenset(every)]
    by_order = np.zeros((len(walked), len(every)))
    by_example = np.zeros((len(every), len(everything)))
    for number, order in enumerate(walked):
        before = np.zeros_like(everything)
        for size, head in enumerate(order, start=1):
            after = rises[frozenset(order[:size])]
            by_order[number, place[head]] = (after - before).mean()
            by_example[place[head]] += (after - before) / len(walked)
            before = after
    by_pair = (by_order[::2] + by_order[1::2]) / 2
    n, examples = len(by_pair), len(everything)
    value, low, high = mean_interval(np.array(n), by_pair.sum(0), (by_pair**2).sum(0))
    by_case = case_values(by_example.T, groups).T
    _, examples_low, examples_high = mean_interval(
        np.array(by_case.shape[1]), by_case.sum(1), (by_case**2).sum(1)
    )
    # Bonferroni's: the interval of one head among all, a wider one of the same Student's t.
    wider = student.ppf(1 - 0.025 / len(every), n - 1) / student.ppf(0.975, n - 1)
    half = wider * (high - low) / 2
    rows = []
    for number, head in enumerate(every):
        rows.append(
            ShapleyRow(
                set=str(head),
                layer=head.layer,
                head=head.head,
                mode=mode,
                value=float(value[number]),
                low=known(low[number]),
                high=known(high[number]),
                low_all=known(value[number] - half[number]),
                high_all=known(value[number] + half[number]),
                n=n,
                of="antithetic pairs of orders",
                examples_low=known(examples_low[number]),
                examples_high=known(examples_high[number]),
                examples=examples,
                alone=float(rises[frozenset([head])].mean()),
                unit=unit,
            )
        )
    return rows
