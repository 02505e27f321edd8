"""Heads together: interactions of pairs and Shapley values, worked by hand, and against a plain loop with model.disabled."""

import doctest
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats

import families
import headscope
from headscope.ablation import interactions, shapley
from headscope.ablation.interactions import interaction_rows, pair_sets
from headscope.ablation.scorer import Scorer
from headscope.ablation.sets import SetResult
from headscope.ablation.shapley import orders, shapley_rows, walked_sets
from headscope.ablation.stacked import UNIT
from headscope.ablation.together import ALL, FREE, loss_rises, many_heads, together_rows
from headscope.axes import Head, HeadSet, all_heads, head_set, set_name
from headscope.commands import packed, session
from headscope.commands.disable import disable
from headscope.commands.session import GENERATED
from headscope.commands.together import kept_rises, parse_together
from headscope.errors import HeadscopeError
from headscope.figures.style import SCREEN
from headscope.figures.together import interaction_map
from headscope.model.encoding import encode
from headscope.model.loading import load
from headscope.model.model import Model
from headscope.model.outputs import logits
from headscope.reporting.build import build
from headscope.reporting.together import adding_up, interaction_findings
from headscope.results.run import Run
from headscope.stats import simultaneous
from headscope.stats.simultaneous import means_at_once
from headscope.tasks import find
from headscope.tasks.files import load_data
from headscope.tasks.outputs import losses
from simulations.interactions import (
    Draw,
    few_move,
    mild,
    normal,
    products,
    resampled,
    simulate,
    symmetric,
)
from test_resuming import cache_of

A, B, C = (Head(1, number) for number in (1, 2, 3))


def test_doctests() -> None:
    for module, examples in ((interactions, 1), (shapley, 2), (simultaneous, 3)):
        found = doctest.testmod(module)
        assert (found.failed, found.attempted) == (0, examples), module


# Many means at once


def every_resample(n: int) -> tuple[np.ndarray, np.ndarray]:
    """How often each of n examples is drawn in every resample, and how likely the resample is."""
    drawn = list(itertools.combinations_with_replacement(range(n), n))
    times = np.stack([(np.array(drawn) == one).sum(1) for one in range(n)], axis=1)
    return times, stats.multinomial.pmf(times, n, np.full(n, 1 / n))


def test_the_test_of_many_means_equals_all_resamples() -> None:
    n = 10
    values = np.random.default_rng(1).exponential([1, 0.1, 1, 1], (n, 4))
    values += np.array([-1, -0.1, -0.3, 2])
    times, chance = every_resample(n)
    assert chance.sum() == pytest.approx(1)
    centred = values - values.mean(0)
    mean = times @ centred / n
    # Of values that are all alike the variance is 0, and t as good as infinite.
    variance = np.maximum(times @ centred**2 / n - mean**2, 1e-12 * values.var(0))
    typical = np.sqrt(values.var(0) / (n - 1)).mean()
    p, half = [], []
    for added in (0.0, typical):
        error = np.sqrt(values.var(0) / (n - 1)) + added
        observed = np.abs(values.mean(0)) / error
        largest = (np.abs(mean) / (np.sqrt(variance / (n - 1)) + added)).max(1)
        p.append([chance[largest >= one - 1e-9].sum() for one in observed])
        at = np.argsort(largest)
        half.append(largest[at][np.searchsorted(np.cumsum(chance[at]), 0.975)] * error)
    found = means_at_once(values, seed=2, resamples=40_000)
    alone = stats.ttest_1samp(values, 0)
    # For all at once nothing is more certain than alone.
    expected = np.maximum(np.minimum(2 * np.min(p, axis=0), 1), alone.pvalue)
    assert found.p_corrected == pytest.approx(expected, abs=4 * 2 * 0.5 / np.sqrt(40_000))
    assert 0.01 < found.p_corrected[2] < 1
    assert found.p == pytest.approx(alone.pvalue)
    assert found.low == pytest.approx(alone.confidence_interval().low)
    wider = np.min(half, axis=0)
    assert (wider > found.high - found.mean).all()
    assert found.high_all - found.mean == pytest.approx(wider, rel=0.1)
    assert found.mean - found.low_all == pytest.approx(wider, rel=0.1)


