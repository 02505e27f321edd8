"""Which signal says which head matters: worked by hand, against scipy, and intervals that hold what they promise."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.stats import spearmanr

from headscope.stats.proxies import predictors

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


def test_signals_worked_by_hand() -> None:
    rng = np.random.default_rng(0)
    n = LAYERS * HEADS
    loss, delta, noise = rng.permutation(n) / n, rng.normal(size=n), rng.normal(size=n)
    found = predictors(
        tables(
            {"perfect": loss**3, "inverse": -loss, "noise": noise, "flat": np.ones(n)}, loss, delta
        )
    )
    rows = {(r.effect, r.measure): r for r in found}
    # What is the same for all heads says nothing; sets of several heads are left out; a layer counts as a signal.
    assert {m for _, m in rows} == {"perfect", "inverse", "noise", "layer"}
    assert rows["loss", "perfect"].value == pytest.approx(1)
    assert rows["loss", "inverse"].value == pytest.approx(-1)
    assert rows["loss", "perfect"].n == n
    for measure, x in (("noise", noise), ("perfect", loss)):
        own, expected = rows["accuracy", measure], spearmanr(x, -delta)
        assert (own.value, own.p) == pytest.approx((expected.statistic, expected.pvalue))
        assert own.low <= own.value <= own.high
        assert own.p_corrected >= own.p
    assert rows["loss", "layer"].value == pytest.approx(
        spearmanr(np.repeat([1, 2, 3], HEADS), loss).statistic
    )
    assert [r.effect for r in found] == [
        effect for effect in ("loss_moved", "loss", "accuracy") for _ in range(4)
    ]
    assert rows["loss_moved", "perfect"].value == pytest.approx(spearmanr(loss, loss**2).statistic)
    assert abs(found[0].value) >= abs(found[1].value) >= abs(found[2].value)


def test_nothing_without_measures_or_with_few_heads() -> None:
    n = LAYERS * HEADS
    made = tables({"x": np.arange(n)}, np.arange(n), np.arange(n))
    assert predictors({"disabled": made["disabled"]}) == []
    few = {name: frame.filter(pl.col("layer") == 1) for name, frame in made.items()}
    assert predictors(few) == []


def test_intervals_hold_the_true_correlation_as_often_as_they_say() -> None:
    rng = np.random.default_rng(1)
    n, inside = LAYERS * HEADS, 0
    for trial in range(150):
        x = rng.normal(size=n)
        noisy = x + rng.normal(size=n)
        found = {r.measure: r for r in predictors(tables({"x": x}, noisy, -noisy), seed=trial)}["x"]
        # Spearman's correlation of two normals with Pearson's 1/sqrt(2): 6/pi asin(r/2).
        inside += found.low <= 6 / np.pi * np.arcsin(0.5**0.5 / 2) <= found.high
    assert 0.87 <= inside / 150 <= 1
