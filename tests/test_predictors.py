"""Which signal says which head matters: worked by hand, against scipy, and tests and intervals that hold what they
promise where the heads of a layer are alike.
"""

from dataclasses import asdict
from itertools import permutations
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.stats import spearmanr

from headscope.reporting.findings import findings
from headscope.reporting.reading import Run
from headscope.reporting.sections import Section
from headscope.results.definitions.ablation import PREDICTORS
from headscope.stats.proxies import WITHIN, PredictorRow, predictors, within_layers
from simulations.proxies import Model, rates

LAYERS, HEADS = 3, 5


def tables(
    values: dict[str, np.ndarray], loss: np.ndarray, delta: np.ndarray
) -> dict[str, pl.DataFrame]:
    """The tables of a run with these measures [head] and effects [head]."""
    names = [(layer, head) for layer in range(1, LAYERS + 1) for head in range(1, HEADS + 1)]
    heads: list[dict[str, Any]] = [
        {"measure": measure, "layer": layer, "head": head, "value": float(x)}
        for measure, own in values.items()
        for (layer, head), x in zip(names, own, strict=True)
    ]
    disabled = [
        {
            "metric": "accuracy",
            "layer": layer,
            "head": head,
            "delta": float(d),
            "loss_change": float(x),
        }
        | {"loss_moved": float(x) ** 2}
        for (layer, head), d, x in zip(names, delta, loss, strict=True)
    ]
    whole = {
        "metric": "accuracy",
        "layer": 1,
        "head": None,
        "delta": -50.0,
        "loss_change": 9.0,
        "loss_moved": 9.0,
    }
    return {"heads": pl.DataFrame(heads), "disabled": pl.DataFrame([*disabled, whole])}


def test_an_effect_that_is_the_same_for_all_heads_has_no_signals() -> None:
    n = LAYERS * HEADS
    rising = np.arange(float(n))
    effects = {row.effect for row in predictors(tables({"rising": rising}, rising, np.zeros(n)))}
    assert effects == {"loss", "loss_moved"}


def test_signals_worked_by_hand() -> None:
    rng = np.random.default_rng(0)
    n = LAYERS * HEADS
    loss, delta, noise = rng.permutation(n) / n, rng.normal(size=n), rng.normal(size=n)
    measures = {"perfect": loss**3, "inverse": -loss, "noise": noise, "flat": np.ones(n)}
    found = predictors(tables(measures, loss, delta))
    rows = {(r.effect, r.measure): r for r in found}
    # What is the same for all heads says nothing; sets of several heads are left out.
    assert {m for _, m in rows} == {"perfect", "inverse", "noise"}
    assert {r.unit for r in found} == {WITHIN}
    assert rows["loss", "perfect"].value == pytest.approx(1)
    assert rows["loss", "inverse"].value == pytest.approx(-1)
    assert rows["loss", "perfect"].n == n
    # An order without a fault has an interval too: of other heads it could have one.
    low, high = rows["loss", "perfect"].low, rows["loss", "perfect"].high
    assert 0.7 < low < 0.95
    assert high == 1
    for measure, x in (("noise", noise), ("perfect", loss)):
        own = rows["accuracy", measure]
        # Layers of the same size without ties: the mean of their own correlations.
        of_layers = [
            spearmanr(x[start : start + HEADS], -delta[start : start + HEADS]).statistic
            for start in range(0, n, HEADS)
        ]
        assert own.value == pytest.approx(np.mean(of_layers))
        assert own.overall == pytest.approx(spearmanr(x, -delta).statistic)
        assert own.low <= np.mean(of_layers) <= own.high
        assert own.p_corrected >= own.p
    of_layer = spearmanr(np.repeat([1, 2, 3], HEADS), loss).statistic
    assert rows["loss", "noise"].overall_layer == pytest.approx(of_layer)
    assert [r.effect for r in found] == [
        effect for effect in ("loss_moved", "loss", "accuracy") for _ in range(3)
    ]
    assert rows["loss_moved", "perfect"].value == pytest.approx(1)
    assert abs(found[0].value) >= abs(found[1].value) >= abs(found[2].value)


def test_the_p_value_is_the_share_of_permutations_within_layers() -> None:
    """Two layers of three heads have 36 permutations: all of them, against as many that are drawn."""
    layer = np.repeat([1, 2], 3)
    signal, effect = np.array([1.0, 2, 3, 30, 10, 20]), np.array([5.0, 6, 9, 3, 1, 2])
    found = within_layers(signal[None], effect, layer, seed=0, permutations=20_000)
    assert found.value[0] == pytest.approx(1)
    # Only the order itself and its opposite, in both layers, are as far from 0.
    assert found.p[0] == pytest.approx(2 / 36, abs=0.005)
    other = within_layers(np.array([[2.0, 1, 3, 30, 10, 20]]), effect, layer, 0, 20_000)
    expected = permuted(np.array([2.0, 1, 3, 3, 1, 2]), np.array([1.0, 2, 3, 3, 1, 2]))
    assert other.p[0] == pytest.approx(expected, abs=0.01)


