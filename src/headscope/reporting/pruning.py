"""What the table `pruned` says, in sentences for the console, the page and a model's README."""

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from headscope.errors import HeadscopeError
from headscope.figures.style import label
from headscope.reporting.estimates import Finding
from headscope.results.numbers import interval, number
from headscope.stats.noninferiority import LEVEL

_COLUMNS = (
    "kept", "removed", "repair", "metric", "baseline", "value", "delta", "low", "high", "n",
    "majority", "margin", "p",
)  # fmt: skip
_KNOWN = [name for name in _COLUMNS if name not in ("low", "high", "majority", "p")]


@dataclass(frozen=True)
class Pruned:
    """A row of the table `pruned`; what is not known is None."""

    kept: int
    removed: int
    repair: str
    metric: str
    baseline: float
    value: float
    delta: float
    low: float | None
    high: float | None
    n: int
    majority: float | None
    margin: float
    p: float | None

    @property
    def heads(self) -> int:
        """How many heads the whole model has."""
        return self.kept + self.removed

    @property
    def cost(self) -> str:
        """What it costs, with its interval.

        >>> scores = {"baseline": 86.0, "value": 85.0, "delta": -1.0, "low": -2.5, "high": 0.5}
        >>> rest = {"n": 408, "majority": 68.4, "margin": 0.9, "p": 0.6}
        >>> Pruned(36, 36, "none", "accuracy", **scores, **rest).cost
        'accuracy 85.0 in place of 86.0 (−1.0, 95% −2.5 to 0.5, n = 408)'
        """
        if self.low is None or self.high is None:
            spread = "no interval"
        else:
            spread = f"95% {number(self.low, 'points')} to {number(self.high, 'points')}"
        change = number(self.delta, "points", signed=True)
        return (
            f"{label(self.metric)} {number(self.value, 'points')} in place of "
            f"{number(self.baseline, 'points')} ({change}, {spread}, n = {self.n})"
        )

    @property
    def is_shown(self) -> bool:
        """Whether it is shown that the score falls by less than the margin."""
        return self.p is not None and self.p < LEVEL

    @property
    def is_beyond(self) -> bool:
        """Whether it is shown that the score falls by more than the margin."""
        return self.high is not None and self.high < -self.margin

    @property
    def verdict(self) -> str:
        """Whether it is shown that the score falls by less than the margin."""
        margin = f"{number(self.margin, 'points')} points"
        if self.is_shown:
            return f"it is shown that the score falls by less than {margin} (p = {self.p:.2g})"
        if self.is_beyond:
            return f"the score falls by more than {margin}"
        tested = "" if self.p is None else f" (p = {self.p:.2g}, {LEVEL} or less would show it)"
        return (
            f"that the score falls by less than {margin} cannot be shown with {self.n} "
            f"examples{tested}"
        )

    @property
    def sentence(self) -> str:
        """What can go, and what that costs."""
        share = f"{100 * self.removed / self.heads:.0f}%"
        repaired = {
            "none": "",
            "refit": ", output projections refitted",
            "fine-tuned": ", trained on",
        }
        text = (
            f"{self.removed} of {self.heads} heads ({share}) removed together"
            f"{repaired.get(self.repair, '')}: {self.cost}; {self.verdict}"
        )
        if self.majority is not None and self.value <= self.majority:
            text += (
                f"; always answering the same gives {number(self.majority, 'points')}, so what is "
                "left knows nothing of the task"
            )
        return text


def pruned_of(table: pl.DataFrame) -> list[Pruned]:
    """The rows of a table `pruned`, but for those of a damaged file that lack a number."""
    rows = table.select(_COLUMNS).drop_nulls(_KNOWN).iter_rows()
    return [Pruned(*row) for row in rows]


def chosen_of(table: pl.DataFrame) -> list[Pruned]:
    """The rows of the recommended sets, by the first metric; none where no set is."""
    if not table.height:
        return []
    return pruned_of(table.filter(pl.col("chosen"), metric=table["metric"][0]))


