"""What runs say of heads that are disabled together, in sentences: that effects of single heads do
not add up, which pairs interact, and which heads share the whole effect.
"""

from collections.abc import Iterator

import polars as pl

from headscope.figures.style import label
from headscope.names import SIGNIFICANT
from headscope.reporting.estimates import Finding
from headscope.results.numbers import number
from headscope.results.tables import Tables

MEASURED_BEFORE = (
    "all-MiniLM-L6-v2 on SST-2, mode zero: 60 of 72 heads raise no loss alone; with all 60 "
    "disabled, accuracy falls from 87.6 to 49.1"
)
"""An example for runs that have none of their own."""
_NAMED = 3
"""So many pairs and heads are named."""


def adding_up(tables: Tables) -> Iterator[Finding]:
    """A caution wherever effects of single heads are listed: they do not add up."""
    if "together" in tables:
        yield from many_findings(tables["together"])
    elif "disabled" in tables:
        yield from _singles(tables["disabled"])


def _singles(disabled: pl.DataFrame) -> Iterator[Finding]:
    """The caution of a run that disabled heads one at a time."""
    heads = disabled.drop_nulls(["delta", "head", "metric"])
    if heads.is_empty():
        return
    heads = heads.filter(metric=heads["metric"][0]).unique("set")
    if heads.height < 2:
        return
    harmless = heads.filter(pl.col("delta") >= 0).height
    text = (
        f"Effects of single heads cannot be added up: {harmless} of {heads.height} heads lower no "
        f"{label(str(heads['metric'][0]))} when disabled alone, which does not say that they can "
        f"go together ({MEASURED_BEFORE}). headscope prune searches for heads that can, and "
        "headscope disable --heads pairs measures pairs."
    )
    yield Finding(text, "caution")


def many_findings(together: pl.DataFrame) -> Iterator[Finding]:
    """How far the sum of single effects is from what many heads cost at once, in the first metric
    of each set.
    """
    most = max(together["heads"].to_list())
    for rows in together.partition_by("set", "mode", maintain_order=True):
        row = rows.row(0, named=True)
        which = f"all {most} heads disabled"
        if row["heads"] != most:
            which = f"the {row['heads']} of {most} heads disabled that raise no loss alone"
        excess = _loss(row["excess"], row["excess_low"], row["excess_high"], row["loss_unit"])
        text = (
            f"Effects of single heads cannot be added up: with {which}, "
            f"{label(row['metric'])} is {number(row['value'], 'points')} instead of "
            f"{number(row['baseline'], 'points')}. The loss changes by "
            f"{_signed(row['loss_change'])}, and the effects of each alone sum to "
            f"{_signed(row['alone'])}: a difference of {excess}, n = {row['n']}."
        )
        yield Finding(text, "caution")


def interaction_findings(pairs: pl.DataFrame) -> Iterator[Finding]:
    """How many pairs are redundant and synergistic, and the strongest of either."""
    tested = pairs.filter(pl.col("kind") != "not tested")
    untested = pairs.height - tested.height
    if not tested.height:
        text = f"No interaction of {_counted(untested, 'pair')} was tested: fewer than 10 examples."
        yield Finding(text, "not tested")
        return
    kinds = {kind: tested.filter(kind=kind) for kind in ("redundant", "synergistic")}
    redundant, synergistic = (rows.height for rows in kinds.values())
    text = (
        f"Of {_counted(tested.height, 'pair')} of heads, {redundant:,} {_is(redundant)} redundant "
        "(disabled together they cost more than their effects alone add up to) and "
        f"{synergistic:,} {_is(synergistic)} synergistic (they cost less), adjusted p < "
        f"{SIGNIFICANT} for all pairs, n = {tested['n'][0]}"
    )
    if not redundant + synergistic:
        text += f"; the largest is {_pair(_largest(tested).row(0, named=True))}"
    if untested:
        text += f". {untested:,} {'was' if untested == 1 else 'were'} not tested"
    yield Finding(f"{text}.", f"{redundant:,} redundant, {synergistic:,} synergistic")
    for kind, rows in kinds.items():
        if rows.height:
            named = "; ".join(map(_pair, _largest(rows).iter_rows(named=True)))
            text = f"The strongest {kind} pairs, with intervals for all pairs at once: {named}."
            yield Finding(text, kind)


def _largest(pairs: pl.DataFrame) -> pl.DataFrame:
    return pairs.sort(pl.col("value").abs(), descending=True, maintain_order=True).head(_NAMED)


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _is(count: int) -> str:
    return "is" if count == 1 else "are"


def _pair(row: dict[str, object]) -> str:
    value, low, high = (row[name] for name in ("value", "low_all", "high_all"))
    alone, other, together = (row[name] for name in ("alone", "other_alone", "together"))
    return (
        f"{row['set']} {_loss(value, low, high, row['unit'])}, alone {_signed(alone)} and "
        f"{_signed(other)}, together {_signed(together)}"
    )


def shapley_findings(shapley: pl.DataFrame) -> Iterator[Finding]:
    """How the whole effect is shared out, and the heads with the largest shares."""
    first = shapley.row(0, named=True)
    total = shapley["value"].sum()
    below = shapley.filter(pl.col("high_all") < 0).height
    above = shapley.filter(pl.col("low_all") > 0).height
    text = (
        f"The Shapley values of {shapley.height} heads add up to the rise of the loss with all of "
        f"them disabled, {_signed(total)} {first['unit']} ({first['n']} {first['of']}, "
        f"{first['examples']} examples taken as they are): {above} are above 0 and {below} below, "
        "by intervals for all heads at once."
    )
    yield Finding(text, "shared out")
    largest = shapley.sort("value", descending=True).head(_NAMED)
    named = []
    for row in largest.iter_rows(named=True):
        share = _loss(row["value"], row["low_all"], row["high_all"], row["unit"])
        named.append(f"{row['set']} {share}, alone {_signed(row['alone'])}")
    yield Finding(f"The largest Shapley values: {'; '.join(named)}.", "shared out")


def _loss(value: object, low: object, high: object, unit: object) -> str:
    """A change of the loss with its interval."""
    if low is None or high is None:
        return f"{_signed(value)} {unit} (no interval)"
    return f"{_signed(value)} {unit} (95% {_signed(low)} to {_signed(high)})"


def _signed(value: object) -> str:
    return number(float(str(value)), signed=True, more=1)
