"""What a run shows, in sentences: each with its number, its interval and its verdict.

Nothing is computed from the results here: a sentence selects, counts and formats what a table
holds.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import polars as pl

from headscope.figures.style import label
from headscope.names import (
    AS_GIVEN,
    CARRIES,
    FINE_TUNED,
    HETEROGENEOUS,
    UNTRAINED,
    VERTICAL,
    baseline,
    baseline_scores,
)
from headscope.reporting.doubts import below_baseline, one_answer
from headscope.reporting.effects import effect_findings, unchanged_findings
from headscope.reporting.estimates import Finding, estimates, is_significant, p_text
from headscope.reporting.pruning import pruning_findings
from headscope.reporting.together import interaction_findings, many_findings, shapley_findings
from headscope.results.numbers import number, with_minus
from headscope.results.tables import Tables
from headscope.stats.proxies import LAYER, WITHIN

_EXTREMES = {
    "attention_to_cls": "No head attends more to [CLS] than {head}: {value} of its attention",
    "attention_to_sep": "No head attends more to [SEP] than {head}: {value} of its attention",
    "verb_to_subject_excess": "{head} attends most from a verb to its subject: {value} of its "
    "attention more than to another word at the same distance",
    "same_word_across_excess": "{head} attends most from a word to the same word in the other "
    "sentence: {value} of its attention more than between two other words as far from each other",
    "entropy": "No head is more focused than {head}: its attention has an entropy of {value} nats",
}


def findings(tables: Tables) -> list[Finding]:
    """What the tables show, in sentences: those that judge something and those that describe."""
    said: list[Finding] = []
    for _, some in findings_by_table(tables):
        said += some
    return said


def findings_by_table(tables: Tables) -> Iterator[tuple[str, list[Finding]]]:
    """The same with the name of the table that they are from; a name can come twice."""
    unsaid: tuple[str, ...] = ()
    if "scores" in tables:
        if same := one_answer(tables["scores"]):
            yield "scores", [Finding(same, "not tested", topic=SCORE)]
            unsaid = _OF_ANSWERS
        if low := below_baseline(tables["scores"]):
            yield "scores", [Finding(low, "in doubt", topic=SCORE)]
    for name, topic, sentences in _SENTENCES:
        if name in tables and name not in unsaid:
            yield name, [replace(finding, topic=topic) for finding in sentences(tables)]


def _tuned_scores(scores: pl.DataFrame) -> Iterator[Finding]:
    return _scores(scores.filter(pl.col("configuration") == FINE_TUNED))


def _other_scores(scores: pl.DataFrame) -> Iterator[Finding]:
    is_other = pl.col("configuration").ne_missing(FINE_TUNED)
    is_model = pl.col("configuration").ne_missing("majority class")
    return _scores(scores.filter(is_other, is_model))


def _scores(scores: pl.DataFrame) -> Iterator[Finding]:
    known = scores.drop_nulls("value")
    for rows in known.partition_by("configuration", "metric", maintain_order=True):
        yield _score(rows)


def _score(rows: pl.DataFrame) -> Finding:
    """The score of one configuration in one metric beside the majority baseline."""
    configuration, metric, majority = rows.select("configuration", "metric", "majority").row(0)
    runs = estimates(rows)
    first = runs[0]
    text = _subject(configuration, label(metric))
    if len(runs) == 1:
        text += f" is {first}{first.within()}"
    else:
        runs.sort(key=lambda run: run.value)
        text += f" lies between {runs[0]} and {runs[-1]} over {len(runs)} runs"
    shown = None if majority is None else number(majority, first.unit)
    text += f"; {baseline_scores(metric, shown)}"
    verdict = _beside_majority(rows)
    if len(runs) == 1:
        return Finding.about(first, f"{text}.", verdict, metric)
    return Finding(f"{text}.", verdict, metric=metric)


def _subject(configuration: str, metric: str) -> str:
    if configuration == FINE_TUNED:
        return f"Fine-tuned {metric}"
    if configuration == UNTRAINED:
        return f"Without fine-tuning, {metric}"
    if configuration == AS_GIVEN:
        return f"The model’s {metric}"
    return f"With the configuration “{configuration}”, {metric}"


def _beside_majority(rows: pl.DataFrame) -> str:
    if rows["majority"][0] is None:
        return "no baseline"
    every = " every time" if rows.height > 1 else ""
    guess = baseline(rows["metric"][0])
    if (rows["low"] > rows["majority"]).all(ignore_nulls=False):
        return f"above {guess}{every}"
    if (rows["high"] < rows["majority"]).all(ignore_nulls=False):
        return f"below {guess}{every}"
    if rows["low"].null_count() or rows["high"].null_count():
        return "no interval"
    return f"not told apart from {guess}{every}"


def _selections(selection: pl.DataFrame) -> Iterator[Finding]:
    """Which sets gain, in the sentences that the table holds."""
    rows = selection.select("text", "verdict", "significant", "metric").iter_rows()
    for text, verdict, significant, metric in rows:
        # A table of version 0.1.0 has no such column.
        doubt = _EARLIER if significant is None else ""
        told = with_minus(text + doubt)
        yield Finding(told, f"gain {verdict or 'not tested'}", metric=metric or "")


def _proxies(predictors: pl.DataFrame) -> Iterator[Finding]:
    """How many measures say more of the effect of disabling a head than its layer does, and the
    one that goes with it best.
    """
    rows = predictors.filter(
        pl.col("effect") == pl.col("effect").first(),
        pl.col("measure") != LAYER,  # where a head is, not what it does
    ).drop_nulls("value")
    if not rows.height:
        return
    first = rows.head(1)
    correlation = estimates(first)[0]
    measure, p = first.select("measure", "p_corrected").row(0)
    best = f"{label(measure)} correlates best, {number(correlation.value, signed=True)}"
    if correlation.unit != WITHIN:
        text = (
            f"Of {rows.height} importance proxies {best} over all heads; whether any tells more "
            "than the layer of a head does was not tested in this version."
        )
        yield Finding(text, "not tested")
        return
    more = [is_significant(p) for p in rows["p_corrected"]].count(True)
    text = (
        f"{more or 'None'} of {rows.height} importance proxies {'tells' if more < 2 else 'tell'} "
        f"more about how much disabling a head matters than its layer does; {best} within "
        f"layers{correlation.within()}, adjusted {p_text(p)}."
    )
    yield Finding.about(correlation, text, "significant" if more else "not significant")


def _relations(best: pl.DataFrame) -> Iterator[Finding]:
    """How many relations of a treebank a head carries beyond distance, and the one that it hits
    most often.
    """
    is_tested = ~pl.col("verdict").fill_null("").str.starts_with("not tested")
    known = best.drop_nulls("value").filter(is_tested)
    if not known.height:
        return
    carried = known.filter(verdict=CARRIES)
    verb = "is" if carried.height == 1 else "are"
    text = (
        f"Of {known.height} relations between words, {carried.height or 'none'} {verb} carried by "
        "a head beyond what distance and the best fixed offset explain"
    )
    if not carried.height:
        yield Finding(f"{text}.", "none carried")
        return
    first = carried.sort("value", descending=True).head(1)
    hits = estimates(first)[0]
    text += f"; best {first['relation'][0]}, {100 * hits.value:.0f}% by {first['set'][0]}"
    if hits.low is not None and hits.high is not None:
        text += f" (95% {100 * hits.low:.0f} to {100 * hits.high:.0f}%)"
    yield Finding.about(hits, f"{text}.", f"{carried.height} carried")


def _spans(span_heads: pl.DataFrame) -> Iterator[Finding]:
    """The head that attends most between the spans of a relation, and whether that is more than at
    the same distance elsewhere.
    """
    first = span_heads.filter(rank=1).drop_nulls("value")
    named = first.select("relation", "set", "excess", "p_corrected").iter_rows()
    for (relation, name, excess, p), attention in zip(named, estimates(first), strict=True):
        beyond = ""
        if excess is not None:
            beyond = f", {number(excess, signed=True)} beyond the same distance"
        text = (
            f"No head attends more between the spans of {relation.replace('_', ' ')} than {name}: "
            f"{number(attention.value)}{attention.within()}{beyond}"
        )
        if p is None:
            yield Finding.about(attention, f"{text} (not tested).", "not tested")
            continue
        is_more = is_significant(p) and (excess or 0) > 0
        verdict = "significant" if is_more else "not significant"
        yield Finding.about(attention, f"{text} (adjusted {p_text(p)}).", verdict)


def _patterns(patterns: pl.DataFrame) -> Iterator[Finding]:
    """How much of the last state's maps is vertical, and how much heterogeneous."""
    shares = patterns.filter(
        pl.col("layer").is_null(),
        pl.col("head").is_null(),
        measure="share_corrected",
    )
    last = shares.filter(pl.col("state") == pl.col("state").last())
    known = last.drop_nulls("value")
    for name in (VERTICAL, HETEROGENEOUS):
        for share in estimates(known.filter(pl.col("class") == name)):
            within = "no interval: too few examples"
            if share.low is not None and share.high is not None:
                low, high = 100 * share.low, 100 * share.high
                within = f"95% {low:.0f}% to {high:.0f}%, uncertain maps included"
            text = f"{100 * share.value:.0f}% of the attention maps are {name} ({within})."
            yield Finding.about(share, text, "description")


