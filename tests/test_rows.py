"""The rows of measures and patterns: what stands in a table, worked by hand."""

import numpy as np
import pytest

from headscope.axes import Head, all_heads
from headscope.measures.base import Moments
from headscope.measures.comparison import COSINE, Comparison
from headscope.measures.rows import (
    ChangeRow,
    HeadRow,
    change_rows,
    head_rows,
    importance_rows,
    likeness_rows,
    values_by_head,
)
from headscope.names import AFTER, BEFORE, BLOCK, CLASSES, HETEROGENEOUS, VERTICAL
from headscope.patterns.collect import Classified
from headscope.patterns.rows import heterogeneous_rows, pattern_rows, shares_of_heads
from headscope.results.run import as_columns
from headscope.stats.changes import share_change
from headscope.stats.paired import wilson


def moments(*values: list[float]) -> Moments:
    """One layer of heads with these values, one list an example; NaN is no value."""
    given = np.array(values, dtype=float)
    kept = np.nan_to_num(given)
    n = (~np.isnan(given)).sum(0, keepdims=True).astype(float)
    return Moments(n, kept.sum(0, keepdims=True), (kept**2).sum(0, keepdims=True))


def test_a_measure_that_no_example_has_is_no_row() -> None:
    nan = float("nan")
    entropy = moments(*[[1.0, 2.0], [3.0, 2.0]] * 5)
    rows = head_rows({"entropy": entropy, "distance": moments([nan, nan])})
    assert [(row.layer, row.head, row.value, row.n) for row in rows] == [
        (1, 1, 2, 10),
        (1, 2, 2, 10),
    ]
    assert {(row.measure, row.unit) for row in rows} == {("entropy", "nats")}
    # Ten values of 1 and 3: their mean's standard error is 1 / 3, and t(0.975, 9) is 2.2622.
    half = 2.2622 / 3
    assert (rows[0].low, rows[0].high) == pytest.approx((2 - half, 2 + half), abs=1e-4)
    # Values that are all 2 do not say how far others may lie from it.
    assert np.isnan([rows[1].low, rows[1].high]).all()
    assert values_by_head(rows) == {"entropy": {Head(1, 1): 2, Head(1, 2): 2}}


def test_a_share_of_examples_has_score_intervals() -> None:
    before, after = moments(*[[0.0], [1.0]] * 6), moments(*[[1.0], [1.0]] * 6)
    (row,) = head_rows({"sink_rate": after})
    assert (row.value, row.low, row.high) == pytest.approx((1, *wilson(12, 12)))
    comparison = Comparison(
        before={"sink_rate": before},
        after={"sink_rate": after},
        difference={"sink_rate": moments(*[[1.0], [0.0]] * 6)},
        cosine=moments([float("nan")]),
        over_last=Moments(np.array([]), np.array([]), np.array([])),
    )
    (change,) = change_rows(comparison)
    assert (change.value, change.before, change.after) == (0.5, 0.5, 1)
    low, high = share_change(np.array([0]), np.array([6]), np.array([12]))
    assert (change.low, change.high) == pytest.approx((low.item(), high.item()))


def test_a_change_stands_beside_its_means_and_the_cosine_alone() -> None:
    comparison = Comparison(
        before={"entropy": moments([1, 2], [3, 2])},
        after={"entropy": moments([2, 5], [4, 5])},
        difference={"entropy": moments([1, 3], [1, 3])},
        cosine=moments([0.5, 1], [0.75, 1]),
        over_last=Moments(np.array([]), np.array([]), np.array([])),
    )
    cosine, _, first, second = change_rows(comparison)
    assert (cosine.measure, cosine.value, cosine.unit) == (COSINE, 0.625, "cosine")
    assert (cosine.before, cosine.after) == (None, None)
    assert (first.measure, first.value, first.before, first.after) == ("entropy", 1, 2, 3)
    assert (second.value, second.before, second.after) == (3, 2, 5)
    columns = ["layer", "head", "measure", "value", "low", "high", "n", "unit"]
    assert list(as_columns(HeadRow(1, 1, "entropy", 1.0, 0.5, 1.5, 2, "nats"))) == columns
    assert list(as_columns(first)) == [*columns, "before", "after"]
    assert isinstance(first, ChangeRow)


def test_importance_has_rows_in_its_unit_and_normalised() -> None:
    rows = importance_rows(moments([3, 4], [3, 4]), "squared error")
    assert [(row.measure, row.value, row.unit) for row in rows] == [
        ("gradient_importance", 3, "squared error"),
        ("gradient_importance", 4, "squared error"),
        ("gradient_importance_normalised", 0.6, "share of the layer's norm"),
        ("gradient_importance_normalised", 0.8, "share of the layer's norm"),
    ]


def test_likeness_has_a_row_per_pair() -> None:
    distances = np.array([[0, 0.1, 0.2], [0.1, 0, 0.3], [0.2, 0.3, 0]])
    rows = likeness_rows(distances, np.array([1, 1, 2]), all_heads(1, 3), 7)
    assert [(row.head, row.other_head, row.value) for row in rows] == [
        (1, 2, 0.1),
        (1, 3, 0.2),
        (2, 3, 0.3),
    ]
    assert [(row.cluster, row.other_cluster) for row in rows] == [(1, 1), (1, 2), (1, 2)]
    assert {(row.n, row.unit) for row in rows} == {(7, "nats")}


def test_patterns_by_hand() -> None:
    # Two layers of three heads on two examples, as indices in CLASSES; the second has none in the first layer.
    vertical, block, other = (CLASSES.index(name) for name in (VERTICAL, BLOCK, HETEROGENEOUS))
    before = np.full((2, 2, 3), vertical)
    after = np.array(
        [
            [[other, vertical, other], [block, other, vertical]],
            [[-1, -1, -1], [other, other, vertical]],
        ]
    )
    certain = {
        state: Classified(of_maps, of_maps[..., None] == np.arange(5))
        for state, of_maps in ((BEFORE, before), (AFTER, after))
    }
    rows = pattern_rows(certain, seed=0)
    # States, scopes (a model, two layers, six heads), with either interval, classes.
    assert len(rows) == 2 * 9 * 2 * 5
    assert "class" in as_columns(rows[0])
    model = [row for row in rows if row.state == AFTER and row.layer is None]
    assert [round(row.value, 6) for row in model[:5]] == [0.333333, 0, 0, 0.111111, 0.555556]
    assert {(row.n, row.examples) for row in model} == {(9, 2)}
    by_head = shares_of_heads(rows, AFTER)
    assert by_head[Head(2, 1)].tolist() == [0, 0, 0, 0.5, 0.5]
    assert by_head[Head(1, 1)].tolist() == [0, 0, 0, 0, 1]

    entropy = dict.fromkeys(all_heads(2, 3), 0.0) | dict.fromkeys((Head(1, 1), Head(1, 3)), 9.0)
    groups = heterogeneous_rows(rows, AFTER, {"entropy": entropy})
    # A head with as many blocks as others is not among them: the first class counts.
    assert [(row.layer, row.head) for row in groups] == [(1, 1), (1, 3), (2, 2)]
    assert {(row.group, row.name, row.measure, row.share) for row in groups} == {
        (1, "no one measure", "entropy", 1.0)
    }
    assert heterogeneous_rows(rows, BEFORE, {"entropy": entropy}) == []
    evident = heterogeneous_rows(rows, AFTER, {"entropy": entropy | {Head(2, 2): 9.0}})
    assert {row.name for row in evident} == {"broad"}
    # Three of six heads at 9, three at 0: one standard deviation above the mean.
    assert evident[0].value == pytest.approx(1)
