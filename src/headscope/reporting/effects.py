"""What disabling one head, or one layer, changes, in sentences."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import polars as pl

from headscope.figures.style import label
from headscope.names import SIGNIFICANT
from headscope.reporting.estimates import Estimate, Finding, estimates, is_significant, p_text
from headscope.results.tables import Tables


@dataclass(frozen=True)
class Effect:
    """What disabling a head or a layer changes, and the adjusted p-value of that."""

    name: str
    change: Estimate
    p: float | None

    def __str__(self) -> str:
        return f"{self.change.change} by {self.name}"


@dataclass(frozen=True)
class Family:
    """Heads, or layers, that were disabled one at a time, in one metric and one mode."""

    kind: str
    """"head" or "layer"."""
    metric: str
    """As a reader sees it."""
    metric_name: str
    """As the tables have it."""
    mode: str
    """` (mode zero)`, or an empty text where there is one mode."""
    effects: tuple[Effect, ...]


@dataclass(frozen=True)
class Direction:
    """The words for a loss, or for a gain."""

    noun: str
    nouns: str
    verb: str
    verbs: str
    negated: str
    sign: int


_DIRECTIONS = (
    Direction("loss", "losses", "costs", "cost", "lower", -1),
    Direction("gain", "gains", "raises", "raise", "raise", 1),
)


def effect_findings(tables: Tables) -> Iterator[Finding]:
    """What disabling each head alone costs and gains, and each layer.

    Gains that the table `selection` tests together are left to its sentences: the two tests are
    not the same (there of a gain, here of a change either way), and a gain has one verdict.
    """
    selection = tables.get("selection")
    judged = set()
    if selection is not None:
        # A table of version 0.1.0 names no sets.
        rows = selection.drop_nulls("significant").select("metric", "sets").rows()
        judged = {(label(metric), sets) for metric, sets in rows}
    for family in families(tables["disabled"]):
        together = (family.metric, len(family.effects)) in judged
        tested = [effect for effect in family.effects if effect.p is not None]
        if not tested:
            yield replace(_untested(family), metric=family.metric_name)
            continue
        for direction in _DIRECTIONS:
            if direction.sign < 0 or not together:
                finding = _tested(family, tested, direction)
                yield replace(finding, metric=family.metric_name)


def unchanged_findings(disabled: pl.DataFrame) -> Iterator[Finding]:
    """A caution where disabling a set has changed no activation."""
    unchanged = disabled.filter(pl.col("activation_change") == 0)
    names = unchanged["set"].unique(maintain_order=True).to_list()
    if names:
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        listed = ", ".join(map(str, names[:5])) + more
        text = f"Disabling {listed} changed no activation: these rows say nothing."
        yield Finding(text, "caution")


def families(disabled: pl.DataFrame) -> Iterator[Family]:
    """Heads that were disabled one at a time, by metric and mode, and layers after them."""
    known = disabled.drop_nulls(["delta", "layer"])
    is_layer = pl.col("head").is_null()
    for kind, rows in (("head", known.filter(~is_layer)), ("layer", known.filter(is_layer))):
        modes = rows["mode"].n_unique()
        for group in rows.partition_by("metric", "mode", maintain_order=True):
            metric, mode = group.select("metric", "mode").row(0)
            named = f" (mode {mode})" if modes > 1 else ""
            yield Family(kind, label(metric), metric, named, _effects(group))


def _effects(rows: pl.DataFrame) -> tuple[Effect, ...]:
    names = []
    for layer, head in rows.select("layer", "head").iter_rows():
        names.append(f"layer {layer}" if head is None else f"L{layer}H{head}")
    return tuple(map(Effect, names, estimates(rows, "delta"), rows["p_corrected"]))


def _untested(family: Family) -> Finding:
    effects = sorted(family.effects, key=lambda effect: effect.change.value)
    low, high = effects[0], effects[-1]
    text = (
        f"Disabling one {family.kind}{family.mode} changes {family.metric} by {low.change.change}"
    )
    if len(effects) == 1:
        text += f", {low.name}"
    else:
        text += f" ({low.name}) to {high.change.change} ({high.name})"
    return Finding(f"{text}; no test is recorded.", "not tested")


def _tested(family: Family, tested: Sequence[Effect], direction: Direction) -> Finding:
    effects = [effect for effect in tested if effect.change.value * direction.sign > 0]
    # The largest first; of equal ones the first of the table.
    effects.sort(key=lambda effect: -abs(effect.change.value))
    significant = [effect for effect in effects if is_significant(effect.p)]
    if not effects:
        return _none(family, tested, direction)
    if not significant:
        return _not_significant(family, tested, effects, direction)
    return _significant(family, tested, significant, direction)


def _none(family: Family, tested: Sequence[Effect], direction: Direction) -> Finding:
    where = f"{family.metric} when disabled{family.mode}."
    if len(tested) == 1:
        text = (
            f"The one {family.kind} tested, {tested[0].name}, does not {direction.negated} {where}"
        )
    else:
        text = f"None of {len(tested)} {family.kind}s {direction.negated}s {where}"
    return Finding(text, f"no {direction.noun}")


def _not_significant(
    family: Family, tested: Sequence[Effect], effects: Sequence[Effect], direction: Direction
) -> Finding:
    largest = effects[0]
    if len(tested) == 1:
        text = (
            f"The {direction.noun} of the one {family.kind} tested, {_told(effects)}, is not "
            f"significant{family.mode} (adjusted {p_text(largest.p)})."
        )
    else:
        text = (
            f"No {family.kind}’s {direction.noun} in {family.metric} is significant{family.mode} "
            f"after adjustment for {len(tested)} {family.kind}s; the largest is {_told(effects)}."
        )
    return Finding.about(largest.change, text, f"no significant {direction.noun}")


def _significant(
    family: Family, tested: Sequence[Effect], effects: Sequence[Effect], direction: Direction
) -> Finding:
    count, total = len(effects), len(tested)
    if total == 1:
        subject = f"The one {family.kind} tested {direction.verb}"
    elif count == total:
        subject = f"All {total} {family.kind}s {direction.verbs}"
    else:
        verb = direction.verb if count == 1 else direction.verbs
        subject = f"{count} of {total} {family.kind}s {verb}"
    largest = "the" if count == 1 else "the largest"
    text = (
        f"{subject} {family.metric} when disabled{family.mode} (Holm-adjusted p < {SIGNIFICANT}); "
        f"{largest} {direction.noun} is {_told(effects)}."
    )
    noun = direction.noun if count == 1 else direction.nouns
    return Finding.about(effects[0].change, text, f"{count} {noun}")


def _told(effects: Sequence[Effect]) -> str:
    """The largest effect with its interval, and which others are as large."""
    largest = effects[0]
    size = largest.change.value
    ties = [effect.name for effect in effects[1:] if effect.change.value == size]
    text = f"{largest}{largest.change.within(signed=True)}"
    if not ties:
        return text
    others = " and ".join(ties) if len(ties) < 3 else f"{len(ties)} others"
    return f"{text}, as large as that of {others}"
