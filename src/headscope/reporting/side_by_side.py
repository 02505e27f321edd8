"""Several runs in one report: what each shows in a line, and the figures that hold all of them."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from statistics import fmean

import polars as pl

from headscope.figures.published import PAPER
from headscope.figures.style import significant
from headscope.names import AS_GIVEN, FINE_TUNED, HETEROGENEOUS, OF_NUMBERS
from headscope.reporting.estimates import Estimate, estimates
from headscope.reporting.reading import Run
from headscope.results.tables import TABLES, Tables


@dataclass(frozen=True)
class Score:
    """A score with its interval, and what always answering the majority class gives."""

    metric: str
    value: float | None
    low: float | None
    high: float | None
    unit: str
    majority: float | None


@dataclass(frozen=True)
class Loss:
    """What disabling a set changes."""

    set: str
    delta: float
    unit: str


@dataclass(frozen=True)
class Line:
    """One run in a table of runs; None or an empty text where its tables do not say."""

    title: str
    seed: str
    score: Score | None
    """That of the fine-tuned model in its first metric."""
    costs: str
    """How many of the tested heads cost something when disabled, as in `3 of 72`."""
    gains: str
    worst: Loss | None
    """The head with the largest loss."""
    heterogeneous: Estimate | None
    """The share of heterogeneous maps in the last state, with uncertain maps in its interval."""
    cosine: float | None
    """The mean cosine of the last layer's maps before and after fine-tuning."""


_SCORE = [field.name for field in fields(Score)]


def line(run: Run) -> Line:
    """A run in a line."""
    seed = run.meta.get("seed")
    heads = _heads(_table(run.tables, "disabled"))
    return Line(
        title=run.title,
        seed="" if seed is None else str(seed),
        score=_score(_table(run.tables, "scores")),
        costs=_count(heads, pl.col("delta") < 0),
        gains=_count(heads, pl.col("delta") > 0),
        worst=_worst(heads),
        heterogeneous=_heterogeneous(_table(run.tables, "patterns")),
        cosine=_last_cosine(_table(run.tables, "change")),
    )


def summary(runs: Sequence[Run], lines: Sequence[Line]) -> str:
    """What several runs show together, in a sentence: how the paper's claims fare, or in how many
    runs a single head matters. Empty where none tests that.
    """
    for run in runs:
        if "claims" in run.tables and run.tables["claims"].height:
            return _of_claims(run.tables["claims"])
    tested = [one for one in lines if one.costs]
    if not tested:
        return ""
    losses = sum(not one.costs.startswith("0 ") for one in tested)
    gains = sum(not one.gains.startswith("0 ") for one in tested)
    return (
        f"In {losses or 'none'} of {len(tested)} runs a single head costs the score significantly "
        f"when disabled; in {gains or 'none'} one raises it."
    )


def _of_claims(claims: pl.DataFrame) -> str:
    verdicts = claims["verdict"].value_counts(sort=True, name="claims").drop_nulls()
    counted = [f"{count} {'is' if count == 1 else 'are'} {word}" for word, count in verdicts.rows()]
    return f"Of {claims.height} claims of {PAPER}, {', '.join(counted)}."


def _table(tables: Tables, name: str) -> pl.DataFrame:
    return tables[name] if name in tables else TABLES[name].empty()


def _score(scores: pl.DataFrame) -> Score | None:
    for configuration in (FINE_TUNED, AS_GIVEN):
        rows = scores.filter(configuration=configuration)
        if rows.height:
            # A correlation has no class that is the most frequent.
            is_class = ~pl.col("metric").is_in(OF_NUMBERS)
            rows = rows.with_columns(pl.when(is_class).then("majority").alias("majority"))
            return Score(*rows.select(_SCORE).row(0))
    return None


def _heads(disabled: pl.DataFrame) -> pl.DataFrame:
    """The effects of single heads in the first metric and mode."""
    rows = disabled.drop_nulls(["head", "delta"])
    return rows.filter(
        pl.col("metric").eq_missing(pl.col("metric").first()),
        pl.col("mode").eq_missing(pl.col("mode").first()),
    )


def _count(heads: pl.DataFrame, direction: pl.Expr) -> str:
    tested = heads["p_corrected"].count()
    return f"{significant(heads).filter(direction).height} of {tested}" if tested else ""


def _worst(heads: pl.DataFrame) -> Loss | None:
    rows = heads.sort("delta", maintain_order=True).select("set", "delta", "unit")
    return Loss(*rows.row(0)) if rows.height else None


def _heterogeneous(patterns: pl.DataFrame) -> Estimate | None:
    rows = patterns.filter(
        pl.col("layer").is_null(),
        pl.col("class") == HETEROGENEOUS,
        measure="share_corrected",
    ).drop_nulls("value")
    return estimates(rows)[-1] if rows.height else None


def _last_cosine(change: pl.DataFrame) -> float | None:
    rows = change.filter(measure="cosine_to_pretrained").drop_nulls("value")
    last = rows.filter(pl.col("layer") == pl.col("layer").max())
    return fmean(last["value"]) if last.height else None


def gathered(runs: Sequence[Run]) -> Tables:
    """The scores and disabled sets of all runs, for the figures that show a panel or a line a run.

    Where two runs share a task, the task is told apart by the seed or the number of its run.
    """
    tasks = [task for run in runs for task in tasks_of(run.tables)]
    titles = {run.title for run in runs}
    seeds = {str(run.meta.get("seed")) for run in runs}
    frames: dict[str, list[pl.DataFrame]] = {"scores": [], "disabled": []}
    for number, run in enumerate(runs, 1):
        mark = f", run {number}"
        if len(titles) == 1 and len(seeds) > 1:
            mark = f", seed {run.meta.get('seed')}"
        if len(set(tasks)) == len(tasks):
            mark = ""
        for name in frames.keys() & run.tables.keys():
            frame = run.tables[name].select(TABLES[name].shown)
            task = pl.col("task").fill_null("") + mark if mark else pl.col("task")
            frames[name].append(frame.with_columns(task=task))
    return {name: pl.concat(parts) for name, parts in frames.items() if parts}


def tasks_of(tables: Tables) -> list[str]:
    """The tasks that tables are about, in the order of their names."""
    tasks: set[str] = set()
    for frame in tables.values():
        if "task" in frame.columns:
            tasks |= set(frame["task"].drop_nulls())
    return sorted(tasks)