def recommended(table: pl.DataFrame) -> list[Pruned]:
    """The rows of the recommended sets, by the first metric.

    Raises:
        HeadscopeError: No set of heads can go within the margin.
    """
    if chosen := chosen_of(table):
        return chosen
    raise HeadscopeError(f"{_none(table)}: give a larger --within, or --keep")


def _none(table: pl.DataFrame) -> str:
    """That no set is recommended, and what the cheapest head costs."""
    singles = pruned_of(table.filter(metric=table["metric"][0], removed=1))
    if not singles:
        return "no set of heads is recommended"
    single = singles[0]
    return (
        f"no head can go without a fall of {label(single.metric)} by more than "
        f"{number(single.margin, 'points')} points on the training examples by which the size is "
        f"chosen; on {single.n} validation examples the cheapest head changes it by "
        f"{number(single.delta, 'points', signed=True)}"
    )


def pruning_findings(table: pl.DataFrame) -> Iterator[Finding]:
    """What can go together and what that costs, a sentence per recommended set."""
    chosen = chosen_of(table)
    if table.height and not table["chosen"].any():
        text = _none(table)
        yield Finding(f"{text[0].upper()}{text[1:]}.", "none can go")
    for one in chosen:
        verdict = "beyond the margin" if one.is_beyond else "cannot be shown"
        if one.is_shown:
            verdict = "within the margin"
        yield Finding(f"{one.sentence}.", verdict, one.delta, one.low, one.high, "points")


_SEARCHED = (
    "metric", "kept", "search_loss", "loss", "search_n", "choice_n", "n", "scored", "seconds",
)  # fmt: skip


def search_sentences(table: pl.DataFrame) -> Iterator[str]:
    """What the search looked at, how the size was chosen, and what the scores are of."""
    path = table.filter(repair="none").drop_nulls(_SEARCHED)
    if not path.height:
        return
    chosen = path.filter("chosen")
    metric, kept, searched, loss, search_n, choice_n, n, scored, seconds = (
        (chosen if chosen.height else path).select(_SEARCHED).row(0)
    )
    yield (
        f"The search scored {scored:,} sets of heads on {search_n:,} training examples, in "
        f"{_time(seconds)}. What it lowered is their mean loss, and the lowest of many flatters: "
        f"with {kept} heads it is {number(searched, more=1)}, and {number(loss, more=1)} on the "
        "validation examples."
    )
    if choice_n and chosen.height:
        yield (
            f"The number of heads was chosen by {label(metric)} on {choice_n:,} other training "
            "examples: a falling curve is fitted to the scores of all sizes, and the fewest heads "
            "are kept with which it stays within the margin."
        )
    yield (
        f"Scores and intervals are of the {n:,} validation examples, which had no part in either. "
        "The interval of a size speaks for that size, not for all of them together."
    )


def _time(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 90 else f"{seconds:.0f} seconds"


def size_lines(sizes: pl.DataFrame | None) -> tuple[str, ...]:
    """What the table `sizes` says of every small model, in a sentence each: its weights and, for
    every length, its speed in the largest batch that was timed often enough for an interval.
    """
    if sizes is None:
        return ()
    lines = []
    for rows in sizes.partition_by("heads_kept", maintain_order=True):
        first = rows.row(0, named=True)
        text = (
            f"the model with {first['heads_kept']} heads has {first['parameters']:,} of "
            f"{first['parameters_whole']:,} weights"
        )
        timed = rows.drop_nulls(["low", "high"]).sort("tokens", "batch")
        for row in timed.unique("tokens", keep="last", maintain_order=True).iter_rows(named=True):
            text += (
                f"; at {row['tokens']} tokens, {row['batch']} in a batch, it is "
                f"{row['value']:.2f} times as fast ({interval(row['low'], row['high'], 2)})"
            )
        lines.append(text)
    return tuple(lines)
