"""Examples in groups: every form by hand or slowly, the laws of groups, and what commands do."""

# mypy: disable-error-code="arg-type"

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import log_softmax
from sklearn.metrics import average_precision_score, ndcg_score

import families
import headscope
from headscope.ablation.interactions import interaction_rows, interactions, pair_sets
from headscope.ablation.sets import SetResult
from headscope.ablation.shapley import orders, shapley_rows
from headscope.ablation.together import together_rows
from headscope.axes import all_heads
from headscope.commands.ablation import kept_outputs
from headscope.commands.finetune import finetune
from headscope.commands.kinds import open_scored
from headscope.commands.prune import Pruning
from headscope.commands.rows import chosen_part
from headscope.commands.searching import draw_search_data
from headscope.errors import HeadscopeError
from headscope.examples import Split
from headscope.stats.best_of_many import honest_gain
from headscope.stats.changes import change_intervals, share_change
from headscope.stats.exchange import Outcomes, exchange, permutation
from headscope.stats.groups import Groups, case_values, effective_cases
from headscope.stats.means import interval_of_mean
from headscope.stats.metrics import METRICS, Tally
from headscope.stats.noninferiority import noninferiority
from headscope.stats.paired import wilson
from headscope.tasks import Chosen, find
from headscope.tasks.files import load_data
from headscope.tasks.grouping import group_notes, groups_of, of_queries
from headscope.tasks.own import divided
from headscope.tasks.scores import score_interval
from simulations.groups import World, lost_margins, many, simulate
from simulations.queries import World as Retrieval
from simulations.queries import simulate as simulate_queries
from test_metrics import OF_TEXTS, comparable, slow_exchanged, some
from test_own_data import table

MEANS_OVER_QUERIES = ("mean_average_precision", "ndcg_at_10")
SIZES = (1, 4, 2, 3, 5)


def unequal(times: int = 1) -> Groups:
    """Groups of unequal sizes, the examples of one not next to each other."""
    numbers = np.repeat(np.arange(len(SIZES) * times), SIZES * times)
    return Groups.of(np.random.default_rng(0).permutation(numbers).tolist())


def test_the_error_of_a_mean_over_groups_is_that_of_a_ratio() -> None:
    groups = unequal()
    values = np.random.default_rng(1).normal(size=15)
    mean = values.mean()
    total = 0.0
    for group in range(5):
        inside = groups.number == group
        total += (values[inside].sum() - mean * inside.sum()) ** 2
    expected = np.sqrt(total / 15**2 * 5 / 4)
    cases = case_values(values, groups)
    assert cases.mean() == pytest.approx(mean)
    assert cases.std(ddof=1) / np.sqrt(5) == pytest.approx(expected)
    # Several quantities at once are each by itself.
    both = case_values(np.stack([values, values**2], axis=1), groups)
    np.testing.assert_allclose(both[:, 0], cases)
    np.testing.assert_allclose(both[:, 1], case_values(values**2, groups))


def test_effective_cases_by_hand() -> None:
    # Groups of two alike examples are as many cases as groups; the factor is of few of them.
    values = np.repeat([1.0, 0, 0, 1, 1, 0, 0, 0, 1, 0], 2)
    groups = Groups.of(np.repeat(np.arange(10), 2).tolist())
    few = (stats.t.ppf(0.975, 19) / stats.t.ppf(0.975, 9)) ** 2
    assert effective_cases(values[None], groups)[0] == pytest.approx(9 * few)
    # Of examples that are alike all, each group counts once.
    assert effective_cases(np.ones((1, 20)), groups)[0] == pytest.approx(10 * few)
    # Groups that differ less than their examples, or not at all, leave as many cases as examples.
    mixed = np.tile([1.0, 0.0], 10)
    assert effective_cases(mixed[None], groups)[0] == pytest.approx(20 * few)
    mixed[:2] = 1
    assert effective_cases(mixed[None], groups)[0] == pytest.approx(20 * few)
    # It is no matter whether the mean of a group can be written in binary.
    thirds = Groups.of(np.repeat(np.arange(10), 3).tolist())
    one_of_three = np.tile([1.0, 0.0, 0.0], 10)
    few_of_30 = (stats.t.ppf(0.975, 29) / stats.t.ppf(0.975, 9)) ** 2
    assert effective_cases(one_of_three[None], thirds)[0] == pytest.approx(30 * few_of_30)
    with pytest.raises(HeadscopeError, match="all examples are of one group"):
        effective_cases(values[None], Groups.of(["a"] * 20))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.sampled_from(OF_TEXTS))
