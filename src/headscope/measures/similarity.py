"""How alike heads are: the Jensen-Shannon divergence between their maps, clusters and a plane
(Clark et al. 2019, section 6).

Two heads differ by the mean over rows of JS(p, q) = H((p + q) / 2) - (H(p) + H(q)) / 2, with
natural logarithms: 0 for equal rows, ln 2 for rows that share no token. This is the divergence, not
its square root. Clark et al. add it up over all tokens of the data; here it is averaged over the
rows of an example and then over examples, which keeps it between 0 and ln 2 and lets every example
count the same.
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from headscope.errors import HeadscopeError
from headscope.model.encoding import Encoded, only
from headscope.model.model import Model
from headscope.model.passes import LayerMaps, stream
from headscope.model.precision import Precision
from headscope.progress import Advance, silent

_CELLS = 2**19
"""How many numbers are compared at once: 2 MiB, which stay in the processor's cache."""


def divergences(maps: Float[Tensor, "head query key"]) -> Float[Tensor, "a b"]:
    """The Jensen-Shannon divergence between every two maps, mean over their rows, in nats: from 0
    to ln 2.
    """
    heads, rows = maps.shape[:2]
    flat = maps.flatten(1)
    size = max(1, _CELLS // flat.shape[1])
    own = torch.cat(
        [_negative_entropy(flat[start : start + size]) for start in range(0, heads, size)]
    )
    half = flat / 2
    out = flat.new_zeros((heads, heads))
    for a in range(heads - 1):
        for start in range(a + 1, heads, size):
            part = slice(start, start + size)
            out[a, part] = (own[a] + own[part]) / 2 - _negative_entropy(half[part] + half[a])
    # Equal maps may come out a rounding error below 0.
    return (out + out.T).clamp_min(0.0) / rows


def _negative_entropy(flat: Float[Tensor, "map cell"]) -> Float[Tensor, "map"]:
    logarithms = flat.clamp_min(torch.finfo(flat.dtype).tiny).log_()
    sums: Tensor = torch.linalg.vecdot(flat, logarithms)
    return sums


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

    Raises HeadscopeError when there is no example, or `limit` allows none.
    """
    if not len(encoded) or limit < 1:
        raise HeadscopeError(
            f"the likeness of heads needs an example, got {len(encoded)} and a limit of {limit}"
        )
    rows = np.arange(len(encoded))
    if limit < len(rows):
        rows = np.sort(np.random.default_rng(seed).choice(rows, limit, replace=False))
    heads = model.layers * model.heads
    total = np.zeros((heads, heads))
    layers: list[Tensor] = []

    def see(maps: LayerMaps) -> None:
        # The batch is one example, without padding: all of its rows are real.
        layers.append(maps.maps[0])
        if len(layers) == model.layers:
            # In place: `total` belongs to this call alone.
            np.add(total, divergences(torch.cat(layers)).double().cpu().numpy(), out=total)
            layers.clear()

    stream(
        model,
        only(encoded, rows.tolist()),
        see,
        batch_tokens=1,
        precision=precision,
        advance=advance,
    )
    return total / len(rows)


def clusters(distances: Float[np.ndarray, "a a"], count: int) -> Int[np.ndarray, "a"]:
    """`count` groups of heads by average linkage, numbered from 1 in the order of their first
    heads.

    Raises HeadscopeError when `count` is not between 1 and the number of heads.
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
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    number = np.empty(len(first), dtype=np.int64)
    number[np.argsort(first)] = np.arange(1, len(first) + 1)
    return number[inverse]


def layout(distances: Float[np.ndarray, "a a"]) -> Float[np.ndarray, "a xy"]:
    """The heads as points in a plane, by classical multidimensional scaling; x spreads them most.

    The squared distance of two points comes near what `likeness` gave: the square root of a mean
    Jensen-Shannon divergence is a Euclidean distance, the divergence itself is none. The larger end
    of each axis is positive.
    """
    centred = distances - distances.mean(0)
    centred = centred - centred.mean(1, keepdims=True)
    values, vectors = np.linalg.eigh(-(centred + centred.T) / 4)
    points = np.zeros((len(distances), 2))
    kept = vectors[:, :-3:-1] * np.sqrt(np.maximum(values[:-3:-1], 0.0))
    points[:, : kept.shape[1]] = kept * np.sign(
        kept[np.abs(kept).argmax(0), np.arange(kept.shape[1])]
    )
    return points
