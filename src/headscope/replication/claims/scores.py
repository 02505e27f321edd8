"""What the tuned models score beside models that know less, a test per task."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from scipy import stats

from headscope.names import FINE_TUNED, SIGNIFICANT, UNTRAINED
from headscope.replication.claims.base import headline, is_known, lacking
from headscope.results.tables import Tables
from headscope.stats.paired import Z

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Gain:
    """What fine-tuning gains on a task in its headline metric, in points.

    Attributes:
        over_untrained: The mean score of the fine-tuned models less that of the untrained ones;
            None where none was scored.
        over_best: The lowest score of a fine-tuned model less the larger of the majority class and
            the best untrained model.
        low: The lower end of the 95% interval of `over_best`, the baseline's error included.
        high: Its upper end.
        p_majority: The largest p-value of a fine-tuned model above the majority class; 1 where one
            is not above it.
        p: The largest p-value of all differences from the majority class and the best untrained
            model; None where a baseline is missing.
        n: How many examples the models are scored on.
        models: How many fine-tuned models there are.
    """

    over_untrained: float | None
    over_best: float
    low: float
    high: float
    p_majority: float
    p: float | None
    n: int | None
    models: int

    @property
    def is_learned(self) -> bool:
        """Whether every fine-tuned model beats the majority class, by more than chance."""
        return self.p_majority < SIGNIFICANT


def gains(tables: Tables) -> dict[str, Gain]:
    """The gain of every task whose fine-tuned models have a score with an interval beside that of
    the majority class. Empty without such scores.
    """
    columns = ("task", "configuration", "metric", "value", "low", "high", "majority")
    if lacking(tables, "scores", columns):
        return {}
    rows = headline(tables["scores"], "task").drop_nulls(["value", "low", "high", "majority"])
    found = {}
    for (task,), of_task in rows.group_by("task", maintain_order=True):
        tuned = of_task.filter(configuration=FINE_TUNED).to_dicts()
        untrained = of_task.filter(configuration=UNTRAINED).to_dicts()
        if tuned:
            found[str(task)] = _gain(tuned, untrained)
    return found


def _gain(tuned: Sequence[Row], untrained: Sequence[Row]) -> Gain:
    p_majority = max(_above_majority(row) for row in tuned)
    lowest = min(tuned, key=lambda row: row["value"])
    baseline = lowest["majority"]
    below, above = lowest["value"] - lowest["low"], lowest["high"] - lowest["value"]
    p = over_untrained = None
    if untrained:
        best = max(untrained, key=lambda row: row["value"])
        p = max([p_majority, *(_above(row, best) for row in tuned)])
        over_untrained = _mean(tuned) - _mean(untrained)
        if best["value"] > baseline:
            baseline = best["value"]
            below = _both(below, best["high"] - best["value"])
            above = _both(above, best["value"] - best["low"])
    gain = lowest["value"] - baseline
    return Gain(
        over_untrained=over_untrained,
        over_best=gain,
        low=gain - below,
        high=gain + above,
        p_majority=p_majority,
        p=p,
        n=lowest.get("n"),
        models=len(tuned),
    )


def _above_majority(row: Row) -> float:
    """The two-sided p-value of a score above that of the majority class; 1 for one below.

    Accuracy has an exact McNemar test on the same examples. Other metrics, and scores of an older
    version, go by the lower half of their interval, as wide as a normal one.
    """
    gain = row["value"] - row["majority"]
    if gain <= 0:
        return 1.0
    if is_known(row.get("p_majority")):
        return float(row["p_majority"])
    return _normal(gain, row["value"] - row["low"])


def _above(row: Row, other: Row) -> float:
    """The two-sided p-value of a score above another one; 1 for one below. Errors count as
    independent: on the same examples they rather go together, which makes the p-value too large.
    """
    gain = row["value"] - other["value"]
    if gain <= 0:
        return 1.0
    return _normal(gain, _both(row["value"] - row["low"], other["high"] - other["value"]))


def _normal(gain: float, half_width: float) -> float:
    # Also where the interval is not known.
    if not half_width > 0:
        return 1.0
    return 2 * float(stats.norm.sf(Z * gain / half_width))


def _both(one: float, other: float) -> float:
    return float((one**2 + other**2) ** 0.5)


def _mean(rows: Sequence[Row]) -> float:
    return fmean(row["value"] for row in rows)
