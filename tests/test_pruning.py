"""The search for heads that can go together, on costs whose optimum is known; no model here."""

import doctest
import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from headscope.errors import HeadscopeError
from headscope.pruning import choice
from headscope.pruning.search import (
    Effort,
    Known,
    Step,
    greedy,
    search,
    with_one_exchanged,
    with_one_fewer,
    with_one_more,
)
from headscope.pruning.surrogate import Prior, Surrogate

Sets = NDArray[np.bool_]
Costs = NDArray[np.float64]


def stand_ins(heads: int, seed: int) -> Callable[[Sets], Costs]:
    """A loss in which heads stand in for each other: a group costs much only once it is gone."""
    rng = np.random.default_rng(seed)
    alone = rng.gamma(0.3, 0.02, heads) - 0.002
    pairs = np.triu(rng.gamma(0.2, 0.02, (heads, heads)), 1)
    groups = [rng.choice(heads, 3, replace=False) for _ in range(heads // 4)]
    worth = rng.gamma(0.5, 0.15, len(groups))

    def loss(sets: Sets) -> Costs:
        removed = sets.astype(float)
        total = 0.4 + removed @ alone + np.einsum("si,ij,sj->s", removed, pairs, removed)
        for group, cost in zip(groups, worth, strict=True):
            total = total + cost * removed[:, group].prod(1)
        return np.asarray(np.log1p(np.exp(3 * total)) / 3)

    return loss


class Counted:
    """A loss that notes every set it was asked for."""

    def __init__(self, loss: Callable[[Sets], Costs]) -> None:
        self.loss = loss
        self.asked: list[bytes] = []

    def __call__(self, sets: Sets) -> Costs:
        self.asked += [one.tobytes() for one in sets]
        return self.loss(sets)


def losses(path: list[Step]) -> Costs:
    return np.array([step.loss for step in path])


def test_the_surrogate_is_a_regression_on_heads_and_pairs() -> None:
    # The same by an explicit design matrix: a column per head and, scaled, one per pair.
    rng = np.random.default_rng(0)
    heads, prior = 6, Prior(pairs=0.3, noise=0.01)
    sets = rng.random((20, heads)) < 0.4
    costs, new = rng.normal(size=20), rng.random((5, heads)) < 0.5

    def design(chosen: Sets) -> Costs:
        both = [chosen[:, i] & chosen[:, j] for i, j in itertools.combinations(range(heads), 2)]
        columns = [*chosen.T, *(np.sqrt(prior.pairs) * one for one in both)]
        return np.stack(columns, 1).astype(float)

    known, asked = design(sets), design(new)
    noise = prior.noise * float((known**2).sum(1).mean())
    precision = known.T @ known / noise + np.eye(known.shape[1])
    weights = np.linalg.solve(precision, known.T @ costs / noise)
    surrogate = Surrogate.fit(sets, costs, prior)
    expected, deviation = surrogate.predict(new)
    np.testing.assert_allclose(expected, asked @ weights, atol=1e-9)
    spread = np.einsum("sa,ab,sb->s", asked, np.linalg.inv(precision), asked)
    # Both variances have one scale, which makes the costs most likely.
    gram = known @ known.T + noise * np.eye(20)
    scale = costs @ np.linalg.solve(gram, costs) / 20
    np.testing.assert_allclose(deviation, np.sqrt(scale * spread), atol=1e-9)
    evidence = -0.5 * (np.linalg.slogdet(scale * gram)[1] + 20)
    other = Surrogate.fit(sets, costs, Prior(0.0, 0.01))
    gram_other = sets.astype(float) @ sets.T.astype(float)
    gram_other += 0.01 * np.diag(gram_other).mean() * np.eye(20)
    scale_other = costs @ np.linalg.solve(gram_other, costs) / 20
    evidence_other = -0.5 * (np.linalg.slogdet(scale_other * gram_other)[1] + 20)
    assert surrogate.evidence - other.evidence == pytest.approx(evidence - evidence_other)


def test_the_likeliest_prior_tells_pairs_from_none() -> None:
    rng = np.random.default_rng(1)
    sets = rng.random((150, 10)) < 0.5
    alone = sets @ rng.normal(size=10)
    assert Surrogate.fit(sets, alone).prior.pairs == 0
    both = np.einsum("si,ij,sj->s", sets, np.triu(rng.normal(size=(10, 10)), 1), sets)
    assert Surrogate.fit(sets, alone + both).prior.pairs >= 0.3


def test_costs_that_add_up_give_the_optimum() -> None:
    costs = np.random.default_rng(2).normal(size=30)
    path = search(lambda sets: sets @ costs, 30)
    np.testing.assert_allclose(losses(path), np.r_[0, np.cumsum(np.sort(costs))], atol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_heads_that_stand_in_for_each_other_are_not_removed_together(seed: int) -> None:
    # 1,024 sets: the best of every size by trying all.
    loss = stand_ins(10, seed)
    every = np.array(list(itertools.product([False, True], repeat=10)))
    all_losses, sizes = loss(every), every.sum(1)
    best = np.array([all_losses[sizes == size].min() for size in range(11)])
    found = losses(search(loss, 10, Effort(10, 8, 4, 3, 5)))
    np.testing.assert_array_less(found - best, 0.01 * (best[-1] - best[0]) + 1e-12)
    # What single effects say is no path: the sum of what heads cost alone is far from the loss.
    order = np.argsort(loss(np.eye(10, dtype=bool)), kind="stable")
    single = np.array([loss(np.isin(np.arange(10), order[:size])[None])[0] for size in range(11)])
    assert (single - best).max() > 5 * (found - best).max()


def test_a_fifth_of_the_sets_of_a_greedy_search_is_enough() -> None:
    counted = Counted(stand_ins(72, seed=0))
    path = search(counted, 72)
    all_tried = Counted(stand_ins(72, seed=0))
    every = greedy(all_tried, 72)
    assert len(all_tried.asked) == 1 + 72 * 73 // 2
    assert len(counted.asked) <= len(all_tried.asked) / 5
    # No set is scored twice.
    assert len(set(counted.asked)) == len(counted.asked)
    gap = (losses(path) - losses(every))[1:-1]
    assert gap.mean() < 0.01 * (losses(every)[-1] - losses(every)[0])


def test_a_path_has_a_set_of_every_size_and_is_the_same_again() -> None:
    loss = stand_ins(15, 3)
    path = search(loss, 15)
    assert [int(step.removed.sum()) for step in path] == list(range(16))
    np.testing.assert_allclose(losses(path), loss(np.stack([step.removed for step in path])))
    again = search(loss, 15)
    assert all((one.removed == two.removed).all() for one, two in zip(path, again, strict=True))


@pytest.mark.parametrize("heads", [1, 2, 3])
def test_models_of_very_few_heads(heads: int) -> None:
    path = search(lambda sets: sets.sum(1).astype(float), heads)
    assert losses(path).tolist() == list(range(heads + 1))


def test_equal_losses_and_losses_that_are_huge() -> None:
    assert [step.loss for step in search(lambda sets: np.zeros(len(sets)), 8)] == [0] * 9
    path = search(lambda sets: 1e6 * sets.sum(1) ** 4.0, 8)
    assert losses(path).tolist() == [1e6 * size**4 for size in range(9)]


def test_greedy_by_hand() -> None:
    # Heads 1 and 2 stand in for each other; head 3 costs 2.
    def loss(sets: Sets) -> Costs:
        return np.asarray(10.0 * (sets[:, 0] & sets[:, 1]) + 2.0 * sets[:, 2])

    path = greedy(loss, 3)
    assert [step.loss for step in path] == [0, 0, 2, 12]


def test_known_losses_are_not_scored_again() -> None:
    counted = Counted(lambda sets: sets.sum(1).astype(float))
    known = Known(counted, 3)
    sets = np.eye(3, dtype=bool)
    assert known.losses(np.concatenate([sets, sets])).tolist() == [1] * 6
    assert known.losses(sets[:1]).tolist() == [1]
    assert len(known) == len(counted.asked) == 3


@settings(max_examples=30)
@given(st.lists(st.booleans(), min_size=1, max_size=8))
def test_the_sets_next_to_a_set(heads: list[bool]) -> None:
    one = np.array(heads)
    inside, outside = int(one.sum()), int((~one).sum())
    exchanged = with_one_exchanged(one)
    assert len(exchanged) == len({row.tobytes() for row in exchanged}) == inside * outside
    assert all(row.sum() == inside and (row != one).sum() == 2 for row in exchanged)
    fewer = with_one_fewer(one)
    assert len(fewer) == inside
    assert all(row.sum() == inside - 1 and (one & row == row).all() for row in fewer)
    if outside:
        grown = with_one_more(np.stack([one, one]))
        assert len(grown) == outside
        assert all((row & one).sum() == inside and row.sum() == inside + 1 for row in grown)


def test_the_number_of_heads_is_chosen_on_a_curve() -> None:
    # One by one, the score at 5 removed lies within a point; the curve there does not.
    scores = np.array([90.0, 90.2, 89.8, 84.0, 80.0, 89.6, 60.0])
    assert choice.fewest_kept(scores, 1.0) == 2
    assert choice.fewest_kept(np.array([90.0, 70.0, 60.0]), 1.0) == 0
    assert choice.fewest_kept(np.array([50.0, 60.0, 70.0]), 1.0) == 2
    assert choice.kept_counts([0.5, 0.5, 0.25], 12) == [6, 3]
    with pytest.raises(HeadscopeError, match="--keep 0.99 keeps 12 of 12 heads"):
        choice.kept_counts([0.99], 12)
    for spec in ("0", "1", "0.5,,0.2", "half", "nan", "50%"):
        with pytest.raises(HeadscopeError, match="shares of the heads between 0 and 1"):
            choice.shares_of(spec)


def test_doctests() -> None:
    from headscope.reporting import pruning
    from headscope.stats import noninferiority

    for module in (choice, noninferiority, pruning):
        tested = doctest.testmod(module)
        assert tested.attempted
        assert not tested.failed
