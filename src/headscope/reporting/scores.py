"""The scores of a run as the page shows them: the headline metric, and the others behind a fold."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from headscope.names import ANSWERS, OF_NUMBERS, knows_nothing


@dataclass(frozen=True)
class ShownScores:
    """Rows of the table `scores`, each by its columns, and what their baseline is."""

    headline: Sequence[dict[str, object]]
    others: Sequence[dict[str, object]]
    baseline: str
    """What scores the numbers of the column `majority`; empty where none has one."""
    is_unknown: bool
    """Whether there is a majority class and a row does not know what it would score."""


def shown_scores(scores: pl.DataFrame, headline: str) -> ShownScores:
    """The scores for the page.

    Args:
        scores: The table of that name.
        headline: The metric that is shown unfolded.
    """
    # A correlation has no class that is the most frequent.
    is_class = ~pl.col("metric").is_in(OF_NUMBERS)
    scores = scores.with_columns(pl.when(is_class).then("majority").alias("majority"))
    of_classes = scores.filter(is_class)
    known = of_classes.drop_nulls("majority")
    baselines = {knows_nothing(metric) for metric in known["metric"]}
    # That answers have none is said beside their score.
    of_majority = of_classes.filter(~pl.col("metric").is_in(ANSWERS))
    first = pl.col("metric").eq_missing(headline)
    return ShownScores(
        headline=scores.filter(first).to_dicts(),
        others=scores.filter(~first).to_dicts(),
        baseline=" or ".join(sorted(baselines)),
        is_unknown=of_majority["majority"].null_count() > 0,
    )
