"""One layer, all sets of its heads: how near a search comes to the optimum."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from pruning.records import LayerGap, Made
from pruning.scoring import Asker, Objective, SetScores
from pruning.sets import Path, Score, Sets, check_path

Search = Callable[[Score, int], Path]
MOST_HEADS = 14
CALL = 256
"""How many sets are scored in a call, after which they are on the disk."""


def all_sets(heads: int) -> Sets:
    """All sets of so many heads, 2 ** heads rows.

    >>> all_sets(2).astype(int)
    array([[0, 0],
           [0, 1],
           [1, 0],
           [1, 1]])
    """
    if heads > MOST_HEADS:
        raise SystemExit(f"2 ** {heads} sets are too many to score them all")
    numbers = np.arange(2**heads)[:, None]
    return np.asarray((numbers >> np.arange(heads)[::-1]) & 1 == 1)


def within(layer: int, layers: int, sets: Sets) -> Sets:
    """Sets of a layer's heads (from 0) as sets of all heads."""
    heads = sets.shape[1]
    wide = np.zeros((len(sets), layers * heads), bool)
    wide[:, layer * heads : (layer + 1) * heads] = sets
    return wide


def gap(
    scores: SetScores,
    objective: Objective,
    job: str,
    layer: int,
    searches: Sequence[tuple[str, Search]],
    made: Made,
) -> list[LayerGap]:
    """Score all sets of a layer's heads, and compare what each search finds among them.

    Args:
        scores: The scores on the search examples.
        objective: Which of them is compared and searched by.
        job: The cell's name.
        layer: The layer, from 0.
        searches: The searches by name.
        made: Where the lines come from.
    """
    setting = scores.setting
    heads = setting.model.heads
    every = all_sets(heads)
    asker = Asker(scores, objective)
    losses = np.concatenate(
        [
            asker(within(layer, setting.layers, every[start : start + CALL]))
            for start in range(0, len(every), CALL)
        ]
    )
    counted = [losses[every.sum(1) == size] for size in range(heads + 1)]
    lines = []
    for name, search in searches:
        asked = Asker(scores, objective)
        path = search(partial(_score, asked, layer, setting.layers), heads)
        check_path(path)
        found = losses_of(path, every, losses)
        lower = [int((of_size < loss).sum()) for of_size, loss in zip(counted, found, strict=True)]
        lines.append(
            LayerGap(
                job=job,
                layer=layer + 1,
                method=name,
                whole=float(losses[0]),
                best=tuple(float(of_size.min()) for of_size in counted),
                found=tuple(found.tolist()),
                rank=tuple(lower),
                of=tuple(len(of_size) for of_size in counted),
                sets=asked.sets,
                made=made,
            )
        )
    return lines


def _score(asker: Asker, layer: int, layers: int, sets: Sets) -> npt.NDArray[np.float64]:
    """The scores of sets of a layer's heads."""
    return asker(within(layer, layers, sets))


def losses_of(path: Path, every: Sets, losses: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The losses of a path's sets among those of all sets."""
    by_set = {one.tobytes(): loss for one, loss in zip(every, losses, strict=True)}
    return np.array([by_set[one.tobytes()] for one in path])
