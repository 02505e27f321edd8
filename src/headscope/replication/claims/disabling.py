"""C5: disabling a head helps on every task."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from headscope.names import SIGNIFICANT, VerdictWord
from headscope.replication.claims.base import (
    Judgement,
    headline,
    is_known,
    lacking,
    on_every_task,
    shown,
    tasks_in_words,
)
from headscope.replication.claims.scores import gains
from headscope.reporting.estimates import p_text
from headscope.results.tables import Tables
from headscope.stats.paired import holm

_COLUMNS = ("task", "metric", "sets", "best", "value", "p", "significant", "verdict")
_NULLABLE = ("at_least", "at_most", "honest", "low", "high", "n")
_NAMED = 5
_CAVEAT = (
    "The best of many heads gains by chance alone, which the test of every task allows for; the "
    "paper gives no test. p-values are adjusted over heads, and over tasks (Holm). No significant "
    "gain does not show that no head helps; only intervals that all end low do."
)


def disabling_helps(tables: Tables) -> Judgement:
    """C5: on every task a head gains when it is disabled, by the verdict of the table `selection`,
    whose p-value must also stand after Holm's correction over tasks.

    One task that contradicts it is enough. A task whose model does not beat the majority class is
    not tested: there is nothing that its heads could help or hurt.
    """
    if reason := lacking(tables, "selection", _COLUMNS, _NULLABLE):
        return Judgement("not tested", reason)
    # Single heads are the most sets.
    rows = headline(tables["selection"], "task").sort("sets", descending=True, maintain_order=True)
    first = rows.unique("task", keep="first", maintain_order=True)
    learned = {task: gain.is_learned for task, gain in gains(tables).items()}
    adjusted = holm(first["p"].fill_null(1.0).fill_nan(1.0).to_numpy().astype(np.float64))
    words: list[VerdictWord] = []
    texts = []
    for row, p in zip(first.to_dicts(), adjusted, strict=True):
        word = _word(row, float(p)) if learned.get(row["task"], True) else "not tested"
        words.append(word)
        texts.append(f"{row['task']} {word}: {_numbers(row)}, {p_text(float(p))}")
    text = (
        f"A head gains on {words.count('supported')} of {tasks_in_words(len(words))}. "
        f"{'; '.join(texts)}."
    )
    if unlearned := [task for task in first["task"] if not learned.get(task, True)]:
        text += (
            f" Not tested where a model does not beat the majority class: {', '.join(unlearned)}."
        )
    return Judgement(on_every_task(words), text, _CAVEAT)


def _word(row: Mapping[str, Any], p: float) -> VerdictWord:
    """The verdict on a task; a gain that does not stand over tasks is not supported."""
    verdict: VerdictWord = row["verdict"] or "not tested"
    is_lost = verdict == "supported" and p >= SIGNIFICANT
    return "not supported" if is_lost else verdict


def _numbers(row: Mapping[str, Any]) -> str:
    """Which heads gain, and how much; else the largest gain, and what no head gains more than."""
    names = row["significant"].split("; ") if row["significant"] else []
    if names:
        least = (
            f", each at least {row['at_least']:+.1f} points" if is_known(row["at_least"]) else ""
        )
        listed = ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
        gain = f"{len(names)} of {row['sets']} heads gain{least} ({listed})"
    else:
        most = f", none over {row['at_most']:+.1f}" if is_known(row["at_most"]) else ""
        gain = f"the best of {row['sets']} heads {row['value']:+.1f} points ({row['best']}){most}"
    if not is_known(row["honest"]):
        return gain
    held_out = shown(row["honest"], row["low"], row["high"], row["n"], "+.1f")
    return f"{gain}, the choice of one on other examples {held_out}"