def _last_layers(last_layers: pl.DataFrame) -> Iterator[Finding]:
    """How much more fine-tuning changed the last two layers than the others, over examples."""
    over_all = last_layers.filter(pl.col("layer").is_null()).drop_nulls("value")
    if not over_all.height:
        return
    difference = estimates(over_all.head(1))[0]
    which = f", in the first of {over_all.height} fine-tunings" if over_all.height > 1 else ""
    size = (
        "the cosine of the others' maps before and after, minus that of theirs, is "
        f"{difference}{difference.within()}{which}"
    )
    if over_all["p"][0] is None:
        text = (
            f"Whether fine-tuning changed the last two layers more than the others is not tested, "
            f"with fewer than 10 examples or no change beyond rounding: {size}."
        )
        yield Finding.about(difference, text, "not tested")
        return
    more = "more" if difference.value > 0 else "less"
    text = f"Fine-tuning changed the last two layers {more} than the others: {size}."
    is_more = is_significant(over_all["p"][0])
    yield Finding.about(difference, text, "significant" if is_more else "not significant")


def _extremes(heads: pl.DataFrame) -> Iterator[Finding]:
    """The head that is highest, or most focused, in each of a few measures."""
    for measure, phrase in _EXTREMES.items():
        rows = heads.filter(measure=measure).drop_nulls("value")
        if not rows.height:
            continue
        is_descending = measure != "entropy"
        first = rows.sort("value", descending=is_descending, maintain_order=True).head(1)
        head = f"L{first['layer'][0]}H{first['head'][0]}"
        value = estimates(first)[0]
        text = phrase.format(head=head, value=value) + f"{value.within()}."
        yield Finding.about(value, text, "description")


