"""The paper's six claims, each with a verdict, its evidence in numbers, and a caveat.

Pure: `verdicts` reads the tables of runs by name.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl

from headscope.names import BLOCK, FINE_TUNED, HETEROGENEOUS, SIGNIFICANT, UNTRAINED, VERTICAL
from headscope.reference import claims, reference
from headscope.results.tables import Tables

Word = Literal["supported", "partly supported", "not supported", "not tested"]

PRESENT = 0.01
"""A class of patterns is present if it surely holds this share of the maps."""
DOMINANT = 0.5
"""A class or a token that holds a larger share than this holds most."""


@dataclass(frozen=True)
class ClaimRow:
    """A row of the table `claims`."""

    claim: str
    text: str
    verdict: Word
    evidence: str
    caveat: str


@dataclass(frozen=True)
class Judgement:
    """What the tables say of a claim, and what stands against reading more into it."""

    verdict: Word
    evidence: str
    caveat: str = ""


def verdicts(tables: Tables) -> list[ClaimRow]:
    """The claims C1 to C6, judged by what the tables hold."""
    judges: dict[str, Callable[[Tables], Judgement]] = {
        "C1": _patterns_recur,
        "C2": _heterogeneous,
        "C3": _frames,
        "C4": _last_layers,
        "C5": _disabling_helps,
        "C6": _vertical_is_special,
    }
    rows = []
    for claim, text in claims().items():
        judged = judges[claim](tables)
        rows.append(ClaimRow(claim, text, judged.verdict, judged.evidence, judged.caveat))
    return rows


def _untested(what: str) -> Judgement:
    return Judgement("not tested", f"The runs hold no {what}.")


def _all_or_part(hits: Sequence[bool]) -> Word:
    if all(hits):
        return "supported"
    return "partly supported" if any(hits) else "not supported"


def _shares(tables: Tables) -> pl.DataFrame:
    """The shares of the classes over all heads, a row per task and class; empty without patterns.

    Of the states of a model, they are of the last.
    """
    if "patterns" not in tables:
        return pl.DataFrame()
    whole = tables["patterns"].filter(
        pl.col("layer").is_null(),
        pl.col("head").is_null(),
        pl.col("measure") == "share_corrected",
    )
    return whole.filter(pl.col("state") == whole["state"].last()) if whole.height else whole


def _patterns_recur(tables: Tables) -> Judgement:
    shares = _shares(tables)
    if not shares.height:
        return _untested("patterns")
    lacking = shares.filter(pl.col("low") < PRESENT)
    tasks = shares["task"].n_unique()
    if not lacking.height:
        verdict: Word = "supported"
        evidence = f"All five classes hold at least 1% of the maps on each of {tasks} tasks."
    else:
        only_blocks = lacking["class"].unique().to_list() == [BLOCK]
        verdict = "partly supported" if only_blocks else "not supported"
        names = ", ".join(f"{row['class']} on {row['task']}" for row in lacking.to_dicts())
        evidence = f"On {tasks} tasks, at least 1% of the maps is not certain for {names}."
    caveat = "Intervals of shares hold uncertain maps; a single text has no block by definition."
    return Judgement(verdict, evidence, caveat)


def _heterogeneous(tables: Tables) -> Judgement:
    shares = _shares(tables)
    if not shares.height:
        return _untested("patterns")
    shares = shares.filter(pl.col("class") == HETEROGENEOUS).sort("value")
    percent = shares.with_columns(pl.col("value", "low", "high") * 100)
    least, most = percent.row(0, named=True), percent.row(-1, named=True)
    paper = reference("heterogeneous")
    inside = paper["mrpc"] <= least["high"] and most["low"] <= paper["qqp"]
    shown = " to ".join(
        f"{row['value']:.0f}% (95% {row['low']:.0f} to {row['high']:.0f}) ({row['task']})"
        for row in ([least, most] if shares.height > 1 else [least])
    )
    return Judgement(
        "supported" if inside else "not supported",
        f"Here heterogeneous maps are {shown}; the paper has {paper['mrpc']}% (mrpc) to "
        f"{paper['qqp']}% (qqp).",
        "Another model than the paper's has other shares; Prasanna et al. (2020): 15.7 to 50.8% "
        "with the same one.",
    )


def _frames(tables: Tables) -> Judgement:
    if "span_heads" not in tables:
        return _untested("frame-semantic relations")
    heads = tables["span_heads"].filter(relation="frame_element").sort("rank")
    above = heads.filter(pl.col("above"))
    carrying = heads.filter(pl.col("p_corrected") < SIGNIFICANT, pl.col("excess") > 0).height
    names = ", ".join(f"{row['set']} ({row['value']:.3f})" for row in above.to_dicts())
    are = "is" if above.height == 1 else "are"
    evidence = (
        f"Of {heads.height} heads, {names} {are} above the 99th "
        f"percentile; beyond other words at the same distance, {carrying} attend from core "
        "elements to the predicate."
    )
    caveat = (
        "One head in a hundred is above the 99th percentile whatever the heads do; distance is "
        "the better control."
    )
    if "dispensable" not in tables:
        return Judgement("not tested", f"{evidence} They were not disabled on any task.", caveat)
    needed, without = _frame_heads_disabled(tables["dispensable"])
    verdict: Word = "supported"
    if all(needed):
        verdict = "not supported"
    elif any(needed) or not carrying:
        verdict = "partly supported"
    return Judgement(
        verdict,
        f"{evidence} {without}",
        f"{caveat} The p-values are before Bonferroni's correction over tasks, which decides "
        "whether a task needs the heads.",
    )


def _frame_heads_disabled(dispensable: pl.DataFrame) -> tuple[list[bool], str]:
    """Task by task, whether it needs the frame-semantic heads, and a sentence on all tasks."""
    # The headline metric of a task comes first.
    rows = dispensable.group_by("task", "set", "drawn", maintain_order=True).first()
    heads = rows.filter(~pl.col("drawn"))
    needed, effects = [], []
    for row in heads.to_dicts():
        random = rows.filter(pl.col("drawn"), task=row["task"])["delta"]
        as_bad = (random <= row["delta"]).sum()
        control = f", {as_bad} of {random.len()} random pairs as bad" if random.len() else ""
        significant = min(1.0, row["p"] * heads.height) < SIGNIFICANT
        needed.append(significant and row["delta"] < 0)
        effects.append(f"{row['task']} {row['delta']:+.1f} points (p {row['p']:.2g}{control})")
    return needed, f"Without {heads['set'][0]}: {'; '.join(effects)}."


def _last_layers(tables: Tables) -> Judgement:
    if "change" not in tables:
        return _untested("comparison before and after fine-tuning")
    cosine = tables["change"].filter(pl.col("measure") == "cosine_to_pretrained")
    layers = cosine.group_by("task", "layer", maintain_order=True).agg(pl.col("value").mean())
    last = int(str(layers["layer"].max()))
    hits, lowest = [], []
    for (task,), rows in layers.group_by("task", maintain_order=True):
        changed_most = rows.sort("value").head(2)
        hits.append(set(changed_most["layer"]) == {last - 1, last})
        value, layer = changed_most["value"][0], changed_most["layer"][0]
        lowest.append(f"{task} {value:.2f} in layer {layer}")
    return Judgement(
        _all_or_part(hits),
        f"The two last layers changed most on {sum(hits)} of {len(hits)} tasks (lowest cosine: "
        f"{'; '.join(lowest)}).{_gain(tables)}",
        "The gain depends on the untrained head that it starts from, which guesses.",
    )


def _gain(tables: Tables) -> str:
    """What fine-tuning gains, in a sentence that follows another; empty if nothing is known."""
    if "scores" not in tables:
        return ""
    # The headline metric and the first seed come first.
    first = tables["scores"].group_by("task", "configuration", maintain_order=True).first()
    tuned = first.filter(configuration=FINE_TUNED).select("task", "value")
    untrained = first.filter(configuration=UNTRAINED).select("task", untrained="value")
    both = tuned.join(untrained, on="task", how="inner", maintain_order="left")
    if not both.height:
        return ""
    mean = sum(both["value"] - both["untrained"]) / both.height
    return (
        f" Fine-tuning gains {mean:.1f} points on average over {both.height} tasks (paper: "
        f"{reference('mean_gain')['value']})."
    )


def _disabling_helps(tables: Tables) -> Judgement:
    if "selection" not in tables:
        return _untested("disabled heads")
    helped, gains = [], []
    for rows in tables["selection"].partition_by("task", maintain_order=True):
        # The headline metric of a task comes first, and single heads are the most sets.
        headline = rows.filter(pl.col("metric") == rows["metric"].first())
        row = headline.sort("sets", descending=True).row(0, named=True)
        helped.append(row["verdict"] == "supported")
        gains.append(
            f"{row['task']}: the best of {row['sets']} sets gains {row['value']:+.1f} points, "
            f"under the null hypothesis {row['null_mean']:+.1f} on average (p {row['p']:.2f})"
        )
    return Judgement(
        _all_or_part(helped),
        f"A significant gain on {sum(helped)} of {len(helped)} tasks. {'; '.join(gains)}.",
        "The best of many heads gains by chance alone; the paper gives no test.",
    )


def _vertical_is_special(tables: Tables) -> Judgement:
    if "patterns" not in tables or "heads" not in tables:
        return _untested("patterns beside measures")
    heads = _vertical_and_special(tables["patterns"], tables["heads"])
    vertical = heads.filter(pl.col("vertical") > DOMINANT)
    rest = heads.filter(pl.col("vertical") <= DOMINANT)
    if not vertical.height:
        return Judgement("not tested", "No head has mostly vertical maps.")
    inside = float(str(vertical["special"].mean()))
    outside = ""
    if rest.height:
        outside = f", {float(str(rest['special'].mean())):.2f} of the {rest.height} others"
    return Judgement(
        "supported" if inside >= DOMINANT else "not supported",
        f"[CLS] and one [SEP] receive {inside:.2f} of the attention of the {vertical.height} "
        f"heads whose maps are mostly vertical{outside} (a head counts once per task).",
        "Of two [SEP] the one that receives more is counted.",
    )


def _vertical_and_special(patterns: pl.DataFrame, heads: pl.DataFrame) -> pl.DataFrame:
    """By task and head, the share of vertical maps and the attention to special tokens."""
    shares = patterns.filter(
        pl.col("head").is_not_null(),
        pl.col("measure") == "share",
        pl.col("class") == VERTICAL,
        pl.col("state") == patterns["state"].last(),
    )
    measures = pl.col("measure").is_in(["attention_to_cls", "attention_to_sep"])
    head = ("task", "layer", "head")
    special = heads.filter(measures).group_by(head).agg(special=pl.col("value").sum())
    return shares.select(*head, vertical="value").join(special, on=head)
