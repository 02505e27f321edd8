"""Words that tables, pages and code share. They are part of the format of a run folder."""

from typing import Literal

VERTICAL = "vertical"
DIAGONAL = "diagonal"
VERTICAL_DIAGONAL = "vertical+diagonal"
BLOCK = "block"
HETEROGENEOUS = "heterogeneous"
CLASSES = (VERTICAL, DIAGONAL, VERTICAL_DIAGONAL, BLOCK, HETEROGENEOUS)
"""The five patterns (paper, section 4.1), in the order of the classifier's outputs."""

FINE_TUNED = "pretrained + fine-tuned"
UNTRAINED = "pretrained, no fine-tuning"
FROM_RANDOM = "random + fine-tuned"
AS_GIVEN = "as given"
CONFIGURATIONS = {"none": UNTRAINED, "random": FROM_RANDOM, "pretrained": FINE_TUNED}
"""The configuration of a row of `scores`, by what `--init` says."""

BEFORE = "before"
AFTER = "after"
"""States of a model whose maps and patterns are kept; a model that is alone is `AS_GIVEN`."""
GIVEN = "given"
"""The state `AS_GIVEN` as the key of an array of maps."""

NO_MAJORITY = "the majority baseline is not known, without training data"
"""What stands in place of the majority baseline where there are no training examples."""
ANSWERS = ("answer_f1", "exact_match")
"""Metrics of answers to questions."""


def no_majority(metric: str) -> str:
    """Why a score stands without a majority baseline.

    >>> no_majority("exact_match")
    'answers to questions have no majority baseline'
    """
    return "answers to questions have no majority baseline" if metric in ANSWERS else NO_MAJORITY


OF_NUMBERS = ("spearman", "pearson")
"""Metrics of numbers, which have no class that is the most frequent: 0 is no correlation."""
RANKINGS = ("average_precision", "roc_auc", "mean_average_precision", "ndcg_at_10")
"""Metrics of the cosines of two classes of pairs, which have no such class either."""


def baseline(metric: str) -> str:
    """What the scores of a metric are compared with, in two or three words.

    >>> baseline("accuracy"), baseline("roc_auc"), baseline("pearson")
    ('the majority class', 'equal cosines', 'no correlation')
    """
    if metric in OF_NUMBERS:
        return "no correlation"
    return "equal cosines" if metric in RANKINGS else "the majority class"


def knows_nothing(metric: str) -> str:
    """What a model that has learnt nothing does, whose scores are the baseline of a metric.

    >>> knows_nothing("accuracy")
    'always answering the majority class'
    >>> knows_nothing("roc_auc")
    'cosines that are all the same'
    >>> knows_nothing("pearson")
    'no correlation'
    """
    if metric in OF_NUMBERS:
        return baseline(metric)
    if metric in RANKINGS:
        return "cosines that are all the same"
    return f"always answering {baseline(metric)}"


def baseline_scores(metric: str, majority: str | None) -> str:
    """What the baseline of a metric scores, or why that is not known.

    Args:
        metric: The metric.
        majority: The baseline's score as it is to be shown; None where it is not known.

    >>> baseline_scores("accuracy", "68.4")
    'always answering the majority class gives 68.4'
    >>> baseline_scores("roc_auc", "50.0")
    'cosines that are all the same give 50.0'
    >>> baseline_scores("pearson", "0.0")
    '0 is no correlation'
    """
    if metric in OF_NUMBERS:
        return f"0 is {baseline(metric)}"
    if majority is None:
        return no_majority(metric)
    give = "give" if metric in RANKINGS else "gives"
    return f"{knows_nothing(metric)} {give} {majority}"


CARRIES = "carries the relation"
"""The verdict on a head that hits a relation beyond what distance and an offset explain."""

CUT_TO = "were cut to"
LEFT_OUT = "left out"
"""Words of the notes on texts that were too long, and on measures that have no value."""

SIGNIFICANT = 0.05
"""An adjusted p-value below this is called significant in tables, figures and sentences."""

StyleName = Literal["plain", "acl", "slides"]
"""How figures look; `figures.style.STYLES` has what each name stands for."""

VerdictWord = Literal[
    "supported", "partly supported", "not supported", "contradicted", "not tested"
]
"""What a run says of a claim: shown as a whole; in part; tested and not shown; the opposite is
shown; or nothing tests it, or too few data to tell.
"""
