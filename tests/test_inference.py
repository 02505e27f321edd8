"""Intervals and tests on made data of which the truth is known, and what they say of nothing.

The full simulations are those of docs/statistics.md; here are fewer draws, and bounds that the
rules of before would break.
"""

import doctest
import math

import numpy as np
import polars as pl
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import ttest_1samp

from headscope.commands.measuring import _few_note
from headscope.errors import HeadscopeError
from headscope.linguistics.clustered import Clustered
from headscope.linguistics.dependency_rows import NOT_TESTED, verdict
from headscope.linguistics.estimates import Estimates, relation_rows
from headscope.measures.base import Moments
from headscope.reporting.findings import _relations, _spans
from headscope.results import numbers
from headscope.stats import changes, means, paired, seeds
from headscope.stats.changes import change_intervals, resampled_changes, share_change
from headscope.stats.means import mean_interval
from headscope.stats.paired import f1_interval, interval, wilson
from headscope.stats.seeds import over_seeds
from simulations.clusters import (
    drawn,
    drawn_excess,
    drawn_hits,
    excess_coverage,
    normal,
    rejections,
)
from simulations.clusters import mean_coverage as clustered_coverage
from simulations.clusters import share_coverage as clustered_share_coverage
from simulations.means import mean_coverage, moderate, share_coverage
from simulations.paired import (
    accuracy_coverage,
    metric_coverage,
    resampled_accuracy_coverage,
    resampled_metric_coverage,
)
from simulations.seeds import AT_RANDOM, OWN_EFFECTS, SAME_EXAMPLES, example_variance, families


def test_doctests() -> None:
    for module in (changes, means, numbers, paired, seeds):
        found = doctest.testmod(module)
        assert found.attempted
        assert not found.failed


# Changes of a score.


def slow_statistic(change: float, lost: int, won: int, n: int) -> float:
    """Tango's statistic, with the share of losses found by maximising the likelihood."""

    def minus_log_likelihood(losses: float) -> float:
        rest = 1 - 2 * losses - change
        return -(
            lost * math.log(losses)
            + won * math.log(losses + change)
            + (n - lost - won) * math.log(rest)
        )

    least, most = max(0, -change), (1 - change) / 2
    margin = 1e-9 * (most - least)
    found = minimize_scalar(
        minus_log_likelihood,
        bounds=(least + margin, most - margin),
        method="bounded",
        options={"xatol": 1e-10},
    )
    return (won - lost - n * change) / math.sqrt(n * (2 * found.x + change - change**2))


def ends_of(lost: int, won: int, n: int) -> tuple[float, float]:
    """Both ends of the score interval of one change."""
    low, high = share_change(np.array([lost]), np.array([won]), np.array([n]))
    return low.item(), high.item()


@pytest.mark.parametrize(("lost", "won", "n"), [(9, 2, 50), (1, 6, 23), (40, 31, 400)])
def test_the_ends_of_a_score_interval_are_where_it_begins_to_reject(
    lost: int, won: int, n: int
) -> None:
    low, high = ends_of(lost, won, n)
    assert low < (won - lost) / n < high
    assert slow_statistic(low, lost, won, n) == pytest.approx(paired.Z, abs=1e-3)
    assert slow_statistic(high, lost, won, n) == pytest.approx(-paired.Z, abs=1e-3)


def test_a_change_of_a_share_without_flips_has_a_width_and_swaps_its_sides() -> None:
    low, high = ends_of(0, 0, 100)
    assert high == pytest.approx(paired.Z**2 / (100 + paired.Z**2))
    assert low == -high
    # All cases flip: no other change can be excluded than small ones.
    assert ends_of(0, 12, 12)[1] == 1
    lows, highs = share_change(np.array([3, 8]), np.array([8, 3]), np.array([40, 40]))
    assert lows[0] == pytest.approx(-highs[1])
    assert highs[0] == pytest.approx(-lows[1])


def test_intervals_of_a_change_in_accuracy_cover() -> None:
    # The plain bootstrap holds the truth in 0.39 of the draws here, since most have no flip.
    assert accuracy_coverage(50, 0.01, 0.0, 2000).held.value > 0.95
    assert resampled_accuracy_coverage(50, 0.01, 0.0, 300).held.value < 0.5
    for n, lost, won in ((277, 0.01, 0.01), (408, 0.02, 0.01), (5463, 0.05, 0.02)):
        assert accuracy_coverage(n, lost, won, 4000).held.value > 0.935


