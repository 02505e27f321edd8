"""C5: disabling a head helps on every task."""

import polars as pl

from headscope.names import VerdictWord
from headscope.replication.claims.base import (
    Judgement,
    headline,
    lacking,
    on_every_task,
)
from headscope.replication.claims.scores import gains
from headscope.results.tables import Tables

_CAVEAT = (
    "The best of many heads gains by chance alone, which the test of every task allows for; the "
    "paper gives no test. No significant gain does not show that no head helps."
)


def disabling_helps(tables: Tables) -> Judgement:
    """C5: on every task a head gains when it is disabled, by the test of the table `selection`.

    One task that contradicts it is enough. A task whose model does not beat the majority class is
    not tested: its heads have nothing to be held against.
    """
    columns = ("task", "metric", "sets", "verdict")
    if reason := lacking(tables, "selection", columns):
        return Judgement("not tested", reason)
    # Single heads are the most sets.
    rows = headline(tables["selection"], "task").sort("sets", descending=True, maintain_order=True)
    first = rows.unique("task", keep="first", maintain_order=True)
    order = tables["selection"]["task"].unique(maintain_order=True)
    learned = {task: gain.is_learned for task, gain in gains(tables).items()}
    words: dict[str, VerdictWord] = {}
    texts = []
    for task in order:
        row = first.row(by_predicate=pl.col("task") == task, named=True)
        words[task] = row["verdict"] if learned.get(task, True) else "not tested"
        texts.append(f"{task} {words[task]}")
    return Judgement(on_every_task(list(words.values())), "; ".join(texts), _CAVEAT)
