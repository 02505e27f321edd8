"""What a run shows, in sentences: each with its number, its interval and its verdict.

Nothing is computed from the results here: a sentence selects, counts and formats what a table
holds. `build` in `headscope.reporting.build` puts the sentences, the tables and the maps into one
offline HTML file.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl

from headscope.figures.heatmaps import label
from headscope.names import SIGNIFICANT
from headscope.results.numbers import number, p_value
from headscope.results.tables import Tables


@dataclass(frozen=True)
class Finding:
    """A sentence with its number, its interval and its verdict.

    `value`, `low` and `high` are as in the table, in `unit`; None where the sentence is not about
    one number.
    """

    text: str
    verdict: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    unit: str = ""


def findings(tables: Tables) -> list[Finding]:
    """What the tables show, in sentences. Pure: selects, counts and formats, and computes
    nothing.
    """
    found: list[Finding] = []
    if "scores" in tables:
        tuned = pl.col("configuration") == "pretrained + fine-tuned"
        for rows in tables["scores"].filter(tuned).partition_by("metric", maintain_order=True):
            found += _score(rows)
    if "disabled" in tables:
        disabled = tables["disabled"].filter(
            pl.col("delta").is_not_null() & pl.col("layer").is_not_null()
        )
        for what, chosen in (
            ("head", pl.col("head").is_not_null()),
            ("layer", pl.col("head").is_null()),
        ):
            rows = disabled.filter(chosen)
            several = rows["mode"].n_unique() > 1
            for (metric, mode), group in rows.group_by("metric", "mode", maintain_order=True):
                found += _effects(
                    group, what, label(str(metric)), f" (mode {mode})" if several else ""
                )
        if (
            idle := tables["disabled"]
            .filter(pl.col("activation_change") == 0)["set"]
            .unique(maintain_order=True)
            .to_list()
        ):
            names = ", ".join(map(str, idle[:5])) + (
                f" and {len(idle) - 5} more" if len(idle) > 5 else ""
            )
            found.append(
                Finding(
                    f"Disabling {names} changed no activation: these rows say nothing.", "caution"
                )
            )
    if "selection" in tables:
        for row in tables["selection"].iter_rows(named=True):
            numbers = (row["honest"], row["low"], row["high"])
            found.append(
                Finding(
                    row["text"],
                    f"gain {row['verdict'] or 'not tested'}",
                    *numbers,
                    row["unit"] or "",
                )
            )
    if "predictors" in tables:
        found += _signals(tables["predictors"])
    if "relations_best" in tables:
        found += _relations(tables["relations_best"])
    if "span_heads" in tables:
        found += _spans(tables["span_heads"])
    if "patterns" in tables:
        found += _patterns(tables["patterns"])
    if "heads" in tables:
        for measure, phrase in _EXTREMES.items():
            rows = tables["heads"].filter(
                (pl.col("measure") == measure) & pl.col("value").is_not_null()
            )
            if rows.height:
                row = rows.sort("value", descending=measure != "entropy", maintain_order=True).row(
                    0, named=True
                )
                said = phrase.format(
                    head=f"L{row['layer']}H{row['head']}", value=number(row["value"], row["unit"])
                )
                found.append(
                    Finding(f"{said}{_within(row)}.", "description", *_numbers(row, "value"))
                )
    if "scores" in tables:
        others = tables["scores"].filter(~tuned.fill_null(value=False))
        for rows in others.partition_by("configuration", "metric", maintain_order=True):
            found += _score(rows)
    return found


def _signals(rows: pl.DataFrame) -> Iterator[Finding]:
    """The measure that goes best with what disabling a head costs, the layer being no measure."""
    own = rows.filter(
        pl.col("effect") == rows["effect"].first(),
        pl.col("measure") != "layer",
        pl.col("value").is_not_null(),
    )
    if not own.height:
        return
    row, p = own.row(0, named=True), own.row(0, named=True)["p_corrected"]
    stands = p is not None and p < SIGNIFICANT
    yield Finding(
        f"Of {own.height} signals of a head, {label(row['measure'])} goes best with how much "
        f"disabling it matters: rank correlation {row['value']:+.2f}{_within(row)}, corrected "
        f"{p_says(p)}.",
        "stands" if stands else "not told apart from chance",
        *_numbers(row, "value"),
    )


def _relations(rows: pl.DataFrame) -> Iterator[Finding]:
    """How many relations of a treebank a head carries beyond distance, and the one that it hits
    most often.
    """
    known = rows.filter(pl.col("value").is_not_null())
    if not known.height:
        return
    stand = known.filter(pl.col("verdict") == "carries the relation").sort("value", descending=True)
    text = f"Of {known.height} relations between words, {stand.height or 'none'} {'is' if stand.height == 1 else 'are'} "
    text += "carried by a head beyond what distance and the best fixed offset explain"
    if not stand.height:
        yield Finding(f"{text}.", "none stands")
        return
    row = stand.row(0, named=True)
    text += f"; best {row['relation']}, {100 * row['value']:.0f}% by {row['set']}"
    ends = (
        ""
        if None in (row["low"], row["high"])
        else f" (95% {100 * row['low']:.0f} to {100 * row['high']:.0f}%)"
    )
    yield Finding(f"{text}{ends}.", f"{stand.height} stand", *_numbers(row, "value"))


def _spans(rows: pl.DataFrame) -> Iterator[Finding]:
    """The head that attends most between the spans of a relation, and whether that is more than
    distance.
    """
    for row in rows.filter(pl.col("rank") == 1, pl.col("value").is_not_null()).iter_rows(
        named=True
    ):
        p = row["p_corrected"]
        beyond = (
            ""
            if row["excess"] is None
            else f", {number(row['excess'], '', True)} beyond the same distance"
        )
        yield Finding(
            f"No head attends more between the spans of {row['relation'].replace('_', ' ')} than "
            f"{row['set']}: {number(row['value'])}{_within(row)}{beyond} (corrected {p_says(p)}).",
            "stands"
            if p is not None and p < SIGNIFICANT and (row["excess"] or 0) > 0
            else "does not stand",
            *_numbers(row, "value"),
        )


def _patterns(patterns: pl.DataFrame) -> Iterator[Finding]:
    """How much of the last state's maps is vertical, and how much heterogeneous."""
    rows = patterns.filter(
        pl.col("layer").is_null(), pl.col("head").is_null(), pl.col("measure") == "share_corrected"
    )
    rows = rows.filter(pl.col("state") == rows["state"].last()) if rows.height else rows
    for name in ("vertical", "heterogeneous"):
        for row in rows.filter(pl.col("class") == name).iter_rows(named=True):
            if None in (row["value"], row["low"], row["high"]):
                continue
            value, low, high = (f"{100 * row[k]:.0f}%" for k in ("value", "low", "high"))
            text = f"{value} of the attention maps are {name} (95% {low} to {high}, corrected for errors)."
            yield Finding(
                text, "description", row["value"], row["low"], row["high"], row["unit"] or ""
            )