_EARLIER = (
    " (By an earlier version, whose test, p-value and gains may be of different sets: disable them "
    "again.)"
)


SCORE, SINGLE, TOGETHER, PRUNING = "Score", "Single heads", "Heads together", "Pruning"
PROXIES, RELATIONS, PATTERNS = "Importance proxies", "Relations", "Patterns"
TUNING, ATTENTION = "Fine-tuning", "Attention"
"""What findings are about."""


def _from(
    name: str, topic: str, sentences: Callable[[pl.DataFrame], Iterator[Finding]]
) -> tuple[str, str, Callable[[Tables], Iterator[Finding]]]:
    """Sentences that read one table."""
    return name, topic, lambda tables: sentences(tables[name])


_SENTENCES = (
    _from("scores", SCORE, _tuned_scores),
    ("disabled", SINGLE, effect_findings),
    _from("disabled", SINGLE, unchanged_findings),
    _from("selection", SINGLE, _selections),
    _from("together", TOGETHER, many_findings),
    _from("interactions", TOGETHER, interaction_findings),
    _from("shapley", TOGETHER, shapley_findings),
    _from("pruned", PRUNING, pruning_findings),
    _from("predictors", PROXIES, _proxies),
    _from("relations_best", RELATIONS, _relations),
    _from("span_heads", RELATIONS, _spans),
    _from("patterns", PATTERNS, _patterns),
    _from("last_layers", TUNING, _last_layers),
    _from("heads", ATTENTION, _extremes),
    _from("scores", SCORE, _other_scores),
)
"""What the findings are drawn from, in their order."""
_OF_ANSWERS = ("disabled", "selection", "together", "interactions", "shapley", "predictors")
"""Tables that say nothing where a model always gives the same answer."""