def test_the_weight_of_a_group_is_that_of_each_of_its_examples(seed: int, metric: str) -> None:
    rng = np.random.default_rng(seed)
    groups = unequal()
    labels, predicted = some(metric, 15, 3, rng)
    weights = rng.integers(0, 4, (4, 5)).astype(float)
    grouped = Tally(METRICS[metric], labels, predicted, groups).score(weights)
    every = Tally(METRICS[metric], labels, predicted).score(weights[:, groups.number])
    np.testing.assert_allclose(grouped, every, atol=1e-9)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.sampled_from(OF_TEXTS))
def test_exchanges_of_groups_are_all_ways_to_exchange_them(seed: int, metric: str) -> None:
    rng = np.random.default_rng(seed)
    groups = unequal()
    labels, predicted = some(metric, 15, 4, rng)
    before, after = predicted[0], predicted[1:]
    outcomes = Outcomes(metric, labels, before, after, groups)
    drawn = exchange(outcomes, seed=0).changes
    base = comparable(metric, labels, before)
    columns = [comparable(metric, labels, row) for row in after]
    slow = []
    for which in itertools.product((False, True), repeat=5):
        is_exchanged = np.array(which)[groups.number]
        changes = []
        for column in columns:
            first = np.where(is_exchanged, column, base)
            second = np.where(is_exchanged, base, column)
            one, two = (slow_exchanged(metric, labels, side) for side in (first, second))
            changes.append(two - one)
        slow.append(changes)
    moved = len(outcomes.moved)
    assert len(drawn) == 2**moved
    # Those that move nothing give the same changes again.
    again = 2 ** (5 - moved)
    expected = np.sort(np.array(slow)[:, 0])[::again]
    np.testing.assert_allclose(np.sort(drawn[:, 0]), expected, atol=1e-6)


@pytest.mark.parametrize("metric", OF_TEXTS)
def test_copies_of_an_example_in_one_group_add_no_knowledge(metric: str) -> None:
    rng = np.random.default_rng(5)
    labels, predicted = some(metric, 40, 2, rng)
    copies = np.repeat(np.arange(40), 3)
    groups = Groups.of(copies.tolist())
    before, after = predicted
    many_labels, many_before, many_after = labels[copies], before[copies], after[copies]
    once = permutation(metric, labels, before, after, 0)
    grouped = permutation(metric, many_labels, many_before, many_after, 0, groups=groups)
    assert grouped == pytest.approx(once)
    apart = permutation(metric, many_labels, many_before, many_after, 0)
    assert apart < once
    honest = honest_gain(Outcomes(metric, labels, before, after[None]), 0, 50)
    same = honest_gain(Outcomes(metric, many_labels, many_before, many_after[None], groups), 0, 50)
    if metric not in ("average_precision", "roc_auc"):
        assert same.gain == pytest.approx(honest.gain)
    (one,) = change_intervals(metric, labels, before, after[None], 0)
    (wide,) = change_intervals(metric, many_labels, many_before, many_after[None], 0, groups)
    (narrow,) = change_intervals(metric, many_labels, many_before, many_after[None], 0)
    assert np.ptp(narrow) < 0.7 * np.ptp(one) < 0.7 * 1.2 * np.ptp(wide)
    assert np.ptp(wide) < 1.2 * np.ptp(one)
    score = score_interval(metric, labels, before, 0)
    grouped_score = score_interval(metric, many_labels, many_before, 0, groups)
    assert np.ptp(grouped_score) == pytest.approx(np.ptp(score), rel=0.2)


