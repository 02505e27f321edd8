"""C1: five patterns recur over heads and tasks. C2: 32 to 61% of the maps are heterogeneous,
depending on the task.

Both go by the shares of the patterns over all heads, with intervals that hold uncertain maps.
"""

from typing import Any

import numpy as np
import polars as pl

from headscope.names import BLOCK, CLASSES, HETEROGENEOUS, SIGNIFICANT, VerdictWord
from headscope.reference import reference
from headscope.replication.claims.base import (
    Judgement,
    Said,
    lacking,
    listed,
    of_parts,
    over_tasks,
    shown,
    tasks_in_words,
)
from headscope.reporting.estimates import p_text
from headscope.results.tables import Tables
from headscope.stats.paired import Z
from headscope.stats.summaries import never_seen, same_value, widened

PRESENT = 0.01
"""A pattern is present on a task that holds this share of its maps."""
MARGIN = 5.0
"""By so many points of per cent a share may miss the paper's range, and two tasks may differ and
still count as alike.
"""
_COLUMNS = ("task", "state", "class", "measure", "value", "low", "high")
_NULLABLE = ("layer", "head")


def shares(tables: Tables) -> pl.DataFrame:
    """The shares of the patterns over all heads, a row per task and class; empty where
    none has an interval. Of the states of a model, they are of the last.
    """
    whole = tables["patterns"].filter(
        pl.col("layer").is_null(),
        pl.col("head").is_null(),
        pl.col("measure") == "share_corrected",
        pl.col("class").is_in(CLASSES),
    )
    if "examples" not in whole.columns:
        whole = whole.with_columns(examples=pl.lit(None, pl.Int64))
    known = whole.drop_nulls(["value", "low", "high"])
    return known.filter(pl.col("state") == known["state"].last()) if known.height else known


def patterns_recur(tables: Tables) -> Judgement:
    """C1: each of the five patterns is present on each task on which it can be.

    Present: the share's interval, widened for the number of shares (Bonferroni), lies at 1% of the
    maps or above. Absent: it lies below. Otherwise the share is too imprecise to tell. A task is
    supported if all its patterns are present, contradicted if one is absent, else not tested. A
    task of single sentences cannot have blocks, which are made of two.
    """
    if reason := lacking(tables, "patterns", _COLUMNS, _NULLABLE):
        return Judgement("not tested", reason)
    rows = shares(tables)
    single = [task for task, texts in reference("texts").items() if texts == 1]
    can_be = ~((pl.col("class") == BLOCK) & pl.col("task").is_in(single))
    judged = rows.filter(can_be)
    if not judged.height:
        return Judgement("not tested", "No share of a pattern has an interval.")
    presence: dict[str, list[str]] = {"present": [], "absent": [], "imprecise": []}
    words: list[VerdictWord] = []
    for of_task in judged.partition_by("task", maintain_order=True):
        found = [_presence(row, judged.height) for row in of_task.to_dicts()]
        for kind, row in zip(found, of_task.to_dicts(), strict=True):
            presence[kind].append(_share(row))
        if "absent" in found:
            words.append("contradicted")
        else:
            words.append("not tested" if "imprecise" in found else "supported")
    sentences = [
        f"On {tasks_in_words(len(words))}, {len(presence['present'])} of {judged.height} shares of "
        "patterns are surely 1% of the maps or more; the smallest is "
        f"{_share(judged.sort('value').row(0, named=True))}."
    ]
    if presence["absent"]:
        sentences.append(f"Absent: {listed(presence['absent'])}.")
    if presence["imprecise"]:
        sentences.append(f"Too imprecise to tell: {listed(presence['imprecise'])}.")
    if lone := [task for task in judged["task"].unique(maintain_order=True) if task in single]:
        sentences.append(
            f"{listed(lone)}, of single sentences, cannot have blocks and is judged on four "
            "patterns."
        )
    return Judgement(
        over_tasks(words),
        " ".join(sentences),
        "The intervals hold uncertain maps, too. A pattern is said to be present or "
        f"absent by an interval widened for {judged.height} shares (Bonferroni); those shown are "
        "95% each.",
    )


