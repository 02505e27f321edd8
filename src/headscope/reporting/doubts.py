"""When a score is so low that what is said of single heads could not be trusted, in a sentence."""

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from headscope.figures.style import label
from headscope.names import RANKINGS, SIGNIFICANT, UNTRAINED, knows_nothing
from headscope.reporting.estimates import p_text
from headscope.results.numbers import number

CORRELATIONS = ("spearman", "pearson", "matthews")
"""Metrics that are 0 for a model that knows nothing."""
_COLUMNS = ("metric", "value", "low", "high", "n", "majority", "answers", "p_majority")
_WHY = (
    "its classes may be numbered in another order than the task's, or it was trained on another "
    "task; what is said of its heads holds for these answers alone"
)
_WHY_PAIRS = (
    "the class that was taken for pairs that are alike may be the other one, or the model's "
    "vectors are not made for this; what is said of its heads holds for these cosines alone"
)


@dataclass(frozen=True)
class Score:
    """A row of the table `scores`; what is not known is None."""

    metric: str
    value: float
    low: float | None
    high: float | None
    n: int | None
    majority: float | None
    answers: int | None
    p_majority: float | None


def one_answer(scores: pl.DataFrame) -> str:
    """That a trained model gives every example the same answer; "" if none does."""
    for score in _of_trained(scores):
        if score.answers == 1 and score.n is not None and score.n > 1:
            return (
                f"The model gives all {score.n} examples the same answer, so there is nothing that "
                "its heads could lose: no head is named."
            )
    return ""


def below_baseline(scores: pl.DataFrame) -> str:
    """That a trained model scores below one that knows nothing, by more than chance; "" if none
    does.

    Accuracy is tested against the majority class on the same examples, since both vary with them.
    """
    for score in _of_trained(scores):
        if baseline := _missed_baseline(score):
            why = _WHY_PAIRS if score.metric in RANKINGS else _WHY
            scored = f"{label(score.metric)} of {number(score.value, 'points')}"
            return f"The model's {scored} is below {baseline}: {why}."
    return ""


def doubts(scores: pl.DataFrame) -> list[str]:
    """That scores leave nothing to say of heads, the gravest first; none where they do."""
    return [doubt for doubt in (one_answer(scores), below_baseline(scores)) if doubt]


def beside_baseline(scores: pl.DataFrame) -> str:
    """That a trained model does not beat one that knows nothing, and what to do; "" where it does,
    in its first metric, or where a graver doubt is said.
    """
    if doubts(scores):
        return ""
    first = next(_of_trained(scores), None)
    if first is None or first.majority is None or first.low is None:
        return ""
    if first.low > first.majority:
        return ""
    return (
        f"The {label(first.metric)} of {first.value:.1f} is not told apart from the "
        f"{first.majority:.1f} of {knows_nothing(first.metric)}, so what heads do for the task "
        "cannot be told: fine-tune longer (--epochs), at another rate (--lr), or take more "
        "examples."
    )


def _missed_baseline(score: Score) -> str:
    if score.metric in CORRELATIONS:
        is_below = score.high is not None and score.high < 0
        return "0, with an interval that excludes it" if is_below else ""
    if score.metric in RANKINGS and score.majority is not None:
        is_below = score.high is not None and score.high < score.majority
        of_same = f"the {score.majority:.1f} of {knows_nothing(score.metric)}"
        return f"{of_same}, with an interval that excludes it" if is_below else ""
    if score.majority is None or score.p_majority is None:
        return ""
    if score.value >= score.majority or score.p_majority >= SIGNIFICANT:
        return ""
    return f"the {score.majority:.1f} of {knows_nothing(score.metric)} ({p_text(score.p_majority)})"


def _of_trained(scores: pl.DataFrame) -> Iterator[Score]:
    """The scores of models that were trained: others may well be worse than chance."""
    trained = scores.filter(pl.col("configuration").ne_missing(UNTRAINED)).drop_nulls(
        ["metric", "value"]
    )
    if not set(_COLUMNS) <= set(trained.columns):
        return
    for row in trained.select(_COLUMNS).iter_rows():
        yield Score(*row)
