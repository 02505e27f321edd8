"""Searches for the heads that can be removed together: for every size a set that costs little.

A step from one size to the next asks a surrogate which sets look best, scores only those, and then
tries to change removed heads for kept ones. Knows nothing of models: it asks a function for losses.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from headscope.progress import Advance, silent
from headscope.pruning.surrogate import Prior, Sets, Surrogate

Heads = Bool[np.ndarray, "head"]
"""A set: True where a head is removed."""
FoundSets = Bool[np.ndarray, "found head"]
"""Sets that were made of others."""
Score = Callable[[Sets], Float[np.ndarray, "set"]]
"""Gives the loss with each of some sets removed."""


@dataclass(frozen=True)
class Effort:
    """How much a search scores.

    Attributes:
        candidates: How many sets of the next size are scored at each step.
        exchanges: How many sets are scored at a time in which a removed head and a kept one have
            changed places.
        rounds: How often at most that is repeated at a step; it ends where nothing is gained.
        beam: From how many sets of a size the next size is reached.
        back: How many sets are scored at each step of the way back, from all heads to none.
        remembered: To how many scored sets the surrogate is fitted, those of one head aside.
    """

    candidates: int = 3
    exchanges: int = 2
    rounds: int = 2
    beam: int = 2
    back: int = 1
    remembered: int = 400


USUAL = Effort()


@dataclass(frozen=True, eq=False)
class Step:
    """The best set of one size.

    Attributes:
        removed: The set, [head].
        loss: The loss with it removed.
    """

    removed: Heads
    loss: float


class Known:
    """The sets that were scored, and their losses; none is scored twice.

    Args:
        score: Scores sets.
        heads: How many heads there are.
    """

    def __init__(self, score: Score, heads: int) -> None:
        self.heads = heads
        self._score = score
        self._losses: dict[bytes, float] = {}
        self._sets: list[Heads] = []

    def __len__(self) -> int:
        return len(self._sets)

    def losses(self, sets: Sets) -> Float[np.ndarray, "set"]:
        """The losses of sets; those that are not known are scored, all in one call."""
        new = {one.tobytes(): one for one in sets if one.tobytes() not in self._losses}
        if new:
            asked = np.stack(list(new.values()))
            for one, loss in zip(asked, self._score(asked), strict=True):
                self._losses[one.tobytes()] = float(loss)
                self._sets.append(one)
        return np.array([self._losses[one.tobytes()] for one in sets])

    def near(self, size: int, count: int) -> tuple[Sets, Float[np.ndarray, "set"]]:
        """The sets of no and of one head, and of the others the `count` nearest to a size."""
        sets = np.stack(self._sets)
        others = np.arange(self.heads + 1, len(sets))
        distance = np.abs(sets[others].sum(1) - size)
        # Of those as near, what was scored last comes first.
        order = np.lexsort((-others, distance))
        rows = np.sort(others[order[:count]])
        chosen = sets[np.concatenate([np.arange(self.heads + 1), rows])]
        return chosen, self.losses(chosen)


def search(
    score: Score, heads: int, effort: Effort = USUAL, *, advance: Advance = silent
) -> list[Step]:
    """For every number of removed heads, from none to all, a set that costs little.

    Goes up from no head to all, and back: a good set of one size less a head may be better than
    what was found on the way up. The same score gives the same sets: nothing is drawn at random.

    Args:
        score: Gives the loss with sets of heads removed.
        heads: How many heads there are.
        effort: How much is scored.
        advance: Is told of every size that is done, on the way up and on the way back.

    Returns:
        A step per size, in order of the number of removed heads.
    """
    known = Known(score, heads)
    nothing = np.zeros((1, heads), dtype=bool)
    known.losses(np.concatenate([nothing, np.eye(heads, dtype=bool)]))
    best: list[Heads] = [nothing[0]]
    beam: FoundSets = nothing
    guide = _Guide(known, effort)
    for size in range(1, heads + 1):
        beam = _next_size(known, guide, beam, size, effort)
        best.append(beam[0])
        advance(1, f"{len(known)} sets scored")
    for size in range(heads - 1, 0, -1):
        best[size] = _way_back(known, guide, best[size + 1], best[size], effort)
        advance(1, f"{len(known)} sets scored")
    losses = known.losses(np.stack(best))
    return [Step(one, float(loss)) for one, loss in zip(best, losses, strict=True)]


def steps_of(heads: int) -> int:
    """How many sizes a search of so many heads tells of."""
    return max(1, 2 * heads - 1)


def _next_size(known: Known, guide: "_Guide", beam: Sets, size: int, effort: Effort) -> FoundSets:
    """The best sets of a size that can be found from the best ones with a head less."""
    guide.refit(size)
    found = guide.best(with_one_more(beam), effort.candidates)
    best = found[int(known.losses(found).argmin())]
    for _ in range(effort.rounds):
        exchanged = with_one_exchanged(best)
        if not len(exchanged):
            break
        tried = guide.best(exchanged, effort.exchanges)
        losses = known.losses(tried)
        found = np.concatenate([found, tried])
        if losses.min() >= known.losses(best[None])[0]:
            break
        best = tried[int(losses.argmin())]
        guide.refit(size)
    unique = np.stack(list({one.tobytes(): one for one in found}.values()))
    order = np.argsort(known.losses(unique), kind="stable")
    return unique[order[: effort.beam]]


def _way_back(known: Known, guide: "_Guide", larger: Heads, best: Heads, effort: Effort) -> Heads:
    """The better of the best set of a size and what the best set of the next size leaves."""
    guide.refit(int(best.sum()))
    tried = np.concatenate([best[None], guide.best(with_one_fewer(larger), effort.back)])
    return np.asarray(tried[int(known.losses(tried).argmin())])


class _Guide:
    """Says which sets look best, by a surrogate of those that were scored."""

    _CAUTION = 0.5
    """A set looks as good as its expected loss less so many standard deviations: one of which
    little is known is worth a try.
    """
    _TUNED_EVERY = 8
    """For how many sizes a prior is kept."""
    _CAP = 3.0

    def __init__(self, known: Known, effort: Effort) -> None:
        self._known, self._effort = known, effort
        self._prior: Prior | None = None
        self._tuned_at = 0
        self._surrogate: Surrogate | None = None

    def refit(self, size: int) -> None:
        """Fit the surrogate to what is known by now of sets of about a size."""
        if abs(size - self._tuned_at) >= self._TUNED_EVERY:
            self._prior, self._tuned_at = None, size
        sets, losses = self._known.near(size, self._effort.remembered)
        costs = losses - losses[0]
        singles, others = costs[1 : self._known.heads + 1], costs[self._known.heads + 1 :]
        nearest = np.sort(np.abs(sets[self._known.heads + 1 :].sum(1) - size))[:8]
        is_near = np.abs(sets[self._known.heads + 1 :].sum(1) - size) <= nearest.max(initial=0)
        # How far a set is beyond what anybody would remove says nothing of its surroundings.
        usual = max(float(np.median(others[is_near])) if len(others) else 0.0, singles.max())
        spread = max(float(np.ptp(singles)), usual, 1e-9)
        costs = np.minimum(costs, usual + self._CAP * spread)
        self._surrogate = Surrogate.fit(sets, costs, self._prior)
        self._prior = self._surrogate.prior

    def best(self, sets: Sets, count: int) -> FoundSets:
        """The sets that look best, at most `count`."""
        if self._surrogate is None:
            raise ValueError("the surrogate was never fitted")
        expected, deviation = self._surrogate.predict(sets)
        order = np.argsort(expected - self._CAUTION * deviation, kind="stable")
        return sets[order[:count]]


def with_one_more(sets: Sets) -> FoundSets:
    """Every set that has one head more than one of these, each once."""
    grown: dict[bytes, Heads] = {}
    for one in sets:
        for head in np.flatnonzero(~one):
            larger = one.copy()
            larger[head] = True
            grown[larger.tobytes()] = larger
    return np.stack(list(grown.values()))


def with_one_fewer(removed: Heads) -> FoundSets:
    """Every set in which one removed head is kept."""
    inside = np.flatnonzero(removed)
    smaller = np.repeat(removed[None], len(inside), 0)
    smaller[np.arange(len(inside)), inside] = False
    return smaller


def with_one_exchanged(removed: Heads) -> FoundSets:
    """Every set in which one removed head and one kept one have changed places."""
    inside, outside = np.flatnonzero(removed), np.flatnonzero(~removed)
    exchanged = np.repeat(removed[None], len(inside) * len(outside), 0)
    rows = np.arange(len(exchanged)).reshape(len(inside), len(outside))
    exchanged[rows, inside[:, None]] = False
    exchanged[rows, outside[None, :]] = True
    return exchanged


def greedy(score: Score, heads: int, *, advance: Advance = silent) -> list[Step]:
    """The path that removes at each step the head whose removal costs least, all being tried.

    What `search` is measured against: it scores heads * (heads + 1) / 2 sets.
    """
    known = Known(score, heads)
    removed = np.zeros(heads, dtype=bool)
    path = [Step(removed, float(known.losses(removed[None])[0]))]
    for _ in range(heads):
        sets = with_one_more(removed[None])
        losses = known.losses(sets)
        removed = sets[int(losses.argmin())]
        path.append(Step(removed, float(losses.min())))
        advance(1, f"{len(known)} sets scored")
    return path