def test_a_change_of_accuracy_has_as_many_cases_as_its_groups_are_worth() -> None:
    rng = np.random.default_rng(2)
    groups = Groups.of(np.repeat(np.arange(30), 4).tolist())
    labels = np.ones(120, dtype=int)
    before = np.repeat(rng.random(30) < 0.8, 4).astype(int)
    after = np.repeat(rng.random(30) < 0.7, 4).astype(int)
    (found,) = change_intervals("accuracy", labels, before, after[None], 0, groups)
    cases = effective_cases((after - before)[None].astype(float), groups)
    lost, won = ((before > after).mean() * cases, (after > before).mean() * cases)
    low, high = share_change(lost, won, cases)
    assert found == pytest.approx((100 * low[0], 100 * high[0]))
    # A fall is smaller than a margin where the interval lies above it, and only there.
    for margin in (-found[0] - 0.01, -found[0] + 0.01):
        p = noninferiority("accuracy", labels, before, after[None], margin, 0, groups=groups)
        assert (p[0] < 0.025) == (margin > -found[0])
    share = effective_cases(before[None].astype(float), groups)[0]
    expected = wilson(before.mean() * share, share)
    assert score_interval("accuracy", labels, before, 0, groups) == pytest.approx(
        tuple(100 * end for end in expected)
    )


def test_the_order_of_examples_and_the_names_of_groups_are_no_matter() -> None:
    rng = np.random.default_rng(3)
    groups = unequal(4)
    labels, predicted = some("f1", 60, 2, rng)
    order = rng.permutation(60)
    named = Groups.of([f"g{number}" for number in groups.number[order]])
    for metric in ("accuracy", "f1"):
        first = score_interval(metric, labels, predicted[0], 0, groups)
        again = score_interval(metric, labels[order], predicted[0][order], 0, named)
        assert again == pytest.approx(first)
    (first,) = change_intervals("accuracy", labels, predicted[0], predicted[1:], 0, groups)
    (again,) = change_intervals(
        "accuracy", labels[order], predicted[0][order], predicted[1:][:, order], 0, named
    )
    assert again == pytest.approx(first)


@pytest.mark.parametrize("metric", ["accuracy", "f1", "matthews", "spearman"])
def test_a_set_has_the_same_interval_alone_and_among_others(metric: str) -> None:
    rng = np.random.default_rng(9)
    groups = unequal(4)
    labels, predicted = some(metric, 60, 4, rng)
    before, after = predicted[0], predicted[1:]
    # One set changes whole groups, which are worth few examples.
    after[2] = before
    after[2, groups.number < 4] = predicted[3, 0]
    among = change_intervals(metric, labels, before, after, 0, groups)
    for number, found in enumerate(among):
        (alone,) = change_intervals(metric, labels, before, after[[number]], 0, groups)
        assert found == pytest.approx(alone)


@pytest.mark.parametrize("metric", ["f1", "matthews", "spearman", "mean_average_precision"])
def test_a_smaller_fall_is_shown_where_the_interval_lies_above_the_margin(metric: str) -> None:
    rng = np.random.default_rng(11)
    groups = Groups.of(np.repeat(np.arange(12), 5).tolist())
    labels, predicted = some("roc_auc" if metric in MEANS_OVER_QUERIES else metric, 60, 2, rng)
    before, after = predicted[0], predicted[1:]
    ((low, _),) = change_intervals(metric, labels, before, after, 0, groups)
    for margin in (-low - 0.3, -low + 0.3):
        p = noninferiority(metric, labels, before, after, margin, 0, groups=groups)
        assert (p[0] < 0.025) == (margin > -low)