@pytest.mark.parametrize("seed", range(20))
def test_an_interval_for_all_excludes_0_where_the_test_rejects(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(rng.choice([0, 0.5, 0.9], 30), 1, (25, 30))
    found = means_at_once(values, seed, resamples=199)
    excluded = (found.low_all > 0) | (found.high_all < 0)
    assert excluded.tolist() == (found.p_corrected < 0.05).tolist()


def test_what_is_not_known_has_no_interval_and_no_p_value() -> None:
    values = np.random.default_rng(0).normal(0, 1, (12, 3))
    values[:, 1] = 0.25
    found = means_at_once(values, 0)
    assert found.mean[1] == 0.25
    assert np.isnan([found.low[1], found.p[1], found.p_corrected[1], found.low_all[1]]).all()
    assert np.isfinite([found.p_corrected[0], found.high_all[2]]).all()
    few = means_at_once(values[:9], 0)
    assert np.isnan([few.low, few.p, few.p_corrected, few.low_all, few.high_all]).all()


@pytest.mark.parametrize("draw", [normal, symmetric, mild, products])
def test_the_test_of_many_means_holds_its_level_and_finds_what_is_there(draw: Draw) -> None:
    """Correlated, heavy tails, skewed to either side, and dependent as pairs of a head are."""
    found = simulate(draw, n=200, heads=8, draws=80, effect=0.5)
    assert found.wrong.hits <= stats.binom.ppf(0.999, found.wrong.draws, 0.05)
    assert found.held.hits == found.wrong.draws - found.wrong.hits
    assert found.found.low > 0.6


def by_signs(values: np.ndarray) -> np.ndarray:
    """p-values of random signs with a statistic that is corrected for skewness (Hall's)."""
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (399, len(values)))
    scaled = values / np.sqrt((values**2).mean(0))

    def size(mean: np.ndarray, cube: np.ndarray) -> np.ndarray:
        deviation = np.sqrt(1 - mean**2)
        skewness = (cube - 3 * mean + 2 * mean**3) / deviation**3
        ratio = mean / deviation
        cubic = skewness * ratio**2 / 3 + skewness**2 * ratio**3 / 27
        return np.asarray(np.abs(ratio + cubic + skewness / (6 * len(values))))

    n = len(values)
    largest = size(signs @ scaled / n, signs @ scaled**3 / n).max(1)
    observed = size(scaled.mean(0), (scaled**3).mean(0))
    return np.asarray((1 + (largest >= observed[:, None]).sum(1)) / 400)


def test_few_examples_that_move_a_pair_do_not_mislead_it_as_they_mislead_signs() -> None:
    rng = np.random.default_rng(0)
    wrong = wrong_by_signs = 0
    for number in range(60):
        values = few_move(rng, 200, 10)
        wrong += bool((means_at_once(values, number, 399).p_corrected < 0.05).any())
        wrong_by_signs += bool((by_signs(values) < 0.05).any())
    assert wrong <= stats.binom.ppf(0.999, 60, 0.05)
    assert wrong_by_signs > 20


def test_real_interactions_are_drawn_again_with_means_of_0_but_for_those_that_are_planted() -> None:
    values = few_move(np.random.default_rng(1), 100, 6)
    planted = np.arange(values.shape[1]) < 3
    values[:, planted] = np.random.default_rng(2).normal(1, 1, (100, 3))
    # A mean that is no planted one is no effect, however large.
    values[:, 5] += 10
    rate, number, found = resampled(values, planted, n=100, draws=30)
    assert rate.hits <= stats.binom.ppf(0.999, 30, 0.05)
    assert number <= rate.value * 3
    assert found >= 2
    none, _, nothing = resampled(values, np.zeros(len(planted), bool), n=100, draws=30)
    assert none.hits <= stats.binom.ppf(0.999, 30, 0.05)
    assert nothing == 0


