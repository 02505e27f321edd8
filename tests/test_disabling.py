"""Sets of heads, and the table of what disabling them does: worked by hand."""

import doctest

import numpy as np
import polars as pl
import pytest

from headscope.ablation import sets
from headscope.ablation.effects import effects
from headscope.ablation.sets import SetResult, parse_sets, top_heads
from headscope.axes import Head
from headscope.errors import HeadscopeError
from headscope.tasks import find
from headscope.tasks.scores import score_rows_of


def test_each_and_layers() -> None:
    each = parse_sets("each", 2, 3)
    assert [name for name, _ in each] == ["L1H1", "L1H2", "L1H3", "L2H1", "L2H2", "L2H3"]
    assert all(len(heads) == 1 for _, heads in each)
    layers = dict(parse_sets("layers", 2, 3))
    assert layers["layer 2"] == {Head(2, 1), Head(2, 2), Head(2, 3)}
    assert parse_sets("L2H3, L1H1", 2, 3) == [("L1H1,L2H3", frozenset([Head(1, 1), Head(2, 3)]))]


def test_several_sets_and_all_but_one() -> None:
    assert [name for name, _ in parse_sets("L2H3; L1H1,L1H2", 2, 3)] == ["L2H3", "L1H1,L1H2"]
    kept = dict(parse_sets("all-but-one", 2, 3))
    assert len(kept) == 6
    assert kept["layer 2 but L2H2"] == {Head(2, 1), Head(2, 3)}
    with pytest.raises(HeadscopeError, match="needs layers of at least two heads"):
        parse_sets("all-but-one", 2, 1)


def test_the_heads_with_the_most_of_a_measure() -> None:
    values: dict[str, list[float | None]] = {"entropy": [3, 1, 2, 3], "distance": [0, 0, 9, None]}
    table = pl.DataFrame(
        {"measure": measure, "layer": 1 + at // 2, "head": 1 + at % 2, "value": value}
        for measure, own in values.items()
        for at, value in enumerate(own)
    )
    # Of equal ones the lower head comes first; a head without a value is not there.
    assert top_heads(table, "entropy", 3) == [Head(1, 1), Head(2, 2), Head(2, 1)]
    with pytest.raises(HeadscopeError, match="the top 4 heads by distance cannot be had of 3"):
        top_heads(table, "distance", 4)
    with pytest.raises(
        HeadscopeError, match="unknown measure of that run 'entrpy': did you mean 'entropy'"
    ):
        top_heads(table, "entrpy", 1)


def test_random_sets_differ_and_come_from_the_seed() -> None:
    one = parse_sets("random", 5, 7, seed=3, random_sets=11, random_size=2)
    assert len({heads for _, heads in one}) == 11
    assert all(len(heads) == 2 for _, heads in one)
    assert one == parse_sets("random", 5, 7, seed=3, random_sets=11, random_size=2)
    assert one != parse_sets("random", 5, 7, seed=4, random_sets=11, random_size=2)
    assert parse_sets("random:2", 5, 7, seed=3, random_sets=11) == one
    # There are no more than three.
    assert len(parse_sets("random", 1, 3, random_sets=11)) == 3


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("L13H1", "L13H1 does not exist: the model has 12 layers of 12 heads"),
        ("L1H1,L1H1", "named twice"),
        ("", "the list of heads is empty: name at least one"),
        ("L1H1;", "the list of heads is empty: name at least one"),
        ("L1H1;L2H2;l1h1", "names the set L1H1 twice"),
        ("all", "'all' is not a head"),
        (
            "every",
            "is not understood: give each, layers, all-but-one, random, or heads as in L1H2,L7H6",
        ),
        ("random:x", "write random:5 for random sets of 5 heads"),
        ("random:145", "a random set of 145 heads cannot be drawn from 144"),
    ],
)
def test_sets_that_make_no_sense(spec: str, message: str) -> None:
    with pytest.raises(HeadscopeError, match=message):
        parse_sets(spec, 12, 12)


def as_logits(classes: list[int]) -> np.ndarray:
    return np.eye(2, dtype=np.float32)[classes]


def test_effects_by_hand() -> None:
    task = find("mrpc")
    labels = np.array([1, 1, 1, 1, 0, 0, 0, 0, 1, 1])
    before = as_logits([1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
    after = [
        # Eight right -> three right: six lost, one won.
        SetResult("L1H1", frozenset([Head(1, 1)]), as_logits([0, 0, 0, 0, 1, 1, 0, 0, 1, 0]), 0.5),
        SetResult("L1H2,L2H1", frozenset([Head(1, 2), Head(2, 1)]), before, 0.25),
    ]
    rows = effects(task, labels, before, after, mode="uniform", seed=0)
    assert [(r.set, r.metric) for r in rows] == [
        ("L1H1", "accuracy"), ("L1H2,L2H1", "accuracy"), ("L1H1", "f1"), ("L1H2,L2H1", "f1"),
    ]  # fmt: skip
    worse, same = rows[:2]
    assert (worse.baseline, worse.value, worse.delta) == pytest.approx((80, 30, -50))
    assert worse.p == pytest.approx(2 * (1 + 7) / 2**7)
    assert worse.p_corrected == pytest.approx(2 * worse.p)
    # Of ten examples six are lost and one is won: by the exact test, too, that may be chance.
    assert worse.low < -50 < 0 < worse.high
    assert (worse.layer, worse.head, worse.activation_change) == (1, 1, 0.5)
    assert (same.delta, same.p) == (0, 1)
    # Ten examples without a flip leave room for 3.84 / 13.84 either way.
    assert (same.low, same.high) == pytest.approx((-27.75, 27.75), abs=0.01)
    assert rows[3].low < 0 < rows[3].high
    assert (same.layer, same.head) == (None, None)
    assert {r.test for r in rows} == {"exact McNemar", "paired permutation"}
    # The loss of a right answer is ln(1 + 1/e), of a wrong one ln(1 + e): one more for each of the five lost on balance.
    assert worse.loss_change == pytest.approx(0.5)
    assert worse.loss_low < 0.5 < worse.loss_high
    # One of them was won: six lost and one won are seven moved.
    assert worse.loss_moved == pytest.approx(0.7)
    assert same.loss_moved == 0
    assert same.loss_change == 0
    assert np.isnan([same.loss_low, same.loss_high]).all()
    # F1 before: 2*4/(2*4+2); after: 2*1/(2*1+2+5).
    assert rows[2].delta == pytest.approx(100 * (2 / 9 - 8 / 10))


def test_a_score_is_beside_its_majority_baseline() -> None:
    labels = np.array([1, 1, 0, 1])
    rows = score_rows_of(
        find("mrpc"),
        np.array([1, 1, 0]),
        labels,
        as_logits([1, 0, 0, 1]),
        configuration="x",
        seed=0,
    )
    accuracy, f1 = rows
    assert (accuracy.value, accuracy.majority, accuracy.n) == (75, 75, 4)
    assert f1.majority == pytest.approx(100 * 6 / 7)
    assert accuracy.low < 75 < accuracy.high


def test_doctests() -> None:
    assert doctest.testmod(sets) == (0, 1)