def test_few_groups_have_no_interval() -> None:
    rng = np.random.default_rng(4)
    groups = Groups.of(np.repeat(np.arange(9), 20).tolist())
    for metric in OF_TEXTS:
        labels, predicted = some(metric, 180, 2, rng)
        (found,) = change_intervals(metric, labels, predicted[0], predicted[1:], 0, groups)
        assert np.isnan(found).all()
        assert np.isnan(score_interval(metric, labels, predicted[0], 0, groups)).all()
        p = noninferiority(metric, labels, predicted[0], predicted[1:], 5.0, 0, groups=groups)
        assert np.isnan(p).all()
    assert np.isnan(interval_of_mean(case_values(rng.normal(size=180), groups))[1])


@pytest.mark.parametrize("metric", ["accuracy", "f1", "matthews", "average_precision"])
def test_groups_keep_levels_and_coverage_where_examples_would_not(metric: str) -> None:
    found = simulate(World(metric, 40, 9, 0.5, loss=0.15), 150)
    # Of 150 draws of a true 95%, 88% or fewer are held once in a thousand runs; of 5%, 12% or more.
    for grouped, apart in (found.score, found.loss):
        assert grouped.value > 0.88
        assert apart.value < grouped.value - 0.05
    assert found.held[0].value > 0.88
    assert found.held[0].value >= found.held[1].value
    assert found.rejected[0].value < 0.12


@pytest.mark.parametrize("metric", MEANS_OVER_QUERIES)
@pytest.mark.parametrize(
    ("queries", "largest", "distance"), [(30, 20, 3.0), (80, 2, 2.0), (80, 20, 1.0)]
)
def test_means_over_queries_have_intervals_that_hold(
    metric: str, queries: int, largest: int, distance: float
) -> None:
    found = Retrieval(metric, queries, largest, distance, 0.5, 0.3)
    rates = simulate_queries(found, 100)
    # Of 100 draws of a true 95%, 88 or fewer are held once in 200 runs; of a true 5%, 11 or more.
    assert rates.held.value >= 0.88
    assert rates.score.value >= 0.9
    assert rates.rejected.value <= 0.11


def test_a_change_of_one_query_of_many_is_no_certain_loss() -> None:
    groups = Groups.of(np.repeat(np.arange(60), 2).tolist())
    labels = np.tile([1.0, 0.0], 60)
    before = np.tile([2.0, 1.0], 60)
    after = before.copy()
    after[:2] = 1.0, 2.0
    (found,) = change_intervals("mean_average_precision", labels, before, after[None], 0, groups)
    low, high = found
    # The precision of one query falls to a half. Of 60 zeros and ones, one lost: about -9 to +5.
    assert -5 < low < -2
    assert 0.5 < high < 3
    (unknown,) = change_intervals("ndcg_at_10", labels, before, before[None], 0, groups)
    assert np.isnan(unknown).all()
    # All queries are right: as of 60 hits of 60.
    low, high = score_interval("mean_average_precision", labels, before, 0, groups)
    assert (low, high) == pytest.approx((93.8, 100), abs=0.3)


def test_one_of_many_heads_is_named_as_seldom_with_groups() -> None:
    named, apart = many(World("accuracy", 40, 9, 0.6), 40, 60)
    # Six of 60 or fewer of a true 5%, but for once in 30 runs.
    assert named.hits <= 6
    assert apart.hits >= named.hits
    shown, alone = lost_margins(World("accuracy", 40, 9, 0.5, loss=0.15), 150)
    assert shown.value <= 0.06 < alone.value


