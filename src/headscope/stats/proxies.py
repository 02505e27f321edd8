"""Which cheap signal says which head matters? Rank correlations of measures with the effect of
disabling a head.

Measures and pattern shares need one pass or none over the data; disabling every head in turn needs
as many as there are heads. Michel et al. (2019) prune by gradient importance; here every signal is
held against the measured effect. Pure: reads the tables `heads`, `patterns` and `disabled` of a
run.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from jaxtyping import Float
from scipy import stats

from headscope.stats.paired import RESAMPLES, holm, interval

MOVED, LOSS, LAYER = "loss_moved", "loss", "layer"
"""Effects: how far the loss of an example moves, and how much the mean loss rises. And the signal
that any other has to beat: how far up a head is.
"""
_FEWEST = 8


def predictors(tables: Mapping[str, pl.DataFrame], seed: int = 0) -> list[dict[str, Any]]:
    """The `predictors` rows: a signal and an effect each, effect by effect, the highest correlation
    first.

    The effects of disabling a head: how far the loss of an example moves either way, on average
    (`loss_moved`), of which gradient importance is a first-order estimate; by how much the mean
    loss rises (`loss`); and what every metric loses in points, which moves with the few examples
    that flip. `value` is Spearman's rank correlation over the heads, with a 95% percentile interval
    from resampled heads; p is of no correlation (Student's t), corrected over the signals of an
    effect (Holm). Heads of a layer are more alike than the resampling takes them to be, so
    intervals are rather too short, and `layer` itself is among the signals: what does not beat it
    knows only how far up a head is.

    One task's tables. Empty where fewer than eight heads have been measured and disabled one by
    one.
    """
    if not {"heads", "disabled"} <= tables.keys():
        return []
    effects = _effects(tables["disabled"])
    rows: list[dict[str, Any]] = []
    for name, effect in effects.items():
        part = []
        for signal, values in _signals(tables).items():
            shared = sorted(effect.keys() & values.keys())
            x, y = np.array([values[h] for h in shared]), np.array([effect[h] for h in shared])
            if len(shared) < _FEWEST or np.ptp(x) == 0 or np.ptp(y) == 0:
                continue
            low, high = interval(_resampled(x, y, seed))
            found = stats.spearmanr(x, y)
            value, p = float(found.statistic), float(found.pvalue)
            part.append(
                {
                    "measure": signal,
                    "effect": name,
                    "value": value,
                    "low": low,
                    "high": high,
                    "n": len(shared),
                }
                | {"unit": "rank correlation", "p": p}
            )
        for row, corrected in zip(part, holm(np.array([r["p"] for r in part])), strict=True):
            row["p_corrected"] = float(corrected)
        rows += sorted(part, key=lambda r: -abs(r["value"]))
    return rows


Heads = dict[tuple[int, int], float]


def _effects(disabled: pl.DataFrame) -> dict[str, Heads]:
    """By effect, what disabling a head costs: above 0 where the task is worse off without it."""
    single = disabled.filter(pl.col("head").is_not_null())
    out: dict[str, Heads] = {}
    first = single.filter(pl.col("metric") == single["metric"].first())
    for name, column in ((MOVED, "loss_moved"), (LOSS, "loss_change")):
        if column in single.columns:
            out[name] = {(r["layer"], r["head"]): r[column] for r in first.to_dicts()}
    for (metric,), own in single.group_by("metric", maintain_order=True):
        out[str(metric)] = {(r["layer"], r["head"]): -r["delta"] for r in own.to_dicts()}
    return out


def _signals(tables: Mapping[str, pl.DataFrame]) -> dict[str, Heads]:
    """By name, the value of every measure and of every pattern's share for a head, and the head's
    layer.
    """
    heads = tables["heads"].filter(pl.col("value").is_not_null(), pl.col("value").is_not_nan())
    out: dict[str, Heads] = {
        LAYER: {(r["layer"], r["head"]): float(r["layer"]) for r in heads.to_dicts()}
    }
    for row in heads.to_dicts():
        out.setdefault(row["measure"], {})[row["layer"], row["head"]] = row["value"]
    if "patterns" in tables:
        shares = tables["patterns"].filter(
            pl.col("head").is_not_null(), pl.col("measure") == "share"
        )
        for row in shares.filter(pl.col("state") == shares["state"].last()).to_dicts():
            out.setdefault(f"share_{row['class']}", {})[row["layer"], row["head"]] = row["value"]
    return out


def _resampled(
    x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], seed: int
) -> Float[np.ndarray, "resample"]:
    """Spearman's correlation in resamples of the heads; 0 where one of the two has become
    constant.
    """
    drawn = np.random.default_rng(seed).integers(0, len(x), (RESAMPLES, len(x)))
    a, b = (stats.rankdata(values[drawn], axis=1) for values in (x, y))
    a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
    below = np.sqrt((a * a).sum(1) * (b * b).sum(1))
    return np.asarray(np.divide((a * b).sum(1), below, out=np.zeros(RESAMPLES), where=below > 0))
