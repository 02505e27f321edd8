"""Metrics against scikit-learn's and SciPy's, plain and weighted; predictions, losses, the majority baseline."""

import doctest
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax
from scipy.stats import pearsonr, rankdata, spearmanr, zscore
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    f1_score,
    matthews_corrcoef,
    roc_auc_score,
)

from headscope.errors import HeadscopeError
from headscope.stats import metrics, ranking
from headscope.stats.metrics import METRICS, Tally, metric_named
from headscope.tasks import find
from headscope.tasks.outputs import losses, majority, predictions, targets, training_loss

Array = npt.NDArray[Any]
RANKINGS = ("average_precision", "roc_auc")


def slow_ranking(
    metric: str, labels: Array, predicted: Array, weights: Array | None = None
) -> float:
    """The kept library's score of a ranking, a fraction; 0 without one of the classes it needs."""
    if not labels.any() or (metric == "roc_auc" and labels.all()):
        return 0.0
    score = {"average_precision": average_precision_score, "roc_auc": roc_auc_score}[metric]
    return float(score(labels, predicted, sample_weight=weights))


def slow_shares(metric: str, labels: Array, predicted: Array) -> Array:
    """The score plus n times its slope by the weight of each example, by small differences."""
    n, step = len(labels), 1e-5
    shares = np.full(n, slow_ranking(metric, labels, predicted))
    for number in range(n):
        nudge = step * np.eye(n)[number]
        more = slow_ranking(metric, labels, predicted, 1 + nudge)
        less = slow_ranking(metric, labels, predicted, 1 - nudge)
        shares[number] += n * (more - less) / (2 * step)
    return shares


OF_TEXTS = [name for name, metric in METRICS.items() if not (metric.of_tokens or metric.of_queries)]
"""Metrics of single texts and pairs; those of queries are in test_groups.py."""


def slow_score(metric: str, labels: Array, predicted: Array) -> float:
    """The kept library's score in points; 0 for the correlation with a constant."""
    if metric in RANKINGS:
        return 100 * slow_ranking(metric, labels, predicted)
    if metric == "accuracy":
        return 100 * float(accuracy_score(labels, predicted))
    if metric == "f1":
        return 100 * float(f1_score(labels, predicted, pos_label=1, zero_division=0.0))
    if np.ptp(labels) == 0 or np.ptp(predicted) == 0:
        return 0.0
    if metric == "matthews":
        return 100 * float(matthews_corrcoef(labels, predicted))
    correlation = {"pearson": pearsonr, "spearman": spearmanr}[metric]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of two examples.
        return 100 * float(correlation(labels, predicted).statistic)


def comparable(metric: str, labels: Array, column: Array) -> Array:
    """Predictions as they are exchanged: for a correlation standardised, for that of ranks ranked.

    For a ranking of two classes, what each example has in the score.
    """
    if metric in RANKINGS:
        return slow_shares(metric, labels, column)
    if metric == "spearman":
        column = rankdata(column)
    return np.asarray(zscore(column)) if METRICS[metric].regression else column


def slow_exchanged(metric: str, labels: Array, column: Array) -> float:
    """The score in points of predictions as they are exchanged; ranks are not ranked again."""
    if metric in RANKINGS:
        return 100 * float(column.mean())
    if metric == "spearman":
        return slow_score("pearson", rankdata(labels), column)
    return slow_score(metric, labels, column)