def _presence(row: dict[str, Any], tests: int) -> str:
    low, high = widened(row["value"], row["low"], row["high"], tests)
    if row["low"] == row["high"] == 0:
        # Resampling what was never seen gives an interval without width.
        high = never_seen(row["examples"] or 0, tests)
    if low >= PRESENT:
        return "present"
    return "absent" if high < PRESENT else "imprecise"


def _share(row: dict[str, Any]) -> str:
    high = row["high"]
    if row["low"] == high == 0:
        high = never_seen(row["examples"] or 0, 1)
    value, low, high = 100 * row["value"], 100 * row["low"], 100 * high
    return (
        f"{row['class']} on {row['task']}, {shown(value, low, high, row['examples'], '.1f', '%')}"
    )


def heterogeneous(tables: Tables) -> Judgement:
    """C2: the share of heterogeneous maps lies in the paper's range, and depends on the task.

    The range: every task's interval, widened for the number of tasks, lies between the paper's
    lowest and highest share with a margin of 5 points; contradicted if one lies outside. The task:
    Cochran's Q over the tasks' shares is significant; contradicted if no two tasks can differ by
    5 points.
    """
    if reason := lacking(tables, "patterns", _COLUMNS, _NULLABLE):
        return Judgement("not tested", reason)
    rows = shares(tables).filter(pl.col("class") == HETEROGENEOUS).sort("value")
    if not rows.height:
        return Judgement("not tested", "No share of heterogeneous maps has an interval.")
    percent = rows.with_columns(pl.col("value", "low", "high") * 100)
    bounds = [
        widened(value, low, high, rows.height)
        for value, low, high in percent.select("value", "low", "high").iter_rows()
    ]
    paper = reference("heterogeneous")
    columns = percent.select("task", "value", "low", "high", "examples")
    ends = [columns.row(0), columns.row(-1)][: rows.height]
    here = " to ".join(
        f"{shown(value, low, high, n, '.1f', '%')} on {task}" for task, value, low, high, n in ends
    )
    ranged = _in_range(bounds, percent["task"].to_list())
    depends = _depends(percent, bounds)
    return Judgement(
        of_parts([ranged.word, depends.word]),
        f"Shares of heterogeneous maps: {here}; the paper has {paper['mrpc']}% (mrpc) to "
        f"{paper['qqp']}% (qqp). {ranged.text} {depends.text}",
        f"The margin is {MARGIN:.0f} points. Of one fine-tuning a task: what differs between tasks "
        "may differ between fine-tunings, too. Another model than the paper's has other shares; "
        "Prasanna et al. (2020) have 15.7 to 50.8% with the same one.",
    )


def _in_range(bounds: list[tuple[float, float]], tasks: list[str]) -> Said:
    """Whether all shares lie in the paper's range."""
    paper = reference("heterogeneous")
    least, most = paper["mrpc"] - MARGIN, paper["qqp"] + MARGIN
    inside = [least <= low and high <= most for low, high in bounds]
    outside = [
        task for task, (low, high) in zip(tasks, bounds, strict=True) if high < least or low > most
    ]
    within = f"{least:.0f} to {most:.0f}%"
    if outside:
        return Said("contradicted", f"Outside of {within}: {listed(outside)}.")
    if all(inside):
        return Said("supported", f"All lie within {within}.")
    return Said("not tested", f"Too imprecise to tell whether all lie within {within}.")


def _depends(percent: pl.DataFrame, bounds: list[tuple[float, float]]) -> Said:
    """Whether the shares differ between tasks."""
    if percent.height < 2:
        return Said("not tested", "One task cannot show that shares depend on it.")
    errors = (percent["high"] - percent["low"]).to_numpy() / (2 * Z)
    if not np.all(errors > 0):
        return Said("not tested", "A share without an error leaves no test of the task.")
    p = same_value(percent["value"].to_numpy(), errors)
    tested = f"(Cochran's Q over {percent.height} tasks, {p_text(p)})"
    widest = max(high for _, high in bounds) - min(low for low, _ in bounds)
    if widest < MARGIN:
        return Said(
            "contradicted", f"No two tasks differ by more than {widest:.1f} points {tested}."
        )
    if p < SIGNIFICANT:
        return Said("supported", f"Tasks differ {tested}.")
    return Said(
        "not tested",
        f"No difference between tasks is significant {tested}; there may be one of up to "
        f"{widest:.1f} points.",
    )
