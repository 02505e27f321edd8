"""The ways to choose which heads go by how important each is. They know no model.

Every one gives a path: for every number of heads a set to remove.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from pruning.sets import Path, Scores, Set, path_of

Importance = Callable[[Set], Scores]
"""How important every head is once some are removed; what it says of these does not matter."""
Fisher = Float[np.ndarray, "head head"]


def random_paths(heads: int, draws: int, seed: int) -> list[Path]:
    """Heads in random order, as often as wanted."""
    rng = np.random.default_rng(seed)
    return [path_of(rng.permutation(heads)) for _ in range(draws)]


def once(importance: Scores) -> Path:
    """The least important first, of equal ones the lower; ranked once, with all heads there."""
    return path_of(np.argsort(importance, kind="stable"))


def again(importance: Importance, heads: int) -> Path:
    """The least important first, ranked again after every removal (Prasanna et al. 2020 rank again
    after every step of 14 heads).
    """
    removed = np.zeros(heads, bool)
    order: list[int] = []
    while len(order) < heads - 1:
        among = np.where(removed, np.inf, importance(removed))
        order.append(int(among.argmin()))
        removed[order[-1]] = True
    # The last needs no ranking.
    order.append(int(removed.argmin()))
    return path_of(np.array(order))


def fisher_of(gradients: Float[np.ndarray, "example head"]) -> Fisher:
    """The empirical Fisher information of the head mask: the mean over examples of g g'.

    Source: Kwon et al. 2022, section 4.1; there of the gradients of batches.
    """
    return np.asarray(gradients.T @ gradients / len(gradients))


def with_swaps(path: Path, fisher: Fisher, layers: int) -> Path:
    """The path with the heads chosen anew within each layer, as many as before, by the layer's
    block of the Fisher information.

    The heads of the smallest diagonal are removed at first; then every other head, in the order of
    the diagonal, is put to them, and the one put back without which the quadratic form of those
    that are left is smallest (Kwon et al. 2022, section 4.2, and `greedy_rearrange` in their code).
    """
    swapped = np.zeros_like(path)
    per_layer = path.shape[1] // layers
    for layer in range(layers):
        here = slice(layer * per_layer, (layer + 1) * per_layer)
        block = fisher[here, here]
        best = {count: _best(block, count) for count in range(per_layer + 1)}
        for size, removed in enumerate(path):
            swapped[size, here] = best[int(removed[here].sum())]
    return swapped


def _best(block: Fisher, count: int) -> Set:
    order = np.argsort(np.diag(block), kind="stable")
    chosen = list(order[:count])
    for candidate in order[count:] if count else ():
        chosen.append(candidate)
        part = block[np.ix_(chosen, chosen)]
        # (1 - e)' F (1 - e) for every head that could be put back.
        without = part.sum() - 2 * part.sum(1) + np.diag(part)
        del chosen[int(without.argmin())]
    removed = np.zeros(len(block), bool)
    removed[chosen] = True
    return removed
