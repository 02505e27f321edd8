"""Several runs in one report: what each shows in a line, and the figures that hold all of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from headscope.names import SIGNIFICANT
from headscope.reporting.reading import Run
from headscope.results.tables import TABLES, Tables

_TUNED = ("pretrained + fine-tuned", "as given")


@dataclass(frozen=True)
class Line:
    """One run in a table of runs; an empty text where its tables do not say."""

    title: str
    seed: str
    score: dict[str, Any] | None
    """The row of `scores` that counts: the fine-tuned model in its first metric."""
    costs: str
    gains: str
    worst: dict[str, Any] | None
    """The row of `disabled` with the largest loss."""
    heterogeneous: dict[str, Any] | None
    """The corrected share of heterogeneous maps, a row of `patterns`."""
    cosine: float | None
    """The mean cosine of the last layer's maps before and after fine-tuning."""


def line(run: Run) -> Line:
    """A run in a line."""
    tables = run.tables
    score = next(
        (row for name in _TUNED for row in _rows(tables, "scores") if row["configuration"] == name),
        None,
    )
    heads = [
        r for r in _rows(tables, "disabled") if r["head"] is not None and r["delta"] is not None
    ]
    heads = [r for r in heads if (r["metric"], r["mode"]) == (heads[0]["metric"], heads[0]["mode"])]
    tested = [r for r in heads if r["p_corrected"] is not None]
    stand = [r for r in tested if r["p_corrected"] < SIGNIFICANT]
    whole = [
        r
        for r in _rows(tables, "patterns")
        if r["layer"] is None and r["measure"] == "share_corrected"
    ]
    shares = [r for r in whole if r["class"] == "heterogeneous" and r["value"] is not None]
    cosines = [
        r
        for r in _rows(tables, "change")
        if r["measure"] == "cosine_to_pretrained" and r["value"] is not None
    ]
    last = [r["value"] for r in cosines if r["layer"] == max(c["layer"] for c in cosines)]
    return Line(
        title=run.title,
        seed="" if run.meta.get("seed") is None else str(run.meta["seed"]),
        score=score,
        costs=f"{sum(r['delta'] < 0 for r in stand)} of {len(tested)}" if tested else "",
        gains=f"{sum(r['delta'] > 0 for r in stand)} of {len(tested)}" if tested else "",
        worst=min(heads, key=lambda r: r["delta"]) if heads else None,
        heterogeneous=shares[-1] if shares else None,
        cosine=sum(last) / len(last) if last else None,
    )


def _rows(tables: Tables, name: str) -> list[dict[str, Any]]:
    return tables[name].to_dicts() if name in tables else []


def gathered(runs: Sequence[Run]) -> Tables:
    """The scores and disabled sets of all runs, for the figures that show a panel or a line a run.

    Where two runs share a task, the task is told apart by the title or the seed of its run.
    """
    tasks = [task for run in runs for task in _tasks(run)]
    seeds = {str(run.meta.get("seed")) for run in runs}
    titles = {run.title for run in runs}
    found: dict[str, list[pl.DataFrame]] = {}
    for number, run in enumerate(runs, 1):
        for name in ("scores", "disabled"):
            if name not in run.tables:
                continue
            frame = run.tables[name]
            if len(set(tasks)) < len(tasks):
                more = (
                    f"seed {run.meta.get('seed')}"
                    if len(titles) == 1 < len(seeds)
                    else f"run {number}"
                )
                frame = frame.with_columns(
                    pl.concat_str([pl.col("task").fill_null(""), pl.lit(f", {more}")]).alias("task")
                )
            found.setdefault(name, []).append(frame.select(TABLES[name].shown))
    return {name: pl.concat(frames) for name, frames in found.items()}


def _tasks(run: Run) -> list[str]:
    return sorted(
        {
            t
            for f in run.tables.values()
            if "task" in f.columns
            for t in f["task"].drop_nulls().unique()
        }
    )
