"""What a run found, in one sentence: the first that a reader of the page sees."""

import polars as pl

from headscope.figures.style import label
from headscope.reporting.doubts import doubts
from headscope.reporting.effects import Effect, Family, families
from headscope.reporting.estimates import Estimate, estimates, is_significant
from headscope.reporting.findings import RELATIONS, TUNING, findings
from headscope.reporting.pruning import Pruned, chosen_of
from headscope.results.numbers import number
from headscope.results.tables import Tables


def takeaway(tables: Tables) -> str:
    """What the tables show first of all: that nothing can be said, what single heads or layers
    cost, what can be removed together, how maps are spread over the patterns; else the first
    finding. Empty where there is none.
    """
    if "scores" in tables and (doubted := doubts(tables["scores"])):
        return doubted[0]
    if "disabled" in tables and (family := _first_tested(tables["disabled"])):
        return _of_effects(family, tables) + _and_together(tables)
    if "pruned" in tables and (sets := chosen_of(tables["pruned"])):
        return f"{_removed(sets[0])}; {sets[0].verdict}."
    said = findings(tables)
    for topic in (RELATIONS, TUNING):
        for finding in said:
            if finding.topic == topic:
                return finding.text
    if "patterns" in tables and (text := _of_patterns(tables)):
        return text
    return said[0].text if said else ""


def _first_tested(disabled: pl.DataFrame) -> Family | None:
    """The heads, else the layers, in the first metric and mode that has a test."""
    for family in families(disabled):
        if any(effect.p is not None for effect in family.effects):
            return family
    return None


def _of_effects(family: Family, tables: Tables) -> str:
    tested = [effect for effect in family.effects if effect.p is not None]
    losses = [effect for effect in tested if _is_loss(effect)]
    gains = _gains(family, tested, tables)
    count, kind, metric = len(tested), family.kind, family.metric
    if not losses and not gains:
        return _nothing(family, tested)
    clauses = []
    if losses:
        verb = "costs" if len(losses) == 1 else "cost"
        clauses.append(
            f"{len(losses)} of {count} {kind}s {verb} {metric} significantly when disabled "
            f"alone{family.mode}, {_most(losses)}"
        )
    if gains:
        verb = "raises" if len(gains) == 1 else "raise"
        which = str(len(gains)) if losses else f"{len(gains)} of {count} {kind}s"
        alone = "" if losses else f" when disabled alone{family.mode}"
        clauses.append(f"{which} {verb} {metric} significantly{alone}, {_most(gains)}")
    else:
        clauses.append(f"no {kind}’s gain is significant")
    return f"{'; '.join(clauses)}."


def _nothing(family: Family, tested: list[Effect]) -> str:
    largest = max(tested, key=lambda effect: abs(effect.change.value))
    if len(tested) == 1:
        return (
            f"Disabling {largest.name}{family.mode} changes {family.metric} by "
            f"{largest.change.change} ({_interval(largest.change)}), which is not significant."
        )
    return (
        f"No single {family.kind} of {len(tested)} changes {family.metric} significantly when "
        f"disabled{family.mode}: the largest change is {largest.change.change} ({largest.name}; "
        f"{_interval(largest.change)}; p-values adjusted for {len(tested)} {family.kind}s)."
    )


def _and_together(tables: Tables) -> str:
    """The same for heads that are removed together, as a sentence of its own."""
    sets = chosen_of(tables["pruned"]) if "pruned" in tables else []
    return f" {_removed(sets[0])}." if sets else ""


def _removed(pruned: Pruned) -> str:
    return f"With {pruned.removed} of {pruned.heads} heads removed together: {pruned.cost}"


def _is_loss(effect: Effect) -> bool:
    return effect.change.value < 0 and is_significant(effect.p)


def _gains(family: Family, tested: list[Effect], tables: Tables) -> list[Effect]:
    """The significant gains; where the table `selection` tests them together, by its test."""
    named = _named_gains(family, len(tested), tables)
    gains = [effect for effect in tested if effect.change.value > 0]
    if named is None:
        return [effect for effect in gains if is_significant(effect.p)]
    return [effect for effect in gains if effect.name in named]


def _named_gains(family: Family, sets: int, tables: Tables) -> set[str] | None:
    if "selection" not in tables:
        return None
    rows = tables["selection"].filter(metric=family.metric_name, sets=sets)
    judged = rows["significant"].drop_nulls()
    return None if judged.is_empty() else set(judged[0].replace(",", " ").split())


def _most(effects: list[Effect]) -> str:
    largest = max(effects, key=lambda effect: abs(effect.change.value))
    which = "" if len(effects) == 1 else "most of all "
    return f"{which}{largest.name}: {largest.change.change} ({_interval(largest.change)})"


def _interval(change: Estimate) -> str:
    """`95% −4.7 to +1.2, n = 408`"""
    known = ["no interval"]
    if change.low is not None and change.high is not None:
        low, high = (number(end, change.unit, signed=True) for end in (change.low, change.high))
        known = [f"95% {low} to {high}"]
    if change.n is not None:
        known.append(f"n = {change.n}")
    return ", ".join(known)


def _of_patterns(tables: Tables) -> str:
    """The most frequent pattern of the last state."""
    patterns = tables["patterns"]
    shares = patterns.filter(
        pl.col("layer").is_null(),
        pl.col("head").is_null(),
        pl.col("state") == pl.col("state").last(),
        measure="share_corrected",
    ).drop_nulls("value")
    if shares.is_empty():
        return ""
    first = shares.sort("value", descending=True, maintain_order=True).head(1)
    share = estimates(first)[0]
    within = "no interval: too few examples"
    if share.low is not None and share.high is not None:
        within = f"95% {100 * share.low:.0f}% to {100 * share.high:.0f}%, uncertain maps included"
    counted = "" if share.n is None else f", n = {share.n:,}"
    name = label(str(first["class"][0]))
    return (
        f"Of the five patterns, {name} is the most frequent: {100 * share.value:.0f}% of the "
        f"attention maps ({within}{counted})."
    )