def test_intervals_of_a_change_in_f1_and_mcc_cover() -> None:
    # The plain bootstrap: 0.32.
    assert metric_coverage("f1", 50, 0.01, 60).held.value > 0.95
    assert resampled_metric_coverage("f1", 50, 0.01, 60).held.value < 0.5
    assert metric_coverage("matthews", 50, 0.05, 60).held.value > 0.93


def test_a_change_that_nobody_saw_is_not_excluded() -> None:
    labels = np.array([1, 1, 1, 0, 0, 1, 0, 1] * 5)
    predicted = np.where(np.arange(40) % 7 == 0, 1 - labels, labels)
    for metric in ("accuracy", "f1", "matthews"):
        ((low, high),) = change_intervals(metric, labels, predicted, predicted[None], seed=0)
        assert low < 0 < high, metric
    # With three classes every flip between right and wrong is among those added.
    three = np.arange(40) % 3
    ((low, high),) = change_intervals("matthews", three, three, three[None], seed=0)
    assert low < 0 <= high
    # A correlation has no flips to add, and equal resamples say nothing.
    scores = labels + 0.1 * np.arange(40)
    ends = change_intervals("pearson", labels * 1.0, scores, scores[None], seed=0)[0]
    assert np.isnan(ends).all()
    ((low, high),) = change_intervals("pearson", labels * 1.0, scores, scores[None] ** 2, seed=0)
    assert low < high


def test_flips_are_added_half_each_way_and_once_over_all_models() -> None:
    labels = np.array([1, 0] * 30)
    still = np.tile(labels, (3, 1))
    drawn_changes = resampled_changes("accuracy", labels, still, still[:, None], seed=1)
    assert drawn_changes.shape == (1, 2000)
    assert drawn_changes.mean() == pytest.approx(0, abs=0.1)
    # A flip in one of three models moves the mean by 100 / 60 / 3; four of them are drawn in 64.
    expected = example_variance(np.zeros((3, 1, 60), np.int8))[0]
    assert expected == pytest.approx(100**2 * 4 / 9 / 64 / 60)
    assert drawn_changes.var() == pytest.approx(expected, rel=0.1)


def test_resampled_changes_have_the_variance_of_the_simulation() -> None:
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 2, 200)
    before = np.tile(np.where(rng.random(200) < 0.8, labels, 1 - labels), (3, 1))
    after = np.where(rng.random((3, 2, 200)) < 0.05, 1 - before[:, None], before[:, None])
    righter = (after == labels).astype(np.int8) - (before == labels)[:, None]
    found = resampled_changes("accuracy", labels, before, after, seed=0, resamples=4000).var(1)
    assert found == pytest.approx(example_variance(righter), rel=0.1)


def test_no_interval_from_resamples_that_are_all_equal() -> None:
    assert np.isnan(interval(np.full(2000, 40.0))).all()
    assert interval(np.arange(101.0)) == (2.5, 97.5)


def test_f1_lies_between_the_ends_of_wilsons_interval() -> None:
    labels = np.array([1] * 9 + [0] * 5)
    predicted = np.array([1] * 6 + [0] * 3 + [1] * 2 + [0] * 3)
    low, high = wilson(6, 11)
    assert f1_interval(labels, predicted) == pytest.approx(
        (2 * low / (1 + low), 2 * high / (1 + high))
    )
    # All wrong, and all right: neither is certain.
    assert f1_interval(labels, 1 - labels)[0] == 0
    assert f1_interval(labels, 1 - labels)[1] > 0.1
    assert f1_interval(labels, labels)[0] < 0.9
    assert np.isnan(f1_interval(labels * 0, labels * 0)).all()


def test_intervals_of_f1_cover() -> None:
    rng = np.random.default_rng(5)
    true = 2 * 0.5 / (2 * 0.5 + 0.1 + 0.1)
    # Shares of hits, misses, false alarms and the rest.
    held = 0
    for counts in rng.multinomial(20, [0.5, 0.1, 0.1, 0.3], 2000):
        cells = np.repeat(np.arange(4), counts)
        low, high = f1_interval((cells < 2) * 1, np.isin(cells, (0, 2)) * 1)
        held += low <= true <= high
    assert 0.935 < held / 2000 < 0.99