def test_students_t_would_not_hold_it() -> None:
    found = simulate(mild, n=50, heads=10, draws=40, effect=0.5)
    assert found.wrong_holm.low > 0.06


# Interactions


def test_interactions_by_hand() -> None:
    wobble = np.linspace(-0.1, 0.1, 12)
    rises = {
        frozenset([A]): np.full(12, 1.0),
        frozenset([B]): np.full(12, 2.0),
        frozenset([C]): np.full(12, 0.5),
        # Each stands in for the other; either one's loss is the loss of both; nothing.
        frozenset([A, B]): 5.0 + wobble,
        frozenset([A, C]): 1.0 + wobble,
        frozenset([B, C]): 2.5 + wobble,
    }
    rows = interaction_rows(rises, pair_sets(1, 3), mode="zero", unit="nats", seed=0)
    assert [row.set for row in rows] == ["L1H1,L1H2", "L1H1,L1H3", "L1H2,L1H3"]
    assert [row.value for row in rows] == pytest.approx([2, -0.5, 0], abs=1e-12)
    assert [row.kind for row in rows] == ["redundant", "synergistic", "not significant"]
    first = rows[0]
    assert (first.layer, first.head, first.other_layer, first.other_head) == (1, 1, 1, 2)
    assert (first.alone, first.other_alone) == (1, 2)
    assert first.together == pytest.approx(5)
    assert (first.n, first.unit, first.mode) == (12, "nats", "zero")
    interval = stats.ttest_1samp(2 + wobble, 0).confidence_interval()
    assert (first.low, first.high) == pytest.approx((interval.low, interval.high))
    assert first.low_all is not None
    assert first.low is not None
    assert 0 < first.low_all <= first.low
    # Rounding is no interaction, however alike it is on all examples.
    rises[frozenset([B, C])] = 2.5 + 1e-6 + 1e-7 * wobble
    last = interaction_rows(rises, pair_sets(1, 3), mode="zero", unit="nats", seed=0)[2]
    assert (last.value, last.p, last.kind) == (0, None, "not tested")
    # But what is no number is not taken for 0.
    rises[frozenset([B, C])] = np.full(12, np.nan)
    last = interaction_rows(rises, pair_sets(1, 3), mode="zero", unit="nats", seed=0)[2]
    assert np.isnan(last.value)


def test_a_model_of_one_head_has_no_pairs() -> None:
    with pytest.raises(HeadscopeError, match="needs a model of at least two heads"):
        pair_sets(1, 1)
    assert len(pair_sets(6, 12)) == 2556
    assert len(pair_sets(12, 12)) == 10_296


# Shapley values


def game(value: dict[str, float], n: int = 12) -> dict[HeadSet, np.ndarray]:
    """Rises that are the same on every example, by the names of three heads."""
    named = {"a": A, "b": B, "c": C}
    return {
        frozenset(named[one] for one in name): np.full(n, float(v)) for name, v in value.items()
    }


def test_shapley_values_by_hand() -> None:
    # A right glove (c) and two left ones: a pair is worth 1. All six orders give 1/6, 1/6, 2/3.
    rises = game({"a": 0, "b": 0, "c": 0, "ab": 0, "ac": 1, "bc": 1, "abc": 1})
    every = [(A, B, C), (C, B, A), (A, C, B), (B, C, A), (B, A, C), (C, A, B)]
    rows = shapley_rows(rises, every, mode="mean", unit="nats")
    assert [row.value for row in rows] == pytest.approx([1 / 6, 1 / 6, 2 / 3])
    assert [(row.set, row.layer, row.head, row.n) for row in rows][2] == ("L1H3", 1, 3, 3)
    # Fewer than ten pairs have no interval; nor have examples that are all alike.
    assert {row.low for row in rows} == {row.examples_low for row in rows} == {None}
    # One pair of orders, by hand: c's turn adds 1 where it is last, 0 where it is first.
    one = shapley_rows(rises, every[:2], mode="mean", unit="nats")
    assert [row.value for row in one] == pytest.approx([0, 0.5, 0.5])


