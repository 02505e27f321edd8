"""What judging a claim is made of: a judgement, words put together, numbers in sentences."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeGuard

import polars as pl

from headscope.names import VerdictWord
from headscope.results.tables import Tables


@dataclass(frozen=True)
class Judgement:
    """What the tables say of a claim, and what stands against reading more into it."""

    verdict: VerdictWord
    evidence: str
    caveat: str = ""


@dataclass(frozen=True)
class Said:
    """A verdict on a part of a claim, such as on one task, with its numbers in words."""

    word: VerdictWord
    text: str


def lacking(
    tables: Tables, name: str, columns: Sequence[str] = (), nullable: Sequence[str] = ()
) -> str:
    """Why a table cannot be judged by, in a sentence; empty where it can.

    A run of an older version may be without a table, or without a column, which is then missing or
    has no value.

    Args:
        tables: The tables.
        name: The table.
        columns: Columns of which some row must have a value.
        nullable: Columns that must be there, if only without a value.
    """
    if name not in tables or not tables[name].height:
        return f"The runs hold no table {name}."
    frame = tables[name]
    missing = [column for column in (*columns, *nullable) if column not in frame.columns]
    known = [column for column in columns if column in frame.columns]
    missing += [column for column in known if frame[column].null_count() == frame.height]
    if missing:
        return (
            f"The table {name} has no value of {listed(missing)}: an older version wrote it, or "
            "there were too few data."
        )
    return ""


def over_tasks(words: Sequence[VerdictWord]) -> VerdictWord:
    """The verdict on a claim that may hold on some tasks and not on others.

    >>> over_tasks(["supported", "contradicted"]), over_tasks(["not supported", "contradicted"])
    ('partly supported', 'contradicted')
    >>> over_tasks(["supported", "not tested"]), over_tasks(["not supported", "not tested"])
    ('partly supported', 'not supported')
    """
    if words and all(word == "supported" for word in words):
        return "supported"
    if "supported" in words or "partly supported" in words:
        return "partly supported"
    if "contradicted" in words:
        return "contradicted"
    return "not supported" if "not supported" in words else "not tested"


def on_every_task(words: Sequence[VerdictWord]) -> VerdictWord:
    """The verdict on a claim about every task: one task that contradicts it is enough.

    >>> on_every_task(["supported", "contradicted"]), on_every_task(["supported", "not supported"])
    ('contradicted', 'partly supported')
    """
    return "contradicted" if "contradicted" in words else over_tasks(words)


def of_parts(words: Sequence[VerdictWord]) -> VerdictWord:
    """The verdict on a claim that says several things: untested as long as one of them is, unless
    another is contradicted.

    >>> of_parts(["supported", "not tested"]), of_parts(["contradicted", "not tested"])
    ('not tested', 'contradicted')
    >>> of_parts(["supported", "contradicted"])
    'partly supported'
    """
    if "not tested" in words and "contradicted" not in words:
        return "not tested"
    return over_tasks(words)


def shown(
    value: float, low: float | None, high: float | None, n: int | None, form: str, unit: str = ""
) -> str:
    """A number with its 95% interval and how many examples it is from.

    >>> shown(1.23, 0.4, 2.1, 1000, "+.1f", " points"), shown(35.0, None, None, 277, ".0f", "%")
    ('+1.2 points (95% +0.4 to +2.1, n = 1,000)', '35% (no interval, n = 277)')
    """
    known = []
    if is_known(low) and is_known(high):
        known.append(f"95% {low:{form}} to {high:{form}}")
    else:
        known.append("no interval")
    if n is not None:
        known.append(f"n = {n:,}")
    return f"{value:{form}}{unit} ({', '.join(known)})"


def is_known(value: float | None) -> TypeGuard[float]:
    """Whether a number is there: neither null nor NaN."""
    return value is not None and value == value


def listed(texts: Sequence[str]) -> str:
    """Texts as a list in a sentence.

    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    if len(texts) < 2:
        return "".join(texts)
    return f"{', '.join(texts[:-1])} and {texts[-1]}"


def tasks_in_words(count: int) -> str:
    """How many tasks.

    >>> tasks_in_words(1), tasks_in_words(7)
    ('1 task', '7 tasks')
    """
    return f"{count} task" if count == 1 else f"{count} tasks"


def headline(rows: pl.DataFrame, *keys: str) -> pl.DataFrame:
    """The rows of each group's first metric, which is the task's headline metric."""
    first = rows.group_by(keys, maintain_order=True).agg(pl.col("metric").first())
    return rows.join(first, on=[*keys, "metric"], how="semi", maintain_order="left")