# Queries, each judged by itself.


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.sampled_from(MEANS_OVER_QUERIES))
def test_queries_score_as_the_kept_library_does(seed: int, metric: str) -> None:
    rng = np.random.default_rng(seed)
    numbers = rng.permutation(np.repeat(np.arange(6), (1, 3, 7, 12, 15, 2)))
    groups = Groups.of(numbers.tolist())
    labels = rng.integers(0, 2, 40).astype(float)
    # With ties, within queries and between them.
    predicted = rng.normal(size=(3, 40)).round(int(rng.integers(0, 3)))
    slow = []
    for row in predicted:
        values = []
        for group in range(6):
            inside = groups.number == group
            if len({*labels[inside]}) < 2:
                continue
            if metric == "ndcg_at_10":
                values.append(ndcg_score(labels[inside][None], row[inside][None], k=10))
            else:
                values.append(average_precision_score(labels[inside], row[inside]))
        slow.append(100 * np.mean(values))
    tally = Tally(METRICS[metric], labels, predicted, groups)
    np.testing.assert_allclose(tally.score(np.ones((1, 6)))[0], slow, atol=1e-9)
    assert METRICS[metric].score(labels, predicted[0], groups) == pytest.approx(slow[0])
    # A weight is so many copies of a query.
    weights = rng.integers(1, 4, (2, 6)).astype(float)
    each = METRICS[metric].terms(labels, predicted, groups)
    for draw, row in zip(weights, tally.score(weights), strict=True):
        expected = 100 * (each["share"] @ draw) / (each["n"] @ draw)
        np.testing.assert_allclose(row, expected)


def test_a_change_of_queries_is_tested_by_exchanges_of_whole_queries() -> None:
    rng = np.random.default_rng(4)
    groups = Groups.of(np.repeat(np.arange(9), 5).tolist())
    labels = np.tile([1.0, 0, 0, 1, 0], 9)
    before, after = rng.normal(size=(2, 45)) + labels
    score = METRICS["mean_average_precision"].score
    observed = abs(score(labels, after, groups) - score(labels, before, groups))
    extreme = 0
    for which in itertools.product((False, True), repeat=9):
        is_exchanged = np.array(which)[groups.number]
        first = np.where(is_exchanged, after, before)
        second = np.where(is_exchanged, before, after)
        change = score(labels, second, groups) - score(labels, first, groups)
        extreme += abs(change) >= observed - 1e-9
    outcomes = Outcomes("mean_average_precision", labels, before, after[None], groups)
    drawn = exchange(outcomes, 0).changes[:, 0]
    assert len(drawn) == 2**9
    assert (np.abs(drawn) >= abs(drawn[0]) - 1e-9).sum() == extreme
    assert drawn[0] == pytest.approx(score(labels, after, groups) - score(labels, before, groups))
    # A shift and another scale of all cosines, which no ranking sees, is no change.
    moved = Outcomes("mean_average_precision", labels, before, 3 + before[None] / 2, groups)
    assert permutation(moved.metric, labels, before, moved.after[0], 0, groups=groups) == 1.0


def test_queries_need_groups_and_documents_of_both_classes() -> None:
    metric = METRICS["mean_average_precision"]
    labels = np.array([1.0, 1.0, 0.0, 0.0])
    with pytest.raises(HeadscopeError, match="MAP is a mean over queries: name their column"):
        metric.score(labels, labels)
    with pytest.raises(HeadscopeError, match="none of these 2 has both"):
        metric.score(labels, labels, Groups.of("aabb"))
    groups = Groups.of("abab")
    assert metric.score(labels, labels, groups) == 100
    assert metric.cases(labels, groups) == 2
    task = find("qqp").as_similarity()
    pairs = Split(("q", "r", "q", "r"), tuple("abcd"), labels, groups=("q", "r", "q", "r"))
    assert of_queries(task, pairs).metrics[:2] == ("mean_average_precision", "ndcg_at_10")
    # Groups that are no queries, or that have nothing to rank, are cases and no more.
    others = Split(("q", "r", "s", "r"), tuple("abcd"), labels, groups=("1", "2", "1", "2"))
    assert of_queries(task, others).metrics == task.metrics
    ranked = Split(("q", "q", "r", "r"), tuple("abcd"), labels, groups=("q", "q", "r", "r"))
    assert of_queries(task, ranked).metrics == task.metrics
    similar = find("stsb").as_similarity()
    assert of_queries(similar, pairs).metrics == similar.metrics