# Means over seeds.


def test_seeds_that_agree_are_not_certain() -> None:
    # Three seeds lose the same: Student's t over the seeds says p = 0.
    found = over_seeds(np.full((3, 1), -0.5), np.array([0.04]), 200)
    assert found.low[0] == pytest.approx(-0.5 - 1.972 * 0.2, abs=1e-3)
    assert found.p[0] == pytest.approx(ttest_1samp_of(-0.5 / 0.2, 199), rel=1e-6)
    nothing = over_seeds(np.zeros((3, 1)), np.zeros(1), 200)
    assert np.isnan([nothing.low, nothing.high]).all()
    assert nothing.p[0] == 1


def ttest_1samp_of(t: float, freedom: int) -> float:
    """The two-sided p of Student's t by way of SciPy's test of made values with that t."""
    values = np.arange(freedom + 1.0)
    values = (values - values.mean()) / values.std(ddof=1)
    return float(ttest_1samp(values + t / math.sqrt(freedom + 1), 0).pvalue)


def test_two_seeds_have_an_interval_and_no_p() -> None:
    found = over_seeds(np.array([[1.0], [2.0]]), np.array([0.1]), 400)
    assert found.low[0] < 1 < 2 < found.high[0]
    assert np.isnan([found.p, found.p_corrected]).all()


def test_families_of_heads_without_effect_keep_their_level() -> None:
    # Student's t over three seeds calls a head of 72 significant in 0.66 of the families here.
    found = families(AT_RANDOM, n=277, seeds=3, draws=12)
    before, now = found.wrong
    assert now.value == 0
    assert before.value > 0.2
    assert found.held[1].value > 0.95
    # With five seeds that flip the same examples its intervals hold 0 in 0.88.
    same = families(SAME_EXAMPLES, n=408, seeds=5, draws=6)
    assert same.held[0].value < 0.92
    assert same.held[1].value > 0.95
    assert same.wrong[1].value == 0
    own = families(OWN_EFFECTS, n=408, seeds=3, draws=6)
    assert own.wrong[1].value <= 1 / 6
    assert own.held[1].value > 0.95


# Relations, with sentences as clusters.


def test_an_excess_of_few_sentences_keeps_its_level() -> None:
    # A normal test rejects 0.43 of true null hypotheses at 3 sentences, 0.14 at 10.
    few = drawn(normal, 3, 2000)
    assert rejections(few)[0].value > 0.2
    assert np.isnan(few.p_values()).all()
    assert np.isnan(few.interval()).all()
    sums = [drawn(normal, 10, 4000)]
    sums += [drawn_excess(share, 10, 4000).excess for share in (0.3, 0.02)]
    for ten in sums:
        before, now = rejections(ten)
        assert before.value > 0.09
        assert now.value < 0.06
    before, now = clustered_coverage(sums[0])
    assert before.value < 0.91 < 0.925 < now.value


def test_an_excess_of_rare_hits_is_covered() -> None:
    # Most draws of twenty sentences have no hit, so a normal interval of the difference, which
    # knows only the control's spread, holds the truth in 0.48 of them.
    before, now = excess_coverage(drawn_excess(0.02, 20, 4000))
    assert before.value < 0.6
    assert now.value > 0.92
    assert excess_coverage(drawn_excess(0.3, 20, 4000))[1].value > 0.93
    few = drawn_excess(0.3, 9, 10)
    assert np.isnan(few.hits.less_interval(few.control)).all()


def test_the_interval_of_an_excess_is_made_of_two() -> None:
    hits, control = sums_of([1.0, 0.0, 0.0] * 5), sums_of([0.1, 0.2, 0.3] * 5)
    quantities = {"accuracy_matched": hits, "accuracy_control": control}
    quantities["accuracy_excess"] = sums_of([0.9, -0.2, -0.3] * 5)
    row = relation_rows(quantities, ["det"])[-1]
    low, high = (end.item() for end in hits.share_interval())
    half = control.interval()[1].item() - 0.2
    assert row.value == pytest.approx(1 / 3 - 0.2)
    assert row.low == pytest.approx(row.value - math.hypot(1 / 3 - low, half))
    assert row.high == pytest.approx(row.value + math.hypot(high - 1 / 3, half))
    # A control without spread adds nothing.
    ends = [end.item() for end in hits.less_interval(sums_of([0.0] * 15))]
    assert ends == pytest.approx([low, high])


