"""The paper's six claims, each with a verdict, its evidence in numbers, and what stands against
reading more into it.

Pure: reads the tables of runs. A verdict is one of "supported", "partly supported", "not
supported", "not tested".
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from headscope.reference import claims, reference

Tables = Mapping[str, pl.DataFrame]
PRESENT, DOMINANT, SIGNIFICANT = 0.01, 0.5, 0.05
FINE_TUNED = "pretrained + fine-tuned"


@dataclass(frozen=True)
class Verdict:
    """A claim with its verdict."""

    claim: str
    text: str
    verdict: str
    evidence: str
    caveat: str


def verdicts(tables: Tables) -> list[Verdict]:
    """C1 to C6 by what the tables hold."""
    judged: dict[str, Callable[[Tables], tuple[str, str, str]]] = {
        "C1": _patterns_recur,
        "C2": _heterogeneous,
        "C3": _frames,
        "C4": _last_layers,
        "C5": _disabling_helps,
        "C6": _vertical_is_special,
    }
    return [Verdict(name, text, *judged[name](tables)) for name, text in claims().items()]


def rows_of(found: list[Verdict]) -> list[dict[str, Any]]:
    """The `claims` table."""
    return [asdict(one) for one in found]


def _untested(what: str) -> tuple[str, str, str]:
    return "not tested", f"The runs hold no {what}.", ""


def _shares(tables: Tables) -> pl.DataFrame | None:
    if "patterns" not in tables:
        return None
    own = tables["patterns"].filter(pl.col("layer").is_null(), pl.col("head").is_null())
    own = own.filter(pl.col("measure") == "share_corrected")
    return own.filter(pl.col("state") == own["state"].last()) if own.height else None


def _patterns_recur(tables: Tables) -> tuple[str, str, str]:
    shares = _shares(tables)
    if shares is None or not shares.height:
        return _untested("patterns")
    lacking = shares.filter(pl.col("low") < PRESENT)
    names = [f"{r['class']} on {r['task']}" for r in lacking.to_dicts()]
    tasks = shares["task"].n_unique()
    evidence = (
        f"All five classes hold at least 1% of the maps on each of {tasks} tasks."
        if not names
        else f"On {tasks} tasks, at least 1% of the maps is not certain for {', '.join(names)}."
    )
    without_block = [n for n in names if not n.startswith("block")]
    verdict = (
        "supported" if not names else "partly supported" if not without_block else "not supported"
    )
    return (
        verdict,
        evidence,
        "Shares are corrected for the classifier's errors; a single text has no block by "
        "definition.",
    )


def _heterogeneous(tables: Tables) -> tuple[str, str, str]:
    shares = _shares(tables)
    if shares is None or not shares.height:
        return _untested("patterns")
    own = shares.filter(pl.col("class") == "heterogeneous").sort("value").to_dicts()
    least, most = own[0], own[-1]
    paper = reference("heterogeneous")
    inside = paper["mrpc"] <= 100 * least["high"] and 100 * most["low"] <= paper["qqp"]
    said = " to ".join(
        f"{_percent(r)} ({r['task']})" for r in ((least,) if len(own) == 1 else (least, most))
    )
    return (
        "supported" if inside else "not supported",
        f"Here heterogeneous maps are {said}; the paper has {paper['mrpc']}% (mrpc) to "
        f"{paper['qqp']}% (qqp).",
        "Another model than the paper's has other shares; Prasanna et al. (2020): 15.7 to 50.8% "
        "with the same one.",
    )


def _percent(row: Mapping[str, Any]) -> str:
    return f"{100 * row['value']:.0f}% (95% {100 * row['low']:.0f} to {100 * row['high']:.0f})"


def _frames(tables: Tables) -> tuple[str, str, str]:
    if "span_heads" not in tables:
        return _untested("frame-semantic relations")
    heads = tables["span_heads"].filter(relation="frame_element").sort("rank")
    above = heads.filter(pl.col("above"))
    carrying = heads.filter(pl.col("p_corrected") < SIGNIFICANT, pl.col("excess") > 0)
    named = ", ".join(f"{r['set']} ({r['value']:.3f})" for r in above.to_dicts())
    evidence = (
        f"Of {heads.height} heads, {named} {'is' if above.height == 1 else 'are'} above the 99th "
        f"percentile; beyond other words at the same distance, {carrying.height} attend from core "
        "elements to the predicate."
    )
    caveat = "One head in a hundred is above the 99th percentile whatever the heads do; distance is the better control."
    if "dispensable" not in tables:
        return "not tested", f"{evidence} They were not disabled on any task.", caveat
    rows = tables["dispensable"].group_by("task", "set", "drawn", maintain_order=True).first()
    own = rows.filter(~pl.col("drawn"))
    needed, told = [], []
    for row in own.to_dicts():
        drawn = rows.filter(pl.col("drawn"), task=row["task"])["delta"]
        worse = (
            f", {(drawn <= row['delta']).sum()} of {drawn.len()} random pairs as bad"
            if drawn.len()
            else ""
        )
        needed.append(min(1.0, row["p"] * own.height) < SIGNIFICANT and row["delta"] < 0)
        told.append(f"{row['task']} {row['delta']:+.1f} points (p {row['p']:.2g}{worse})")
    names = own["set"][0]
    evidence += f" Without {names}: {'; '.join(told)}."
    verdict = (
        "not supported"
        if all(needed)
        else "partly supported"
        if any(needed) or not carrying.height
        else "supported"
    )
    return (
        verdict,
        evidence,
        f"{caveat} p before Bonferroni's correction over tasks, by which a task needs them.",
    )


def _last_layers(tables: Tables) -> tuple[str, str, str]:
    if "change" not in tables:
        return _untested("comparison before and after fine-tuning")
    cosine = tables["change"].filter(pl.col("measure") == "cosine_to_pretrained")
    layers = cosine.group_by("task", "layer", maintain_order=True).agg(pl.col("value").mean())
    last = int(str(layers["layer"].max()))
    hits, told = [], []
    for (task,), own in layers.group_by("task", maintain_order=True):
        lowest = own.sort("value")["layer"].head(2).to_list()
        hits.append(set(lowest) == {last - 1, last})
        told.append(f"{task} {min(own['value'].to_list()):.2f} in layer {lowest[0]}")
    gain = _gain(tables)
    evidence = f"The two last layers changed most on {sum(hits)} of {len(hits)} tasks (lowest cosine: {'; '.join(told)})."
    verdict = "supported" if all(hits) else "partly supported" if any(hits) else "not supported"
    return (
        verdict,
        evidence + gain,
        "The gain depends on the untrained head that it starts from, which guesses.",
    )


def _gain(tables: Tables) -> str:
    if "scores" not in tables:
        return ""
    first = tables["scores"].group_by("task", "configuration", maintain_order=True).first()
    values = {(r["task"], r["configuration"]): r["value"] for r in first.to_dicts()}
    gains = [
        v - values[task, "pretrained, no fine-tuning"]
        for (task, configuration), v in values.items()
        if configuration == FINE_TUNED and (task, "pretrained, no fine-tuning") in values
    ]
    if not gains:
        return ""
    mean, paper = sum(gains) / len(gains), reference("mean_gain")["value"]
    return (
        f" Fine-tuning gains {mean:.1f} points on average over {len(gains)} tasks (paper: {paper})."
    )


def _disabling_helps(tables: Tables) -> tuple[str, str, str]:
    if "selection" not in tables:
        return _untested("disabled heads")
    # A task's headline metric comes first, and single heads are the largest family of sets.
    rows = [
        own.filter(pl.col("metric") == own["metric"].first())
        .sort("sets", descending=True)
        .row(0, named=True)
        for own in tables["selection"].partition_by("task", maintain_order=True)
    ]
    words = [row["verdict"] for row in rows]
    helped = words.count("supported")
    told = "; ".join(
        f"{r['task']}: the best of {r['sets']} gains {r['value']:+.1f} points, the best of as "
        f"many null heads would gain {r['null_mean']:+.1f} (p {r['p']:.2f})"
        for r in rows
    )
    word = "supported" if helped == len(rows) else "partly supported" if helped else "not supported"
    evidence = f"A gain that stands on {helped} of {len(rows)} tasks. {told}."
    return word, evidence, "The best of many heads gains by chance alone; the paper gives no test."


def _vertical_is_special(tables: Tables) -> tuple[str, str, str]:
    if "patterns" not in tables or "heads" not in tables:
        return _untested("patterns beside measures")
    own = tables["patterns"].filter(
        pl.col("head").is_not_null(), pl.col("measure") == "share", pl.col("class") == "vertical"
    )
    own = own.filter(pl.col("state") == tables["patterns"]["state"].last())
    special = (
        tables["heads"]
        .filter(pl.col("measure").is_in(["attention_to_cls", "attention_to_sep"]))
        .group_by("task", "layer", "head")
        .agg(pl.col("value").sum().alias("special"))
    )
    both = own.join(special, on=["task", "layer", "head"])
    vertical, rest = (
        both.filter(pl.col("value") > DOMINANT),
        both.filter(pl.col("value") <= DOMINANT),
    )
    if not vertical.height:
        return "not tested", "No head has mostly vertical maps.", ""
    inside = float(str(vertical["special"].mean()))
    outside = (
        f", {float(str(rest['special'].mean())):.2f} of the {rest.height} others"
        if rest.height
        else ""
    )
    return (
        "supported" if inside >= DOMINANT else "not supported",
        f"[CLS] and one [SEP] receive {inside:.2f} of the attention of the {vertical.height} "
        f"heads whose maps are mostly vertical{outside} (a head counts once a task).",
        "Of two [SEP] the one that receives more is counted.",
    )