def test_shapley_values_add_up_to_the_whole_and_have_intervals_over_orders() -> None:
    rng = np.random.default_rng(0)
    walked = orders(2, 3, 15, seed=3)
    assert [order[::-1] for order in walked[::2]] == walked[1::2]
    assert orders(2, 3, 5, seed=3) == walked[:10]
    every = all_heads(2, 3)
    rises = {heads: rng.normal(len(heads), 1, 20) for _, heads in walked_sets(walked)}
    rises |= {frozenset([head]): rng.normal(0, 1, 20) for head in every}
    rows = shapley_rows(rises, walked, mode="zero", unit="nats")
    assert sum(row.value for row in rows) == pytest.approx(
        rises[frozenset(every)].mean(), abs=1e-12
    )
    by_pair = []
    for there, back in zip(walked[::2], walked[1::2], strict=True):
        turns = []
        for order in (there, back):
            before = frozenset(order[: order.index(every[4])])
            start = rises[before].mean() if before else 0.0
            turns.append(rises[before | {every[4]}].mean() - start)
        by_pair.append(np.mean(turns))
    oracle = stats.ttest_1samp(by_pair, 0)
    assert rows[4].value == pytest.approx(np.mean(by_pair))
    assert (rows[4].low, rows[4].high) == pytest.approx(tuple(oracle.confidence_interval()))
    wider = tuple(oracle.confidence_interval(1 - 0.05 / 6))
    assert (rows[4].low_all, rows[4].high_all) == pytest.approx(wider)
    assert rows[4].alone == pytest.approx(rises[frozenset([every[4]])].mean())
    assert rows[4].examples_low is not None
    assert rows[4].examples_low < rows[4].value


def test_walked_sets_come_once_and_a_reverse_walks_through_the_complements() -> None:
    sets = dict(walked_sets([(A, B, C), (C, B, A)]))
    assert list(sets) == ["L1H1", "L1H1,L1H2", "L1H1,L1H2,L1H3", "L1H3", "L1H2,L1H3"]
    assert len(walked_sets(orders(6, 12, 20, 0))) <= 40 * 71 + 1


# Many heads


def test_many_heads_by_hand() -> None:
    task = find("mrpc")
    labels = np.array([1] * 12)
    right, wrong = np.eye(2, dtype=np.float32)[[1] * 12], np.eye(2, dtype=np.float32)[[0] * 12]
    unsure = np.zeros((12, 2), np.float32)
    results = [
        SetResult("L1H1", frozenset([A]), right, 0.1),
        SetResult("L1H2", frozenset([B]), (1.01 * right).astype(np.float32), 0.1),
        SetResult("L1H3", frozenset([C]), unsure, 0.1),
    ]
    rises = loss_rises(task, labels, right, results)
    sets = many_heads(rises, [A, B, C])
    assert sets == [(ALL, frozenset([A, B, C])), (FREE, frozenset([A, B]))]
    many = [SetResult(ALL, sets[0][1], wrong, 0.1), SetResult(FREE, sets[1][1], wrong, 0.1)]
    rises |= loss_rises(task, labels, right, many)
    rows = together_rows(task, labels, right, many, rises, mode="zero")
    assert [(row.set, row.metric) for row in rows] == [
        (ALL, "accuracy"), (ALL, "f1"), (FREE, "accuracy"), (FREE, "f1"),
    ]  # fmt: skip
    # ln(1 + e) - ln(1 + 1/e) = 1 for a wrong answer in place of a right one.
    assert rows[2].loss_change == pytest.approx(1)
    assert (rows[2].baseline, rows[2].value, rows[2].heads) == (100, 0, 2)
    assert rows[2].alone < 0
    assert rows[2].excess == pytest.approx(1 - rows[2].alone)
    assert rows[2].members == "L1H1,L1H2"
    # Where no head, one head, or every head is free there is no second set.
    for values in ((1, 1, 1), (0, 1, 1), (0, 0, 0)):
        rises = {
            frozenset([h]): np.full(3, float(v)) for h, v in zip((A, B, C), values, strict=True)
        }
        assert [name for name, _ in many_heads(rises, [A, B, C])] == [ALL]