def test_shares_of_few_sentences_are_covered() -> None:
    for sentences in (3, 5, 10):
        before, now = clustered_share_coverage(drawn_hits(0.5, sentences, 4000), 0.5)
        assert now.value > 0.94
        assert now.value > before.value
    # Wilson's interval with an error taken for known: 0.92.
    assert clustered_share_coverage(drawn_hits(0.5, 5, 4000), 0.5)[0].value < 0.935


def sums_of(values: list[float], sizes: list[int] | None = None) -> Clustered:
    """Sums of one group and head over sentences whose links have these values."""
    of_sentence = np.array(values)
    size = np.ones(len(values)) if sizes is None else np.array(sizes, dtype=float)
    total = of_sentence * size

    def cell(value: float) -> np.ndarray:
        return np.full((1, 1, 1), value)

    return Clustered(
        n=np.array([size.sum()]),
        n_squared=np.array([(size**2).sum()]),
        clusters=np.array([float(len(values))]),
        total=cell(total.sum()),
        squares=cell((total**2).sum()),
        cross=cell((total * size).sum()),
    )


def test_the_p_of_sentences_with_a_link_each_is_that_of_students_t() -> None:
    values = np.random.default_rng(3).normal(0.4, 1, 14)
    found, oracle = sums_of(values.tolist()), ttest_1samp(values, 0)
    assert found.p_values().item() == pytest.approx(oracle.pvalue)
    low, high = found.interval()
    assert low.item() == pytest.approx(oracle.confidence_interval().low)
    assert high.item() == pytest.approx(oracle.confidence_interval().high)
    # Below 0 there is nothing to find.
    assert sums_of((-values).tolist()).p_values().item() == 1


def test_sentences_that_agree_are_not_certain() -> None:
    # Twelve heads of one sign by chance: 2 / 2^12, where a spread of 0 gave p = 0.
    assert sums_of([1.0] * 12).p_values().item() == pytest.approx(2 / 2**12)
    assert sums_of([0.0] * 12).p_values().item() == 1
    assert sums_of([-0.1] * 12).p_values().item() == 1
    assert np.isnan(sums_of([1.0] * 12).interval()).all()
    # A difference of hits has the score interval of so many cases; of a share Wilson's.
    low, high = sums_of([1.0] * 12).share_change_interval()
    assert (low.item(), high.item()) == pytest.approx(ends_of(0, 12, 12))
    low, high = sums_of([0.0] * 12).share_change_interval()
    assert (low.item(), high.item()) == pytest.approx(ends_of(0, 0, 12))
    spread = sums_of([1.0, 0.0, 0.0] * 4)
    assert np.array_equal(spread.share_change_interval(), spread.interval())
    low, high = sums_of([1.0] * 12).share_interval()
    assert (low.item(), high.item()) == pytest.approx(wilson(12, 12))
    # One sentence is one case, however many links it has.
    low, high = sums_of([0.5], [8]).share_interval()
    assert (low.item(), high.item()) == pytest.approx(wilson(0.5, 1))


def test_a_relation_of_few_sentences_is_not_tested() -> None:
    few, enough = sums_of([0.2, 0.4, 0.5]), sums_of([0.2, 0.4, 0.5] * 4)
    (row,) = relation_rows({"attention_excess": few}, ["det"])
    assert (row.low, row.high, row.p, row.p_corrected) == (None, None, None, None)
    (row,) = relation_rows({"attention_excess": enough}, ["det"])
    assert row.low is not None
    assert row.p is not None
    assert row.p_corrected == row.p
    # A head without a p counts in its family, and has none after the correction either.
    estimates = Estimates.of("attention_excess", enough)
    family = Estimates(**{**vars(estimates), "p": np.array([[[0.01, np.nan]]])})
    assert family.p_corrected(0)[0, 0] == pytest.approx(0.02)
    assert np.isnan(family.p_corrected(0)[0, 1])


def test_the_verdict_on_a_relation_of_few_sentences() -> None:
    assert verdict(None, 0.5, None, looks_at=1, looks_share=0.9) == NOT_TESTED
    assert verdict(0.01, 0.5, 0.1, looks_at=1, looks_share=0.9) == "carries the relation"


# Means of measures.


