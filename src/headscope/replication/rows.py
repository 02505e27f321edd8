"""The tables that only the whole paper has: its numbers beside these, and means over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Shaped

from headscope.commands.ablation import KeptOutputs
from headscope.errors import HeadscopeError
from headscope.reference import paper_score
from headscope.stats import seeds
from headscope.stats.changes import resampled_changes
from headscope.stats.paired import Z
from headscope.tasks.base import Task
from headscope.tasks.outputs import predictions


@dataclass(frozen=True)
class SeedsRow:
    """A row of the table `seeds`: a score over seeds."""

    task: str
    configuration: str
    metric: str
    value: float
    low: float
    high: float
    n: int
    unit: str
    of: str
    majority: float


@dataclass(frozen=True)
class SeedsDisabledRow:
    """A row of the table `seeds_disabled`: the effect of disabling a set over seeds."""

    task: str
    set: str
    layer: int | None
    head: int | None
    mode: str
    metric: str
    value: float
    low: float
    high: float
    p: float
    p_corrected: float
    gains: int
    same_sign: float
    n: int
    unit: str
    of: str


def with_paper(scores: pl.DataFrame, model: str) -> pl.DataFrame:
    """Table 1: every score beside the paper's, with the difference where the model is the same."""
    keys = scores.select("configuration", "task", "metric").iter_rows()
    paper = [paper_score(*key) for key in keys]
    same = model.rstrip("/").split("/")[-1] == "bert-base-uncased"
    comparable = "same model" if same else "another model: not comparable"
    beside = scores.with_columns(paper=pl.Series(paper, dtype=pl.Float64))
    return beside.with_columns(
        difference=pl.col("value") - pl.col("paper") if same else pl.lit(None),
        comparable=pl.when(pl.col("paper").is_null())
        .then(pl.lit(""))
        .otherwise(pl.lit(comparable)),
    )


def over_seeds(scores: pl.DataFrame) -> list[SeedsRow]:
    """Means over seeds of every task, configuration and metric that has several.

    What the examples add to the error is taken from the intervals of the single scores, as if all
    seeds were right on the same examples: of scores alone no more is known.
    """
    rows = []
    keys = ("task", "configuration", "metric")
    for (task, configuration, metric), group in scores.group_by(*keys, maintain_order=True):
        if group.height < 2:
            continue
        half_widths = ((group["high"] - group["low"]) / 2).cast(pl.Float64).to_numpy()
        variance = np.mean((half_widths / Z) ** 2, keepdims=True)
        mean = seeds.over_seeds(group["value"].to_numpy()[:, None], variance, group["n"][0])
        row = SeedsRow(
            task=str(task),
            configuration=str(configuration),
            metric=str(metric),
            value=mean.mean.item(),
            low=mean.low.item(),
            high=mean.high.item(),
            n=group.height,
            unit="points",
            of="seeds",
            majority=group["majority"][0],
        )
        rows.append(row)
    return rows


def effects_over_seeds(
    task: Task, disabled: Sequence[pl.DataFrame], kept: Sequence[KeptOutputs]
) -> list[SeedsDisabledRow]:
    """What disabling each set changes, as a mean over fine-tunings.

    Args:
        task: What the models were fine-tuned on.
        disabled: The table `disabled` of every fine-tuning, of the same sets and metrics.
        kept: What each of them puts out for the same examples, with the sets in the same order.

    Raises:
        HeadscopeError: The fine-tunings were scored on different examples.
    """
    labels = kept[0].labels
    if any(not np.array_equal(labels, other.labels) for other in kept[1:]):
        raise HeadscopeError(
            f"the fine-tunings on {task.name} were scored on different examples, so there is no "
            "mean over them: remove their folders, so that they are made again"
        )
    before = np.stack([predictions(task, outputs.unchanged) for outputs in kept])
    after = np.stack([_predictions_of_sets(task, outputs) for outputs in kept])
    rows = []
    for metric in disabled[0]["metric"].unique(maintain_order=True):
        frames = [frame.filter(metric=metric) for frame in disabled]
        effects = np.stack([frame["delta"].to_numpy() for frame in frames])
        drawn = resampled_changes(metric, labels, before, after, seed=0)
        mean = seeds.over_seeds(effects, drawn.var(1, ddof=1), len(labels))
        for number, effect in enumerate(frames[0].to_dicts()):
            row = SeedsDisabledRow(
                task=effect["task"],
                set=effect["set"],
                layer=effect["layer"],
                head=effect["head"],
                mode=effect["mode"],
                metric=metric,
                value=mean.mean[number].item(),
                low=mean.low[number].item(),
                high=mean.high[number].item(),
                p=mean.p[number].item(),
                p_corrected=mean.p_corrected[number].item(),
                gains=mean.gains[number].item(),
                same_sign=mean.same_sign[number].item(),
                n=len(disabled),
                unit="points",
                of="seeds",
            )
            rows.append(row)
    return rows


def _predictions_of_sets(task: Task, outputs: KeptOutputs) -> Shaped[np.ndarray, "set example"]:
    return np.stack([predictions(task, of_set) for of_set in outputs.disabled])