def test_whole_groups_are_sampled() -> None:
    groups = tuple(str(row // 4) for row in range(40))
    split = Split(tuple(map(str, range(40))), None, np.arange(40), groups=groups)
    for n in (4, 10, 39):
        sample = split.sample(n, 3)
        assert len(sample) == n // 4 * 4
        assert {groups.count(group) for group in sample.groups or ()} == {4}
        assert sample.labels.tolist() == sorted(sample.labels.tolist())
    assert len(split.sample(3, 0)) == 3
    assert split.sample(40, 0) is split


# What commands do.

TEXTS = [f"the man number {i} reads a book about the sea" for i in range(60)]
LABELS = ["good" if i % 3 else "bad" for i in range(60)]
DOCUMENTS = [f"doc {i // 3}" for i in range(60)]


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(families.make_encoder("bert", tmp_path_factory.mktemp("models") / "bare"))


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
def test_groups_are_read_from_every_format_and_stay_together(tmp_path: Path, ending: str) -> None:
    path = table(tmp_path / f"m.{ending}", doc=DOCUMENTS, text=TEXTS, label=LABELS)
    task = find(path, Chosen(group="doc"))
    assert (task.columns, task.label, task.group) == (("text",), "label", "doc")
    data = load_data(task, seed=1)
    train, validation = {*(data.train.groups or ())}, {*(data.validation.groups or ())}
    assert len(train) + len(validation) == 20
    assert not train & validation
    assert "those of one 'doc', and those with the same texts, stay together" in str(
        data.validation.notes
    )
    assert data.hash != load_data(find(path), seed=1).hash
    # Parts of the validation set share no group.
    halves = [chosen_part(data, part, 0) for part in ("1/2", "2/2")]
    assert sum(map(len, halves)) == len(data.validation)
    assert not {*(halves[0].groups or ())} & {*(halves[1].groups or ())}


def test_rows_that_share_a_text_or_a_group_with_others_stay_with_them() -> None:
    # a shares its group with b, b its text with c, c its group with d; e is alone.
    split = Split(
        first=("a", "b", "b", "d", "e"),
        second=None,
        labels=np.arange(5),
        groups=("1", "1", "2", "2", "3"),
    )
    task = find("sst2", Chosen(group="doc"))
    sizes = {len(part) for seed in range(10) for part in divided(split, task, seed)}
    assert sizes == {1, 4}
    with pytest.raises(HeadscopeError, match="all rows are of one group of 'doc', or of groups"):
        divided(split.take(np.arange(4)), task, 0)


def test_glue_has_groups_by_its_texts(tmp_path: Path) -> None:
    folder = tmp_path / "qnli"
    folder.mkdir()
    rows = [f"{i}\tq{i // 2}\ts{i}\tentailment" for i in range(6)]
    for split in ("train", "dev"):
        (folder / f"{split}.tsv").write_text("\n".join(["index\tquestion\tsentence\tlabel", *rows]))
    data = load_data(find("qnli", Chosen(group="question")), tmp_path)
    groups = groups_of(data.validation)
    assert groups is not None
    assert groups.number.tolist() == [0, 0, 1, 1, 2, 2]
    assert groups_of(data.validation.take(np.array([0, 2, 4]))) is None


def test_what_is_said_of_groups() -> None:
    task = find("mnli")
    pairs = Split(("p", "p", "p", "q"), ("a", "b", "c", "d"), np.zeros(4))
    (said,) = group_notes(task, pairs)
    assert said.startswith("3 of the 4 pairs have a text that is in other pairs too")
    assert "--group premise takes those with the same premise as one case" in said
    grouped = find("mnli", Chosen(group="premise"))
    (said,) = group_notes(
        grouped, Split(pairs.first, pairs.second, pairs.labels, groups=pairs.first)
    )
    assert "the 4 examples are of 2 groups of 1 to 3; tests and intervals take groups" in said
    assert "of fewer than 10 groups no interval can be told" in said
    alone = Split(pairs.first, pairs.second, pairs.labels, groups=("1", "2", "3", "4"))
    assert "--group premise changes nothing" in group_notes(grouped, alone)[0]
    assert group_notes(find("sst2"), Split(("a", "a"), None, np.zeros(2))) == ()


@pytest.mark.parametrize(
    ("task", "chosen", "sentence"),
    [
        ("own", Chosen(group="nope"), "--group nope: .*has no such column: doc, text, label"),
        ("own", Chosen(group="label", label="label"), "'label' is the label, and --group"),
        ("sst2", Chosen(group="label"), "--group label: that is the label of sst2"),
        ("builtin", Chosen(group="text"), "builtin makes its rows, each by itself"),
    ],
)
def test_columns_that_are_no_groups_are_refused(
    task: str, chosen: Chosen, sentence: str, tmp_path: Path
) -> None:
    path = table(tmp_path / "m.csv", doc=DOCUMENTS, text=TEXTS, label=LABELS)
    with pytest.raises(HeadscopeError, match=sentence):
        find(str(path) if task == "own" else task, chosen)


def test_a_row_without_a_group_is_named(tmp_path: Path) -> None:
    documents: list[Any] = [*DOCUMENTS]
    documents[7] = None
    path = table(tmp_path / "m.parquet", doc=documents, text=TEXTS, label=LABELS)
    with pytest.raises(HeadscopeError, match="row 8: None in the column 'doc' of --group"):
        load_data(find(path, Chosen(group="doc")))


def test_a_registered_task_without_the_column_names_those_that_it_has(tmp_path: Path) -> None:
    folder = tmp_path / "sst2"
    folder.mkdir()
    for split in ("train", "validation"):
        table(folder / f"{split}.tsv", sentence=TEXTS, label=[i % 2 for i in range(60)])
    with pytest.raises(HeadscopeError, match="has no column 'doc'.*the file has sentence, label"):
        load_data(find("sst2", Chosen(group="doc")), tmp_path)


@pytest.fixture(scope="module")
def trained(bare: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A table with documents of three rows, and a model that was fine-tuned on it."""
    folder = tmp_path_factory.mktemp("documents")
    texts = [f"{text} {i}" for i in range(3) for text in TEXTS]
    path = table(
        folder / "m.csv",
        doc=[f"doc {row // 3}" for row in range(180)],
        text=texts,
        label=LABELS * 3,
    )
    asked: dict[str, Any] = {"task": str(path), "group": "doc", "quiet": True}
    finetune(model=bare, epochs=1, lr=1e-3, out=folder / "ckpt", **asked)
    return path, folder / "ckpt"


def test_disabling_takes_groups_as_cases(trained: tuple[Path, Path], tmp_path: Path) -> None:
    path, model = trained
    asked: dict[str, Any] = {"model": str(model), "task": str(path), "quiet": True}
    asked |= {"group": "doc", "heads": "L1H1;L2H1"}
    run = headscope.disable(out=tmp_path / "run", **asked)
    rows = run.table("disabled")
    assert rows["test"].unique().to_list() == ["paired permutation of groups"]
    (note,) = [note for note in run.record.notes if note.startswith("--group doc")]
    assert "tests and intervals take groups as the independent cases" in note
    assert "--group doc" in run.record.repeat
    # Worked out again from what the run keeps, and from the rows of the table.
    kept = kept_outputs(tmp_path / "run", rows["set"].to_list())
    groups = groups_of(load_data(find(path, Chosen(group="doc"))).validation)
    assert groups is not None
    before, after = kept.unchanged.argmax(1), kept.disabled.argmax(2)
    intervals = change_intervals("accuracy", kept.labels, before, after, 0, groups)
    np.testing.assert_allclose(rows.select("low", "high").rows(), intervals)
    log_shares = [log_softmax(kept.unchanged.astype(float), axis=1)]
    log_shares += [log_softmax(outputs.astype(float), axis=1) for outputs in kept.disabled]
    first, *others = [-shares[np.arange(len(shares)), kept.labels] for shares in log_shares]
    for row, losses in zip(rows.rows(named=True), others, strict=True):
        expected = interval_of_mean(case_values(losses - first, groups))
        assert (row["loss_change"], row["loss_low"], row["loss_high"]) == pytest.approx(expected)
    (score,) = run.table("scores").rows(named=True)
    ends = score_interval("accuracy", kept.labels, before, 0, groups)
    assert (score["low"], score["high"]) == pytest.approx(ends)
    headscope.report(tmp_path / "run", out=tmp_path / "page.html", quiet=True)
    page = (tmp_path / "page.html").read_text()
    assert "tests and intervals take groups as the independent cases" in page
    assert "the test exchanges the predictions\nof a group at once" in page


def test_heads_together_take_groups_as_cases() -> None:
    rng = np.random.default_rng(6)
    groups = Groups.of(np.repeat(np.arange(20), 3).tolist())
    every = all_heads(1, 3)
    sets = [frozenset(some) for size in (1, 2, 3) for some in itertools.combinations(every, size)]
    rises = {one: np.repeat(rng.normal(size=20), 3) + rng.normal(size=60) / 9 for one in sets}
    pairs = pair_sets(1, 3)
    expected = interval_of_mean(case_values(interactions(rises, pairs), groups)[:, 0])
    asked: dict[str, Any] = {"mode": "zero", "unit": "nats"}
    row = interaction_rows(rises, pairs, **asked, seed=0, groups=groups)[0]
    assert (row.value, row.low, row.high) == pytest.approx(expected)
    alone = interaction_rows(rises, pairs, **asked, seed=0)[0]
    assert alone.low is not None
    assert row.low is not None
    assert row.low < alone.low
    walked = orders(1, 3, 2, 0)
    grouped = shapley_rows(rises, walked, **asked, groups=groups)
    for one, same in zip(grouped, shapley_rows(rises, walked, **asked), strict=True):
        assert one.value == same.value
        assert one.examples_low is not None
        assert same.examples_low is not None
        assert one.examples_low < same.examples_low
    task = find("sst2")
    outputs = rng.normal(size=(2, 60, 2)).astype(np.float32)
    result = SetResult("all heads", frozenset(every), outputs[1], 1.0)
    labels = np.zeros(60, dtype=np.int64)
    (beside,) = together_rows(task, labels, outputs[0], [result], rises, mode="zero", groups=groups)
    excess = rises[frozenset(every)] - sum(rises[frozenset([head])] for head in every)
    expected = interval_of_mean(case_values(excess, groups))
    assert (beside.excess, beside.excess_low, beside.excess_high) == pytest.approx(expected)


def test_a_size_is_chosen_by_groups_that_the_search_did_not_see(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    path, model = trained
    asked = Pruning(model=str(model), task=str(path), group="doc", out=tmp_path, quiet=True)
    session = open_scored(asked, str(model))
    data = draw_search_data(session, 60, is_choosing=True)
    assert data.choice is not None
    search, choice = ({*(part.split.groups or ())} for part in (data.search, data.choice))
    assert not search & choice
    # Whole groups are taken, but for the one at the end.
    assert len(search) == 20
    with pytest.raises(
        HeadscopeError, match="are of no group of --group doc that the search looks"
    ):
        draw_search_data(session, 10**6, is_choosing=True)


def test_groups_in_memory(bare: str, tmp_path: Path) -> None:
    frame = pl.DataFrame({"doc": DOCUMENTS, "text": TEXTS, "label": LABELS})
    run = headscope.finetune(model=bare, task=frame, group="doc", epochs=1, quiet=True)
    assert any(note.startswith("--group doc") for note in run.record.notes)
    with pytest.raises(HeadscopeError, match="--group nope: .*has no such column"):
        headscope.finetune(model=bare, task=frame, group="nope", epochs=1, quiet=True)


def test_kinds_whose_cases_are_texts_refuse_groups(bare: str, tmp_path: Path) -> None:
    path = tmp_path / "tags.conll"
    path.write_text("\n\n".join("the DET\nman NOUN" for _ in range(20)) + "\n")
    with pytest.raises(HeadscopeError, match="--group is of examples that are texts with one"):
        headscope.finetune(
            model=bare, task=str(path), group="doc", out=tmp_path / "run", quiet=True
        )
