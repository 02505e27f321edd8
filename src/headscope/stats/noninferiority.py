"""Whether a score falls by less than a margin: the test of a smaller model that should be as good.

That a fall is not significant does not show that there is none, so the null hypothesis here is the
other one: that the score falls by the margin or more.
"""

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr

from headscope.stats.changes import change_statistic, resampled_changes
from headscope.stats.means import FEWEST
from headscope.stats.metrics import Labels, Predictions, metric_named
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

    Source: Tango (1998), Statistics in Medicine 17, equation 4.

    >>> labels = np.zeros(400, dtype=int)
    >>> after = np.zeros((2, 400), dtype=int)
    >>> after[1, :30] = 1  # a loss of 7.5 points
    >>> noninferiority("accuracy", labels, labels, after, 5.0, seed=0).round(3).tolist()
    [0.0, 0.989]
    """
    if metric == "accuracy":
        was_right, is_right = before == labels, after == labels
        lost = (was_right & ~is_right).sum(1)
        won = (~was_right & is_right).sum(1)
        n = np.full(len(after), len(labels))
        # The statistic is of a rise; a fall by the margin is a rise with both kinds exchanged.
        fallen = change_statistic(np.full(len(after), margin / 100), won, lost, n)
        return np.asarray(ndtr(fallen))
    if metric != "f1" and metric_named(metric).cases(labels) < FEWEST:
        return np.full(len(after), np.nan)
    drawn = resampled_changes(metric, labels, before[None], after[None], seed, resamples)
    shares = ((drawn <= -margin).sum(1) + 1) / (drawn.shape[1] + 1)
    return np.where(np.ptp(drawn, axis=1) > 0, shares, np.nan)