def some(metric: str, n: int, sets: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Labels and predictions [set, example] that the metric takes, with ties."""
    if metric in RANKINGS:
        return rng.integers(0, 2, n).astype(float), rng.normal(size=(sets, n)).round(1)
    if METRICS[metric].regression:
        return rng.normal(size=n).round(1), rng.normal(size=(sets, n)).round(1)
    classes = 3 if metric == "matthews" else 2
    return rng.integers(0, classes, n), rng.integers(0, classes, (sets, n))


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.integers(2, 23), st.sampled_from(sorted(OF_TEXTS)))
def test_scores_equal_the_kept_library(seed: int, n: int, metric: str) -> None:
    labels, predicted = some(metric, n, 3, np.random.default_rng(seed))
    for row in predicted:
        expected = slow_score(metric, labels, row)
        assert METRICS[metric].score(labels, row) == pytest.approx(expected, abs=1e-8)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.integers(2, 23), st.sampled_from(sorted(OF_TEXTS)))
def test_a_weight_is_so_many_copies_of_the_example(seed: int, n: int, metric: str) -> None:
    rng = np.random.default_rng(seed)
    labels, predicted = some(metric, n, 3, rng)
    weights = rng.integers(0, 4, (5, n))
    weights[:, 0] += 2
    scores = Tally(METRICS[metric], labels, predicted).score(weights.astype(float))
    assert scores.shape == (5, 3)
    for draw, times in enumerate(weights):
        copies = np.repeat(np.arange(n), times)
        for which, row in enumerate(predicted):
            expected = slow_score(metric, labels[copies], row[copies])
            assert scores[draw, which] == pytest.approx(expected, abs=1e-8)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.integers(2, 23), st.sampled_from(RANKINGS))
def test_rankings_with_weights_that_are_not_whole(seed: int, n: int, metric: str) -> None:
    rng = np.random.default_rng(seed)
    labels, predicted = some(metric, n, 2, rng)
    weights = rng.random((3, n))
    scores = Tally(METRICS[metric], labels, predicted).score(weights)
    for draw, weight in enumerate(weights):
        for which, row in enumerate(predicted):
            expected = 100 * slow_ranking(metric, labels, row, weight)
            assert scores[draw, which] == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("metric", RANKINGS)
def test_shares_in_a_ranking_are_its_slopes(metric: str) -> None:
    labels, predicted = some(metric, 31, 4, np.random.default_rng(2))
    form = METRICS[metric].ranking
    assert form is not None
    for row in predicted:
        shares = form.shares(labels, row)
        assert shares == pytest.approx(slow_shares(metric, labels, row), abs=1e-5)
        assert shares.mean() == pytest.approx(slow_ranking(metric, labels, row), abs=1e-12)
    for one_class in (np.zeros(31), np.ones(31)):
        score = slow_score(metric, one_class, row)
        assert METRICS[metric].score(one_class, row) == pytest.approx(score)
        assert METRICS[metric].cases(one_class) == 0
        assert np.isnan(form.interval(one_class, row)).all()


def test_a_constant_has_the_share_of_positives() -> None:
    labels = np.array([1.0, 0, 0, 1, 0])
    assert METRICS["average_precision"].score(labels, np.full(5, 0.3)) == pytest.approx(40)
    assert METRICS["roc_auc"].score(labels, np.full(5, 0.3)) == pytest.approx(50)


def test_a_large_offset_costs_no_digits() -> None:
    rng = np.random.default_rng(1)
    labels = rng.normal(size=211)
    predicted = labels + rng.normal(size=211)
    plain = METRICS["pearson"].score(labels, predicted)
    assert METRICS["pearson"].score(labels + 1e6, predicted - 1e6) == pytest.approx(plain, abs=1e-6)


def test_metrics_by_name() -> None:
    assert metric_named("f1") is METRICS["f1"]
    assert (METRICS["f1"].fits, METRICS["pearson"].fits) == ("classes", "a regression")
    with pytest.raises(HeadscopeError, match="unknown metric 'f11': did you mean 'f1'"):
        metric_named("f11")


def test_doctests() -> None:
    for module, examples in ((metrics, 3), (ranking, 4)):
        found = doctest.testmod(module)
        assert found.attempted >= examples
        assert found.failed == 0


def test_by_hand() -> None:
    labels, predicted = np.array([1, 1, 1, 0, 0]), np.array([1, 1, 0, 1, 0])
    assert METRICS["accuracy"].score(labels, predicted) == pytest.approx(60)
    assert METRICS["f1"].score(labels, predicted) == pytest.approx(100 * 2 / 3)
    assert METRICS["spearman"].score(
        np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 9.0])
    ) == pytest.approx(100)
    assert METRICS["pearson"].score(np.array([1.0, 2.0, 3.0]), np.array([5.0, 5.0, 5.0])) == 0


def test_the_majority_of_train_is_the_baseline() -> None:
    task = find("mrpc")
    assert majority(task, np.array([0, 1, 1]), np.zeros(4)).tolist() == [1, 1, 1, 1]
    stsb = find("stsb")
    assert majority(stsb, np.array([1.0, 4.0]), np.zeros(2)).tolist() == [2.5, 2.5]
    assert (
        METRICS["spearman"].score(
            np.array([1.0, 2.0]), majority(stsb, np.array([1.0, 4.0]), np.zeros(2))
        )
        == 0
    )


def test_predictions_are_classes_or_scores() -> None:
    assert predictions(find("mrpc"), np.array([[0.1, 0.3], [2, 1]], dtype=np.float32)).tolist() == [
        1,
        0,
    ]
    assert predictions(find("stsb"), np.array([[0.5], [2]], dtype=np.float32)).tolist() == [0.5, 2]


def test_losses_worked_by_hand() -> None:
    out = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32) * 30
    labels = np.array([0, 1, 2, 0, 1, 2, 0])
    expected = -log_softmax(out.astype(np.float64), axis=1)[np.arange(7), labels]
    assert losses(find("mnli"), labels, out) == pytest.approx(expected, abs=1e-12)
    assert losses(
        find("stsb"), np.array([1.0, 4.0]), np.array([[3.0], [3.5]], np.float32)
    ).tolist() == [4, 0.25]


@pytest.mark.parametrize(("task", "outputs"), [("mnli", 3), ("stsb", 1)])
def test_losses_are_those_of_training(task: str, outputs: int) -> None:
    rng = np.random.default_rng(0)
    out = rng.normal(size=(7, outputs)).astype(np.float32)
    labels = np.array([0, 1, 2, 0, 1, 2, 0]) if outputs > 1 else rng.random(7)
    target = targets(find(task), labels, torch.device("cpu"))
    each = losses(find(task), labels, out)
    for reduction, expected in (("mean", each.mean()), ("sum", each.sum())):
        loss = training_loss(find(task), torch.from_numpy(out), target, reduction)  # type: ignore[arg-type]
        assert loss.dtype == torch.float32
        assert float(loss) == pytest.approx(expected, rel=1e-5)
