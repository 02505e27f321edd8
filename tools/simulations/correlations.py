"""The paired permutation test of a change in a correlation: how often it rejects where nothing
changes, and what it finds, where disabling a head also shifts or rescales all predictions.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from headscope.names import SIGNIFICANT
from headscope.stats.exchange import TIE, permutation
from headscope.stats.metrics import METRICS, Tally
from simulations.base import Rate, Section

EXCHANGES = 199
_CORRELATION, _KEPT = 0.8, 0.9
"""Of predictions and labels, and of the errors before and after."""


@dataclass(frozen=True)
class Change:
    """What disabling a head does to the predictions of a regression.

    Attributes:
        metric: A correlation.
        n: Examples.
        loss: By how much the correlation of predictions and labels falls.
        shift: What is added to all predictions, in standard deviations.
        scale: What all are multiplied by.
    """

    metric: str
    n: int
    loss: float = 0.0
    shift: float = 0.0
    scale: float = 1.0


def simulate(change: Change, times: int, times_before: int) -> tuple[Rate, Rate]:
    """How often the test rejects, and how often it did when predictions were exchanged as they are,
    which takes longer and is tried on the first draws alone.
    """
    rng = np.random.default_rng(7)
    now = before = 0
    for seed in range(times):
        labels, error, own = rng.normal(size=(3, change.n))
        first = _correlated(labels, error, _CORRELATION)
        other_error = _KEPT * error + np.sqrt(1 - _KEPT**2) * own
        second = _correlated(labels, other_error, _CORRELATION - change.loss)
        second = change.shift + change.scale * second
        p = permutation(change.metric, labels, first, second, seed, EXCHANGES)
        now += p < SIGNIFICANT
        if seed < times_before:
            before += _old_p(change.metric, labels, first, second, seed) < SIGNIFICANT
    return Rate(now, times), Rate(before, times_before)


def _correlated(labels: np.ndarray, error: np.ndarray, correlation: float) -> np.ndarray:
    return np.asarray(correlation * labels + np.sqrt(1 - correlation**2) * error)


def _old_p(
    metric: str,
    labels: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    seed: int,
) -> float:
    """The p-value of the old rule: predictions are exchanged as they are, and ranked after."""
    is_exchanged = np.random.default_rng(seed).random((EXCHANGES + 1, len(labels))) < 0.5
    is_exchanged[0] = False
    sides = np.stack(
        [np.where(is_exchanged, second, first), np.where(is_exchanged, first, second)], axis=1
    )  # [draw, side, example]
    tally = Tally(METRICS[metric], labels, sides.reshape(-1, len(labels)))
    scores = tally.score(np.ones((1, len(labels)))).reshape(-1, 2)
    changes = np.abs(np.diff(scores)[:, 0])
    return float((changes >= changes[0] - TIE).mean())


def _changes() -> Iterator[Change]:
    """What is simulated."""
    for metric in ("pearson", "spearman"):
        for n in (12, 20, 50, 277, 1500):
            yield Change(metric, n)
        for shift, scale in ((1.0, 1.0), (0.0, 0.5), (0.0, 2.0)):
            yield Change(metric, 277, 0.0, shift, scale)
        for shift, scale in ((0.0, 1.0), (0.3, 1.0), (1.0, 1.0), (0.0, 0.5), (0.0, 2.0)):
            yield Change(metric, 277, 0.05, shift, scale)


def section() -> Section:
    """The section of docs/statistics.md."""
    rows = []
    for change in _changes():
        now, before = simulate(change, 1000, 100)
        rows.append(
            (
                change.metric,
                str(change.n),
                f"{change.shift:g}",
                f"{change.scale:g}",
                f"{100 * change.loss:g}",
                str(now),
                str(before),
            )
        )
    return Section(
        title="Does a correlation change?",
        text=TEXT,
        header=("metric", "examples", "shift", "scale", "loss", "rejects", "before"),
        rows=rows,
    )


TEXT = """The paired permutation test of a change in Pearson's r or Spearman's rho (`p` in the table
`disabled`), for predictions that correlate with the labels at 0.8. Disabling a head makes other
errors, and may add a *shift* to all predictions (in standard deviations) and change their *scale*,
neither of which a correlation sees. Without a loss the test should reject in 5% of the draws; with
a loss (points of the correlation) it should find as much with a shift as without. Predictions are
standardised, and for rho ranked, column by column, before examples are exchanged; before, they were
exchanged as they are. With 199 exchanges instead of 2,000."""
