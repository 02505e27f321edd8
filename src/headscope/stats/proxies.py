"""Which cheap signal says which head matters? Rank correlations with the effect of disabling it.

Measures and pattern shares need one pass or none over the data; disabling every head in turn needs
as many as there are heads. Michel et al. (2019) prune by gradient importance; here every signal is
held against the measured effect, within layers: heads of a layer are alike in both, so that any
signal that changes from layer to layer goes with any effect that does. Pure: reads the tables
`heads`, `patterns` and `disabled` of a run.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from jaxtyping import Float, Int, Shaped
from scipy import stats

from headscope.stats.paired import chunks, holm

MOVED = "loss_moved"
"""An effect: how far the loss of an example moves either way, on average."""
LOSS = "loss"
"""An effect: how much the mean loss rises."""
LAYER = "layer"
"""What a signal has to beat, how far up a head is: a signal of its own in tables of version 0.1."""
WITHIN = "rank correlation within layers"
"""The unit of a correlation that is tested. Version 0.1 wrote and tested those over all heads."""
PERMUTATIONS = 9999
"""Of the heads of every layer, for a p-value."""

Heads = dict[tuple[int, int], float]
"""A value by layer and head."""

_FEWEST = 8


@dataclass(frozen=True)
class PredictorRow:
    """A row of the table `predictors`: the rank correlation of a signal with an effect, within
    layers (`value`) and over all heads (`overall`), and that of the layer over all heads.
    """

    measure: str
    effect: str
    value: float
    low: float
    high: float
    n: int
    unit: str
    p: float
    p_corrected: float
    overall: float
    overall_layer: float


@dataclass(frozen=True)
class Within:
    """Rank correlations of signals with an effect among the heads of a layer, a signal each.

    Attributes:
        value: The correlation of ranks within layers; NaN for a signal that is the same for all
            heads of every layer.
        low: The lower end of its 95% interval.
        high: The upper end.
        p: Two-sided p-value, under the null hypothesis that the heads of a layer are exchangeable.
    """

    value: Float[np.ndarray, " signal"]
    low: Float[np.ndarray, " signal"]
    high: Float[np.ndarray, " signal"]
    p: Float[np.ndarray, " signal"]


def predictors(tables: Mapping[str, pl.DataFrame], seed: int = 0) -> list[PredictorRow]:
    """Rank correlations of every signal with every effect of disabling a head.

    Effects are how far the loss of an example moves either way (`loss_moved`), of which gradient
    importance is a first-order estimate, by how much the mean loss rises (`loss`), and what every
    metric loses in points, which moves with the few examples that flip.

    A value is the correlation within layers, with its interval and p-value (`within_layers`),
    adjusted over the signals of an effect (Holm): whether the signal tells more of a head than its
    layer does. Spearman's correlations over all heads, of the signal and of the layer itself, stand
    beside it (`overall`, `overall_layer`), without a test.

    Args:
        tables: One task's, by name.
        seed: Of the permutations.

    Returns:
        Effect by effect, the highest correlation first. Left out is a signal that is the same for
        all heads of every layer, and whatever is known of fewer than eight heads.
    """
    if not {"heads", "disabled"} <= tables.keys():
        return []
    signals = _signals(tables)
    rows = []
    for name, effect in _effects(tables["disabled"]).items():
        rows += _correlations(name, effect, signals, seed)
    return rows


def within_layers(
    signals: Float[np.ndarray, "signal head"],
    effect: Float[np.ndarray, " head"],
    layer: Int[np.ndarray, " head"],
    seed: int,
    permutations: int = PERMUTATIONS,
) -> Within:
    """How well signals rank the heads of a layer by an effect.

    Ranks are taken within every layer, and correlated over all heads (with heads as many in every
    layer and no ties, the mean of the layers' Spearman correlations). The test permutes the effects
    within layers, so it holds its level however alike the heads of a layer are. The interval is
    that of Fisher's z with the variance of Bonett and Wright and Student's t, with two degrees
    of freedom and one a layer less than there are heads: the layers are those of this model, their
    heads a sample.

    Args:
        signals: A value per signal and head.
        effect: What disabling a head does.
        layer: The layer of every head, in ascending order.
        seed: Of the permutations.
        permutations: How many.

    Source: Bonett and Wright (2000), Psychometrika 65.

    >>> layer = np.repeat([1, 2], 5)
    >>> signal = np.array([[1.0, 2, 3, 4, 5, 60, 70, 80, 90, 100]])
    >>> effect = np.array([2.0, 1, 3, 4, 5, 2, 1, 3, 4, 5])
    >>> within_layers(signal, effect, layer, seed=0).value.round(2).tolist()
    [0.9]
    """
    x = _centred_ranks(signals, layer)
    y = _centred_ranks(effect[None], layer)[0]
    scale = np.sqrt((x**2).sum(1) * (y @ y))
    has_spread = scale > 0
    covariance = x @ y
    value = np.where(has_spread, covariance / np.where(has_spread, scale, 1.0), np.nan)
    # A correlation of 1 would have no interval: it counts as one in which two neighbours changed
    # places.
    most = 1 - 1 / np.maximum(scale, 2)
    near = np.clip(value, -most, most)
    freedom = max(len(layer) - len(np.unique(layer)) - 2, 1)
    half = stats.t.ppf(0.975, freedom) * np.sqrt((1 + near**2 / 2) / freedom)
    low, high = np.tanh(np.arctanh(near) - half), np.tanh(np.arctanh(near) + half)
    rng = np.random.default_rng(seed)
    hits = np.zeros(len(x))
    for rows in chunks(permutations, len(layer)):
        # Numbers that rise with the layer and are drawn inside it sort heads within their layer.
        order = np.argsort(layer + rng.random((rows, len(layer))), axis=1)
        hits += (np.abs(x @ y[order].T) >= np.abs(covariance)[:, None]).sum(1)
    p = np.where(has_spread, (hits + 1) / (permutations + 1), np.nan)
    return Within(value, np.minimum(low, value), np.maximum(high, value), p)


def _centred_ranks(
    values: Float[np.ndarray, "signal head"], layer: Int[np.ndarray, " head"]
) -> Float[np.ndarray, "signal head"]:
    """The ranks of heads in their layer minus the mean rank."""
    ranks = np.empty_like(values)
    for number in np.unique(layer):
        is_inside = layer == number
        of_layer = stats.rankdata(values[:, is_inside], axis=1)
        ranks[:, is_inside] = of_layer - of_layer.mean(1, keepdims=True)
    return ranks


def _correlations(
    name: str, effect: Heads, signals: Mapping[str, Heads], seed: int
) -> list[PredictorRow]:
    rows: list[PredictorRow] = []
    for heads, of_heads in _by_heads(effect, signals):
        layer = np.array([layer for layer, _ in heads])
        y = np.array([effect[head] for head in heads])
        names = list(of_heads)
        x = np.array([[signals[signal][head] for head in heads] for signal in names])
        within = within_layers(x, y, layer, seed)
        overall_layer = _spearman(layer, y)
        for number, signal in enumerate(names):
            if np.isnan(within.p[number]):
                continue
            row = PredictorRow(
                measure=signal,
                effect=name,
                value=float(within.value[number]),
                low=float(within.low[number]),
                high=float(within.high[number]),
                n=len(heads),
                unit=WITHIN,
                p=float(within.p[number]),
                p_corrected=np.nan,
                overall=_spearman(x[number], y),
                overall_layer=overall_layer,
            )
            rows.append(row)
    corrected = holm(np.array([row.p for row in rows]))
    rows = [replace(row, p_corrected=float(p)) for row, p in zip(rows, corrected, strict=True)]
    return sorted(rows, key=lambda row: -abs(row.value))


def _spearman(signal: Shaped[np.ndarray, " head"], effect: Float[np.ndarray, " head"]) -> float:
    """Spearman's correlation over all heads; NaN where one of both is the same for all."""
    if np.ptp(signal) == 0 or np.ptp(effect) == 0:
        return float("nan")
    return float(stats.spearmanr(signal, effect).statistic)


def _by_heads(
    effect: Heads, signals: Mapping[str, Heads]
) -> Iterator[tuple[list[tuple[int, int]], Sequence[str]]]:
    """The signals that are known of the same heads, with these heads in order; of few, none."""
    groups: dict[tuple[tuple[int, int], ...], list[str]] = {}
    for signal, values in signals.items():
        heads = tuple(sorted(effect.keys() & values.keys()))
        groups.setdefault(heads, []).append(signal)
    for heads, names in groups.items():
        if len(heads) >= _FEWEST:
            yield list(heads), names


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
    """By name, every measure and every pattern's share of a head."""
    heads = tables["heads"].filter(pl.col("value").is_not_null(), pl.col("value").is_not_nan())
    signals: dict[str, Heads] = {}
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
