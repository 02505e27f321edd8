"""Which cheap signal says which head matters? Rank correlations with the effect of disabling it.

Measures and pattern shares need one pass or none over the data; disabling every head in turn needs
as many as there are heads. Michel et al. (2019) prune by gradient importance; here every signal is
held against the measured effect. Pure: reads the tables `heads`, `patterns` and `disabled` of a
run.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from scipy import stats

from headscope.stats.paired import bootstrap, holm, interval

MOVED = "loss_moved"
"""An effect: how far the loss of an example moves either way, on average."""
LOSS = "loss"
"""An effect: how much the mean loss rises."""
LAYER = "layer"
"""The signal that any other has to beat: how far up a head is."""

Heads = dict[tuple[int, int], float]
"""A value by layer and head."""

_FEWEST = 8


@dataclass(frozen=True)
class PredictorRow:
    """A row of the table `predictors`: the rank correlation of a signal with an effect."""

    measure: str
    effect: str
    value: float
    low: float
    high: float
    n: int
    unit: str
    p: float
    p_corrected: float


def predictors(tables: Mapping[str, pl.DataFrame], seed: int = 0) -> list[PredictorRow]:
    """Rank correlations of every signal with every effect of disabling a head.

    Effects are how far the loss of an example moves either way (`loss_moved`), of which gradient
    importance is a first-order estimate, by how much the mean loss rises (`loss`), and what every
    metric loses in points, which moves with the few examples that flip.

    A value is Spearman's correlation over heads, with a 95% percentile interval from resampled
    heads. p is for the null hypothesis of no correlation (Student's t), adjusted over the signals
    of an effect (Holm). Heads of a layer are more alike than the resampling takes them to be, so
    intervals are rather too short, and `layer` is among the signals: what does not beat it knows
    only how far up a head is.

    Args:
        tables: One task's, by name.
        seed: Of the resampling.

    Returns:
        Effect by effect, the highest correlation first. Nothing where fewer than eight heads have
        been measured and disabled one by one.
    """
    if not {"heads", "disabled"} <= tables.keys():
        return []
    signals = _signals(tables)
    rows = []
    for name, effect in _effects(tables["disabled"]).items():
        rows += _correlations(name, effect, signals, seed)
    return rows


def _correlations(
    name: str, effect: Heads, signals: Mapping[str, Heads], seed: int
) -> list[PredictorRow]:
    rows = []
    for signal, values in signals.items():
        heads = sorted(effect.keys() & values.keys())
        x = np.array([values[head] for head in heads])
        y = np.array([effect[head] for head in heads])
        if len(heads) < _FEWEST or np.ptp(x) == 0 or np.ptp(y) == 0:
            continue
        correlation = stats.spearmanr(x, y)
        low, high = interval(bootstrap("spearman", x, [y], seed)[0] / 100)
        row = PredictorRow(
            measure=signal,
            effect=name,
            value=float(correlation.statistic),
            low=low,
            high=high,
            n=len(heads),
            unit="rank correlation",
            p=float(correlation.pvalue),
            p_corrected=np.nan,
        )
        rows.append(row)
    corrected = holm(np.array([row.p for row in rows]))
    rows = [replace(row, p_corrected=float(p)) for row, p in zip(rows, corrected, strict=True)]
    return sorted(rows, key=lambda row: -abs(row.value))


def _effects(disabled: pl.DataFrame) -> dict[str, Heads]:
    """By effect, what disabling a head costs: above 0 where the task is worse off without it."""
    single = disabled.filter(pl.col("head").is_not_null())
    effects: dict[str, Heads] = {}
    # The loss is the same in the rows of every metric.
    first = single.filter(pl.col("metric") == single["metric"].first())
    for name, column in ((MOVED, "loss_moved"), (LOSS, "loss_change")):
        if column in single.columns:
            effects[name] = _by_head(first, pl.col(column))
    for (metric,), rows in single.group_by("metric", maintain_order=True):
        effects[str(metric)] = _by_head(rows, -pl.col("delta"))
    return effects


def _signals(tables: Mapping[str, pl.DataFrame]) -> dict[str, Heads]:
    """By name, the layer, every measure and every pattern's share of a head."""
    heads = tables["heads"].filter(pl.col("value").is_not_null(), pl.col("value").is_not_nan())
    signals = {LAYER: _by_head(heads, pl.col("layer").cast(pl.Float64))}
    for (measure,), rows in heads.group_by("measure", maintain_order=True):
        signals[str(measure)] = _by_head(rows, pl.col("value"))
    if "patterns" in tables:
        shares = tables["patterns"].filter(
            pl.col("head").is_not_null(), pl.col("measure") == "share"
        )
        last = shares.filter(pl.col("state") == shares["state"].last())
        for (pattern,), rows in last.group_by("class", maintain_order=True):
            signals[f"share_{pattern}"] = _by_head(rows, pl.col("value"))
    return signals


def _by_head(rows: pl.DataFrame, value: pl.Expr) -> Heads:
    columns = rows.select("layer", "head", value.alias("value"))
    return {(layer, head): value for layer, head, value in columns.iter_rows()}
