"""Which sets of heads are scored together: those that begin alike have the same lower layers.

A set is a path up the layers: which heads are disabled in the first, in the second, and so on. Two
paths that agree below a layer have the same states there, whatever lies above. Nothing here runs a
model.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from headscope.ablation.sets import NamedSet
from headscope.axes import HeadSet


@dataclass(frozen=True)
class Trunk:
    """What several sets share: what enters a layer.

    Attributes:
        layer: The layer, from 0.
        heads: The heads that are disabled below it.
    """

    layer: int
    heads: HeadSet

    def holds(self, heads: HeadSet) -> bool:
        """Whether a set begins with this trunk."""
        return below(heads, self.layer) == self.heads


@dataclass(frozen=True)
class Unit:
    """Sets that are scored together.

    Attributes:
        sets: The sets, at least one.
        trunk: What they share, as far up as it goes.
    """

    sets: tuple[NamedSet, ...]
    trunk: Trunk = Trunk(0, frozenset())


def below(heads: HeadSet, layer: int) -> HeadSet:
    """The heads of a set that lie below a layer, counted from 0."""
    return frozenset(head for head in heads if head.index[0] < layer)


Path = tuple[tuple[bool, tuple[int, ...]], ...]


def path(heads: HeadSet, layers: int) -> Path:
    """The disabled heads layer by layer. Where a set has none it sorts behind those that have some,
    so that sets come in the order of their first layers.
    """
    by_layer: list[list[int]] = [[] for _ in range(layers)]
    for head in heads:
        layer, index = head.index
        by_layer[layer].append(index)
    return tuple((not indices, tuple(sorted(indices))) for indices in by_layer)


def shared_layers(one: Path, other: Path) -> int:
    """Up to which layer two paths agree: the number of layers from the bottom that are the same."""
    for layer, (here, there) in enumerate(zip(one, other, strict=True)):
        if here != there:
            return layer
    return len(one)


def units(
    sets: Sequence[NamedSet], layers: int, most: int, known: Iterable[HeadSet] = ()
) -> list[Unit]:
    """Sets in units that share as many lower layers as they can, in the order of their paths.

    Args:
        sets: The sets.
        layers: How many layers the model has.
        most: How many sets a unit has at most.
        known: Sets that were scored before, with which a trunk may be shared too.

    Returns:
        The units; those of one trunk follow each other.
    """
    paths = {path(heads, layers) for heads in known} | {path(frozenset(), layers)}
    named = sorted(((path(heads, layers), name, heads) for name, heads in sets), key=_first_two)
    every = sorted(paths | {one for one, _, _ in named})
    place = {one: number for number, one in enumerate(every)}
    by_trunk: dict[Trunk, list[NamedSet]] = {}
    for one, name, heads in named:
        number = place[one]
        beside = every[max(0, number - 1) : number] + every[number + 1 : number + 2]
        # The path that shares most of a sorted list stands beside it.
        depth = max((shared_layers(one, other) for other in beside), default=0)
        trunk = Trunk(min(depth, layers - 1), below(heads, min(depth, layers - 1)))
        by_trunk.setdefault(trunk, []).append((name, heads))
    found = []
    for trunk, same in by_trunk.items():
        for start in range(0, len(same), most):
            found.append(Unit(tuple(same[start : start + most]), trunk))
    return found


def _first_two(entry: tuple[Path, str, HeadSet]) -> tuple[Path, str]:
    return entry[:2]