_EXTREMES = {
    "attention_to_cls": "No head attends more to [CLS] than {head}: {value} of its attention",
    "attention_to_sep": "No head attends more to [SEP] than {head}: {value} of its attention",
    "verb_to_subject_excess": "{head} goes furthest from a verb to its subject: {value} of its attention more than to "
    "another word at the same distance",
    "same_word_across_excess": "{head} goes furthest from a word to the same word in the other text: {value} of its "
    "attention more than to another word there",
    "entropy": "No head is more focused than {head}: its attention has an entropy of {value} nats",
}


def _within(row: dict[str, Any], signed: bool = False) -> str:
    """` (95% 77.0 to 84.6, n = 408)`, as far as the row has it."""
    parts = []
    if row["low"] is not None and row["high"] is not None:
        parts.append(
            f"95% {number(row['low'], row['unit'], signed)} to "
            f"{number(row['high'], row['unit'], signed)}"
        )
    if row["n"] is not None and not signed:
        parts.append(f"n = {row['n']}")
    return f" ({', '.join(parts)})" if parts else ""


def _numbers(row: dict[str, Any], value: str) -> tuple[float, float | None, float | None, str]:
    return row[value], row["low"], row["high"], row["unit"] or ""


def _score(rows: pl.DataFrame) -> Iterator[Finding]:
    """The score of one configuration in one metric beside the majority baseline."""
    rows = rows.filter(pl.col("value").is_not_null())
    if not rows.height or rows["configuration"][0] == "majority class":
        return
    row = rows.row(0, named=True)
    metric = label(row["metric"])
    subject = {
        "pretrained + fine-tuned": f"Fine-tuned {metric}",
        "pretrained, no fine-tuning": f"Without fine-tuning, {metric}",
    }.get(row["configuration"], f"With the configuration “{row['configuration']}”, {metric}")
    if rows.height == 1:
        said = f"{subject} is {number(row['value'], row['unit'])}{_within(row)}"
    else:
        ends = (number(rows["value"].min(), row["unit"]), number(rows["value"].max(), row["unit"]))  # type: ignore[arg-type]
        said = f"{subject} lies between {ends[0]} and {ends[1]} over {rows.height} runs"
    verdict = "no baseline"
    if row["majority"] is not None:
        said += (
            f"; always answering the majority class gives {number(row['majority'], row['unit'])}"
        )
        every = " every time" if rows.height > 1 else ""
        if (rows["low"] > rows["majority"]).all(ignore_nulls=False):
            verdict = f"above the majority class{every}"
        elif (rows["high"] < rows["majority"]).all(ignore_nulls=False):
            verdict = f"below the majority class{every}"
        elif rows["low"].null_count() or rows["high"].null_count():
            verdict = "no interval"
        else:
            verdict = f"not told apart from the majority class{every}"
    yield Finding(f"{said}.", verdict, *(_numbers(row, "value") if rows.height == 1 else ()))


