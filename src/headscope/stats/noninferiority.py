"""Whether a score falls by less than a margin: the test of a smaller model that should be as good.

That a fall is not significant does not show that there is none, so the null hypothesis here is the
other one: that the score falls by the margin or more.
"""

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr

from headscope.stats.changes import (
    change_statistic,
    flips_of,
    is_untold,
    resampled_cases,
    resampled_changes,
)
from headscope.stats.groups import Groups, widened
from headscope.stats.metrics import Labels, Predictions
from headscope.stats.paired import RESAMPLES

LEVEL = 0.025
"""A one-sided p-value below this shows it: then the 95% interval of the change lies above the
margin.
"""


def noninferiority(
    metric: str,
    labels: Labels,
    before: Labels,
    after: Predictions,
    margin: float,
    seed: int,
    resamples: int = RESAMPLES,
    groups: Groups | None = None,
) -> Float[np.ndarray, "set"]:
    """One-sided p-values of the null hypothesis that a score falls by a margin or more.

    Tango's score test for accuracy, whose interval `change_intervals` gives. For other metrics the
    share of smoothed paired bootstrap resamples that fall so far; NaN where `change_intervals` has
    no interval.

    Args:
        metric: The name of the metric.
        labels: Classes or scores.
        before: Predictions of the whole model.
        after: Predictions of smaller ones.
        margin: In points, above 0.
        seed: Of the bootstrap.
        resamples: How many it draws.
        groups: Which examples are of one case; None where each is its own.

    Source: Tango (1998), Statistics in Medicine 17, equation 4.

    >>> labels = np.zeros(400, dtype=int)
    >>> after = np.zeros((2, 400), dtype=int)
    >>> after[1, :30] = 1  # a loss of 7.5 points
    >>> noninferiority("accuracy", labels, labels, after, 5.0, seed=0).round(3).tolist()
    [0.0, 0.989]
    """
    if is_untold(metric, labels, groups):
        return np.full(len(after), np.nan)
    if metric == "accuracy":
        lost, won, n = flips_of(labels, before, after, groups)
        # The statistic is of a rise; a fall by the margin is a rise with both kinds exchanged.
        fallen = change_statistic(np.full(len(after), margin / 100), won, lost, n)
        return np.asarray(ndtr(fallen))
    drawn = resampled_changes(metric, labels, before[None], after[None], seed, resamples, groups)
    cases = resampled_cases(metric, labels, groups)
    drawn = np.stack([widened(of_set, cases) for of_set in drawn])
    shares = ((drawn <= -margin).sum(1) + 1) / (drawn.shape[1] + 1)
    return np.where(np.ptp(drawn, axis=1) > 0, shares, np.nan)
