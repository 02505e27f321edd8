"""What the paper has where a figure stands, in a sentence; its numbers are of bert-base-uncased."""

from statistics import fmean

import polars as pl

from headscope.names import HETEROGENEOUS
from headscope.reference import paper_metric, reference
from headscope.results.numbers import number

PAPER = "Kovaleva et al. (2019)"


def nothing(_table: pl.DataFrame) -> str:
    """The paper has no number that could stand beside the figure."""
    return ""


def heterogeneous(patterns: pl.DataFrame) -> str:
    """Beside figure 2, the share of heterogeneous maps."""
    rows = patterns.filter(
        pl.col("layer").is_null(),
        pl.col("class") == HETEROGENEOUS,
        measure="share_corrected",
    )
    shares = [f"{100 * share:.0f}%" for share in rows["value"].drop_nulls()]
    here = _here(f"heterogeneous {' then '.join(shares)}", shares)
    paper = reference("heterogeneous")
    return (
        f"{here}{PAPER}: heterogeneous {paper['mrpc']}% (MRPC) to {paper['qqp']}% (QQP) of all "
        "maps."
    )


def frames(relations: pl.DataFrame) -> str:
    """Beside figure 3, the two heads that attend most between a predicate and its elements."""
    rows = relations.filter(measure="score").drop_nulls("value")
    top = rows.sort("value", descending=True, maintain_order=True).head(2)
    largest = [
        f"L{layer}H{head} {number(value)}"
        for layer, head, value in top.select("layer", "head", "value").iter_rows()
    ]
    here = _here(f"largest in {' and '.join(largest)}", largest)
    published = []
    for layer, values in enumerate(reference("framenet")["layers"], 1):
        for head, value in enumerate(values, 1):
            published.append((value, f"L{layer}H{head}"))
    published.sort(reverse=True)
    best = [f"{name} {number(value)}" for value, name in published[:2]]
    return f"{here}{PAPER}, on FrameNet: {' and '.join(best)}."


def cosines(change: pl.DataFrame) -> str:
    """Beside figure 5, the mean cosine of the first and of the last layer's heads."""
    rows = change.filter(measure="cosine_to_pretrained").drop_nulls("value")
    means = rows.group_by("layer").agg(pl.col("value").mean()).sort("layer")["value"]
    ends = [number(value) for value in (*means.head(1), *means.tail(1))]
    here = _here(f"mean of a layer from first to last {' to '.join(ends)}", ends)
    layers = reference("cosine_qqp")["layers"]
    first, last = number(fmean(layers[0])), number(fmean(layers[-1]))
    return f"{here}{PAPER}, on QQP: {first} to {last}."


def best_heads(disabled: pl.DataFrame) -> str:
    """Beside figure 8, the score of every task with the paper's best head disabled, in the metric
    that the paper has it in.
    """
    paper = reference("disabled_best")
    scores = []
    for task in disabled["task"].drop_nulls().unique(maintain_order=True):
        of_task = paper.get(task)
        if isinstance(of_task, dict) and of_task["metric"] in _metrics(disabled, task):
            scores.append(f"{task} {paper[task]['baseline']} to {paper[task]['best']}")
    if not scores:
        return ""
    return (
        f"{PAPER}: score of the whole model and with the best head disabled, {', '.join(scores)}."
    )


def best_layer(disabled: pl.DataFrame) -> str:
    """Beside figure 9, the layer that gains most accuracy when it is disabled, on RTE."""
    if "accuracy" not in _metrics(disabled, "rte"):
        return ""
    paper = reference("disabled_layer")["rte"]
    return f"{PAPER}, on RTE: disabling layer {paper['layer']} gains {paper['gain']} points."


def _metrics(disabled: pl.DataFrame, task: str) -> set[str]:
    """The metrics of a task, as the paper calls them."""
    return {paper_metric(metric or "") for metric in disabled.filter(task=task)["metric"]}


def _here(text: str, numbers: list[str]) -> str:
    return f"Here: {text}. " if numbers else ""
