"""The many-at-once forms of the metrics against scikit-learn's and scipy's, and the majority baseline."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headscope.tasks import find
from headscope.tasks.metrics import METRICS, losses, majority, predictions, score_rows


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.integers(2, 23), st.sampled_from(sorted(METRICS)))
def test_rows_equal_the_kept_library(seed: int, n: int, metric: str) -> None:
    rng = np.random.default_rng(seed)
    if METRICS[metric].regression:
        # Rounded, so that there are ties.
        labels, predicted = rng.normal(size=(3, n)).round(1), rng.normal(size=(3, n)).round(1)
    else:
        labels, predicted = (
            rng.integers(0, 2, (3, n)).astype(float),
            rng.integers(0, 2, (3, n)).astype(float),
        )
    together = score_rows(metric, labels, predicted)
    for i in range(3):
        assert together[i] == pytest.approx(
            METRICS[metric].score(labels[i], predicted[i]), abs=1e-8
        )


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
    assert majority(task, np.array([0, 1, 1]), 4).tolist() == [1, 1, 1, 1]
    stsb = find("stsb")
    assert majority(stsb, np.array([1.0, 4.0]), 2).tolist() == [2.5, 2.5]
    assert (
        METRICS["spearman"].score(np.array([1.0, 2.0]), majority(stsb, np.array([1.0, 4.0]), 2))
        == 0
    )


def test_predictions_are_classes_or_scores() -> None:
    assert predictions(find("mrpc"), np.array([[0.1, 0.3], [2, 1]], dtype=np.float32)).tolist() == [
        1,
        0,
    ]
    assert predictions(find("stsb"), np.array([[0.5], [2]], dtype=np.float32)).tolist() == [0.5, 2]


def test_losses_are_those_of_training() -> None:
    out = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32) * 30
    labels = np.array([0, 1, 2, 0, 1, 2, 0])
    expected = torch.nn.functional.cross_entropy(
        torch.from_numpy(out), torch.from_numpy(labels), reduction="none"
    )
    np.testing.assert_allclose(losses(find("mnli"), labels, out), expected, rtol=1e-4, atol=1e-5)
    assert losses(
        find("stsb"), np.array([1.0, 4.0]), np.array([[3.0], [3.5]], np.float32)
    ).tolist() == [4, 0.25]
