"""C3: two heads carry frame-semantic relations, and no task needs them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from headscope.names import SIGNIFICANT, VerdictWord
from headscope.reference import FRAME_HEADS
from headscope.replication.claims.base import (
    Judgement,
    Said,
    headline,
    is_known,
    lacking,
    listed,
    of_parts,
    on_every_task,
    over_tasks,
    shown,
)
from headscope.replication.claims.scores import gains
from headscope.reporting.estimates import p_text
from headscope.results.tables import Tables
from headscope.stats.paired import holm

MARGIN = 1.0
"""A task does not need heads without which it surely loses less than so many points."""
_CAVEAT = (
    "One head in a hundred is above the 99th percentile whatever the heads do; the excess over "
    "other words at the same distance is what tells. p-values are adjusted over heads, and over "
    f"tasks (Holm). A loss of less than {MARGIN:.0f} point counts as no need; where it may be "
    "larger, nothing is said of the task."
)


def frame_heads(tables: Tables) -> Judgement:
    """C3: both heads attend from frame elements to the predicate more than distance explains, and
    without them every task surely loses less than a point.

    Without the first, the claim is not supported, whatever the tasks need.
    """
    columns = ("relation", "rank", "set", "value")
    if reason := lacking(tables, "span_heads", columns, nullable=("excess", "p_corrected")):
        return Judgement("not tested", reason)
    heads = tables["span_heads"].filter(relation="frame_element").sort("rank")
    if not heads.height:
        return Judgement("not tested", "The runs hold no frame-semantic relations.")
    carried = _carried(heads)
    unneeded = _unneeded(tables)
    word: VerdictWord = carried.word
    if word in ("supported", "partly supported"):
        word = of_parts([word, unneeded.word])
    return Judgement(word, f"{carried.text} {unneeded.text}", _CAVEAT)


def _carried(heads: pl.DataFrame) -> Said:
    """Whether the two heads of the highest scores carry more than distance explains."""
    words, texts = [], []
    for row in heads.head(FRAME_HEADS).to_dicts():
        words.append(_beyond_distance(row))
        excess = "unknown"
        if is_known(row["excess"]):
            ends = (row.get("excess_low"), row.get("excess_high"), row.get("excess_n"))
            excess = shown(row["excess"], *ends, "+.3f")
        p = "not tested (too few sentences, or by an older version)"
        if is_known(row["p_corrected"]):
            p = p_text(row["p_corrected"])
        texts.append(f"{row['set']} {row['value']:.3f}, of which beyond distance {excess}, {p}")
    is_beyond = (pl.col("p_corrected") < SIGNIFICANT) & (pl.col("excess") > 0)
    return Said(
        over_tasks(words),
        f"Attention from core elements to the predicate: {'; '.join(texts)}. Of {heads.height} "
        f"heads, {heads.filter(is_beyond).height} attend there beyond distance.",
    )


def _beyond_distance(row: dict[str, Any]) -> VerdictWord:
    if not (is_known(row["p_corrected"]) and is_known(row["excess"])):
        return "not tested"
    if row["p_corrected"] < SIGNIFICANT and row["excess"] > 0:
        return "supported"
    # The test may be for an excess above 0 alone.
    high = row.get("excess_high")
    return "contradicted" if is_known(high) and high < 0 else "not supported"


@dataclass(frozen=True)
class _WithoutHeads:
    """What a task loses without the heads, in its headline metric.

    Attributes:
        row: The row of the table.
        p: Adjusted over the tasks.
        drawn: The changes without as many heads drawn at random.
        is_learned: Whether the whole model beats the majority class; None where no score tells.
    """

    row: dict[str, Any]
    p: float
    drawn: pl.Series
    is_learned: bool | None

    @property
    def word(self) -> VerdictWord:
        """Whether the task does without the heads."""
        if self.is_learned is False or not is_known(self.row["low"]):
            return "not tested"
        if self.row["low"] > -MARGIN:
            return "supported"
        is_loss = self.row["delta"] < 0 and self.p < SIGNIFICANT
        return "contradicted" if is_loss else "not tested"

    @property
    def text(self) -> str:
        """The numbers, and what follows from them."""
        row, drawn = self.row, self.drawn
        change = shown(row["delta"], row["low"], row["high"], row.get("n"), "+.1f")
        control = f", {(drawn <= row['delta']).sum()} of {drawn.len()} random pairs as bad"
        outcome = {
            "supported": "not needed",
            "contradicted": "needed",
            "not tested": f"it may lose over {MARGIN:.0f} point",
        }[self.word]
        if self.is_learned is False:
            outcome = "not tested, since the model does not beat the majority class"
        return (
            f"{row['task']} {change}, {p_text(self.p)}{control if drawn.len() else ''}: {outcome}"
        )


def _unneeded(tables: Tables) -> Said:
    """Whether every task does without the heads."""
    if lacking(tables, "dispensable"):
        return Said("not tested", "They were not disabled on any task.")
    if reason := lacking(
        tables, "dispensable", ("task", "set", "drawn", "metric", "delta", "low", "high", "p")
    ):
        return Said("not tested", reason)
    rows = headline(tables["dispensable"], "task")
    heads = rows.filter(~pl.col("drawn"))
    learned = {task: gain.is_learned for task, gain in gains(tables).items()}
    adjusted = holm(heads["p"].fill_null(1.0).fill_nan(1.0).to_numpy().astype(np.float64))
    tasks = [
        _WithoutHeads(
            row,
            float(p),
            rows.filter(pl.col("drawn"), task=row["task"])["delta"],
            learned.get(row["task"]),
        )
        for row, p in zip(heads.to_dicts(), adjusted, strict=True)
    ]
    names = listed(heads["set"].unique(maintain_order=True).to_list())
    return Said(
        on_every_task([task.word for task in tasks]),
        f"Points without {names}: {'; '.join(task.text for task in tasks)}.",
    )
