"""Whether a fall of a score by less than a margin is shown only where it is so."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binom

from headscope.stats.changes import change_intervals
from headscope.stats.metrics import METRICS
from headscope.stats.noninferiority import LEVEL, noninferiority
from simulations.noninferiority import WORLDS, World, simulate

Labels = NDArray[np.int64]


@given(
    n=st.integers(20, 3000),
    lost=st.integers(0, 10),
    won=st.integers(0, 10),
    margin=st.floats(0.2, 10),
)
def test_it_is_shown_where_the_interval_lies_above_the_margin(
    n: int, lost: int, won: int, margin: float
) -> None:
    labels = np.zeros(n, dtype=int)
    before, after = labels.copy(), labels.copy()
    before[:won] = 1
    after[won : won + lost] = 1
    ((low, _),) = change_intervals("accuracy", labels, before, after[None], 0)
    p = noninferiority("accuracy", labels, before, after[None], margin, 0)[0]
    if abs(low + margin) > 1e-6:
        assert (p < LEVEL) == (low > -margin)


def test_a_p_value_by_hand() -> None:
    # Tango's statistic for 5 lost, 1 won of 100 and a margin of 10 points, with the likeliest share
    # of losses under the null hypothesis from its quadratic.
    n, lost, won, margin = 100, 5, 1, 0.1
    a, b = 2 * n, -lost - won + (2 * n - lost + won) * margin
    c = -won * margin * (1 - margin)
    share = (np.sqrt(b**2 - 4 * a * c) - b) / (2 * a)
    z = (won - lost + n * margin) / np.sqrt(n * (2 * share + margin * (1 - margin)))
    from scipy.stats import norm

    labels = np.zeros(n, dtype=int)
    before, after = labels.copy(), labels.copy()
    before[0], after[1:6] = 1, 1
    p = noninferiority("accuracy", labels, before, after[None], 10.0, 0)[0]
    assert p == pytest.approx(norm.sf(z), abs=1e-9)


def test_no_spread_no_p_value() -> None:
    scores = np.arange(30.0)
    assert np.isnan(noninferiority("pearson", scores, scores, scores[None], 1.0, 0)[0])


@pytest.mark.parametrize("metric", ["accuracy", "f1"])
def test_a_fall_by_the_margin_is_called_less_in_few_cases(metric: str) -> None:
    # 2,000 sets of 300 examples, of which 12 in 100 are lost and 6 won: a fall by 6 points. That a
    # fall is not significant would be taken for none in 0.3 of them.
    rng = np.random.default_rng(0)
    draws, n, fall = 2000 if metric == "accuracy" else 200, 300, 6.0
    labels = np.ones(n, dtype=int) if metric == "accuracy" else rng.integers(0, 2, n)
    shown = 0
    margin = fall if metric == "accuracy" else _true_fall(rng)
    for draw in range(draws):
        before, after = _flipped(rng, labels)
        p = noninferiority(metric, labels, before, after[None], margin, draw)[0]
        shown += p < LEVEL
    # The standard error of a share of 0.025 of 2,000 is 0.0035; of 200 it is 0.011.
    assert shown / draws <= LEVEL + (0.0105 if metric == "accuracy" else 0.033)


def _flipped(rng: np.random.Generator, labels: Labels) -> tuple[Labels, Labels]:
    """Predictions before and after: 80 of 100 right, then 12 in 100 lost and 6 in 100 won."""
    draw = rng.random(len(labels))
    before = np.where(draw < 0.2, 1 - labels, labels)
    is_won, is_lost = draw < 0.06, draw > 0.88
    after = np.where(is_won, labels, np.where(is_lost, 1 - labels, before))
    return before, after


def _true_fall(rng: np.random.Generator) -> float:
    from sklearn.metrics import f1_score

    labels = rng.integers(0, 2, 200_000)
    before, after = _flipped(rng, labels)
    return 100 * float(f1_score(labels, before) - f1_score(labels, after))


def test_resamples_of_fewer_than_ten_examples_give_no_interval() -> None:
    from headscope.stats.best_of_many import honest_gain
    from headscope.stats.exchange import Outcomes
    from headscope.tasks.scores import score_interval

    rng = np.random.default_rng(0)
    for n, is_known in ((9, False), (10, True)):
        labels = rng.normal(size=n)
        before, after = labels + rng.normal(size=n), labels + rng.normal(size=n)
        ((low, _),) = change_intervals("spearman", labels, before, after[None], 0)
        assert np.isfinite(low) == is_known
        # No p-value without an interval: it could say that a fall is small.
        p = noninferiority("spearman", labels, before, after[None], 150.0, 0)[0]
        assert np.isfinite(p) == is_known
        assert np.isfinite(score_interval("pearson", labels, before, 0)[0]) == is_known
        ((low, _),) = change_intervals("f1", labels > 0, before > 0, after[None] > 0, 0)
        assert np.isfinite(low)
        gain = honest_gain(Outcomes("pearson", labels, before, np.stack([after, -after])), 0)
        assert np.isfinite(gain.low) == is_known


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.metric)
def test_a_fall_that_is_not_significant_is_no_proof_of_none(world: World) -> None:
    found = simulate(world, n=50, within=0.05, draws=60)
    assert found.wrong.hits <= binom.ppf(0.999, found.wrong.draws, LEVEL)
    assert found.wrong_by_silence.low > 0.2
    many = simulate(world, n=400, within=0.1, draws=20)
    assert many.found.low > 0.7


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.metric)
def test_the_true_scores_of_a_simulation_are_what_it_says(world: World) -> None:
    lower = world.score - 0.05
    labels, before, after = world.draw(np.random.default_rng(0), 100_000, lower)
    found = [METRICS[world.metric].score(labels, one) for one in (before, after)]
    assert found == pytest.approx([100 * world.score, 100 * lower], abs=0.5)
