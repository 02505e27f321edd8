"""Sets of heads that are disabled together: what a user's words name, and what a model puts out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from headscope.axes import Head, Heads, HeadSet, all_heads, check_inside, head_set, set_name
from headscope.errors import HeadscopeError, unknown

NamedSet = tuple[str, HeadSet]
MOST_DIGITS = 9
"""A count of more digits is none: Python itself reads no number of more than 4,300."""
"""A set of heads with the name that it has in tables and files."""


@dataclass(frozen=True, eq=False)
class SetResult:
    """What a model puts out while a set of heads is disabled.

    Attributes:
        name: The set's name.
        heads: The set.
        outputs: The outputs of the classification head, [example, output].
        activation_change: By how much the output of the least moved of the heads moved on the first
            batch, relative to its norm; above 0, else nothing was disabled.
    """

    name: str
    heads: HeadSet
    outputs: npt.NDArray[np.float32]
    activation_change: float


def named_set(given: NamedSet | Heads) -> NamedSet:
    """A set of heads with its name: as it is given, or named by its heads.

    Raises:
        HeadscopeError: It is empty, or holds what is no head.
    """
    match given:
        case (str() as name, frozenset() as members):
            return name, members
    heads = head_set(given)
    return set_name(heads), heads


def first_layer(heads: HeadSet) -> int:
    """The lowest layer, from 0, in which a set has a head."""
    return min(head.index[0] for head in heads)


def parse_sets(
    spec: str,
    layers: int,
    heads: int,
    *,
    seed: int = 0,
    random_sets: int = 20,
    random_size: int = 1,
) -> list[NamedSet]:
    """The named sets that `--heads` asks for.

    Args:
        spec: "each" (every head in turn), "layers" (all heads of a layer, every layer in turn),
            "all-but-one" (all heads of a layer but one, for every head in turn: Michel et al. 2019,
            section 3.3), "random" or "random:5" (a control: different sets of so many heads drawn
            from `seed`), one set such as "L1H2,L7H6", or several with a semicolon between them.
        layers: How many layers the model has.
        heads: How many heads a layer has.
        seed: Draws the random sets.
        random_sets: How many random sets are drawn, where there are so many.
        random_size: How many heads a random set has if `spec` does not say it.

    Raises:
        HeadscopeError: Anything else, or heads that the model does not have.

    Example:
        >>> [name for name, _ in parse_sets("layers", 2, 3)]
        ['layer 1', 'layer 2']
    """
    every = all_heads(layers, heads)
    if spec == "each":
        return [(str(head), frozenset([head])) for head in every]
    if spec == "layers":
        numbers = range(1, layers + 1)
        return [(f"layer {number}", _of_layer(every, number)) for number in numbers]
    if spec == "all-but-one":
        return _all_but_one(every, heads)
    if spec == "random" or spec.startswith("random:"):
        size = spec.removeprefix("random").removeprefix(":") or str(random_size)
        if not size.isdecimal() or len(size) > MOST_DIGITS:
            raise HeadscopeError(
                f"--heads {spec[:60]!r} is not understood: write random:5 for random sets of 5 "
                "heads"
            )
        return _drawn(every, random_sets, int(size), seed)
    return _listed(spec, layers, heads)


def _of_layer(every: Sequence[Head], layer: int) -> HeadSet:
    return frozenset(head for head in every if head.layer == layer)


def _all_but_one(every: Sequence[Head], heads: int) -> list[NamedSet]:
    if heads < 2:
        raise HeadscopeError(
            "--heads all-but-one needs layers of at least two heads; this model has one a layer"
        )
    return [
        (f"layer {kept.layer} but {kept}", _of_layer(every, kept.layer) - {kept}) for kept in every
    ]


def _drawn(every: Sequence[Head], count: int, size: int, seed: int) -> list[NamedSet]:
    """Up to `count` different sets of `size` heads."""
    if not 0 < size <= len(every):
        raise HeadscopeError(f"a random set of {size} heads cannot be drawn from {len(every)}")
    rng = np.random.default_rng(seed)
    drawn: dict[str, HeadSet] = {}
    # There may be fewer different sets than are wanted, so the draws are limited.
    for _ in range(100 * count):
        if len(drawn) == count:
            break
        rows = rng.choice(len(every), size, replace=False)
        chosen = frozenset(every[row] for row in rows)
        drawn[set_name(chosen)] = chosen
    return list(drawn.items())


def _listed(spec: str, layers: int, heads: int) -> list[NamedSet]:
    """Sets that are named head by head."""
    named: dict[str, HeadSet] = {}
    for names in spec.split(";"):
        if "L" not in names.upper() and names.strip():
            raise HeadscopeError(
                f"--heads {spec[:60]!r} is not understood: give each, layers, all-but-one, "
                "random, or heads as in L1H2,L7H6; or, for heads together, pairs or shapley"
            )
        chosen = head_set(names.strip())
        check_inside(chosen, layers, heads)
        if set_name(chosen) in named:
            raise HeadscopeError(
                f"--heads names the set {set_name(chosen)} twice: name every set once"
            )
        named[set_name(chosen)] = chosen
    return list(named.items())


def top_heads(heads: pl.DataFrame, measure: str, count: int) -> list[Head]:
    """The heads with the largest value of a measure, the largest first; of equal ones the lower.

    Args:
        heads: A `heads` table.
        measure: A measure of that table.
        count: How many heads.

    Raises:
        HeadscopeError: The table has no such measure, or not so many heads.
    """
    placed = heads.drop_nulls(["layer", "head"])
    measured = placed.filter(pl.col("measure") == measure, pl.col("value").is_finite())
    if not measured.height:
        raise unknown("measure of that run", measure, heads["measure"].unique())
    if not 0 < count <= measured.height:
        raise HeadscopeError(
            f"the top {count} heads by {measure} cannot be had of {measured.height}"
        )
    ranked = measured.sort("value", "layer", "head", descending=[True, False, False])
    places = ranked.select("layer", "head").head(count)
    return [Head(layer, head) for layer, head in places.iter_rows()]