def test_means_of_measures_cover() -> None:
    # Normal intervals hold the mean of skewed values in 0.87 of cases at n = 10.
    before, now = mean_coverage(moderate, 10, 4000)
    assert before.value < 0.885 < 0.89 < now.value
    assert mean_coverage(moderate, 100, 4000)[1].value > 0.93
    # And a share of 2% in 0.18 of them, since no example was a hit in the others.
    before, now = share_coverage(0.02, 10, 4000)
    assert before.value < 0.3
    assert now.value > 0.93
    assert share_coverage(0.3, 50, 4000)[1].value > 0.93


def test_no_interval_from_few_or_equal_values() -> None:
    def ends(values: np.ndarray) -> tuple[float, float]:
        n = np.array([len(values)])
        mean, low, high = mean_interval(n, values.sum()[None], (values**2).sum()[None])
        assert mean.item() == pytest.approx(values.mean())
        return low.item(), high.item()

    values = np.random.default_rng(4).normal(3, 1, 10)
    assert np.isnan(ends(values[:9])).all()
    oracle = ttest_1samp(values, 0).confidence_interval()
    assert ends(values) == pytest.approx((oracle.low, oracle.high))
    assert np.isnan(ends(np.full(40, 0.1))).all()
    # What is left of the variance of a constant is rounding.
    assert np.isnan(ends(np.full(40, 0.1) + 1e-16)).all()


def moments(values: list[float]) -> Moments:
    array = np.array(values, dtype=float)[:, None, None]
    return Moments(np.full((1, 1), float(len(values))), array.sum(0), (array**2).sum(0))


def test_a_measure_of_zeros_and_ones_has_the_interval_of_a_share() -> None:
    mean, low, high = moments([1, 0, 0, 0, 0]).share()
    assert (mean.item(), low.item(), high.item()) == pytest.approx((0.2, *wilson(1, 5)))
    mean, low, high = moments([0] * 5).share()
    assert (low.item(), high.item()) == pytest.approx(wilson(0, 5))
    mean, low, high = moments([-1, 0, 1, 1, 1, 0]).share_change()
    assert (mean.item(), low.item(), high.item()) == pytest.approx((2 / 6, *ends_of(1, 3, 6)))
    empty = Moments(np.zeros((1, 1)), np.zeros((1, 1)), np.zeros((1, 1)))
    assert np.isnan([empty.share(), empty.share_change()]).all()
    with pytest.raises(HeadscopeError, match="values other than 0 and 1"):
        moments([0.5, 1, 0]).share()


def test_a_note_names_the_measures_of_few_examples() -> None:
    few, enough = moments([1, 2] * 4), moments([1, 2] * 5)
    assert _few_note({"entropy": enough}) == ()
    (note,) = _few_note({"entropy": enough, "distance": few})
    assert note == "fewer than 10 examples have a value of distance, so there are no intervals"
    (note,) = _few_note({"distance": few})
    assert "a value of the measures" in note


def test_the_report_says_what_was_not_tested() -> None:
    spans = pl.DataFrame(
        {
            "relation": ["agent"],
            "rank": [1],
            "set": ["L1H2"],
            "value": [0.4],
            "low": [None],
            "high": [None],
            "n": [4],
            "unit": ["fraction of mass"],
            "excess": [0.2],
            "p_corrected": [None],
        },
        schema_overrides={"low": pl.Float64, "high": pl.Float64, "p_corrected": pl.Float64},
    )
    (finding,) = _spans(spans)
    assert finding.verdict == "not tested"
    assert finding.text.endswith("+0.20 beyond the same distance (not tested).")
    # A relation that was not tested is not among those of which none is carried.
    best = pl.DataFrame({"value": [0.5, 0.4], "verdict": [NOT_TESTED, "only looks 1 word left"]})
    (finding,) = _relations(best)
    assert finding.text.startswith("Of 1 relations between words, none are carried")
    assert not list(_relations(best.head(1)))


def test_nan_is_null_in_a_table() -> None:
    from headscope.results.tables import TABLES

    table = TABLES["seeds_disabled"]
    frame = pl.DataFrame({"value": [math.nan], "low": [math.nan], "p": [0.5]})
    found = table.without_nan(frame)
    assert found["low"].to_list() == [None]
    assert found["p"].to_list() == [0.5]
    # A column that always has a value keeps what it has.
    assert math.isnan(found["value"][0])
