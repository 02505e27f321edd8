"""How similar heads are: the Jensen-Shannon divergence between their maps, and clusters (Clark et
al. 2019, section 6).

Two heads differ by the mean over rows of JS(p, q) = H((p + q) / 2) - (H(p) + H(q)) / 2, with
natural logarithms: 0 for equal rows, ln 2 for rows that share no token. This is the divergence, not
its square root. Clark et al. add it up over all tokens of the data; here it is averaged over the
rows of an example and then over examples, which keeps it between 0 and ln 2 and lets every example
count the same.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from headscope.errors import HeadscopeError
from headscope.model.encoding import Encoded, only
from headscope.model.layer_maps import Batch, LayerMaps
from headscope.model.model import Model
from headscope.model.passes import EncoderPass
from headscope.model.precision import Precision
from headscope.progress import Advance, silent

LIKENESS = "likeness"
MOST_BYTES = 2**29
"""Of an example whose maps of all heads take more, no two heads are compared: comparing takes three
times as much.
"""
_CELLS = 2**19
"""How many numbers are compared at once: 2 MiB, which stay in the processor's cache."""
_ONE_EXAMPLE = 1
"""The most tokens of a batch: no example fits, so each is a batch."""


def comparable(model: Model, encoded: Encoded) -> list[int]:
    """The examples of which the maps of all heads may be held."""
    needed = 4 * model.layers * model.heads * encoded.lengths**2
    return [int(row) for row in np.flatnonzero(needed <= MOST_BYTES)]


def divergences(maps: Float[Tensor, "head query key"]) -> Float[Tensor, "a b"]:
    """The Jensen-Shannon divergence between every two maps, mean over their rows, in nats: from 0
    to ln 2.
    """
    heads, rows = maps.shape[:2]
    flat = maps.flatten(1)
    size = max(1, _CELLS // flat.shape[1])
    blocks = [slice(start, start + size) for start in range(0, heads, size)]
    minus_entropy = torch.cat([_negative_entropy(flat[block]) for block in blocks])
    half = flat / 2
    upper = flat.new_zeros((heads, heads))
    for a in range(heads - 1):
        for start in range(a + 1, heads, size):
            block = slice(start, start + size)
            of_each = (minus_entropy[a] + minus_entropy[block]) / 2
            upper[a, block] = of_each - _negative_entropy(half[block] + half[a])
    # Equal maps may come out a rounding error below 0.
    return (upper + upper.T).clamp_min(0.0) / rows


def _negative_entropy(flat: Float[Tensor, "map cell"]) -> Float[Tensor, "map"]:
    logarithms = flat.clamp_min(torch.finfo(flat.dtype).tiny).log_()
    sums: Tensor = torch.linalg.vecdot(flat, logarithms)
    return sums


class DivergenceObserver:
    """Adds up the divergences of all heads over the examples of a pass, one example a batch.

    Attributes:
        total: The sum over examples of `divergences`, heads in the order L1H1, L1H2, ...
    """

    def __init__(self, layers: int, heads: int) -> None:
        self.total: Float[np.ndarray, "a b"] = np.zeros((layers * heads, layers * heads))
        self._layers = layers

    def state(self) -> dict[str, np.ndarray]:
        """The sums, for a pass that is to be resumed."""
        return {"total": self.total}

    def prepare(self, batch: Batch) -> list[Tensor]:  # noqa: ARG002
        """The example's maps so far, a layer an entry."""
        return []

    def see(self, maps: LayerMaps, prepared: list[Tensor]) -> None:
        """Keep a layer; after the last, compare the heads of all layers."""
        # The batch is one example, without padding: all of its rows are real.
        prepared.append(maps.maps[0])
        if len(prepared) == self._layers:
            self.total += divergences(torch.cat(prepared)).double().cpu().numpy()


@dataclass(frozen=True, eq=False)
class LikenessPass(EncoderPass):
    """The pass in which the maps of all heads are compared, an example a batch. `of` makes one."""

    @classmethod
    def of(
        cls,
        model: Model,
        encoded: Encoded,
        *,
        limit: int = 100,
        seed: int = 0,
        precision: Precision = "auto",
    ) -> "LikenessPass":
        """The pass of a model over examples, or `limit` of them drawn from `seed`.

        Raises:
            HeadscopeError: As `likeness`.
        """
        if not len(encoded) or limit < 1:
            raise HeadscopeError(
                f"the likeness of heads needs an example, got {len(encoded)} and a limit of {limit}"
            )
        rows = np.arange(len(encoded))
        if limit < len(rows):
            rows = np.sort(np.random.default_rng(seed).choice(rows, limit, replace=False))
        drawn = only(encoded, rows.tolist())
        if len(comparable(model, drawn)) < len(drawn):
            raise HeadscopeError(
                f"the likeness of heads holds the maps of all heads of an example, which for "
                f"{int(drawn.lengths.max())} tokens take too much memory: give a smaller "
                "--max-length"
            )
        return cls(drawn, model.layers, model.heads, _ONE_EXAMPLE, precision)

    def observers(self) -> list[DivergenceObserver]:
        """What adds up the divergences, the only observer."""
        return [DivergenceObserver(self.layers, self.heads)]

    def mean(self, observer: DivergenceObserver) -> Float[np.ndarray, "a b"]:
        """The mean over the examples, when all have passed."""
        return observer.total / len(self.encoded)


def likeness(
    model: Model,
    encoded: Encoded,
    *,
    limit: int = 100,
    seed: int = 0,
    precision: Precision = "auto",
    advance: Advance = silent,
) -> Float[np.ndarray, "a b"]:
    """The mean divergence between the maps of every two heads of the model, layer by layer: L1H1,
    L1H2, ...

    In nats, from 0 (alike) to ln 2. Over all examples, or `limit` of them drawn from `seed`. One
    example is run at a time, so there is never more than its own maps.

    Raises:
        HeadscopeError: There is no example, or `limit` allows none, or the maps of an example do
            not fit into memory.
    """
    work = LikenessPass.of(model, encoded, limit=limit, seed=seed, precision=precision)
    (observer,) = work.observers()
    work.run([model], [observer], None, advance)
    return work.mean(observer)


def clusters(distances: Float[np.ndarray, "a a"], count: int) -> Int[np.ndarray, " a"]:
    """Groups of heads by average linkage.

    Args:
        distances: The divergence of every two heads.
        count: How many groups to make.

    Returns:
        The number of each head's group, from 1 in the order of the groups' first heads.

    Raises:
        HeadscopeError: `count` is not between 1 and the number of heads.
    """
    if not 1 <= count <= len(distances):
        raise HeadscopeError(
            f"{len(distances)} heads make 1 to {len(distances)} clusters, not {count}"
        )
    if len(distances) == 1:
        return np.ones(1, dtype=np.int64)
    from scipy.cluster.hierarchy import cut_tree, linkage
    from scipy.spatial.distance import squareform

    tree = linkage(squareform(distances, checks=False), "average")
    groups = cut_tree(tree, n_clusters=count)[:, 0]
    # SciPy's numbers are arbitrary: number the groups anew by their first heads.
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    number = np.empty(len(first), dtype=np.int64)
    number[np.argsort(first)] = np.arange(1, len(first) + 1)
    return number[inverse]