def _effects(rows: pl.DataFrame, what: str, metric: str, mode: str) -> Iterator[Finding]:
    """What disabling each head (or layer) alone costs and gains."""
    tested = rows.filter(pl.col("p_corrected").is_not_null())
    if not tested.height:
        low, high = (
            rows.sort("delta", maintain_order=True).row(end, named=True) for end in (0, -1)
        )
        change = f"changes {metric} by {_change(low)}, {_who(low, what)}"
        if rows.height > 1:
            change = f"changes {metric} by {_change(low)} ({_who(low, what)}) to {_change(high)} ({_who(high, what)})"
        yield Finding(f"Disabling one {what}{mode} {change}; no test is recorded.", "not tested")
        return
    for gain, verb, verbs in ((False, "costs", "cost"), (True, "raises", "raise")):
        noun = "gain" if gain else "loss"
        side = tested.filter(pl.col("delta") > 0 if gain else pl.col("delta") < 0)
        hits = side.filter(pl.col("p_corrected") < SIGNIFICANT)
        total, one = tested.height, tested.height == 1
        if not side.height:
            lowers = "raises" if gain else "lowers"
            subject = (
                f"The one {what} tested, {_who(tested.row(0, named=True), what)},"
                if one
                else f"None of {total} {what}s"
            )
            text = f"{subject} {'does not ' + lowers[:-1] if one else lowers} {metric} when disabled{mode}."
            yield Finding(text, f"no {noun}")
            continue
        best = (hits if hits.height else side).sort("delta", descending=gain, maintain_order=True)
        row = best.row(0, named=True)
        ties = [
            _who(r, what)
            for r in best.filter(pl.col("delta") == row["delta"])[1:].iter_rows(named=True)
        ]
        also = (
            ", as large as that of "
            f"{' and '.join(ties) if len(ties) < 3 else f'{len(ties)} others'}"
            if ties
            else ""
        )
        number_of = f"{_change(row)} by {_who(row, what)}{_within(row, signed=True)}{also}"
        if not hits.height:
            start = f"The {noun} of the one {what} tested" if one else f"No {what}’s {noun}"
            text = (
                f"{start}, {number_of}, does not stand{mode} (corrected "
                f"{p_says(row['p_corrected'])})."
                if one
                else f"{start} in {metric} stands after correction{mode}; the largest, {number_of}, "
                f"is too little to tell from chance among {total} {what}s."
            )
            yield Finding(text, f"no {noun} stands", *_numbers(row, "delta"))
            continue
        count = hits.height
        start = (
            f"The one {what} tested {verb}"
            if one
            else f"All {total} {what}s {verbs}"
            if count == total
            else f"{count} of {total} {what}s {verb if count == 1 else verbs}"
        )
        largest = f"the {noun} is" if count == 1 else f"the largest {noun} is"
        text = f"{start} {metric} when disabled{mode} (Holm-corrected p < {SIGNIFICANT}); {largest} {number_of}."
        yield Finding(
            text,
            f"{count} {noun if count == 1 else 'gains' if gain else 'losses'}",
            *_numbers(row, "delta"),
        )


def _change(row: dict[str, Any]) -> str:
    return f"{number(row['delta'], row['unit'], signed=True)} {row['unit'] or ''}".rstrip()


def _who(row: dict[str, Any], what: str) -> str:
    return f"L{row['layer']}H{row['head']}" if what == "head" else f"layer {row['layer']}"


def p_says(p: float | None) -> str:
    """`p = 0.012`, or `p < 0.001`."""
    return f"p {p_value(p)}" if p is not None and p < 0.001 else f"p = {p_value(p)}"
