"""Every way to choose heads by its name in the tables, run on one model."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from headscope.pruning.search import greedy, search
from pruning import rivals
from pruning.scoring import Asker, Objective, SetScores
from pruning.sets import Path, Score, Scores, Set, check_path
from pruning.setting import Setting
from pruning.weights import Gradients, diagonal, entropy, magnitude, mask_gradients, michel

DRAWS = 20
RANDOM = "random"
SCALED = "Fisher, once, swaps and scales"
LOSS, DIVERGENCE = "greedy, loss", "greedy, KL"
GREEDY = (LOSS, DIVERGENCE)
OURS = ("search, loss", "search, KL")


@dataclass(frozen=True)
class Found:
    """What a method found.

    Attributes:
        paths: One path, or several that are averaged.
        sets: How many different sets it scored.
        passes: How many times it took gradients or maps of all search examples.
        seconds: Processor seconds that it took.
    """

    paths: tuple[Path, ...]
    sets: int
    passes: int
    seconds: float


class Bench:
    """A model with its search examples, on which methods are run.

    Args:
        setting: The model.
        scores: The scores of sets on the search examples.
        seed: Of random orders.
    """

    def __init__(self, setting: Setting, scores: SetScores, seed: int) -> None:
        self.setting, self.scores, self.seed = setting, scores, seed
        self.passes = 0

    def gradients(self, removed: Set) -> Gradients:
        """The gradients of the head mask on the search examples."""
        self.passes += 1
        return mask_gradients(self.setting, self.setting.search, removed)

    @property
    def of_whole(self) -> Gradients:
        """Those with all heads there."""
        return self.gradients(np.zeros(self.setting.heads, bool))

    def again(self, importance: Callable[[Gradients], Scores]) -> Path:
        """Ranked by gradients after every removal."""
        heads = self.setting.heads
        return rivals.again(lambda removed: importance(self.gradients(removed)), heads)

    def entropy(self) -> Scores:
        """The mean entropy of every head's attention on the search examples."""
        self.passes += 1
        return entropy(self.setting, self.setting.search)

    def swapped(self) -> Path:
        """Kwon et al.'s choice."""
        gradients = self.of_whole
        path = rivals.once(diagonal(gradients))
        return rivals.with_swaps(path, rivals.fisher_of(gradients), self.setting.layers)


RANKINGS: Mapping[str, Callable[[Bench], Path]] = {
    "magnitude": lambda bench: rivals.once(magnitude(bench.setting)),
    "entropy, highest first": lambda bench: rivals.once(-bench.entropy()),
    "entropy, lowest first": lambda bench: rivals.once(bench.entropy()),
    "Michel, once": lambda bench: rivals.once(michel(bench.of_whole)),
    "Fisher, once": lambda bench: rivals.once(diagonal(bench.of_whole)),
    "Fisher, once, swaps": Bench.swapped,
    "Michel, again": lambda bench: bench.again(michel),
    "Fisher, again": lambda bench: bench.again(diagonal),
}
"""Rankings by importance: what removes the heads that a number says to be the least needed."""


def _searched(score: Score, heads: int) -> Path:
    """headscope's search, with its usual effort."""
    return np.stack([step.removed for step in search(score, heads)])


def _greedy(score: Score, heads: int) -> Path:
    """All heads tried at every step."""
    return np.stack([step.removed for step in greedy(score, heads)])


Search = Callable[[Score, int], Path]
SEARCHES: Mapping[str, tuple[Objective, Search]] = {
    OURS[0]: ("loss", _searched),
    LOSS: ("loss", _greedy),
    OURS[1]: ("divergence", _searched),
    DIVERGENCE: ("divergence", _greedy),
}
SEARCHES_BY_LOSS = [(name, find) for name, (by, find) in SEARCHES.items() if by == "loss"]
NAMES = (
    "magnitude",
    "entropy, highest first",
    "entropy, lowest first",
    "Michel, once",
    "Fisher, once",
    "Fisher, once, swaps",
    SCALED,
    *SEARCHES,
    "Michel, again",
    "Fisher, again",
    RANDOM,
)
"""All methods, in the order in which they are run."""


def run(name: str, bench: Bench) -> Found:
    """Run a method by its name."""
    if name in SEARCHES:
        objective, find = SEARCHES[name]
        asker = Asker(bench.scores, objective)
        path = find(asker, bench.setting.heads)
        check_path(path)
        return Found((path,), asker.sets, 0, asker.seconds)
    start, before = time.process_time(), bench.passes
    if name == RANDOM:
        paths = tuple(rivals.random_paths(bench.setting.heads, DRAWS, bench.seed))
    else:
        # Scales are fitted where the path's sets are scored.
        ranking = RANKINGS["Fisher, once, swaps" if name == SCALED else name]
        paths = (ranking(bench),)
    return Found(paths, 0, bench.passes - before, time.process_time() - start)