# The command


@pytest.fixture(autouse=True, scope="module")
def opened_once() -> Iterator[None]:
    """Sessions are opened once: what they read is not what is tried here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "open_session", cache_of(session.open_session))
        yield


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return families.make("bert", tmp_path_factory.mktemp("models") / "bert")


def asked(checkpoint: Path, out: Path, heads: str, **more: Any) -> dict[str, Any]:
    return {
        "model": str(checkpoint), "task": "builtin", "examples": 12, "heads": heads, "out": out,
        "batch_tokens": 200, "quiet": True, **more,
    }  # fmt: skip


@pytest.fixture(scope="module")
def paired(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of all pairs."""
    out = tmp_path_factory.mktemp("runs") / "pairs"
    headscope.disable(**asked(checkpoint, out, "pairs", mode="zero"))
    return out


@pytest.fixture(scope="module")
def shared_out(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of Shapley values."""
    out = tmp_path_factory.mktemp("runs") / "shapley"
    headscope.disable(**asked(checkpoint, out, "shapley:2"))
    return out


class Slowly:
    """Loss changes from a plain loop with model.disabled."""

    def __init__(self, checkpoint: Path, mode: Any) -> None:
        self.task, self.mode = find("builtin"), mode
        data = load_data(self.task, None, seed=0, sizes=(GENERATED[0], 12))
        split = data.validation.sample(12, 0)
        self.model: Model = load(checkpoint, labels=2)
        self.encoded = encode(split, self.model.tokenizer, 128)
        self.labels = split.labels
        self.before = self._losses()

    def _losses(self) -> np.ndarray:
        return losses(self.task, self.labels, logits(self.model, self.encoded, batch_tokens=200))

    def rise(self, heads: str) -> float:
        """How much the mean loss rises with these heads disabled; 0 for none."""
        if not heads:
            return 0.0
        with self.model.disabled(head_set(heads), self.mode):
            return float((self._losses() - self.before).mean())


def test_the_table_of_pairs_equals_a_plain_loop(paired: Path, checkpoint: Path) -> None:
    table = headscope.open_run(paired).tables["interactions"]
    assert table.height == 105
    slowly = Slowly(checkpoint, "zero")
    for row in table.sample(12, seed=1).iter_rows(named=True):
        one, two = row["set"].split(",")
        rises = [slowly.rise(heads) for heads in (one, two, row["set"])]
        assert [row["alone"], row["other_alone"], row["together"]] == pytest.approx(rises, abs=2e-6)
        assert row["value"] == pytest.approx(rises[2] - rises[1] - rises[0], abs=5e-6)
    everything = headscope.open_run(paired).tables["together"].filter(set=ALL)
    whole = slowly.rise(set_name(all_heads(families.LAYERS, families.HEADS)))
    assert everything["loss_change"].to_list() == pytest.approx([whole] * 2, abs=2e-6)
    alone = [*table.unique(["layer", "head"])["alone"]]
    alone += [*table.filter(layer=3, head=4)["other_alone"]]
    assert everything["alone"][0] == pytest.approx(sum(alone), abs=1e-9)


def test_interactions_of_every_example_can_be_had_from_the_folder(
    paired: Path, tmp_path: Path
) -> None:
    pairs = pair_sets(families.LAYERS, families.HEADS)
    values = interactions.interactions(kept_rises(paired, find("builtin")), pairs)
    table = headscope.open_run(paired).tables["interactions"]
    assert values.shape == (table["n"][0], len(pairs))
    assert values.mean(0) == pytest.approx(table["value"].to_numpy(), abs=1e-9)
    with pytest.raises(HeadscopeError, match="does not hold what its model puts out"):
        kept_rises(tmp_path, find("builtin"))


def test_single_heads_are_those_of_each(paired: Path, checkpoint: Path, tmp_path: Path) -> None:
    each = asked(checkpoint, tmp_path / "each", "each", mode="zero", precision="fp32")
    outcome = disable(**each)
    assert any("Effects of single heads cannot be added up" in line for line in outcome.lines)
    for name in ("disabled", "selection"):
        one, two = (headscope.open_run(run).tables[name] for run in (paired, tmp_path / "each"))
        assert one.select(pl.col(pl.String)).equals(two.select(pl.col(pl.String)))
        first, second = (frame.select(pl.col(pl.Float64)).to_numpy() for frame in (one, two))
        assert np.allclose(first, second, atol=1e-5, equal_nan=True)


def test_shapley_values_equal_a_plain_loop_and_add_up(shared_out: Path, checkpoint: Path) -> None:
    run = headscope.open_run(shared_out)
    table, slowly = run.tables["shapley"], Slowly(checkpoint, "uniform")
    turns = []
    for order in orders(families.LAYERS, families.HEADS, 2, seed=0):
        before = order[: order.index(Head(2, 3))]
        after = slowly.rise(set_name([*before, Head(2, 3)]))
        turns.append(after - slowly.rise(set_name(before)))
    assert table.filter(set="L2H3")["value"].to_list() == pytest.approx([np.mean(turns)], abs=5e-6)
    whole = run.tables["together"].filter(set=ALL)["loss_change"][0]
    assert table["value"].sum() == pytest.approx(whole, abs=1e-12)
    assert table["n"].unique().to_list() == [2]
    assert table["low"].null_count() == table.height
    assert run.record.options["heads"] == "shapley:2"


def test_that_half_precision_is_not_used_is_said(paired: Path) -> None:
    notes = headscope.open_run(paired).record.notes
    assert sum("half precision keeps predictions, not losses" in note for note in notes) == 1


def scored_names(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of all sets that any scorer is to score from now on."""
    names: list[str] = []
    as_it_is = Scorer.score_unit

    def score_unit(self: Scorer, unit: Any) -> list[SetResult]:
        names.extend(name for name, _ in unit.sets)
        return as_it_is(self, unit)

    monkeypatch.setattr(Scorer, "score_unit", score_unit)
    return names


@pytest.mark.parametrize("heads", ["pairs", "shapley:2"])
def test_a_killed_run_goes_on_to_the_same_tables_and_scores_nothing_twice(
    heads: str,
    checkpoint: Path,
    paired: Path,
    shared_out: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = paired if heads == "pairs" else shared_out
    given = asked(checkpoint, tmp_path / "broken", heads)
    given["mode"] = "zero" if heads == "pairs" else "uniform"
    monkeypatch.setattr(packed, "PACK", 10)
    names = scored_names(monkeypatch)
    original = Run.arrays
    saved = 0

    def killed(run: Run, name: str, arrays: Any) -> None:
        nonlocal saved
        original(run, name, arrays)
        saved += name.startswith("parts/packed/")
        if saved == 2:
            raise SystemExit

    monkeypatch.setattr(Run, "arrays", killed)
    with pytest.raises(SystemExit):
        headscope.disable(**given)
    monkeypatch.setattr(Run, "arrays", original)
    before = len(names)
    kept = Run(tmp_path / "broken").finished_parts("packed")
    done = sum(len(arrays["change"]) for arrays in kept.values())
    assert 20 <= done <= before
    headscope.disable(**given)
    # Sets of a unit that was in flight alone are scored again.
    again = set(names[:before]) & set(names[before:])
    assert len(again) <= before - done + UNIT
    assert len(names) == len(set(names)) + len(again)
    assert len(names) <= 15 + 105 + 2 + UNIT
    for name in headscope.open_run(whole).tables:
        one, two = (headscope.open_run(run).tables[name] for run in (whole, tmp_path / "broken"))
        assert one.equals(two), name


def test_a_damaged_pack_is_made_again_and_said(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    given = asked(checkpoint, tmp_path / "run", "shapley:1", quiet=False)
    monkeypatch.setattr(packed, "PACK", 10)
    headscope.disable(**given)
    table = pl.read_parquet(tmp_path / "run" / "shapley.parquet")
    pack = tmp_path / "run" / "parts" / "packed" / "00002.safetensors"
    for damage in ("cut", "of other examples", "no number"):
        (tmp_path / "run" / "run.json").unlink()
        arrays = Run(tmp_path / "run").finished_parts("packed")["00002"]
        if damage == "cut":
            pack.write_bytes(pack.read_bytes()[:200])
        elif damage == "no number":
            arrays["logits"][0, 0, 0] = np.nan
            Run(tmp_path / "run").part("packed", "00002", arrays)
        else:
            arrays["logits"] = arrays["logits"][:, 1:]
            Run(tmp_path / "run").part("packed", "00002", arrays)
        names = scored_names(monkeypatch)
        capsys.readouterr()
        headscope.disable(**given)
        assert "packed/00002 is damaged: it is made again" in capsys.readouterr().err, damage
        assert 0 < len(names) <= 10 + UNIT, damage
        assert pl.read_parquet(tmp_path / "run" / "shapley.parquet").equals(table), damage


def test_outputs_that_are_no_numbers_end_the_run(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_it_is = Scorer.score_unit

    def broken(self: Scorer, unit: Any) -> Iterator[SetResult]:
        for result in as_it_is(self, unit):
            result.outputs[0, 0] = np.inf
            yield result

    monkeypatch.setattr(Scorer, "score_unit", lambda self, unit: list(broken(self, unit)))
    with pytest.raises(HeadscopeError, match="are not finite, so there is no loss: take another"):
        headscope.disable(**asked(checkpoint, tmp_path / "run", "pairs"))


def test_what_is_asked_of_heads_together() -> None:
    for spec, expected in (
        ("pairs", "pairs"),
        ("shapley", "shapley:20"),
        ("shapley:3", "shapley:3"),
    ):
        parsed = parse_together(spec)
        assert parsed is not None
        assert parsed.spec == expected
    assert parse_together("each") is None
    assert parse_together("L1H2,L3H4") is None
    for wrong in ("pairs:3", "shapley:", "shapley:0", "shapley:x", "shapley:99999", "pairs:"):
        with pytest.raises(HeadscopeError, match="write pairs, shapley, or shapley:20 for 20 anti"):
            parse_together(wrong)


# The report


def test_the_map_of_interactions_shows_every_pair_and_above_the_diagonal_those_that_stand() -> None:
    rows = made_interactions([0.3, -0.2, 0.001, 0.0], [0.01, 0.2, 0.6, None])
    chart = interaction_map(rows, "Interactions", SCREEN).to_dict()
    (squares,) = [layer for layer in chart["layer"] if layer["mark"]["type"] == "rect"]
    shown = chart["datasets"][squares["data"]["name"]]
    # x is the first head, y the other: below the diagonal all that are not white, above it one.
    assert [(r["x"], r["y"], r["value"]) for r in shown] == [
        (0, 1, 0.3), (0, 2, -0.2), (1, 0, 0.3),
    ]  # fmt: skip
    colour = squares["encoding"]["color"]["scale"]
    assert colour["domain"] == [-0.5, 0, 0.5]
    subtitle = chart["title"]["subtitle"]
    assert "below the diagonal all 4 pairs, above it the 1 with adjusted p < 0.05" in subtitle
    # A single large one is not to make all others white, and that is said.
    many = pl.concat([rows] + [made_interactions([0.01] * 6, [0.5] * 6)] * 20)
    title = interaction_map(many, "Interactions", SCREEN).to_dict()["title"]["subtitle"]
    assert "1 beyond ±0.2" in title


def made_interactions(values: list[float], p: list[float | None]) -> pl.DataFrame:
    """Pairs of four heads in two layers."""
    pairs = list(itertools.combinations(all_heads(2, 2), 2))[: len(values)]
    return pl.DataFrame(
        {
            "model": "m", "task": "t", "set": set_name(pair), "layer": pair[0].layer,
            "head": pair[0].head, "other_layer": pair[1].layer, "other_head": pair[1].head,
            "mode": "zero", "alone": 0.1, "other_alone": 0.2, "together": 0.3 + value,
            "value": value, "low": value - 0.1, "high": value + 0.1, "low_all": value - 0.2,
            "high_all": value + 0.2, "n": 50, "unit": "nats", "p": p_value, "p_corrected": p_value,
            "kind": kind(value, p_value),
        }
        for pair, value, p_value in zip(pairs, values, p, strict=True)
    )  # fmt: skip


def kind(value: float, p: float | None) -> str:
    if p is None:
        return "not tested"
    return "not significant" if p >= 0.05 else "redundant" if value > 0 else "synergistic"


def test_interactions_in_sentences() -> None:
    rows = made_interactions([0.3, -0.2, 0.001, 0.0], [0.01, 0.02, 0.6, None])
    first, redundant, synergistic = interaction_findings(rows)
    assert first.text == (
        "Of 3 pairs of heads, 1 is redundant (disabled together they cost more than their effects "
        "alone add up to) and 1 is synergistic (they cost less), adjusted p < 0.05 for all pairs, "
        "n = 50. 1 was not tested."
    )
    assert first.verdict == "1 redundant, 1 synergistic"
    assert redundant.text == (
        "The strongest redundant pairs, with intervals for all pairs at once: L1H1,L1H2 +0.300 nats "
        "(95% +0.100 to +0.500), alone +0.100 and +0.200, together +0.600."
    )
    assert "L1H1,L2H1 −0.200 nats" in synergistic.text
    (untested,) = interaction_findings(made_interactions([0.1], [None]))
    assert untested.text == "No interaction of 1 pair was tested: fewer than 10 examples."
    (none,) = interaction_findings(made_interactions([0.1, -0.3], [0.2, 0.3]))
    assert "0 are redundant" in none.text
    assert "the largest is L1H1,L2H1 −0.300 nats" in none.text


def test_single_effects_come_with_a_caution_and_the_numbers_of_the_run(
    paired: Path, shared_out: Path, tmp_path: Path
) -> None:
    tables = headscope.open_run(paired).tables
    disabled = tables["disabled"].filter(metric="accuracy")
    (alone,) = adding_up({"disabled": tables["disabled"]})
    harmless = (disabled["delta"] >= 0).sum()
    assert f"{harmless} of 15 heads lower no accuracy when disabled alone" in alone.text
    assert "60 of 72 heads raise no loss alone" in alone.text
    assert "49.1" in alone.text
    own = list(adding_up(tables))
    row = tables["together"].filter(set=ALL, metric="accuracy").row(0, named=True)
    assert "Effects of single heads cannot be added up: with all 15 heads disabled" in own[0].text
    assert f"accuracy is {row['value']:.1f} instead of {row['baseline']:.1f}" in own[0].text
    # A run of one head, or of layers, lists no single heads beside each other.
    assert not list(adding_up({"disabled": tables["disabled"].head(1)}))
    for run, figure in ((paired, "Interactions of pairs of heads"), (shared_out, "Shapley values")):
        page = build([run], tmp_path / "page.html").read_text()
        assert "Effects of single heads cannot be added up" in page
        assert f'alt="{figure}' in page
    assert "The Shapley values of 15 heads add up to the rise of the loss" in page
