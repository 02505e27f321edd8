"""The axes of all data here, and the one place that converts between a head's name and its indices.

Glossary (the names of the axes in every array annotation):

- `example`: a row of a task's data: a text or a pair of texts with its label
- `layer`: a call of attention in the forward pass, in order (ALBERT runs one module twelve times:
  twelve layers)
- `head`: a head of a layer
- `query`: the token that attends, a row of a map
- `key`: the token that is attended to, a column of a map
- `word`: a word of the text; one or more tokens

People count layers and heads from 1 and write `L7H6`; arrays count from 0. `Head` is counted from
1, and only `Head.index` and `Head.at` know of the other way.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from headscope.errors import HeadscopeError

# Python reads no number of more than 4,300 digits, and no model has 10^9 layers.
_NAME = re.compile(r"\s*L([0-9]{1,9})H([0-9]{1,9})\s*", re.IGNORECASE)
LARGEST = 256
"""No model has more layers, or more heads in one."""


@dataclass(frozen=True, order=True)
class Head:
    """An attention head, counted from 1 as in the literature.

    >>> str(Head(7, 6)), Head(7, 6).index, Head.at(6, 5)
    ('L7H6', (6, 5), Head(layer=7, head=6))
    """

    layer: int
    head: int

    def __post_init__(self) -> None:
        if self.layer < 1 or self.head < 1:
            raise HeadscopeError(
                f"layers and heads are counted from 1, got layer {self.layer}, head {self.head}: "
                "the first is L1H1"
            )

    def __str__(self) -> str:
        return f"L{self.layer}H{self.head}"

    @property
    def index(self) -> tuple[int, int]:
        """(layer, head) counted from 0, for arrays."""
        return self.layer - 1, self.head - 1

    @classmethod
    def at(cls, layer: int, head: int) -> "Head":
        """The head at array indices (counted from 0)."""
        return cls(layer + 1, head + 1)

    @classmethod
    def parse(cls, name: str) -> "Head":
        """`"L7H6"` -> the head. Raises HeadscopeError for anything else."""
        if not (match := _NAME.fullmatch(name)):
            raise HeadscopeError(
                f"{name.strip()[:60]!r} is not a head: write a layer and a head counted from 1, "
                "as in L7H6"
            )
        return cls(int(match[1]), int(match[2]))


HeadSet = frozenset[Head]
"""A set of heads that are disabled together."""

if TYPE_CHECKING:
    Heads: TypeAlias = str | Head | Iterable[Head | str]
else:
    # What is no head is answered in a sentence, not by who checks types at run time.
    Heads = object
"""Heads that are disabled together, as a person names them."""


def head_set(heads: Heads) -> HeadSet:
    """A set of heads from `"L1H2,L7H6"`, one head, or any mix of heads and names.

    >>> set_name(head_set("L7H6, l1h2"))
    'L1H2,L7H6'

    Raises HeadscopeError for an empty list, a head named twice, or what is no head.
    """
    if isinstance(heads, Head):
        return frozenset([heads])
    if isinstance(heads, str):
        parts: list[str | Head] = [*heads.split(",")]
    else:
        parts = list(heads) if isinstance(heads, Iterable) else [heads]
    for part in parts:
        if not isinstance(part, str | Head):
            raise HeadscopeError(
                f"heads are names such as 'L7H6' or headscope.Head(7, 6), got {part!r:.60} "
                f"({type(part).__name__})"
            )
    if not parts or parts == [""]:
        raise HeadscopeError("the list of heads is empty: name at least one, as in L7H6")
    parsed = [part if isinstance(part, Head) else Head.parse(part) for part in parts]
    if twice := sorted({head for head in parsed if parsed.count(head) > 1}):
        raise HeadscopeError(f"{', '.join(map(str, twice))} is named twice: name every head once")
    return frozenset(parsed)


def set_name(heads: Iterable[Head]) -> str:
    """The canonical name of a set of heads: sorted, joined by commas."""
    return ",".join(map(str, sorted(heads)))


def check_inside(heads: Iterable[Head], layers: int, heads_per_layer: int) -> None:
    """Raises HeadscopeError when a head lies outside a model of `layers` x `heads_per_layer`."""
    if outside := sorted(h for h in heads if h.layer > layers or h.head > heads_per_layer):
        raise HeadscopeError(
            f"{', '.join(map(str, outside))} does not exist: the model has {layers} layers of "
            f"{heads_per_layer} heads, L1H1 to L{layers}H{heads_per_layer}"
        )


def all_heads(layers: int, heads_per_layer: int) -> list[Head]:
    """Every head of a model, layer by layer.

    >>> [str(h) for h in all_heads(2, 2)]
    ['L1H1', 'L1H2', 'L2H1', 'L2H2']
    """
    return [Head.at(layer, head) for layer in range(layers) for head in range(heads_per_layer)]