def permuted(signal: np.ndarray, effect: np.ndarray) -> float:
    """The share of all permutations within two layers of three heads."""
    x = signal - 2
    own = abs(x @ (effect - 2))
    values = [
        abs(x[:3] @ (np.array(first) - 2) + x[3:] @ (np.array(second) - 2))
        for first in permutations(effect[:3])
        for second in permutations(effect[3:])
    ]
    return float(np.mean(np.array(values) >= own))


def test_signals_that_are_known_of_other_heads_are_compared_on_these() -> None:
    rng = np.random.default_rng(3)
    n = LAYERS * HEADS
    loss = rng.normal(size=n)
    made = tables({"whole": loss, "part": loss}, loss, loss)
    is_missing = (pl.col("measure") == "part") & (pl.col("head") == 5)
    made["heads"] = made["heads"].with_columns(
        pl.when(is_missing).then(None).otherwise("value").alias("value")
    )
    found = {r.measure: r for r in predictors(made) if r.effect == "loss"}
    assert (found["whole"].n, found["part"].n) == (n, n - LAYERS)
    assert found["part"].value == pytest.approx(1)


def test_nothing_without_measures_or_with_few_heads() -> None:
    n = LAYERS * HEADS
    made = tables({"x": np.arange(n)}, np.arange(n), np.arange(n))
    assert predictors({"disabled": made["disabled"]}) == []
    few = {name: frame.filter(pl.col("layer") == 1) for name, frame in made.items()}
    assert predictors(few) == []


def test_a_proxy_that_only_knows_the_layer_is_found_as_rarely_as_the_level_says() -> None:
    found = rates(Model(6, 12, alike=0.5), 300, 0, old_intervals=False)
    # Spearman's test over all heads rejects in 0.3 of these draws.
    assert found.old_rejects.low > 0.2
    assert found.rejects.value < 0.09
    assert found.covers.value > 0.92


def test_a_proxy_that_ranks_the_heads_of_a_layer_is_found_and_its_interval_holds() -> None:
    found = rates(Model(6, 12, alike=0.5, related=0.6), 120, 1)
    assert found.rejects.value > 0.95
    assert found.covers.value > 0.91
    # A bootstrap of heads takes those of a layer for independent.
    assert found.old_covers is not None
    assert found.old_covers.high < 0.8


def frame(rows: list[PredictorRow]) -> pl.DataFrame:
    return PREDICTORS.typed(pl.DataFrame([asdict(row) for row in rows]))


def test_the_report_says_which_proxies_tell_more_than_the_layer() -> None:
    rng = np.random.default_rng(0)
    n = LAYERS * HEADS
    noise, loss = rng.normal(size=n), np.repeat([0.0, 10, 20], HEADS) + rng.random(n)
    other = np.repeat([0.0, 10, 20], HEADS) + rng.random(n)
    told = predictors(tables({"entropy": loss, "distance": other}, loss, noise))
    found = findings({"predictors": frame(told)})[0]
    assert found.text.startswith(
        "1 of 2 importance proxies tells more about how much disabling a head matters than its "
        "layer does; Entropy correlates best, +1.00 within layers (95% "
    )
    assert found.verdict == "significant"
    untold = predictors(tables({"distance": other}, loss, noise))
    found = findings({"predictors": frame(untold)})[0]
    assert found.text.startswith("None of 1 importance proxies tells more")
    assert found.verdict == "not significant"
    # Over all heads it goes with the loss as well as the layer does.
    assert untold[0].overall > 0.8
    shown = Section(Run("new", {}, {"predictors": frame(untold)})).proxies
    assert [(row.measure, row.overall, row.p) for row in shown] == [
        ("distance", untold[0].overall, untold[0].p),
        ("layer", untold[0].overall_layer, None),
    ]


def test_a_table_of_version_0_1_is_shown_without_its_p_values() -> None:
    rows = [
        {"measure": name, "effect": "loss", "value": value, "low": 0.1, "high": 0.9, "n": 12}
        | {"unit": "rank correlation", "p": 1e-5, "p_corrected": 1e-4}
        for name, value in (("entropy", 0.7), ("layer", 0.6))
    ]
    old = PREDICTORS.typed(pl.DataFrame(rows))
    found = findings({"predictors": old})[0]
    assert found.verdict == "not tested"
    assert "over all heads" in found.text
    assert "p <" not in found.text
    run = Run("old", {}, {"predictors": old})
    shown = Section(run).proxies
    assert [(row.measure, row.overall, row.value, row.p_corrected) for row in shown] == [
        ("entropy", 0.7, None, None),
        ("layer", 0.6, None, None),
    ]
